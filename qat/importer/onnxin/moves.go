package onnxin

import (
	"fmt"
	"math"
	"slices"

	"github.com/goqat/goqat/internal/nn"
	"github.com/goqat/goqat/internal/onnxpb"
	"gorgonia.org/gorgonia"
)

// alias makes v the result of a node that passes it on.
func (b *builder) alias(n *node, v *value) error {
	if v == nil || len(n.pb.Output) == 0 {
		return fmt.Errorf("%w: no operand or no output", ErrFormat)
	}
	b.values[n.pb.Output[0]] = v
	return nil
}

// identity passes its operand on. A parameter gets a twin with a name and memory of its
// own: exporters put parameters that happen to be equal into one initializer, and
// training would tie them together for good.
func identity(n *node) error {
	if err := n.arity(1, 1); err != nil {
		return err
	}
	v := n.in[0]
	if v == nil || !v.isParam() {
		return n.b.alias(n, v)
	}
	c, err := n.b.constant(v)
	if err != nil {
		return err
	}
	if n.b.spend(c.size()) != nil {
		return n.b.alias(n, v) // large, so rather shared than too much memory
	}
	return n.setValue(0, &value{t: v.t, init: true, c: &constant{shape: c.shape, float: true, f: slices.Clone(c.f)}})
}

// cast between floats, and from whole numbers to floats, changes nothing in float32.
func cast(n *node) error {
	if err := n.arity(1, 1); err != nil {
		return err
	}
	to := dataType(n.int("to", 0))
	if bits[to] == 0 {
		return fmt.Errorf("%w: cast to %v", ErrUnsupported, to)
	}
	return n.castTo(to)
}

// castLike casts to the type of operand 1, as far as that is known: goqat keeps floats and
// whole numbers apart, and truth values only in files.
func castLike(n *node) error {
	if err := n.arity(2, 2); err != nil {
		return err
	}
	to, err := n.typeOf(1)
	if err != nil {
		return err
	}
	return n.castTo(to)
}

// typeOf is the type of operand i: float and int64 stand for all floats and whole numbers.
func (n *node) typeOf(i int) (dataType, error) {
	v := n.operand(i)
	switch {
	case v == nil:
		return 0, fmt.Errorf("%w: an operand is missing", ErrFormat)
	case v.t != nil:
		return dataType(v.t.GetDataType()), nil
	case v.c != nil && v.c.float, v.n != nil && !v.whole:
		return onnxpb.TensorProto_FLOAT, nil
	}
	return onnxpb.TensorProto_INT64, nil
}

func (n *node) castTo(to dataType) error {
	x, err := n.data(0)
	if err != nil {
		return err
	}
	if to == onnxpb.TensorProto_BOOL {
		y, err := n.apply(nn.Binary{Fn: "not_equal"}, x, n.single(0))
		return n.setTruth(y, err)
	}
	whole := n.in[0].whole
	if !isFloatType(to) && !whole {
		return fmt.Errorf("%w: cast of floats that depend on an input to %v", ErrUnsupported, to)
	}
	return n.setValue(0, &value{n: x, whole: !isFloatType(to)})
}

// reshaped gives operand 0 another shape.
func (n *node) reshaped(x *gorgonia.Node, shape []int) error {
	if slices.Equal([]int(x.Shape()), shape) {
		return n.b.alias(n, n.in[0])
	}
	y, err := n.apply(nn.Reshape{Shape: shape}, x)
	return n.set(0, y, err)
}

func reshape(n *node) error {
	if err := n.arity(1, 2); err != nil {
		return err
	}
	x, err := n.data(0)
	if err != nil {
		return err
	}
	shape, err := n.newShape(x.Shape())
	if err != nil {
		return err
	}
	return n.reshaped(x, shape)
}

