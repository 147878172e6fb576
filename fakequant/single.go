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
	if !ok || &dst[0] == &x[0] || l.columns() || l.units() != l.groups {
		return nil, false, nil
	}
	q := s.q
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.sites) > 1 {
		return nil, false, nil
	}
	next, take, err := obs.Next(l.groups)
	if err != nil {
		return nil, true, q.wrap(err)
	}
	r := &single{s: s, l: l, dst: dst, x: x, fitter: newFitter(q.spec, q.nonNegative), next: next, p: newParams(l.groups)}
	s.own.room(l.groups)
	if r.keep = s.own.keeps && r.fitter.bytes(); r.keep {
		s.own.roomKept(l)
	}
	par.For(l.groups, max(1, unitGrain/(l.size*l.inner)), r.units)
	if r.refused.Load() {
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
