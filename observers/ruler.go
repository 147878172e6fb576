package observers

import "math"

// ruler cuts a range of real numbers into bins of equal width for counting. The
// width is a power of two and 0 is an edge, so a coarser ruler joins two bins of
// a finer one exactly and no count is ever split. That makes a histogram a
// function of the values alone: their order, how they were cut into batches and
// in what order replicas were merged leave no trace. (PyTorch stretches its bins
// to the range and spreads old counts over new bins, which loses a little at
// each growth.)
//
// Bin i holds the values v with i <= v/2^exp < i+1.
type ruler struct {
	exp   int // bins are 2^exp wide; at least minExp
	first int // the lowest bin
	n     int // how many bins
}

// minExp is the exponent of the smallest float32, 2^-149: finer bins would stay empty.
const minExp = -149

// newRuler returns the finest ruler for values from lo to hi that has at most
// limit bins, 0 counted as one of the values: a grid always reaches 0, so detail
// finer than that tells nothing. A wider range never gives a finer ruler. lo and
// hi are finite and in order; limit is at least 2.
func newRuler(lo, hi float32, limit int) ruler {
	low, high := float64(min(lo, 0)), float64(max(hi, 0))
	// The width 2^(e-2) is at most half of span/limit and so too fine by a factor
	// of two, unless it is below the smallest there is.
	exp := minExp
	if span := high - low; span > 0 {
		_, e := math.Frexp(span / float64(limit))
		exp = max(minExp, e-2)
	}
	for ; binAt(high, exp)-binAt(low, exp)+1 > limit; exp++ {
	}
	first := binAt(float64(lo), exp)
	return ruler{exp: exp, first: first, n: binAt(float64(hi), exp) - first + 1}
}

// binAt returns the bin of v among bins of width 2^exp. Scaling by a power of two
// is exact in float64 for every float32.
func binAt(v float64, exp int) int { return int(math.Floor(math.Ldexp(v, -exp))) }

// width returns the width of a bin.
func (r ruler) width() float64 { return math.Ldexp(1, r.exp) }

// edge returns the lower edge of bin first+i, exactly: the number of bins is far
// below 2^53.
func (r ruler) edge(i int) float64 { return float64(r.first+i) * r.width() }

// add counts the finite values of x. All of them lie on the ruler.
func (r ruler) add(counts []uint64, x []float32) {
	scale := math.Ldexp(1, -r.exp)
	for _, v := range x {
		if v-v == 0 {
			c := &counts[int(math.Floor(float64(v)*scale))-r.first]
			*c = addBatches(*c, 1)
		}
	}
}

// move adds the counts of a ruler that is as fine as r or finer and covers no more.
func (r ruler) move(counts []uint64, from ruler, old []uint64) {
	shift := uint(r.exp - from.exp)
	for i, c := range old {
		if c > 0 { // an arithmetic shift rounds down, as binAt does
			to := &counts[(from.first+i)>>shift-r.first]
			*to = addBatches(*to, c)
		}
	}
}

// regrow returns the counts of old on ruler r, old itself where nothing changes.
func (r ruler) regrow(from ruler, old []uint64) []uint64 {
	if r == from && old != nil {
		return old
	}
	counts := make([]uint64, r.n)
	r.move(counts, from, old)
	return counts
}

// total returns the number of values counted.
func total(counts []uint64) float64 {
	var sum float64
	for _, c := range counts {
		sum += float64(c)
	}
	return sum
}

// magnitudes folds the histogram at 0: bin i of the result holds the values whose
// magnitude lies in [i, i+1] widths. A ruler has an edge at 0, so nothing is split.
func (r ruler) magnitudes(counts []uint64) []float64 {
	out := make([]float64, max(r.first+r.n, -r.first))
	for i, c := range counts {
		if at := r.first + i; at >= 0 {
			out[at] += float64(c)
		} else {
			out[-1-at] += float64(c)
		}
	}
	return out
}
