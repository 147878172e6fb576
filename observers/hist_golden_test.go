package observers

import (
	"slices"
	"testing"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/testdata"
)

type goldenHistogram struct {
	goldenFormat
	Bins    int
	Steps   []testdata.Tensor
	MSE     testdata.Float
	BestMSE testdata.Float `json:"best_mse"`
}

// What the golden files' README asks of an implementation: searches differ, so
// errors are compared, not scales.
const (
	torchFactor = 1.02 // of PyTorch's error, for an observer like PyTorch's
	bestFactor  = 1.05 // of the least error, for one that claims to find it
)

func TestGoldenHistogram(t *testing.T) {
	cases, err := testdata.Golden[goldenHistogram]("observers_histogram")
	if err != nil {
		t.Fatal(err)
	}
	if len(cases) != 7 {
		t.Errorf("%d cases, want 7", len(cases))
	}
	for _, c := range cases {
		s := c.spec(t)
		var all []float32
		for _, x := range c.Steps {
			all = append(all, x.F32...)
		}
		torch, best := torchFactor*float64(c.MSE), bestFactor*float64(c.BestMSE)
		for _, tt := range []struct {
			obs   fakequant.Observer
			limit float64
		}{
			{&Histogram{Bins: c.Bins}, torch},
			{&MSE{Bins: c.Bins}, best},
			{&MSE{Bins: MinBins * 16}, best}, // a bin per code is enough
			{&LatestMSE{}, best},
		} {
			if o, ok := tt.obs.(SpecSetter); ok {
				o.SetSpec(s, false)
			}
			steps := [][]float32{all}
			if !tt.obs.Memoryless() {
				steps = steps[:0]
				for _, x := range c.Steps {
					steps = append(steps, x.F32)
				}
			}
			for _, x := range steps {
				mustObserve(t, tt.obs, x)
			}
			got := meanError(t, tt.obs, s, all)
			t.Logf("%s %T: error %.4g, limit %.4g torch %.4g best %.4g", c.Name, tt.obs, got, tt.limit, float64(c.MSE), float64(c.BestMSE))
			if got > tt.limit {
				t.Errorf("%s: %T has error %v, want at most %v", c.Name, tt.obs, got, tt.limit)
			}
		}
	}
}

// meanError is the mean squared fake-quantization error of x on the grid that the
// observer's range gives.
func meanError(t testing.TB, o fakequant.Observer, s fakequant.Spec, x []float32) float64 {
	t.Helper()
	lo, hi, ok := o.Range()
	if !ok {
		t.Fatalf("%T has no range", o)
	}
	p, err := fakequant.ParamsFromRange(s, lo, hi, false)
	if err != nil {
		t.Fatal(err)
	}
	y := slices.Clone(x)
	if err := fakequant.FakeQuantize(y, y, layout(t, 1, len(x)), s, p); err != nil {
		t.Fatal(err)
	}
	var sum float64
	for i := range x {
		d := float64(x[i]) - float64(y[i])
		sum += d * d
	}
	return sum / float64(len(x))
}
