package onnxin

import (
	"fmt"
	"math"
	"slices"

	"github.com/goqat/goqat/internal/onnxpb"
)

// newConstant is room for a result, within the budget.
func (n *node) newConstant(float bool, shape []int) (*constant, error) {
	if err := checkRank(len(shape)); err != nil {
		return nil, err
	}
	size := 1
	for _, d := range shape {
		if d < 0 {
			return nil, fmt.Errorf("%w: shape %v", ErrFormat, shape)
		}
		size = product([]int{size, d})
	}
	if err := n.b.spend(size); err != nil {
		return nil, err
	}
	c := &constant{shape: slices.Clone(shape), float: float}
	c.alloc(size)
	return c, nil
}

// copied fills a new constant with the elements of c that at picks for each position.
func (n *node) copied(c *constant, shape []int, at func(i int) int) (*constant, error) {
	out, err := n.newConstant(c.float, shape)
	if err != nil {
		return nil, err
	}
	for i := range out.size() {
		if c.float {
			out.f[i] = c.f[at(i)]
		} else {
			out.i[i] = c.i[at(i)]
		}
	}
	return out, nil
}

// same is c in another shape with as many elements; the elements are shared.
func (c *constant) same(shape []int) *constant {
	return &constant{shape: shape, float: c.float, f: c.f, i: c.i}
}

// strided returns the flat index in a tensor with the given strides for the i-th
// element of a shape.
func strided(i int, shape, strides []int) int {
	at := 0
	for a := len(shape) - 1; a >= 0; a-- {
		at += i % shape[a] * strides[a]
		i /= shape[a]
	}
	return at
}

func stridesOf(shape []int) []int {
	s, n := make([]int, len(shape)), 1
	for a := len(shape) - 1; a >= 0; a-- {
		s[a] = n
		n *= max(shape[a], 1)
	}
	return s
}

// repeating are the strides of a shape that is broadcast to a larger one.
func repeating(shape, out []int) []int {
	s, own := make([]int, len(out)), stridesOf(shape)
	for a, d := range shape {
		if d != 1 {
			s[a+len(out)-len(shape)] = own[a]
		}
	}
	return s
}

// broadcast is NumPy's.
func broadcast(shapes ...[]int) ([]int, error) {
	var out []int
	for _, s := range shapes {
		for len(out) < len(s) {
			out = slices.Insert(out, 0, 1)
		}
		for i, d := range s {
			o := &out[len(out)-len(s)+i]
			if *o != d && *o != 1 && d != 1 {
				return nil, fmt.Errorf("%w: shapes %v do not broadcast", ErrFormat, shapes)
			}
			if *o == 1 {
				*o = d
			}
		}
	}
	return out, nil
}

// shape returns the shape of operand 0, known or not.
func (n *node) shape() ([]int, error) {
	v := n.operand(0)
	switch {
	case v == nil:
		return nil, fmt.Errorf("%w: no operand", ErrFormat)
	case v.n != nil:
		shape := slices.Clone([]int(v.n.Shape()))
		for i, p := range v.pad {
			if p > 0 {
				shape[2+i%2] += p
			}
		}
		return shape, nil
	case v.c != nil:
		return slices.Clone(v.c.shape), nil
	}
	shape, _, err := shapeOf(v.t)
	return shape, err
}

func foldShape(n *node) (*constant, error) {
	shape, err := n.shape()
	if err != nil {
		return nil, err
	}
	s := newSpan(0, n.int("start", 0), n.int("end", len(shape)), 1, len(shape))
	return ints(shape[s.start:max(s.start, s.end)]...), nil
}

func foldSize(n *node) (*constant, error) {
	shape, err := n.shape()
	if err != nil {
		return nil, err
	}
	return &constant{shape: []int{}, i: []int64{int64(product(shape))}}, nil
}

func foldConstant(n *node) (*constant, error) {
	if err := n.arity(0, 0); err != nil {
		return nil, err
	}
	for name, a := range n.attrs {
		switch name {
		case "value":
			if t := a.GetT(); t != nil {
				return decode(t, n.b.files)
			}
		case "value_float":
			return &constant{shape: []int{}, float: true, f: []float32{a.GetF()}}, n.err
		case "value_int":
			return &constant{shape: []int{}, i: []int64{a.GetI()}}, n.err
		case "value_floats":
			return &constant{shape: []int{len(a.Floats)}, float: true, f: a.Floats}, nil
		case "value_ints":
			return &constant{shape: []int{len(a.Ints)}, i: a.Ints}, nil
		}
	}
	return nil, fmt.Errorf("%w: a constant without a tensor, float or int value", ErrUnsupported)
}

