package fakequant

import (
	"sync/atomic"

	"github.com/goqat/goqat/internal/kern"
	"github.com/goqat/goqat/internal/par"
)

// GroupObserver is a [RangeObserver] that can tell beforehand what the range of each
// group will be, so that a group is quantized while it is in the cache.
type GroupObserver interface {
	RangeObserver
	// Next returns a function that says what the range of a group becomes where there are
	// so many groups in all and lo and hi are the group's in the next tensor. It may be
	// called from several goroutines, for each group once, until the observer changes; it
	// changes nothing that others see. Once it has been called for every group, take does
	// what ObserveRange would do with all of lo and hi, which have to be finite and in
	// order. Errors are those of ObserveRange.
	Next(groups int) (next func(group int, lo, hi float32) (newLo, newHi float32), take func(), err error)
}

// single is a pass that observes a tensor and quantizes it, group by group. It gives
// what observe and FakeQuantize give one after the other.
type single struct {
	s       *Site
	l       Layout
	dst, x  []float32
	fitter  fitter
	next    func(group int, lo, hi float32) (newLo, newHi float32)
	p       Params
	keep    bool        // codes and masks, which takes codes of a byte
	refused atomic.Bool // the tensor: the usual pass says why
}

// single does the pass in one loop; ok is false where that cannot be done, and then
// nothing has changed but dst.
func (s *Site) single(dst, x []float32, l Layout) (p *Params, ok bool, err error) {
	obs, ok := s.obs.(GroupObserver)
	q := s.q
	height, banded := l.bands()
	if !ok || &dst[0] == &x[0] || !banded && (l.columns() || l.units() != l.groups) {
		return nil, false, nil
	}
	fitter := newFitter(q.spec, q.nonNegative)
	if banded && !fitter.bytes() {
		return nil, false, nil
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.sites) > 1 {
		return nil, false, nil
	}
	next, take, err := obs.Next(l.groups)
	if err != nil {
		return nil, true, q.wrap(err)
	}
	r := &single{s: s, l: l, dst: dst, x: x, fitter: fitter, next: next, p: newParams(l.groups)}
	s.own.room(l.groups)
	if r.keep = banded || s.own.keeps && r.fitter.bytes(); r.keep {
		s.own.roomKept(l)
	}
	if banded {
		if !r.columns(height) {
			return nil, false, nil
		}
	} else if par.For(l.groups, max(1, unitGrain/(l.size*l.inner)), r.units); r.refused.Load() {
		return nil, false, nil
	}
	take()
	q.params.Store(&r.p)
	s.own.known, s.own.finite = true, true
	s.own.settle()
	if r.keep {
		s.own.kept = dst
	}
	return &r.p, true, nil
}

// units passes units of the layout, each of which is a group.
func (r *single) units(from, to int) {
	own := &r.s.own
	for u := from; u < to; u++ {
		a, b, g := r.l.unit(u)
		lo, hi, n, _ := kern.MinMax(r.x[a:b])
		if n != b-a {
			r.refused.Store(true)
			return
		}
		own.lo[g], own.hi[g] = lo, hi
		wantLo, wantHi := r.next(g, lo, hi)
		r.p.Scale[g], r.p.ZeroPoint[g] = r.fitter.params(wantLo, wantHi)
		grid := r.fitter.grid(r.p, g)
		own.clips[g] = clips(lo, hi, grid)
		if r.keep {
			kern.FakeQuantizeKeep(r.dst[a:b], own.codes[a:b], own.maskOf(g, b-a), r.x[a:b], grid, own.clips[g])
		} else {
			kern.FakeQuantize(r.dst[a:b], r.x[a:b], grid)
		}
	}
}

// columns does the pass of a matrix with a group for each column of a band: a weight that
// is stored with its output channels side by side. It reports whether all is finite.
func (r *single) columns(height int) bool {
	own, n, rows := &r.s.own, r.l.dim, r.l.rows()
	found := newRanges(own.lo, own.hi, own.count)
	piece := min(height, max(1, 4*unitGrain/n)) // rows of one goroutine
	pieces := (height + piece - 1) / piece      // of a band
	bands := (rows + height - 1) / height
	each := func(grain int, fn func(from, to, group int)) { // for pieces of bands
		par.For(bands*pieces, max(1, grain/(piece*n)), func(a, b int) {
			for i := a; i < b; i++ {
				end := min((i/pieces+1)*height, rows)
				if from := i/pieces*height + i%pieces*piece; from < end {
					fn(from, min(from+piece, end), i/pieces*n)
				}
			}
		})
	}
	each(2*unitGrain, func(from, to, g int) {
		lo, hi, count := found.lo[g:][:n], found.hi[g:][:n], found.count[g:][:n]
		if pieces == 1 { // no one else has these columns
			if kern.ColumnMinMax(lo, hi, count, r.x[from*n:to*n]) {
				r.refused.Store(true)
			}
			return
		}
		part := columnRanges.Get().(*ranges)
		defer columnRanges.Put(part)
		part.room(n)
		if kern.ColumnMinMax(part.lo, part.hi, part.count, r.x[from*n:to*n]) {
			r.refused.Store(true)
		}
		found.mu.Lock()
		defer found.mu.Unlock()
		for i := range part.lo {
			found.join(g+i, part.lo[i], part.hi[i], part.count[i])
		}
	})
	if r.refused.Load() {
		return false
	}
	for g := range own.lo {
		if own.count[g] != min(height, rows-g/n*height) {
			return false
		}
	}
	par.For(len(own.lo), unitGrain/16, func(from, to int) { // a division and more for each
		for g := from; g < to; g++ {
			lo, hi := r.next(g, own.lo[g], own.hi[g])
			r.p.Scale[g], r.p.ZeroPoint[g] = r.fitter.params(lo, hi)
			own.clips[g] = clips(own.lo[g], own.hi[g], r.fitter.grid(r.p, g))
		}
	})
	grids := kern.NewGridRow(len(own.lo), func(i int) kern.Grid { return r.fitter.grid(r.p, i) })
	wide := kern.ColumnMaskLen(n)
	each(unitGrain, func(from, to, g int) {
		step := max(1, unitGrain/n)
		for a := from; a < to; a += step {
			b := min(a+step, to)
			kern.FakeQuantizeColumns(r.dst[a*n:b*n], own.codes[a*n:b*n], own.mask[a*wide:b*wide], r.x[a*n:b*n], n, grids, g)
		}
	})
	return true
}
