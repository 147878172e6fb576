package train

import (
	"context"
	"fmt"

	"github.com/goqat/goqat/internal/ops"
	"github.com/goqat/goqat/internal/vm"
	"github.com/goqat/goqat/models"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// CrossEntropy adds the mean softmax cross entropy of logits [batch, classes] to
// their graph. labels is a new node [batch] of dtype Int, to be Let before a run;
// loss is a scalar.
func CrossEntropy(logits *gorgonia.Node) (loss, labels *gorgonia.Node, err error) {
	if logits == nil || logits.Shape().Dims() != 2 {
		return nil, nil, fmt.Errorf("train: cross entropy: %w: logits must be a node of shape [batch, classes]", ErrConfig)
	}
	labels = gorgonia.NewVector(logits.Graph(), tensor.Int, gorgonia.WithShape(logits.Shape()[0]),
		gorgonia.WithName(fmt.Sprintf("labels of %d", logits.ID())))
	if loss, err = ops.CrossEntropy(logits, labels); err != nil {
		return nil, nil, fmt.Errorf("train: %w", err)
	}
	return loss, labels, nil
}

// Gradients adds the gradients of loss to its graph, as gorgonia.Grad; a panic of
// Gorgonia's becomes an error.
func Gradients(loss *gorgonia.Node, params gorgonia.Nodes) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("train: gradients: %v", r)
		}
	}()
	if _, err = gorgonia.Grad(loss, params...); err != nil {
		return fmt.Errorf("train: gradients: %w", err)
	}
	return nil
}

// FloatConfig are the settings of [Float]. Only Epochs and a learning rate, by Solver
// or Schedule, are required.
type FloatConfig struct {
	Epochs   int       // at least 1
	Batch    int       // rows per step; 0: 64, or all rows if there are fewer
	Seed     uint64    // of the shuffling
	Solver   Optimizer // nil: Adam with its defaults
	Schedule Schedule  // nil: the solver's learning rate throughout

	OnEpoch    func(Epoch) error     // as in Loop
	Checkpoint func(steps int) error // as in Loop
	Start      int                   // as in Loop
	// CheckpointFile is written when the context is cancelled, after Checkpoint: the
	// weights, as [models.Net.WriteFile] writes them, or what [WriteCheckpointFile] writes for
	// Quantized. Empty: none.
	CheckpointFile string
	Title          string // as in Loop
	Quiet          bool   // as in Loop
}

// Float trains a network in float32 with softmax cross entropy on its logits. The
// parameters and batch norm statistics of net are updated in place. The result
// depends on the network, the data and the settings alone, not on the number of
// processors.
func Float(ctx context.Context, net *models.Net, d Data, cfg FloatConfig) error {
	if err := d.Check(); err != nil {
		return err
	}
	if cfg.Batch == 0 {
		cfg.Batch = min(64, d.Len())
	}
	g, err := net.Build(cfg.Batch, true)
	if err != nil {
		return fmt.Errorf("train: %w", err)
	}
	cfg.keep(func(int) error { return net.WriteFile(cfg.CheckpointFile) })
	return task{x: g.X, logits: g.Logits, params: g.Params}.run(ctx, d, cfg, nil)
}

// keep adds the writing of CheckpointFile to Checkpoint.
func (c *FloatConfig) keep(save func(steps int) error) {
	if c.CheckpointFile == "" {
		return
	}
	own := c.Checkpoint
	c.Checkpoint = func(steps int) error {
		if own != nil {
			if err := own(steps); err != nil {
				return err
			}
		}
		return save(steps)
	}
}

// task is a graph to train as a classifier.
type task struct {
	x, logits *gorgonia.Node
	params    gorgonia.Nodes
}

// run adds loss and gradients to the task's graph and trains it.
func (t task) run(ctx context.Context, d Data, cfg FloatConfig, afterStep func() error) error {
	batches, err := NewBatches(d, cfg.Batch, cfg.Seed)
	if err != nil {
		return err
	}
	if cfg.Solver == nil {
		if cfg.Schedule == nil {
			return fmt.Errorf("train: %w: no learning rate: set Schedule or Solver", ErrConfig)
		}
		if cfg.Solver, err = NewAdam(AdamConfig{LearnRate: 1e-3}); err != nil { // the schedule overrides it
			return err
		}
	}
	loss, labels, err := CrossEntropy(t.logits)
	if err != nil {
		return err
	}
	if s := t.logits.Shape(); s[1] != d.Classes {
		return fmt.Errorf("train: %w: the network has %d outputs, the data %d classes", ErrConfig, s[1], d.Classes)
	}
	if err := Gradients(loss, t.params); err != nil {
		return err
	}
	m, err := vm.New(loss.Graph(), loss)
	if err != nil {
		return fmt.Errorf("train: %w", err)
	}
	l := Loop{Machine: m, X: t.x, Labels: labels, Loss: loss, Params: t.params, Solver: cfg.Solver, Batches: batches,
		Epochs: cfg.Epochs, Schedule: cfg.Schedule, Start: cfg.Start, AfterStep: afterStep, OnEpoch: cfg.OnEpoch,
		Checkpoint: cfg.Checkpoint, Title: cfg.Title, Quiet: cfg.Quiet}
	if err := l.Run(ctx); err != nil {
		return err
	}
	return m.Close()
}
