package frozen

// This file says how a network is called with values by name.

import (
	"fmt"
	"math"
	"slices"
)

// Value is a named tensor that goes into or comes out of [Network.Call]. Exactly one of
// the slices is set; all are row-major.
type Value struct {
	// Name is that of the network's input or output.
	Name string
	// Shape has no open dimension. Nil for an input means the declared shape, at the
	// batch that the number of elements gives.
	Shape []int
	// Float32 are real numbers. Outputs have these.
	Float32 []float32
	// Int32 and Int64 are whole numbers: indices, token numbers, masks. The network
	// computes with float32, so they must lie within ±2²⁴.
	Int32 []int32
	Int64 []int64
}

// Values are the inputs or the outputs of [Network.Call], in any order.
type Values []Value

// Get returns the value of a name; false if there is none.
func (v Values) Get(name string) (Value, bool) {
	i := slices.IndexFunc(v, func(v Value) bool { return v.Name == name })
	if i < 0 {
		return Value{}, false
	}
	return v[i], true
}

// Call is [Network.Run] by name: it takes one value for each input that has no
// Tensor.Default and returns one float32 value for each output, in the order of Outputs,
// with its shape. It gives Run's bits. The values are only read; what comes back belongs
// to the caller.
//
// A name that no input has, one given twice, one that is missing, a wrong shape or
// element type, and whole numbers beyond ±2²⁴ are errors that wrap ErrInput, name the
// input and say what the network wants. Other errors are those of Run.
func (n *Network) Call(in Values) (Values, error) { return n.call(RunOptions{}, in) }

// Call computes the outputs as [Network.Call] does, to the same bits.
func (r *Runner) Call(in Values) (Values, error) { return r.net.call(r.options, in) }

func (n *Network) call(o RunOptions, in Values) (Values, error) {
	if _, err := n.prepared(); err != nil {
		return nil, err
	}
	inputs, err := n.byName(in)
	if err != nil {
		return nil, err
	}
	batch, err := n.batchOf(inputs)
	if err != nil {
		return nil, err
	}
	results, err := n.run(o, inputs)
	if err != nil {
		return nil, err
	}
	shapes, err := n.shapes(batch)
	if err != nil {
		return nil, err
	}
	out := make(Values, len(results))
	for i, t := range n.Outputs {
		out[i] = Value{Name: n.Tensors[t].Name, Shape: shapes[t], Float32: results[i]}
	}
	return out, nil
}

// byName brings values into the order of Inputs, as float32 and with defaults filled in.
func (n *Network) byName(in Values) ([][]float32, error) {
	inputs := make([][]float32, len(n.Inputs))
	given := make([]bool, len(n.Inputs))
	for _, v := range in {
		i := slices.IndexFunc(n.Inputs, func(t int) bool { return n.Tensors[t].Name == v.Name })
		if i < 0 {
			return nil, fmt.Errorf("%w: no input %q: want %s", ErrInput, v.Name, n.wanted())
		}
		if given[i] {
			return nil, fmt.Errorf("%w: input %q is given twice: want %s", ErrInput, v.Name, n.wanted())
		}
		x, err := v.float32s()
		if err == nil {
			err = n.Tensors[n.Inputs[i]].accepts(v.Shape, len(x))
		}
		if err != nil {
			return nil, fmt.Errorf("%w: input %q: %w", ErrInput, v.Name, err)
		}
		inputs[i], given[i] = x, true
	}
	return n.withDefaults(inputs, func(i int) bool { return given[i] })
}

// accepts compares the shape of a value of count elements with that of an input.
func (t *Tensor) accepts(shape []int, count int) error {
	if shape == nil {
		return nil // batchOf compares the number of elements
	}
	ok, size := len(shape) == len(t.Shape), 1
	for i := 0; ok && i < len(shape); i++ {
		ok = shape[i] > 0 && (t.Shape[i] == -1 || t.Shape[i] == shape[i]) && size <= math.MaxInt/shape[i]
		if ok {
			size *= shape[i]
		}
	}
	if !ok {
		return fmt.Errorf("shape %v, want %v (-1 is the batch)", shape, t.Shape)
	}
	if count != size {
		return fmt.Errorf("%d numbers for shape %v, want %d", count, shape, size)
	}
	return nil
}

// maxWhole is the magnitude up to which float32 has every whole number: 2²⁴.
const maxWhole = 1 << 24

// float32s returns the numbers of a value as the network takes them.
func (v Value) float32s() ([]float32, error) {
	set := 0
	for _, given := range []bool{v.Float32 != nil, v.Int32 != nil, v.Int64 != nil} {
		if given {
			set++
		}
	}
	switch {
	case set != 1:
		return nil, fmt.Errorf("%d of Float32, Int32 and Int64 are set, want one", set)
	case v.Int32 != nil:
		return whole(v.Int32)
	case v.Int64 != nil:
		return whole(v.Int64)
	}
	return v.Float32, nil
}

func whole[T int32 | int64](x []T) ([]float32, error) {
	out := make([]float32, len(x))
	for i, v := range x {
		if v > maxWhole || v < -maxWhole {
			return nil, fmt.Errorf("element %d is %d: float32 has every whole number only up to %d", i, v, maxWhole)
		}
		out[i] = float32(v)
	}
	return out, nil
}
