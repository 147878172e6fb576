package train

import (
	"math"
	"testing"
)

func TestSchedules(t *testing.T) {
	// One rounding of each of a handful of float64 operations on values up to 1.
	const tol = 8 * 0x1p-53
	r2 := math.Sqrt2 / 2
	for _, c := range []struct {
		name string
		s    Schedule
		want []float64 // the whole run
	}{
		{"constant", Constant(0.5), []float64{0.5, 0.5, 0.5}},
		{"cosine", Cosine{Base: 1}, []float64{1, (1 + r2) / 2, 0.5, (1 - r2) / 2}},
		{"cosine to a minimum", Cosine{Base: 1, Min: 0.5}, []float64{1, 0.75}},
		{"cosine after warm-up", Cosine{Base: 0.75, Warmup: 2}, []float64{0.25, 0.5, 0.75, 0.375}},
		{"warm-up only", Cosine{Base: 0.75, Warmup: 5}, []float64{0.125, 0.25}},
		{"step decay", StepDecay{Base: 1, Factor: 0.5, Every: 2}, []float64{1, 1, 0.5, 0.5, 0.25}},
		{"step decay in thirds", StepDecay{Base: 1}, []float64{1, 1, 0.1, 0.1, 0.01}},
	} {
		for i, want := range c.want {
			if got := c.s.LR(i, len(c.want)); math.Abs(got-want) > tol {
				t.Errorf("%s: step %d: %v, want %v", c.name, i, got, want)
			}
		}
	}
	if got := (Cosine{Base: 1, Min: 0.25}).LR(7, 4); got != 0.25 {
		t.Errorf("cosine after the end: %v, want the minimum", got)
	}
}
