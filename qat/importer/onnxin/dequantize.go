package onnxin

// How do weights that a file holds as codes become floats?

import (
	"fmt"
	"slices"
)

// errQuantized refuses activations that the file rounds.
var errQuantized = fmt.Errorf("%w operator of a quantized model: Read wants float ones with weights that may be codes, ReadFrozen reads the quantized ones that goqat wrote", ErrUnsupported)

// dequantize makes weights of codes, (code - zero point)·scale, which are parameters as any
// others are: that is how files with quantized weights alone look.
func dequantize(n *node) error {
	if err := n.arity(2, 3); err != nil {
		return err
	}
	if v := n.in[0]; v == nil || !v.known() {
		return errQuantized
	}
	codes, err := n.known(0)
	if err != nil {
		return err
	}
	scale, err := n.known(1)
	if err != nil {
		return err
	}
	zero := &constant{shape: scale.shape, i: make([]int64, scale.size())}
	if n.operand(2) != nil {
		if zero, err = n.known(2); err != nil {
			return err
		}
	}
	if codes.float || !scale.float || zero.float {
		return fmt.Errorf("%w: codes and zero points must be whole numbers, scales floats", ErrUnsupported)
	}
	if !slices.Equal(zero.shape, scale.shape) && !(zero.size() == 1 && scale.size() == 1) {
		return fmt.Errorf("%w: zero points of shape %v for scales of shape %v", ErrFormat, zero.shape, scale.shape)
	}
	of, err := n.grids(codes.shape, scale.shape)
	if err != nil {
		return err
	}
	out, err := n.newConstant(true, codes.shape)
	if err != nil {
		return err
	}
	for i, q := range codes.i {
		g := of(i)
		out.f[i] = float32(q-zero.i[g]) * scale.f[g]
	}
	return n.setValue(0, &value{c: out, init: true})
}

// grids tells which scale an element has: one for all, one for each place along an axis, or
// one for each block of an axis.
func (n *node) grids(shape, scales []int) (func(i int) int, error) {
	if product(scales) == 1 && len(scales) <= 1 {
		return func(int) int { return 0 }, nil
	}
	at, err := axis(n.int("axis", 1), len(shape))
	if err != nil {
		return nil, err
	}
	block := n.int("block_size", 0)
	want := slices.Clone(shape)
	switch {
	case block < 0:
		return nil, fmt.Errorf("%w: block_size %d", ErrFormat, block)
	case block == 0:
		want = shape[at : at+1]
	default:
		want[at] = (shape[at]-1)/block + 1
	}
	if !slices.Equal(scales, want) {
		return nil, fmt.Errorf("%w: scales of shape %v for codes of shape %v along axis %d in blocks of %d: want %v", ErrFormat, scales, shape, at, block, want)
	}
	if block == 0 {
		inner := product(shape[at+1:])
		return func(i int) int { return i / inner % shape[at] }, nil
	}
	strides := stridesOf(want)
	return func(i int) int {
		g := 0
		for a := len(shape) - 1; a >= 0; a-- {
			k := i % shape[a]
			if a == at {
				k /= block
			}
			g, i = g+k*strides[a], i/shape[a]
		}
		return g
	}, nil
}
