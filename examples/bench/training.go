package main

import (
	"fmt"

	"github.com/goqat/goqat/internal/nn"
	graphops "github.com/goqat/goqat/internal/ops"
	"github.com/goqat/goqat/internal/vm"
	"github.com/goqat/goqat/qat"
	"github.com/goqat/goqat/train"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// trainee is a graph that is ready for a loss.
type trainee struct {
	inputs  gorgonia.Nodes
	output  *gorgonia.Node
	params  gorgonia.Nodes
	machine func(outputs ...*gorgonia.Node) (gorgonia.VM, error)
	after   func() error // behind each step; nil for nothing
}

// floatWork is what train.Fit does in float32 in each step; other networks are written with
// goqat's ops first.
func (n network) floatWork() (work, error) {
	if n.own {
		return n.training(trainee{inputs: n.inputs, output: n.outputs[0], params: n.params,
			machine: func(outputs ...*gorgonia.Node) (gorgonia.VM, error) { return vm.New(n.g, outputs...) }})
	}
	fast, err := qat.Optimize(n.g, n.outputs...)
	if err != nil {
		return work{}, err
	}
	return n.training(trainee{inputs: fast.InputNodes(), output: fast.OutputNodes()[0], params: fast.Learnables(), machine: fast.Machine})
}

// quantizedWork is what train.Fit does in each step, observing and quantizing
// from the first on.
func (n network) quantizedWork(bits int) (work, error) {
	p, err := n.prepared(bits)
	if err != nil {
		return work{}, err
	}
	if err := p.Step(); err != nil {
		return work{}, err
	}
	return n.training(trainee{inputs: p.InputNodes(), output: p.OutputNodes()[0], params: p.Learnables(), machine: p.Machine, after: p.Step})
}

// training makes the step of a network with its own machine and solver.
func (n network) training(t trainee) (work, error) {
	logits, err := rowsOfLogits(t.output)
	if err != nil {
		return work{}, err
	}
	loss, labels, err := train.CrossEntropy(logits)
	if err != nil {
		return work{}, err
	}
	if err := train.Gradients(loss, t.params); err != nil {
		return work{}, err
	}
	m, err := t.machine(loss)
	if err != nil {
		return work{}, err
	}
	solver, err := train.NewAdam(train.AdamConfig{LearnRate: learnRate})
	if err != nil {
		return work{}, err
	}
	y := make([]int, logits.Shape()[0])
	for i := range y {
		y[i] = i % logits.Shape()[1]
	}
	for i, x := range n.data(t.inputs, random()) {
		if err := gorgonia.Let(t.inputs[i], tensor.New(tensor.WithShape(t.inputs[i].Shape()...), tensor.WithBacking(x))); err != nil {
			return work{}, err
		}
	}
	if err := gorgonia.Let(labels, tensor.New(tensor.WithShape(len(y)), tensor.WithBacking(y))); err != nil {
		return work{}, err
	}
	grads := gorgonia.NodesToValueGrads(t.params)
	var watched watcher // of the solver
	return work{loss: func() (float64, error) { return lossOf(loss.Value()) }, close: func() { m.Close() },
		watch: func(w watcher) {
			watched = w
			m.(interface {
				Watch(func(what string) (done func()))
			}).Watch(w)
		},
		step: func() error {
			if err := m.RunAll(); err != nil {
				return err
			}
			done := func() {}
			if watched != nil {
				done = watched("solver")
			}
			if err := solver.Step(grads); err != nil {
				return err
			}
			done()
			m.Reset()
			if t.after != nil {
				return t.after()
			}
			return nil
		}}, nil
}

// rowsOfLogits makes logits [..., classes] a matrix with one row for each prediction.
func rowsOfLogits(y *gorgonia.Node) (*gorgonia.Node, error) {
	shape := y.Shape()
	switch shape.Dims() {
	case 0, 1:
		return nil, fmt.Errorf("the output has shape %v: a loss wants [batch, …, classes]", shape)
	case 2:
		return y, nil
	}
	return graphops.Apply(nn.Reshape{Shape: []int{-1, shape[shape.Dims()-1]}}, y)
}

// lossOf reads a scalar.
func lossOf(v gorgonia.Value) (float64, error) {
	switch v := v.(type) {
	case *gorgonia.F32:
		return float64(*v), nil
	case *tensor.Dense:
		switch data := v.Data().(type) {
		case float32:
			return float64(data), nil
		case []float32:
			if len(data) == 1 {
				return float64(data[0]), nil
			}
		}
	}
	return 0, fmt.Errorf("the loss is a %T, want one float32", v)
}
