package graph

import (
	"slices"
	"strings"
	"testing"

	"github.com/goqat/goqat/internal/ops"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// trunk is a linear layer of 4 rows with a ReLU behind it: its leaves and its output.
func trunk() (g *G.ExprGraph, x, w, y *G.Node) {
	g = G.NewGraph()
	x, w = leaf(g, "x", 4, 3), weight(g, "w", 3, 5)
	return g, x, w, G.Must(G.Rectify(G.Must(G.Mul(x, w))))
}

func mustRead(t *testing.T, g *G.ExprGraph, opt Options, outputs ...*G.Node) *Net {
	t.Helper()
	before := g.AllNodes()
	net, err := Read(g, outputs, opt)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(before, g.AllNodes()) {
		t.Error("Read changed the graph")
	}
	return net
}

// kinds are the layers of the carried part.
func (c *Carried) kinds() string {
	var all []string
	for _, l := range c.Layers {
		all = append(all, l.Kind())
	}
	return strings.Join(all, " ")
}

// TestCarriedLayers: what is carried, as which layers, and what of the network it sees.
func TestCarriedLayers(t *testing.T) {
	for _, c := range []struct {
		name  string
		build func(g *G.ExprGraph, x, w, y *G.Node)
		want  string
		seen  int
		reads int
	}{
		{"nothing", func(*G.ExprGraph, *G.Node, *G.Node, *G.Node) {}, "", 0, 0},
		{"a loss", func(g *G.ExprGraph, x, w, y *G.Node) {
			G.Must(G.Mean(G.Must(G.Square(G.Must(G.Sub(y, leaf(g, "labels", 4, 5)))))))
		}, "sub square reduce_mean", 1, 0},
		{"integer labels", func(g *G.ExprGraph, x, w, y *G.Node) {
			G.Must(ops.CrossEntropy(y, G.NewVector(g, tensor.Int, G.WithShape(4), G.WithName("labels"))))
		}, "opaque", 1, 0},
		{"comparisons, whose results are no floats", func(g *G.ExprGraph, x, w, y *G.Node) {
			G.Must(G.Gt(y, k(0), false))
		}, "opaque", 1, 0},
		{"a regulariser", func(g *G.ExprGraph, x, w, y *G.Node) {
			G.Must(G.Mul(k(0.1), G.Must(G.Sum(G.Must(G.Square(w))))))
		}, "square reduce_sum mul", 1, 0},
		{"a read statement alone", func(g *G.ExprGraph, x, w, y *G.Node) {
			var v G.Value
			G.Read(y, &v)
		}, "", 1, 1},
		{"a read loss", func(g *G.ExprGraph, x, w, y *G.Node) {
			var v G.Value
			G.Read(G.Must(G.Mean(y)), &v)
		}, "reduce_mean", 1, 1},
		{"the inside of a layer, once more", func(g *G.ExprGraph, x, w, y *G.Node) {
			G.Must(G.Mean(G.Must(G.Gte(G.Must(G.Mul(x, w)), k(0), true))))
		}, "greater_equal reduce_mean", 1, 0},
		{"a pattern that would reach behind an output", func(g *G.ExprGraph, x, w, y *G.Node) {
			// relu(h) - relu(h - 6) is a clip of h, but relu(h) is the network's output.
			h := G.Must(G.Mul(x, w))
			G.Must(G.Sub(y, G.Must(G.Rectify(G.Must(G.Sub(h, k(6)))))))
		}, "sub relu sub", 2, 0},
		{"gradients", func(g *G.ExprGraph, x, w, y *G.Node) {
			cost := G.Must(G.Mean(G.Must(G.Square(G.Must(G.Sub(y, leaf(g, "labels", 4, 5)))))))
			grads, err := G.Grad(cost, w)
			if err != nil {
				panic(err)
			}
			var v G.Value
			G.Read(grads[0], &v)
			G.Must(G.Sum(grads[0]))
		}, "sub square reduce_mean", 1, 0},
		{"constants alone", func(g *G.ExprGraph, x, w, y *G.Node) {
			G.Must(G.Add(g.AddNode(k(1)), g.AddNode(k(2))))
		}, "", 0, 0},
		{"an assignment", func(g *G.ExprGraph, x, w, y *G.Node) {
			G.Set(leaf(g, "to", 4, 5), y)
		}, "", 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			g, x, w, y := trunk()
			alone := mustRead(t, g, Options{}, y)
			c.build(g, x, w, y)
			net := mustRead(t, g, Options{}, y)
			if got := net.Carried.kinds(); got != c.want {
				t.Errorf("layers %q, want %q", got, c.want)
			}
			if len(net.Carried.Seen) != c.seen || len(net.Carried.Reads) != c.reads {
				t.Errorf("it sees %d values and reads %d, want %d and %d", len(net.Carried.Seen), len(net.Carried.Reads), c.seen, c.reads)
			}
			for v := range net.Carried.Seen {
				if !slices.Contains(net.Values, v) {
					t.Errorf("%s is not the network's", v.Name)
				}
			}
			if describe(alone) != describe(net) {
				t.Errorf("the network is\n%sand was\n%s", describe(net), describe(alone))
			}
		})
	}
}

// describe is a network in words: names, kinds and batch axes.
func describe(net *Net) string {
	var b strings.Builder
	for _, v := range net.Values {
		b.WriteString(v.Role.String() + " " + v.Name)
		if v.Producer != nil {
			b.WriteString(" of " + v.Producer.Name + " " + v.Producer.Kind())
		}
		b.WriteString("\n")
	}
	return b.String()
}

