package nn

import (
	"math"
	"testing"
)

func TestGatherRefusesIndices(t *testing.T) {
	table := Tensor[float32]{[]int{3, 2}, make([]float32, 6)}
	for _, v := range []float64{3, -4, 0.5, math.NaN(), math.Inf(1), 1e30} {
		in := []Tensor[float32]{table, {[]int{1}, []float32{float32(v)}}}
		out := Tensor[float32]{[]int{1, 2}, []float32{7, 7}}
		wantErr(t, Forward(Gather{}, out, in), ErrShape, "from -3 to 2")
		wantErr(t, Backward(Gather{}, in, in, out, out), ErrShape, "from -3 to 2")
		if out.Data[0] != 7 {
			t.Errorf("index %v: the output was written", v)
		}
	}
}

// TestHugeWindow: a window wider than the channels covers all of them.
func TestHugeWindow(t *testing.T) {
	in := []Tensor[float64]{{[]int{1, 2}, []float64{3, 4}}}
	n := int(^uint(0) >> 1)
	got := run(t, LRN{Size: n, Alpha: float64(n), Beta: 1, Bias: 75}, in)
	wantSame(t, "quotients", got.Data, []float64{0.03, 0.04})
}
