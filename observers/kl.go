package observers

import (
	"math"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/internal/kern"
)

// KL chooses the range that keeps the most of the values' distribution, measured
// by the Kullback-Leibler divergence of the quantized histogram from the true one:
// TensorRT's entropy calibration (Szymon Migacz, 8-bit Inference with TensorRT,
// GTC 2017; the handling of empty bins is that of MXNet's
// contrib/quantization.py, that of the bin at 0 NVIDIA's
// pytorch_quantization/calib/histogram.py). It clips much for the sake of the many
// small values, which suits classifiers with 8 bits; with 4 bits and where single
// large values matter, prefer [MSE].
//
// The range is symmetric, -t to t, for every scheme: the divergence is taken
// between histograms of magnitudes. Counters take at most 16*Bins bytes per group,
// 32 KiB by default.
type KL struct {
	// Bins is the least number of bins across the data, 0 included; there are up
	// to twice as many. From MinBins to MaxBins; zero means DefaultBins, 2048. With
	// fewer bins than codes nothing is clipped. It must not change while there are
	// data.
	Bins int
	// Spec is the format whose number of codes counts. The zero value is int8
	// symmetric.
	Spec fakequant.Spec
	// NonNegative says that the data cannot be negative; see fakequant.New.
	NonNegative bool
	hist
}

// SetSpec sets Spec and NonNegative. See [SpecSetter].
func (o *KL) SetSpec(s fakequant.Spec, nonNegative bool) { o.Spec, o.NonNegative = s, nonNegative }

// Observe counts the values of each group of x. It fails, wrapping ErrSettings,
// when Bins or Spec is invalid or the histograms would take more than 256 MiB. See
// [fakequant.Observer].
func (o *KL) Observe(x []float32, l fakequant.Layout) error {
	if err := codesOf(o.Spec, o.NonNegative).check(); err != nil {
		return err
	}
	return o.observe(x, l, o.Bins)
}

// Range returns the chosen range, extended to 0, of each group. See [fakequant.Observer].
func (o *KL) Range() (lo, hi []float32, ok bool) {
	c := codesOf(o.Spec, o.NonNegative)
	return o.ranges(c, func(g int) (lo, hi float64) {
		r := o.rulers[g]
		oneSign := o.lo[g] >= 0 || o.hi[g] <= 0
		t := float64(klBins(r.magnitudes(o.counts[g]), c.magnitudes(oneSign))) * r.width()
		return -t, t
	})
}

// Fresh returns a new KL with the same settings and no data.
func (o *KL) Fresh() fakequant.Observer {
	return &KL{Bins: o.Bins, Spec: o.Spec, NonNegative: o.NonNegative}
}

// Memoryless returns false.
func (o *KL) Memoryless() bool { return false }

// Merge adds the counts of both, exactly: the result is that of one observer that
// saw all data. See [Merger].
func (o *KL) Merge(other fakequant.Observer) error {
	p, ok := other.(*KL)
	if !ok || p == nil {
		return cannotMerge(KindKL, other)
	}
	if err := sameSettings(o.Bins, p.Bins, codesOf(o.Spec, o.NonNegative), codesOf(p.Spec, p.NonNegative)); err != nil {
		return err
	}
	return o.merge(&p.hist)
}

// magnitudes returns how many magnitudes the codes can tell apart: all codes where
// the grid begins at 0, those of one side otherwise.
func (c codes) magnitudes(oneSign bool) int {
	qmin, qmax := c.spec.QRange()
	if oneSign && (!c.symmetric() || c.spec.Unsigned && c.nonNegative) {
		return int(qmax - qmin + 1)
	}
	return int((qmax-qmin)/2 + 1)
}

const (
	// klCandidates bounds the thresholds that are tried; they lie evenly apart.
	klCandidates = 512
	// klNothing is what an empty stretch of the quantized histogram counts, in
	// values, where the true one has outliers. MXNet's constant.
	klNothing = 1e-4
	// klNoise is below any difference of divergences that means something: they are
	// sums of at most 2^17 terms with relative errors of 2^-53.
	klNoise = 1e-10
)

// klBins returns how many of the bins to keep.
func klBins(hist []float64, levels int) int {
	n := len(hist)
	if n <= levels {
		return n
	}
	// The exact zeros of a ReLU need no resolution: 0 is always a code.
	hist[0] = hist[1]
	k := newKLSums(hist)
	if k.counts[n] == 0 {
		return n
	}
	stride := (n-levels)/klCandidates + 1
	keep, least := n, math.Inf(1)
	for i := n; i >= levels; i -= stride {
		if d := k.divergence(i, levels); d < least-klNoise {
			keep, least = i, d
		}
	}
	return keep
}

// klSums holds sums over the first i bins at index i.
type klSums struct {
	hist   []float64
	counts []float64 // of values
	filled []float64 // of bins that are not empty
	plogp  []float64 // of count*log(count)
}

func newKLSums(hist []float64) klSums {
	n := len(hist)
	k := klSums{hist, make([]float64, n+1), make([]float64, n+1), make([]float64, n+1)}
	for i, c := range hist {
		k.counts[i+1], k.filled[i+1], k.plogp[i+1] = k.counts[i]+c, k.filled[i], k.plogp[i]+xlogx(c)
		if c > 0 {
			k.filled[i+1]++
		}
	}
	return k
}

// divergence returns KL(P||Q) for a threshold after bin i-1. P is the histogram up
// to there with all outliers in its last bin. Q has the same bins joined to levels
// and their values, without the outliers, spread evenly over the bins that are not
// empty in P. The logarithm of Q is constant over a level, so sums of P do.
func (k klSums) divergence(i, levels int) float64 {
	all, inside := k.counts[len(k.hist)], k.counts[i]
	if inside == 0 {
		return math.Inf(1)
	}
	outside, last := all-inside, k.hist[i-1]
	self := k.plogp[i-1] + xlogx(last+outside)
	var cross float64
	for level := range levels {
		a, b := i*level/levels, i*(level+1)/levels
		p := k.counts[b] - k.counts[a]
		q, bins := p, k.filled[b]-k.filled[a]
		if level == levels-1 && outside > 0 {
			p += outside
			q = max(q, klNothing)
			if last == 0 {
				bins++
			}
		}
		if p > 0 {
			cross += float64(p * kern.LogOf(q/bins))
		}
	}
	return (self-cross)/all - kern.LogOf(all/inside)
}

func xlogx(v float64) float64 {
	if v == 0 {
		return 0
	}
	return v * kern.LogOf(v)
}
