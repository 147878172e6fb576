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
	"slices"
	"sync"
	"sync/atomic"
)

// For splits [0, n) into chunks of grain (the last may be shorter) and calls
// fn(lo, hi) once for each, on up to GOMAXPROCS goroutines, one of which is the
// caller's. It returns when all calls have returned. With one chunk, one processor or
// more than 4 billion chunks everything runs in the caller's goroutine, in order.
// n <= 0 calls nothing; grain < 1 counts as 1.
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
	if min(workers, procs) == 1 || uint64(chunks) > chunkMask {
		for lo := 0; chunks > 0; chunks-- {
			fn(lo, lo+min(n-lo, grain))
			lo += grain
		}
		return
	}
	l := loops.Get().(*loop)
	l.n, l.grain, l.fn = n, grain, fn
	l.run(min(workers, procs)-1, procs-1, chunks)
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
	fn       func(lo, hi int)
	shares   []share // of the caller and of each helper that it asked
	panicked atomic.Pointer[panicValue]

	helpers []*helper     // those that the caller asked
	left    atomic.Uint64 // helpers that have left; above 1<<32, how many a sleeping caller waits for
	wake    chan struct{}
}

// share is the part of a loop's chunks that one goroutine begins with: the same part
// in every loop, so that what it left in its processor's cache is there for the next
// loop over the same data. Another processor may sit on another piece of silicon,
// from which a cache line takes longer than from memory.
type share struct {
	open atomic.Uint64 // chunks that nobody has taken: the first one and, chunkBits higher, the end
	_    [56]byte      // keeps shares in different cache lines
}

const (
	chunkBits = 32
	chunkMask = 1<<chunkBits - 1
)

// deal splits the chunks into one share for each of the workers.
func (l *loop) deal(workers, chunks int) {
	l.shares = slices.Grow(l.shares[:0], workers)[:workers]
	for i := range l.shares {
		border := func(i int) uint64 { return uint64(i) * uint64(chunks) / uint64(workers) }
		l.shares[i].open.Store(border(i) | border(i+1)<<chunkBits)
	}
}

// take returns the first chunk of the share, or the last where a thief asks; none if
// nothing is left.
func (s *share) take(thief bool) (chunk int, ok bool) {
	for {
		v := s.open.Load()
		first, end := v&chunkMask, v>>chunkBits
		if first >= end {
			return 0, false
		}
		rest, chunk := v+1, first
		if thief {
			rest, chunk = v-1<<chunkBits, end-1
		}
		if s.open.CompareAndSwap(v, rest) {
			return int(chunk), true
		}
	}
}

type panicValue struct{ value any }

var loops = sync.Pool{New: func() any { return &loop{wake: make(chan struct{}, 1)} }}

// run works through the chunks with up to the given number of helpers, of which there
// are to be no more than most.
func (l *loop) run(helpers, most, chunks int) {
	l.left.Store(0)
	l.deal(helpers+1, chunks)
	l.helpers = ask(l, helpers, most, l.helpers[:0])
	defer l.wait() // also when fn ends the goroutine, as a failing test does
	l.work(0)
}

// work takes the chunks of the worker's own share in order, then what is left of the
// others'. It lets no panic out: one in a helper would end the process, and one in the
// caller would leave helpers behind.
func (l *loop) work(worker int) {
	ended := false
	defer func() {
		if ended {
			return
		}
		if v := recover(); v != nil {
			l.panicked.CompareAndSwap(nil, &panicValue{v})
		}
		for i := range l.shares {
			l.shares[i].open.Store(0)
		}
	}()
	n, grain, fn := l.n, l.grain, l.fn
	for i := range l.shares {
		s := &l.shares[(worker+i)%len(l.shares)]
		for c, ok := s.take(i > 0); ok; c, ok = s.take(i > 0) {
			lo := c * grain
			fn(lo, lo+min(n-lo, grain))
		}
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
