package observers

import (
	"fmt"
	"math"

	"github.com/goqat/goqat/fakequant"
)

// Settings of Percentile.
const (
	DefaultPercentile = 99.99 // as in TensorRT's calibrators
	MinPercentile     = 50.0
)

// Percentile keeps the given share of all values and gives up the rest, at the
// ends: data of both signs lose half of the rest at each end, data of one sign,
// such as what follows a ReLU, lose all of it at the end away from 0. The number
// of values given up is rounded down, so small data keep their exact range. The
// ends are exact to one bin, at most 1/Bins of the range with its outliers; where
// those reach far out, more Bins keep the rest apart.
//
// Counters take at most 16*Bins bytes per group, 32 KiB by default.
type Percentile struct {
	// Percentile is the share of values inside the range in percent, from
	// MinPercentile, 50, to 100. Zero means DefaultPercentile, 99.99.
	Percentile float64
	// Bins is the least number of bins across the data, 0 included; there are up
	// to twice as many. From MinBins to MaxBins; zero means DefaultBins, 2048. It
	// must not change while there are data.
	Bins int
	hist
}

// Observe counts the values of each group of x. It fails, wrapping ErrSettings,
// when Percentile or Bins is invalid or the histograms would take more than 256
// MiB. See [fakequant.Observer].
func (o *Percentile) Observe(x []float32, l fakequant.Layout) error {
	if _, err := share(o.Percentile); err != nil {
		return err
	}
	return o.observe(x, l, o.Bins)
}

// Range returns the chosen range of each group. See [fakequant.Observer].
func (o *Percentile) Range() (lo, hi []float32, ok bool) {
	keep, err := share(o.Percentile)
	if err != nil {
		keep = 1 // Observe reports it
	}
	return o.ranges(keep, func(g int) (lo, hi float64) {
		lost := total(o.counts[g]) * (1 - keep)
		switch below, above := o.lo[g] < 0, o.hi[g] > 0; {
		case below && above:
			return o.keepEnds(g, lost/2, lost/2)
		case below:
			return o.keepEnds(g, lost, 0)
		}
		return o.keepEnds(g, 0, lost)
	})
}

// Fresh returns a new Percentile with the same settings and no data.
func (o *Percentile) Fresh() fakequant.Observer {
	return &Percentile{Percentile: o.Percentile, Bins: o.Bins}
}

// Memoryless returns false.
func (o *Percentile) Memoryless() bool { return false }

// Merge adds the counts of both, exactly: the result is that of one observer that
// saw all data. See [Merger].
func (o *Percentile) Merge(other fakequant.Observer) error {
	p, ok := other.(*Percentile)
	if !ok || p == nil {
		return cannotMerge(KindPercentile, other)
	}
	if a, b := orDefault(o.Percentile, DefaultPercentile), orDefault(p.Percentile, DefaultPercentile); a != b {
		return fmt.Errorf("%w: merging Percentile %v into %v", ErrSettings, b, a)
	}
	if err := sameSettings(o.Bins, p.Bins, codes{}, codes{}); err != nil {
		return err
	}
	return o.merge(&p.hist)
}

// share applies the default and returns the share of values to keep, 0.5 to 1.
func share(percentile float64) (float64, error) {
	p := orDefault(percentile, DefaultPercentile)
	if !(p >= MinPercentile && p <= 100) {
		return 0, fmt.Errorf("%w: Percentile %v: want %v to 100, or 0 for the default %v", ErrSettings, percentile, MinPercentile, DefaultPercentile)
	}
	return p / 100, nil
}

// keepEnds returns the range of what is left of a group without that many of its
// smallest and largest values, both rounded down.
func (o *Percentile) keepEnds(g int, below, above float64) (lo, hi float64) {
	r, c := o.rulers[g], o.counts[g]
	i, f := skip(below, r.n, func(i int) uint64 { return c[i] })
	lo = r.edge(i) + float64(f*r.width())
	i, f = skip(above, r.n, func(i int) uint64 { return c[r.n-1-i] })
	return o.inside(g, lo, r.edge(r.n-i)-float64(f*r.width()))
}

// skip passes over that many values, rounded down, and returns the bin of the
// first one left and what fraction of that bin's values was passed over.
func skip(values float64, n int, count func(int) uint64) (bin int, fraction float64) {
	const slack = 1 + 1e-9 // a product that should be a whole number may lie below it
	left := math.Floor(values * slack)
	for i := range n {
		c := float64(count(i))
		if left < c {
			return i, left / c
		}
		left -= c
	}
	return n - 1, 0 // never: at most half of the values are passed over at each end
}
