package observers

import (
	"math"
	"testing"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/testdata"
)

type goldenStep struct {
	X         testdata.Tensor
	Min, Max  testdata.Tensor
	Scale     testdata.Tensor
	ZeroPoint testdata.Tensor `json:"zero_point"`
}

type goldenFormat struct {
	Name, Observer, DType string
	Qmin, Qmax            int32
	Symmetric             bool
	Axis                  *int
}

type goldenCase struct {
	goldenFormat
	AveragingConstant *float64 `json:"averaging_constant"`
	Steps             []goldenStep
}

// goldenTolerance is relative, as the golden files' README states for min, max
// and scale: the reference may fuse the multiply and the add of an average.
const goldenTolerance = 1e-6

func near(got, want float32) bool {
	return math.Abs(float64(got)-float64(want)) <= goldenTolerance*math.Abs(float64(want))
}

func (c goldenFormat) spec(t *testing.T) fakequant.Spec {
	t.Helper()
	var s fakequant.Spec
	switch c.DType {
	case "int8":
	case "int8_narrow":
		s.NarrowRange = true
	case "uint8":
		s.Unsigned = true
	case "int4":
		s.Bits = 4
	case "int4_narrow":
		s.Bits, s.NarrowRange = 4, true
	case "uint4":
		s.Bits, s.Unsigned = 4, true
	default:
		t.Fatalf("unknown dtype %q", c.DType)
	}
	if !c.Symmetric {
		s.Scheme = fakequant.Affine
	}
	s.MinScale = 0x1p-23 // eps of PyTorch's observers
	if c.Axis != nil {
		s.Granularity, s.Axis = fakequant.PerChannel, *c.Axis
	}
	if qmin, qmax := s.QRange(); qmin != c.Qmin || qmax != c.Qmax {
		t.Fatalf("range %d..%d, want %d..%d", qmin, qmax, c.Qmin, c.Qmax)
	}
	return s
}

func (c goldenCase) observer(t *testing.T) fakequant.Observer {
	t.Helper()
	switch c.Observer {
	case "MinMaxObserver", "PerChannelMinMaxObserver":
		return &MinMax{}
	case "MovingAverageMinMaxObserver", "MovingAveragePerChannelMinMaxObserver":
		return &MovingAverage{Constant: *c.AveragingConstant}
	}
	t.Fatalf("unknown observer %q", c.Observer)
	return nil
}

func TestGoldenMinMax(t *testing.T) {
	cases, err := testdata.Golden[goldenCase]("observers_minmax")
	if err != nil {
		t.Fatal(err)
	}
	steps := 0
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			s, obs := c.spec(t), c.observer(t)
			for i, step := range c.Steps {
				checkGoldenStep(t, i, step, s, obs)
				steps++
			}
		})
	}
	if len(cases) != 25 || steps != 84 {
		t.Errorf("%d cases with %d steps ran, want 25 with 84", len(cases), steps)
	}
}

func checkGoldenStep(t *testing.T, i int, step goldenStep, s fakequant.Spec, obs fakequant.Observer) {
	t.Helper()
	l, err := s.Layout(step.X.Shape)
	if err != nil {
		t.Fatal(err)
	}
	if err := obs.Observe(step.X.F32, l); err != nil {
		t.Fatal(err)
	}
	lo, hi, ok := obs.Range()
	if !ok || len(lo) != len(step.Min.F32) || len(hi) != len(step.Max.F32) {
		t.Fatalf("step %d: %d minima, %d maxima, ok %v", i, len(lo), len(hi), ok)
	}
	p, err := fakequant.ParamsFromRange(s, lo, hi, false)
	if err != nil {
		t.Fatal(err)
	}
	zero, err := step.ZeroPoint.Ints()
	if err != nil {
		t.Fatal(err)
	}
	for g := range lo {
		if !near(lo[g], step.Min.F32[g]) || !near(hi[g], step.Max.F32[g]) {
			t.Errorf("step %d group %d: range (%v, %v), want (%v, %v)", i, g, lo[g], hi[g], step.Min.F32[g], step.Max.F32[g])
		}
		if !near(p.Scale[g], step.Scale.F32[g]) {
			t.Errorf("step %d group %d: scale %v, want %v", i, g, p.Scale[g], step.Scale.F32[g])
		}
		if int(p.ZeroPoint[g]) != zero[g] {
			t.Errorf("step %d group %d: zero point %d, want %d", i, g, p.ZeroPoint[g], zero[g])
		}
	}
}

// TestGoldenCoreML follows the three observers of Core ML Tools over batches with
// the ranges (-1, 2), (-3, 1), (0.5, 4).
func TestGoldenCoreML(t *testing.T) {
	tests := []struct {
		kind   string
		lo, hi [3]float32
	}{
		{KindMinMax, [3]float32{-1, -3, -3}, [3]float32{2, 2, 4}},
		{KindMovingAverage, [3]float32{-1, -1.02, -1.0048}, [3]float32{2, 1.99, 2.0101}},
		{KindEMA, [3]float32{-1, -1.2, -1.03}, [3]float32{2, 1.9, 2.11}},
		{KindLatest, [3]float32{-1, -3, 0.5}, [3]float32{2, 1, 4}},
	}
	batches := [][]float32{{-1, 0, 2}, {1, -3, 0}, {4, 0.5, 1}}
	for _, tt := range tests {
		obs, err := New(tt.kind)
		if err != nil {
			t.Fatal(err)
		}
		for i, x := range batches {
			mustObserve(t, obs, x)
			lo, hi, ok := obs.Range()
			if !ok || !near(lo[0], tt.lo[i]) || !near(hi[0], tt.hi[i]) {
				t.Errorf("%s after batch %d: (%v, %v) %v, want (%v, %v)", tt.kind, i, lo, hi, ok, tt.lo[i], tt.hi[i])
			}
		}
	}
}
