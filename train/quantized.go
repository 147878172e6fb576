package train

import (
	"context"
	"fmt"
	"strings"

	"github.com/goqat/goqat/qat"
)

// Quantized trains a prepared network of one input and one output, [batch, classes]
// logits, with softmax cross entropy. The batch size is the one that the graph was
// prepared with; cfg.Batch must be 0 or that. The model's Step is called once
// before the first batch and after every batch, so that milestone m takes effect
// with batch m, counted from 0, and Epoch likewise. Without cfg.Solver it is Adam, with learned scales
// moving in proportion to their size; cfg.Schedule is required then.
func Quantized(ctx context.Context, m *qat.Model, d Data, cfg FloatConfig) error {
	in, out := m.InputNodes(), m.OutputNodes()
	if len(in) != 1 || len(out) != 1 {
		return fmt.Errorf("train: %w: the network has %d inputs and %d outputs; with more than one of each, use Loop", ErrConfig, len(in), len(out))
	}
	if cfg.Batch != 0 && cfg.Batch != m.Batch() {
		return fmt.Errorf("train: %w: batch of %d, but the graph was prepared for %d", ErrConfig, cfg.Batch, m.Batch())
	}
	cfg.Batch = m.Batch()
	if cfg.Solver == nil && cfg.Schedule != nil {
		// The schedule overrides the rate; scales move in proportion to their size.
		adam, err := NewAdam(AdamConfig{LearnRate: 1e-3, Relative: isScale(m)})
		if err != nil {
			return err
		}
		cfg.Solver = adam
	}
	t := task{x: in[0], logits: out[0], params: m.Learnables()}
	if m.Steps() == 0 {
		if err := m.Step(); err != nil {
			return err
		}
		m.Epoch()
	}
	cfg.keep(func(steps int) error { return WriteCheckpointFile(cfg.CheckpointFile, m, cfg.Solver, steps) })
	own := cfg.OnEpoch
	cfg.OnEpoch = func(e Epoch) error {
		if own != nil {
			if err := own(e); err != nil {
				return err
			}
		}
		m.Epoch()
		return nil
	}
	return t.run(ctx, d, cfg, m.Step)
}

// isScale recognises the learned scales of a prepared network by name.
func isScale(m *qat.Model) func(name string) bool {
	scales := map[string]bool{}
	for _, n := range m.Scales() {
		scales[n.Name()] = strings.HasSuffix(n.Name(), ".scale")
	}
	return func(name string) bool { return scales[name] }
}
