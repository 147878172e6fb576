package ops

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/goqat/goqat/internal/nn"
	"github.com/goqat/goqat/internal/vm"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// counter is a kernel that doubles its operand and counts its passes. It panics
// in the pass it is told to.
type counter struct {
	forward, backward           int
	panicForward, panicBackward bool
}

func (k *counter) Forward(out Tensor, in []Tensor) error {
	if k.panicForward {
		panic("in the forward pass")
	}
	k.forward++
	for i, v := range in[0].F32 {
		out.F32[i] = 2 * v
	}
	return nil
}

func (k *counter) Backward(grads, _ []Tensor, _, dout Tensor) error {
	if k.panicBackward {
		panic("in the backward pass")
	}
	k.backward++
	for i, v := range dout.F32 {
		grads[0].F32[i] = 2 * v
	}
	return nil
}

func count(t *testing.T, k *counter, x *gorgonia.Node) *gorgonia.Node {
	t.Helper()
	return must(t)(New(Spec{Label: "count", Out: x.Shape(), Kernel: k}, x))
}

// start makes the named machine on a graph whose gradients were added, unless it
// is a LispMachine.
func start(t *testing.T, name string, g *gorgonia.ExprGraph) gorgonia.VM {
	t.Helper()
	switch name {
	case "LispMachine":
		return gorgonia.NewLispMachine(g)
	case "TapeMachine":
		return gorgonia.NewTapeMachine(g)
	}
	m, err := vm.New(g)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestNotMerged: two equal ops on one input are two nodes, and both are run.
func TestNotMerged(t *testing.T) {
	for _, name := range machines {
		var a, b counter
		g := gorgonia.NewGraph()
		x := newLeaf(t, g, "x", tensor.Float32, spread(1, 0, 4))
		y, z := count(t, &a, x), count(t, &b, x)
		if y == z || y.Hashcode() == z.Hashcode() {
			t.Fatal("two equal ops became one node")
		}
		cost := must(t)(Apply(nn.Reduce{Fn: "sum", Axes: []int{0}}, must(t)(Apply(nn.Binary{Fn: "mul"}, y, z))))
		if name != "LispMachine" {
			if _, err := gorgonia.Grad(cost, x); err != nil {
				t.Fatal(err)
			}
		}
		m := start(t, name, g)
		runAll(t, m)
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
		if a.forward != 1 || b.forward != 1 || a.backward != 1 || b.backward != 1 {
			t.Errorf("%s: passes %+v and %+v, want one of each", name, a, b)
		}
		dx, err := x.Grad()
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range numbers(t, x.Value()) { // d(4x²)/dx
			if got := numbers(t, dx)[i]; got != 8*v {
				t.Errorf("%s: gradient %v, want %v", name, got, 8*v)
			}
		}
	}
}

// TestFreshType: Gorgonia returns types to a pool after use, so one handed out
// twice would change under its holder.
func TestFreshType(t *testing.T) {
	g := gorgonia.NewGraph()
	a, b := newLeaf(t, g, "a", tensor.Float32, spread(1, 0, 2, 2)), newLeaf(t, g, "b", tensor.Float32, spread(2, 0, 2, 2))
	y := must(t)(Apply(nn.Binary{Fn: "mul"}, a, b))
	cost := must(t)(Apply(nn.Reduce{Fn: "sum", Axes: []int{0, 1}}, y))
	if _, err := gorgonia.Grad(cost, a, b); err != nil {
		t.Fatal(err)
	}
	kinds := map[string]bool{}
	for _, n := range g.AllNodes() {
		op := n.Op()
		if op == nil {
			continue
		}
		switch op.(type) {
		case *Op, *backward, *get:
			kinds[fmt.Sprintf("%T", op)] = true
			if first, second := op.Type(), op.Type(); first == second || first.String() != second.String() {
				t.Errorf("%v: Type gives %v, then %v", op, first, second)
			}
		}
	}
	if len(kinds) != 3 {
		t.Errorf("kinds of op in the graph: %v, want 3", kinds)
	}
}

// TestStockNeighbours: stock ops that overwrite, reshape or transpose what they
// are given do not disturb our ops before and behind them. tanh needs its own
// output in the backward pass, and the product both its operands.
func TestStockNeighbours(t *testing.T) {
	ours := func(fn string) func(*gorgonia.Node) *gorgonia.Node {
		return func(x *gorgonia.Node) *gorgonia.Node { return must(t)(Apply(nn.Unary{Fn: fn}, x)) }
	}
	three := func() *gorgonia.Node { return gorgonia.NewConstant(float32(3)) }
	tests := []struct {
		name  string
		build func(x *gorgonia.Node) *gorgonia.Node
		tape  bool // TapeMachine computes it rightly
	}{
		{"in place behind ours", func(x *gorgonia.Node) *gorgonia.Node {
			return must(t)(gorgonia.Square(must(t)(gorgonia.Mul(ours("tanh")(x), three()))))
		}, true},
		{"ours between in-place ops", func(x *gorgonia.Node) *gorgonia.Node {
			h := must(t)(gorgonia.Mul(must(t)(gorgonia.Add(x, three())), three()))
			return must(t)(gorgonia.Neg(ours("square")(h)))
		}, true},
		{"two readers", func(x *gorgonia.Node) *gorgonia.Node {
			y := ours("tanh")(x)
			return must(t)(Apply(nn.Binary{Fn: "mul"}, must(t)(gorgonia.Mul(y, three())), ours("square")(y)))
		}, true},
		// The stock Reshape shares memory, which TapeMachine does not know: the product
		// overwrites the result of tanh while tanh's backward pass still waits for it.
		{"reshaped", func(x *gorgonia.Node) *gorgonia.Node {
			y := must(t)(gorgonia.Reshape(ours("tanh")(x), tensor.Shape{12}))
			return ours("square")(must(t)(gorgonia.Mul(y, three())))
		}, false},
		{"transposed", func(x *gorgonia.Node) *gorgonia.Node {
			return ours("square")(must(t)(gorgonia.Transpose(ours("tanh")(x), 1, 0)))
		}, true},
		{"sliced rows", func(x *gorgonia.Node) *gorgonia.Node {
			return ours("square")(must(t)(gorgonia.Slice(ours("tanh")(x), gorgonia.S(1, 3))))
		}, true},
		{"sliced columns", func(x *gorgonia.Node) *gorgonia.Node {
			return ours("square")(must(t)(gorgonia.Slice(ours("tanh")(x), nil, gorgonia.S(1, 3))))
		}, true},
		{"stock product", func(x *gorgonia.Node) *gorgonia.Node {
			y := ours("tanh")(x)
			return ours("square")(must(t)(gorgonia.Mul(y, must(t)(gorgonia.Transpose(y, 1, 0)))))
		}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			leaves := []leaf{spread(1, 0, 3, 4)}
			build := func(in []*gorgonia.Node) (*gorgonia.Node, error) { return tt.build(in[0]), nil }
			want := run(t, "vm", tensor.Float32, leaves, build)
			for _, name := range machines[1:] {
				if name == "TapeMachine" && !tt.tape {
					continue
				}
				same(t, name, run(t, name, tensor.Float32, leaves, build), want)
			}
			// Without gradients nothing keeps the ops' results from being overwritten.
			r := newRig(t, tensor.Float32, leaves, build)
			m := gorgonia.NewTapeMachine(r.g)
			for range 3 {
				runAll(t, m)
				same(t, "forward alone", result{cost: numbers(t, r.cost.Value())}, result{cost: want.cost})
				m.Reset()
			}
			if err := m.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestPanics: a panic in a kernel is an error of the run, not the end of the
// process, and names the op.
func TestPanics(t *testing.T) {
	names := func(what string, err error) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), "count") || !strings.Contains(err.Error(), "panic") {
			t.Errorf("%s: error %v, want one that names the op", what, err)
		}
	}
	graph := func(k *counter) (x, y, cost *gorgonia.Node) {
		x = newLeaf(t, gorgonia.NewGraph(), "x", tensor.Float32, spread(1, 0, 4))
		y = count(t, k, x)
		return x, y, must(t)(Apply(nn.Reduce{Fn: "sum", Axes: []int{0}}, y))
	}
	for _, name := range []string{"vm", "TapeMachine"} {
		for _, backwards := range []bool{false, true} {
			x, _, cost := graph(&counter{panicForward: !backwards, panicBackward: backwards})
			if _, err := gorgonia.Grad(cost, x); err != nil {
				t.Fatal(err)
			}
			names(fmt.Sprintf("%s, backwards %v", name, backwards), start(t, name, cost.Graph()).RunAll())
		}
	}
	// LispMachine runs on in the background after an error, so its calls are made by
	// hand, on the values that a good run left.
	var k counter
	x, y, cost := graph(&k)
	runAll(t, start(t, "LispMachine", cost.Graph()))
	k.panicForward, k.panicBackward = true, true
	_, err := y.Op().Do(x.Value())
	names("Do", err)
	names("DoDiff", y.Op().(*Op).DoDiff(gorgonia.ExecutionContext{}, gorgonia.Nodes{x}, y))
}

// TestDanglingGrad: an op that nothing reads does not keep Grad from working, nor
// does a graph that has gradients already.
func TestDanglingGrad(t *testing.T) {
	var k counter
	g := gorgonia.NewGraph()
	x := newLeaf(t, g, "x", tensor.Float32, spread(1, 0, 4))
	count(t, &k, x)
	cost := must(t)(Apply(nn.Reduce{Fn: "sum", Axes: []int{0}}, must(t)(Apply(nn.Unary{Fn: "square"}, x))))
	if _, err := gorgonia.Grad(cost, x); err != nil {
		t.Fatal(err)
	}
	runAll(t, gorgonia.NewTapeMachine(g))
	dx, err := x.Grad()
	if err != nil {
		t.Fatal(err)
	}
	want := numbers(t, x.Value())
	for i := range want {
		want[i] *= 2
	}
	sameNumbers(t, "gradient", numbers(t, dx), want)
}

// TestAgain: an op applied again, in another graph, computes the same and has
// state of its own.
func TestAgain(t *testing.T) {
	tested := 0
	for _, c := range append(allCases(), opCase{"dropout", []leaf{spread(1, 0, 4, 5)}, func() buildFunc {
		return func(in []*gorgonia.Node) (*gorgonia.Node, error) { return Dropout(in[0], 0.5, 3, true) }
	}}) {
		first := newRig(t, tensor.Float32, c.in, c.build())
		op := first.out.Op().(*Op)
		if op.again == nil {
			if _, err := op.Again(first.in...); err == nil {
				t.Errorf("%s: applied again", c.name)
			}
			continue
		}
		tested++
		second := newRig(t, tensor.Float32, c.in, func(in []*gorgonia.Node) (*gorgonia.Node, error) { return op.Again(in...) })
		_, stateless := op.k.(*crossEntropy)
		if second.out.Op() == first.out.Op() || !stateless && second.out.Op().(*Op).k == op.k {
			t.Errorf("%s: both graphs have one kernel", c.name)
		}
		var got [2]result
		for i, r := range []*rig{first, second} {
			m, err := vm.New(r.g)
			if err != nil {
				t.Fatal(err)
			}
			runAll(t, m)
			got[i] = result{cost: numbers(t, r.cost.Value())}
		}
		same(t, c.name, got[1], got[0])
		if _, err := op.Again(); err == nil {
			t.Errorf("%s: applied again to nothing", c.name)
		}
	}
	if tested < 40 {
		t.Errorf("only %d ops can be applied again", tested)
	}
}

// TestBuffers: a run allocates no tensors, so results live in the same memory.
func TestBuffers(t *testing.T) {
	r := newRig(t, tensor.Float32, []leaf{spread(1, 0, 3, 4), spread(2, 0, 2, 4)}, func(in []*gorgonia.Node) (*gorgonia.Node, error) {
		return Apply(nn.MatMul{TransB: true}, in...)
	})
	r.grad(t)
	m, err := vm.New(r.g)
	if err != nil {
		t.Fatal(err)
	}
	memory := func() []*float32 {
		runAll(t, m)
		out := []*float32{&r.out.Value().Data().([]float32)[0]}
		for _, n := range r.in {
			g, err := n.Grad()
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, &g.Data().([]float32)[0])
		}
		return out
	}
	if first, second := memory(), memory(); !slices.Equal(first, second) {
		t.Error("the second run put its results elsewhere")
	}
}
