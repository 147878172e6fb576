package observers

import (
	"errors"
	"math"
	"math/rand"
	"slices"
	"strings"
	"testing"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/internal/kern"
)

// histograms are the observers with a histogram, in a few settings.
func histograms() []Merger {
	return []Merger{
		&Histogram{Bins: 64}, &Histogram{}, &Percentile{Bins: 64}, &Percentile{Percentile: 90},
		&MSE{Bins: 64}, &MSE{Spec: fakequant.Spec{Bits: 4, Scheme: fakequant.Affine}}, &KL{Bins: 256}, &KL{Spec: fakequant.Spec{Bits: 4}},
	}
}

// fresh makes a copy without data.
func fresh(o fakequant.Observer) Merger { return o.Fresh().(Merger) }

// normal returns n values of a normal distribution.
func normal(r *rand.Rand, n int, scale float64) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(r.NormFloat64() * scale)
	}
	return x
}

var rulerRanges = [][2]float32{
	{0, 0}, {-1, 1}, {0, 1}, {-1, 0}, {1, 1}, {-3, -3}, {1000, 1000.001}, {-0.3, 7}, {-1e-45, 1e-45}, {0, 1e-45}, {1e-45, 1},
	{-math.MaxFloat32, math.MaxFloat32}, {0, math.MaxFloat32}, {math.MaxFloat32, math.MaxFloat32}, {-1e-45, math.MaxFloat32}, {-1e-38, 1e-38},
	{-128, 127}, {-127.99999, 128}, {0, 15.999999},
}

func TestRuler(t *testing.T) {
	for _, limit := range []int{2, 32, 4096, 2 * MaxBins} {
		for _, a := range rulerRanges {
			r := newRuler(a[0], a[1], limit)
			low, high := min(a[0], 0), max(a[1], 0)
			if r.n < 1 || r.n > limit || r.exp < minExp {
				t.Fatalf("%v with %d bins: %+v", a, limit, r)
			}
			if r.edge(0) > float64(a[0]) || r.edge(1) <= float64(a[0]) || r.edge(r.n) <= float64(a[1]) || r.edge(r.n-1) > float64(a[1]) {
				t.Errorf("%v with %d bins: %+v has its ends elsewhere", a, limit, r)
			}
			if r.exp > minExp && binAt(float64(high), r.exp-1)-binAt(float64(low), r.exp-1)+1 <= limit {
				t.Errorf("%v with %d bins: %+v is too coarse", a, limit, r)
			}
			for _, b := range rulerRanges {
				if wide := newRuler(min(a[0], b[0]), max(a[1], b[1]), limit); wide.exp < r.exp {
					t.Errorf("%v and %v with %d bins: the ruler of both is finer", a, b, limit)
				}
			}
		}
	}
}

// The state depends on the values alone: not on their order, on how they are cut
// into batches, or on which replica saw them. Only the number of batches differs.
func TestHistogramsForgetTheOrder(t *testing.T) {
	r := rand.New(rand.NewSource(1))
	x := append(normal(r, 300, 1), normal(r, 60, 40)...)
	x = append(x, 0, float32(math.Copysign(0, -1)), 1e-45, -1e-30, float32(math.Inf(1)), 512, -512)
	for _, proto := range histograms() {
		whole := fresh(proto)
		mustObserve(t, whole, x)
		for range 5 {
			y := slices.Clone(x)
			r.Shuffle(len(y), func(i, j int) { y[i], y[j] = y[j], y[i] })
			replicas := []Merger{fresh(proto), fresh(proto), fresh(proto)}
			for len(y) > 0 {
				n := min(1+r.Intn(60), len(y))
				if n == 1 && math.IsInf(float64(y[0]), 0) {
					n = 2 // a batch needs a finite value
				}
				mustObserve(t, replicas[r.Intn(len(replicas))], y[:min(n, len(y))])
				y = y[min(n, len(y)):]
			}
			sum := fresh(proto)
			for _, k := range r.Perm(len(replicas)) {
				if err := sum.Merge(replicas[k]); err != nil {
					t.Fatal(err)
				}
			}
			if got, want := data(t, sum), data(t, whole); got != want {
				t.Fatalf("%T: %s, want %s", proto, got, want)
			}
			sameBits(t, sum, whole)
		}
	}
}

// data is the saved state without the number of batches.
func data(t *testing.T, o fakequant.Observer) string {
	t.Helper()
	before, rest, _ := strings.Cut(snapshot(t, o), `"batches":`)
	_, after, _ := strings.Cut(rest, ",")
	return before + after
}

