package plan

// This file says how the network runs outside training, on batches of any size.

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/fakequant/fqop"
	"github.com/goqat/goqat/internal/graph"
	"github.com/goqat/goqat/internal/vm"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// MaxEvaluators bounds how many batch sizes keep their graph.
const MaxEvaluators = 8

// evaluator returns the graph for a batch size and mode, from the cache if it is there.
func (p *Plan) evaluator(batch int, mode fqop.Mode) (*Evaluator, error) {
	key := evalKey{batch, mode}
	if ev := p.Evals[key]; ev != nil {
		return ev, nil
	}
	ev, err := p.NewEvaluator(batch, mode, nil)
	if err != nil {
		return nil, err
	}
	if len(p.Evals) >= MaxEvaluators {
		clear(p.Evals)
	}
	p.Evals[key] = ev
	return ev, nil
}

// NewEvaluator builds an evaluation graph that computes the outputs and the taps
// that pick names.
func (p *Plan) NewEvaluator(batch int, mode fqop.Mode, pick func(*Emitter) []*gorgonia.Node) (*Evaluator, error) {
	e, err := p.Emit(batch, mode, false, 1)
	if err != nil {
		return nil, err
	}
	ev := &Evaluator{Emitter: e}
	for _, v := range p.Net.Outputs {
		ev.taps = append(ev.taps, e.Nodes[v])
	}
	if pick != nil {
		ev.taps = append(ev.taps, pick(e)...)
	}
	if ev.machine, err = vm.New(e.Graph, ev.taps...); err != nil {
		return nil, err
	}
	return ev, nil
}

// Run binds the inputs, row-major float32 in the order of the network's inputs,
// and runs the graph. The tensors share the caller's memory.
func (ev *Evaluator) Run(inputs [][]float32) error {
	for i, v := range ev.Emitter.Plan.Net.Inputs {
		shape := ev.Emitter.shapes[v]
		t := tensor.New(tensor.WithShape(shape...), tensor.WithBacking(inputs[i]))
		if err := gorgonia.Let(ev.Emitter.Raw[v], t); err != nil {
			return fmt.Errorf("input %q: %w", v.Name, err)
		}
	}
	return ev.machine.RunAll()
}

// Floats copies a node's float32 elements.
func Floats(n *gorgonia.Node) ([]float32, error) {
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

// Fill puts the defaults of inputs, or fresh numbers where they are drawn, in the place of
// those that are nil or, at the end of the list, missing: at the batch of the others, as far
// as a default has one there.
func (p *Plan) Fill(inputs [][]float32) ([][]float32, error) {
	net := p.Net
	if len(inputs) > len(net.Inputs) {
		return inputs, nil // BatchOf says it
	}
	full := make([][]float32, len(net.Inputs))
	copy(full, inputs)
	batch := net.Batch
	for i, v := range net.Inputs {
		if per := p.perBatch(v); full[i] != nil && net.Batch > 0 && v.BatchAxis >= 0 && len(full[i])%per == 0 {
			batch = len(full[i]) / per
			break
		}
	}
	for i, v := range net.Inputs {
		x := v.Default()
		if full[i] == nil && v.Random != nil {
			full[i] = make([]float32, p.perBatch(v)*max(batch, 1))
			p.drawn++
			v.Random.Fill(full[i], rand.New(rand.NewPCG(uint64(i), p.drawn)))
		}
		if full[i] != nil || x == nil {
			continue
		}
		_, same := Uniform(x)
		switch {
		case net.Batch == 0 || v.BatchAxis < 0 || batch == net.Batch:
			full[i] = x
		case same:
			full[i] = slices.Repeat(x[:1], p.perBatch(v)*batch)
		default:
			return nil, fmt.Errorf("input %q: its default holds a batch of %d, the other inputs one of %d: give it", v.Name, net.Batch, batch)
		}
	}
	for len(full) > len(inputs) && full[len(full)-1] == nil {
		full = full[:len(full)-1] // BatchOf says what is missing
	}
	return full, nil
}

// Uniform returns the number that all elements of x are, if they are one.
func Uniform(x []float32) (v float32, ok bool) {
	if len(x) == 0 || slices.ContainsFunc(x, func(e float32) bool { return e != x[0] }) {
		return 0, false
	}
	return x[0], true
}

// perBatch is the number of elements of an input for a batch of 1, of all where the input
// does not grow.
func (p *Plan) perBatch(v *graph.Value) int {
	per := 1
	for axis, d := range v.Shape {
		if axis == v.BatchAxis && p.Net.Batch > 0 {
			d /= p.Net.Batch
		}
		per *= d
	}
	return per
}

// BatchOf returns the batch size that inputs of these lengths mean.
func (p *Plan) BatchOf(inputs [][]float32) (int, error) {
	net := p.Net
	if len(inputs) != len(net.Inputs) {
		return 0, fmt.Errorf("%d inputs, the network has %d: give one slice for each of %q", len(inputs), len(net.Inputs), NamesOf(net.Inputs))
	}
	batch := net.Batch
	for i, v := range net.Inputs {
		per := p.perBatch(v)
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

// Calibrate shows a batch to the observers; on an error all ranges are as they were.
func (p *Plan) Calibrate(inputs [][]float32) error {
	restore, err := p.checkpoint()
	if err != nil {
		return err
	}
	if _, err = p.Predict(fqop.Calibrate, inputs); err != nil {
		err = errors.Join(err, restore())
	}
	return err
}

// checkpoint notes the state of all quantizers and returns what puts it back.
func (p *Plan) checkpoint() (restore func() error, err error) {
	qs := p.Quantizers()
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

// Predict runs the network in evaluation form on a batch of any size and returns copies
// of the outputs.
func (p *Plan) Predict(mode fqop.Mode, inputs [][]float32) ([][]float32, error) {
	inputs, err := p.Fill(inputs)
	if err != nil {
		return nil, err
	}
	batch, err := p.BatchOf(inputs)
	if err != nil {
		return nil, err
	}
	ev, err := p.evaluator(batch, mode)
	if err != nil {
		return nil, err
	}
	if err := ev.Run(inputs); err != nil {
		return nil, err
	}
	outs := make([][]float32, len(p.Net.Outputs))
	for i := range outs {
		if outs[i], err = Floats(ev.taps[i]); err != nil {
			return nil, err
		}
	}
	return outs, nil
}
