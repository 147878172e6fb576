package observers

import (
	"math"
	"math/rand"
	"testing"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/internal/kern"
)

// searchSpecs are formats of all widths and kinds.
func searchSpecs() []fakequant.Spec {
	var specs []fakequant.Spec
	for bits := fakequant.MinBits; bits <= fakequant.MaxBits; bits++ {
		specs = append(specs,
			fakequant.Spec{Bits: bits, NarrowRange: true}, fakequant.Spec{Bits: bits},
			fakequant.Spec{Bits: bits, Scheme: fakequant.Affine}, fakequant.Spec{Bits: bits, Scheme: fakequant.Affine, Unsigned: true})
	}
	return specs
}

func streams() map[string][]float32 {
	r := rand.New(rand.NewSource(4))
	relu, outlier, skewed := normal(r, 3000, 2), normal(r, 3000, 1), normal(r, 3000, 1)
	for i := range relu {
		relu[i] = max(relu[i], 0)
		skewed[i] = float32(math.Exp(float64(skewed[i]))) - 1
	}
	outlier[7], outlier[70] = 60, -25
	return map[string][]float32{
		"normal": normal(r, 3000, 0.1), "relu": relu, "outlier": outlier, "skewed": skewed, "few": normal(r, 9, 1),
		"constant": {0.3, 0.3, 0.3}, "zero": {0, 0}, "one": {-5}, "denormal": {1e-45, -3e-45, 2e-45}, "largest": {math.MaxFloat32, -math.MaxFloat32, 1e38},
	}
}

// bruteSteps and bruteFactor: the observers must come within this factor of the
// best of all pairs of bounds that are multiples of 1/bruteSteps of the data's. The
// search is no worse where its own tries lie between them; what remains is luck
// (which values happen to lie on the grid) and, for affine formats, that both
// bounds are chosen in turn. The golden files ask 1.05 of the same kind of grid.
const (
	bruteSteps  = 48
	bruteFactor = 1.05
	// lastStep: where a lucky grid meets all values exactly, the search misses it by
	// half its last step, searchRatio^(1/8), and so each value by 0.2 % of itself.
	lastStep = 0.0019 * 0.0019
)

func TestSearchAgainstBruteForce(t *testing.T) {
	for name, x := range streams() {
		for _, s := range searchSpecs() {
			o := &LatestMSE{Spec: s}
			mustObserve(t, o, x)
			got := meanError(t, o, s, x)
			best := bruteForce(codesOf(s, false), x) / float64(len(x))
			n, p := valuePower(x)
			if power := (n.squares + p.squares) / float64(len(x)); got > bruteFactor*best+lastStep*power {
				t.Errorf("%s, %v: error %v, brute force finds %v", name, s, got, best)
			}
		}
	}
}

func bruteForce(c codes, x []float32) float64 {
	lo, hi, _, _ := kern.MinMax(x)
	lo, hi = min(lo, 0), max(hi, 0)
	least := math.Inf(1)
	for i := 1; i <= bruteSteps; i++ {
		for k := 1; k <= bruteSteps; k++ {
			if c.symmetric() && i != k {
				continue
			}
			if g, ok := c.grid(lo*float32(i)/bruteSteps, hi*float32(k)/bruteSteps); ok {
				least = min(least, valueError(x, g, least))
			}
		}
	}
	return least
}

// histogramFactor: the histogram sees values as spread over their bins, at least 2048
// across the data and so 8 or more to a code, 64 times finer in square than the
// rounding error itself; again the rest is luck with few values.
const histogramFactor = 1.05

func TestHistogramSearchAgainstExact(t *testing.T) {
	for name, x := range streams() {
		if len(x) < 100 {
			continue // a handful of values is not spread over anything
		}
		for _, s := range searchSpecs() {
			o, exact := &MSE{Spec: s}, &LatestMSE{Spec: s}
			mustObserve(t, o, x)
			mustObserve(t, exact, x)
			if got, want := meanError(t, o, s, x), meanError(t, exact, s, x); got > histogramFactor*want {
				t.Errorf("%s, %v: error %v, exact search finds %v", name, s, got, want)
			}
		}
	}
}

