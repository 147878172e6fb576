package onnxin

// How are several layers added one behind the other?

import (
	"fmt"
	"slices"

	"github.com/goqat/goqat/internal/nn"
	"gorgonia.org/gorgonia"
)

// chain adds layers and stops at the first error.
type chain struct {
	n   *node
	err error
}

func (c *chain) apply(op nn.Op, in ...*gorgonia.Node) *gorgonia.Node {
	if c.err != nil {
		return nil
	}
	var y *gorgonia.Node
	y, c.err = c.n.apply(op, in...)
	return y
}

func (c *chain) pair(fn string, a, b *gorgonia.Node) *gorgonia.Node {
	return c.apply(nn.Binary{Fn: fn}, a, b)
}

func (c *chain) unary(fn string, x *gorgonia.Node) *gorgonia.Node {
	return c.apply(nn.Unary{Fn: fn}, x)
}

func (c *chain) reduced(x *gorgonia.Node, fn string, over []int, keep bool) *gorgonia.Node {
	if c.err != nil {
		return nil
	}
	var y *gorgonia.Node
	y, c.err = c.n.reduced(x, fn, over, keep)
	return y
}

// counting is the constant 0, step, 2·step … along one axis, to broadcast against rank axes.
func (c *chain) counting(size, axis, rank int, from, step float32) *gorgonia.Node {
	if c.err != nil {
		return nil
	}
	shape := slices.Repeat([]int{1}, rank)
	shape[axis] = size
	if c.err = c.n.b.spend(size); c.err != nil {
		return nil
	}
	data := make([]float32, size)
	for i := range data {
		data[i] = from + float32(step*float32(i))
	}
	y := c.n.b.constantNode(c.n.label+" positions", shape, data)
	if y == nil {
		c.err = fmt.Errorf("%w: it cannot be told from another constant", ErrUnsupported)
	}
	return y
}
