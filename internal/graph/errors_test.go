package graph

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/goqat/goqat/internal/nn"
	"github.com/goqat/goqat/internal/ops"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

func TestErrors(t *testing.T) {
	other := leaf(G.NewGraph(), "far", 2, 2)
	cases := []struct {
		name string
		make func(g *G.ExprGraph) ([]*G.Node, Options)
		want string
	}{
		{"no outputs", func(*G.ExprGraph) ([]*G.Node, Options) { return nil, Options{} }, "no outputs"},
		{"nil output", func(*G.ExprGraph) ([]*G.Node, Options) { return []*G.Node{nil}, Options{} }, "output 0 is nil"},
		{"another graph", func(*G.ExprGraph) ([]*G.Node, Options) { return []*G.Node{other}, Options{} }, "output 0 (far) belongs to another graph"},
		{"no input", func(g *G.ExprGraph) ([]*G.Node, Options) {
			return []*G.Node{G.Must(G.Add(weight(g, "a", 2, 2), weight(g, "b", 2, 2)))}, Options{}
		}, "name the data leaves under inputs"},
		{"unknown input", func(g *G.ExprGraph) ([]*G.Node, Options) {
			return []*G.Node{G.Must(G.Tanh(leaf(g, "x", 2, 2)))}, Options{Inputs: []string{"y"}}
		}, `no leaf named "y"`},
		{"constant output", func(g *G.ExprGraph) ([]*G.Node, Options) {
			return []*G.Node{G.Must(G.Tanh(leaf(g, "x", 2, 2))), G.Must(G.Tanh(weight(g, "w", 2, 2)))}, Options{}
		}, "output tanh_1.out depends on no input"},
		{"float64", func(g *G.ExprGraph) ([]*G.Node, Options) {
			x := G.NewMatrix(g, G.Float64, G.WithShape(2, 2), G.WithName("x"))
			return []*G.Node{G.Must(G.Tanh(x))}, Options{}
		}, "node x is float64: build the graph with gorgonia.Float32"},
		{"integers", func(g *G.ExprGraph) ([]*G.Node, Options) {
			x, i := leaf(g, "x", 3, 2), G.NewVector(g, G.Int, G.WithShape(2), G.WithName("rows"))
			return []*G.Node{G.Must(G.ByIndices(x, G.Must(G.Add(i, i)), 0))}, Options{}
		}, "computes with int (leaf rows): goqat takes whole numbers as indices"},
		{"an output of integers", func(g *G.ExprGraph) ([]*G.Node, Options) {
			i := G.NewMatrix(g, G.Int, G.WithShape(2, 2), G.WithName("rows"))
			return []*G.Node{G.Must(G.Transpose(i, 1, 0))}, Options{}
		}, "is int: give a float32 result"},
		{"booleans", func(g *G.ExprGraph) ([]*G.Node, Options) {
			return []*G.Node{G.Must(G.Gt(leaf(g, "x", 2, 2), k(0), false))}, Options{}
		}, "is bool"},
		{"statement", func(g *G.ExprGraph) ([]*G.Node, Options) {
			var v G.Value
			return []*G.Node{G.Read(leaf(g, "x", 2, 2), &v)}, Options{}
		}, "has no value (a read or set statement)"},
		{"two parameters of one name", func(g *G.ExprGraph) ([]*G.Node, Options) {
			h := G.Must(G.Mul(leaf(g, "x", 2, 3), weight(g, "w", 3, 4)))
			return []*G.Node{G.Must(G.Mul(h, weight(g, "w", 4, 5)))}, Options{}
		}, `two parameters are named "w" (shapes (3, 4) and (4, 5))`},
		{"empty shape", func(g *G.ExprGraph) ([]*G.Node, Options) {
			return []*G.Node{G.Must(G.Tanh(leaf(g, "x", 2, 0)))}, Options{}
		}, "every dimension must be at least 1"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			g := G.NewGraph()
			outputs, opt := c.make(g)
			_, err := Read(g, outputs, opt)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
	if _, err := Read(nil, []*G.Node{other}, Options{}); err == nil || !strings.Contains(err.Error(), "the graph is nil") {
		t.Errorf("nil graph: %v", err)
	}
	if _, _, err := Rebuild(nil, RebuildOptions{}); err == nil {
		t.Error("Rebuild(nil) gave no error")
	}
}

// Two outputs of unrelated parts are one network.
func TestUnrelatedParts(t *testing.T) {
	g := G.NewGraph()
	a, b := G.Must(G.Tanh(leaf(g, "a", 4, 2))), G.Must(G.Exp(leaf(g, "b", 4, 3)))
	net, err := Read(g, []*G.Node{a, b}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(net.Inputs) != 2 || len(net.Outputs) != 2 || net.Batch != 4 {
		t.Errorf("%d inputs, %d outputs, batch %d", len(net.Inputs), len(net.Outputs), net.Batch)
	}
}

// Which leaves with values are data.
func TestRoles(t *testing.T) {
	cases := []struct {
		name string
		make func(g *G.ExprGraph) *G.Node
		opt  Options
		want string // inputs
	}{
		{"left of a product", func(g *G.ExprGraph) *G.Node {
			return G.Must(G.Mul(weight(g, "x", 4, 3), weight(g, "w", 3, 2)))
		}, Options{}, "x"},
		{"left of a product, flattened", func(g *G.ExprGraph) *G.Node {
			x := G.Must(G.Reshape(weight(g, "x", 4, 3, 2), tensor.Shape{4, 6}))
			return G.Must(G.Mul(x, weight(g, "w", 6, 2)))
		}, Options{}, "x"},
		{"left of a product with data", func(g *G.ExprGraph) *G.Node {
			return G.Must(G.Mul(weight(g, "w", 4, 3), leaf(g, "x", 3, 2)))
		}, Options{}, "x"},
		{"left of a second product", func(g *G.ExprGraph) *G.Node {
			h := G.Must(G.Mul(weight(g, "x", 4, 3), weight(g, "w", 3, 2)))
			return G.Must(G.Mul(h, weight(g, "v", 2, 5)))
		}, Options{}, "x"},
		{"image", func(g *G.ExprGraph) *G.Node {
			x := G.Must(G.Div(weight(g, "x", 2, 1, 5, 5), k(255)))
			return G.Must(G.Conv2d(x, weight(g, "w", 2, 1, 3, 3), tensor.Shape{3, 3}, nil, []int{1, 1}, nil))
		}, Options{}, "x"},
		{"named input", func(g *G.ExprGraph) *G.Node {
			return G.Must(G.Add(weight(g, "x", 4, 3), weight(g, "y", 4, 3)))
		}, Options{Inputs: []string{"y"}}, "y"},
		{"named parameter", func(g *G.ExprGraph) *G.Node {
			h := G.Must(G.Mul(weight(g, "u", 4, 3), weight(g, "w", 3, 2)))
			return G.Must(G.Add(h, leaf(g, "x", 4, 2)))
		}, Options{Params: []string{"u"}}, "x"},
		{"target of Grad", func(g *G.ExprGraph) *G.Node {
			u := weight(g, "u", 4, 3)
			y := G.Must(G.Sum(G.Must(G.Add(G.Must(G.Mul(u, weight(g, "w", 3, 2))), leaf(g, "x", 4, 2)))))
			if _, err := G.Grad(y, u); err != nil {
				panic(err)
			}
			return y
		}, Options{}, "x"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			g := G.NewGraph()
			net, err := Read(g, []*G.Node{c.make(g)}, c.opt)
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, v := range net.Inputs {
				names = append(names, v.Name)
			}
			if got := strings.Join(names, " "); got != c.want {
				t.Errorf("inputs %s, want %s", got, c.want)
			}
		})
	}
}

// Why a network has no open batch axis: the note names the place.
func TestBatchNotes(t *testing.T) {
	cases := []struct {
		name string
		make func(g *G.ExprGraph) *G.Node
		want string
	}{
		{"vector input", func(g *G.ExprGraph) *G.Node { return G.Must(G.Tanh(leaf(g, "x", 4))) }, "no input has two or more dimensions"},
		{"sizes differ", func(g *G.ExprGraph) *G.Node {
			return G.Must(G.Mul(leaf(g, "a", 4, 3), leaf(g, "b", 3, 2)))
		}, "inputs a and b have different sizes along axis 0: 4 and 3"},
		{"tied parameter", func(g *G.ExprGraph) *G.Node {
			return G.Must(G.Add(leaf(g, "x", 4, 3), weight(g, "p", 4, 3)))
		}, "layer add_0 (add): axis 0 of param p has the size of the batch (4)"},
		{"contracted with a parameter", func(g *G.ExprGraph) *G.Node {
			return G.Must(G.Mul(G.Must(G.Transpose(G.Must(G.Square(leaf(g, "x", 4, 3))))), weight(g, "p", 4, 2)))
		}, "layer p (matmul): axis 0 of param p"},
		{"lost in a reshape", func(g *G.ExprGraph) *G.Node {
			return G.Must(G.Reshape(leaf(g, "x", 4, 3), tensor.Shape{3, 4}))
		}, "from [4 3] to [3 4] no axis holds the batch"},
		{"softmax along it", func(g *G.ExprGraph) *G.Node { return G.Must(G.SoftMax(leaf(g, "x", 4, 3), 0)) }, "along the batch axis"},
		{"part of it", func(g *G.ExprGraph) *G.Node { return G.Must(G.Slice(leaf(g, "x", 4, 3), G.S(1))) }, "takes a part of the batch axis of x"},
		{"joined along it", func(g *G.ExprGraph) *G.Node {
			return G.Must(G.Concat(0, leaf(g, "x", 4, 3), leaf(g, "y", 4, 3)))
		}, "joins along the batch axis"},
		{"image axis", func(g *G.ExprGraph) *G.Node {
			x := G.Must(G.Transpose(leaf(g, "x", 4, 4, 4, 4), 1, 0, 2, 3))
			return G.Must(G.MaxPool2D(x, tensor.Shape{2, 2}, []int{0, 0}, []int{2, 2}))
		}, "the batch is axis 1 of transpose_0.out"},
		{"its size", func(g *G.ExprGraph) *G.Node {
			x := leaf(g, "x", 4, 3)
			return G.Must(G.Div(x, G.Must(G.SizeOf(0, x))))
		}, "its value is the size of the batch"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			g := G.NewGraph()
			net, err := Read(g, []*G.Node{c.make(g)}, Options{})
			if err != nil {
				t.Fatal(err)
			}
			if net.Batch != 0 || !strings.Contains(net.BatchNote, c.want) {
				t.Errorf("batch %d, note %q, want %q", net.Batch, net.BatchNote, c.want)
			}
		})
	}
}

// A batch of one: everything of size 1 broadcasts, and the axis is still open.
func TestBatchOfOne(t *testing.T) {
	g := G.NewGraph()
	x := leaf(g, "x", 1, 2, 4, 4)
	w := weight(g, "w", 3, 2, 3, 3)
	h := G.Must(G.Conv2d(x, w, tensor.Shape{3, 3}, []int{1, 1}, []int{1, 1}, []int{1, 1}))
	h = G.Must(G.BroadcastAdd(h, weight(g, "b", 1, 3, 1, 1), nil, []byte{0, 2, 3}))
	h = G.Must(G.Reshape(h, tensor.Shape{1, 48}))
	h = G.Must(G.Add(G.Must(G.Mul(h, weight(g, "fc", 48, 5))), weight(g, "fb", 1, 5)))
	net, err := Read(g, []*G.Node{h}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	shapes, err := net.Shapes(6)
	if err != nil {
		t.Fatalf("%v (%s)", err, net.BatchNote)
	}
	if got := shapes[net.Outputs[0]]; !slices.Equal(got, []int{6, 5}) {
		t.Errorf("output %v, want [6 5]", got)
	}
}

// Our own ops are rebuilt as themselves, with state of their own, and full slices and
// their operand are one value.
func TestRebuildOwnOpsAndAliases(t *testing.T) {
	g := G.NewGraph()
	x := leaf(g, "x", 4, 3)
	whole := G.Must(G.Slice(x, nil, nil))
	h, err := ops.Apply(nn.MatMul{}, whole, weight(g, "w", 3, 2))
	if err != nil {
		t.Fatal(err)
	}
	net, err := Read(g, []*G.Node{h, whole}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if net.Value(whole) != net.Value(x) || layerNames(net) != "w" {
		t.Errorf("layers %s", layerNames(net))
	}
	g2, at, err := Rebuild(net, RebuildOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if at[h].Graph() != g2 || at[h].Op() == h.Op() || fmt.Sprintf("%T", at[h].Op()) != fmt.Sprintf("%T", h.Op()) || at[whole] != at[x] {
		t.Errorf("rebuilt %v from %v", at[h].Op(), h.Op())
	}
}

// A rebuilt weight is the user's memory; a rebuilt pool has a mask of its own.
func TestRebuildSharesWeightsOnly(t *testing.T) {
	g := G.NewGraph()
	w, s := weight(g, "w", 3, 2), G.NewScalar(g, G.Float32, G.WithName("s"), G.WithValue(float32(2)))
	y := G.Must(G.Mul(G.Must(G.Mul(leaf(g, "x", 4, 3), w)), s))
	net, err := Read(g, []*G.Node{y}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	_, at, err := Rebuild(net, RebuildOptions{})
	if err != nil {
		t.Fatal(err)
	}
	at[w].Value().(*tensor.Dense).Float32s()[1] = 42
	if got := w.Value().(*tensor.Dense).Float32s()[1]; got != 42 {
		t.Errorf("the user's weight is %v, want 42", got)
	}
	if at[s].Value() != s.Value() {
		t.Error("the scalar is not shared")
	}
}

// Graphs of thousands of nodes: nothing recurses along the depth of the network.
func TestDeepGraph(t *testing.T) {
	g := G.NewGraph()
	h := leaf(g, "x", 1, 1)
	const depth = 3000
	for range depth {
		h = G.Must(G.Tanh(h))
	}
	net, err := Read(g, []*G.Node{h}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(net.Layers) != depth {
		t.Errorf("%d layers, want %d", len(net.Layers), depth)
	}
}
