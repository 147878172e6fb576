package main

import (
	"errors"
	"fmt"

	"github.com/goqat/goqat/qat"
	"github.com/goqat/goqat/qat/export/onnxout"
	"github.com/goqat/goqat/qat/frozen"
)

// runWork is the frozen network on one batch.
func (n network) runWork(o options) (work, error) {
	p, err := n.prepared(o.bits)
	if err != nil {
		return work{}, err
	}
	rng := random()
	for range calibrations {
		if err := p.Calibrate(n.data(p.InputNodes(), rng)...); err != nil {
			return work{}, err
		}
	}
	fz, err := p.Freeze()
	if err != nil {
		return work{}, err
	}
	if o.export != "" {
		if err := onnxout.WriteFile(o.export, fz, onnxout.Options{}); err != nil {
			return work{}, err
		}
	}
	runner, err := fz.Runner(frozen.RunOptions{})
	if err != nil {
		return work{}, err
	}
	w := inference(n.data(p.InputNodes(), rng), func(x ...[]float32) ([][]float32, error) { return runner.Run(x...) })
	w.watch = func(watched watcher) {
		var o frozen.RunOptions
		if watched != nil {
			o.Watch = func(i int) func() { return watched(kindOf(fz, i)) }
		}
		runner, _ = fz.Runner(o) // the one above had no error
	}
	return w, nil
}

// kindOf names what a layer computes and with what.
func kindOf(n *frozen.Network, layer int) string {
	l := &n.Layers[layer]
	what := l.Op.Kind()
	if l.Act != nil {
		what += ", " + l.Act.Kind()
	}
	return fmt.Sprintf("%s (%v)", what, n.Mode(layer))
}

// forwardWork is the float network on one batch, without gradients and with the running
// statistics of its batch normalisations.
func (n network) forwardWork() (work, error) {
	fast, err := qat.Optimize(n.g, n.outputs...)
	if err != nil {
		return work{}, err
	}
	return inference(n.data(fast.InputNodes(), random()), fast.Predict), nil
}

// inference runs a network on x again and again.
func inference(x [][]float32, run func(...[]float32) ([][]float32, error)) work {
	var last [][]float32
	step := func() error {
		out, err := run(x...)
		if err != nil {
			return err
		}
		if last != nil && !equalAll(last, out) {
			return errors.New("two runs on the same input differ")
		}
		last = out
		return nil
	}
	return work{step: step, close: func() {}}
}
