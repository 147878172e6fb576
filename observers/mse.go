package observers

import (
	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/internal/kern"
)

// MSE chooses the range whose grid has the least mean squared fake-quantization
// error over all data so far: many ranges are tried, down to 1/4096 of the data's,
// with the exact grid that Spec gives each. Symmetric grids have one bound to
// choose; for affine ones both are chosen in turn. Values count as spread evenly
// over their bins.
//
// Choosing takes a few milliseconds for a group of the default size, whenever
// Range is asked after new data. Counters take at most 16*Bins bytes per group,
// 32 KiB by default. For weights there is [LatestMSE].
type MSE struct {
	// Bins is the least number of bins across the data, 0 included; there are up
	// to twice as many. From MinBins to MaxBins; zero means DefaultBins, 2048. It
	// must not change while there are data.
	Bins int
	// Spec is the format to choose the range for. The zero value is int8 symmetric.
	Spec fakequant.Spec
	// NonNegative says that the data cannot be negative; see fakequant.New.
	NonNegative bool
	hist
}

// SetSpec sets Spec and NonNegative. See [SpecSetter].
func (o *MSE) SetSpec(s fakequant.Spec, nonNegative bool) { o.Spec, o.NonNegative = s, nonNegative }

// Observe counts the values of each group of x. It fails, wrapping ErrSettings,
// when Bins or Spec is invalid or the histograms would take more than 256 MiB. See
// [fakequant.Observer].
func (o *MSE) Observe(x []float32, l fakequant.Layout) error {
	if err := codesOf(o.Spec, o.NonNegative).check(); err != nil {
		return err
	}
	return o.observe(x, l, o.Bins)
}

// Range returns the chosen range, extended to 0, of each group. See [fakequant.Observer].
func (o *MSE) Range() (lo, hi []float32, ok bool) {
	c := codesOf(o.Spec, o.NonNegative)
	return o.ranges(c, func(g int) (lo, hi float64) {
		bins := filledBins(o.rulers[g], o.counts[g])
		negative, positive := binPower(bins)
		a, b := c.search(o.lo[g], o.hi[g], negative, positive, func(g kern.Grid, limit float64) float64 {
			return binError(bins, g, limit)
		})
		return float64(a), float64(b)
	})
}

// Fresh returns a new MSE with the same settings and no data.
func (o *MSE) Fresh() fakequant.Observer {
	return &MSE{Bins: o.Bins, Spec: o.Spec, NonNegative: o.NonNegative}
}

// Memoryless returns false; see [LatestMSE].
func (o *MSE) Memoryless() bool { return false }

// Merge adds the counts of both, exactly: the result is that of one observer that
// saw all data. See [Merger].
func (o *MSE) Merge(other fakequant.Observer) error {
	p, ok := other.(*MSE)
	if !ok || p == nil {
		return cannotMerge(KindMSE, other)
	}
	if err := sameSettings(o.Bins, p.Bins, codesOf(o.Spec, o.NonNegative), codesOf(p.Spec, p.NonNegative)); err != nil {
		return err
	}
	return o.merge(&p.hist)
}

// bin is a stretch of the real line with values spread evenly over it.
type bin struct {
	from, to float64
	density  float64 // values per unit of length
}

func filledBins(r ruler, counts []uint64) []bin {
	var out []bin
	for i, c := range counts {
		if c > 0 {
			out = append(out, bin{r.edge(i), r.edge(i + 1), float64(c) / r.width()})
		}
	}
	return out
}

// binPower sums up both sides of 0, which is an edge of bins.
func binPower(bins []bin) (negative, positive power) {
	for _, b := range bins {
		p := &positive
		if b.from < 0 {
			p = &negative
		}
		p.n += float64(b.density * (b.to - b.from))
		p.squares += float64(b.density * cubes(b.from, b.to))
	}
	return negative, positive
}

// binError returns the summed squared error of the values in bins on a grid, or
// any value above limit when it is larger than that.
func binError(bins []bin, g kern.Grid, limit float64) float64 {
	var sum, at, upTo float64
	scale := float64(g.Scale)
	for i, b := range bins {
		if i == 0 || b.from != at {
			upTo = errorIntegral(b.from, scale, g)
		}
		next := errorIntegral(b.to, scale, g)
		if sum += float64(b.density * (next - upTo)); sum > limit {
			return sum
		}
		at, upTo = b.to, next
	}
	return sum
}

// errorIntegral returns the integral of (v - fakequantize(v))^2 over v from 0 to u,
// plus a constant. A whole cell around a code has scale^3/12; the rest is a cube of
// the distance to the nearest value, beyond the grid's ends the distance to them.
func errorIntegral(u, scale float64, g kern.Grid) float64 {
	code := float64(kern.QuantizeOne(float32(u), g) - g.ZeroPoint)
	d := u - float64(code*scale)
	return float64(code*scale*scale*scale)/12 + float64(d*d*d)/3
}
