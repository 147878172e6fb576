package ops

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/goqat/goqat/internal/nn"
	"github.com/goqat/goqat/internal/vm"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// leaf is an input of a test graph, with its values or, for labels, whole numbers.
type leaf struct {
	shape []int
	data  []float64
	ints  []int
}

// rig is a graph of leaves, one op (or a few) and a scalar cost: the sum of the
// op's result times fixed weights, so that each element has its own gradient.
type rig struct {
	g    *gorgonia.ExprGraph
	in   []*gorgonia.Node
	out  *gorgonia.Node
	cost *gorgonia.Node
	seen gorgonia.Value // out, after a run
}

type buildFunc func(in []*gorgonia.Node) (*gorgonia.Node, error)

// newRig builds the graph; without a machine it knows nothing of gradients yet.
func newRig(t *testing.T, dt tensor.Dtype, leaves []leaf, build buildFunc) *rig {
	t.Helper()
	r := &rig{g: gorgonia.NewGraph()}
	for i, l := range leaves {
		r.in = append(r.in, newLeaf(t, r.g, fmt.Sprint("in", i), dt, l))
	}
	out, err := build(r.in)
	if err != nil {
		t.Fatal(err)
	}
	r.out, r.cost = out, out
	if out.Shape().Dims() == 0 {
		return r
	}
	w := leaf{shape: out.Shape(), data: normal(rand.New(rand.NewPCG(3, 3)), out.Shape().TotalSize())}
	r.cost = must(t)(ApplyWith(nn.Binary{Fn: "mul"}, Options{Diff: []bool{true, false}}, out, newLeaf(t, r.g, "weights", dt, w)))
	axes := make([]int, out.Shape().Dims())
	for i := range axes {
		axes[i] = i
	}
	r.cost = must(t)(Apply(nn.Reduce{Fn: "sum", Axes: axes}, r.cost))
	return r
}

func newLeaf(t *testing.T, g *gorgonia.ExprGraph, name string, dt tensor.Dtype, l leaf) *gorgonia.Node {
	t.Helper()
	if l.ints != nil {
		v := tensor.New(tensor.WithShape(l.shape...), tensor.WithBacking(slices.Clone(l.ints)))
		return gorgonia.NewTensor(g, tensor.Int, len(l.shape), gorgonia.WithName(name), gorgonia.WithShape(l.shape...), gorgonia.WithValue(v))
	}
	if len(l.shape) == 0 {
		return gorgonia.NewScalar(g, dt, gorgonia.WithName(name), gorgonia.WithValue(scalarOf(dt, l.data[0])))
	}
	return gorgonia.NewTensor(g, dt, len(l.shape), gorgonia.WithName(name), gorgonia.WithShape(l.shape...), gorgonia.WithValue(denseOf(dt, l.shape, l.data)))
}

func scalarOf(dt tensor.Dtype, v float64) any {
	if dt == tensor.Float64 {
		return v
	}
	return float32(v)
}

func denseOf(dt tensor.Dtype, shape []int, data []float64) *tensor.Dense {
	var backing any = slices.Clone(data)
	if dt == tensor.Float32 {
		f := make([]float32, len(data))
		for i, v := range data {
			f[i] = float32(v)
		}
		backing = f
	}
	return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(backing))
}

// numbers copies a value out as float64, which holds every float32.
func numbers(t *testing.T, v gorgonia.Value) []float64 {
	t.Helper()
	switch d := v.Data().(type) {
	case float32:
		return []float64{float64(d)}
	case float64:
		return []float64{d}
	case []float64:
		return slices.Clone(d)
	case []float32:
		out := make([]float64, len(d))
		for i, x := range d {
			out[i] = float64(x)
		}
		return out
	}
	t.Fatalf("unexpected value %T", v.Data())
	return nil
}

// result is what a run gives: the cost and the gradient of each leaf, nil for
// labels.
type result struct {
	cost  []float64
	grads [][]float64
}

func (r *rig) result(t *testing.T) result {
	t.Helper()
	out := result{cost: numbers(t, r.cost.Value())}
	for _, n := range r.in {
		if n.Dtype() == tensor.Int {
			out.grads = append(out.grads, nil)
			continue
		}
		g, err := n.Grad()
		if err != nil {
			t.Fatalf("gradient of %s: %v", n.Name(), err)
		}
		out.grads = append(out.grads, numbers(t, g))
	}
	return out
}

