package fakequant

import (
	"math"
	"sync"

	"github.com/goqat/goqat/internal/kern"
	"github.com/goqat/goqat/internal/par"
)

// ranges collects the range of every group. Goroutines collect chunks and join them;
// extremes and counts do not depend on the order.
type ranges struct {
	mu     sync.Mutex
	lo, hi []float32
	count  []int // finite values
	nan    bool
}

func newRanges(lo, hi []float32, count []int) *ranges {
	r := &ranges{lo: lo, hi: hi, count: count}
	r.clear()
	return r
}

// clear forgets all values.
func (r *ranges) clear() {
	clear(r.count)
	for g := range r.lo {
		r.lo[g], r.hi[g] = math.MaxFloat32, -math.MaxFloat32
	}
	r.nan = false
}

// join takes in what was found for one group. It wants mu held if goroutines share
// groups.
func (r *ranges) join(g int, lo, hi float32, count int) {
	r.lo[g], r.hi[g] = min(r.lo[g], lo), max(r.hi[g], hi)
	r.count[g] += count
}

// units collects a layout whose groups have stretches of their own.
func (r *ranges) units(x []float32, l Layout) {
	shared := l.units() > len(r.count) // several goroutines may meet a group
	par.For(l.units(), max(1, unitGrain/(l.size*l.inner)), func(from, to int) {
		anyNaN := false
		for u := from; u < to; u++ {
			a, b, g := l.unit(u)
			lo, hi, n, nan := kern.MinMax(x[a:b])
			anyNaN = anyNaN || nan
			if !shared {
				r.join(g, lo, hi, n)
				continue
			}
			r.mu.Lock()
			r.join(g, lo, hi, n)
			r.mu.Unlock()
		}
		r.mu.Lock()
		r.nan = r.nan || anyNaN
		r.mu.Unlock()
	})
}

// columns collects a layout in which groups lie side by side.
func (r *ranges) columns(x []float32, l Layout) {
	if len(r.count) != l.dim { // rows of different groups
		for row := range l.rows() {
			g := l.rowGroup(row)
			part := x[row*l.dim:][:l.dim]
			r.nan = kern.ColumnMinMax(r.lo[g:][:l.dim], r.hi[g:][:l.dim], r.count[g:][:l.dim], part) || r.nan
		}
		return
	}
	par.For(l.rows(), max(1, 4*unitGrain/l.dim), func(from, to int) {
		own := newRanges(make([]float32, l.dim), make([]float32, l.dim), make([]int, l.dim))
		nan := kern.ColumnMinMax(own.lo, own.hi, own.count, x[from*l.dim:to*l.dim])
		r.mu.Lock()
		defer r.mu.Unlock()
		for g := range own.count {
			r.join(g, own.lo[g], own.hi[g], own.count[g])
		}
		r.nan = r.nan || nan
	})
}

// columnRanges holds ranges of goroutines, so that a pass makes none.
var columnRanges = sync.Pool{New: func() any { return new(ranges) }}

// room makes room for n groups, without any value yet.
func (r *ranges) room(n int) {
	if cap(r.lo) < n {
		r.lo, r.hi, r.count = make([]float32, n), make([]float32, n), make([]int, n)
	}
	r.lo, r.hi, r.count = r.lo[:n], r.hi[:n], r.count[:n]
	r.clear()
}
