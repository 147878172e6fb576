package main

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// stockWork trains a network in plain Gorgonia as a program without goqat does: stock ops,
// TapeMachine and AdamSolver.
func stockWork(n network, o options) (w work, err error) {
	defer func() {
		if r := recover(); r != nil {
			w, err = work{}, fmt.Errorf("gorgonia: %v", r)
		}
	}()
	for i, x := range n.data(n.inputs, random()) {
		if err := gorgonia.Let(n.inputs[i], tensor.New(tensor.WithShape(n.inputs[i].Shape()...), tensor.WithBacking(x))); err != nil {
			return w, err
		}
	}
	hot := make([]float32, o.batch*classes)
	for i := range o.batch {
		hot[i*classes+i%classes] = 1
	}
	y := gorgonia.NewMatrix(n.g, tensor.Float32, gorgonia.WithName("y"), gorgonia.WithShape(o.batch, classes),
		gorgonia.WithValue(tensor.New(tensor.WithShape(o.batch, classes), tensor.WithBacking(hot))))
	logp := gorgonia.Must(gorgonia.Log(gorgonia.Must(gorgonia.SoftMax(n.outputs[0]))))
	// The mean is over batch and classes: classes times too small.
	mean := gorgonia.Must(gorgonia.Mean(gorgonia.Must(gorgonia.HadamardProd(logp, y))))
	loss := gorgonia.Must(gorgonia.Mul(mean, gorgonia.NewConstant(float32(-classes))))
	if _, err := gorgonia.Grad(loss, n.params...); err != nil {
		return w, err
	}
	m := gorgonia.NewTapeMachine(n.g, gorgonia.BindDualValues(n.params...))
	solver := gorgonia.NewAdamSolver(gorgonia.WithLearnRate(learnRate))
	grads := gorgonia.NodesToValueGrads(n.params)
	return work{loss: func() (float64, error) { return lossOf(loss.Value()) }, close: func() { m.Close() },
		step: func() error {
			if err := m.RunAll(); err != nil {
				return err
			}
			if err := solver.Step(grads); err != nil {
				return err
			}
			m.Reset()
			return nil
		}}, nil
}
