package train

import (
	"runtime"
	"sync"
)

// parallelFrom is the number of elements from which a second goroutine pays: an
// update takes about a nanosecond per element, starting a goroutine about a
// microsecond.
const parallelFrom = 1 << 15

// split calls f on ranges that together cover [0, n), in parallel if n is large.
// Only elementwise work may use it: the ranges depend on GOMAXPROCS.
func split(n int, f func(lo, hi int)) {
	parts := min(runtime.GOMAXPROCS(0), n/parallelFrom+1)
	if parts <= 1 {
		f(0, n)
		return
	}
	var wg sync.WaitGroup
	for p := 1; p < parts; p++ {
		wg.Go(func() { f(n*p/parts, n*(p+1)/parts) })
	}
	f(0, n/parts)
	wg.Wait()
}