// TestCarriedRoles: which leaves of the carried part are parameters.
func TestCarriedRoles(t *testing.T) {
	square := func(n *G.Node) *G.Node { return G.Must(G.Sum(G.Must(G.Square(n)))) }
	for _, c := range []struct {
		name  string
		build func(g *G.ExprGraph, x, y *G.Node)
		opt   Options
		want  []string
	}{
		{"a head without a loss", func(g *G.ExprGraph, x, y *G.Node) { G.Must(G.Mul(y, weight(g, "h", 5, 2))) }, Options{}, nil},
		{"a head with a loss", func(g *G.ExprGraph, x, y *G.Node) { square(G.Must(G.Mul(y, weight(g, "h", 5, 2)))) }, Options{}, []string{"h"}},
		{"a head whose loss is read", func(g *G.ExprGraph, x, y *G.Node) {
			var v G.Value
			G.Read(square(G.Must(G.Mul(y, weight(g, "h", 5, 2)))), &v)
		}, Options{}, []string{"h"}},
		{"a weight left of what is computed", func(g *G.ExprGraph, x, y *G.Node) { square(G.Must(G.Mul(weight(g, "h", 2, 4), y))) }, Options{}, []string{"h"}},
		{"bias", func(g *G.ExprGraph, x, y *G.Node) {
			square(G.Must(G.BroadcastAdd(G.Must(G.Mul(y, weight(g, "h", 5, 2))), weight(g, "b", 1, 2), nil, []byte{0})))
		}, Options{}, []string{"b", "h"}},
		{"labels with a value", func(g *G.ExprGraph, x, y *G.Node) {
			square(G.Must(G.Sub(G.Must(G.Mul(y, weight(g, "h", 5, 2))), weight(g, "labels", 4, 2))))
		}, Options{}, []string{"h"}},
		{"added to something that is no product", func(g *G.ExprGraph, x, y *G.Node) {
			square(G.Must(G.BroadcastAdd(y, weight(g, "prior", 1, 5), nil, []byte{0})))
		}, Options{}, nil},
		{"class weights", func(g *G.ExprGraph, x, y *G.Node) { square(G.Must(G.Mul(y, weight(g, "classes", 5)))) }, Options{}, nil},
		{"two leaves multiplied", func(g *G.ExprGraph, x, y *G.Node) {
			square(G.Must(G.Mul(weight(g, "a", 2, 3), weight(g, "b", 3, 2))))
		}, Options{}, nil},
		{"said to be data", func(g *G.ExprGraph, x, y *G.Node) { square(G.Must(G.Mul(y, weight(g, "h", 5, 2)))) }, Options{Inputs: []string{"h"}}, nil},
		{"said to be a parameter", func(g *G.ExprGraph, x, y *G.Node) { G.Must(G.HadamardProd(y, weight(g, "h", 4, 5))) }, Options{Params: []string{"h"}}, []string{"h"}},
		{"Grad asked for another", func(g *G.ExprGraph, x, y *G.Node) {
			b := weight(g, "b", 4, 2)
			if _, err := G.Grad(square(G.Must(G.Add(G.Must(G.Mul(y, weight(g, "h", 5, 2))), b))), b); err != nil {
				panic(err)
			}
		}, Options{}, []string{"b"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			g, x, _, y := trunk()
			c.build(g, x, y)
			net := mustRead(t, g, c.opt, y)
			var got []string
			for _, v := range net.Carried.Values {
				if v.Role == Param {
					got = append(got, v.Name)
				}
			}
			slices.Sort(got)
			if !slices.Equal(got, c.want) {
				t.Errorf("parameters %q, want %q", got, c.want)
			}
			for _, v := range net.Inputs {
				if v.Name != "x" {
					t.Errorf("%s became an input of the network", v.Name)
				}
			}
		})
	}
}

// TestMissing: where a node of the user's is, or why it is nowhere.
func TestMissing(t *testing.T) {
	g, x, w, y := trunk()
	h := G.Must(G.Mul(x, w))
	cost := G.Must(G.Mean(y))
	grads, err := G.Grad(cost, w)
	if err != nil {
		t.Fatal(err)
	}
	set := G.Set(leaf(g, "to", 4, 5), y)
	unused := leaf(g, "unused", 1)
	net := mustRead(t, g, Options{}, y)
	later := G.Must(G.Tanh(y))
	var size *G.Node
	for _, n := range g.AllNodes() {
		if opName(n.Op()) == "sizeOp" {
			size = n
		}
	}
	for _, n := range []*G.Node{x, w, h, y, cost} {
		if net.Value(n) == nil || net.Missing(n) != nil {
			t.Errorf("%s: %v", n.Name(), net.Missing(n))
		}
	}
	if l := net.Inside(size); l == nil || l.Kind() != "reduce_mean" {
		t.Errorf("%s lies inside %v, want the mean", size.Name(), l)
	}
	for _, c := range []struct {
		n    *G.Node
		want string
	}{
		{nil, "the node is nil"},
		{leaf(G.NewGraph(), "far", 1), "far belongs to another graph"},
		{grads[0], "gorgonia.Grad made"},
		{set, "is a statement (=)"},
		{unused, "nothing computes with it"},
		{later, "or it is newer than that"},
	} {
		if err := net.Missing(c.n); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error %v, want %q", err, c.want)
		}
	}
}
