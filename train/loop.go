package train

import (
	"context"
	"errors"
	"fmt"
	"math"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// Loop runs the steps of a training: load a batch, run the machine, let the solver
// step. It knows neither the network nor how it is quantized: whatever has an
// input node, a label node, a loss and gradients can be trained. Required fields
// are Machine, X, Labels, Loss, Params, Solver, Batches and Epochs.
type Loop struct {
	Machine gorgonia.VM    // runs forward and backward pass; the caller closes it
	X       *gorgonia.Node // float32 input [batch, row…]
	Labels  *gorgonia.Node // labels [batch] of dtype Int, as made by CrossEntropy
	Loss    *gorgonia.Node // scalar or one element; must be kept by the machine
	Params  gorgonia.Nodes // what the solver moves; gorgonia.Grad was called with them
	Solver  Optimizer      // its learning rate is overwritten if Schedule is set
	Batches *Batches       // of the graph's batch size
	Epochs  int            // at least 1

	// Schedule sets the learning rate before every step. Nil: the solver's own.
	Schedule Schedule
	// Start is the number of steps already made in an earlier, interrupted run. 0
	// starts from the beginning. Batches and rates go on as if never interrupted.
	Start int

	// AfterStep is called after every update, such as a quantizer's Step. Nil: none.
	AfterStep func() error
	// OnEpoch is called after every epoch. Nil: none.
	OnEpoch func(Epoch) error
	// Checkpoint is called when the context is cancelled, before Run returns; it
	// gets the number of steps made, the Start of a resumed run. Nil: none.
	Checkpoint func(steps int) error

	// Title stands before the progress, "training" by default.
	Title string
	// Quiet turns progress and log lines off.
	Quiet bool
}

// Run trains until all epochs are done. When ctx is cancelled (by Ctrl-C, say, with
// signal.NotifyContext) it finishes the current step, calls Checkpoint and returns
// an error that wraps ctx.Err(). A loss that is NaN or infinite ends the run with
// ErrNotFinite before the parameters take it in.
func (l *Loop) Run(ctx context.Context) error {
	r, err := l.start()
	if err != nil {
		return err
	}
	defer r.bar.close()
	for step := l.Start; step < r.total; step++ {
		if ctx.Err() != nil {
			return l.interrupted(ctx, step)
		}
		if err := r.step(step); err != nil {
			return fmt.Errorf("train: epoch %d, step %d: %w", step/r.perEpoch, step, err)
		}
		if (step+1)%r.perEpoch == 0 {
			if err := r.endEpoch(step); err != nil {
				return fmt.Errorf("train: after epoch %d: %w", step/r.perEpoch, err)
			}
		}
	}
	return nil
}

func (l *Loop) interrupted(ctx context.Context, steps int) error {
	err := fmt.Errorf("train: stopped after %d steps: %w", steps, context.Cause(ctx))
	if !errors.Is(err, ctx.Err()) { // a cause of the caller's own
		err = fmt.Errorf("%w (%w)", err, ctx.Err())
	}
	if l.Checkpoint == nil {
		return err
	}
	if cerr := l.Checkpoint(steps); cerr != nil {
		return errors.Join(err, fmt.Errorf("train: checkpoint: %w", cerr))
	}
	return err
}

// running is a Loop with what Run needs between steps.
type running struct {
	*Loop
	perEpoch, total int
	x               []float32
	y               []int
	params          []gorgonia.ValueGrad
	bar             *progress
	sum             float64 // of the losses of this epoch
	n               int     // steps in sum
}

func (l *Loop) start() (*running, error) {
	switch {
	case l.Machine == nil, l.X == nil, l.Labels == nil, l.Loss == nil, l.Solver == nil, l.Batches == nil:
		return nil, fmt.Errorf("train: %w: a Loop needs Machine, X, Labels, Loss, Solver and Batches", ErrConfig)
	case len(l.Params) == 0:
		return nil, fmt.Errorf("train: %w: no Params to train", ErrConfig)
	case l.Epochs < 1:
		return nil, fmt.Errorf("train: %w: %d Epochs, want at least 1", ErrConfig, l.Epochs)
	}
	r := &running{Loop: l, perEpoch: l.Batches.PerEpoch(), params: gorgonia.NodesToValueGrads(l.Params)}
	r.total = l.Epochs * r.perEpoch
	if l.Start < 0 || l.Start > r.total {
		return nil, fmt.Errorf("train: %w: Start %d, want 0 to %d", ErrConfig, l.Start, r.total)
	}
	if err := r.inputs(); err != nil {
		return nil, err
	}
	r.bar = newProgress(l.Title, l.Quiet, l.Start, r.total)
	return r, nil
}

// inputs gives the input and label nodes memory that batches are copied into.
func (r *running) inputs() error {
	size := r.Batches.Size()
	want := append([]int{size}, r.Batches.data.Shape...)
	if r.X.Dtype() != tensor.Float32 || r.X.Shape().TotalSize() != tensor.Shape(want).TotalSize() || r.X.Shape()[0] != size {
		return fmt.Errorf("train: %w: input %q is %v of shape %v, batches are float32 of shape %v",
			ErrConfig, r.X.Name(), r.X.Dtype(), r.X.Shape(), want)
	}
	if r.Labels.Dtype() != tensor.Int || !r.Labels.Shape().Eq(tensor.Shape{size}) {
		return fmt.Errorf("train: %w: labels %q are %v of shape %v, want Int of shape (%d)",
			ErrConfig, r.Labels.Name(), r.Labels.Dtype(), r.Labels.Shape(), size)
	}
	r.x, r.y = make([]float32, r.X.Shape().TotalSize()), make([]int, size)
	if err := gorgonia.Let(r.X, tensor.New(tensor.WithShape(r.X.Shape()...), tensor.WithBacking(r.x))); err != nil {
		return fmt.Errorf("train: input %q: %w", r.X.Name(), err)
	}
	if err := gorgonia.Let(r.Labels, tensor.New(tensor.WithShape(size), tensor.WithBacking(r.y))); err != nil {
		return fmt.Errorf("train: labels %q: %w", r.Labels.Name(), err)
	}
	return nil
}

func (r *running) step(step int) error {
	if r.Schedule != nil {
		r.Solver.SetLearnRate(r.Schedule.LR(step, r.total))
	}
	r.Batches.Load(step, r.x, r.y)
	if err := r.Machine.RunAll(); err != nil {
		return err
	}
	loss, err := lossOf(r.Loss)
	if err != nil {
		return err
	}
	if err := r.Solver.Step(r.params); err != nil {
		return err
	}
	r.Machine.Reset()
	if r.AfterStep != nil {
		if err := r.AfterStep(); err != nil {
			return fmt.Errorf("after step: %w", err)
		}
	}
	r.sum += loss
	r.n++
	r.bar.add()
	return nil
}

func (r *running) endEpoch(step int) error {
	e := Epoch{Number: step / r.perEpoch, Epochs: r.Epochs, Steps: step + 1, Loss: r.sum / float64(r.n), LearnRate: r.Solver.LearnRate()}
	r.sum, r.n = 0, 0
	r.bar.epoch(e)
	if r.OnEpoch == nil {
		return nil
	}
	return r.OnEpoch(e)
}

// lossOf reads a loss and checks it.
func lossOf(n *gorgonia.Node) (float64, error) {
	v, err := values(n)
	if err != nil {
		return 0, fmt.Errorf("loss: %w", err)
	}
	if len(v) != 1 {
		return 0, fmt.Errorf("loss: %w: it has %d elements, want 1", ErrConfig, len(v))
	}
	loss := float64(v[0])
	if loss != loss || math.IsInf(loss, 0) {
		return 0, fmt.Errorf("loss is %v: %w: lower the learning rate or look at the inputs", loss, ErrNotFinite)
	}
	return loss, nil
}