func foldFill(n *node) (*constant, error) {
	if err := n.arity(1, 1); err != nil {
		return nil, err
	}
	shape, err := n.list(0, "")
	if err != nil {
		return nil, err
	}
	fill := &constant{float: true, f: []float32{0}}
	if a := n.attr("value", onnxpb.AttributeProto_TENSOR); a != nil {
		if a.T == nil {
			return nil, fmt.Errorf("%w: attribute \"value\" holds no tensor", ErrFormat)
		}
		if fill, err = decode(a.T, n.b.files); err != nil {
			return nil, err
		}
	}
	if fill.size() != 1 {
		return nil, fmt.Errorf("%w: a value of shape %v, want one number", ErrFormat, fill.shape)
	}
	return n.copied(fill, shape, func(int) int { return 0 })
}

func foldRange(n *node) (*constant, error) {
	if err := n.arity(3, 3); err != nil {
		return nil, err
	}
	var v [3]float64
	for i := range v {
		var err error
		if v[i], err = n.number(i, "", 0); err != nil {
			return nil, err
		}
	}
	count := math.Ceil((v[1] - v[0]) / v[2])
	if math.IsNaN(count) || count > math.MaxInt32 {
		return nil, fmt.Errorf("%w: range from %v to %v by %v", ErrFormat, v[0], v[1], v[2])
	}
	c, err := n.newConstant(n.in[0].c.float, []int{max(0, int(count))})
	if err != nil {
		return nil, err
	}
	for i := range c.size() {
		if at := v[0] + float64(float64(i)*v[2]); c.float {
			c.f[i] = float32(at)
		} else {
			c.i[i] = int64(at)
		}
	}
	return c, nil
}

func foldCast(n *node) (*constant, error) {
	if err := n.arity(1, 2); err != nil {
		return nil, err
	}
	c, err := n.known(0)
	if err != nil {
		return nil, err
	}
	to := dataType(n.int("to", 0))
	if n.op == "CastLike" {
		if to, err = n.typeOf(1); err != nil {
			return nil, err
		}
	}
	if bits[to] == 0 {
		return nil, fmt.Errorf("%w: cast to %v", ErrUnsupported, to)
	}
	if isFloatType(to) == c.float && to != onnxpb.TensorProto_BOOL {
		return c, nil
	}
	out, err := n.newConstant(isFloatType(to), c.shape)
	if err != nil {
		return nil, err
	}
	for i := range out.size() {
		switch {
		case out.float:
			out.f[i] = float32(c.i[i])
		case to == onnxpb.TensorProto_BOOL:
			if c.float && c.f[i] != 0 || !c.float && c.i[i] != 0 {
				out.i[i] = 1
			}
		default:
			out.i[i] = truncated(float64(c.f[i]))
		}
	}
	return out, nil
}

// truncated is int64(v), without what the processor makes of numbers out of range.
func truncated(v float64) int64 {
	if v != v {
		return 0
	}
	return int64(min(max(v, -0x1p62), 0x1p62))
}

// foldNewShape gives operand 0 the shape that of computes.
func foldNewShape(n *node, of func(from []int) ([]int, error)) (*constant, error) {
	c, err := n.known(0)
	if err != nil {
		return nil, err
	}
	shape, err := of(c.shape)
	if err != nil {
		return nil, err
	}
	return c.same(shape), nil
}

func foldReshape(n *node) (*constant, error)   { return foldNewShape(n, n.newShape) }
func foldSqueeze(n *node) (*constant, error)   { return foldNewShape(n, n.squeezed) }
func foldUnsqueeze(n *node) (*constant, error) { return foldNewShape(n, n.unsqueezed) }

func foldFlatten(n *node) (*constant, error) {
	return foldNewShape(n, func(from []int) ([]int, error) {
		at := n.int("axis", 1)
		if at < 0 {
			at += len(from)
		}
		if at < 0 || at > len(from) {
			return nil, fmt.Errorf("%w: axis %d of shape %v", ErrFormat, at, from)
		}
		return []int{product(from[:at]), product(from[at:])}, nil
	})
}
