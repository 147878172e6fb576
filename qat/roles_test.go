package qat

import (
	"slices"
	"strings"
	"testing"

	"github.com/goqat/goqat/qat/qconfig"
	"github.com/goqat/goqat/qat/report"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// valued adds a leaf with the same number throughout.
func valued(g *gorgonia.ExprGraph, name string, v float32, shape ...int) *gorgonia.Node {
	n := leaf(g, name, shape...)
	x := slices.Repeat([]float32{v}, size(shape))
	if err := gorgonia.Let(n, dense(x, shape...)); err != nil {
		panic(err)
	}
	return n
}

func leafNames(ls []report.PlanLeaf) string {
	var names []string
	for _, l := range ls {
		names = append(names, l.Name)
	}
	return strings.Join(names, " ")
}

// TestBiasOfOneExample: in a batch of one a bias is trained whatever its numbers are.
func TestBiasOfOneExample(t *testing.T) {
	for _, batch := range []int{1, 2} {
		for _, values := range [][]float32{{0, 0, 0, 0}, {0.1, 0.2, 0.3, 0.4}, {-1, -2, -3, -4}} {
			g := gorgonia.NewGraph()
			bias := leaf(g, "bias", 1, 4)
			if err := gorgonia.Let(bias, dense(values, 1, 4)); err != nil {
				t.Fatal(err)
			}
			y := must(gorgonia.Mul(leaf(g, "x", batch, 6), param(g, "w", 6, 4)))
			n := onlyPrepare(t, qconfig.Config{}, g, must(gorgonia.BroadcastAdd(y, bias, nil, []byte{0})))
			if l := n.m.Learnables(); len(l) != 2 {
				t.Errorf("batch of %d, bias %v: learnables %v", batch, values, l)
			}
			g = gorgonia.NewGraph()
			if err := gorgonia.Let(leaf(g, "bias", 4, 1), dense(values, 4, 1)); err != nil {
				t.Fatal(err)
			}
			y = must(gorgonia.Mul(param(g, "w", 4, 6), leaf(g, "x", 6, batch)))
			n = onlyPrepare(t, qconfig.Config{}, g, must(gorgonia.BroadcastAdd(y, g.ByName("bias")[0], nil, []byte{1})))
			if l := n.m.Learnables(); len(l) != 2 {
				t.Errorf("features first, batch of %d, bias %v: learnables %v", batch, values, l)
			}
		}
	}
}

// TestLeaves: what each leaf is, with and without a Grad before.
func TestLeaves(t *testing.T) {
	mask := []float32{0, -1e9, -1e9, 0, 0, -1e9, 0, 0, 0}
	for _, c := range []struct {
		name                      string
		build                     func(g *gorgonia.ExprGraph) *gorgonia.Node
		grad                      []string // leaves of a Grad before
		roles                     qconfig.Roles
		inputs, params, constants string
		axes                      []int // batch axes of the inputs
	}{
		{name: "weights left of states", build: func(g *gorgonia.ExprGraph) *gorgonia.Node {
			h := valued(g, "h0", 0, 6)
			wx := must(gorgonia.Mul(param(g, "W", 6, 5), leaf(g, "x", 5)))
			return must(gorgonia.Tanh(must(gorgonia.Add(wx, must(gorgonia.Mul(param(g, "U", 6, 6), h))))))
		}, inputs: "h0 x", params: "W U", axes: []int{-1, -1}},
		{name: "the same after Grad", build: func(g *gorgonia.ExprGraph) *gorgonia.Node {
			h := valued(g, "h0", 0, 6)
			wx := must(gorgonia.Mul(param(g, "W", 6, 5), leaf(g, "x", 5)))
			return must(gorgonia.Tanh(must(gorgonia.Add(wx, must(gorgonia.Mul(param(g, "U", 6, 6), h))))))
		}, grad: []string{"W", "U"}, inputs: "h0 x", params: "W U", axes: []int{-1, -1}},
		{name: "features first", build: func(g *gorgonia.ExprGraph) *gorgonia.Node {
			h := valued(g, "h0", 0.5, 6, 4)
			wx := must(gorgonia.Mul(param(g, "W", 6, 5), leaf(g, "x", 5, 4)))
			return must(gorgonia.Tanh(must(gorgonia.Add(wx, must(gorgonia.Mul(param(g, "U", 6, 6), h))))))
		}, inputs: "h0 x", params: "W U", axes: []int{1, 1}},
		{name: "states of a cell, batch first", build: func(g *gorgonia.ExprGraph) *gorgonia.Node {
			x, h, c := leaf(g, "x", 4, 5), valued(g, "h0", 0, 4, 6), valued(g, "c0", 0, 4, 6)
			a := must(gorgonia.Add(must(gorgonia.Mul(x, param(g, "W", 5, 6))), must(gorgonia.Mul(h, param(g, "U", 6, 6)))))
			return must(gorgonia.HadamardProd(must(gorgonia.Sigmoid(a)), must(gorgonia.Add(c, must(gorgonia.Tanh(a))))))
		}, inputs: "x h0 c0", params: "W U", axes: []int{0, 0, 0}},
		{name: "time first", build: func(g *gorgonia.ExprGraph) *gorgonia.Node {
			x, w := leaf(g, "x", 3, 4, 5), param(g, "W", 5, 6)
			var sum *gorgonia.Node
			for i := range 3 {
				y := must(gorgonia.Mul(must(gorgonia.Slice(x, gorgonia.S(i))), w))
				if sum != nil {
					y = must(gorgonia.Add(sum, y))
				}
				sum = y
			}
			return sum
		}, inputs: "x", params: "W", axes: []int{1}},
		{name: "attention's constants", build: func(g *gorgonia.ExprGraph) *gorgonia.Node {
			m := gorgonia.NodeFromAny(g, dense(slices.Clone(mask), 3, 3), gorgonia.WithName("mask"))
			s := gorgonia.NodeFromAny(g, float32(0.5), gorgonia.WithName("scale"))
			return must(gorgonia.SoftMax(must(gorgonia.Add(must(gorgonia.HadamardProd(must(gorgonia.Mul(leaf(g, "x", 3, 4), param(g, "w", 4, 3))), s)), m))))
		}, inputs: "x", params: "w", constants: "mask scale"},
		{name: "adjacency", build: func(g *gorgonia.ExprGraph) *gorgonia.Node {
			a := gorgonia.NodeFromAny(g, dense([]float32{0.5, 0.5, 0, 0.25, 0.5, 0.25, 0, 0.5, 0.5}, 3, 3), gorgonia.WithName("A"))
			return relu(must(gorgonia.Mul(a, must(gorgonia.Mul(leaf(g, "x", 3, 4), param(g, "w", 4, 2))))))
		}, inputs: "x", params: "w", constants: "A"},
		{name: "adjacency on the right", build: func(g *gorgonia.ExprGraph) *gorgonia.Node {
			a := gorgonia.NodeFromAny(g, dense([]float32{0.5, 0.5, 0, 0.25, 0.5, 0.25, 0, 0.5, 0.5}, 3, 3), gorgonia.WithName("A"))
			return relu(must(gorgonia.Mul(must(gorgonia.Mul(param(g, "w", 2, 4), leaf(g, "x", 4, 3))), a)))
		}, inputs: "x", params: "w", constants: "A"},
		{name: "a Laplacian", build: func(g *gorgonia.ExprGraph) *gorgonia.Node {
			l := gorgonia.NodeFromAny(g, dense([]float32{1, -1, 0, -0.5, 1, -0.5, 0, -1, 1}, 3, 3), gorgonia.WithName("L"))
			return relu(must(gorgonia.Mul(l, must(gorgonia.Mul(leaf(g, "x", 3, 4), param(g, "w", 4, 2))))))
		}, inputs: "x", params: "w", constants: "L"},
		{name: "an identity to start with", build: func(g *gorgonia.ExprGraph) *gorgonia.Node {
			u := gorgonia.NodeFromAny(g, dense([]float32{1, 0, 0, 0, 1, 0, 0, 0, 1}, 3, 3), gorgonia.WithName("U"))
			return must(gorgonia.Mul(relu(must(gorgonia.Mul(leaf(g, "x", 2, 4), param(g, "w", 4, 3)))), u))
		}, inputs: "x", params: "U w"},
		{name: "a standardised table", build: func(g *gorgonia.ExprGraph) *gorgonia.Node {
			mean := gorgonia.NodeFromAny(g, dense([]float32{-0.5, 0.25, 0.125}, 1, 3), gorgonia.WithName("mean"))
			inv := gorgonia.NodeFromAny(g, dense([]float32{2, 0.5, 1.5}, 1, 3), gorgonia.WithName("inv"))
			z := must(gorgonia.BroadcastAdd(leaf(g, "x", 4, 3), mean, nil, []byte{0}))
			return fc("fc", must(gorgonia.BroadcastHadamardProd(z, inv, nil, []byte{0})), 2)
		}, inputs: "x", params: "fc.weight fc.bias", constants: "mean inv"},
		{name: "everything has a value", build: func(g *gorgonia.ExprGraph) *gorgonia.Node {
			return relu(must(gorgonia.Mul(param(g, "W", 6, 5), param(g, "x", 5, 3))))
		}, inputs: "x", params: "W"},
		{name: "everything has a value, after Grad", build: func(g *gorgonia.ExprGraph) *gorgonia.Node {
			return relu(must(gorgonia.Mul(param(g, "W", 6, 5), param(g, "batch", 5, 3))))
		}, grad: []string{"W"}, inputs: "batch", params: "W"},
		{name: "a random state, features first", build: func(g *gorgonia.ExprGraph) *gorgonia.Node {
			a := must(gorgonia.Mul(param(g, "W", 5, 4), leaf(g, "x", 4, 3)))
			h := must(gorgonia.Tanh(must(gorgonia.Add(a, must(gorgonia.Mul(param(g, "U", 5, 5), param(g, "h0", 5, 3)))))))
			return must(gorgonia.Mul(param(g, "V", 2, 5), h))
		}, inputs: "x h0", params: "W U V"},
		{name: "a head alone is trained", build: func(g *gorgonia.ExprGraph) *gorgonia.Node {
			return fc("head", relu(fc("body", leaf(g, "x", 4, 6), 5)), 3)
		}, grad: []string{"head.weight", "head.bias"}, inputs: "x", params: "head.weight head.bias", constants: "body.weight body.bias", axes: []int{0}},
		{name: "gains that do nothing yet", build: func(g *gorgonia.ExprGraph) *gorgonia.Node {
			y := must(gorgonia.BroadcastHadamardProd(fc("fc", leaf(g, "x", 4, 6), 5), valued(g, "gain", 1, 1, 5), nil, []byte{0}))
			return must(gorgonia.BroadcastAdd(y, valued(g, "shift", 0, 1, 5), nil, []byte{0}))
		}, inputs: "x", params: "fc.weight fc.bias gain shift", axes: []int{0}},
		{name: "said", build: func(g *gorgonia.ExprGraph) *gorgonia.Node {
			y := must(gorgonia.Add(fc("fc", leaf(g, "x", 4, 4), 4), param(g, "s", 4, 4)))
			return must(gorgonia.HadamardProd(y, valued(g, "k", 2, 4, 4)))
		}, roles: qconfig.Roles{Inputs: []string{"s"}, Params: []string{"k"}, Constants: []string{"fc.bias"}, Batch: map[string]int{"x": -1, "s": -1}},
			inputs: "x s", params: "fc.weight k", constants: "fc.bias", axes: []int{-1, -1}},
	} {
		g := gorgonia.NewGraph()
		y := c.build(g)
		if c.grad != nil {
			var wrt gorgonia.Nodes
			for _, name := range c.grad {
				wrt = append(wrt, byName(g, name))
			}
			if _, err := gorgonia.Grad(must(gorgonia.Sum(must(gorgonia.Square(y)))), wrt...); err != nil {
				t.Fatal(err)
			}
		}
		n := prepare(t, qconfig.Config{Roles: c.roles}, g, y)
		p := n.m.Plan()
		var inputs []string
		var axes []int
		for _, in := range p.Inputs {
			inputs, axes = append(inputs, in.Name), append(axes, in.BatchAxis)
		}
		if strings.Join(inputs, " ") != c.inputs || leafNames(p.Params) != c.params || leafNames(p.Constants) != c.constants {
			t.Errorf("%s: inputs %q, parameters %q, constants %q, want %q, %q, %q", c.name, inputs, leafNames(p.Params), leafNames(p.Constants), c.inputs, c.params, c.constants)
		}
		if c.axes != nil && !slices.Equal(axes, c.axes) {
			t.Errorf("%s: batch axes %v, want %v; %s", c.name, axes, c.axes, p.BatchNote)
		}
		// Constants keep every bit, whatever the solver does.
		before := map[string][]float32{}
		for _, l := range p.Constants {
			before[l.Name] = floats(t, byName(g, l.Name).Value())
		}
		vm := n.machine()
		for i := range 3 {
			n.step(vm, i)
		}
		for name, x := range before {
			if got := floats(t, byName(g, name).Value()); !slices.Equal(got, x) {
				t.Errorf("%s: training changed the constant %s to %v", c.name, name, got)
			}
		}
		fz := n.freeze()
		n.verify(fz, n.batch(7, max(n.m.Batch(), 1)))
		if n.m.Batch() > 0 {
			n.verify(fz, n.batch(7, 9))
		}
	}
}

// TestStateKeepsValue: an input that had a value in the user's graph has it in the new one
// and wherever it is left out.
func TestStateKeepsValue(t *testing.T) {
	g := gorgonia.NewGraph()
	x, h := leaf(g, "x", 4, 5), valued(g, "h0", 0.5, 4, 6)
	y := must(gorgonia.Tanh(must(gorgonia.Add(must(gorgonia.Mul(x, param(g, "W", 5, 6))), must(gorgonia.Mul(h, param(g, "U", 6, 6)))))))
	n := onlyPrepare(t, qconfig.Config{Float: true}, g, y)
	vm, err := n.m.Machine(n.node(y))
	if err != nil {
		t.Fatal(err)
	}
	data := numbers(1, 20)
	if err := gorgonia.Let(n.node(x), dense(data, 4, 5)); err != nil {
		t.Fatal(err)
	}
	if err := vm.RunAll(); err != nil {
		t.Fatal(err)
	}
	want := floats(t, n.node(y).Value())
	full, err := n.m.Predict(data, slices.Repeat([]float32{0.5}, 24))
	if err != nil || !slices.Equal(full[0], want) {
		t.Errorf("with the state: %v, want %v, error %v", full, want, err)
	}
	for rows := 1; rows <= 4; rows++ {
		got, err := n.m.Predict(data[:5*rows])
		if err != nil || !slices.Equal(got[0], want[:6*rows]) {
			t.Errorf("%d rows: %v, want %v, error %v", rows, got, want[:6*rows], err)
		}
	}
	fz := n.freeze()
	if d := fz.Tensors[fz.Inputs[1]].Default; d == nil || *d != 0.5 {
		t.Errorf("default of the frozen input %v, want 0.5", d)
	}
}

// TestPlanText: the plan says what stays float, what cannot be frozen and what is odd.
func TestPlanText(t *testing.T) {
	g := gorgonia.NewGraph()
	sparse := must(gorgonia.Sparsemax(fc("c", leaf(g, "x", 2, 3), 4)))
	p := onlyPrepare(t, qconfig.Config{}, g, sparse).m.Plan()
	if len(p.NotFrozen) != 1 || !strings.Contains(p.String(), "no freeze") {
		t.Errorf("no word about Sparsemax:\n%v", p)
	}
	g = gorgonia.NewGraph()
	prob := must(gorgonia.SoftMax(must(gorgonia.Mul(leaf(g, "x", 2, 3), param(g, "w", 3, 4)))))
	plain := onlyPrepare(t, qconfig.Config{}, g, prob).m.Plan()
	must(gorgonia.Log(prob)) // turns the SoftMax into a logarithm
	turned := onlyPrepare(t, qconfig.Config{}, g, prob).m.Plan()
	if len(plain.Notes) != 0 || len(turned.Notes) != 1 || !strings.Contains(turned.String(), "logarithm of a softmax") {
		t.Errorf("notes %v before Log and %v after it", plain.Notes, turned.Notes)
	}
	again := onlyPrepare(t, qconfig.Config{}, g, prob)
	must(gorgonia.Log(again.node(prob)))
	_, err := again.m.Machine()
	wantError(t, err, "logarithm of a softmax already", "call Prepare before Log")
	text := plain.String()
	for _, want := range []string{"input      x [2 3], batch axis 0", "parameter  w [3 4]", "batch      2 in the graph", "float "} {
		if !strings.Contains(text, want) {
			t.Errorf("the plan does not say %q:\n%s", want, text)
		}
	}
	g = gorgonia.NewGraph()
	fixed := onlyPrepare(t, qconfig.Config{}, g, must(gorgonia.Reshape(relu(leaf(g, "x", 4, 3)), tensor.Shape{3, 4}))).m.Plan()
	if !strings.Contains(fixed.String(), "batch      fixed: ") || !strings.Contains(fixed.String(), "roles: batch") {
		t.Errorf("no reason for the fixed batch:\n%v", fixed)
	}
}
