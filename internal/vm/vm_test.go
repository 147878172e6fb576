package vm

import (
	"fmt"
	"slices"
	"testing"

	"github.com/goqat/goqat/internal/graph/zoo"
	"github.com/goqat/goqat/internal/nn"
	"github.com/goqat/goqat/internal/ops"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

func must(t *testing.T) func(*gorgonia.Node, error) *gorgonia.Node {
	return func(n *gorgonia.Node, err error) *gorgonia.Node {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
}

// vector adds a float32 input that holds x.
func vector(g *gorgonia.ExprGraph, name string, x ...float32) *gorgonia.Node {
	v := tensor.New(tensor.WithShape(len(x)), tensor.WithBacking(x))
	return gorgonia.NewVector(g, tensor.Float32, gorgonia.WithName(name), gorgonia.WithShape(len(x)), gorgonia.WithValue(v))
}

func compile(t *testing.T, g *gorgonia.ExprGraph, outputs ...*gorgonia.Node) *Machine {
	t.Helper()
	m, err := New(g, outputs...)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func runAll(t *testing.T, m gorgonia.VM) {
	t.Helper()
	if err := m.RunAll(); err != nil {
		t.Fatal(err)
	}
}

// floats copies a float32 value out.
func floats(t *testing.T, v gorgonia.Value) []float32 {
	t.Helper()
	if v == nil {
		t.Fatal("no value")
	}
	switch x := v.Data().(type) {
	case float32:
		return []float32{x}
	case []float32:
		return slices.Clone(x)
	}
	t.Fatalf("unexpected value %T", v.Data())
	return nil
}

func want(t *testing.T, what string, v gorgonia.Value, x ...float32) {
	t.Helper()
	if got := floats(t, v); !slices.Equal(got, x) {
		t.Errorf("%s is %v, want %v", what, got, x)
	}
}

// observe runs a graph some times and returns, for each run, what Read saw of the
// outputs and the cost, and the gradients of the learnables.
func observe(t *testing.T, m *zoo.Model, graded bool, runs int, start func() gorgonia.VM) [][]float32 {
	t.Helper()
	if !graded {
		if _, err := gorgonia.Grad(m.Cost, m.Learnables...); err != nil {
			t.Fatalf("Grad: %v", err)
		}
	}
	reads := make([]gorgonia.Value, len(m.Outputs)+1)
	for i, n := range append(slices.Clone(m.Outputs), m.Cost) {
		gorgonia.Read(n, &reads[i])
	}
	if err := m.Feed(nil); err != nil {
		t.Fatal(err)
	}
	vm := start()
	var out [][]float32
	for range runs {
		runAll(t, vm)
		for _, v := range reads {
			out = append(out, floats(t, v))
		}
		for _, n := range m.Learnables {
			g, err := n.Grad()
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, floats(t, g))
		}
		vm.Reset()
	}
	if err := vm.Close(); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestLikeTapeMachine: the same bits on stock graphs, run after run, with all of
// the graph or only what the cost needs. Networks that Gorgonia itself computes
// wrongly are left out, and random ones.
func TestLikeTapeMachine(t *testing.T) {
	tested := 0
	for _, c := range zoo.Nets() {
		if c.Wrong != "" || c.Random {
			continue
		}
		tested++
		t.Run(c.Name, func(t *testing.T) {
			m := c.Build()
			want := observe(t, m, c.Graded, 2, func() gorgonia.VM { return gorgonia.NewTapeMachine(m.Graph) })
			for _, all := range []bool{true, false} {
				m := c.Build()
				got := observe(t, m, c.Graded, 2, func() gorgonia.VM {
					for _, n := range m.Graph.AllNodes() { // TapeMachine does this by itself
						if op, ok := n.Op().(gorgonia.TrainModeOp); ok {
							if err := op.SetTraining(true); err != nil {
								t.Fatal(err)
							}
						}
					}
					if all {
						return compile(t, m.Graph)
					}
					return compile(t, m.Graph, m.Cost)
				})
				for i := range want {
					if !slices.Equal(got[i], want[i]) {
						t.Fatalf("everything %v: result %d is %v, TapeMachine's %v", all, i, got[i], want[i])
					}
				}
			}
		})
	}
	if tested < 40 {
		t.Errorf("only %d networks", tested)
	}
}

// TestTrainingMode: making a machine must not switch ops between training and
// evaluation, nor reset the statistics of a normalisation, as the stock one does.
func TestTrainingMode(t *testing.T) {
	g := gorgonia.NewGraph()
	x := gorgonia.NewMatrix(g, tensor.Float32, gorgonia.WithName("x"), gorgonia.WithShape(2, 2),
		gorgonia.WithValue(tensor.New(tensor.WithShape(2, 2), tensor.WithBacking([]float32{1, 2, 5, 8}))))
	ones := func(name string) *gorgonia.Node {
		return gorgonia.NewMatrix(g, tensor.Float32, gorgonia.WithName(name), gorgonia.WithShape(1, 2), gorgonia.WithInit(gorgonia.Ones()))
	}
	_, _, _, op, err := gorgonia.BatchNorm(x, ones("gamma"), ones("beta"), 0.5, 1e-5)
	if err != nil {
		t.Fatal(err)
	}
	if err := op.SetTraining(true); err != nil {
		t.Fatal(err)
	}
	runAll(t, compile(t, g))
	before, _ := op.Stats()
	mean := before.Clone().(*tensor.Dense)
	compile(t, g)
	after, _ := op.Stats()
	if got := after.(*tensor.Dense); !slices.Equal(got.Float32s(), mean.Float32s()) || got.Float32s()[0] == 0 {
		t.Errorf("statistics %v after making a machine, %v before", got.Float32s(), mean.Float32s())
	}
}

// TestGraphs are small graphs with known answers.
func TestGraphs(t *testing.T) {
	t.Run("operands are left alone", func(t *testing.T) {
		g := gorgonia.NewGraph()
		x := vector(g, "x", 1, 2, 3)
		// A stock machine lets the product write into the reshaped input.
		col := must(t)(gorgonia.Reshape(x, tensor.Shape{3, 1}))
		y := must(t)(gorgonia.Mul(col, gorgonia.NewConstant(float32(10))))
		m := compile(t, g, y)
		for range 3 {
			runAll(t, m)
			want(t, "y", y.Value(), 10, 20, 30)
		}
		want(t, "x", x.Value(), 1, 2, 3)
	})
	t.Run("outputs", func(t *testing.T) {
		g := gorgonia.NewGraph()
		x := vector(g, "x", 1, 2)
		c := gorgonia.NewConstant(float32(3), gorgonia.In(g))
		y := must(t)(gorgonia.Mul(x, c))
		m := compile(t, g, x, y, c) // an input and a constant may be asked for as well
		runAll(t, m)
		want(t, "x", x.Value(), 1, 2)
		want(t, "c", c.Value(), 3)
		want(t, "y", y.Value(), 3, 6)
	})
	t.Run("new data without Reset", func(t *testing.T) {
		g := gorgonia.NewGraph()
		x := vector(g, "x", 1, 2)
		y := must(t)(gorgonia.Add(x, x))
		m := compile(t, g)
		var seen gorgonia.Value
		gorgonia.Read(y, &seen) // added after compiling: not this machine's business
		for i := range 4 {
			f := float32(i)
			if err := gorgonia.Let(x, tensor.New(tensor.WithBacking([]float32{f, 2 * f}))); err != nil {
				t.Fatal(err)
			}
			runAll(t, m)
			want(t, "y", y.Value(), 2*f, 4*f)
			if i == 1 {
				m.Reset()
			}
		}
		if seen != nil {
			t.Errorf("Read saw %v", seen)
		}
	})
	t.Run("scalars", func(t *testing.T) {
		g := gorgonia.NewGraph()
		a := gorgonia.NewScalar(g, tensor.Float32, gorgonia.WithName("a"), gorgonia.WithValue(float32(3)))
		b := gorgonia.NewScalar(g, tensor.Float32, gorgonia.WithName("b"), gorgonia.WithValue(float32(4)))
		y := must(t)(gorgonia.Mul(a, b))
		if _, err := gorgonia.Grad(y, a, b); err != nil {
			t.Fatal(err)
		}
		var seen gorgonia.Value
		gorgonia.Read(y, &seen)
		m := compile(t, g, y)
		for range 2 {
			runAll(t, m)
			want(t, "y", y.Value(), 12)
			want(t, "read", seen, 12)
			da, err := a.Grad()
			if err != nil {
				t.Fatal(err)
			}
			want(t, "dy/da", da, 4)
		}
	})
	t.Run("one node many times", func(t *testing.T) {
		g := gorgonia.NewGraph()
		x := vector(g, "x", 1, 2)
		y := must(t)(ops.Apply(nn.Concat{Axis: 0}, x, x, x))
		m := compile(t, g, y)
		runAll(t, m)
		want(t, "y", y.Value(), 1, 2, 1, 2, 1, 2)
	})
}

// TestRead: a statement reads every run, into one value as the stock machines do,
// and is run whatever the outputs are.
func TestRead(t *testing.T) {
	g := gorgonia.NewGraph()
	x := vector(g, "x", 1, 2)
	y := must(t)(gorgonia.Add(x, x))
	z := must(t)(gorgonia.Mul(y, y))
	var first, second, input gorgonia.Value
	gorgonia.Read(y, &first)
	gorgonia.Read(y, &second)
	gorgonia.Read(x, &input)
	for _, outputs := range [][]*gorgonia.Node{nil, {z}, {x}} {
		first, second, input = nil, nil, nil
		m := compile(t, g, outputs...)
		runAll(t, m)
		want(t, "first", first, 2, 4)
		want(t, "second", second, 2, 4)
		want(t, "input", input, 1, 2)
		kept := first
		x.Value().Data().([]float32)[0] = 7
		want(t, "input after a change", input, 1, 2) // a copy, not the user's memory
		runAll(t, m)
		want(t, "first", first, 14, 4)
		if first != kept {
			t.Errorf("%d outputs: the second run read into another value", len(outputs))
		}
		x.Value().Data().([]float32)[0] = 1
	}
}

// TestRandomNodes: they are drawn anew in each run, also by a machine made after
// another has run and left values in the nodes.
func TestRandomNodes(t *testing.T) {
	g := gorgonia.NewGraph()
	r := gorgonia.GaussianRandomNode(g, tensor.Float32, 0, 1, 8)
	y := must(t)(gorgonia.Neg(r))
	var seen [][]float32
	for range 2 {
		m := compile(t, g, y, r)
		for range 2 {
			runAll(t, m)
			x := floats(t, r.Value())
			for _, old := range seen {
				if slices.Equal(old, x) {
					t.Fatalf("the values %v were drawn twice", x)
				}
			}
			seen = append(seen, x)
			for i, v := range floats(t, y.Value()) {
				if v != -x[i] {
					t.Fatalf("y is not of this run: %v for %v", v, x[i])
				}
			}
		}
	}
}

// poison is a kernel that fails, or panics, when it is run.
type poison struct{ panics bool }

func (p poison) Forward(ops.Tensor, []ops.Tensor) error {
	if p.panics {
		panic("poison")
	}
	return fmt.Errorf("poison")
}

func (poison) Backward([]ops.Tensor, []ops.Tensor, ops.Tensor, ops.Tensor) error { return nil }

func poisoned(t *testing.T, label string, panics bool, x *gorgonia.Node) *gorgonia.Node {
	t.Helper()
	return must(t)(ops.New(ops.Spec{Label: label, Out: x.Shape(), Kernel: poison{panics}}, x))
}

// TestDeadCode: with outputs given, nothing runs that neither they, gradients nor
// Read need.
func TestDeadCode(t *testing.T) {
	g := gorgonia.NewGraph()
	x := vector(g, "x", 1, 2)
	unbound := gorgonia.NewVector(g, tensor.Float32, gorgonia.WithName("unbound"), gorgonia.WithShape(2))
	dangling := poisoned(t, "dangling", false, must(t)(gorgonia.Add(x, unbound)))
	y := must(t)(gorgonia.Sum(must(t)(gorgonia.HadamardProd(x, x))))
	m := compile(t, g, y)
	runAll(t, m)
	want(t, "y", y.Value(), 5)
	if dangling.Value() != nil {
		t.Error("the dangling node has a value")
	}
	if err := compile(t, g).RunAll(); err == nil {
		t.Error("without outputs the dangling node must run, and fail")
	}
	if _, err := gorgonia.Grad(y, x); err != nil {
		t.Fatal(err)
	}
	runAll(t, compile(t, g, y))
	dx, err := x.Grad()
	if err != nil {
		t.Fatal(err)
	}
	want(t, "gradient", dx, 2, 4)
}

// TestManyNodes: a graph with thousands of nodes compiles in linear time. A
// quadratic compile shows here as a test that takes minutes.
func TestManyNodes(t *testing.T) {
	const n = 2000
	g := gorgonia.NewGraph()
	x := vector(g, "x", 0, 1)
	y := x
	for range n {
		y = must(t)(ops.Apply(nn.Unary{Fn: "neg"}, y))
	}
	m := compile(t, g, y)
	if len(m.steps) != n+1 {
		t.Errorf("%d steps, want %d", len(m.steps), n+1)
	}
	runAll(t, m)
	want(t, "y", y.Value(), 0, 1)
}
