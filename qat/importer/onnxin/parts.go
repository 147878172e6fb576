package onnxin

import (
	"fmt"
	"slices"

	"github.com/goqat/goqat/internal/nn"
	"gorgonia.org/gorgonia"
)

// span is what a Slice takes along one axis.
type span struct{ axis, start, end, step, count int }

// spans reads a Slice: from operands or, before operator set 10, attributes.
func (n *node) spans(shape []int) ([]span, error) {
	var lists [4][]int
	for i, name := range []string{"starts", "ends", "axes", "steps"} {
		var err error
		if lists[i], err = n.list(i+1, name); err != nil {
			return nil, err
		}
	}
	starts, ends, which, steps := lists[0], lists[1], lists[2], lists[3]
	if which == nil {
		for i := range starts {
			which = append(which, i)
		}
	}
	if steps == nil {
		steps = slices.Repeat([]int{1}, len(starts))
	}
	if len(starts) == 0 || len(ends) != len(starts) || len(which) != len(starts) || len(steps) != len(starts) {
		return nil, fmt.Errorf("%w: starts %v, ends %v, axes %v, steps %v", ErrFormat, starts, ends, which, steps)
	}
	var out []span
	for i := range starts {
		a, err := axis(which[i], len(shape))
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(out, func(s span) bool { return s.axis == a }) || steps[i] == 0 {
			return nil, fmt.Errorf("%w: axes %v, steps %v: axes must differ and steps must not be 0", ErrFormat, which, steps)
		}
		out = append(out, newSpan(a, starts[i], ends[i], steps[i], shape[a]))
	}
	return out, nil
}

// newSpan counts from the end what is negative and cuts off what is outside.
func newSpan(axis, start, end, step, size int) span {
	if start < 0 {
		start += size
	}
	if end < 0 {
		end += size
	}
	s := span{axis: axis, step: step}
	if step > 0 {
		s.start, s.end = min(max(start, 0), size), min(max(end, 0), size)
		s.count = max(0, (s.end-s.start+step-1)/step)
	} else {
		s.start, s.end = min(max(start, -1), size-1), min(max(end, -1), size-1)
		s.count = max(0, (s.start-s.end-step-1)/-step)
	}
	return s
}

func slice(n *node) error {
	if err := n.arity(1, 5); err != nil {
		return err
	}
	x, err := n.data(0)
	if err != nil {
		return err
	}
	parts, err := n.spans(x.Shape())
	if err != nil {
		return err
	}
	y := x
	for _, s := range parts {
		switch size := x.Shape()[s.axis]; {
		case s.count == 0:
			return fmt.Errorf("%w: an empty slice of axis %d of shape %v", ErrUnsupported, s.axis, x.Shape())
		case s.step < 0:
			index := make([]int, s.count)
			for i := range index {
				index[i] = s.start + i*s.step
			}
			if y, err = n.taken(y, s.axis, index); err != nil {
				return err
			}
			continue
		case s.count == size && s.step == 1:
			continue
		}
		if y, err = n.apply(nn.Slice{Axis: s.axis, Start: s.start, End: s.end, Step: s.step}, y); err != nil {
			return err
		}
	}
	if y == x {
		return n.b.alias(n, n.in[0])
	}
	return n.set(0, y, nil)
}

func split(n *node) error {
	if err := n.arity(1, 2); err != nil {
		return err
	}
	x, err := n.data(0)
	if err != nil {
		return err
	}
	at, err := axis(n.int("axis", 0), x.Shape().Dims())
	if err != nil {
		return err
	}
	sizes, err := n.splitSizes(x.Shape()[at])
	if err != nil {
		return err
	}
	start := 0
	for i, size := range sizes {
		if n.b.needs(n.pb.Output[i]) {
			y, err := n.apply(nn.Slice{Axis: at, Start: start, End: start + size, Step: 1}, x)
			if err := n.setPart(i, y, err); err != nil {
				return err
			}
		}
		start += size
	}
	return nil
}

