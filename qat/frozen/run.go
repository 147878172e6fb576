package frozen

// This file says in which order a network runs.

import (
	"fmt"
	"slices"
	"strings"

	"github.com/goqat/goqat/internal/nn"
)

// RunOptions are settings of a [Runner]. The zero value is what Run uses.
type RunOptions struct {
	// Threads is the most goroutines that compute at a time, and never more than
	// GOMAXPROCS; 0: GOMAXPROCS. Layers in mode Float do not heed it.
	Threads int
	// Watch, unless nil, is called before each layer is computed, with its index in
	// Layers, and what it returns right after that: to time layers or to label a profile.
	// Runs at the same time call it at the same time.
	Watch func(layer int) (done func())
}

// Runner runs a network with options. It is safe for concurrent use.
type Runner struct {
	net     *Network
	options RunOptions
}

// Runner validates and prepares the network, as the first Run does, and returns a
// Runner. Errors are those of Validate, and one for negative Threads wraps ErrInput.
func (n *Network) Runner(o RunOptions) (*Runner, error) {
	if o.Threads < 0 {
		return nil, fmt.Errorf("%w: %d threads, want at least 1, or 0 for GOMAXPROCS", ErrInput, o.Threads)
	}
	if _, err := n.prepared(); err != nil {
		return nil, err
	}
	return &Runner{n, o}, nil
}

// Run computes the outputs as [Network.Run] does, to the same bits.
func (r *Runner) Run(inputs ...[]float32) ([][]float32, error) {
	return r.net.run(r.options, inputs)
}

// Run computes the outputs, in the order of Outputs, as real values in fresh
// slices. There is one row-major slice for each of Inputs, with any whole number
// of rows where the shape has an open dimension; that number is the batch. The last
// ones may be left out where they have a Tensor.Default: it stands in every element then.
// The inputs are only read. A quantized input is rounded to its codes first, where
// NaN becomes quant_min and infinities saturate.
//
// The same rows give the same bits in any batch, with any GOMAXPROCS. Any number
// of goroutines may call Run at once. Errors wrap ErrInput or those of Validate.
// [Network.Runner] takes options.
func (n *Network) Run(inputs ...[]float32) ([][]float32, error) {
	return n.run(RunOptions{}, inputs)
}

func (n *Network) run(o RunOptions, inputs [][]float32) ([][]float32, error) {
	if _, err := n.prepared(); err != nil {
		return nil, err
	}
	inputs, err := n.trailing(inputs)
	if err != nil {
		return nil, err
	}
	s, err := n.start(inputs)
	if err != nil {
		return nil, err
	}
	s.threads, s.watch = o.Threads, o.Watch
	// A state that an internal error left half done is not used again.
	if err := n.compute(s, inputs, true); err != nil {
		return nil, err
	}
	out := make([][]float32, len(n.Outputs))
	for i, t := range n.Outputs {
		if v := &s.vals[t]; v.values != nil {
			out[i] = slices.Clone(v.values)
		} else {
			out[i] = make([]float32, len(v.codes))
			s.dequantize(out[i], v.codes, n.plan.plan.tensors[t].grid)
		}
	}
	s.drop()
	n.plan.states.Put(s)
	return out, nil
}

// withDefaults fills the inputs that are not given, at the batch of those that are.
func (n *Network) withDefaults(inputs [][]float32, given func(i int) bool) ([][]float32, error) {
	batch := 1
	for i, t := range n.Inputs {
		if !given(i) {
			if n.Tensors[t].Default == nil {
				return nil, fmt.Errorf("%w: input %q is missing: want %s", ErrInput, n.Tensors[t].Name, n.wanted())
			}
			continue
		}
		b, err := n.Tensors[t].batchOf(len(inputs[i]))
		if err != nil {
			return nil, fmt.Errorf("input %q: %w", n.Tensors[t].Name, err)
		}
		batch = max(batch, b)
	}
	shapes, err := n.shapes(batch)
	if err == nil {
		err = n.checkMemory(shapes)
	}
	if err != nil {
		return nil, err
	}
	for i, t := range n.Inputs {
		if !given(i) {
			inputs[i] = slices.Repeat([]float32{*n.Tensors[t].Default}, elements(shapes[t]))
		}
	}
	return inputs, nil
}

