package qat

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/internal/graph/zoo"
	"github.com/goqat/goqat/internal/ops"
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
			compareWithStock(t, m, n.p, want)
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
			compareWithStock(t, m, o.p, want)
		})
	}
}

func compareWithStock(t *testing.T, m *zoo.Model, p *Prepared, want map[string][]float32) {
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

// program is a training program that existed before: its graph with the loss.
type program struct {
	g       *gorgonia.ExprGraph
	outputs []*gorgonia.Node
	cost    *gorgonia.Node
	inputs  []*gorgonia.Node // what feed binds values to
	params  int              // parameters that are to be trained
	reads   []*gorgonia.Value
}

// leaf adds an input of the network or the loss.
func (p *program) leaf(name string, shape ...int) *gorgonia.Node {
	n := leaf(p.g, name, shape...)
	p.inputs = append(p.inputs, n)
	return n
}

func (p *program) read(n *gorgonia.Node) {
	p.reads = append(p.reads, new(gorgonia.Value))
	gorgonia.Read(n, p.reads[len(p.reads)-1])
}

func crossEntropy(logits, y *gorgonia.Node) *gorgonia.Node {
	logp := must(gorgonia.Log(must(gorgonia.SoftMax(logits))))
	return must(gorgonia.Neg(must(gorgonia.Mean(must(gorgonia.HadamardProd(logp, y))))))
}

func weightDecay(lambda float32, w *gorgonia.Node) *gorgonia.Node {
	return must(gorgonia.Mul(gorgonia.NewConstant(lambda), must(gorgonia.Sum(must(gorgonia.Square(w))))))
}

func byName(g *gorgonia.ExprGraph, name string) *gorgonia.Node { return g.ByName(name)[0] }

var programs = map[string]func(p *program){
	"one-hot labels": func(p *program) {
		y := fc("fc2", relu(fc("fc1", p.leaf("x", 4, 6), 5)), 3)
		p.outputs = []*gorgonia.Node{y}
		p.cost = crossEntropy(y, p.leaf("y", 4, 3))
		p.params = 4
	},
	"integer labels": func(p *program) {
		y := fc("fc2", relu(fc("fc1", p.leaf("x", 4, 6), 5)), 3)
		labels := gorgonia.NewVector(p.g, tensor.Int, gorgonia.WithShape(4), gorgonia.WithName("labels"))
		p.inputs = append(p.inputs, labels)
		p.outputs = []*gorgonia.Node{y}
		p.cost = must(ops.CrossEntropy(y, labels))
		p.params = 4
	},
	"probabilities as the output, read metrics": func(p *program) {
		h := relu(fc("fc1", p.leaf("x", 4, 6), 5))
		prob := must(gorgonia.SoftMax(fc("fc2", h, 3)))
		y := p.leaf("y", 4, 3)
		p.outputs = []*gorgonia.Node{prob}
		p.cost = must(gorgonia.Mean(must(gorgonia.Square(must(gorgonia.Sub(prob, y))))))
		p.read(p.cost)
		p.read(prob)
		p.read(must(gorgonia.Max(h)))
		p.params = 4
	},
	"regulariser over a quantized weight": func(p *program) {
		y := fc("fc2", relu(fc("fc1", p.leaf("x", 4, 6), 5)), 3)
		p.outputs = []*gorgonia.Node{y}
		p.cost = must(gorgonia.Add(crossEntropy(y, p.leaf("y", 4, 3)), weightDecay(0.125, byName(p.g, "fc1.weight"))))
		p.params = 4
	},
	"second head with batch normalisation and dropout": func(p *program) {
		h := relu(batchNorm("bn1", conv("c1", p.leaf("x", 3, 2, 4, 4), 4, 3)))
		flat := must(gorgonia.Reshape(h, tensor.Shape{3, 64}))
		a := fc("a", flat, 3)
		b := relu(batchNorm("bn2", fc("b1", must(gorgonia.Dropout(flat, 0.25)), 6)))
		b = fc("b2", b, 2)
		p.outputs = []*gorgonia.Node{a}
		p.cost = must(gorgonia.Add(crossEntropy(a, p.leaf("y", 3, 3)),
			must(gorgonia.Mean(must(gorgonia.Square(must(gorgonia.Sub(b, p.leaf("z", 3, 2)))))))))
		p.params = 3 + 2 + 6
	},
	"a stock op behind the network": func(p *program) {
		h := conv("c1", p.leaf("x", 2, 2, 4, 4), 3, 3)
		big := must(gorgonia.Upsample2D(h, 2))
		p.outputs = []*gorgonia.Node{relu(conv("c2", relu(h), 2, 3))}
		p.cost = must(gorgonia.Add(squares(p.outputs), must(gorgonia.Mean(must(gorgonia.Square(must(gorgonia.Sub(big, p.leaf("y", 2, 3, 8, 8)))))))))
		p.params = 2
	},
	"autoencoder against its input": func(p *program) {
		x := p.leaf("x", 4, 6)
		y := fc("fc2", relu(fc("fc1", x, 3)), 6)
		p.outputs = []*gorgonia.Node{y}
		p.cost = must(gorgonia.Mean(must(gorgonia.Square(must(gorgonia.Sub(x, y))))))
		p.params = 4
	},
}

func newProgram(name string) *program {
	p := &program{g: gorgonia.NewGraph()}
	programs[name](p)
	return p
}

// quantize is the few lines that quantize a program.
func (pr *program) quantize(t *testing.T, cfg qconfig.Config) *net {
	t.Helper()
	n := onlyPrepare(t, cfg, pr.g, pr.outputs...)
	vars := []**gorgonia.Node{&pr.cost}
	for i := range pr.inputs {
		vars = append(vars, &pr.inputs[i])
	}
	if err := n.p.Map(vars...); err != nil {
		t.Fatal(err)
	}
	n.cost = pr.cost
	if _, err := gorgonia.Grad(n.cost, n.p.Learnables()...); err != nil {
		t.Fatal(err)
	}
	return n
}

func (pr *program) feed(t *testing.T, i int) {
	t.Helper()
	for k, x := range pr.inputs {
		v := dense(numbers(uint32(100*i+k+1), size(x.Shape())), x.Shape()...)
		if x.Dtype() == tensor.Int {
			labels := make([]int, size(x.Shape()))
			for j := range labels {
				labels[j] = (i + j) % 3
			}
			v = tensor.New(tensor.WithShape(x.Shape()...), tensor.WithBacking(labels))
		}
		if err := gorgonia.Let(x, v); err != nil {
			t.Fatal(err)
		}
	}
}

// TestCarriedPrograms trains each program on both machines, to the same bits, freezes it
// and finds no difference to the frozen network, at another batch size too.
func TestCarriedPrograms(t *testing.T) {
	for name := range programs {
		t.Run(name, func(t *testing.T) {
			run := func(own bool) (*net, map[string][]float32) {
				pr := newProgram(name)
				n := pr.quantize(t, qconfig.Config{Milestones: qconfig.MilestonesAt(0, 2, qconfig.Never, qconfig.Never)})
				if got := len(n.p.Learnables()); got != pr.params {
					t.Errorf("%d learnables, want %d", got, pr.params)
				}
				vm := n.machine()
				if !own {
					vm = gorgonia.NewTapeMachine(n.p.Graph())
				}
				defer vm.Close()
				h := map[string][]float32{}
				for i := range 6 {
					pr.feed(t, i)
					if err := vm.RunAll(); err != nil {
						t.Fatal(err)
					}
					h["loss"] = append(h["loss"], floats(t, n.cost.Value())...)
					for _, v := range pr.reads {
						h["reads"] = append(h["reads"], floats(t, *v)...)
					}
					for k, g := range gradients(t, n.p.Learnables()) {
						h[k] = g
					}
					solver := gorgonia.NewVanillaSolver(gorgonia.WithLearnRate(0.01))
					if err := errors.Join(solver.Step(gorgonia.NodesToValueGrads(n.p.Learnables())), n.q.Step()); err != nil {
						t.Fatal(err)
					}
					vm.Reset()
				}
				return n, h
			}
			n, own := run(true)
			tape, stock := run(false)
			sameBits(t, "history", own, stock)
			sameSnapshot(t, n.snapshot(), tape.snapshot())
			fz := n.freeze()
			n.verify(fz, n.batch(1, n.p.Batch()))
			n.verify(fz, n.batch(2, n.p.Batch()+3))
			if _, err := n.p.Predict(n.batch(3, 5)...); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestCarriedRegulariser: its gradient is that of the float weights, however coarse the
// quantized ones are, and reaches the user's memory.
func TestCarriedRegulariser(t *testing.T) {
	g, _, y := mlp()
	w := byName(g, "fc1.weight")
	cost := weightDecay(0.5, w)
	n := onlyPrepare(t, qconfig.Config{Global: &qconfig.Layer{Weights: qconfig.Tensor{Bits: 2}}}, g, y)
	user := w
	if err := n.p.Map(&w, &cost); err != nil {
		t.Fatal(err)
	}
	if _, err := gorgonia.Grad(cost, w); err != nil {
		t.Fatal(err)
	}
	vm, err := n.p.Machine(cost)
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
	n.cost = squares(n.p.OutputNodes())
	if _, err := gorgonia.Grad(n.cost, n.p.Learnables()...); err != nil {
		t.Fatal(err)
	}
	at := h
	if err := n.p.Map(&at); err != nil {
		t.Fatal(err)
	}
	n.feed(0)
	vm, err := n.p.Machine(n.cost, at)
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
			err := n.p.Map(&first, &node)
			wantError(t, err, c.words...)
			if first != x || node != c.node {
				t.Error("a variable changed")
			}
		})
	}
	var layer *fakequant.LayerError
	if err := n.p.Map(&inner); !errors.As(err, &layer) || layer.Layer != "c1" {
		t.Errorf("error %v, want a LayerError of c1", err)
	}
	wantError(t, n.p.Map(nil), "the pointer to the variable is nil")
	wantError(t, n.p.Map(&none, &far), "nil", "far")
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
		{"after Grad, what was asked for", true, []string{"fc1.bias", "fc1.weight", "fc2.bias", "fc2.weight", "head.bias"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			g, y := build(c.graded)
			n := onlyPrepare(t, qconfig.Config{}, g, y)
			var got []string
			for _, w := range n.p.Learnables() {
				got = append(got, w.Name())
			}
			slices.Sort(got)
			if !slices.Equal(got, c.want) {
				t.Errorf("learnables %q, want %q", got, c.want)
			}
			target := byName(g, "target")
			if at := n.p.Node(target); at == nil || at.Value() == nil {
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
		if err := errors.Join(solver.Step(gorgonia.NodesToValueGrads(n.p.Learnables())), n.q.Step()); err != nil {
			t.Fatal(err)
		}
	}
	pr, n, vm := train()
	step(pr, n, vm, 0)
	var saved bytes.Buffer
	if err := n.q.SaveState(&saved); err != nil {
		t.Fatal(err)
	}
	step(pr, n, vm, 1)

	again, m, vm2 := train()
	if err := m.q.LoadState(bytes.NewReader(saved.Bytes()), int64(saved.Len())); err != nil {
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
		y := must(gorgonia.Exp(prob))
		if logged {
			// gorgonia.Log of prob itself would turn that into logarithms.
			must(gorgonia.Mean(must(gorgonia.Log(must(gorgonia.Reshape(prob, tensor.Shape{20}))))))
		}
		n := onlyPrepare(t, qconfig.Config{}, g, y)
		v := n.p.plan.net.Value(prob)
		if quantized := n.p.plan.groups[v] != nil; quantized == logged {
			t.Errorf("a logarithm behind them: %v, quantized: %v", logged, quantized)
		}
	}
}

// TestCarriedBreaksPairs: equalization does not scale channels that a carried head reads.
func TestCarriedBreaksPairs(t *testing.T) {
	g, _, y := mlp()
	n := onlyPrepare(t, qconfig.Config{}, g, y)
	if pairs, _ := n.p.plan.findPairs(); len(pairs) != 1 {
		t.Fatalf("%d pairs, want 1", len(pairs))
	}
	fc("head", n.p.plan.layers[0].out.Node, 2)
	n = onlyPrepare(t, qconfig.Config{}, g, y)
	pairs, broken := n.p.plan.findPairs()
	if len(pairs) != 0 || !slices.ContainsFunc(broken, func(b BrokenPair) bool { return b.Why == "its result is also read beside the network" }) {
		t.Errorf("pairs %v, broken %v", pairs, broken)
	}
}
