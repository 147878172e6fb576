package fakequant

import (
	"errors"
	"math"
	"testing"

	"github.com/goqat/goqat/testdata"
)

type learnableCase struct {
	Name         string
	DType        string
	Axis         *int
	Qmin, Qmax   int32
	GradFactor   testdata.Float `json:"grad_factor"`
	Scale, X, DY testdata.Tensor
	ZeroPoint    testdata.Tensor `json:"zero_point"`
	Y, DX        testdata.Tensor
	DScale       testdata.Tensor `json:"dscale"`
	DZeroPoint   testdata.Tensor `json:"dzero_point"`
}

// learnableTolerance is the file's own: sums of n products in another order, each
// at most max(|qmin|, qmax) times the gradient.
const learnableTolerance = 1e-5

func TestGoldenLearnable(t *testing.T) {
	cases, err := testdata.Golden[learnableCase]("learnable_fq")
	if err != nil {
		t.Fatal(err)
	}
	if len(cases) < 7 {
		t.Fatalf("%d cases, want the whole file", len(cases))
	}
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			checkLearnable(t, c, c.DScale.F32, c.DZeroPoint.F32)
		})
	}
}

func checkLearnable(t *testing.T, c learnableCase, dscale, dzero []float32) {
	s := specOfRange(t, c.Qmin, c.Qmax)
	s.Scheme = Affine
	if c.Axis != nil {
		s.Granularity, s.Axis = PerChannel, *c.Axis
	}
	q, err := New("golden", s, nil, false)
	if err != nil {
		t.Fatal(err)
	}
	scale, zero, err := q.Learn(len(c.Scale.F32), InitObserver)
	if err != nil {
		t.Fatal(err)
	}
	start := Params{Scale: c.Scale.F32, ZeroPoint: make([]int32, len(c.Scale.F32))}
	if err := q.SetParams(start); err != nil {
		t.Fatal(err)
	}
	copy(zero, c.ZeroPoint.F32)
	q.SetPhase(Quantizing)
	site := q.NewSite()
	y := make([]float32, len(c.X.F32))
	if err := site.Forward(y, c.X.F32, c.X.Shape); err != nil {
		t.Fatal(err)
	}
	for i, v := range y {
		if v != c.Y.F32[i] {
			t.Fatalf("y[%d] = %v, want %v", i, v, c.Y.F32[i])
		}
	}
	dx, ds, dz := make([]float32, len(y)), make([]float32, len(scale)), make([]float32, len(scale))
	if err := site.BackwardLearned(dx, ds, dz, c.X.F32, c.DY.F32, c.X.Shape, false); err != nil {
		t.Fatal(err)
	}
	for i, v := range dx {
		if v != c.DX.F32[i] {
			t.Fatalf("dx[%d] = %v, want %v", i, v, c.DX.F32[i])
		}
	}
	// The file's factor may differ from ours; it multiplies everything.
	n := float64(len(y)) / float64(len(scale))
	ratio := float64(c.GradFactor) * math.Sqrt(n*float64(c.Qmax))
	sum := 0.0
	for _, v := range c.DY.F32 {
		sum += math.Abs(float64(v))
	}
	limit := learnableTolerance * float64(c.GradFactor) * sum
	for g := range scale {
		if got := float64(ds[g]) * ratio; math.Abs(got-float64(dscale[g])) > limit*float64(max(-c.Qmin, c.Qmax)) {
			t.Errorf("dscale[%d] = %v, want %v", g, got, dscale[g])
		}
		if dzero == nil {
			continue
		}
		if got := float64(dz[g]) * ratio; math.Abs(got-float64(dzero[g])) > limit*float64(c.Scale.F32[g]) {
			t.Errorf("dzero[%d] = %v, want %v", g, got, dzero[g])
		}
	}
}

// specOfRange returns the spec with the given code range.
func specOfRange(t *testing.T, qmin, qmax int32) Spec {
	t.Helper()
	for bits := MinBits; bits <= MaxBits; bits++ {
		for _, s := range []Spec{{Bits: bits}, {Bits: bits, Unsigned: true}, {Bits: bits, NarrowRange: true}, {Bits: bits, Unsigned: true, NarrowRange: true}} {
			if lo, hi := s.QRange(); lo == qmin && hi == qmax {
				return s
			}
		}
	}
	t.Fatalf("no spec has range %d..%d", qmin, qmax)
	return Spec{}
}

