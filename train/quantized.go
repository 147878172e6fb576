package train

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/goqat/goqat/qat"
)

// Quantized trains a prepared network of one input and one output, [batch, classes]
// logits, with softmax cross entropy. The batch size is the one that the graph was
// prepared with; cfg.Batch must be 0 or that. The quantizer's Step is called once
// before the first batch and after every batch, so that milestone m takes effect
// with batch m, counted from 0, and Epoch likewise. Without cfg.Solver it is Adam, with learned scales
// moving in proportion to their size; cfg.Schedule is required then.
func Quantized(ctx context.Context, q *qat.Quantizer, p *qat.Prepared, d Data, cfg FloatConfig) error {
	in, out := p.InputNodes(), p.OutputNodes()
	if len(in) != 1 || len(out) != 1 {
		return fmt.Errorf("train: %w: the network has %d inputs and %d outputs; with more than one of each, use Loop", ErrConfig, len(in), len(out))
	}
	if cfg.Batch != 0 && cfg.Batch != p.Batch() {
		return fmt.Errorf("train: %w: batch of %d, but the graph was prepared for %d", ErrConfig, cfg.Batch, p.Batch())
	}
	cfg.Batch = p.Batch()
	if cfg.Solver == nil && cfg.Schedule != nil {
		// The schedule overrides the rate; scales move in proportion to their size.
		adam, err := NewAdam(AdamConfig{LearnRate: 1e-3, Relative: isScale(p)})
		if err != nil {
			return err
		}
		cfg.Solver = adam
	}
	t := task{x: in[0], logits: out[0], params: p.Learnables()}
	if q.Steps() == 0 {
		if err := errors.Join(q.Step(), q.Epoch()); err != nil {
			return err
		}
	}
	cfg.keep(func(steps int) error { return SaveCheckpoint(cfg.CheckpointFile, q, cfg.Solver, steps) })
	own := cfg.OnEpoch
	cfg.OnEpoch = func(e Epoch) error {
		if own != nil {
			if err := own(e); err != nil {
				return err
			}
		}
		return q.Epoch()
	}
	return t.run(ctx, d, cfg, q.Step)
}

// isScale recognises the learned scales of a prepared network by name.
func isScale(p *qat.Prepared) func(name string) bool {
	scales := map[string]bool{}
	for _, n := range p.Scales() {
		scales[n.Name()] = strings.HasSuffix(n.Name(), ".scale")
	}
	return func(name string) bool { return scales[name] }
}
