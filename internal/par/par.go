// Package par runs loops on several goroutines. Chunk borders depend on the loop
// alone, never on the number of goroutines, so that a caller that keeps one
// result per chunk gets the same bits for every GOMAXPROCS.
//
// Helpers are kept between calls: after its last loop a helper looks out for the
// next one for some microseconds, then sleeps, and after a while ends. A loop that
// follows closely on another starts in a fraction of a microsecond so, where a new
// goroutine would take several.
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
// Calls may be nested and made from many goroutines: each takes helpers that are
// idle at that moment and waits for nobody else's. If fn panics, no further chunk
// is started and For panics in the caller's goroutine with the first panic's value.
func For(n, grain int, fn func(lo, hi int)) { ForN(0, n, grain, fn) }

// ForN is [For] on at most the given number of goroutines, and never more than
// GOMAXPROCS; workers < 1 sets no limit of its own. Chunks are those of For.
func ForN(workers, n, grain int, fn func(lo, hi int)) {
	if n <= 0 {
		return
	}
	grain = max(grain, 1)
	chunks := (n-1)/grain + 1
	if workers < 1 {
		workers = chunks
	}
	workers = min(workers, chunks)
	procs := 1
	if workers > 1 { // asking takes a lock
		procs = runtime.GOMAXPROCS(0)
	}
	if min(workers, procs) == 1 {
		for lo := 0; chunks > 0; chunks-- {
			fn(lo, lo+min(n-lo, grain))
			lo += grain
		}
		return
	}
	l := loops.Get().(*loop)
	l.n, l.grain, l.chunks, l.fn = n, grain, int64(chunks), fn
	l.next.Store(0)
	l.run(min(workers, procs)-1, procs-1)
	p := l.panicked.Swap(nil)
	l.fn = nil
	loops.Put(l)
	if p != nil {
		panic(p.value)
	}
}

// loop is the state that the goroutines of one call share. Loops are used again:
// a helper may look at one only between taking it from its box and leaving it.
type loop struct {
	n, grain int
	chunks   int64
	fn       func(lo, hi int)
	next     atomic.Int64 // the first chunk that nobody has taken
	panicked atomic.Pointer[panicValue]

	helpers []*helper     // those that the caller asked
	left    atomic.Uint64 // helpers that have left; above 1<<32, how many a sleeping caller waits for
	wake    chan struct{}
}

type panicValue struct{ value any }

var loops = sync.Pool{New: func() any { return &loop{wake: make(chan struct{}, 1)} }}

// run works through the loop with up to the given number of helpers, of which there
// are to be no more than most.
func (l *loop) run(helpers, most int) {
	l.left.Store(0)
	l.helpers = ask(l, helpers, most, l.helpers[:0])
	defer l.wait() // also when fn ends the goroutine, as a failing test does
	l.work()
}

// work takes chunks until none is left. It lets no panic out: one in a helper
// would end the process, and one in the caller would leave helpers behind.
func (l *loop) work() {
	ended := false
	defer func() {
		if ended {
			return
		}
		if v := recover(); v != nil {
			l.panicked.CompareAndSwap(nil, &panicValue{v})
		}
		l.next.Store(l.chunks)
	}()
	n, grain, chunks, fn := l.n, l.grain, l.chunks, l.fn // next's neighbours in memory
	for {
		c := l.next.Add(1) - 1
		if c >= chunks {
			break
		}
		lo := int(c) * grain
		fn(lo, lo+min(n-lo, grain))
	}
	ended = true
}

// wait takes the loop back from helpers that have not begun and returns when
// those that have are done.
func (l *loop) wait() {
	begun := uint64(0)
	for i, h := range l.helpers {
		if !h.box.CompareAndSwap(l, nil) {
			begun++
		}
		l.helpers[i] = nil
	}
	var w watch
	for l.left.Load() != begun {
		if !w.tired() {
			continue
		}
		if v := l.left.Load(); v != begun && l.left.CompareAndSwap(v, v|begun<<32) {
			<-l.wake
			return
		}
	}
}

// leave is what a helper does last with a loop.
func (l *loop) leave() {
	if v := l.left.Add(1); v>>32 != 0 && v>>32 == v&(1<<32-1) {
		l.wake <- struct{}{}
	}
}
