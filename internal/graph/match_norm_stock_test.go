package graph

import (
	"testing"

	"github.com/goqat/goqat/internal/nn"
	G "gorgonia.org/gorgonia"
)

// TestStockNorms: normalisations of rows in Gorgonia's own ops, as programs write them.
func TestStockNorms(t *testing.T) {
	type node = G.Node
	must := G.Must
	eps := func() *node { return G.NewConstant(float32(0.25)) }
	along := []byte{1}
	mean := func(x *node) *node { return must(G.Mean(x, 1)) }
	root := func(x *node) *node { return must(G.Sqrt(must(G.Add(mean(must(G.Square(x))), eps())))) }
	centred := func(x *node) *node { return must(G.BroadcastSub(x, mean(x), nil, along)) }
	affine := func(g *G.ExprGraph, y *node) *node {
		y = must(G.BroadcastHadamardProd(y, weight(g, "gamma", 1, 5), nil, []byte{0}))
		return must(G.BroadcastAdd(y, weight(g, "beta", 1, 5), nil, []byte{0}))
	}
	for _, c := range []struct {
		name  string
		build func(g *G.ExprGraph, x *node) *node
		want  nn.Op // nil: none
		args  int
	}{
		{"layer norm", func(g *G.ExprGraph, x *node) *node {
			d := centred(x)
			return affine(g, must(G.BroadcastHadamardDiv(d, root(d), nil, along)))
		}, nn.LayerNorm{Axis: 1, Eps: 0.25}, 3},
		{"alone", func(g *G.ExprGraph, x *node) *node {
			d := centred(x)
			return must(G.BroadcastHadamardDiv(d, root(d), nil, along))
		}, nn.LayerNorm{Axis: 1, Eps: 0.25}, 1},
		{"rms norm", func(g *G.ExprGraph, x *node) *node {
			y := must(G.BroadcastHadamardDiv(x, root(x), nil, along))
			return must(G.BroadcastHadamardProd(y, weight(g, "gamma", 1, 5), nil, []byte{0}))
		}, nn.LayerNorm{Axis: 1, Eps: 0.25, RMS: true}, 2},
		{"rms norm by a product", func(g *G.ExprGraph, x *node) *node {
			y := must(G.BroadcastHadamardProd(x, must(G.Inverse(root(x))), nil, along))
			return must(G.BroadcastHadamardProd(y, weight(g, "gamma", 1, 5), nil, []byte{0}))
		}, nn.LayerNorm{Axis: 1, Eps: 0.25, RMS: true}, 2},
		{"another tensor's root", func(g *G.ExprGraph, x *node) *node {
			return must(G.BroadcastHadamardDiv(x, root(must(G.Sin(x))), nil, along))
		}, nil, 0},
		{"of columns", func(g *G.ExprGraph, x *node) *node {
			d := must(G.BroadcastSub(x, must(G.Mean(x, 0)), nil, []byte{0}))
			v := must(G.Sqrt(must(G.Add(must(G.Mean(must(G.Square(d)), 0)), eps()))))
			return must(G.BroadcastHadamardDiv(d, v, nil, []byte{0}))
		}, nil, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := G.NewGraph()
			y := c.build(g, leaf(g, "x", 5, 5))
			net, err := Read(g, []*node{y}, Options{Inputs: []string{"x"}})
			if err != nil {
				t.Fatal(err)
			}
			last := net.Layers[len(net.Layers)-1]
			if c.want == nil {
				if _, is := last.Op.(nn.LayerNorm); is {
					t.Errorf("it is %#v", last.Op)
				}
				return
			}
			if last.Op != c.want || len(last.In) != c.args {
				t.Errorf("the last of %d layers is %#v on %d operands, want %#v on %d", len(net.Layers), last.Op, len(last.In), c.want, c.args)
			}
		})
	}
}

// TestRMSNormOfExporters: the product with an inverse root, and a weight in front.
func TestRMSNormOfExporters(t *testing.T) {
	for _, form := range []string{"inv", "inv_sqrt", "div", "one"} {
		g, b := G.NewGraph(), chain{t}
		x := leaf(g, "x", 2, 3, 5)
		s := b.op(nn.Binary{Fn: "add"}, b.mean(b.op(nn.Unary{Fn: "square"}, x), 2), G.NewConstant(float32(0.25)))
		var y *G.Node
		switch form {
		case "inv_sqrt":
			y = b.op(nn.Binary{Fn: "mul"}, x, b.op(nn.Unary{Fn: form}, s))
		case "inv":
			y = b.op(nn.Binary{Fn: "mul"}, x, b.op(nn.Unary{Fn: "inv"}, b.op(nn.Unary{Fn: "sqrt"}, s)))
		case "div":
			y = b.op(nn.Binary{Fn: "div"}, x, b.op(nn.Unary{Fn: "sqrt"}, s))
		default:
			y = b.op(nn.Binary{Fn: "mul"}, b.op(nn.Binary{Fn: "div"}, G.NewConstant(float32(1)), b.op(nn.Unary{Fn: "sqrt"}, s)), x)
		}
		y = b.op(nn.Binary{Fn: "mul"}, weight(g, "gamma", 5), y)
		net, err := Read(g, []*G.Node{y}, Options{Inputs: []string{"x"}})
		if err != nil {
			t.Fatal(err)
		}
		want := nn.LayerNorm{Axis: 2, Eps: 0.25, RMS: true}
		if l := net.Layers[len(net.Layers)-1]; len(net.Layers) != 1 || l.Op != want || len(l.In) != 2 {
			t.Errorf("%s: %d layers, the last is %#v on %d operands", form, len(net.Layers), l.Op, len(l.In))
		}
	}
}

// TestGroupNormOfExporters: an instance normalisation between two reshapes.
func TestGroupNormOfExporters(t *testing.T) {
	for _, c := range []struct {
		name        string
		groups      int
		gamma, beta []int
		layers      int
		norm        bool // the last layer
	}{
		{"whole", 2, []int{4, 1, 1}, []int{1, 4, 1, 1}, 3, true},
		{"alone", 2, nil, nil, 1, true},
		{"each channel", 4, []int{4, 1, 1}, nil, 2, true},
		{"gamma along another axis", 2, []int{4, 1}, nil, 2, false},
		{"other groups", 8, nil, nil, 3, false},
	} {
		g, b := G.NewGraph(), chain{t}
		x := leaf(g, "x", 2, 4, 4, 3)
		y := b.op(nn.GroupNorm{Groups: c.groups, Eps: 0.25}, b.op(nn.Reshape{Shape: []int{2, c.groups, -1}}, x))
		y = b.op(nn.Reshape{Shape: []int{2, 4, 4, 3}}, y)
		for i, s := range [][]int{c.gamma, c.beta} {
			if s != nil {
				y = b.op(nn.Binary{Fn: [...]string{"mul", "add"}[i]}, y, weight(g, "p"+string(rune('0'+i)), s...))
			}
		}
		net, err := Read(g, []*G.Node{y}, Options{Inputs: []string{"x"}})
		if err != nil {
			t.Fatal(err)
		}
		l := net.Layers[len(net.Layers)-1]
		if _, is := l.Op.(nn.GroupNorm); len(net.Layers) != c.layers || is != c.norm {
			t.Errorf("%s: %d layers, the last is %#v", c.name, len(net.Layers), l.Op)
		}
	}
}
