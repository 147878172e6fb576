package qat

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/internal/graph/zoo"
	"github.com/goqat/goqat/qat/internal/tune"
	"github.com/goqat/goqat/qat/ptq"
	"github.com/goqat/goqat/qat/qconfig"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// TestCarriedCostEqualsStock prepares each network of the zoo by its outputs alone; the
// cost comes along, and with quantization off it and the gradients are those of the stock
// graph, also where that has gradients of its own already.
func TestCarriedCostEqualsStock(t *testing.T) {
	for _, c := range zoo.Nets() {
		if c.Wrong != "" || c.Random {
			continue // Gorgonia's own results are no reference
		}
		t.Run(c.Name, func(t *testing.T) {
			want := stockResults(t, c)
			m := c.Build()
			before := len(m.Graph.AllNodes())
			n := onlyPrepare(t, off(), m.Graph, m.Outputs...)
			if after := len(m.Graph.AllNodes()); after != before {
				t.Errorf("Prepare left %d nodes in the user's graph, there were %d", after, before)
			}
			compareWithStock(t, m, n.m, want)
		})
	}
}

// TestOptimizeCarries is the same for float graphs.
func TestOptimizeCarries(t *testing.T) {
	for _, c := range zoo.Nets() {
		if c.Wrong != "" || c.Random {
			continue
		}
		t.Run(c.Name, func(t *testing.T) {
			want := stockResults(t, c)
			m := c.Build()
			o, err := Optimize(m.Graph, m.Outputs...)
			if err != nil {
				t.Fatal(err)
			}
			compareWithStock(t, m, o, want)
		})
	}
}

func compareWithStock(t *testing.T, m *zoo.Model, p *Model, want map[string][]float32) {
	t.Helper()
	nodes := append(append([]*gorgonia.Node{}, m.Outputs...), m.Cost)
	at := map[*gorgonia.Node]*gorgonia.Node{}
	var learnables gorgonia.Nodes
	for _, list := range [][]*gorgonia.Node{m.Inputs, m.Learnables, nodes} {
		for _, old := range list {
			n := old
			if err := p.Map(&n); err != nil {
				t.Fatal(err)
			}
			at[old] = n
		}
	}
	for _, w := range m.Learnables {
		learnables = append(learnables, at[w])
	}
	for i, y := range nodes {
		nodes[i] = at[y]
	}
	if _, err := gorgonia.Grad(at[m.Cost], learnables...); err != nil {
		t.Fatal(err)
	}
	if err := m.Feed(at); err != nil {
		t.Fatal(err)
	}
	vm, err := p.Machine(nodes...)
	if err != nil {
		t.Fatal(err)
	}
	closeTo(t, runOptimized(t, vm, nodes, learnables), want)
}

// TestCarriedRegulariser: its gradient is that of the float weights, however coarse the
// quantized ones are, and reaches the user's memory.
func TestCarriedRegulariser(t *testing.T) {
	g, _, y := mlp()
	w := byName(g, "fc1.weight")
	cost := weightDecay(0.5, w)
	n := onlyPrepare(t, qconfig.Config{Global: &qconfig.Layer{Weights: qconfig.Tensor{Bits: 2}}}, g, y)
	user := w
	if err := n.m.Map(&w, &cost); err != nil {
		t.Fatal(err)
	}
	if _, err := gorgonia.Grad(cost, w); err != nil {
		t.Fatal(err)
	}
	vm, err := n.m.Machine(cost)
	if err != nil {
		t.Fatal(err)
	}
	n.feed(0)
	if err := vm.RunAll(); err != nil {
		t.Fatal(err)
	}
	// The derivative of 0.5·Σw² is w, without any rounding.
	before := floats(t, user.Value())
	sameBits(t, "gradient", gradients(t, gorgonia.Nodes{w}), map[string][]float32{w.Name(): before})
	if err := gorgonia.NewVanillaSolver(gorgonia.WithLearnRate(0.5)).Step(gorgonia.NodesToValueGrads(gorgonia.Nodes{w})); err != nil {
		t.Fatal(err)
	}
	for i, v := range floats(t, user.Value()) {
		if v != before[i]/2 {
			t.Fatalf("element %d of the user's weight is %v after the step, want half of %v", i, v, before[i])
		}
	}
}

