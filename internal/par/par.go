// Package par runs loops on several goroutines. Chunk borders depend on the loop
// alone, never on the number of goroutines, so that a caller that keeps one
// result per chunk gets the same bits for every GOMAXPROCS.
package par

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// For splits [0, n) into chunks of grain (the last may be shorter) and calls
// fn(lo, hi) once for each, on up to GOMAXPROCS goroutines, one of which is the
// caller's. It returns when all calls have returned. With one chunk or one
// processor everything runs in the caller's goroutine, in order. n <= 0 calls
// nothing; grain < 1 counts as 1.
//
// Calls may be nested and made from many goroutines: each starts its own short-
// lived helpers and waits for nobody else's. If fn panics, no further chunk is
// started and For panics in the caller's goroutine with the first panic's value.
func For(n, grain int, fn func(lo, hi int)) {
	if n <= 0 {
		return
	}
	grain = max(grain, 1)
	chunks := (n-1)/grain + 1
	workers := min(runtime.GOMAXPROCS(0), chunks)
	if workers == 1 {
		for c := range chunks {
			fn(c*grain, min(n-c*grain, grain)+c*grain)
		}
		return
	}
	l := loop{n: n, grain: grain, chunks: int64(chunks), fn: fn}
	l.wait.Add(workers - 1)
	for range workers - 1 {
		go l.help()
	}
	l.work()
	l.wait.Wait()
	if p := l.panicked.Load(); p != nil {
		panic(p.value)
	}
}

// loop is the state that the goroutines of one call of For share.
type loop struct {
	n, grain int
	chunks   int64
	fn       func(lo, hi int)
	next     atomic.Int64 // the first chunk that nobody has taken
	wait     sync.WaitGroup
	panicked atomic.Pointer[panicValue]
}

type panicValue struct{ value any }

func (l *loop) help() {
	defer l.wait.Done()
	l.work()
}

// work takes chunks until none is left. It lets no panic out: one in a helper
// would end the process, and one in the caller would leave helpers behind.
func (l *loop) work() {
	defer func() {
		if v := recover(); v != nil {
			l.panicked.CompareAndSwap(nil, &panicValue{v})
			l.next.Store(l.chunks)
		}
	}()
	for {
		c := l.next.Add(1) - 1
		if c >= l.chunks {
			return
		}
		lo := int(c) * l.grain
		l.fn(lo, lo+min(l.n-lo, l.grain))
	}
}
