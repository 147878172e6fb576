package qat

import (
	"slices"
	"testing"

	"github.com/goqat/goqat/qat/qconfig"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// TestRandomNodes: noise of the graph's own is an input, with fresh numbers wherever none are
// given, and no constant of the frozen network.
func TestRandomNodes(t *testing.T) {
	for law, node := range map[string]func(g *gorgonia.ExprGraph) *gorgonia.Node{
		"uniform": func(g *gorgonia.ExprGraph) *gorgonia.Node {
			return gorgonia.UniformRandomNode(g, tensor.Float32, -1, 1, 3, 4)
		},
		"gaussian": func(g *gorgonia.ExprGraph) *gorgonia.Node {
			return gorgonia.GaussianRandomNode(g, tensor.Float32, 0, 1, 3, 4)
		},
		"binomial": func(g *gorgonia.ExprGraph) *gorgonia.Node {
			return gorgonia.BinomialRandomNode(g, tensor.Float32, 9, 0.5, 3, 4)
		},
	} {
		t.Run(law, func(t *testing.T) {
			g := gorgonia.NewGraph()
			x := leaf(g, "x", 3, 4)
			y := fc("fc", must(gorgonia.Add(x, node(g))), 2)
			n := prepare(t, qconfig.Config{}, g, y)
			if got, want := n.m.Inputs(), []string{"x", law}; !slices.Equal(got, want) {
				t.Errorf("inputs %q, want %q", got, want)
			}
			vm := n.machine()
			n.step(vm, 0)
			n.step(vm, 0)
			data := numbers(1, 2*4)
			first, err := n.m.Predict(data)
			if err != nil {
				t.Fatal(err)
			}
			if again, err := n.m.Predict(data); err != nil || slices.Equal(first[0], again[0]) {
				t.Errorf("two predictions without noise are both %v, error %v", first[0], err)
			}
			noise := numbers(2, 2*4)
			given, err := n.m.Predict(data, noise)
			if err != nil {
				t.Fatal(err)
			}
			fz := n.freeze()
			n.verify(fz, [][]float32{data, noise})
			if out, err := fz.Run(data, noise); err != nil || !slices.Equal(out[0], given[0]) {
				t.Errorf("frozen: %v, want %v, error %v", out, given, err)
			}
			if p := n.m.Plan(); p.Inputs[0].Random || !p.Inputs[1].Random {
				t.Errorf("the plan's inputs are %+v", p.Inputs)
			}
		})
	}
}
