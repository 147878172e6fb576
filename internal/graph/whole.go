package graph

import (
	"fmt"

	"github.com/goqat/goqat/internal/nn"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// Which whole numbers are part of a network? Those that name rows of a table: leaves, and
// what only moves their elements. In the network they are float32, which has every whole
// number up to maxWhole.

// maxWhole is the magnitude up to which float32 has every whole number: 2^24.
const maxWhole = 1 << 24

// IsWhole reports whether nodes of a type can be indices.
func IsWhole(dt tensor.Dtype) bool {
	return dt == tensor.Int || dt == tensor.Int32 || dt == tensor.Int64
}

// checkWhole refuses nodes that compute with whole numbers.
func (r *reader) checkWhole(outputs []*gorgonia.Node) error {
	for _, n := range r.order {
		m := r.found[n]
		if m == nil || !IsWhole(n.Dtype()) || isLeaf(n) || isConst(n) || m.alias {
			continue
		}
		if kind := r.kindOf(m); kind == nil || !nn.TraitsOf(kind).Moves {
			return fmt.Errorf("graph: node %v computes with %v (leaf %s): goqat takes whole numbers as indices of ByIndices only; compute it outside the network, or make it float32", n.Op(), n.Dtype(), r.leafBelow(n))
		}
	}
	for _, n := range outputs {
		if IsWhole(n.Dtype()) {
			return fmt.Errorf("graph: output %s is %v: give a float32 result", n.Name(), n.Dtype())
		}
	}
	return nil
}

// leafBelow names the first leaf that a node is computed from.
func (r *reader) leafBelow(n *gorgonia.Node) string {
	for len(r.kids[n]) > 0 {
		n = r.kids[n][0]
	}
	return n.Name()
}

// byIndices reads ByIndices. Its indices are a vector, or what Gorgonia takes for one.
func (r *reader) byIndices(n *gorgonia.Node) *match {
	f := fieldsOf(n.Op())
	axis := f.int("axis")
	if f.err != nil || len(r.kids[n]) != 2 {
		return nil
	}
	return &match{out: n, args: r.kids[n], wrong: wrongPick(axis, n.Dims()), emit: func(e *emitter, in []*Value) (*Value, error) {
		at, err := e.reshape(in[1], product(in[1].Shape))
		if err != nil {
			return nil, err
		}
		return e.layer(nn.Gather{Axis: axis}, in[0], at)
	}}
}

// order reports whether whole numbers are those from 0 on, each once: an order of rows that
// a program keeps, where other values are rather the data of a step.
func order(x []float32) bool {
	seen := make([]bool, len(x))
	for _, v := range x {
		if v < 0 || int(v) >= len(x) || seen[int(v)] {
			return false
		}
		seen[int(v)] = true
	}
	return true
}

// wholes reads whole numbers of a Gorgonia value as float32.
func wholes(v *tensor.Dense) ([]float32, error) {
	switch x := v.Data().(type) {
	case []int:
		return asFloats(x)
	case []int32:
		return asFloats(x)
	case []int64:
		return asFloats(x)
	case int:
		return asFloats([]int{x})
	case int32:
		return asFloats([]int32{x})
	case int64:
		return asFloats([]int64{x})
	}
	return nil, fmt.Errorf("it holds %v: use float32, or int for indices", v.Dtype())
}

func asFloats[T int | int32 | int64](x []T) ([]float32, error) {
	out := make([]float32, len(x))
	for i, v := range x {
		if v > maxWhole || v < -maxWhole {
			return nil, fmt.Errorf("element %d is %d: float32 has every whole number only up to %d", i, v, maxWhole)
		}
		out[i] = float32(v)
	}
	return out, nil
}
