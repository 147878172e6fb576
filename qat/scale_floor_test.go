package qat_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/goqat/goqat/models"
	"github.com/goqat/goqat/qat"
	"github.com/goqat/goqat/qat/qconfig"
)

// tinyError is the relative error of a product of 8 numbers of 8 bits on either side:
// each is off by at most half a step of 1/127 of the largest, some 0.3 % of a typical
// one, and the root of a few such errors stays below one in thirty.
const tinyError = 0.03

// TestTinyNumbers: layers with small weights, and tensors of small values, are as
// precise as others; no floor of the scale turns them into zeros.
func TestTinyNumbers(t *testing.T) {
	for _, size := range []float64{1, 1e-4, 1e-6, 1e-7, 1e-8, 1e-15} {
		for _, c := range []struct{ weights, inputs float64 }{{size, 1 / size}, {0.1, size}, {size, 1}} {
			r := rand.New(rand.NewPCG(3, 5))
			net, err := models.New([]int{8}, models.Linear{Name: "f", Out: 4, NoBias: true}, 1)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range net.Params() {
				for i := range p.Data {
					p.Data[i] = float32(r.NormFloat64() * c.weights)
				}
			}
			x := make([]float32, 32)
			for i := range x {
				x[i] = float32(r.NormFloat64() * c.inputs)
			}
			got, want := tinyRun(t, net, qconfig.Config{}, x), tinyRun(t, net, qconfig.Config{Float: true}, x)
			var diff, all float64
			for i, v := range want {
				diff += math.Pow(float64(got[i]-v), 2)
				all += math.Pow(float64(v), 2)
			}
			if e := math.Sqrt(diff / all); !(e < tinyError) {
				t.Errorf("weights of %g, inputs of %g: relative error %.3f, want below %v", c.weights, c.inputs, e, tinyError)
			}
		}
	}
}

// tinyRun prepares net, shows it x and returns what it makes of it.
func tinyRun(t *testing.T, net *models.Net, cfg qconfig.Config, x []float32) []float32 {
	t.Helper()
	g, err := net.Build(4, false)
	if err != nil {
		t.Fatal(err)
	}
	m, err := qat.Prepare(g.G, cfg, g.Logits)
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Float {
		out, err := m.Predict(x)
		if err != nil {
			t.Fatal(err)
		}
		return out[0]
	}
	if err := m.Calibrate(x); err != nil {
		t.Fatal(err)
	}
	fz, err := m.Freeze()
	if err != nil {
		t.Fatal(err)
	}
	out, err := fz.Run(x)
	if err != nil {
		t.Fatal(err)
	}
	return out[0]
}
