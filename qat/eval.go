package qat

import (
	"errors"
	"fmt"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/fakequant/fqop"
	"github.com/goqat/goqat/internal/vm"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// evaluator is the network in evaluation form for one batch size: batch
// normalisation uses its running statistics and dropout passes on.
type evaluator struct {
	e    *emitter
	m    *vm.Machine
	taps []*gorgonia.Node // results wanted after a run
}

type evalKey struct {
	batch int
	mode  fqop.Mode
}

// maxEvaluators bounds how many batch sizes keep their graph.
const maxEvaluators = 8

// evaluator returns the graph for a batch size and mode, from the cache if it is there.
func (p *plan) evaluator(batch int, mode fqop.Mode) (*evaluator, error) {
	key := evalKey{batch, mode}
	if ev := p.evals[key]; ev != nil {
		return ev, nil
	}
	ev, err := p.newEvaluator(batch, mode, nil)
	if err != nil {
		return nil, err
	}
	if len(p.evals) >= maxEvaluators {
		clear(p.evals)
	}
	p.evals[key] = ev
	return ev, nil
}

// newEvaluator builds an evaluation graph that computes the outputs and the taps
// that pick names.
func (p *plan) newEvaluator(batch int, mode fqop.Mode, pick func(*emitter) []*gorgonia.Node) (*evaluator, error) {
	e, err := p.emit(batch, mode, false, 1)
	if err != nil {
		return nil, err
	}
	ev := &evaluator{e: e}
	for _, v := range p.net.Outputs {
		ev.taps = append(ev.taps, e.nodes[v])
	}
	if pick != nil {
		ev.taps = append(ev.taps, pick(e)...)
	}
	if ev.m, err = vm.New(e.g, ev.taps...); err != nil {
		return nil, err
	}
	return ev, nil
}

// run binds the inputs, row-major float32 in the order of the network's inputs,
// and runs the graph. The tensors share the caller's memory.
func (ev *evaluator) run(inputs [][]float32) error {
	for i, v := range ev.e.p.net.Inputs {
		shape := ev.e.shapes[v]
		t := tensor.New(tensor.WithShape(shape...), tensor.WithBacking(inputs[i]))
		if err := gorgonia.Let(ev.e.raw[v], t); err != nil {
			return fmt.Errorf("input %q: %w", v.Name, err)
		}
	}
	return ev.m.RunAll()
}

// values copies a node's float32 elements.
func values(n *gorgonia.Node) ([]float32, error) {
	switch v := n.Value().(type) {
	case *gorgonia.F32:
		return []float32{float32(*v)}, nil
	case *tensor.Dense:
		if v.Dtype() != tensor.Float32 {
			break
		}
		if f, ok := v.Data().(float32); ok {
			return []float32{f}, nil
		}
		return append([]float32(nil), v.Float32s()...), nil
	}
	return nil, fmt.Errorf("node %q holds %T, want float32", n.Name(), n.Value())
}

// batchOf returns the batch size that inputs of these lengths mean.
func (p *plan) batchOf(inputs [][]float32) (int, error) {
	net := p.net
	if len(inputs) != len(net.Inputs) {
		return 0, fmt.Errorf("%d inputs, the network has %d: give one slice for each of %q", len(inputs), len(net.Inputs), names(net.Inputs))
	}
	batch := net.Batch
	for i, v := range net.Inputs {
		per := 1
		for axis, d := range v.Shape {
			if axis != v.BatchAxis || net.Batch == 0 {
				per *= d
			}
		}
		n := len(inputs[i])
		switch {
		case net.Batch == 0 || v.BatchAxis < 0:
			if n != per {
				return 0, fmt.Errorf("input %q has %d elements, want %d (shape %v)", v.Name, n, per, v.Shape)
			}
		case n == 0 || n%per != 0:
			return 0, fmt.Errorf("input %q has %d elements: want a positive multiple of %d (shape %v)", v.Name, n, per, v.Shape)
		case i > 0 && n/per != batch:
			return 0, fmt.Errorf("input %q holds a batch of %d, an earlier input one of %d: give all inputs the same batch", v.Name, n/per, batch)
		default:
			batch = n / per
		}
	}
	return batch, nil
}

// calibrate shows a batch to the observers; on an error all ranges are as they were.
func (p *plan) calibrate(inputs [][]float32) error {
	restore, err := p.checkpoint()
	if err != nil {
		return err
	}
	if _, err = p.predict(fqop.Calibrate, inputs); err != nil {
		err = errors.Join(err, restore())
	}
	return err
}

// checkpoint notes the state of all quantizers and returns what puts it back.
func (p *plan) checkpoint() (restore func() error, err error) {
	qs := p.quantizers()
	states := make([]fakequant.State, len(qs))
	for i, q := range qs {
		if states[i], err = q.State(); err != nil {
			return nil, err
		}
	}
	return func() error {
		var errs []error
		for i, q := range qs {
			errs = append(errs, q.Restore(states[i]))
		}
		return errors.Join(errs...)
	}, nil
}

// predict runs the network in evaluation form on a batch of any size and returns copies
// of the outputs.
func (p *plan) predict(mode fqop.Mode, inputs [][]float32) ([][]float32, error) {
	batch, err := p.batchOf(inputs)
	if err != nil {
		return nil, err
	}
	ev, err := p.evaluator(batch, mode)
	if err != nil {
		return nil, err
	}
	if err := ev.run(inputs); err != nil {
		return nil, err
	}
	outs := make([][]float32, len(p.net.Outputs))
	for i := range outs {
		if outs[i], err = values(ev.taps[i]); err != nil {
			return nil, err
		}
	}
	return outs, nil
}