func sameBits(t *testing.T, got, want fakequant.Observer) {
	t.Helper()
	gl, gh, _ := got.Range()
	wl, wh, ok := want.Range()
	if !ok || !slices.Equal(gl, wl) || !slices.Equal(gh, wh) {
		t.Fatalf("%T: range %v %v, want %v %v", got, gl, gh, wl, wh)
	}
}

// A channel's range is that of an observer that sees the channel alone, however
// the layout cuts the tensor.
func TestGroupsAreIndependent(t *testing.T) {
	r := rand.New(rand.NewSource(2))
	specs := []fakequant.Spec{
		{Granularity: fakequant.PerChannel}, {Granularity: fakequant.PerChannel, Axis: 1}, {Granularity: fakequant.PerChannel, Axis: 2},
		{Granularity: fakequant.PerBlock, Axis: 1, BlockSize: 4},
	}
	protos := append(histograms(), &LatestMSE{}, &LatestMSE{Spec: fakequant.Spec{Bits: 2}})
	for _, s := range specs {
		l, err := s.Layout([]int{5, 6, 7})
		if err != nil {
			t.Fatal(err)
		}
		for _, proto := range protos {
			together := fresh(proto)
			alone := make([]fakequant.Observer, l.Groups())
			for g := range alone {
				alone[g] = proto.Fresh()
			}
			for batch := range 3 {
				x := normal(r, l.Len(), float64(1+batch))
				x[r.Intn(len(x))] = float32(math.Inf(-1))
				if err := together.Observe(x, l); err != nil {
					t.Fatal(err)
				}
				values, ends := gather(x, l)
				for g, o := range alone {
					mustObserve(t, o, values[:ends[g]][ends[max(g, 1)-1]*min(g, 1):])
				}
			}
			lo, hi, _ := together.Range()
			for g, o := range alone {
				if a, b, _ := o.Range(); a[0] != lo[g] || b[0] != hi[g] {
					t.Fatalf("%T, %v: group %d has (%v, %v), alone (%v, %v)", proto, s, g, lo[g], hi[g], a[0], b[0])
				}
			}
		}
	}
}

// A normal distribution that ends at about 1.5, and an outlier at 20: who keeps the
// whole range, and who cuts it to a quarter or less.
func TestOutliers(t *testing.T) {
	bulk := normal(rand.New(rand.NewSource(7)), 10000, 0.4)
	four, affine := fakequant.Spec{Bits: 4}, fakequant.Spec{Scheme: fakequant.Affine, Bits: 4}
	tests := []struct {
		obs  fakequant.Observer
		clip bool
	}{
		{&MinMax{}, false},
		{&Latest{}, false},
		{&Percentile{}, false}, // rounds down to no value
		{&Percentile{Percentile: 99.9}, true},
		{&Percentile{Percentile: 100}, false},
		{&MSE{Spec: four}, true},
		{&MSE{Spec: affine}, true},
		{&MSE{Spec: affine, Bins: 64}, true},
		{&LatestMSE{Spec: four}, true},
		{&LatestMSE{Spec: affine}, true},
		{&KL{}, true},
	}
	for _, tt := range tests {
		for _, sign := range []float32{1, -1} {
			o := tt.obs.Fresh()
			mustObserve(t, o, bulk)
			if !o.Memoryless() {
				mustObserve(t, o, []float32{20 * sign})
			} else {
				mustObserve(t, o, append(slices.Clone(bulk), 20*sign))
			}
			lo, hi, _ := o.Range()
			reach := max(hi[0], -lo[0])
			if tt.clip && reach > 5 || !tt.clip && reach != 20 || reach < 0.9 {
				t.Errorf("%T %+v: range (%v, %v)", o, tt.obs, lo[0], hi[0])
			}
		}
	}
}

