package fakequant

import (
	"fmt"

	"github.com/goqat/goqat/internal/kern"
	"github.com/goqat/goqat/internal/par"
)

// ownRange is the range of the very tensor that a site has passed on, where it had to
// find it out anyway.
type ownRange struct {
	lo, hi []float32 // of each group
	count  []int     // finite values of each group
	clips  []bool    // the grid that each group was quantized to clips an element
	known  bool
	finite bool // and every element is
	graded bool // clips holds for the last pass
	inside bool // no group clips: none is marked

	keeps bool      // someone asks for codes
	codes []int8    // the centred codes
	mask  []uint8   // of each group: see kern.FakeQuantizeKeep
	kept  []float32 // what the codes and the mask belong to; nil if they were not kept
}

// room makes room for so many groups.
func (r *ownRange) room(groups int) {
	if len(r.lo) != groups {
		r.lo, r.hi, r.count, r.clips = make([]float32, groups), make([]float32, groups), make([]int, groups), make([]bool, groups)
	}
}

// forget is called before each pass.
func (r *ownRange) forget() {
	r.known, r.finite, r.graded, r.inside, r.kept = false, false, false, false, nil
}

// roomKept makes room for codes and masks of a layout whose units are groups, or whose
// rows are those of a matrix; see columns.
func (r *ownRange) roomKept(l Layout) {
	n := l.groups * maskLen(l.size*l.inner)
	if l.columns() {
		n = l.rows() * kern.ColumnMaskLen(l.dim)
	}
	if len(r.codes) != l.Len() || len(r.mask) != n {
		r.codes, r.mask = make([]int8, l.Len()), make([]uint8, n)
	}
}

func maskLen(n int) int { return kern.MaskLen(1, 1, n) }

// maskOf is the mask of the n elements of a group; most groups have so many.
func (r *ownRange) maskOf(group, n int) []uint8 {
	return r.mask[group*(len(r.mask)/len(r.clips)):][:maskLen(n)]
}

// measure finds the range of x. Errors wrap ErrData.
func (r *ownRange) measure(x []float32, l Layout) error {
	r.room(l.Groups())
	n, err := groupRanges(r.lo, r.hi, r.count, x, l)
	r.known, r.finite = err == nil, n == l.Len()
	return err
}

// grade finds out which groups the grids clip, unless the range is not known.
func (r *ownRange) grade(s Spec, p Params) {
	if !r.known || !r.finite || len(r.lo) != len(p.Scale) {
		return
	}
	fitter := newFitter(s, false)
	for i := range r.lo {
		r.clips[i] = clips(r.lo[i], r.hi[i], fitter.grid(p, i))
	}
	r.settle()
}

// settle is called when clips is complete.
func (r *ownRange) settle() {
	r.graded, r.inside = true, true
	for _, c := range r.clips {
		r.inside = r.inside && !c
	}
}

// clips reports whether a grid clips numbers from lo to hi, which the two tell: codes
// grow with the values.
func clips(lo, hi float32, g kern.Grid) bool {
	wide := g
	wide.Qmin, wide.Qmax = g.Qmin-1, g.Qmax+1
	return kern.QuantizeOne(lo, wide) < g.Qmin || kern.QuantizeOne(hi, wide) > g.Qmax
}

// pass is STE where the range of x is known: only groups that clip are looked at.
func (r *ownRange) pass(dx, x, dy []float32, l Layout, s Spec, p Params) error {
	if err := check(len(dx), len(x), l, s, p); err != nil {
		return err
	}
	if len(r.clips) != l.Groups() {
		return fmt.Errorf("%w: %d groups, the forward pass had %d", ErrParams, l.Groups(), len(r.clips))
	}
	if l.columns() && r.kept != nil {
		r.passColumns(dx, dy, l)
		return nil
	}
	fitter, same := newFitter(s, false), &dx[0] == &dy[0]
	par.For(l.units(), max(1, unitGrain/(l.size*l.inner)), func(from, to int) {
		for u := from; u < to; u++ {
			lo, hi, g := l.unit(u)
			if r.clips[g] && r.kept == nil {
				kern.STE(dx[lo:hi], x[lo:hi], dy[lo:hi], fitter.grid(p, g))
				continue
			}
			if !same {
				copy(dx[lo:hi], dy[lo:hi])
			}
			if r.clips[g] {
				kern.ClearUnset(dx[lo:hi], r.maskOf(g, hi-lo))
			}
		}
	})
	return nil
}

// passColumns is pass for what columns has kept: masks of whole rows.
func (r *ownRange) passColumns(dx, dy []float32, l Layout) {
	n, wide, same := l.dim, kern.ColumnMaskLen(l.dim), &dx[0] == &dy[0]
	par.For(l.rows(), max(1, 2*unitGrain/n), func(from, to int) {
		step := max(1, unitGrain/n)
		for a := from; a < to; a += step {
			b := min(a+step, to)
			if !same {
				copy(dx[a*n:b*n], dy[a*n:b*n])
			}
			kern.ClearUnsetColumns(dx[a*n:b*n], r.mask[a*wide:b*wide], n)
		}
	})
}
