package tune

// This file says which codes cost least for the weights of one output channel.

import (
	"math"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/internal/kern"
)

// channel is the rounding of the weights of one output channel. All slices are in the
// order in which its columns are rounded.
type channel struct {
	h       *quadratic
	target  []float64 // the best weights if they need not lie on a grid
	nearest []float32 // the weights as they are, for comparison
	index   []int     // where each weight is in the tensor
	group   []int     // the parameters each weight has
}

// unit is a set of output channels whose parameters can be chosen together, apart from
// all others: one channel, or all of a tensor with one scale.
type unit struct {
	channels []*channel
	groups   []int // the parameter groups that they use
}

// answer is a rounding of a unit.
type answer struct {
	codes  [][]int32 // centred, q - zero_point, by channel
	values [][]float64
	scales map[int]float32
	cost   float64
}

// solver rounds the units of one tensor. Units may be solved at the same time.
type solver struct {
	spec   fakequant.Spec
	params fakequant.Params            // as the observer gave them
	plain  bool                        // error feedback alone
	fit    func(scale float32) float32 // the scale that may be in use
}

// Numbers of the search. Its cost is a small multiple of the plain method's.
const (
	shrinkBy    = 0.95    // of each scale tried to the one before
	shrinkTimes = 16      // tries: down to 0.46 of the observed range
	searchWidth = 6       // up to this many bits shrinking the range gains anything
	searchWork  = 1 << 28 // products above which only a few scales are tried
	descents    = 20      // passes of coordinate descent
	polishes    = 4       // rounds of best scales for codes, best codes for scales
)

// solve rounds one unit: column by column with error feedback (Frantar et al. 2022),
// with the observer's scales and with smaller ones; then, from the best, code by code
// and scale by scale as long as the error falls. It returns the nearest codes if they
// are better still.
func (s *solver) solve(u unit) answer {
	nearest := s.nearest(u)
	best := s.feedback(u, s.scales(u, 1))
	if !s.plain {
		f := 1.0
		for range s.tries(u) {
			f *= shrinkBy
			if a := s.feedback(u, s.scales(u, f)); a.cost < best.cost {
				best = a
			}
		}
		s.descend(u, &best)
		for range polishes {
			a, ok := s.rescale(u, best)
			if !ok {
				break
			}
			s.descend(u, &a)
			if !(a.cost < best.cost*(1-1e-9)) {
				break
			}
			best = a
		}
	}
	if !(best.cost < nearest.cost) {
		return nearest
	}
	return best
}

// tries is how many smaller scales are tried.
func (s *solver) tries(u unit) int {
	if s.spec.Width() > searchWidth {
		return 0
	}
	work := 0
	for _, c := range u.channels {
		work += c.h.k * c.h.k
	}
	if work > searchWork/shrinkTimes {
		return 4
	}
	return shrinkTimes
}

// scales are the observer's, times f.
func (s *solver) scales(u unit, f float64) map[int]float32 {
	m := make(map[int]float32, len(u.groups))
	for _, g := range u.groups {
		m[g] = s.fit(float32(float64(s.params.Scale[g]) * f))
	}
	return m
}

// grid is that of a parameter group with another scale.
func (s *solver) grid(g int, scale float32) kern.Grid {
	qmin, qmax := s.spec.QRange()
	return kern.Grid{Scale: scale, ZeroPoint: s.params.ZeroPoint[g], Qmin: qmin, Qmax: qmax}
}

// put rounds v to the grid and notes the code and its value.
func put(g kern.Grid, v float64) (code int32, value float64) {
	q := kern.QuantizeOne(float32(v), g)
	return q - g.ZeroPoint, float64(kern.DequantizeOne(q, g))
}

func (u unit) blank(scales map[int]float32) answer {
	a := answer{scales: scales}
	for _, c := range u.channels {
		a.codes = append(a.codes, make([]int32, c.h.k))
		a.values = append(a.values, make([]float64, c.h.k))
	}
	return a
}

