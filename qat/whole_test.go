package qat

import (
	"slices"
	"testing"

	"github.com/goqat/goqat/qat/frozen"
	"github.com/goqat/goqat/qat/qconfig"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// Whole numbers in a program's graph name rows of tables.

func wholeLeaf(g *gorgonia.ExprGraph, name string, opts ...gorgonia.NodeConsOpt) *gorgonia.Node {
	return gorgonia.NewVector(g, tensor.Int, append(opts, gorgonia.WithShape(3), gorgonia.WithName(name))...)
}

func wholes(x ...int) *tensor.Dense {
	return tensor.New(tensor.WithShape(len(x)), tensor.WithBacking(x))
}

// TestWholeNumbers: a program binds int tensors as before; Predict and the frozen network
// take the numbers as float32 or, by name, as int64.
func TestWholeNumbers(t *testing.T) {
	g := gorgonia.NewGraph()
	ids := wholeLeaf(g, "ids")
	y := fc("fc", must(gorgonia.ByIndices(param(g, "table", 5, 4), ids, 0)), 2)
	n := onlyPrepare(t, qconfig.Config{}, g, y)
	out := n.node(y)
	vm, err := n.m.Machine(out)
	if err != nil {
		t.Fatal(err)
	}
	if err := gorgonia.Let(n.node(ids), wholes(4, 0, 2)); err != nil {
		t.Fatal(err)
	}
	if err := vm.RunAll(); err != nil {
		t.Fatal(err)
	}
	vm.Reset()
	if err := n.m.Step(); err != nil {
		t.Fatal(err)
	}
	if err := vm.RunAll(); err != nil {
		t.Fatal(err)
	}
	want := floats(t, out.Value())
	got, err := n.m.Predict([]float32{4, 0, 2})
	if err != nil || !slices.Equal(got[0], want) {
		t.Errorf("Predict: %v, want %v, error %v", got, want, err)
	}
	fz := n.freeze()
	n.verify(fz, [][]float32{{1, 3}})
	named, err := fz.Call(frozen.Values{{Name: "ids", Int64: []int64{4, 0, 2}}})
	if err != nil || !slices.Equal(named[0].Float32, want) {
		t.Errorf("frozen: %v, want %v, error %v", named, want, err)
	}
	for _, bad := range []float32{5, -6, 0.5} {
		if _, err := n.m.Predict([]float32{0, bad, 0}); err == nil {
			t.Errorf("index %v: no error", bad)
		}
	}
	vm.Reset()
	if err := gorgonia.Let(n.node(ids), wholes(4, 5, 2)); err != nil {
		t.Fatal(err)
	}
	if err := vm.RunAll(); err == nil {
		t.Error("training with index 5 of 5 rows: no error")
	}
}

// TestWholeRoles: an order of rows that the graph holds is a constant; other numbers are an
// input that keeps them as its value.
func TestWholeRoles(t *testing.T) {
	for _, c := range []struct {
		value  []int
		inputs []string
	}{{[]int{2, 1, 0}, []string{"x"}}, {[]int{2, 2, 0}, []string{"x", "ids"}}} {
		g := gorgonia.NewGraph()
		x := leaf(g, "x", 4, 4)
		ids := wholeLeaf(g, "ids", gorgonia.WithValue(wholes(c.value...)))
		picked := must(gorgonia.ByIndices(param(g, "table", 5, 4), ids, 0))
		n := onlyPrepare(t, qconfig.Config{}, g, must(gorgonia.Mul(x, must(gorgonia.Transpose(picked, 1, 0)))))
		if got := n.m.Inputs(); !slices.Equal(got, c.inputs) {
			t.Errorf("rows %v: inputs %q, want %q", c.value, got, c.inputs)
		}
	}
}
