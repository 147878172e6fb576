package fqop_test

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/internal/nn"
	"github.com/goqat/goqat/internal/ops"
	"github.com/goqat/goqat/internal/vm"
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

// input adds a float32 leaf on the memory of data.
func input(g *gorgonia.ExprGraph, name string, shape []int, data []float32) *gorgonia.Node {
	v := tensor.New(tensor.WithShape(shape...), tensor.WithBacking(data))
	return gorgonia.NewTensor(g, tensor.Float32, len(shape), gorgonia.WithName(name), gorgonia.WithShape(shape...), gorgonia.WithValue(v))
}

// weigh makes a scalar cost whose gradient for y is dy.
func weigh(t *testing.T, y *gorgonia.Node, dy []float32) *gorgonia.Node {
	t.Helper()
	w := input(y.Graph(), fmt.Sprint("weights of ", y.ID()), y.Shape(), dy)
	cost := must(t)(ops.ApplyWith(nn.Binary{Fn: "mul"}, ops.Options{Diff: []bool{true, false}}, y, w))
	axes := make([]int, y.Shape().Dims())
	for i := range axes {
		axes[i] = i
	}
	return must(t)(ops.Apply(nn.Reduce{Fn: "sum", Axes: axes}, cost))
}

var machines = []string{"vm", "TapeMachine", "LispMachine"}

// start adds gradients, unless the machine does without, and makes the machine.
func start(t *testing.T, name string, cost *gorgonia.Node, wrt ...*gorgonia.Node) gorgonia.VM {
	t.Helper()
	if name == "LispMachine" {
		return gorgonia.NewLispMachine(cost.Graph())
	}
	if _, err := gorgonia.Grad(cost, wrt...); err != nil {
		t.Fatalf("Grad: %v", err)
	}
	if name == "TapeMachine" {
		return gorgonia.NewTapeMachine(cost.Graph())
	}
	m, err := vm.New(cost.Graph())
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

func floats(t *testing.T, v gorgonia.Value) []float32 {
	t.Helper()
	x, ok := v.Data().([]float32)
	if !ok {
		t.Fatalf("unexpected value %T", v.Data())
	}
	return slices.Clone(x)
}

func gradient(t *testing.T, n *gorgonia.Node) []float32 {
	t.Helper()
	g, err := n.Grad()
	if err != nil {
		t.Fatalf("gradient of %s: %v", n.Name(), err)
	}
	return floats(t, g)
}

func newQuantizer(t *testing.T, name string, s fakequant.Spec, obs fakequant.Observer) *fakequant.Quantizer {
	t.Helper()
	q, err := fakequant.New(name, s, obs, false)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// equal compares bit for bit, but for the sign of zero; NaN equals nothing.
func equal(t *testing.T, what string, got, want []float32) {
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

// formula is the numeric contract, spelled with float64 rounding: the value and
// whether the gradient passes.
func formula(x, scale float32, zero, qmin, qmax int32) (y float32, inside bool) {
	q := math.RoundToEven(float64(x/scale)) + float64(zero)
	inside = q >= float64(qmin) && q <= float64(qmax) // also false for NaN
	if !(q > float64(qmin)) {
		q = float64(qmin)
	}
	q = min(q, float64(qmax))
	return float32(q-float64(zero)) * scale, inside
}
