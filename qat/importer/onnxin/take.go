package onnxin

import (
	"fmt"
	"slices"

	"github.com/goqat/goqat/internal/nn"
	"gorgonia.org/gorgonia"
)

// Which layers are operators that pick elements by places that are known?

// places reads operand i, whole numbers that are known, as places along axes of the given
// sizes: the size for element k is of(k).
func (n *node) places(i int, of func(k int) int) (*constant, []int, error) {
	c, err := n.known(i)
	if err != nil {
		return nil, nil, err
	}
	if c.float {
		return nil, nil, fmt.Errorf("%w: indices are not whole numbers", ErrFormat)
	}
	if err := n.b.spend(len(c.i)); err != nil {
		return nil, nil, err
	}
	out := make([]int, len(c.i))
	for k, v := range c.i {
		size := of(k)
		if v < int64(-size) || v >= int64(size) {
			return nil, nil, fmt.Errorf("%w: index %d of an axis of %d", ErrFormat, v, size)
		}
		if out[k] = int(v); v < 0 {
			out[k] += size
		}
	}
	return c, out, nil
}

// evenly is the slice of an axis that takes the indices, if there is one.
func evenly(at int, index []int) (nn.Slice, bool) {
	if len(index) == 0 {
		return nn.Slice{}, false
	}
	op := nn.Slice{Axis: at, Start: index[0], End: index[len(index)-1] + 1, Step: 1}
	if len(index) > 1 {
		op.Step = index[1] - index[0]
	}
	for k := 1; k < len(index); k++ {
		if index[k]-index[k-1] != op.Step {
			return op, false
		}
	}
	return op, op.Step > 0
}

// taken picks elements of x along an axis: a slice where they lie evenly.
func (n *node) taken(x *gorgonia.Node, at int, index []int) (*gorgonia.Node, error) {
	if len(index) == 0 {
		return nil, fmt.Errorf("%w: no elements of axis %d of shape %v", ErrUnsupported, at, x.Shape())
	}
	if err := n.b.spend(len(index)); err != nil {
		return nil, err
	}
	op, even := evenly(at, index)
	switch {
	case even && op.Start == 0 && op.Step == 1 && op.End == x.Shape()[at]:
		return x, nil
	case even:
		return n.apply(op, x)
	}
	return n.apply(nn.Take{Axis: at, Index: index}, x)
}

// tile repeats along each axis.
func tile(n *node) error {
	if err := n.arity(2, 2); err != nil {
		return err
	}
	x, err := n.data(0)
	if err != nil {
		return err
	}
	repeats, err := n.repeats(x.Shape())
	if err != nil {
		return err
	}
	y := x
	for a, r := range repeats {
		size := x.Shape()[a]
		if r < 1 || r > maxExact/size {
			return fmt.Errorf("%w: axis %d of shape %v repeated %d times", ErrUnsupported, a, x.Shape(), r)
		}
		if err := n.b.affords(r * size); err != nil {
			return err
		}
		index := make([]int, r*size)
		for i := range index {
			index[i] = i % size
		}
		if y, err = n.taken(y, a, index); err != nil {
			return err
		}
	}
	return n.setMoved(x, y)
}

// repeats are the counts of a Tile.
func (n *node) repeats(shape []int) ([]int, error) {
	r, err := n.list(1, "")
	if err == nil && len(r) != len(shape) {
		err = fmt.Errorf("%w: repeats %v of shape %v", ErrFormat, r, shape)
	}
	return r, err
}

// setMoved makes y the result, which may be the operand x itself.
func (n *node) setMoved(x, y *gorgonia.Node) error {
	if y == x {
		return n.b.alias(n, n.in[0])
	}
	return n.set(0, y, nil)
}

// depthToSpace and spaceToDepth move blocks of pixels from and to channels: a transpose of
// the axes that a reshape makes.
func depthToSpace(n *node) error {
	x, s, block, err := n.blocks()
	if err != nil {
		return err
	}
	if s[1]%(block*block) != 0 {
		return fmt.Errorf("%w: %d channels in blocks of %d by %d", ErrFormat, s[1], block, block)
	}
	c := s[1] / block / block
	apart, perm := []int{s[0], block, block, c, s[2], s[3]}, []int{0, 3, 4, 1, 5, 2}
	switch mode := n.string("mode", "DCR"); mode {
	case "DCR":
	case "CRD":
		apart, perm = []int{s[0], c, block, block, s[2], s[3]}, []int{0, 1, 4, 2, 5, 3}
	default:
		return fmt.Errorf("%w: mode %q", ErrFormat, mode)
	}
	return n.reordered(x, apart, perm, []int{s[0], c, s[2] * block, s[3] * block})
}

func spaceToDepth(n *node) error {
	x, s, block, err := n.blocks()
	if err != nil {
		return err
	}
	if s[2]%block != 0 || s[3]%block != 0 {
		return fmt.Errorf("%w: an image of %d by %d in blocks of %d by %d", ErrFormat, s[2], s[3], block, block)
	}
	h, w := s[2]/block, s[3]/block
	return n.reordered(x, []int{s[0], s[1], h, block, w, block}, []int{0, 3, 5, 1, 2, 4}, []int{s[0], s[1] * block * block, h, w})
}

// blocks reads the operand and the attribute of both.
func (n *node) blocks() (x *gorgonia.Node, s []int, block int, err error) {
	in, err := n.all(1, 1)
	if err != nil {
		return nil, nil, 0, err
	}
	s, block = in[0].Shape(), n.int("blocksize", 0)
	if len(s) != 4 || block < 1 || block > maxExact {
		return nil, nil, 0, fmt.Errorf("%w: an input of shape %v in blocks of %d: want [N,C,H,W] and at least 1", ErrFormat, s, block)
	}
	return in[0], s, block, nil
}

// reordered cuts axes apart, permutes them and joins them again.
func (n *node) reordered(x *gorgonia.Node, apart, perm, shape []int) error {
	y, err := n.apply(nn.Reshape{Shape: apart}, x)
	if err == nil {
		y, err = n.apply(nn.Transpose{Perm: perm}, y)
	}
	if err == nil {
		y, err = n.apply(nn.Reshape{Shape: shape}, y)
	}
	return n.set(0, y, err)
}

// gatherKnown picks rows by known indices of a shape.
func (n *node) gatherKnown(x *gorgonia.Node, shape []int, at int, index []int) error {
	y, err := n.taken(x, at, index)
	if err != nil {
		return err
	}
	if len(shape) != 1 {
		s := x.Shape()
		if y, err = n.apply(nn.Reshape{Shape: slices.Concat(s[:at], shape, s[at+1:])}, y); err != nil {
			return err
		}
	}
	return n.setMoved(x, y)
}
