package observers

import (
	"math"

	"github.com/goqat/goqat/internal/kern"
)

// The search for the range with the least squared error. The smaller the range,
// the smaller the rounding error and the larger the clipping error; but the sum
// need not have one valley: with an outlier and few codes, whole stretches of
// ranges give the same error. So ranges are tried from the full one downwards until
// no smaller one can be better, and then the best one's neighbours.
const (
	searchRatio  = 0.97 // of each range tried to the one before
	searchAtMost = 274  // tries: searchRatio^273 is 1/4096
	searchRounds = 2    // times that both bounds of an affine grid are chosen in turn
)

// errorFunc returns the summed squared error of a grid over some data. It may stop
// early and return any value above limit when the error is larger than limit.
type errorFunc func(g kern.Grid, limit float64) float64

// power is the number of some values and the sum of their squares.
type power struct{ n, squares float64 }

// clipped bounds from below the squared error of values of that power on a grid
// whose values do not exceed reach on their side of 0: seen as vectors, the result
// is at most reach*sqrt(n) long, and its distance from the values at least the
// difference of the lengths.
func (p power) clipped(reach float64) float64 {
	d := max(0, math.Sqrt(p.squares)-float64(reach*math.Sqrt(p.n)))
	return float64(d * d)
}

type search struct {
	codes
	err                errorFunc
	negative, positive power
	lo, hi             float32 // the best range so far
	least              float64 // its error
}

// search returns the range within lo..hi, extended to 0, that err is least for.
// negative and positive describe the values on both sides of 0.
func (c codes) search(lo, hi float32, negative, positive power, err errorFunc) (float32, float32) {
	lo, hi = min(lo, 0), max(hi, 0)
	s := &search{codes: c, err: err, negative: negative, positive: positive, lo: lo, hi: hi, least: math.Inf(1)}
	if c.symmetric() { // the grid is fitted to the larger bound alone
		reach := max(-lo, hi)
		s.shrink(func(f float32) (float32, float32) { return max(lo, -reach*f), min(hi, reach*f) })
		return s.lo, s.hi
	}
	s.shrink(func(f float32) (float32, float32) { return lo * f, hi * f })
	if lo == 0 || hi == 0 {
		return s.lo, s.hi
	}
	for range searchRounds {
		other := s.lo
		s.shrink(func(f float32) (float32, float32) { return other, hi * f })
		other = s.hi
		s.shrink(func(f float32) (float32, float32) { return lo * f, other })
	}
	return s.lo, s.hi
}

// shrink tries the ranges that at returns for factors from 1 downwards, then
// between those next to the best.
func (s *search) shrink(at func(f float32) (lo, hi float32)) {
	best, better := 0.0, false // the best exponent of searchRatio
	try := func(exponent float64) bool {
		before := s.least
		lo, hi := at(float32(kern.PowOf(searchRatio, exponent)))
		worthwhile := s.try(lo, hi)
		if s.least < before {
			best, better = exponent, true
		}
		return worthwhile
	}
	for i := range searchAtMost {
		if !try(float64(i)) {
			break
		}
	}
	if !better {
		return
	}
	for step := 0.5; step >= 0.125; step /= 2 {
		middle := best
		for _, exponent := range []float64{middle - step, middle + step} {
			if exponent > 0 {
				try(exponent)
			}
		}
	}
}

// try measures one range and keeps it if it is better than all before. It returns
// false when neither this nor any range within it can be.
func (s *search) try(lo, hi float32) bool {
	g, ok := s.grid(lo, hi)
	if !ok {
		return false
	}
	scale := float64(g.Scale)
	clipped := s.negative.clipped(float64(scale*float64(g.ZeroPoint-g.Qmin))) + s.positive.clipped(float64(scale*float64(g.Qmax-g.ZeroPoint)))
	if clipped >= s.least {
		return false
	}
	if e := s.err(g, s.least); e < s.least {
		s.least, s.lo, s.hi = e, lo, hi
	}
	return true
}
