package onnxin

import (
	"fmt"
	"math"
	"slices"
)

func foldTranspose(n *node) (*constant, error) {
	c, err := n.known(0)
	if err != nil {
		return nil, err
	}
	perm, own := n.perm(len(c.shape)), stridesOf(c.shape)
	if _, err := axes(perm, len(c.shape)); err != nil || len(perm) != len(c.shape) || slices.Min(append(slices.Clone(perm), 0)) < 0 {
		return nil, fmt.Errorf("%w: permutation %v of shape %v", ErrFormat, perm, c.shape)
	}
	shape, strides := make([]int, len(perm)), make([]int, len(perm))
	for i, p := range perm {
		shape[i], strides[i] = c.shape[p], own[p]
	}
	return n.copied(c, shape, func(i int) int { return strided(i, shape, strides) })
}

func foldConcat(n *node) (*constant, error) {
	first, err := n.known(0)
	if err != nil {
		return nil, err
	}
	at, err := axis(n.int("axis", math.MaxInt32), len(first.shape))
	if err != nil {
		return nil, err
	}
	shape := slices.Clone(first.shape)
	shape[at] = 0
	var parts []*constant
	for i := range n.in {
		c, err := n.known(i)
		if err != nil {
			return nil, err
		}
		if len(c.shape) != len(shape) || c.float != first.float {
			return nil, fmt.Errorf("%w: shape %v does not join shape %v", ErrFormat, c.shape, first.shape)
		}
		for a, d := range c.shape {
			if a != at && d != shape[a] {
				return nil, fmt.Errorf("%w: shape %v does not join shape %v", ErrFormat, c.shape, first.shape)
			}
		}
		shape[at] += c.shape[at]
		parts = append(parts, c)
	}
	out, err := n.newConstant(first.float, shape)
	if err != nil {
		return nil, err
	}
	row, offset := product(shape[at:]), 0
	for _, c := range parts {
		run := product(c.shape[at:])
		for k := 0; run > 0 && k < c.size()/run; k++ {
			if c.float {
				copy(out.f[k*row+offset:], c.f[k*run:][:run])
			} else {
				copy(out.i[k*row+offset:], c.i[k*run:][:run])
			}
		}
		offset += run
	}
	return out, nil
}

func foldSlice(n *node) (*constant, error) {
	c, err := n.known(0)
	if err != nil {
		return nil, err
	}
	parts, err := n.spans(c.shape)
	if err != nil {
		return nil, err
	}
	shape, strides, start := slices.Clone(c.shape), stridesOf(c.shape), 0
	for _, s := range parts {
		start += s.start * strides[s.axis]
		// A step beyond the axis takes one element; the product must not overflow.
		strides[s.axis] *= min(max(s.step, -c.shape[s.axis]), c.shape[s.axis])
		shape[s.axis] = s.count
	}
	return n.copied(c, shape, func(i int) int { return start + strided(i, shape, strides) })
}

func foldGather(n *node) (*constant, error) {
	if err := n.arity(2, 2); err != nil {
		return nil, err
	}
	c, err := n.known(0)
	if err != nil {
		return nil, err
	}
	idx, err := n.known(1)
	if err != nil {
		return nil, err
	}
	at, err := axis(n.int("axis", 0), len(c.shape))
	if err != nil {
		return nil, err
	}
	size := c.shape[at]
	for _, v := range idx.i {
		if v < int64(-size) || v >= int64(size) {
			return nil, fmt.Errorf("%w: index %d of an axis of %d", ErrFormat, v, size)
		}
	}
	if idx.float {
		return nil, fmt.Errorf("%w: indices are not whole numbers", ErrFormat)
	}
	shape := slices.Concat(c.shape[:at], idx.shape, c.shape[at+1:])
	inner, rows := product(c.shape[at+1:]), len(idx.i)
	return n.copied(c, shape, func(i int) int {
		row := int(idx.i[i/inner%rows])
		if row < 0 {
			row += size
		}
		return (i/inner/rows*size+row)*inner + i%inner
	})
}