// Learning starts from the observer with the first quantizing training pass; before
// it, the scale follows every observation, and after it none.
func TestLearnedLifecycle(t *testing.T) {
	q, err := New("w", Spec{}, &recorder{}, false)
	if err != nil {
		t.Fatal(err)
	}
	log, zero, err := q.Learn(1, InitObserver)
	if err != nil || zero != nil {
		t.Fatalf("Learn gave zero points %v, error %v", zero, err)
	}
	site := q.NewSite()
	x, y := []float32{-1, 0.5, 1}, make([]float32, 3)
	q.SetPhase(ObservingAndQuantizing)
	if err := site.Calibrate(y, []float32{-2, 2, 0}, []int{3}); err != nil {
		t.Fatal(err)
	}
	if err := site.Forward(y, x, []int{3}); err != nil {
		t.Fatal(err)
	}
	lo, hi, _ := q.Range()
	observed, err := ParamsFromRange(q.spec, lo, hi, false)
	if err != nil {
		t.Fatal(err)
	}
	start, err := q.Params()
	if err != nil || log[0] != 0 || !q.learning() || start.Scale[0] != observed.Scale[0] {
		t.Fatalf("after the first pass: memory %v, params %v, observed %v, error %v", log, start, observed, err)
	}
	pass := func(w float32) float32 { // the solver's work, then a pass
		log[0] = w
		if err := errors.Join(q.SetLearned(log, nil), site.Forward(y, []float32{-100, 0.5, 1}, []int{3})); err != nil {
			t.Fatal(err)
		}
		used, _ := site.Used()
		return used.Scale[0]
	}
	s := start.Scale[0]
	for _, c := range []struct{ w, scale, left float32 }{
		{math.Ln2, 2 * s, math.Ln2},
		{0, s, 0}, // bit for bit, whatever was between
		{-1e30, s / 256, lowest},
		{1e30, s * 65536, highest},
	} {
		got := pass(c.w)
		if d := math.Abs(float64(got)/float64(c.scale) - 1); d > logRounding || log[0] != c.left {
			t.Errorf("logarithm %v: scale %v, want %v; %v is left, want %v", c.w, got, c.scale, log[0], c.left)
		}
		if floor := q.AtFloor(); floor != 0 != (c.left == lowest) {
			t.Errorf("logarithm %v: %d scales at the floor", c.w, floor)
		}
	}
	if pass(0) != s {
		t.Errorf("scale %v at the start, want %v", pass(0), s)
	}
	log[0] = float32(math.NaN())
	if err := site.Forward(y, x, []int{3}); !errors.Is(err, ErrParams) {
		t.Errorf("NaN: error %v, want ErrParams", err)
	}
}

// logRounding is what rounding the logarithm, at most 12 in size, to float32 does to the
// scale: half of 2^-20; then the scale itself is rounded.
const logRounding = 0x1p-21 + 0x1p-24

// A group of zeros alone has no scale to start from: it starts with the first pass in
// which it holds something else, at that pass's scale.
func TestLearnedZeroGroup(t *testing.T) {
	for _, init := range []ScaleInit{InitObserver, InitLSQ} {
		q, err := New("w", Spec{Bits: 4, NarrowRange: true, Granularity: PerChannel}, &recorder{}, false)
		if err != nil {
			t.Fatal(err)
		}
		log, _, err := q.Learn(2, init)
		if err != nil {
			t.Fatal(err)
		}
		q.SetPhase(Quantizing)
		site, y := q.NewSite(), make([]float32, 4)
		pass := func(x ...float32) Params {
			if err := site.Forward(y, x, []int{2, 2}); err != nil {
				t.Fatal(err)
			}
			p, _ := site.Used()
			return p
		}
		if err := q.SetParams(Params{Scale: []float32{ZeroScale, ZeroScale}, ZeroPoint: make([]int32, 2)}); err != nil {
			t.Fatal(err)
		}
		q.learn.start = nil // as before the first pass
		first := pass(0, 0, 1, -2)
		log[0], log[1] = -3, 1 // a solver moves both
		second := pass(0.7, -1.4, 1, -2)
		if first.Scale[0] != ZeroScale || log[0] != 0 || !(second.Scale[0] > 0.1) || log[1] != 1 {
			t.Errorf("init %d: scales %v, then %v, logarithms %v", init, first.Scale, second.Scale, log)
		}
		st, err := q.State()
		if err != nil || st.Learned.Start[0] != second.Scale[0] {
			t.Errorf("init %d: state %+v, error %v", init, st.Learned, err)
		}
	}
}