// newShape resolves the shape that a Reshape asks for: 0 copies a dimension, -1 takes
// what is left.
func (n *node) newShape(from []int) ([]int, error) {
	shape, err := n.list(1, "shape")
	if err != nil {
		return nil, err
	}
	if err := checkRank(len(shape)); err != nil {
		return nil, err
	}
	shape = slices.Clone(shape)
	open, rest := -1, product(from)
	for i, d := range shape {
		if d == 0 && n.int("allowzero", 0) == 0 {
			if i >= len(from) {
				return nil, fmt.Errorf("%w: shape %v copies dimension %d of shape %v", ErrFormat, shape, i, from)
			}
			shape[i] = from[i]
		}
		switch d = shape[i]; {
		case d == -1 && open < 0:
			open = i
			continue
		case d < 0:
			return nil, fmt.Errorf("%w: shape %v", ErrFormat, shape)
		case d > 0 && rest%d == 0:
			rest /= d
		case d != rest: // 0 elements in 0 elements is fine
			return nil, fmt.Errorf("%w: shape %v does not hold the elements of shape %v", ErrFormat, shape, from)
		}
	}
	if open >= 0 {
		shape[open] = rest
	} else if product(shape) != product(from) {
		return nil, fmt.Errorf("%w: shape %v does not hold the elements of shape %v", ErrFormat, shape, from)
	}
	if shape == nil {
		shape = []int{}
	}
	return shape, nil
}

func flatten(n *node) error {
	in, err := n.all(1, 1)
	if err != nil {
		return err
	}
	shape := []int(in[0].Shape())
	at := n.int("axis", 1)
	if at < 0 {
		at += len(shape)
	}
	if at < 0 || at > len(shape) {
		return fmt.Errorf("%w: axis %d of shape %v", ErrFormat, at, shape)
	}
	return n.reshaped(in[0], []int{product(shape[:at]), product(shape[at:])})
}

func transpose(n *node) error {
	in, err := n.all(1, 1)
	if err != nil {
		return err
	}
	perm := n.perm(in[0].Shape().Dims())
	y, err := n.apply(nn.Transpose{Perm: perm}, in[0])
	if err == nil && slices.Equal(perm, []int{1, 0}) {
		n.b.transposed[y] = in[0]
	}
	return n.set(0, y, err)
}

// perm is the permutation, by default the axes in reverse.
func (n *node) perm(rank int) []int {
	p := n.ints("perm")
	if p == nil {
		p = make([]int, min(rank, math.MaxUint8))
		for i := range p {
			p[i] = len(p) - 1 - i
		}
	}
	return p
}

func squeeze(n *node) error {
	if err := n.arity(1, 2); err != nil {
		return err
	}
	x, err := n.data(0)
	if err != nil {
		return err
	}
	shape, err := n.squeezed(x.Shape())
	if err != nil {
		return err
	}
	return n.reshaped(x, shape)
}

// squeezed drops axes of size 1: those named, or all.
func (n *node) squeezed(from []int) ([]int, error) {
	list, err := n.list(1, "axes")
	if err != nil {
		return nil, err
	}
	if list, err = axes(list, len(from)); err != nil {
		return nil, err
	}
	shape := []int{}
	for i, d := range from {
		named := slices.Contains(list, i)
		if named && d != 1 {
			return nil, fmt.Errorf("%w: axis %d of shape %v is not of size 1", ErrFormat, i, from)
		}
		if !named && (len(list) > 0 || d != 1) {
			shape = append(shape, d)
		}
	}
	return shape, nil
}

func unsqueeze(n *node) error {
	if err := n.arity(1, 2); err != nil {
		return err
	}
	x, err := n.data(0)
	if err != nil {
		return err
	}
	shape, err := n.unsqueezed(x.Shape())
	if err != nil {
		return err
	}
	return n.reshaped(x, shape)
}

func (n *node) unsqueezed(from []int) ([]int, error) {
	list, err := n.list(1, "axes")
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%w: no axes", ErrFormat)
	}
	rank := len(from) + len(list)
	if list, err = axes(list, rank); err != nil {
		return nil, err
	}
	shape := slices.Clone(from)
	for _, a := range list {
		shape = slices.Insert(shape, a, 1)
	}
	return shape, nil
}

func concat(n *node) error {
	in, err := n.all(1, math.MaxInt)
	if err != nil {
		return err
	}
	at, err := axis(n.int("axis", math.MaxInt32), in[0].Shape().Dims())
	if err != nil {
		return err
	}
	y, err := n.apply(nn.Concat{Axis: at}, in...)
	return n.set(0, y, err)
}