func foldExpand(n *node) (*constant, error) {
	if err := n.arity(2, 2); err != nil {
		return nil, err
	}
	c, err := n.known(0)
	if err != nil {
		return nil, err
	}
	want, err := n.list(1, "")
	if err != nil {
		return nil, err
	}
	if err := checkRank(len(want)); err != nil {
		return nil, err
	}
	shape, err := broadcast(c.shape, want)
	if err != nil {
		return nil, err
	}
	strides := repeating(c.shape, shape)
	return n.copied(c, shape, func(i int) int { return strided(i, shape, strides) })
}

func foldTile(n *node) (*constant, error) {
	if err := n.arity(2, 2); err != nil {
		return nil, err
	}
	c, err := n.known(0)
	if err != nil {
		return nil, err
	}
	repeats, err := n.repeats(c.shape)
	if err != nil {
		return nil, err
	}
	shape, own := slices.Clone(c.shape), stridesOf(c.shape)
	for a, r := range repeats {
		if r < 0 || r > maxExact {
			return nil, fmt.Errorf("%w: repeats %v", ErrFormat, repeats)
		}
		shape[a] = product([]int{shape[a], r})
	}
	return n.copied(c, shape, func(i int) int {
		at := 0
		for a := len(shape) - 1; a >= 0; a-- {
			at += i % shape[a] % c.shape[a] * own[a]
			i /= shape[a]
		}
		return at
	})
}

func foldWhere(n *node) (*constant, error) {
	if err := n.arity(3, 3); err != nil {
		return nil, err
	}
	var in [3]*constant
	for i := range in {
		var err error
		if in[i], err = n.known(i); err != nil {
			return nil, err
		}
	}
	if in[0].float || in[1].float != in[2].float {
		return nil, fmt.Errorf("%w: the condition must be truth values, the choices of one type", ErrFormat)
	}
	shape, err := broadcast(in[0].shape, in[1].shape, in[2].shape)
	if err != nil {
		return nil, err
	}
	out, err := n.newConstant(in[1].float, shape)
	if err != nil {
		return nil, err
	}
	var strides [3][]int
	for i, c := range in {
		strides[i] = repeating(c.shape, shape)
	}
	for i := range out.size() {
		pick := 2
		if in[0].i[strided(i, shape, strides[0])] != 0 {
			pick = 1
		}
		if at := strided(i, shape, strides[pick]); out.float {
			out.f[i] = in[pick].f[at]
		} else {
			out.i[i] = in[pick].i[at]
		}
	}
	return out, nil
}

// foldReduce adds, multiplies or compares all elements along axes.
func foldReduce(n *node) (*constant, error) {
	c, err := n.known(0)
	if err != nil {
		return nil, err
	}
	over, err := n.reduceAxes(len(c.shape))
	if err != nil {
		return nil, err
	}
	if c.size() == 0 && n.op != "ReduceProd" && n.op != "ReduceSum" {
		return nil, fmt.Errorf("%w: nothing to compare in shape %v", ErrFormat, c.shape)
	}
	kept, dropped := slices.Clone(c.shape), []int{}
	for a, d := range c.shape {
		if slices.Contains(over, a) {
			kept[a] = 1
		} else {
			dropped = append(dropped, d)
		}
	}
	out, err := n.newConstant(c.float, kept)
	if err != nil {
		return nil, err
	}
	fn := arithmetic[map[string]string{"ReduceProd": "Mul", "ReduceSum": "Add", "ReduceMax": "Max", "ReduceMin": "Min"}[n.op]]
	seen, strides := make([]bool, out.size()), repeating(kept, c.shape)
	if n.op == "ReduceProd" { // of nothing
		for i := range out.f {
			out.f[i] = 1
		}
		for i := range out.i {
			out.i[i] = 1
		}
	}
	for i := range c.size() {
		switch at := strided(i, c.shape, strides); {
		case c.float && seen[at]:
			out.f[at] = fn.floats(out.f[at], c.f[i])
		case c.float:
			out.f[at] = c.f[i]
			seen[at] = true
		case seen[at]:
			if out.i[at], err = fn.ints(out.i[at], c.i[i]); err != nil {
				return nil, err
			}
		default:
			out.i[at] = c.i[i]
			seen[at] = true
		}
	}
	if n.int("keepdims", 1) == 0 {
		out.shape = dropped
	}
	return out, nil
}