// Updates of a zero point below one half add up: the memory is not rounded.
func TestLearnedZeroPointKeepsFractions(t *testing.T) {
	q, err := New("a", Spec{Unsigned: true, Scheme: Affine}, nil, false)
	if err != nil {
		t.Fatal(err)
	}
	_, zero, err := q.Learn(1, InitObserver)
	if err != nil {
		t.Fatal(err)
	}
	if err := q.SetParams(Params{Scale: []float32{0.1}, ZeroPoint: []int32{10}}); err != nil {
		t.Fatal(err)
	}
	q.SetPhase(Quantizing)
	site := q.NewSite()
	y := make([]float32, 1)
	for range 3 {
		zero[0] += 0.3
		if err := site.Forward(y, []float32{0}, []int{1}); err != nil {
			t.Fatal(err)
		}
	}
	if p, _ := q.Params(); p.ZeroPoint[0] != 11 {
		t.Errorf("zero point %d after three updates of 0.3 from 10, want 11", p.ZeroPoint[0])
	}
}

// The LSQ paper's start: 2 mean|x| / sqrt(qmax).
func TestLearnedInitLSQ(t *testing.T) {
	q, err := New("w", Spec{Bits: 3, NarrowRange: true}, &recorder{}, false)
	if err != nil {
		t.Fatal(err)
	}
	log, _, err := q.Learn(1, InitLSQ)
	if err != nil {
		t.Fatal(err)
	}
	q.SetPhase(ObservingAndQuantizing)
	x := []float32{-1, 2, -3, 6}
	if err := q.NewSite().Forward(make([]float32, 4), x, []int{4}); err != nil {
		t.Fatal(err)
	}
	p, err := q.Params()
	if want := float32(2 * 3 / math.Sqrt(3)); err != nil || p.Scale[0] != want || log[0] != 0 {
		t.Errorf("scale %v, logarithm %v, want %v and 0; error %v", p.Scale, log, want, err)
	}
}

// TestScaleFloor: no scale that is computed is below Spec.MinScale, also where binary16, the
// values of which are 2^-24 apart there, has none just above it, and where LSQ sets the start.
func TestScaleFloor(t *testing.T) {
	const floor, above = 1.3 * 0x1p-24, 2 * 0x1p-24 // 1.3 is nearer to 1
	for _, c := range []struct {
		half bool
		init ScaleInit
		want float32
	}{{false, InitObserver, floor}, {false, InitLSQ, floor}, {true, InitObserver, above}, {true, InitLSQ, above}} {
		q, err := New("w", Spec{Bits: 8, MinScale: floor, HalfScale: c.half}, &recorder{}, false)
		if err != nil {
			t.Fatal(err)
		}
		log, _, err := q.Learn(1, c.init)
		if err != nil {
			t.Fatal(err)
		}
		q.SetPhase(ObservingAndQuantizing)
		site, x, y := q.NewSite(), []float32{-0x1p-40, 0x1p-40}, make([]float32, 2)
		if err := site.Forward(y, x, []int{2}); err != nil {
			t.Fatal(err)
		}
		p, err := q.Params()
		if err != nil || p.Scale[0] != c.want || q.learn.start[0] != c.want || q.FitScale(0) != c.want {
			t.Errorf("%+v: scale %v, start %v, fit %v, error %v", c, p.Scale[0], q.learn.start[0], q.FitScale(0), err)
		}
		log[0] = math.Ln2 // a solver's step up counts from the first
		if err := site.Forward(y, x, []int{2}); err != nil {
			t.Fatal(err)
		}
		if p, _ := site.Used(); !(p.Scale[0] > c.want) {
			t.Errorf("%+v: scale %v after a step up", c, p.Scale[0])
		}
	}
}