// TestCarriedReadKeepsValue: what a Read statement or another head sees is not fused
// away, and both get what later layers see.
func TestCarriedReadKeepsValue(t *testing.T) {
	g := gorgonia.NewGraph()
	h := conv("c1", leaf(g, "x", 2, 2, 4, 4), 3, 3)
	y := relu(batchNorm("bn1", h))
	var v gorgonia.Value
	gorgonia.Read(h, &v)
	n := onlyPrepare(t, qconfig.Config{}, g, y)
	n.cost = squares(n.m.OutputNodes())
	if _, err := gorgonia.Grad(n.cost, n.m.Learnables()...); err != nil {
		t.Fatal(err)
	}
	at := h
	if err := n.m.Map(&at); err != nil {
		t.Fatal(err)
	}
	n.feed(0)
	vm, err := n.m.Machine(n.cost, at)
	if err != nil {
		t.Fatal(err)
	}
	if err := vm.RunAll(); err != nil {
		t.Fatal(err)
	}
	if v == nil {
		t.Fatal("nothing was read")
	}
	sameBits(t, "read", map[string][]float32{"h": floats(t, v)}, map[string][]float32{"h": floats(t, at.Value())})
}

// TestCarriedMapErrors: every node without a counterpart is named, and no variable moves.
func TestCarriedMapErrors(t *testing.T) {
	g := gorgonia.NewGraph()
	x := leaf(g, "x", 2, 2, 4, 4)
	inner := conv("c1", x, 3, 3)
	y := relu(batchNorm("bn1", inner))
	cost := squares([]*gorgonia.Node{y})
	grads, err := gorgonia.Grad(cost, byName(g, "c1.weight"))
	if err != nil {
		t.Fatal(err)
	}
	far, unused := leaf(gorgonia.NewGraph(), "far", 2, 2), leaf(g, "unused", 2, 2)
	n := onlyPrepare(t, qconfig.Config{}, g, y)
	var none *gorgonia.Node
	for _, c := range []struct {
		name  string
		node  *gorgonia.Node
		words []string
	}{
		{"nil", none, []string{"variable 1", "the node is nil"}},
		{"another graph", far, []string{"variable 1", "far belongs to another graph"}},
		{"inside a fused layer", inner, []string{`"c1"`, "became a part of this layer"}},
		{"a gradient", grads[0], []string{"gorgonia.Grad made", "call Grad on the new graph"}},
		{"unused", unused, []string{"node unused was not carried over: nothing computes with it"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			first, node := x, c.node
			err := n.m.Map(&first, &node)
			wantError(t, err, c.words...)
			if first != x || node != c.node {
				t.Error("a variable changed")
			}
		})
	}
	var layer *fakequant.LayerError
	if err := n.m.Map(&inner); !errors.As(err, &layer) || layer.Layer != "c1" {
		t.Errorf("error %v, want a LayerError of c1", err)
	}
	wantError(t, n.m.Map(nil), "the pointer to the variable is nil")
	wantError(t, n.m.Map(&none, &far), "nil", "far")
}