// grad adds the gradients of all floating leaves and reads the op's result.
func (r *rig) grad(t *testing.T) {
	t.Helper()
	var wrt gorgonia.Nodes
	for _, n := range r.in {
		if n.Dtype() != tensor.Int {
			wrt = append(wrt, n)
		}
	}
	if _, err := gorgonia.Grad(r.cost, wrt...); err != nil {
		t.Fatalf("Grad: %v", err)
	}
	gorgonia.Read(r.out, &r.seen)
}

// machines names the ways to run a graph. "vm fused" computes only the cost and the
// gradients, which lets it fuse ops and share memory.
var machines = []string{"vm", "TapeMachine", "LispMachine", "vm fused"}

// run builds the graph anew, runs it twice on the named machine and returns the
// results, which must be equal unless the op draws random numbers.
func run(t *testing.T, machine string, dt tensor.Dtype, leaves []leaf, build buildFunc) result {
	t.Helper()
	r := newRig(t, dt, leaves, build)
	var first result
	switch machine {
	case "LispMachine": // a new one for each step: Reset does not run the forward pass again
		steps := 2
		if r.stock() { // whose values are not fit for a second machine
			steps = 1
		}
		for i := range steps {
			m := gorgonia.NewLispMachine(r.g)
			runAll(t, m)
			got := r.result(t)
			if err := m.Close(); err != nil {
				t.Fatal(err)
			}
			for _, n := range r.in {
				clearDual(t, n)
			}
			if i == 0 {
				first = got
			} else {
				same(t, "second run", got, first)
			}
		}
		return first
	case "TapeMachine":
		r.grad(t)
		m := gorgonia.NewTapeMachine(r.g)
		defer m.Close()
		runAll(t, m)
		first = r.result(t)
		m.Reset()
		runAll(t, m)
	default:
		var outputs gorgonia.Nodes
		if machine == "vm fused" {
			outputs = gorgonia.Nodes{r.cost}
		}
		r.grad(t)
		m, err := vm.New(r.g, outputs...)
		if err != nil {
			t.Fatal(err)
		}
		runAll(t, m)
		first = r.result(t)
		m.Poison()
		runAll(t, m)
	}
	same(t, "second run", r.result(t), first)
	for i, n := range r.in {
		if leaves[i].data != nil && !slices.Equal(numbers(t, n.Value()), rounded(dt, leaves[i].data)) {
			t.Errorf("%s: operand %d was written to", machine, i)
		}
	}
	return first
}

// clearDual zeroes a leaf's gradient, as a solver would; the next LispMachine adds
// to it.
func clearDual(t *testing.T, n *gorgonia.Node) {
	t.Helper()
	g, err := n.Grad()
	if err != nil {
		t.Fatal(err)
	}
	switch g := g.(type) {
	case *gorgonia.F32:
		*g = 0
	case *gorgonia.F64:
		*g = 0
	case *tensor.Dense:
		g.Zero()
	}
}

// stock reports whether the graph has ops that are not of this package.
func (r *rig) stock() bool {
	return slices.ContainsFunc(r.g.AllNodes(), func(n *gorgonia.Node) bool {
		_, ours := n.Op().(*Op)
		return n.Op() != nil && !ours
	})
}

func rounded(dt tensor.Dtype, x []float64) []float64 {
	if dt == tensor.Float64 {
		return x
	}
	out := make([]float64, len(x))
	for i, v := range x {
		out[i] = float64(float32(v))
	}
	return out
}

func runAll(t *testing.T, m gorgonia.VM) {
	t.Helper()
	if err := m.RunAll(); err != nil {
		t.Fatal(err)
	}
}

// same compares bit for bit but for the sign of zero: an accumulated gradient is
// 0 + g.
func same(t *testing.T, what string, got, want result) {
	t.Helper()
	if !slices.Equal(got.cost, want.cost) {
		t.Errorf("%s: cost %v, want %v", what, got.cost, want.cost)
	}
	for i := range want.grads {
		sameNumbers(t, fmt.Sprintf("%s: gradient of operand %d", what, i), got.grads[i], want.grads[i])
	}
}

func sameNumbers(t *testing.T, what string, got, want []float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s has %d elements, want %d", what, len(got), len(want))
		return
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("%s: element %d is %v, want %v", what, i, got[i], want[i])
			return
		}
	}
}

func must(t *testing.T) func(*gorgonia.Node, error) *gorgonia.Node {
	return func(n *gorgonia.Node, err error) *gorgonia.Node {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
}

func normal(r *rand.Rand, n int) []float64 {
	x := make([]float64, n)
	for i := range x {
		x[i] = r.NormFloat64()
	}
	return x
}
