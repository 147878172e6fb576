package kern

// What is the range of the finite values of a slice?

import "sync"

// extent is the range of the finite values of a stretch of elements.
type extent struct {
	lo, hi float32
	n      int  // finite values
	nan    bool // a NaN was met
	clean  bool // of assembly: all values were finite
}

var noExtent = extent{lo: maxFloat32, hi: -maxFloat32}

func (e *extent) join(o extent) {
	e.lo, e.hi = min(e.lo, o.lo), max(e.hi, o.hi)
	e.n, e.nan = e.n+o.n, e.nan || o.nan
}

// take adds one value.
func (e *extent) take(v float32) {
	if v != v {
		e.nan = true
		return
	}
	if v > maxFloat32 || v < -maxFloat32 {
		return
	}
	v += 0 // a zero of either sign counts as +0
	e.n++
	if v < e.lo {
		e.lo = v
	}
	if v > e.hi {
		e.hi = v
	}
}

func extentGo(x []float32) extent {
	e := noExtent
	for _, v := range x {
		e.take(v)
	}
	return e
}

// extentOf is extentGo, vectorised while everything is finite.
func extentOf(x []float32) extent {
	e, done := extentFast(x)
	if done > 0 && !e.clean {
		return extentGo(x)
	}
	if done < len(x) {
		e.join(extentGo(x[done:]))
	}
	return e
}

func addExtent(a, b []float32) extent {
	e, done := addExtentFast(a, b)
	if done > 0 && !e.clean {
		e, done = noExtent, 0
	}
	for i := done; i < len(a); i++ {
		e.take(a[i] + b[i])
	}
	return e
}

// joinAlone is the number of elements up to which to share them takes longer than to read them.
const joinAlone = 2 * elemChunk

// joinMinMax joins the extents of chunks, in parallel. The order does not matter.
func joinMinMax(n int, part func(from, to int) extent) (lo, hi float32, count int, nan bool) {
	e := noExtent
	if n <= joinAlone {
		if n > 0 {
			e = part(0, n)
		}
		return e.lo, e.hi, e.n, e.nan
	}
	var mu sync.Mutex
	inChunks(n, func(from, to int) {
		p := part(from, to)
		mu.Lock()
		defer mu.Unlock()
		e.join(p)
	})
	return e.lo, e.hi, e.n, e.nan
}
