package qat

import (
	"math"
	"strings"
	"testing"

	"github.com/goqat/goqat/internal/kern"
	"github.com/goqat/goqat/qat/ptq"
	"github.com/goqat/goqat/qat/qconfig"
	"github.com/goqat/goqat/qat/report"
	"gorgonia.org/gorgonia"
)

func learnedConfig(bits int) qconfig.Config {
	return qconfig.Config{Global: &qconfig.Layer{Weights: qconfig.Tensor{Bits: bits, Estimator: qconfig.LSQ}, Activations: qconfig.Tensor{Estimator: qconfig.LSQ, Scheme: qconfig.Affine}}}
}

// TestLearnedScalesSurviveSolvers: whatever a solver of Gorgonia's does, with learning
// rates from small to absurd, scales stay positive, finite and within their bounds, and
// what was trained ships.
func TestLearnedScalesSurviveSolvers(t *testing.T) {
	for name, solver := range map[string]func(rate float64) gorgonia.Solver{
		"vanilla":  func(r float64) gorgonia.Solver { return gorgonia.NewVanillaSolver(gorgonia.WithLearnRate(r)) },
		"momentum": func(r float64) gorgonia.Solver { return gorgonia.NewMomentum(gorgonia.WithLearnRate(r)) },
		"adam":     func(r float64) gorgonia.Solver { return gorgonia.NewAdamSolver(gorgonia.WithLearnRate(r)) },
		"rmsprop":  func(r float64) gorgonia.Solver { return gorgonia.NewRMSPropSolver(gorgonia.WithLearnRate(r)) },
		"adagrad":  func(r float64) gorgonia.Solver { return gorgonia.NewAdaGradSolver(gorgonia.WithLearnRate(r)) },
	} {
		for _, rate := range []float64{0.001, 0.1, 10} {
			g, _, y := mlp()
			n := prepare(t, learnedConfig(4), g, y)
			vm, s := n.machine(), solver(rate)
			for i := range 20 {
				n.feed(i % 4)
				if err := vm.RunAll(); err != nil {
					t.Fatalf("%s, rate %v, step %d: %v", name, rate, i, err)
				}
				// The scales alone: at such rates the weights would diverge.
				if err := s.Step(gorgonia.NodesToValueGrads(n.m.Scales())); err != nil {
					t.Fatal(err)
				}
				vm.Reset()
				if err := n.m.Step(); err != nil {
					t.Fatal(err)
				}
				for _, q := range n.m.plan.Quantizers() {
					p, err := q.Params()
					if err != nil {
						t.Fatalf("%s, rate %v, step %d: %v", name, rate, i, err)
					}
					st, err := q.State()
					if err != nil {
						t.Fatal(err)
					}
					for k, scale := range p.Scale {
						from := float64(st.Learned.Start[k])
						if f := float64(scale) / from; !(f >= 0x1p-8*(1-scaleRounding) && f <= 0x1p16*(1+scaleRounding)) {
							t.Fatalf("%s, rate %v, step %d: scale %v of %s began at %v", name, rate, i, scale, q.Name(), from)
						}
					}
				}
			}
			n.verify(n.freeze(), n.batch(1, 3))
		}
	}
}

// TestLearnedFloorAdvice: a scale at its floor is reported.
func TestLearnedFloorAdvice(t *testing.T) {
	g, _, y := mlp()
	n := prepare(t, learnedConfig(8), g, y)
	n.step(n.machine(), 0)
	for _, s := range n.m.Scales() {
		if s.Name() == "fc1.weight.log_scale" {
			s.Value().Data().([]float32)[2] = -100
		}
	}
	r, err := n.m.Report()
	if err != nil {
		t.Fatal(err)
	}
	if text := strings.Join(r.Advice, "\n"); !strings.Contains(text, "fc1.weight: 1 learned scales are at their floor") {
		t.Errorf("advice %q", text)
	}
}

// TestCostAdvice: after a sensitivity analysis the report names the layer that costs most,
// until the next step.
func TestCostAdvice(t *testing.T) {
	g, _, y := mlp()
	n := prepare(t, qconfig.Config{Names: map[string]*qconfig.Layer{"fc2": {Weights: qconfig.Tensor{Bits: 2}}}}, g, y)
	n.step(n.machine(), 0)
	advised := func() bool {
		t.Helper()
		r, err := n.m.Report()
		if err != nil {
			t.Fatal(err)
		}
		return strings.Contains(strings.Join(r.Advice, "\n"), "fc2 costs most: ")
	}
	if advised() {
		t.Error("advice before anything was measured")
	}
	s, err := n.m.Sensitivity(t.Context(), func(f report.Forward) (float64, error) {
		out, err := f(n.batch(1, 8)...)
		if err != nil {
			return 0, err
		}
		return float64(out[0][0]), nil
	})
	if err != nil || s.Layers[0].Layer != "fc2" || math.IsNaN(float64(s.Layers[0].OnlySQNR)) {
		t.Fatalf("%+v, %v", s, err)
	}
	if !advised() {
		t.Error("no advice about fc2")
	}
	n.step(n.machine(), 1)
	if advised() {
		t.Error("the advice outlives a step")
	}
}

// TestScaleDType: with scale_dtype float16 every scale that is trained with and ships is a
// number of 16 bits, observed, learned and after the post-training helpers.
func TestScaleDType(t *testing.T) {
	half := qconfig.Tensor{ScaleDType: qconfig.Float16}
	learned := qconfig.Tensor{ScaleDType: qconfig.Float16, Estimator: qconfig.LSQ}
	for name, set := range map[string]qconfig.Tensor{"observed": half, "learned": learned} {
		g, _, y := mlp()
		n := prepare(t, qconfig.Config{QuantizeOutputs: true, Global: &qconfig.Layer{Weights: set, Activations: set}}, g, y)
		vm := n.machine()
		for i := range 3 {
			n.step(vm, i)
		}
		check := func(when string) {
			t.Helper()
			fz := n.freeze()
			n.verify(fz, n.batch(1, 3))
			for _, x := range fz.Tensors {
				if x.Quant == nil {
					continue
				}
				for _, s := range x.Quant.Params.Scale {
					if kern.RoundHalf(s) != s {
						t.Errorf("%s, %s: scale %v of %s", name, when, s, x.Name)
					}
				}
			}
		}
		check("trained")
		if _, err := n.m.Round(ptq.DataOf(n.batch(1, 32)[0]), ptq.RoundOptions{}); err != nil {
			t.Fatal(err)
		}
		check("rounded")
	}
}

// scaleRounding bounds how far a learned scale lies beyond its limits, 2^-8 and 2^16 times
// its start: exp at most 2 units in the last place, the product half a unit, and the
// logarithm is a float32 whose half a unit at 16·ln 2 is 2^-21.
const scaleRounding = 3*0x1p-23 + 0x1p-20
