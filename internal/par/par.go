// Package par runs loops on several goroutines.
//
// Helpers are kept between calls: after its last loop a helper looks out for the
// next one for a while, then sleeps, and later ends. A loop that follows closely on
// another starts in a fraction of a microsecond so, where a new goroutine would take
// several.
//
// Each goroutine begins with the same part of [0, n) in every loop: with two of them, the
// first half and the second. Two loops over the same data then find it in the caches where
// they left it. Processors may sit on different pieces of silicon; what another one has
// written takes longer to fetch from there than from memory.
package par

import (
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// For splits [0, n) into chunks of at most grain and calls fn(lo, hi) once for each, on
// up to GOMAXPROCS goroutines, one of which is the caller's. It returns when all calls
// have returned. Where chunks begin depends on the number of goroutines: a loop that keeps
// one result for each of some pieces counts these, with n, and has grain 1. With one
// processor, or more than 4 billion, everything runs in the caller's goroutine, in order,
// and chunks begin at multiples of grain. n <= 0 calls nothing; grain < 1 counts as 1.
//
// Calls may be nested and made from many goroutines: each takes helpers that are
// idle at that moment and waits for nobody else's. If fn panics, no further chunk
// is started and For panics in the caller's goroutine with the first panic's value.
func For(n, grain int, fn func(lo, hi int)) { ForN(0, n, grain, fn) }

// ForN is [For] on at most the given number of goroutines, and never more than
// GOMAXPROCS; workers < 1 sets no limit of its own.
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
	if min(workers, procs) == 1 || uint64(n) > indexMask {
		for lo := 0; lo < n; lo += min(n-lo, grain) {
			fn(lo, lo+min(n-lo, grain))
		}
		return
	}
	l := loops.Get().(*loop)
	l.grain, l.fn = grain, fn
	l.run(n, min(workers, procs)-1, procs-1)
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
	grain    int
	fn       func(lo, hi int)
	shares   []share // of the caller and of each helper that it asked
	panicked atomic.Pointer[panicValue]

	helpers []*helper     // those that the caller asked
	left    atomic.Uint64 // helpers that have left; above 1<<32, how many a sleeping caller waits for
	wake    chan struct{}
}

// share is the part of a loop that one goroutine begins with.
type share struct {
	open  atomic.Uint64 // what nobody has taken: the first index and, indexBits higher, the end
	owned atomic.Bool   // somebody has begun with it and will take what is left
	_     [52]byte      // keeps shares in different cache lines
}

const (
	indexBits = 32
	indexMask = 1<<indexBits - 1
)

// deal splits [0, n) into one share for each of the workers.
func (l *loop) deal(workers, n int) {
	l.shares = slices.Grow(l.shares[:0], workers)[:workers]
	for i := range l.shares {
		border := func(i int) uint64 { return uint64(i) * uint64(n) / uint64(workers) }
		l.shares[i].open.Store(border(i) | border(i+1)<<indexBits)
		l.shares[i].owned.Store(false)
	}
}

// left returns how much of the share nobody has taken.
func (s *share) left() int {
	v := s.open.Load()
	return int(v>>indexBits) - int(v&indexMask)
}

// take returns a chunk: the first of the share or, for a thief, the last. An empty one
// says that nothing is left.
func (s *share) take(grain int, thief bool) (lo, hi int) {
	for {
		v := s.open.Load()
		lo, hi := int(v&indexMask), int(v>>indexBits)
		if lo >= hi {
			return 0, 0
		}
		n := min(grain, hi-lo)
		rest := v + uint64(n)
		if thief {
			rest, lo = v-uint64(n)<<indexBits, hi-n
		}
		if s.open.CompareAndSwap(v, rest) {
			return lo, lo + n
		}
	}
}

// theftWorth is the work of an owner from which it pays to take a chunk away: below, to move
// the data of a chunk to another cache now, and back in the next loop, takes longer.
const theftWorth = 20 * time.Microsecond

// steals reports whether a thief, to whom each index took so long, is to take a chunk.
func (s *share) steals(each float64) bool {
	return !s.owned.Load() || each*float64(s.left()) > float64(theftWorth)
}

type panicValue struct{ value any }

var loops = sync.Pool{New: func() any { return &loop{wake: make(chan struct{}, 1)} }}

// run works through [0, n) with up to the given number of helpers, of which there are to
// be no more than most.
func (l *loop) run(n, helpers, most int) {
	l.left.Store(0)
	l.deal(helpers+1, n)
	l.helpers = ask(l, helpers, most, l.helpers[:0])
	defer l.wait() // also when fn ends the goroutine, as a failing test does
	l.work(0)
}

// work takes the chunks of the worker's own share in order, then those of shares that
// nobody has begun with, and of others where much is left. It lets no panic out: one in a
// helper would end the process, and one in the caller would leave helpers behind.
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
	grain, fn := l.grain, l.fn
	own, start, done := &l.shares[worker], time.Now(), 0
	own.owned.Store(true)
	for lo, hi := own.take(grain, false); lo < hi; lo, hi = own.take(grain, false) {
		fn(lo, hi)
		done += hi - lo
	}
	each := float64(theftWorth) // without a chunk of one's own nobody knows
	if done > 0 {
		each = float64(time.Since(start)) / float64(done)
	}
	l.help(worker, each)
	ended = true
}

// help takes chunks of the shares of others, for a worker whom each index took so long.
func (l *loop) help(worker int, each float64) {
	for i := range len(l.shares) - 1 {
		s := &l.shares[(worker+1+i)%len(l.shares)]
		for s.steals(each) {
			lo, hi := s.take(l.grain, true)
			if lo == hi {
				break
			}
			l.fn(lo, hi)
		}
	}
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
