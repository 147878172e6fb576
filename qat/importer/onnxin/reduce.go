package onnxin

// How are sums, means and the other reductions read?

import (
	"slices"

	"github.com/goqat/goqat/internal/nn"
	"gorgonia.org/gorgonia"
)

// reduced reduces axes (sorted, distinct) and keeps them with size 1 if keep is set.
func (n *node) reduced(x *gorgonia.Node, fn string, over []int, keep bool) (*gorgonia.Node, error) {
	shape := []int(x.Shape().Clone())
	var y *gorgonia.Node
	var err error
	if fn == "mean" && len(shape) == 4 && slices.Equal(over, []int{2, 3}) {
		if y, err = n.apply(nn.GlobalAvgPool{}, x); err != nil || keep {
			return y, err
		}
		return n.apply(nn.Reshape{Shape: shape[:2]}, y)
	}
	if y, err = n.apply(nn.Reduce{Fn: fn, Axes: over}, x); err != nil || !keep {
		return y, err
	}
	for _, a := range over {
		shape[a] = 1
	}
	return n.apply(nn.Reshape{Shape: shape}, y)
}

// reductions are the plain ones, by what [nn.Reduce] calls them.
var reductions = map[string]string{"ReduceMean": "mean", "ReduceSum": "sum", "ReduceMax": "max", "ReduceMin": "min"}

// reduction is a sum of functions, and what is done to the sum; "" is nothing.
type reduction struct{ before, after string }

// sums are the reductions that are written with a sum.
var sums = map[string]reduction{"ReduceL1": {before: "abs"}, "ReduceL2": {"square", "sqrt"}, "ReduceSumSquare": {before: "square"}, "ReduceLogSum": {after: "log"}}

func reduce(n *node) error {
	if err := n.arity(1, 2); err != nil {
		return err
	}
	x, err := n.data(0)
	if err != nil {
		return err
	}
	over, err := n.reduceAxes(x.Shape().Dims())
	if err != nil {
		return err
	}
	keep := n.int("keepdims", 1) != 0
	if fn := reductions[n.op]; fn != "" {
		if len(over) == 0 {
			return n.b.alias(n, n.in[0])
		}
		y, err := n.reduced(x, fn, over, keep)
		return n.set(0, y, err)
	}
	y, err := n.composed(x, over, keep)
	return n.set(0, y, err)
}

// composed is a reduction of several layers.
func (n *node) composed(x *gorgonia.Node, over []int, keep bool) (*gorgonia.Node, error) {
	switch n.op {
	case "ReduceProd":
		return n.multiplied(x, over, keep)
	case "ReduceLogSumExp":
		return n.logSumExp(x, over, keep)
	}
	r := sums[n.op]
	y, err := x, error(nil)
	if r.before != "" {
		y, err = n.apply(nn.Unary{Fn: r.before}, y)
	}
	if err == nil && len(over) > 0 {
		y, err = n.reduced(y, "sum", over, keep)
	}
	if r.after != "" {
		return n.then(y, err, r.after)
	}
	return y, err
}

// logSumExp is max(x) + log Σ exp(x - max(x)), which does not overflow.
func (n *node) logSumExp(x *gorgonia.Node, over []int, keep bool) (*gorgonia.Node, error) {
	if len(over) == 0 {
		return x, nil
	}
	top, err := n.reduced(x, "max", over, true)
	if err != nil {
		return nil, err
	}
	y, err := n.apply(nn.Binary{Fn: "sub"}, x, top)
	if y, err = n.then(y, err, "exp"); err == nil {
		y, err = n.reduced(y, "sum", over, true)
	}
	if y, err = n.then(y, err, "log"); err == nil {
		y, err = n.apply(nn.Binary{Fn: "add"}, y, top)
	}
	if err != nil || keep {
		return y, err
	}
	return n.apply(nn.Reshape{Shape: without(x.Shape(), over)}, y)
}

// without is a shape without some axes.
func without(shape []int, axes []int) []int {
	out := []int{}
	for a, d := range shape {
		if !slices.Contains(axes, a) {
			out = append(out, d)
		}
	}
	return out
}

// multiplied is a product along axes, halves by halves.
func (n *node) multiplied(x *gorgonia.Node, over []int, keep bool) (*gorgonia.Node, error) {
	shape := []int(x.Shape().Clone())
	y := x
	var err error
	for _, a := range over {
		for y.Shape()[a] > 1 {
			size := y.Shape()[a]
			var part [3]*gorgonia.Node // two halves and what is left of an odd size
			for k, from := 0, 0; from < size; k++ {
				to := min(from+size/2, size)
				if part[k], err = n.apply(nn.Slice{Axis: a, Start: from, End: to, Step: 1}, y); err != nil {
					return nil, err
				}
				from = to
			}
			if y, err = n.apply(nn.Binary{Fn: "mul"}, part[0], part[1]); err == nil && part[2] != nil {
				y, err = n.withRest(y, part[2], a)
			}
			if err != nil {
				return nil, err
			}
		}
	}
	if keep || len(over) == 0 {
		return y, nil
	}
	return n.apply(nn.Reshape{Shape: without(shape, over)}, y)
}

// withRest puts what is left behind the product of the halves, or multiplies it in.
func (n *node) withRest(y, rest *gorgonia.Node, axis int) (*gorgonia.Node, error) {
	if y.Shape()[axis] == 1 {
		return n.apply(nn.Binary{Fn: "mul"}, y, rest)
	}
	return n.apply(nn.Concat{Axis: axis}, y, rest)
}

// reduceAxes lists the axes to reduce: all without a list, unless the file says none.
func (n *node) reduceAxes(rank int) ([]int, error) {
	list, err := n.list(1, "axes")
	if err != nil {
		return nil, err
	}
	if len(list) > 0 || n.int("noop_with_empty_axes", 0) != 0 {
		return axes(list, rank)
	}
	all := make([]int, rank)
	for i := range all {
		all[i] = i
	}
	return all, nil
}
