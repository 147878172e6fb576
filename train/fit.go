package train

import (
	"context"
	"fmt"

	"github.com/goqat/goqat/internal/vm"
	"github.com/goqat/goqat/models"
	"github.com/goqat/goqat/qat"
	"gorgonia.org/gorgonia"
)

// Model is a network that [Fit] trains: a *qat.Model, which Prepare makes for training
// with quantization and Optimize for training in float32, or what [Float] makes of a
// network of package models.
type Model interface {
	// Batch is the number of rows that the graph is made for.
	Batch() int
	// InputNodes and OutputNodes are the graph's inputs and results.
	InputNodes() gorgonia.Nodes
	OutputNodes() gorgonia.Nodes
	// Learnables are what the solver moves, [Model.Scales] among them.
	Learnables() gorgonia.Nodes
	// Scales are the learned parameters of quantizers; see [qat.Model.Scales].
	Scales() gorgonia.Nodes
	// Steps is how often Step was called.
	Steps() int
	// Step is called once before the first batch of all and after every batch.
	Step() error
	// Epoch is called once before the first epoch of all and after every epoch.
	Epoch()
}

// Recipe says how [Fit] trains. Only Epochs and a learning rate, by Solver or Schedule,
// are required.
type Recipe struct {
	Epochs int // at least 1
	// Batch is the number of rows of a step. 0: that of the graph; for [Float] 64, or all
	// rows if there are fewer. Another one than the graph's is an error.
	Batch int
	Seed  uint64 // of the shuffling
	// Solver moves the parameters. Nil: Adam with its defaults; Schedule is required then.
	Solver   Optimizer
	Schedule Schedule // nil: the solver's learning rate throughout

	OnEpoch    func(Epoch) error     // as in Loop
	Checkpoint func(steps int) error // as in Loop
	Start      int                   // as in Loop
	// CheckpointFile is written when the context is cancelled, after Checkpoint: what
	// [WriteCheckpointFile] writes for a *qat.Model, the weights as
	// [models.Net.WriteFile] writes them for [Float]. Empty: none.
	CheckpointFile string
	Title          string // as in Loop
	Quiet          bool   // as in Loop
}

// Fit trains a network of one input and one output, [batch, classes] logits, as a
// classifier: with softmax cross entropy against the labels of d. Its parameters and the
// statistics of its batch normalisations are updated in place. The result depends on
// the network, the data and the recipe alone, not on the number of processors.
//
// The model's Step is called once before the first batch and after every batch, so that
// milestone m takes effect with batch m, counted from 0, and Epoch likewise. Other
// losses, and more inputs or outputs than one, are for [Loop].
//
// Errors wrap ErrConfig, ErrData or ErrNotFinite, or are those of the model, the solver
// or a hook. When ctx is cancelled, Fit finishes the step, writes what the recipe asks
// for and returns an error that wraps ctx.Err().
func Fit(ctx context.Context, m Model, d Data, r Recipe) error {
	if m == nil {
		return fmt.Errorf("train: %w: the model is nil", ErrConfig)
	}
	if err := d.Check(); err != nil {
		return err
	}
	if f, ok := m.(*float); ok {
		if r.Batch == 0 {
			r.Batch = min(64, d.Len())
		}
		if err := f.build(r.Batch); err != nil {
			return err
		}
	}
	if r.Batch != 0 && r.Batch != m.Batch() {
		return fmt.Errorf("train: %w: batch of %d, but the graph was prepared for %d", ErrConfig, r.Batch, m.Batch())
	}
	r.Batch = m.Batch()
	l, err := r.loop(m, d)
	if err != nil {
		return err
	}
	machine, err := vm.New(l.Loss.Graph(), l.Loss)
	if err != nil {
		return fmt.Errorf("train: %w", err)
	}
	l.Machine = machine
	if m.Steps() == 0 {
		if err := m.Step(); err != nil {
			return err
		}
		m.Epoch()
	}
	if err := l.Run(ctx); err != nil {
		return err
	}
	return machine.Close()
}

