package observers

import (
	"math"

	"github.com/goqat/goqat/fakequant"
)

// Histogram chooses the range with a small squared error, as PyTorch's
// HistogramObserver does: values at the ends are given up, bins of 1e-5 of all
// values at a time, as long as the estimated error falls. The estimate takes the
// grid to lie in the middle of the chosen range, which is only about right, and
// the search stops at the first rise, so little is clipped in practice. As in
// PyTorch the estimate is for 256 codes whatever the format; with fewer bits, or to
// find the least error, use [MSE]. Source: torch/ao/quantization/observer.py,
// PyTorch 2, HistogramObserver._non_linear_param_search.
//
// Counters take at most 16*Bins bytes per group, 32 KiB by default.
type Histogram struct {
	// Bins is the least number of bins across the data, 0 included; there are up
	// to twice as many. From MinBins to MaxBins; zero means DefaultBins, 2048. It
	// must not change while there are data.
	Bins int
	hist
}

// Observe counts the values of each group of x. It fails, wrapping ErrSettings,
// when Bins is invalid or the histograms would take more than 256 MiB. See
// [fakequant.Observer].
func (o *Histogram) Observe(x []float32, l fakequant.Layout) error {
	return o.observe(x, l, o.Bins)
}

// Range returns the chosen range of each group. See [fakequant.Observer].
func (o *Histogram) Range() (lo, hi []float32, ok bool) {
	return o.ranges(KindHistogram, func(g int) (lo, hi float64) {
		s := torchSearch{o.rulers[g], o.counts[g]}
		lo, hi = s.run()
		return o.inside(g, lo, hi)
	})
}

// Fresh returns a new Histogram with the same settings and no data.
func (o *Histogram) Fresh() fakequant.Observer { return &Histogram{Bins: o.Bins} }

// Memoryless returns false.
func (o *Histogram) Memoryless() bool { return false }

// Merge adds the counts of both, exactly: the result is that of one observer that
// saw all data. See [Merger].
func (o *Histogram) Merge(other fakequant.Observer) error {
	p, ok := other.(*Histogram)
	if !ok || p == nil {
		return cannotMerge(KindHistogram, other)
	}
	if err := sameSettings(o.Bins, p.Bins, codes{}, codes{}); err != nil {
		return err
	}
	return o.merge(&p.hist)
}

// torchSearch is the search of PyTorch's HistogramObserver for one group.
type torchSearch struct {
	ruler
	counts []uint64
}

const (
	torchStep  = 1e-5  // the share of all values that an end may lose at a time
	torchCodes = 256.0 // of the grid that errors are estimated for
)

func (s *torchSearch) run() (lo, hi float64) {
	below := make([]float64, s.n) // values in this bin and below
	var sum float64
	for i, c := range s.counts {
		sum += float64(c)
		below[i] = sum
	}
	start, end := 0, s.n-1
	alpha, beta := 0.0, 1.0
	best := math.Inf(1)
	for alpha < beta {
		l, r := start, end
		for l < end && below[l] < (alpha+torchStep)*sum {
			l++
		}
		for r > start && below[r] > (beta-torchStep)*sum {
			r--
		}
		nextStart, nextEnd := start, end
		if l-start > end-r { // give up the longer end
			nextStart = l
			alpha += torchStep
		} else {
			nextEnd = r
			beta -= torchStep
		}
		if nextStart == start && nextEnd == end {
			continue
		}
		e := s.estimate(nextStart, nextEnd)
		if e > best {
			break
		}
		best, start, end = e, nextStart, nextEnd
	}
	return s.edge(start), s.edge(end + 1)
}

// estimate returns the summed squared error of a grid whose cells divide the bins
// start..end evenly, with values spread evenly over their bins. Widths are in bins.
func (s *torchSearch) estimate(start, end int) float64 {
	cell := float64(end-start+1) / torchCodes
	cellOf := func(at float64) float64 { return max(0, min(math.Floor(at/cell), torchCodes-1)) }
	var sum float64
	for i, c := range s.counts {
		if c == 0 {
			continue
		}
		begin := float64(i - start)
		first, last := cellOf(begin), cellOf(begin+1)
		fromFirst := begin - float64((first+0.5)*cell) // distances from the cells' middles
		toLast := begin + 1 - float64((last+0.5)*cell)
		norm := cubes(fromFirst, cell/2) + float64((last-first-1)*cubes(-cell/2, cell/2)) + cubes(-cell/2, toLast)
		sum += float64(float64(c) * norm)
	}
	return sum
}

// cubes is the integral of u^2 from a to b.
func cubes(a, b float64) float64 { return (float64(b*b*b) - float64(a*a*a)) / 3 }
