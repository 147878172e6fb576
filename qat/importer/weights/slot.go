package weights

import (
	"fmt"
	"strings"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// slot is where a tensor goes: memory that is there, or a node that will get a value.
// Exactly one of f32, f64, s32, s64 and node says where.
type slot struct {
	name  string
	shape []int
	f32   []float32
	f64   []float64
	s32   *gorgonia.F32  // Gorgonia's scalars
	s64   *gorgonia.F64  //
	node  *gorgonia.Node // has no value yet
	wide  bool           // node is of float64
}

// double reports whether the slot holds float64.
func (s *slot) double() bool { return s.f64 != nil || s.s64 != nil || s.node != nil && s.wide }

// Leaves returns the named leaves of a graph that may be parameters, in the order in
// which they were made: variables of float32 or float64, without the given nodes, such
// as inputs and labels, which nothing in the graph tells from parameters. Constants are
// not among them.
func Leaves(g *gorgonia.ExprGraph, except ...*gorgonia.Node) gorgonia.Nodes {
	var out gorgonia.Nodes
	if g == nil {
		return nil
	}
	for _, n := range g.Inputs() {
		if !unnamed(n) && floats(n) && n.IsVar() && !gorgonia.Nodes(except).Contains(n) {
			out = append(out, n)
		}
	}
	return out
}

// unnamed reports whether a leaf has no name: Name then spells out its operation,
// which it has not.
func unnamed(n *gorgonia.Node) bool { return strings.HasPrefix(n.Name(), "%!s(<nil>)") }

// floats reports whether a node holds float32 or float64.
func floats(n *gorgonia.Node) (ok bool) {
	defer func() { _ = recover() }() // Dtype panics for types that are no tensor's
	d := n.Dtype()
	return d == tensor.Float32 || d == tensor.Float64
}

// slotsOf returns the slots of nodes by name. Errors wrap ErrNodes and name the node.
func slotsOf(nodes gorgonia.Nodes) (map[string]*slot, error) {
	out := make(map[string]*slot, len(nodes))
	for i, n := range nodes {
		switch {
		case n == nil:
			return nil, fmt.Errorf("%w: node %d is nil", ErrNodes, i)
		case !n.IsVar():
			return nil, fmt.Errorf("%w: node %q is computed or constant: want leaves of the graph", ErrNodes, n.Name())
		case unnamed(n):
			return nil, fmt.Errorf("%w: node %d, of shape %v, has no name: make it with gorgonia.WithName", ErrNodes, i, n.Shape())
		case out[n.Name()] != nil:
			return nil, fmt.Errorf("%w: two nodes have the name %q: rename one, or load them one after the other", ErrNodes, n.Name())
		case !floats(n):
			return nil, fmt.Errorf("%w: node %q is of %v: want float32 or float64", ErrNodes, n.Name(), n.Type())
		}
		s, err := slotOf(n)
		if err != nil {
			return nil, fmt.Errorf("%w: node %q: %w", ErrNodes, n.Name(), err)
		}
		out[s.name] = s
	}
	return out, nil
}

// slotOf returns the memory of a leaf.
func slotOf(n *gorgonia.Node) (*slot, error) {
	s := &slot{name: n.Name(), shape: append([]int{}, n.Shape()...)}
	switch v := n.Value().(type) {
	case nil:
		s.node, s.wide = n, n.Dtype() == tensor.Float64
	case *gorgonia.F32:
		s.s32 = v
	case *gorgonia.F64:
		s.s64 = v
	case *tensor.Dense:
		if v.RequiresIterator() || v.DataOrder().IsColMajor() || !v.IsNativelyAccessible() {
			return nil, fmt.Errorf("its value of shape %v does not lie row by row in memory: Let it a copy", v.Shape())
		}
		if !v.Shape().Eq(n.Shape()) {
			return nil, fmt.Errorf("its value has shape %v, the node %v", v.Shape(), n.Shape())
		}
		return s, s.dense(v)
	default:
		return nil, fmt.Errorf("its value is a %T: want a dense tensor", v)
	}
	return s, nil
}

func (s *slot) dense(v *tensor.Dense) error {
	switch data := v.Data().(type) {
	case []float32:
		s.f32 = data
	case []float64:
		s.f64 = data
	case float32: // a tensor of one element gives it by value
		s.f32 = v.Float32s()
	case float64:
		s.f64 = v.Float64s()
	}
	// A view of one element may have more memory behind it.
	if n := v.Shape().TotalSize(); max(len(s.f32), len(s.f64)) != n {
		return fmt.Errorf("its value of shape %v has %d elements: Let it a copy", v.Shape(), max(len(s.f32), len(s.f64)))
	}
	return nil
}

// values returns the slot's numbers, as one of two types. A node without a value is an
// error.
func (s *slot) values() (numbers, error) {
	switch {
	case s.f32 != nil:
		return numbers{f32: s.f32}, nil
	case s.f64 != nil:
		return numbers{f64: s.f64}, nil
	case s.s32 != nil:
		return numbers{f32: []float32{float32(*s.s32)}}, nil
	case s.s64 != nil:
		return numbers{f64: []float64{float64(*s.s64)}}, nil
	}
	return numbers{}, fmt.Errorf("%w: node %q has no value", ErrNodes, s.name)
}

// set writes numbers of the slot's type and length. Only a node without a value can
// fail.
func (s *slot) set(v numbers) error {
	switch {
	case s.node != nil:
		return s.bind(v)
	case s.s32 != nil:
		*s.s32 = gorgonia.F32(v.f32[0])
	case s.s64 != nil:
		*s.s64 = gorgonia.F64(v.f64[0])
	default:
		copy(s.f32, v.f32)
		copy(s.f64, v.f64)
	}
	return nil
}

// bind gives the node its first value.
func (s *slot) bind(v numbers) error {
	switch {
	case len(s.shape) == 0 && s.wide:
		return gorgonia.Let(s.node, v.f64[0])
	case len(s.shape) == 0:
		return gorgonia.Let(s.node, v.f32[0])
	case s.wide:
		return gorgonia.Let(s.node, tensor.New(tensor.WithShape(s.shape...), tensor.WithBacking(v.f64)))
	}
	return gorgonia.Let(s.node, tensor.New(tensor.WithShape(s.shape...), tensor.WithBacking(v.f32)))
}