// loop adds loss and gradients to the model's graph and makes the Loop that trains it,
// without its machine.
func (r Recipe) loop(m Model, d Data) (*Loop, error) {
	in, out := m.InputNodes(), m.OutputNodes()
	if len(in) != 1 || len(out) != 1 {
		return nil, fmt.Errorf("train: %w: the network has %d inputs and %d outputs; with more than one of each, use Loop", ErrConfig, len(in), len(out))
	}
	batches, err := NewBatches(d, r.Batch, r.Seed)
	if err != nil {
		return nil, err
	}
	if r.Solver == nil {
		if r.Schedule == nil {
			return nil, fmt.Errorf("train: %w: no learning rate: set Schedule or Solver", ErrConfig)
		}
		// The schedule overrides the rate.
		if r.Solver, err = NewAdam(AdamConfig{LearnRate: 1e-3}); err != nil {
			return nil, err
		}
	}
	loss, labels, err := CrossEntropy(out[0])
	if err != nil {
		return nil, err
	}
	if s := out[0].Shape(); s[1] != d.Classes {
		return nil, fmt.Errorf("train: %w: the network has %d outputs, the data %d classes", ErrConfig, s[1], d.Classes)
	}
	params := m.Learnables()
	if err := Gradients(loss, params); err != nil {
		return nil, err
	}
	// The model counts first: a checkpoint that the hook writes holds the epoch.
	onEpoch := func(e Epoch) error {
		m.Epoch()
		if r.OnEpoch == nil {
			return nil
		}
		return r.OnEpoch(e)
	}
	return &Loop{X: in[0], Labels: labels, Loss: loss, Params: params, Solver: r.Solver, Batches: batches,
		Epochs: r.Epochs, Schedule: r.Schedule, Start: r.Start, AfterStep: m.Step, OnEpoch: onEpoch,
		Checkpoint: r.checkpoint(m), Title: r.Title, Quiet: r.Quiet}, nil
}

// checkpoint is what to do when a run is interrupted: Checkpoint, then CheckpointFile.
func (r Recipe) checkpoint(m Model) func(steps int) error {
	if r.CheckpointFile == "" {
		return r.Checkpoint
	}
	return func(steps int) error {
		if r.Checkpoint != nil {
			if err := r.Checkpoint(steps); err != nil {
				return err
			}
		}
		switch m := m.(type) {
		case *qat.Model:
			return WriteCheckpointFile(r.CheckpointFile, m, r.Solver, steps)
		case *float:
			return m.net.WriteFile(r.CheckpointFile)
		}
		return fmt.Errorf("%w: no form of checkpoint file for a %T: use Checkpoint", ErrConfig, m)
	}
}

// Float makes a network of package models a [Model] that trains in float32. Each [Fit]
// builds a training graph of its recipe's batch size on the network's own parameters;
// before the first, Batch is 0 and there are no nodes.
func Float(net *models.Net) Model { return &float{net: net} }

// float is a network of package models with its training graph.
type float struct {
	net   *models.Net
	graph *models.Graph
	batch int
	steps int
}

func (f *float) build(batch int) error {
	g, err := f.net.Build(batch, true)
	if err != nil {
		return fmt.Errorf("train: %w", err)
	}
	f.graph, f.batch = g, batch
	return nil
}

func (f *float) InputNodes() gorgonia.Nodes {
	if f.graph == nil {
		return nil
	}
	return gorgonia.Nodes{f.graph.X}
}

func (f *float) OutputNodes() gorgonia.Nodes {
	if f.graph == nil {
		return nil
	}
	return gorgonia.Nodes{f.graph.Logits}
}

func (f *float) Learnables() gorgonia.Nodes {
	if f.graph == nil {
		return nil
	}
	return f.graph.Params
}

func (f *float) Batch() int             { return f.batch }
func (f *float) Scales() gorgonia.Nodes { return nil }
func (f *float) Steps() int             { return f.steps }
func (f *float) Step() error            { f.steps++; return nil }
func (f *float) Epoch()                 {}