// splitSizes are the sizes of the parts; without a list they are equal but for the last.
func (n *node) splitSizes(size int) ([]int, error) {
	parts := len(n.pb.Output)
	sizes, err := n.list(1, "split")
	if err != nil {
		return nil, err
	}
	if sizes == nil {
		each := (size + parts - 1) / parts
		for range parts {
			sizes = append(sizes, min(each, size-each*len(sizes)))
		}
	}
	total := 0
	for _, s := range sizes {
		if s < 1 || s > size {
			return nil, fmt.Errorf("%w: parts %v of an axis of %d", ErrFormat, sizes, size)
		}
		total += s
	}
	if total != size || len(sizes) != parts {
		return nil, fmt.Errorf("%w: parts %v of an axis of %d for %d outputs", ErrFormat, sizes, size, parts)
	}
	return sizes, nil
}

// gather takes rows: a slice where the indices are known and evenly spaced, else a look-up.
func gather(n *node) error {
	if err := n.arity(2, 2); err != nil {
		return err
	}
	x, err := n.data(0)
	if err != nil {
		return err
	}
	at, err := axis(n.int("axis", 0), x.Shape().Dims())
	if err != nil {
		return err
	}
	if n.in[1] == nil {
		return fmt.Errorf("%w: no indices", ErrFormat)
	}
	if n.in[1].known() {
		size := x.Shape()[at]
		c, index, err := n.places(1, func(int) int { return size })
		if err != nil {
			return err
		}
		if op, even := evenly(at, index); even && len(c.shape) < 2 {
			op.Squeeze = len(c.shape) == 0
			y, err := n.apply(op, x)
			return n.setWhole(y, err)
		}
		if !n.in[0].isParam() { // a table of embeddings
			return n.gatherKnown(x, c.shape, at, index)
		}
	} else if !n.in[1].whole {
		return fmt.Errorf("%w: indices %q are not whole numbers", ErrFormat, n.in[1].name)
	}
	indices, err := n.data(1)
	if err != nil {
		return err
	}
	y, err := n.apply(nn.Gather{Axis: at}, x, indices)
	return n.setWhole(y, err)
}

// setWhole makes y a result that is whole numbers if operand 0 is.
func (n *node) setWhole(y *gorgonia.Node, err error) error {
	if err := n.set(0, y, err); err != nil {
		return err
	}
	if v := n.b.values[n.pb.Output[0]]; v != nil {
		v.whole = n.in[0].whole
	}
	return nil
}

// expand repeats along axes of size 1 by multiplying with ones.
func expand(n *node) error {
	if err := n.arity(2, 2); err != nil {
		return err
	}
	x, err := n.data(0)
	if err != nil {
		return err
	}
	want, err := n.list(1, "")
	if err != nil {
		return err
	}
	if err := checkRank(len(want)); err != nil {
		return err
	}
	// Where x has its full size a 1 will do, which keeps the batch axis open.
	shape, from := slices.Clone(want), []int(x.Shape())
	for i := range shape {
		if shape[i] < 1 {
			return fmt.Errorf("%w: shape %v", ErrFormat, want)
		}
		if k := i - (len(shape) - len(from)); k >= 0 && from[k] == shape[i] {
			shape[i] = 1
		}
	}
	if product(shape) == 1 && len(shape) <= len(from) {
		return n.b.alias(n, n.in[0])
	}
	if err := n.b.spend(product(shape)); err != nil {
		return err
	}
	ones := slices.Repeat([]float32{1}, product(shape))
	c := n.b.constantNode(n.label+" ones", shape, ones)
	if c == nil {
		return fmt.Errorf("%w: it cannot be told from another constant", ErrUnsupported)
	}
	y, err := n.apply(nn.Binary{Fn: "mul"}, x, c)
	return n.set(0, y, err)
}