// TestCarriedRoles: what nobody asked for is not trained.
func TestCarriedRoles(t *testing.T) {
	build := func(graded bool) (*gorgonia.ExprGraph, *gorgonia.Node) {
		g, _, y := mlp()
		h := relu(fc("head", byName(g, "x"), 3))
		target := param(g, "target", 4, 3) // data with a value
		cost := must(gorgonia.Add(squares([]*gorgonia.Node{must(gorgonia.Sub(h, target))}), squares([]*gorgonia.Node{y})))
		if graded {
			if _, err := gorgonia.Grad(cost, byName(g, "fc1.weight"), byName(g, "head.bias")); err != nil {
				t.Fatal(err)
			}
		}
		fc("dead", y, 2) // leads to no loss
		return g, y
	}
	for _, c := range []struct {
		name   string
		graded bool
		want   []string
	}{
		{"without Grad, the weights of a loss", false, []string{"fc1.bias", "fc1.weight", "fc2.bias", "fc2.weight", "head.bias", "head.weight"}},
		{"after Grad, what was asked for", true, []string{"fc1.weight", "head.bias"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			g, y := build(c.graded)
			n := onlyPrepare(t, qconfig.Config{}, g, y)
			var got []string
			for _, w := range n.m.Learnables() {
				got = append(got, w.Name())
			}
			slices.Sort(got)
			if !slices.Equal(got, c.want) {
				t.Errorf("learnables %q, want %q", got, c.want)
			}
			target := byName(g, "target")
			if at := n.node(target); at == nil || at.Value() == nil {
				t.Error("the target lost its value")
			}
		})
	}
}

// TestCarriedState: the weights and statistics of a carried head are part of the saved
// state.
func TestCarriedState(t *testing.T) {
	const name = "second head with batch normalisation and dropout"
	train := func() (*program, *net, gorgonia.VM) {
		pr := newProgram(name)
		n := pr.quantize(t, qconfig.Config{})
		return pr, n, n.machine()
	}
	step := func(pr *program, n *net, vm gorgonia.VM, i int) {
		pr.feed(t, i)
		solver := gorgonia.NewVanillaSolver(gorgonia.WithLearnRate(0.01))
		if err := vm.RunAll(); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(solver.Step(gorgonia.NodesToValueGrads(n.m.Learnables())), n.m.Step()); err != nil {
			t.Fatal(err)
		}
	}
	pr, n, vm := train()
	step(pr, n, vm, 0)
	var saved bytes.Buffer
	if err := n.m.WriteState(&saved); err != nil {
		t.Fatal(err)
	}
	step(pr, n, vm, 1)

	again, m, vm2 := train()
	if err := m.m.ReadState(bytes.NewReader(saved.Bytes()), int64(saved.Len())); err != nil {
		t.Fatal(err)
	}
	step(again, m, vm2, 1)
	sameSnapshot(t, m.snapshot(), n.snapshot())
}

// TestCarriedLogarithm: probabilities whose logarithm a loss takes stay float, as those of
// an output do: one that rounds to 0 would end training.
func TestCarriedLogarithm(t *testing.T) {
	for _, logged := range []bool{false, true} {
		g := gorgonia.NewGraph()
		x := leaf(g, "x", 4, 6)
		prob := must(gorgonia.SoftMax(fc("fc1", x, 5)))
		y := fc("fc2", must(gorgonia.Exp(prob)), 3)
		if logged {
			// gorgonia.Log of prob itself would turn that into logarithms.
			must(gorgonia.Mean(must(gorgonia.Log(must(gorgonia.Reshape(prob, tensor.Shape{20}))))))
		}
		n := onlyPrepare(t, qconfig.Config{}, g, y)
		v := n.m.plan.Net.Value(prob)
		if quantized := n.m.plan.Families[v] != nil; quantized == logged {
			t.Errorf("a logarithm behind them: %v, quantized: %v", logged, quantized)
		}
	}
}

// TestCarriedBreaksPairs: equalization does not scale channels that a carried head reads.
func TestCarriedBreaksPairs(t *testing.T) {
	g, _, y := mlp()
	n := onlyPrepare(t, qconfig.Config{}, g, y)
	if pairs, _ := tune.FindPairs(n.m.plan); len(pairs) != 1 {
		t.Fatalf("%d pairs, want 1", len(pairs))
	}
	fc("head", n.m.plan.Layers[0].Out.Node, 2)
	n = onlyPrepare(t, qconfig.Config{}, g, y)
	pairs, broken := tune.FindPairs(n.m.plan)
	if len(pairs) != 0 || !slices.ContainsFunc(broken, func(b ptq.BrokenPair) bool { return b.Why == "its result is also read beside the network" }) {
		t.Errorf("pairs %v, broken %v", pairs, broken)
	}
}
