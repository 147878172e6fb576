package graph

import (
	"fmt"
	"testing"

	"github.com/goqat/goqat/internal/nn"
	"github.com/goqat/goqat/internal/ops"
	G "gorgonia.org/gorgonia"
)

// chain builds layers and stops at the first error.
type chain struct{ t *testing.T }

func (c chain) op(op nn.Op, in ...*G.Node) *G.Node {
	c.t.Helper()
	n, err := ops.Apply(op, in...)
	if err != nil {
		c.t.Fatal(err)
	}
	return n
}

// mean keeps the reduced axes.
func (c chain) mean(x *G.Node, axes ...int) *G.Node {
	shape := append([]int{}, x.Shape()...)
	for _, a := range axes {
		shape[a] = 1
	}
	return c.op(nn.Reshape{Shape: shape}, c.op(nn.Reduce{Fn: "mean", Axes: axes}, x))
}

// TestLayerNormSpelledOut: the chain that exporters write is one layer, unless something
// else is in its place.
func TestLayerNormSpelledOut(t *testing.T) {
	one := func(op nn.Op) []nn.Op { return []nn.Op{op} }
	norm := one(nn.LayerNorm{Axis: 2, Eps: 0.25})
	for _, c := range []struct {
		name         string
		axes         []int
		tokens       bool // as many as channels
		other        bool // the second mean is one of something else
		square       string
		gamma, beta  []int
		swapped      bool
		want         []nn.Op
		layers, args int
	}{
		{name: "whole", square: "square", gamma: []int{5}, beta: []int{5}, want: norm, args: 3},
		{name: "power", square: "pow", gamma: []int{5}, beta: []int{5}, want: norm, args: 3},
		{name: "product", square: "mul", gamma: []int{5}, beta: []int{5}, want: norm, args: 3},
		{name: "parameters on the left", square: "square", gamma: []int{5}, beta: []int{5}, swapped: true, want: norm, args: 3},
		{name: "no beta", square: "square", gamma: []int{5}, want: norm, args: 2},
		{name: "alone", square: "square", want: norm, args: 1},
		{name: "parameters of rank 3", square: "square", gamma: []int{1, 1, 5}, beta: []int{1, 1, 5}, want: norm, args: 3, layers: 3},
		{name: "two axes", axes: []int{1, 2}, square: "square", gamma: []int{3, 5}, want: one(nn.LayerNorm{Axis: 1, Eps: 0.25}), args: 2},
		{name: "an axis that is not the last", axes: []int{1}, square: "square", layers: 9},
		{name: "mean of something else", other: true, square: "square", layers: 9},
		{name: "gamma for each of as many tokens", tokens: true, square: "square", gamma: []int{5, 1}, want: nil, layers: 2},
		{name: "gamma for each token", square: "square", gamma: []int{3, 1}, want: nil, layers: 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			g, b := G.NewGraph(), chain{t}
			x := leaf(g, "x", 2, 3, 5)
			if c.tokens {
				x = leaf(g, "x", 2, 5, 5)
			}
			axes := c.axes
			if axes == nil {
				axes = []int{2}
			}
			d := b.op(nn.Binary{Fn: "sub"}, x, b.mean(x, axes...))
			of := d
			if c.other {
				of = x
			}
			var sq *G.Node
			switch c.square {
			case "square":
				sq = b.op(nn.Unary{Fn: "square"}, of)
			case "mul":
				sq = b.op(nn.Binary{Fn: "mul"}, of, of)
			default:
				sq = b.op(nn.Binary{Fn: "pow"}, of, G.NewConstant(float32(2)))
			}
			v := b.op(nn.Binary{Fn: "add"}, b.mean(sq, axes...), G.NewConstant(float32(0.25)))
			y := b.op(nn.Binary{Fn: "div"}, d, b.op(nn.Unary{Fn: "sqrt"}, v))
			for i, s := range [][]int{c.gamma, c.beta} {
				if s == nil {
					continue
				}
				in := []*G.Node{y, weight(g, fmt.Sprint("p", i), s...)}
				if c.swapped {
					in[0], in[1] = in[1], in[0]
				}
				y = b.op(nn.Binary{Fn: [...]string{"mul", "add"}[i]}, in...)
			}
			net, err := Read(g, []*G.Node{y}, Options{Inputs: []string{"x"}})
			if err != nil {
				t.Fatal(err)
			}
			last := net.Layers[len(net.Layers)-1]
			if c.want == nil {
				if len(net.Layers) != c.layers {
					t.Errorf("%d layers, want %d: %v", len(net.Layers), c.layers, last.Kind())
				}
				return
			}
			if want := max(1, c.layers); len(net.Layers) != want || last.Op != c.want[0] || len(last.In) != c.args {
				t.Errorf("%d layers, the last is %#v on %d operands, want %d, %#v on %d", len(net.Layers), last.Op, len(last.In), want, c.want[0], c.args)
			}
		})
	}
}
