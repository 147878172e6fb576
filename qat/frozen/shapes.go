package frozen

// This file says which shapes tensors have at a batch size.

import (
	"errors"
	"fmt"
	"slices"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/internal/nn"
)

// maxRunElements bounds each tensor of a run: 2^31 elements are 8 GiB of float32.
// A small hostile file could otherwise ask for all memory.
const maxRunElements int64 = 1 << 31

// shapes is Shapes for a network whose indices are in order.
func (n *Network) shapes(batch int) ([][]int, error) {
	s := make([][]int, len(n.Tensors))
	for i, t := range n.Tensors {
		if t.Const != nil || slices.Contains(n.Inputs, i) {
			s[i] = atBatch(t.Shape, batch)
		}
	}
	for i := range n.Layers {
		l := &n.Layers[i]
		out, err := l.outShape(s)
		if err == nil {
			err = fits(out, n.Tensors[l.Output].Shape)
		}
		if err != nil {
			return nil, l.wrap(err)
		}
		s[l.Output] = out
	}
	return s, nil
}

// atBatch replaces the open dimension.
func atBatch(shape []int, batch int) []int {
	out := slices.Clone(shape)
	for i, d := range out {
		if d == -1 {
			out[i] = batch
		}
	}
	return out
}

// outShape is the shape of the layer's result for the shapes s of the tensors.
func (l *Layer) outShape(s [][]int) ([]int, error) {
	in := make([][]int, len(l.Inputs))
	for i, t := range l.Inputs {
		in[i] = s[t]
	}
	out, err := nn.OutShape(l.Op.op(), in)
	if err != nil || l.Act == nil {
		return out, err
	}
	return nn.OutShape(nn.Unary(*l.Act), [][]int{out})
}

// fits compares a shape with a declared one, where -1 is open.
func fits(got, declared []int) error {
	ok := len(got) == len(declared)
	for i := 0; ok && i < len(got); i++ {
		ok = declared[i] == -1 || got[i] == declared[i]
	}
	if !ok {
		return fmt.Errorf("%w: the result has shape %v, declared is %v", ErrNetwork, got, declared)
	}
	return nil
}

// checkShapes compares the declared shapes with the computed ones at two batches:
// exactly the open dimensions must follow the batch.
func (n *Network) checkShapes() error {
	const one, other = 2, 3 // 1 would broadcast where no other batch does
	a, err := n.shapes(one)
	if err != nil {
		return err
	}
	b, err := n.shapes(other)
	if err != nil {
		return err
	}
	for i := range n.Layers {
		l := &n.Layers[i]
		for d, size := range n.Tensors[l.Output].Shape {
			x, y := a[l.Output][d], b[l.Output][d]
			if size == -1 && (x%one != 0 || x/one*other != y) {
				return l.wrap(fmt.Errorf("%w: dimension %d of result %q is declared open, but it is %d at batch %d and %d at batch %d",
					ErrNetwork, d, n.Tensors[l.Output].Name, x, one, y, other))
			}
		}
	}
	return nil
}

// checkMemory refuses a run whose tensors are too large, before it allocates.
func (n *Network) checkMemory(shapes [][]int) error {
	for i, s := range shapes {
		count, err := fakequant.NumElements(s)
		if err == nil && int64(count) > maxRunElements {
			err = fmt.Errorf("%w: shape %v has more than %d elements: use a smaller batch", ErrInput, s, maxRunElements)
		}
		if err != nil {
			return n.Tensors[i].wrap(err)
		}
	}
	for i := range n.Layers {
		l := &n.Layers[i]
		c, ok := l.Op.(Conv)
		if !ok {
			continue
		}
		x := slices.Clone(shapes[l.Inputs[0]])
		x[0], x[2], x[3] = 1, x[2]+c.Pad[0]+c.Pad[2], x[3]+c.Pad[1]+c.Pad[3] // one padded image is a buffer
		if count, err := fakequant.NumElements(x); err != nil || int64(count) > maxRunElements {
			return l.wrap(fmt.Errorf("%w: a padded image of shape %v has more than %d elements", ErrNetwork, x, maxRunElements))
		}
	}
	return nil
}

// batchOf finds the batch from the lengths of the inputs; 1 without an open one.
func (n *Network) batchOf(inputs [][]float32) (int, error) {
	if len(inputs) != len(n.Inputs) {
		names := make([]string, len(n.Inputs))
		for i, t := range n.Inputs {
			names[i] = n.Tensors[t].Name
		}
		return 0, fmt.Errorf("%w: got %d inputs, want %d: %q", ErrInput, len(inputs), len(names), names)
	}
	batch, from := 0, ""
	for i, t := range n.Inputs {
		b, err := n.Tensors[t].batchOf(len(inputs[i]))
		switch {
		case err != nil:
			return 0, fmt.Errorf("input %q: %w", n.Tensors[t].Name, err)
		case b > 0 && batch > 0 && b != batch:
			return 0, fmt.Errorf("%w: input %q has a batch of %d, input %q one of %d", ErrInput, from, batch, n.Tensors[t].Name, b)
		case b > 0:
			batch, from = b, n.Tensors[t].Name
		}
	}
	return max(batch, 1), nil
}

// batchOf is the size of the open dimension when the tensor has count elements; 0
// when the shape is closed.
func (t *Tensor) batchOf(count int) (int, error) {
	rest, err := fakequant.NumElements(atBatch(t.Shape, 1))
	if err != nil {
		return 0, err
	}
	if !slices.Contains(t.Shape, -1) {
		if count != rest {
			return 0, fmt.Errorf("%w: %d numbers, want %d for shape %v", ErrInput, count, rest, t.Shape)
		}
		return 0, nil
	}
	if count == 0 || count%rest != 0 {
		return 0, fmt.Errorf("%w: %d numbers, want a multiple of %d for shape %v", ErrInput, count, rest, t.Shape)
	}
	return count / rest, nil
}

// wrap says which layer an error is about. nil stays nil.
func (l *Layer) wrap(err error) error {
	if err == nil {
		return nil
	}
	var named *fakequant.LayerError
	if errors.As(err, &named) {
		return err
	}
	return &fakequant.LayerError{Layer: l.Name, Err: err}
}