// trailing gives the last inputs their defaults where they are left out.
func (n *Network) trailing(inputs [][]float32) ([][]float32, error) {
	have := len(inputs)
	if have >= len(n.Inputs) {
		return inputs, nil
	}
	for _, t := range n.Inputs[have:] {
		if n.Tensors[t].Default == nil {
			return inputs, nil // batchOf says how many it wants
		}
	}
	all := append(slices.Clone(inputs), make([][]float32, len(n.Inputs)-have)...)
	return n.withDefaults(all, func(i int) bool { return i < have })
}

// wanted lists the inputs, for errors.
func (n *Network) wanted() string {
	list := make([]string, len(n.Inputs))
	for i, t := range n.Inputs {
		list[i] = fmt.Sprintf("%q %v", n.Tensors[t].Name, n.Tensors[t].Shape)
		if d := n.Tensors[t].Default; d != nil {
			list[i] += fmt.Sprintf(" (default %v)", *d)
		}
	}
	return strings.Join(list, ", ")
}

// start checks the inputs and finds a state for their batch.
func (n *Network) start(inputs [][]float32) (*state, error) {
	if _, err := n.prepared(); err != nil {
		return nil, err
	}
	batch, err := n.batchOf(inputs)
	if err != nil {
		return nil, err
	}
	s, ok := n.plan.states.Get().(*state)
	if ok && s.batch == batch {
		return s, nil
	}
	shapes, err := n.shapes(batch)
	if err == nil {
		err = n.checkMemory(shapes)
	}
	if err != nil {
		return nil, err
	}
	// Buffers of another batch would mostly be too small, or hold memory for nothing.
	return &state{batch: batch, shapes: shapes, vals: make([]value, len(n.Tensors)), products: make([]*nn.IntLayer, len(n.Layers))}, nil
}

// compute runs all layers. Without reuse, every tensor is still there afterwards.
func (n *Network) compute(s *state, inputs [][]float32, reuse bool) (err error) {
	at := -1
	defer func() {
		if p := recover(); p != nil {
			where := "inputs"
			if at >= 0 {
				where = "layer " + n.Layers[at].Name
			}
			err = fmt.Errorf("%s: internal error: %v", where, p)
		}
	}()
	p := &n.plan.plan
	for t := range s.vals {
		s.vals[t] = value{shape: s.shapes[t], codes: p.tensors[t].codes, values: p.tensors[t].values}
	}
	for i, t := range n.Inputs {
		if v := &s.vals[t]; p.tensors[t].quantized {
			v.codes, v.own = take(&s.codes, len(inputs[i])), true
			s.quantize(v.codes, inputs[i], p.tensors[t].grid)
		} else {
			v.values = inputs[i]
		}
	}
	for i := range n.Layers {
		l := &n.Layers[i]
		at = i
		if err := n.watched(s, i); err != nil {
			return l.wrap(err)
		}
		if !reuse {
			continue
		}
		for _, t := range l.Inputs {
			if p.tensors[t].last == i {
				s.release(t)
			}
		}
		if p.tensors[l.Output].last < 0 {
			s.release(l.Output)
		}
	}
	return nil
}

// watched computes layer i between the calls of the run's Watch.
func (n *Network) watched(s *state, i int) error {
	if s.watch == nil {
		return n.layer(s, i)
	}
	done := s.watch(i)
	err := n.layer(s, i)
	done()
	return err
}

// Shapes returns the shape of every tensor, by its index in Tensors, for a batch:
// the size of the inputs' open dimensions, at least 1. A network without open
// dimensions has the same shapes for every batch. Errors name the layer or the
// tensor and wrap ErrNetwork or say what does not fit.
func (n *Network) Shapes(batch int) ([][]int, error) {
	if _, err := n.prepared(); err != nil {
		return nil, err
	}
	if batch < 1 {
		return nil, fmt.Errorf("%w: batch %d, want at least 1", ErrInput, batch)
	}
	return n.shapes(batch)
}