// nearest rounds every weight by itself.
func (s *solver) nearest(u unit) answer {
	a := u.blank(s.scales(u, 1))
	for i, c := range u.channels {
		for j, w := range c.nearest {
			a.codes[i][j], a.values[i][j] = put(s.grid(c.group[j], a.scales[c.group[j]]), float64(w))
		}
		a.cost += c.h.cost(c.errorOf(a.values[i]))
	}
	return a
}

// errorOf is target less values.
func (c *channel) errorOf(values []float64) []float64 {
	e := make([]float64, len(values))
	for j, v := range values {
		e[j] = c.target[j] - v
	}
	return e
}

// feedback rounds one column after the other. With H = Lᵀ·L the cost of an error e is
// |L·e|², whose element i depends on columns 0 to i alone; column i makes it as small
// as its grid allows. It is the method of Frantar et al. without the inverse.
func (s *solver) feedback(u unit, scales map[int]float32) answer {
	a := u.blank(scales)
	for i, c := range u.channels {
		k := c.h.k
		e := make([]float64, k)
		for j := range k {
			row := c.h.l[j*k : j*k+j+1]
			want := c.target[j] + dot(row[:j], e[:j])/row[j]
			g := c.group[j]
			a.codes[i][j], a.values[i][j] = put(s.grid(g, scales[g]), want)
			e[j] = c.target[j] - a.values[i][j]
			d := e[j] + dot(row[:j], e[:j])/row[j]
			a.cost += d * d * row[j] * row[j]
		}
	}
	return a
}

// descend changes one code at a time while the cost falls.
func (s *solver) descend(u unit, a *answer) {
	a.cost = 0
	for i, c := range u.channels {
		k := c.h.k
		e, slope := c.errorOf(a.values[i]), make([]float64, k)
		c.h.times(slope, e)
		for range descents {
			moved := false
			for j := range k {
				diagonal := c.h.h[j*k+j]
				g := c.group[j]
				// The cost is a parabola in this value; its lowest point on the grid.
				code, value := put(s.grid(g, a.scales[g]), a.values[i][j]+slope[j]/diagonal)
				d := value - a.values[i][j]
				if d == 0 || !(d*d*diagonal-2*d*slope[j] < -1e-12*diagonal*d*d) {
					continue
				}
				moved = true
				a.codes[i][j], a.values[i][j] = code, value
				e[j] -= d
				for x, v := range c.h.h[j*k : (j+1)*k] {
					slope[x] -= float64(d * v)
				}
			}
			if !moved {
				break
			}
		}
		a.cost += c.h.cost(e)
	}
}

// rescale returns the answer with the best scale of each group for its codes, one group
// after the other, in a copy. ok is false if no scale moved.
func (s *solver) rescale(u unit, a answer) (out answer, ok bool) {
	out = u.blank(map[int]float32{})
	for g, v := range a.scales {
		out.scales[g] = v
	}
	for i := range a.codes {
		copy(out.codes[i], a.codes[i])
		copy(out.values[i], a.values[i])
	}
	for _, g := range u.groups {
		num, den := 0.0, 0.0
		for i, c := range u.channels {
			k := c.h.k
			code, hc := make([]float64, k), make([]float64, k)
			for j := range k {
				if c.group[j] == g {
					code[j] = float64(out.codes[i][j])
				}
			}
			c.h.times(hc, code)
			num += dot(hc, c.errorOf(out.values[i]))
			den += dot(hc, code)
		}
		if !(den > 0) {
			continue
		}
		scale := float32(float64(out.scales[g]) + num/den)
		if scale >= fakequant.MinScale {
			scale = s.fit(scale)
		}
		if !(scale >= fakequant.MinScale) || math.IsInf(float64(scale), 0) || scale == out.scales[g] {
			continue
		}
		ok = true
		out.scales[g] = scale
		grid := s.grid(g, scale)
		for i, c := range u.channels {
			for j := range c.h.k {
				if c.group[j] == g {
					out.values[i][j] = float64(kern.DequantizeOne(out.codes[i][j]+grid.ZeroPoint, grid))
				}
			}
		}
	}
	return out, ok
}
