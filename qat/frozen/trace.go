package frozen

// This file says what every tensor holds after a run.

import (
	"slices"

	"github.com/goqat/goqat/internal/kern"
)

// Trace is a run with everything that happened in it: every tensor's codes or
// floats. It is what training is compared with.
type Trace struct {
	net   *Network
	index map[string]int
	vals  []value
}

// Trace runs the network as Run does and keeps every tensor. It takes much more
// memory than Run. Errors as in Run.
func (n *Network) Trace(inputs ...[]float32) (*Trace, error) {
	s, err := n.start(inputs)
	if err != nil {
		return nil, err
	}
	if err := n.compute(s, inputs, false); err != nil {
		return nil, err
	}
	t := &Trace{net: n, vals: s.vals, index: make(map[string]int)}
	for i := range n.Tensors {
		t.index[n.Tensors[i].Name] = i
	}
	for _, i := range n.Inputs {
		t.vals[i].values = slices.Clone(t.vals[i].values) // the caller's memory
	}
	return t, nil
}

// Shape returns the shape of the named tensor in this run, in a fresh slice; false
// when there is no such tensor.
func (t *Trace) Shape(name string) ([]int, bool) {
	i, ok := t.index[name]
	if !ok {
		return nil, false
	}
	return slices.Clone(t.vals[i].shape), true
}

// Codes returns the codes q of the named tensor, row-major, in a fresh slice; false
// when there is no such tensor or it is float.
func (t *Trace) Codes(name string) ([]int32, bool) {
	i, ok := t.index[name]
	if !ok || t.net.Tensors[i].Quant == nil {
		return nil, false
	}
	if t.net.Tensors[i].Const != nil {
		codes, err := t.net.Tensors[i].Codes()
		return codes, err == nil
	}
	base := t.net.plan.plan.tensors[i].base
	out := make([]int32, len(t.vals[i].codes))
	for k, c := range t.vals[i].codes {
		out[k] = int32(c) + base
	}
	return out, true
}

// Values returns the real values of the named tensor, row-major, in a fresh slice:
// its floats, or (q - zero_point) * scale of its codes; false when there is no
// such tensor.
func (t *Trace) Values(name string) ([]float32, bool) {
	i, ok := t.index[name]
	switch {
	case !ok:
		return nil, false
	case t.net.Tensors[i].Const != nil:
		v, err := t.net.Tensors[i].Values()
		return v, err == nil
	case t.net.Tensors[i].Quant == nil:
		return slices.Clone(t.vals[i].values), true
	}
	out := make([]float32, len(t.vals[i].codes))
	kern.Dequantize(out, t.vals[i].codes, t.net.plan.plan.tensors[i].grid)
	return out, true
}
