package observers

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/goqat/goqat/fakequant"
)

var (
	_ = []Merger{&MinMax{}, &MovingAverage{}, &EMA{}, &Latest{}, &Histogram{}, &Percentile{}, &MSE{}, &KL{}, &LatestMSE{}}
	_ = []SpecSetter{&MSE{}, &KL{}, &LatestMSE{}}
)

// layout is that of x as one row per channel.
func layout(t testing.TB, channels, n int) fakequant.Layout {
	t.Helper()
	s := fakequant.Spec{}
	if channels > 1 {
		s.Granularity = fakequant.PerChannel
	}
	l, err := s.Layout([]int{channels, n / channels})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func mustObserve(t testing.TB, o fakequant.Observer, x []float32) {
	t.Helper()
	if err := o.Observe(x, layout(t, 1, len(x))); err != nil {
		t.Fatal(err)
	}
}

func mustNew(t testing.TB, kind string) Merger {
	t.Helper()
	o, err := New(kind)
	if err != nil {
		t.Fatal(err)
	}
	return o.(Merger)
}

func snapshot(t testing.TB, o fakequant.Observer) string {
	t.Helper()
	b, err := o.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestNewUnknown(t *testing.T) {
	_, err := New("histogramm")
	if !errors.Is(err, ErrSettings) {
		t.Fatalf("got %v, want ErrSettings", err)
	}
	for _, k := range Kinds() {
		if !strings.Contains(err.Error(), k) {
			t.Errorf("error %q does not list %s", err, k)
		}
	}
}

func TestLifecycle(t *testing.T) {
	for _, kind := range Kinds() {
		t.Run(kind, func(t *testing.T) {
			o := mustNew(t, kind)
			if _, _, ok := o.Range(); ok {
				t.Error("a new observer has a range")
			}
			if got := o.Memoryless(); got != (kind == KindLatest || kind == KindLatestMSE) {
				t.Errorf("Memoryless is %v", got)
			}
			empty := snapshot(t, o)
			mustObserve(t, o, []float32{-1, 2})
			f := o.Fresh()
			if snapshot(t, f) != empty {
				t.Error("Fresh kept data")
			}
			mustObserve(t, f, []float32{-7, 7})
			if lo, hi, ok := o.Range(); !ok || lo[0] != -1 || hi[0] != 2 {
				t.Errorf("first batch gave (%v, %v) %v, want its own range", lo, hi, ok)
			}
			o.Reset()
			if snapshot(t, o) != empty {
				t.Error("Reset kept data")
			}
			if err := o.Observe([]float32{1, 2, 3, 4}, layout(t, 2, 4)); err != nil {
				t.Errorf("other groups after Reset: %v", err)
			}
		})
	}
}

func TestFreshKeepsSettings(t *testing.T) {
	if got := (&MovingAverage{Constant: 0.5}).Fresh().(*MovingAverage).Constant; got != 0.5 {
		t.Errorf("Constant %v", got)
	}
	if got := (&EMA{Ratio: 0.25}).Fresh().(*EMA).Ratio; got != 0.25 {
		t.Errorf("Ratio %v", got)
	}
	spec := fakequant.Spec{Bits: 4, Scheme: fakequant.Affine}
	for _, o := range []fakequant.Observer{
		&Histogram{Bins: 64},
		&Percentile{Bins: 64, Percentile: 99},
		&MSE{Bins: 64, Spec: spec, NonNegative: true},
		&KL{Bins: 64, Spec: spec, NonNegative: true},
		&LatestMSE{Spec: spec, NonNegative: true},
	} {
		if got, want := snapshot(t, o.Fresh()), snapshot(t, o); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func TestConstants(t *testing.T) {
	tests := []struct {
		obs    fakequant.Observer
		lo, hi float32 // after (-4, 8) and (-8, 4); all exact in float32
	}{
		{&MovingAverage{Constant: 0.25}, -5, 7},
		{&MovingAverage{Constant: 1}, -8, 4},
		{&EMA{Ratio: 0.75}, -5, 7},
		{&EMA{Ratio: 1}, -4, 8},
	}
	for _, tt := range tests {
		mustObserve(t, tt.obs, []float32{-4, 8})
		mustObserve(t, tt.obs, []float32{-8, 4})
		if lo, hi, _ := tt.obs.Range(); lo[0] != tt.lo || hi[0] != tt.hi {
			t.Errorf("%+v: want (%v, %v)", tt.obs, tt.lo, tt.hi)
		}
	}
}

func TestBadConstants(t *testing.T) {
	for _, v := range []float64{-0.1, 1.5, math.NaN(), math.Inf(1)} {
		for _, o := range []fakequant.Observer{&MovingAverage{Constant: v}, &EMA{Ratio: v}} {
			if err := o.Observe([]float32{1}, layout(t, 1, 1)); !errors.Is(err, ErrSettings) {
				t.Errorf("%T with %v: %v, want ErrSettings", o, v, err)
			}
			if _, _, ok := o.Range(); ok {
				t.Errorf("%T with %v took data", o, v)
			}
		}
	}
}

// Averages stay between what they average, whatever float32 rounds: bounds never
// cross, a constant stream never drifts, the largest values do not overflow.
func TestAveragesStayInside(t *testing.T) {
	const big = math.MaxFloat32
	streams := [][][]float32{
		{{0.1, 0.1}, {0.1, 0.1}, {0.1, 0.1}},
		{{-big, big}, {big, big}, {-big, -big}},
		{{1, 1e8}, {1, 1.3}, {1, 1}},
		{{-1e8, 1e8}, {1, 1}, {1, 1}},
		{{1e-45, 3e-45}, {1e-45, 1e-45}, {-1e-45, 1e-45}},
	}
	for _, stream := range streams {
		for _, o := range []fakequant.Observer{
			&MovingAverage{}, &MovingAverage{Constant: 0.999}, &MovingAverage{Constant: 1}, &EMA{}, &EMA{Ratio: 1e-9},
		} {
			var oldLo, oldHi float32
			for i, x := range stream {
				mustObserve(t, o, x)
				lo, hi, _ := o.Range()
				if !(lo[0] <= hi[0]) {
					t.Fatalf("%T over %v: bounds cross: %v, %v", o, stream, lo, hi)
				}
				a, b := min(x[0], x[1]), max(x[0], x[1])
				if i > 0 && (lo[0] < min(oldLo, a) || hi[0] > max(oldHi, b)) {
					t.Fatalf("%T over %v: (%v, %v) leaves its data at %d", o, stream, lo, hi, i)
				}
				oldLo, oldHi = lo[0], hi[0]
			}
		}
	}
}

func TestPerChannel(t *testing.T) {
	o := &MinMax{}
	l := layout(t, 2, 6)
	for _, x := range [][]float32{{1, 2, 3, -4, -5, -6}, {0, 2, 2, -9, 1, -5}} {
		if err := o.Observe(x, l); err != nil {
			t.Fatal(err)
		}
	}
	lo, hi, _ := o.Range()
	if !slices.Equal(lo, []float32{0, -9}) || !slices.Equal(hi, []float32{3, 1}) {
		t.Errorf("got %v, %v", lo, hi)
	}
}

func TestBadDataChangesNothing(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	l := layout(t, 2, 4)
	tests := []struct {
		name string
		x    []float32
		l    fakequant.Layout
	}{
		{"NaN", []float32{9, 9, nan, 9}, l},
		{"nothing finite", []float32{9, 9, inf, -inf}, l},
		{"too short", []float32{9, 9, 9}, l},
		{"other groups", []float32{9, 9, 9, 9}, layout(t, 4, 4)},
		{"empty", nil, fakequant.Layout{}},
	}
	for _, kind := range Kinds() {
		o := mustNew(t, kind)
		if err := o.Observe([]float32{1, 2, 3, 4}, l); err != nil {
			t.Fatal(err)
		}
		before := snapshot(t, o)
		for _, tt := range tests {
			if err := o.Observe(tt.x, tt.l); !errors.Is(err, fakequant.ErrData) {
				t.Errorf("%s, %s: %v, want ErrData", kind, tt.name, err)
			}
			if after := snapshot(t, o); after != before {
				t.Errorf("%s, %s: state changed from %s to %s", kind, tt.name, before, after)
			}
		}
	}
}

func TestInfinitiesAreLeftOut(t *testing.T) {
	o := &MinMax{}
	mustObserve(t, o, []float32{float32(math.Inf(-1)), -1, 2, float32(math.Inf(1))})
	if lo, hi, _ := o.Range(); lo[0] != -1 || hi[0] != 2 {
		t.Errorf("(%v, %v), want (-1, 2)", lo, hi)
	}
}

func TestMergeRules(t *testing.T) {
	tests := []struct {
		kind   string
		lo, hi float32 // of three batches (-1, 1), none, and one batch (-5, 9)
	}{
		{KindMinMax, -5, 9},
		{KindLatest, -5, 9},
		{KindMovingAverage, -2, 3},
		{KindEMA, -2, 3},
		{KindHistogram, -5, 9},
		{KindPercentile, -5, 9},
		{KindMSE, -5, 9},
		{KindKL, -5, 9},
		{KindLatestMSE, -5, 9},
	}
	for _, tt := range tests {
		a, b := mustNew(t, tt.kind), mustNew(t, tt.kind)
		for range 3 {
			mustObserve(t, a, []float32{-1, 1})
		}
		mustObserve(t, b, []float32{-5, 9})
		other := snapshot(t, b)
		for _, o := range []fakequant.Observer{mustNew(t, tt.kind), b} {
			if err := a.Merge(o); err != nil {
				t.Fatal(err)
			}
		}
		lo, hi, _ := a.Range()
		if lo[0] != tt.lo || hi[0] != tt.hi {
			t.Errorf("%s: (%v, %v), want (%v, %v)", tt.kind, lo, hi, tt.lo, tt.hi)
		}
		if snapshot(t, b) != other {
			t.Errorf("%s: Merge changed the other", tt.kind)
		}
		empty := mustNew(t, tt.kind)
		if err := empty.Merge(a); err != nil || snapshot(t, empty) != snapshot(t, a) {
			t.Errorf("%s: merging into an empty one: %v, %s", tt.kind, err, snapshot(t, empty))
		}
		lo[0] = 0 // what was merged is a copy
		if l, _, _ := empty.Range(); l[0] != tt.lo {
			t.Errorf("%s: merged state shares memory", tt.kind)
		}
	}
}

// mergeTolerance: each of the two merges rounds once to float32, half a unit in
// the last place of 2^-24 relative; the two orders may differ by twice that.
const mergeTolerance = 4 * 0x1p-24

func TestMergeOrder(t *testing.T) {
	for _, kind := range Kinds() {
		var parts []Merger
		for i, stream := range [][][]float32{{{-1.1, 2.3}}, {{-0.7, 5.9}, {-3.3, 1.7}}, {{-2.9, 0.3}, {-1.3, 1.9}, {-0.1, 8.7}}} {
			parts = append(parts, mustNew(t, kind))
			for _, x := range stream {
				mustObserve(t, parts[i], x)
			}
		}
		var wantLo, wantHi float64
		for i, order := range [][]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}} {
			sum := mustNew(t, kind)
			for _, k := range order {
				if err := sum.Merge(parts[k]); err != nil {
					t.Fatal(err)
				}
			}
			lo, hi, _ := sum.Range()
			l, h := float64(lo[0]), float64(hi[0])
			if i == 0 {
				wantLo, wantHi = l, h
			}
			if math.Abs(l-wantLo) > mergeTolerance*math.Abs(wantLo) || math.Abs(h-wantHi) > mergeTolerance*wantHi {
				t.Errorf("%s merged as %v: (%v, %v), want (%v, %v)", kind, order, l, h, wantLo, wantHi)
			}
		}
	}
}

func TestMergeRefuses(t *testing.T) {
	seen := func(o fakequant.Observer, channels int) fakequant.Observer {
		if err := o.Observe(make([]float32, 4), layout(t, channels, 4)); err != nil {
			t.Fatal(err)
		}
		return o
	}
	tests := []struct {
		name     string
		o, other fakequant.Observer
		want     error
	}{
		{"other kind", &MinMax{}, &Latest{}, ErrSettings},
		{"nil", &MinMax{}, nil, ErrSettings},
		{"nil pointer", &EMA{}, (*EMA)(nil), ErrSettings},
		{"Constant", &MovingAverage{}, &MovingAverage{Constant: 0.5}, ErrSettings},
		{"Ratio", &EMA{Ratio: 0.8}, &EMA{}, ErrSettings},
		{"Bins", &Histogram{}, &Histogram{Bins: 512}, ErrSettings},
		{"Bins of a percentile", &Percentile{Bins: 64}, &Percentile{}, ErrSettings},
		{"Percentile", &Percentile{}, &Percentile{Percentile: 99}, ErrSettings},
		{"bits", &MSE{}, &MSE{Spec: fakequant.Spec{Bits: 4}}, ErrSettings},
		{"sign of the data", &KL{}, &KL{NonNegative: true}, ErrSettings},
		{"scheme", &LatestMSE{}, &LatestMSE{Spec: fakequant.Spec{Scheme: fakequant.Affine}}, ErrSettings},
		{"another histogram", &MSE{}, &KL{}, ErrSettings},
		{"nil histogram", &KL{}, (*KL)(nil), ErrSettings},
		{"groups of a histogram", &Histogram{}, seen(&Histogram{}, 4), fakequant.ErrData},
		{"groups", &MinMax{}, seen(&MinMax{}, 4), fakequant.ErrData},
		{"groups of an average", &EMA{}, seen(&EMA{}, 1), fakequant.ErrData},
	}
	for _, tt := range tests {
		before := snapshot(t, seen(tt.o, 2))
		if err := tt.o.(Merger).Merge(tt.other); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
		if snapshot(t, tt.o) != before {
			t.Errorf("%s: state changed", tt.name)
		}
	}
	for _, pair := range [][2]Merger{
		{&MovingAverage{}, &MovingAverage{Constant: DefaultConstant}},
		{&Percentile{}, &Percentile{Percentile: DefaultPercentile, Bins: DefaultBins}},
		{&MSE{}, &MSE{Bins: DefaultBins, Spec: fakequant.Spec{Bits: fakequant.DefaultBits, Granularity: fakequant.PerChannel}}},
	} {
		if err := pair[0].Merge(pair[1]); err != nil {
			t.Errorf("the default spelled out is another setting: %v", err)
		}
	}
}

// TestObserveRange: observing ranges leaves what observing tensors leaves, and what
// is no range is refused without a trace.
func TestObserveRange(t *testing.T) {
	for _, kind := range []string{KindMinMax, KindLatest, KindMovingAverage, KindEMA} {
		a, ok := mustNew(t, kind).(fakequant.RangeObserver)
		b := mustNew(t, kind)
		if !ok {
			t.Errorf("%s takes no ranges", kind)
			continue
		}
		for _, x := range [][]float32{{-1, 2, 0.5, 3, 4, 5}, {-3, -2, -1, 8, 7, 9}, {0, 0.1, 0.2, -5, 5, 0}} {
			if err := a.ObserveRange([]float32{slices.Min(x[:3]), slices.Min(x[3:])}, []float32{slices.Max(x[:3]), slices.Max(x[3:])}); err != nil {
				t.Fatal(err)
			}
			if err := b.Observe(x, layout(t, 2, 6)); err != nil {
				t.Fatal(err)
			}
		}
		want := snapshot(t, b)
		if got := snapshot(t, a); got != want {
			t.Errorf("%s: %s, want %s", kind, got, want)
		}
		inf, nan := float32(math.Inf(1)), float32(math.NaN())
		for _, r := range [][2][]float32{{{0}, {1}}, {{}, {}}, {{2, 0}, {1, 1}}, {{nan, 0}, {1, 1}}, {{0, 0}, {1, nan}}, {{-inf, 0}, {1, 1}}, {{0, 0}, {1, inf}}} {
			if err := a.ObserveRange(r[0], r[1]); !errors.Is(err, fakequant.ErrData) {
				t.Errorf("%s: range %v: error %v, want ErrData", kind, r, err)
			}
			if got := snapshot(t, a); got != want {
				t.Errorf("%s: range %v changed it to %s", kind, r, got)
			}
		}
	}
}
