package onnxin

// How are losses and choices of the largest element read?

import (
	"fmt"
	"slices"

	"github.com/goqat/goqat/internal/nn"
	"gorgonia.org/gorgonia"
)

// classLoss reads NegativeLogLikelihoodLoss, of log-probabilities [N,C,…] and class numbers
// [N,…], and SoftmaxCrossEntropyLoss, which makes the log-probabilities first. The class is
// picked by a product with a one-hot tensor; classes outside of [0, C) count as ignored.
func classLoss(n *node) error {
	if err := n.arity(2, 3); err != nil {
		return err
	}
	x, err := n.data(0)
	if err != nil {
		return err
	}
	labels, err := n.data(1)
	if err != nil {
		return err
	}
	shape := []int(x.Shape().Clone())
	if len(shape) < 2 || !slices.Equal(append([]int{shape[0]}, shape[2:]...), []int(labels.Shape())) {
		return fmt.Errorf("%w: scores of shape %v and classes of shape %v, want [N,C,...] and [N,...]", ErrFormat, shape, labels.Shape())
	}
	c := &chain{n: n}
	if n.op == "SoftmaxCrossEntropyLoss" {
		x = c.apply(nn.Softmax{Axis: 1, Log: true}, x)
		if c.err == nil && len(n.pb.Output) > 1 {
			if err := n.set(1, x, nil); err != nil {
				return err
			}
		}
	}
	each := slices.Clone(shape)
	each[1] = 1
	labels = c.apply(nn.Reshape{Shape: each}, labels)
	hot := c.pair("equal", labels, c.counting(shape[1], 1, len(shape), 0, 1))
	if n.attrs["ignore_index"] != nil {
		if ignored := n.int("ignore_index", 0); ignored >= 0 && ignored < shape[1] && c.err == nil {
			hot = c.pair("mul", hot, c.pair("not_equal", labels, n.single(float64(ignored))))
		}
	}
	if n.operand(2) != nil {
		w, err := n.data(2)
		if err != nil {
			return err
		}
		if w.Shape().Dims() != 1 || w.Shape()[0] != shape[1] {
			return fmt.Errorf("%w: weights of shape %v for %d classes", ErrFormat, w.Shape(), shape[1])
		}
		column := slices.Repeat([]int{1}, len(shape))
		column[1] = shape[1]
		hot = c.pair("mul", hot, c.apply(nn.Reshape{Shape: column}, w))
	}
	loss := c.unary("neg", c.pair("mul", x, hot))
	all := make([]int, len(shape))
	for i := range all {
		all[i] = i
	}
	switch how := n.string("reduction", "mean"); how {
	case "none":
		loss = c.reduced(loss, "sum", []int{1}, false)
	case "sum", "mean":
		loss = c.reduced(loss, "sum", all, false)
		if how == "mean" {
			loss = c.pair("div", loss, c.reduced(hot, "sum", all, false))
		}
	default:
		return fmt.Errorf("%w: reduction %q", ErrFormat, how)
	}
	return n.set(0, loss, c.err)
}

// hardmax is 1 at the first largest element along an axis, else 0; before operator set 13
// along all axes from axis on.
func hardmax(n *node) error {
	in, err := n.all(1, 1)
	if err != nil {
		return err
	}
	x, c := in[0], &chain{n: n}
	shape := []int(x.Shape().Clone())
	def, flat := -1, n.b.p.opset < 13
	if flat {
		def = 1
	}
	at, err := axis(n.int("axis", def), len(shape))
	if err != nil {
		return err
	}
	if flat {
		x, at = c.apply(nn.Reshape{Shape: []int{product(shape[:at]), product(shape[at:])}}, x), 1
	}
	if c.err != nil {
		return c.err
	}
	y := c.first(x, at)
	if flat {
		y = c.apply(nn.Reshape{Shape: shape}, y)
	}
	return n.set(0, y, c.err)
}

// first is 1 where an element is the first of the largest along an axis. Of those that equal
// the maximum the one that stands farthest from the end is taken.
func (c *chain) first(x *gorgonia.Node, at int) *gorgonia.Node {
	shape := x.Shape()
	largest := c.pair("equal", x, c.reduced(x, "max", []int{at}, true))
	left := c.pair("mul", largest, c.counting(shape[at], at, len(shape), float32(shape[at]), -1))
	return c.pair("mul", largest, c.pair("equal", left, c.reduced(left, "max", []int{at}, true)))
}

// lpNorm divides by the norm along an axis; where that is 0 the elements stay 0.
func lpNorm(n *node) error {
	in, err := n.all(1, 1)
	if err != nil {
		return err
	}
	x, c := in[0], &chain{n: n}
	at, err := axis(n.int("axis", -1), x.Shape().Dims())
	if err != nil {
		return err
	}
	var size *gorgonia.Node
	switch p := n.int("p", 2); p {
	case 1:
		size = c.reduced(c.unary("abs", x), "sum", []int{at}, true)
	case 2:
		size = c.unary("sqrt", c.reduced(c.unary("square", x), "sum", []int{at}, true))
	default:
		return fmt.Errorf("%w: p = %d, want 1 or 2", ErrFormat, p)
	}
	if c.err != nil {
		return c.err
	}
	size = c.pair("add", size, c.pair("equal", size, n.single(0)))
	y := c.pair("div", x, size)
	return n.set(0, y, c.err)
}

// meanVariance brings mean and variance over axes to 0 and 1.
func meanVariance(n *node) error {
	in, err := n.all(1, 1)
	if err != nil {
		return err
	}
	list := n.ints("axes")
	if list == nil {
		list = []int{0, 2, 3}
	}
	over, err := axes(list, in[0].Shape().Dims())
	if err != nil {
		return err
	}
	c := &chain{n: n}
	d := c.pair("sub", in[0], c.reduced(in[0], "mean", over, true))
	v := c.reduced(c.unary("square", d), "mean", over, true)
	if c.err != nil {
		return c.err
	}
	y := c.pair("div", d, c.pair("add", c.unary("sqrt", v), n.single(meanVarianceEps)))
	return n.set(0, y, c.err)
}

// meanVarianceEps is what the operator's definition adds to the deviation.
const meanVarianceEps = 1e-9
