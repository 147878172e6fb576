package graph

import (
	"fmt"
	"math"
	"testing"

	"github.com/goqat/goqat/internal/graph/zoo"
	"github.com/goqat/goqat/internal/nn"
	"github.com/goqat/goqat/internal/ops"
	"gorgonia.org/gorgonia"
)

// result is what one run of a graph gives: the cost, then each output, then the
// gradient of each learnable.
type result map[string][]float32

// tryRun differentiates (unless that was done), runs a TapeMachine once and reads the
// results.
func tryRun(g *gorgonia.ExprGraph, cost *gorgonia.Node, outputs, learnables []*gorgonia.Node, graded bool) (out result, err error) {
	defer recovered("run", &err)
	if !graded {
		if _, err := gorgonia.Grad(cost, learnables...); err != nil {
			return nil, err
		}
	}
	reads := make([]gorgonia.Value, len(outputs)+1)
	gorgonia.Read(cost, &reads[0])
	for i, n := range outputs {
		gorgonia.Read(n, &reads[i+1])
	}
	vm := gorgonia.NewTapeMachine(g)
	defer vm.Close()
	if err := vm.RunAll(); err != nil {
		return nil, err
	}
	out = result{}
	for i, v := range reads {
		if out[fmt.Sprint("output ", i)], err = copyOf(v); err != nil {
			return nil, err
		}
	}
	for i, n := range learnables {
		d, err := n.Grad()
		if err != nil {
			return nil, err
		}
		if out[gradName(i, n)], err = copyOf(d); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func run(t *testing.T, g *gorgonia.ExprGraph, cost *gorgonia.Node, outputs, learnables []*gorgonia.Node, graded bool) result {
	t.Helper()
	out, err := tryRun(g, cost, outputs, learnables, graded)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func copyOf(v gorgonia.Value) ([]float32, error) {
	x, err := floats(v)
	return append([]float32(nil), x...), err
}

// readCase reads a zoo model whole: outputs and cost.
func readCase(t *testing.T, m *zoo.Model) *Net {
	t.Helper()
	net, err := Read(m.Graph, append(append([]*gorgonia.Node{}, m.Outputs...), m.Cost), Options{})
	if err != nil {
		t.Fatal(err)
	}
	return net
}

func stock(t *testing.T, c zoo.Case) result {
	t.Helper()
	m := c.Build()
	if err := m.Feed(nil); err != nil {
		t.Fatal(err)
	}
	return run(t, m.Graph, m.Cost, m.Outputs, m.Learnables, c.Graded)
}

func rebuilt(t *testing.T, c zoo.Case, opt RebuildOptions) result {
	t.Helper()
	m := c.Build()
	g, at, err := Rebuild(readCase(t, m), opt)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Feed(at); err != nil {
		t.Fatal(err)
	}
	mapped := func(ns []*gorgonia.Node) []*gorgonia.Node {
		out := make([]*gorgonia.Node, len(ns))
		for i, n := range ns {
			if out[i] = at[n]; out[i] == nil {
				t.Fatalf("node %s was not mapped", n.Name())
			}
		}
		return out
	}
	return run(t, g, at[m.Cost], mapped(m.Outputs), mapped(m.Learnables), false)
}

// The rebuilt graph of stock ops does the same arithmetic in the same order, so
// every result is equal bit for bit.
func TestRebuildBitExact(t *testing.T) {
	for _, c := range zoo.Nets() {
		if c.Wrong != "" || c.Random {
			continue
		}
		t.Run(c.Name, func(t *testing.T) {
			want, got := stock(t, c), rebuilt(t, c, RebuildOptions{})
			compare(t, want, got, func(w, g float32, _ float64) bool { return math.Float32bits(w) == math.Float32bits(g) })
		})
	}
}

func compare(t *testing.T, want, got result, ok func(want, got float32, peak float64) bool) {
	t.Helper()
	for name, w := range want {
		g := got[name]
		if len(g) != len(w) {
			t.Errorf("%s: %d elements, want %d", name, len(g), len(w))
			continue
		}
		peak := 0.0
		for i := range w {
			peak = max(peak, math.Abs(float64(w[i])))
		}
		for i := range w {
			if !ok(w[i], g[i], peak) {
				t.Errorf("%s: element %d is %v, want %v", name, i, g[i], w[i])
				break
			}
		}
	}
}

// applyTyped emits a layer as one of our own ops.
func applyTyped(l *Layer, in []*gorgonia.Node) (*gorgonia.Node, error) {
	if l.Op == nil {
		return nil, nil
	}
	bn, ok := l.Op.(nn.BatchNorm)
	if !ok {
		return ops.Apply(l.Op, in...)
	}
	st := ops.NewBNState(in[0].Shape()[1], l.BN.Momentum, bn.Eps)
	c := []int{len(st.Mean)}
	for i := 1; i < 3; i++ {
		v, err := ops.Apply(nn.Reshape{Shape: c}, in[i])
		if err != nil {
			return nil, err
		}
		in[i] = v
	}
	return ops.BatchNorm(in[0], in[1], in[2], st, l.BN.Training)
}

// typedTol bounds the difference between Gorgonia's kernels and package nn's, as a
// fraction of a result's largest element. Both compute in float32, in different
// orders and with different exponentials. Every element is a sum of at most about
// 500 products behind at most about 20 rounding steps; 2^-24 per rounding, grown by
// up to 64 through cancellation and steep functions, is 520 * 64 * 2^-24.
const typedTol = 520 * 64 * 0x1p-24

// Every layer as the typed op that the reader took it for: what was read is what
// Gorgonia computes.
func TestTypedOpsEqualStock(t *testing.T) {
	for _, c := range zoo.Nets() {
		if c.Wrong != "" || c.Random {
			continue
		}
		t.Run(c.Name, func(t *testing.T) {
			want, got := stock(t, c), rebuilt(t, c, RebuildOptions{Replace: applyTyped, Every: true})
			compare(t, want, got, func(w, g float32, peak float64) bool {
				return math.Abs(float64(w)-float64(g)) <= typedTol*peak
			})
		})
	}
}