// The chosen range never does worse than the full one and stays inside the data.
func TestSearchNeverLoses(t *testing.T) {
	for name, x := range streams() {
		full := &Latest{}
		mustObserve(t, full, x)
		fl, fh, _ := full.Range()
		for _, s := range searchSpecs() {
			o := &LatestMSE{Spec: s}
			mustObserve(t, o, x)
			if got, want := meanError(t, o, s, x), meanError(t, full, s, x); got > want {
				t.Errorf("%s, %v: error %v, full range %v", name, s, got, want)
			}
			for _, o := range []Merger{o, &MSE{Spec: s}, &KL{Spec: s}, &Histogram{}, &Percentile{}} {
				mustObserve(t, o, x)
				if lo, hi, _ := o.Range(); lo[0] < min(fl[0], 0) || hi[0] > max(fh[0], 0) || lo[0] > hi[0] {
					t.Errorf("%s, %v, %T: (%v, %v) of (%v, %v)", name, s, o, lo[0], hi[0], fl[0], fh[0])
				}
			}
		}
	}
}

// integralTolerance: the closed form and the sum of 20000 slices, each taken at its
// middle, differ by at most slice^2/12 of the second derivative, 2, per slice:
// (range/20000)^2 relative to an error of scale^2/12 with range = 40 scales.
const integralTolerance = 40.0 * 40 * 12 / (20000.0 * 20000)

func TestErrorIntegral(t *testing.T) {
	for _, g := range []kern.Grid{{Scale: 0.25, ZeroPoint: 0, Qmin: -8, Qmax: 7}, {Scale: 3, ZeroPoint: 200, Qmin: 0, Qmax: 255}, {Scale: 0.1, ZeroPoint: -2, Qmin: -2, Qmax: 1}} {
		const slices = 20000
		from, to := -20.3*float64(g.Scale), 19.7*float64(g.Scale)
		var sum float64
		width := (to - from) / slices
		for i := range slices {
			v := from + (float64(i)+0.5)*width
			d := v - float64(kern.DequantizeOne(kern.QuantizeOne(float32(v), g), g))
			sum += d * d * width
		}
		got := errorIntegral(to, float64(g.Scale), g) - errorIntegral(from, float64(g.Scale), g)
		if math.Abs(got-sum) > integralTolerance*sum {
			t.Errorf("%+v: %v, want %v", g, got, sum)
		}
	}
}

// klReference is the divergence as its definition has it, bin by bin.
func klReference(hist []float64, i, levels int) float64 {
	p, q := append([]float64(nil), hist[:i]...), make([]float64, i)
	for _, c := range hist[i:] {
		p[i-1] += c
	}
	for level := range levels {
		a, b := i*level/levels, i*(level+1)/levels
		var sum, filled float64
		for k := a; k < b; k++ {
			sum += hist[k]
			if p[k] > 0 {
				filled++
			}
		}
		for k := a; k < b; k++ {
			if p[k] > 0 {
				q[k] = sum / filled
				if sum == 0 {
					q[k] = klNothing / filled
				}
			}
		}
	}
	var all, inside, d float64
	for k := range p {
		all += p[k]
		inside += hist[k]
	}
	for k := range p {
		if p[k] > 0 {
			d += p[k] / all * math.Log((p[k]/all)/(q[k]/inside))
		}
	}
	return d
}

func TestKLDivergence(t *testing.T) {
	r := rand.New(rand.NewSource(5))
	for range 50 {
		hist := make([]float64, 40+r.Intn(60))
		for i := range hist {
			if r.Intn(3) > 0 {
				hist[i] = math.Floor(1000 * math.Exp(-float64(i)/10) * r.Float64())
			}
		}
		hist[0] = 5
		k := newKLSums(hist)
		for i := 8; i <= len(hist); i++ {
			if got, want := k.divergence(i, 8), klReference(hist, i, 8); math.Abs(got-want) > klNoise {
				t.Fatalf("%d of %v: %v, want %v", i, hist, got, want)
			}
		}
	}
}

// The more codes there are, the more of a normal distribution is kept; and 8 bits
// keep what TensorRT keeps of one, most of it.
func TestKLClipsTails(t *testing.T) {
	x := normal(rand.New(rand.NewSource(6)), 200000, 1)
	last := float32(0)
	for _, bits := range []int{2, 4, 6, 8} {
		o := &KL{Spec: fakequant.Spec{Bits: bits}}
		mustObserve(t, o, x)
		_, hi, _ := o.Range()
		if hi[0] < last {
			t.Errorf("%d bits reach to %v, fewer to %v", bits, hi[0], last)
		}
		last = hi[0]
	}
	if last < 2.5 {
		t.Errorf("8 bits keep a normal distribution to %v deviations", last)
	}
	all := &KL{Bins: 64} // fewer bins than codes: nothing is known about what could be lost
	mustObserve(t, all, x)
	lo, hi, _, _ := kern.MinMax(x)
	if l, h, _ := all.Range(); l[0] != lo || h[0] != hi {
		t.Errorf("(%v, %v), want (%v, %v)", l[0], h[0], lo, hi)
	}
}
