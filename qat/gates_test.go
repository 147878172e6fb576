package qat

import (
	"math"
	"testing"

	"github.com/goqat/goqat/qat/qconfig"
	"gorgonia.org/gorgonia"
)

// gates is tanh((x·W + h·U) + b) · sigmoid(b2 + (x·W2 + h·U2)), with the bias of a leaf or
// of a reshaped one; seen has the program keep the first sum.
func gates(seen *gorgonia.Value) (g *gorgonia.ExprGraph, sum, y *gorgonia.Node) {
	g = gorgonia.NewGraph()
	x, h := leaf(g, "x", 4, 6), leaf(g, "h", 4, 5)
	sums := func(name string) *gorgonia.Node {
		return must(gorgonia.Add(must(gorgonia.Mul(x, param(g, "W"+name, 6, 5))), must(gorgonia.Mul(h, param(g, "U"+name, 5, 5)))))
	}
	sum = sums("")
	if seen != nil {
		gorgonia.Read(sum, seen)
	}
	a := must(gorgonia.Tanh(must(gorgonia.BroadcastAdd(sum, param(g, "b", 1, 5), nil, []byte{0}))))
	other := sums("2")
	late := must(gorgonia.Reshape(param(g, "b2", 5), []int{1, 5}))
	b := must(gorgonia.Sigmoid(must(gorgonia.BroadcastAdd(late, other, []byte{0}, nil))))
	return g, sum, must(gorgonia.HadamardProd(a, b))
}

// TestGates: a bias behind the sum of two products belongs to one of them, and the sum takes
// in the function behind it.
func TestGates(t *testing.T) {
	g, sum, y := gates(nil)
	n := prepare(t, qconfig.Config{}, g, y)
	kinds := map[string]int{}
	for _, l := range n.m.plan.Layers {
		kinds[l.Kind]++
		if l.Kind == "add" && l.Act == nil {
			t.Errorf("sum %s has no function", l.Name)
		}
	}
	if kinds["add"] != 2 || kinds["matmul"] != 4 || kinds["tanh"]+kinds["sigmoid"] != 0 {
		t.Errorf("layers %v", kinds)
	}
	if _, err := n.m.Node(sum); err == nil {
		t.Error("a sum without its bias is computed nowhere, and has a node")
	}
	vm := n.machine()
	n.step(vm, 0)
	n.step(vm, 1)
	fz := n.freeze()
	n.verify(fz, n.batch(1, n.m.Batch()))
	n.verify(fz, n.batch(2, n.m.Batch()+3))
}

// TestGatesAreSums: in float the results are those of the program but for the rounding of
// one sum, and a sum that someone reads stays as it is.
func TestGatesAreSums(t *testing.T) {
	for _, read := range []bool{false, true} {
		var kept gorgonia.Value
		seen := &kept
		if !read {
			seen = nil
		}
		g, sum, y := gates(seen)
		m, err := Optimize(g, y)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := m.Node(sum); (err == nil) != read {
			t.Errorf("read %v: node of the sum: %v", read, err)
		}
		vm, err := m.Machine(nodeOf(t, m, y))
		if err != nil {
			t.Fatal(err)
		}
		for i, name := range []string{"x", "h"} {
			old := g.ByName(name)[0]
			in := dense(numbers(uint32(i+1), size(old.Shape())), old.Shape()...)
			if err := gorgonia.Let(old, in); err != nil {
				t.Fatal(err)
			}
			if err := gorgonia.Let(nodeOf(t, m, old), in); err != nil {
				t.Fatal(err)
			}
		}
		if err := vm.RunAll(); err != nil {
			t.Fatal(err)
		}
		var want gorgonia.Value
		gorgonia.Read(y, &want)
		stock := gorgonia.NewTapeMachine(g)
		defer stock.Close()
		if err := stock.RunAll(); err != nil {
			t.Fatal(err)
		}
		got := floats(t, nodeOf(t, m, y).Value())
		for i, w := range floats(t, want) {
			// 12 terms below 1 in either order: each of some 20 roundings is at most 2⁻²⁴ of a sum
			// below 12; tanh and sigmoid are flatter than 1 and below 1.
			const tol = 2 * 20 * 12 * 0x1p-24
			if math.Abs(float64(got[i]-w)) > tol {
				t.Errorf("read %v, element %d: %v, want %v", read, i, got[i], w)
			}
		}
	}
}
