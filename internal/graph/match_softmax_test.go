package graph

import (
	"testing"

	"github.com/goqat/goqat/internal/nn"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// TestMaskedSoftmax: a softmax takes in what scales and masks its scores, in either order of
// the operands, and nothing else.
func TestMaskedSoftmax(t *testing.T) {
	half := func() *G.Node { return G.NewConstant(float32(0.5)) }
	for _, c := range []struct {
		name   string
		build  func(b chain, g *G.ExprGraph, x *G.Node) *G.Node
		layers int
		scale  float64
		args   int
	}{
		{"plain", func(b chain, g *G.ExprGraph, x *G.Node) *G.Node { return x }, 1, 0, 1},
		{"scale", func(b chain, g *G.ExprGraph, x *G.Node) *G.Node { return b.op(nn.Binary{Fn: "mul"}, half(), x) }, 1, 0.5, 1},
		{"quotient", func(b chain, g *G.ExprGraph, x *G.Node) *G.Node { return b.op(nn.Binary{Fn: "div"}, x, half()) }, 1, 2, 1},
		{"mask", func(b chain, g *G.ExprGraph, x *G.Node) *G.Node {
			return b.op(nn.Binary{Fn: "add"}, leaf(g, "mask", 2, 1, 5), x)
		}, 1, 0, 2},
		{"constant row", func(b chain, g *G.ExprGraph, x *G.Node) *G.Node {
			row := tensor.New(tensor.WithShape(1, 5), tensor.WithBacking([]float32{0, 0, -1e4, 0, 0}))
			return b.op(nn.Binary{Fn: "add"}, x, G.NewConstant(row))
		}, 1, 0, 2},
		{"both", func(b chain, g *G.ExprGraph, x *G.Node) *G.Node {
			return b.op(nn.Binary{Fn: "add"}, b.op(nn.Binary{Fn: "mul"}, x, half()), leaf(g, "mask", 3, 5))
		}, 1, 0.5, 2},
		{"bias", func(b chain, g *G.ExprGraph, x *G.Node) *G.Node {
			return b.op(nn.Binary{Fn: "add"}, x, weight(g, "bias", 5))
		}, 2, 0, 1},
		{"sum", func(b chain, g *G.ExprGraph, x *G.Node) *G.Node {
			return b.op(nn.Binary{Fn: "add"}, b.op(nn.Unary{Fn: "cos"}, x), b.op(nn.Unary{Fn: "sin"}, x))
		}, 4, 0, 1},
		{"by zero", func(b chain, g *G.ExprGraph, x *G.Node) *G.Node {
			return b.op(nn.Binary{Fn: "div"}, x, G.NewConstant(float32(0)))
		}, 2, 0, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, own := range []bool{true, false} {
				g, b := G.NewGraph(), chain{t}
				s := c.build(b, g, leaf(g, "x", 2, 3, 5))
				y := b.op(nn.Softmax{Axis: 2, Log: true}, s)
				if !own {
					y = G.Must(G.LogSoftMax(s))
				}
				net, err := Read(g, []*G.Node{y}, Options{})
				if err != nil {
					t.Fatal(err)
				}
				last := net.Layers[len(net.Layers)-1]
				if want := (nn.Softmax{Axis: 2, Log: true, Scale: c.scale}); len(net.Layers) != c.layers || last.Op != want || len(last.In) != c.args {
					t.Errorf("%d layers, the last is %#v on %d operands, want %d, %#v on %d", len(net.Layers), last.Op, len(last.In), c.layers, want, c.args)
				}
			}
		})
	}
}
