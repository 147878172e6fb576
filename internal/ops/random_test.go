package ops

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/goqat/goqat/internal/nn"
	"gorgonia.org/gorgonia"
)

func TestRandomLaws(t *testing.T) {
	const n = 1 << 16
	for _, c := range []struct {
		law            Random
		mean, variance float64
	}{
		{Random{"uniform", -1, 3}, 1, 16.0 / 12},
		{Random{"gaussian", 2, 0.5}, 2, 0.25},
		{Random{"binomial", 4, 0.25}, 1, 0.75},
	} {
		x := make([]float32, n)
		c.law.Fill(x, rand.New(rand.NewPCG(1, 2)))
		mean, variance := 0.0, 0.0
		for _, v := range x {
			mean += float64(v) / n
		}
		for _, v := range x {
			variance += (float64(v) - mean) * (float64(v) - mean) / n
		}
		// Five deviations of the mean of n numbers; the variance of the variance is below
		// three times its square over n for these laws.
		if math.Abs(mean-c.mean) > 5*math.Sqrt(c.variance/n) || math.Abs(variance-c.variance) > 5*math.Sqrt(3.0/n)*c.variance {
			t.Errorf("%v: mean %v, variance %v, want %v and %v", c.law, mean, variance, c.mean, c.variance)
		}
	}
}

// TestDraw: fresh numbers in every run, the same from the same seed.
func TestDraw(t *testing.T) {
	draw := func(seed uint64) (runs [][]float32) {
		g := gorgonia.NewGraph()
		n, err := Draw(g, Random{"gaussian", 0, 1}, seed, 2, 3)
		if err != nil {
			t.Fatal(err)
		}
		x := gorgonia.NewMatrix(g, gorgonia.Float32, gorgonia.WithShape(2, 3), gorgonia.WithName("x"), gorgonia.WithInit(gorgonia.Zeroes()))
		if n, err = Apply(nn.Binary{Fn: "add"}, x, n); err != nil {
			t.Fatal(err)
		}
		vm := gorgonia.NewTapeMachine(g)
		defer vm.Close()
		for range 2 {
			if err := vm.RunAll(); err != nil {
				t.Fatal(err)
			}
			runs = append(runs, slices.Clone(n.Value().Data().([]float32)))
			vm.Reset()
		}
		return runs
	}
	a, b, c := draw(1), draw(1), draw(2)
	if slices.Equal(a[0], a[1]) || slices.Equal(a[0], c[0]) || !slices.Equal(a[0], b[0]) || !slices.Equal(a[1], b[1]) {
		t.Errorf("seed 1: %v and %v, seed 2: %v", a, b, c)
	}
	if _, err := Draw(gorgonia.NewGraph(), Random{Law: "cauchy"}, 1, 2); err == nil {
		t.Error("an unknown law: no error")
	}
}