func TestPercentile(t *testing.T) {
	count := func(from, to int) []float32 { // whole numbers, each in a bin of its own
		var x []float32
		for v := from; v <= to; v++ {
			x = append(x, float32(v))
		}
		return x
	}
	tests := []struct {
		percentile float64
		x          []float32
		lo, hi     float32 // the smallest and the largest value that is kept
	}{
		{100, count(-1000, 999), -1000, 999},
		{99, count(-1000, 999), -990, 989},     // ten less at each end
		{99.9, count(-1000, 999), -999, 998},   // one
		{99.91, count(-1000, 999), -1000, 999}, // 0.9, rounded down
		{90, count(0, 999), 0, 899},            // all at the top
		{90, count(1, 1000), 1, 900},
		{90, count(-999, 0), -899, 0}, // all at the bottom
		{50, count(-1000, 999), -500, 499},
		{0, count(0, 9999), 0, 9998},              // 99.99 % of 10000
		{0, count(0, 9998), 0, 9998},              // of one less
		{98, append(count(-98, 0), 1e30), -97, 0}, // all but the outlier is in one or two bins
	}
	for _, tt := range tests {
		o := &Percentile{Percentile: tt.percentile}
		mustObserve(t, o, tt.x)
		lo, hi, _ := o.Range()
		l, h, _, _ := kern.MinMax(tt.x)
		bin := (max(h, 0) - min(l, 0)) / DefaultBins
		if lo[0] > tt.lo || lo[0] < max(tt.lo-bin, l) || hi[0] < tt.hi || hi[0] > min(tt.hi+bin, h) {
			t.Errorf("%v %% of %v..%v: (%v, %v), want (%v, %v) or one bin of %v more", tt.percentile, l, h, lo[0], hi[0], tt.lo, tt.hi, bin)
		}
	}
}

func TestBadSettings(t *testing.T) {
	bad := fakequant.Spec{Bits: 9}
	for _, o := range []fakequant.Observer{
		&Histogram{Bins: MinBins - 1}, &Histogram{Bins: -1}, &Histogram{Bins: MaxBins + 1}, &Percentile{Bins: 1}, &MSE{Bins: 1}, &KL{Bins: 1},
		&Percentile{Percentile: 49}, &Percentile{Percentile: 100.1}, &Percentile{Percentile: math.NaN()}, &Percentile{Percentile: -99},
		&MSE{Spec: bad}, &KL{Spec: bad}, &LatestMSE{Spec: bad},
	} {
		if err := o.Observe([]float32{1}, layout(t, 1, 1)); !errors.Is(err, ErrSettings) {
			t.Errorf("%+v: %v, want ErrSettings", o, err)
		}
		if _, _, ok := o.Range(); ok {
			t.Errorf("%+v took data", o)
		}
	}
	o := &Histogram{Bins: 32}
	mustObserve(t, o, []float32{1})
	o.Bins = 64
	if err := o.Observe([]float32{1}, layout(t, 1, 1)); !errors.Is(err, ErrSettings) {
		t.Errorf("Bins changed: %v, want ErrSettings", err)
	}
	if o.Reset(); o.Observe([]float32{1}, layout(t, 1, 1)) != nil {
		t.Error("Bins changed after Reset")
	}
}

// One histogram per weight is refused before it is made, with advice that works.
func TestMemoryLimit(t *testing.T) {
	n := maxCounters/(2*DefaultBins) + 1
	l, x := layout(t, n, n), make([]float32, n)
	o := &MSE{}
	if err := o.Observe(x, l); !errors.Is(err, ErrSettings) || !strings.Contains(err.Error(), "Bins 2047 or less") {
		t.Errorf("%v, want ErrSettings with advice", err)
	}
	o.Bins = 2047
	if err := o.Observe(x, l); err != nil {
		t.Error(err)
	}
	if err := (&LatestMSE{}).Observe(x, l); err != nil {
		t.Error(err)
	}
}

// A range follows the settings that are in force when it is asked for.
func TestRangeFollowsSpec(t *testing.T) {
	x := normal(rand.New(rand.NewSource(3)), 4000, 1)
	for _, o := range []Merger{&MSE{}, &KL{}} {
		set := o.(SpecSetter)
		mustObserve(t, o, x)
		_, hi, _ := o.Range()
		eight := hi[0]
		set.SetSpec(fakequant.Spec{Bits: 3}, false)
		if _, hi, _ = o.Range(); hi[0] >= eight {
			t.Errorf("%T: 3 bits reach to %v, 8 to %v", o, hi[0], eight)
		}
		set.SetSpec(fakequant.Spec{}, false)
		if _, hi, _ = o.Range(); hi[0] != eight {
			t.Errorf("%T: 8 bits reach to %v, before to %v", o, hi[0], eight)
		}
	}
	p := &Percentile{}
	mustObserve(t, p, x)
	_, before, _ := p.Range()
	all := before[0]
	p.Percentile = 90
	if _, hi, _ := p.Range(); hi[0] >= all {
		t.Errorf("90 %% reach to %v, all to %v", hi[0], all)
	}
}
