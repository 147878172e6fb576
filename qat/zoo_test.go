package qat

import (
	"math"
	"strings"
	"testing"

	"github.com/goqat/goqat/internal/graph/zoo"
	"github.com/goqat/goqat/qat/qconfig"
	"gorgonia.org/gorgonia"
)

// opaqueNets are the networks of the zoo with ops that have no integer twin: they
// train, and Freeze names the layer. The word is part of that layer's name.
var opaqueNets = map[string]string{"sparsemax": "opaque_0"}

// TestZoo takes every network through the whole life: one training step, freezing,
// and a comparison with training code for code at two batch sizes.
func TestZoo(t *testing.T) {
	for _, c := range zoo.Nets() {
		t.Run(c.Name, func(t *testing.T) {
			m := c.Build()
			before := len(m.Graph.AllNodes())
			n := prepare(t, qconfig.Config{}, m.Graph, m.Outputs...)
			if after := len(m.Graph.AllNodes()); after != before {
				t.Errorf("Prepare left %d nodes in the user's graph, there were %d", after, before)
			}
			vm := n.machine()
			n.step(vm, 0)
			if opaque := opaqueNets[c.Name]; opaque != "" {
				_, err := n.m.Freeze()
				wantError(t, err, "freeze", opaque, "cannot run")
				return
			}
			fz := n.freeze()
			if c.FixedBatch != (n.m.Batch() == 0) {
				t.Errorf("batch %d, but FixedBatch is %v", n.m.Batch(), c.FixedBatch)
			}
			n.verify(fz, n.batch(1, n.m.Batch()))
			if n.m.Batch() > 0 {
				n.verify(fz, n.batch(2, n.m.Batch()+3))
			}
			n.step(vm, 1) // freezing ends nothing
		})
	}
}

// TestZooFormats repeats the comparison in other formats, on the networks with
// their cost, so that reductions and scalars are part of them.
func TestZooFormats(t *testing.T) {
	for name, cfg := range map[string]qconfig.Layer{
		"4-bit blocks, affine activations": {Weights: qconfig.Tensor{Bits: 4, Granularity: qconfig.PerBlock, BlockSize: 2}, Activations: qconfig.Tensor{Scheme: qconfig.Affine}},
		"affine unsigned weights per tensor, 5-bit activations": {
			Weights:     qconfig.Tensor{Scheme: qconfig.Affine, Granularity: qconfig.PerTensor, Unsigned: qconfig.Yes},
			Activations: qconfig.Tensor{Observer: "min_max", Bits: 5}},
		"weights only":     {Activations: qconfig.Tensor{Off: true}},
		"activations only": {Weights: qconfig.Tensor{Off: true}},
		// Activations of 2 bits would round some values to 0, whose logarithm ends training.
		"2-bit weights, 6-bit activations": {Weights: qconfig.Tensor{Bits: 2}, Activations: qconfig.Tensor{Bits: 6, Observer: "ema_min_max"}},
	} {
		for _, c := range zoo.Nets() {
			if opaqueNets[c.Name] != "" {
				continue
			}
			t.Run(name+"/"+c.Name, func(t *testing.T) {
				m := c.Build()
				n := prepare(t, qconfig.Config{Global: &cfg}, m.Graph, append(m.Outputs, m.Cost)...)
				n.step(n.machine(), 0)
				n.verify(n.freeze(), n.batch(1, n.m.Batch()))
			})
		}
	}
}

// off leaves everything float.
func off() qconfig.Config {
	return qconfig.Config{Global: &qconfig.Layer{Weights: qconfig.Tensor{Off: true}, Activations: qconfig.Tensor{Off: true}}}
}

// offTol bounds the difference between a stock graph and its prepared twin with all
// quantization off, as a fraction of a tensor's largest element. Both compute in
// float32 but sum in other orders, and the twin folds batch normalisation. An
// element is a sum of at most 256 products (a gradient of a filter) behind at most
// 64 rounding steps of 2^-24 each; cancellation and steep functions (division by a
// small deviation, cubes, logarithms) grow that by up to 16.
const offTol = (256 + 64) * 16 * 0x1p-24

// TestOffEqualsStock compares outputs, cost and gradients of the stock graph with
// those of the prepared one when nothing is quantized.
func TestOffEqualsStock(t *testing.T) {
	for _, c := range zoo.Nets() {
		if c.Wrong != "" || c.Random {
			continue // Gorgonia's own results are no reference
		}
		t.Run(c.Name, func(t *testing.T) {
			want := stockResults(t, c)
			m := c.Build()
			n := onlyPrepare(t, off(), m.Graph, append(append([]*gorgonia.Node{}, m.Outputs...), m.Cost)...)
			nodes := n.m.OutputNodes()
			n.cost = nodes[len(nodes)-1]
			var learnables gorgonia.Nodes
			for _, w := range m.Learnables {
				learnables = append(learnables, n.node(w))
			}
			if _, err := gorgonia.Grad(n.cost, learnables...); err != nil {
				t.Fatal(err)
			}
			at := map[*gorgonia.Node]*gorgonia.Node{}
			for _, x := range m.Inputs {
				at[x] = n.node(x)
			}
			if err := m.Feed(at); err != nil {
				t.Fatal(err)
			}
			vm, err := n.m.Machine(nodes...)
			if err != nil {
				t.Fatal(err)
			}
			if err := vm.RunAll(); err != nil {
				t.Fatal(err)
			}
			got := gradients(t, learnables)
			for i, y := range nodes {
				got[outputName(i)] = floats(t, y.Value())
			}
			closeTo(t, got, want)
		})
	}
}

func outputName(i int) string { return "output " + string(rune('0'+i)) }

// stockResults runs the user's own graph: outputs, cost last, and gradients.
func stockResults(t *testing.T, c zoo.Case) map[string][]float32 {
	t.Helper()
	m := c.Build()
	if !c.Graded {
		if _, err := gorgonia.Grad(m.Cost, m.Learnables...); err != nil {
			t.Fatal(err)
		}
	}
	nodes := append(append([]*gorgonia.Node{}, m.Outputs...), m.Cost)
	reads := make([]gorgonia.Value, len(nodes))
	for i, y := range nodes {
		gorgonia.Read(y, &reads[i])
	}
	if err := m.Feed(nil); err != nil {
		t.Fatal(err)
	}
	vm := gorgonia.NewTapeMachine(m.Graph)
	defer vm.Close()
	if err := vm.RunAll(); err != nil {
		t.Fatal(err)
	}
	out := gradients(t, m.Learnables)
	for i, v := range reads {
		out[outputName(i)] = floats(t, v)
	}
	return out
}

// closeTo compares within offTol of each tensor's largest element.
func closeTo(t *testing.T, got, want map[string][]float32) {
	t.Helper()
	for name, w := range want {
		g := got[name]
		if len(g) != len(w) {
			t.Errorf("%s: %d elements, want %d", name, len(g), len(w))
			continue
		}
		peak := 0.0
		for _, v := range w {
			peak = max(peak, math.Abs(float64(v)))
		}
		for i := range w {
			if d := math.Abs(float64(g[i]) - float64(w[i])); !(d <= offTol*peak) {
				t.Errorf("%s: element %d is %v, want %v (off by %.3g of the peak)", name, i, g[i], w[i], d/peak)
				break
			}
		}
	}
}

// wantError wants an error that contains all the words.
func wantError(t *testing.T, err error, words ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("no error, want one about %q", words)
		return
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error %q does not contain %q", err, w)
		}
	}
}
