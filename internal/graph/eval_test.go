package graph

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/goqat/goqat/internal/graph/zoo"
	"github.com/goqat/goqat/internal/nn"
	"gorgonia.org/gorgonia"
)

// evaluate computes a network's last output, its cost, with package nn in float64.
func evaluate(t *testing.T, net *Net, leaves map[*Value][]float64) float64 {
	t.Helper()
	vals := map[*Value]nn.Tensor[float64]{}
	for v, x := range leaves {
		vals[v] = nn.Tensor[float64]{Shape: v.Shape, Data: x}
	}
	for _, l := range net.Layers {
		in := make([]nn.Tensor[float64], len(l.In))
		for i, v := range l.In {
			in[i] = vals[v]
		}
		out := nn.Tensor[float64]{Shape: l.Out.Shape, Data: make([]float64, product(l.Out.Shape))}
		if err := nn.Forward(l.Op, out, in); err != nil {
			t.Fatalf("%s: %v", l.Name, err)
		}
		vals[l.Out] = out
	}
	return vals[net.Outputs[len(net.Outputs)-1]].Data[0]
}

// leafValues are the elements of all leaves of a model that was fed.
func leafValues(t *testing.T, net *Net) map[*Value][]float64 {
	t.Helper()
	out := map[*Value][]float64{}
	for _, v := range net.Values {
		if v.Producer != nil {
			continue
		}
		x, err := v.Floats()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range x {
			out[v] = append(out[v], float64(f))
		}
	}
	return out
}

// Central differences in float64 with step h err by about h^2 times the third
// derivative and 2^-53/h of the cost, both below 1e-7 here; what remains is the float32
// gradient, for which typedTol was derived. A gradient is measured against the
// largest of its tensor.
const diffStep = 0x1p-17

// The gradients of the rebuilt graph, with what Gorgonia computes wrongly replaced,
// are the derivatives of the cost that the typed network stands for. That is an
// independent check of the right ops too.
func TestGradientsAreDerivatives(t *testing.T) {
	replaceWrong := RebuildOptions{Replace: applyTyped}
	for _, c := range zoo.Nets() {
		m := c.Build()
		net := readCase(t, m)
		if c.Random || len(net.Skipped) > 0 || hasBatchNorm(net) {
			continue
		}
		t.Run(c.Name, func(t *testing.T) {
			if err := m.Feed(nil); err != nil {
				t.Fatal(err)
			}
			leaves := leafValues(t, net)
			want := result{"output 0": {float32(evaluate(t, net, leaves))}}
			for i, n := range m.Learnables {
				want[gradName(i, n)] = derivative(t, net, leaves, net.Value(n))
			}
			compare(t, want, rebuilt(t, c, replaceWrong), func(w, g float32, peak float64) bool {
				return math.Abs(float64(w)-float64(g)) <= typedTol*peak
			})
		})
	}
}

func derivative(t *testing.T, net *Net, leaves map[*Value][]float64, v *Value) []float32 {
	x := leaves[v]
	out := make([]float32, len(x))
	for i, old := range x {
		x[i] = old + diffStep
		up := evaluate(t, net, leaves)
		x[i] = old - diffStep
		down := evaluate(t, net, leaves)
		x[i] = old
		out[i] = float32((up - down) / (2 * diffStep))
	}
	return out
}

func hasBatchNorm(net *Net) bool {
	for _, l := range net.Layers {
		if l.BN != nil {
			return true
		}
	}
	return false
}

// What the zoo calls wrong is marked in the network, and nothing else is, but for
// batch normalisation, whose evaluation mode the zoo does not run, and reshapes, which
// are marked when in doubt.
func TestWrongIsMarked(t *testing.T) {
	for _, c := range zoo.Nets() {
		t.Run(c.Name, func(t *testing.T) {
			found := ""
			for _, l := range readCase(t, c.Build()).Layers {
				if l.BN == nil && l.Wrong != "" && (c.Wrong != "" || l.Wrong != aliasing) {
					found = l.Name + ": " + l.Wrong
				}
			}
			if (found != "") != (c.Wrong != "") {
				t.Errorf("marked %q, the zoo says %q", found, c.Wrong)
			}
		})
	}
}

// The networks that the zoo calls wrong are wrong in the Gorgonia that is linked: when
// one of these is mended, the replacement can go.
func TestStockIsWrong(t *testing.T) {
	for _, c := range zoo.Nets() {
		if c.Wrong == "" || c.Random {
			continue
		}
		t.Run(c.Name, func(t *testing.T) {
			m := c.Build()
			if err := m.Feed(nil); err != nil {
				t.Fatal(err)
			}
			got, err := tryRun(m.Graph, m.Cost, m.Outputs, m.Learnables, c.Graded)
			if err != nil {
				return // it does not run at all
			}
			want, far := rebuilt(t, c, RebuildOptions{Replace: applyTyped}), false
			for name, w := range want {
				for i, g := range got[name] {
					far = far || !(math.Abs(float64(g)-float64(w[i])) <= 1e-2*math.Abs(float64(w[i])))
				}
			}
			for i, n := range m.Inputs {
				// A leaf that the run has written to is wrong in the next run.
				now, err := floats(n.Value())
				if err != nil {
					t.Fatal(err)
				}
				far = far || !slices.Equal(now, m.Data[i].Float32s())
			}
			if !far {
				t.Errorf("Gorgonia computes this rightly (%s)", c.Wrong)
			}
		})
	}
}

func gradName(i int, n *gorgonia.Node) string { return fmt.Sprintf("gradient %d of %s", i, n.Name()) }
