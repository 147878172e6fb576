package qat

import (
	"errors"
	"slices"
	"testing"

	"github.com/goqat/goqat/qat/internal/plan"
	"github.com/goqat/goqat/qat/qconfig"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// badPrepare are calls of New and Prepare that fail. The words are in the message:
// where, and how to put it right.
var badPrepare = []struct {
	name  string
	cfg   qconfig.Config
	build func() (*gorgonia.ExprGraph, []*gorgonia.Node)
	words []string
}{
	{"nil graph", qconfig.Config{}, func() (*gorgonia.ExprGraph, []*gorgonia.Node) {
		_, _, y := mlp()
		return nil, []*gorgonia.Node{y}
	}, []string{"graph is nil", "give the graph"}},
	{"no outputs", qconfig.Config{}, mlpWith(), []string{"no outputs", "name the nodes"}},
	{"nil output", qconfig.Config{}, mlpWith(func(g *gorgonia.ExprGraph, x, y *gorgonia.Node) *gorgonia.Node { return y },
		func(g *gorgonia.ExprGraph, x, y *gorgonia.Node) *gorgonia.Node { return nil }), []string{"output 1 is nil", "give a node"}},
	{"output of another graph", qconfig.Config{}, mlpWith(func(g *gorgonia.ExprGraph, x, y *gorgonia.Node) *gorgonia.Node {
		_, _, other := mlp()
		return other
	}), []string{"output 0", "another graph", "or a node of this one"}},
	{"an input as output", qconfig.Config{}, mlpWith(func(g *gorgonia.ExprGraph, x, y *gorgonia.Node) *gorgonia.Node { return x }),
		[]string{"output 0 (x) is a leaf", "give a result"}},
	{"a parameter's function as output", qconfig.Config{}, mlpWith(func(g *gorgonia.ExprGraph, x, y *gorgonia.Node) *gorgonia.Node {
		return must(gorgonia.Tanh(param(g, "z", 2, 2)))
	}), []string{"no input", "z", "inputs in the config"}},
	{"one output without an input", qconfig.Config{}, mlpWith(func(g *gorgonia.ExprGraph, x, y *gorgonia.Node) *gorgonia.Node { return y },
		func(g *gorgonia.ExprGraph, x, y *gorgonia.Node) *gorgonia.Node {
			return must(gorgonia.Tanh(param(g, "z", 2, 2)))
		}), []string{"tanh_0.out", "depends on no input", "leave it out"}},
	{"integer input", qconfig.Config{}, func() (*gorgonia.ExprGraph, []*gorgonia.Node) {
		g := gorgonia.NewGraph()
		x := gorgonia.NewMatrix(g, tensor.Int, gorgonia.WithShape(2, 2), gorgonia.WithName("ids"))
		return g, []*gorgonia.Node{must(gorgonia.Add(x, x))}
	}, []string{"ids", "int", "float32"}},
	{"float64 graph", qconfig.Config{}, func() (*gorgonia.ExprGraph, []*gorgonia.Node) {
		g := gorgonia.NewGraph()
		x := gorgonia.NewMatrix(g, tensor.Float64, gorgonia.WithShape(2, 2), gorgonia.WithName("x"))
		return g, []*gorgonia.Node{must(gorgonia.Tanh(x))}
	}, []string{"node x is float64", "gorgonia.Float32"}},
	{"two parameters of one name", qconfig.Config{}, func() (*gorgonia.ExprGraph, []*gorgonia.Node) {
		g := gorgonia.NewGraph()
		h := must(gorgonia.Mul(leaf(g, "x", 2, 2), param(g, "w", 2, 3)))
		return g, []*gorgonia.Node{must(gorgonia.Mul(h, param(g, "w", 3, 3)))}
	}, []string{`"w"`, "gorgonia.WithName"}},
	{"no input at all", qconfig.Config{}, func() (*gorgonia.ExprGraph, []*gorgonia.Node) {
		g := gorgonia.NewGraph()
		return g, []*gorgonia.Node{must(gorgonia.Add(param(g, "a", 2, 2), param(g, "b", 2, 2)))}
	}, []string{"no input", "a, b", "inputs in the config"}},
	{"empty input", qconfig.Config{}, func() (*gorgonia.ExprGraph, []*gorgonia.Node) {
		g := gorgonia.NewGraph()
		return g, []*gorgonia.Node{must(gorgonia.Tanh(leaf(g, "x", 0, 6)))}
	}, []string{"x", "at least 1"}},
	{"weights that are a view", qconfig.Config{}, func() (*gorgonia.ExprGraph, []*gorgonia.Node) {
		view, err := dense(numbers(1, 12), 2, 6).Slice(nil, gorgonia.S(0, 3))
		return boundTo(view, err)
	}, []string{`"fc.weight"`, "view", "bind a contiguous"}},
	{"weights that are transposed", qconfig.Config{}, func() (*gorgonia.ExprGraph, []*gorgonia.Node) {
		d := dense(numbers(1, 6), 3, 2)
		return boundTo(d, d.T())
	}, []string{`"fc.weight"`, "bind a contiguous"}},
	{"block size below 0", qconfig.Config{Global: &qconfig.Layer{Weights: qconfig.Tensor{Granularity: qconfig.PerBlock, BlockSize: -1}}}, mlpWith(first),
		[]string{"global.weights.block_size", "at least 1"}},
	{"block size without blocks", qconfig.Config{Global: &qconfig.Layer{Weights: qconfig.Tensor{BlockSize: 4}}}, mlpWith(first),
		[]string{"global.weights.block_size", "per_block"}},
	{"block size above the layer's axis", qconfig.Config{Names: map[string]*qconfig.Layer{"fc2": {Weights: qconfig.Tensor{Granularity: qconfig.PerBlock, BlockSize: 6}}}}, mlpWith(first),
		[]string{"names.fc2.weights.block_size", "6 is larger", "use at most 5"}},
	{"blocks of activations", qconfig.Config{Global: &qconfig.Layer{Activations: qconfig.Tensor{Granularity: qconfig.PerBlock}}}, mlpWith(first),
		[]string{"global.activations.granularity", "per_tensor"}},
	{"layer that is not there", qconfig.Config{Names: map[string]*qconfig.Layer{"fc3": nil}}, mlpWith(first),
		[]string{"names.fc3", `no layer "fc3"`, `did you mean "fc1"?`}},
	{"layer far from any", qconfig.Config{Names: map[string]*qconfig.Layer{"encoder": nil}}, mlpWith(first),
		[]string{"names.encoder", "there are fc1, fc2"}},
	{"kind that is not there", qconfig.Config{Types: map[string]*qconfig.Layer{"matmull": nil}}, mlpWith(first),
		[]string{"types.matmull", `did you mean "matmul"?`}},
	{"input that is not there", qconfig.Config{Roles: qconfig.Roles{Inputs: []string{"xs"}}}, mlpWith(first), []string{"roles.inputs[0]", `no leaf "xs"`, `did you mean "x"?`}},
	{"nine bits", qconfig.Config{Global: &qconfig.Layer{Weights: qconfig.Tensor{Bits: 9}}}, mlpWith(first), []string{"global.weights.bits", "2 to 8"}},
	{"quantize before observe", qconfig.Config{Milestones: qconfig.MilestonesAt(2, 1, qconfig.Never, qconfig.Never)}, mlpWith(first), []string{"milestones", "quantize >= observe"}},
}

// mlpWith is the mlp with the outputs that the functions pick or add.
func mlpWith(outputs ...func(g *gorgonia.ExprGraph, x, y *gorgonia.Node) *gorgonia.Node) func() (*gorgonia.ExprGraph, []*gorgonia.Node) {
	return func() (*gorgonia.ExprGraph, []*gorgonia.Node) {
		g, x, y := mlp()
		var ns []*gorgonia.Node
		for _, f := range outputs {
			ns = append(ns, f(g, x, y))
		}
		return g, ns
	}
}

func first(_ *gorgonia.ExprGraph, _, y *gorgonia.Node) *gorgonia.Node { return y }

// boundTo is one product with a weight of shape [2,3] on the given tensor.
func boundTo(v gorgonia.Value, err error) (*gorgonia.ExprGraph, []*gorgonia.Node) {
	if err != nil {
		panic(err)
	}
	g := gorgonia.NewGraph()
	w := leaf(g, "fc.weight", 2, 3)
	if err := gorgonia.Let(w, v); err != nil {
		panic(err)
	}
	return g, []*gorgonia.Node{must(gorgonia.Mul(leaf(g, "x", 2, 2), w))}
}

func TestBadPrepare(t *testing.T) {
	for _, c := range badPrepare {
		t.Run(c.name, func(t *testing.T) {
			g, outputs := c.build()
			var nodes gorgonia.Nodes
			if g != nil {
				nodes = slices.Clone(g.AllNodes())
			}
			m, err := Prepare(g, c.cfg, outputs...)
			wantError(t, err, append(c.words, "qat: ")...)
			if m != nil {
				t.Error("a model comes with the error")
			}
			if g != nil && !slices.Equal(g.AllNodes(), nodes) {
				t.Error("the user's graph has other nodes than before")
			}
			if err := c.cfg.Validate(); err != nil && !errors.Is(err, qconfig.ErrConfig) {
				t.Errorf("Validate: %v does not wrap ErrConfig", err)
			}
		})
	}
}

// TestTwoModels: one graph may be prepared twice, also after a failure.
func TestTwoModels(t *testing.T) {
	g, x, y := mlp()
	n := prepare(t, qconfig.Config{}, g, y)
	if _, err := Prepare(g, qconfig.Config{}, x); err == nil {
		t.Error("an input as output: no error")
	}
	other, err := Prepare(g, qconfig.Config{}, y)
	if err != nil {
		t.Fatal(err)
	}
	n.step(n.machine(), 0)
	if n.m.Steps() != 1 || other.Steps() != 0 {
		t.Errorf("%d and %d steps, want 1 and 0", n.m.Steps(), other.Steps())
	}
}

// TestTooManyProducts: sums that could overflow 32 bits stay float, and the report
// says so.
func TestTooManyProducts(t *testing.T) {
	g := gorgonia.NewGraph()
	n := prepare(t, qconfig.Config{}, g, fc("fc", leaf(g, "x", 2, plan.MaxTerms+1), 1))
	for _, part := range []string{"weight", "activation"} {
		row := n.row("fc", part)
		if row.Spec != "float32" {
			t.Errorf("%s: %s, want float32", part, row.Spec)
		}
		if want := "33026 products per output could overflow 32-bit sums (limit 33025)"; row.Why != want {
			t.Errorf("%s: reason %q, want %q", part, row.Why, want)
		}
	}
	n.step(n.machine(), 0)
	n.verify(n.freeze(), n.batch(1, 3))

	g = gorgonia.NewGraph()
	n = prepare(t, qconfig.Config{}, g, fc("fc", leaf(g, "x", 2, plan.MaxTerms), 1))
	if n.layer("fc").WeightQuantizer == nil {
		t.Error("the largest sum that fits stayed float")
	}
}

// TestUnrelatedParts: outputs that share nothing are one network with two inputs,
// and a part that no output needs is not read.
func TestUnrelatedParts(t *testing.T) {
	g, _, y := mlp()
	x2 := leaf(g, "x2", 4, 3)
	y2 := relu(fc("other", x2, 2))
	n := prepare(t, qconfig.Config{}, g, y, y2)
	if got := n.m.Inputs(); !slices.Equal(got, []string{"x", "x2"}) {
		t.Errorf("inputs %q", got)
	}
	n.step(n.machine(), 0)
	n.verify(n.freeze(), n.batch(1, 9))

	n = prepare(t, qconfig.Config{}, g, y2)
	if got := n.m.Inputs(); !slices.Equal(got, []string{"x2"}) {
		t.Errorf("inputs %q", got)
	}
	if len(n.m.Learnables()) != 2 {
		t.Errorf("learnables %v, want those of the one layer", n.m.Learnables())
	}
}
