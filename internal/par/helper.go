package par

import (
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// lookout is how long an idle helper looks out for work, and a caller for the end
	// of its helpers' last chunks, before it sleeps: longer than what usually lies
	// between two loops. Waking up takes longer still on a virtual machine.
	lookout = time.Millisecond
	// courtesy is how often someone who looks out lets other goroutines run.
	courtesy = 20 * time.Microsecond
	// patience is how long a helper sleeps before it ends.
	patience = 100 * time.Millisecond
	// glances is how often a watch looks before it reads the clock.
	glances = 128
)

// helper is a goroutine that takes part in loops.
type helper struct {
	// box holds a loop that wants help, nil while the helper looks out for one, or one
	// of the marks below. Callers replace nil and asleep by their loop; the helper
	// replaces a loop by busy, and from then on the loop's caller waits for it.
	box  atomic.Pointer[loop]
	wake chan struct{} // what a sleeping helper waits for
	seat int           // 1 for the first helper; no two have the same
	_    [104]byte     // keeps boxes of different helpers in different cache lines
}

// Marks in a helper's box.
var (
	busy   = new(loop)
	asleep = new(loop)
	gone   = new(loop)
)

// crew lists the helpers. The slice is replaced, never changed.
var crew struct {
	sync.Mutex
	list atomic.Pointer[[]*helper]
}

// ask puts the loop into the boxes of up to n idle helpers, awake ones first, and
// appends these to the list. New ones start while there are fewer than most
// altogether: more would not find a processor.
func ask(l *loop, n, most int, asked []*helper) []*helper {
	var all []*helper
	if p := crew.list.Load(); p != nil {
		all = *p
	}
	for _, h := range all {
		if len(asked) < n && h.box.Load() == nil && h.box.CompareAndSwap(nil, l) {
			asked = append(asked, h)
		}
	}
	for _, h := range all {
		if len(asked) < n && h.box.Load() == asleep && h.box.CompareAndSwap(asleep, l) {
			h.wake <- struct{}{}
			asked = append(asked, h)
		}
	}
	for len(asked) < n && alive(all) < most {
		h := hire(l, most)
		if h == nil {
			break
		}
		asked = append(asked, h)
		all = *crew.list.Load()
	}
	return asked
}

// alive counts helpers that have not ended.
func alive(all []*helper) int {
	n := 0
	for _, h := range all {
		if h.box.Load() != gone {
			n++
		}
	}
	return n
}

// hire starts a helper on a loop, unless there are as many as there may be.
func hire(l *loop, most int) *helper {
	crew.Lock()
	defer crew.Unlock()
	var all []*helper
	if p := crew.list.Load(); p != nil {
		all = *p
	}
	if alive(all) >= most {
		return nil
	}
	h := &helper{wake: make(chan struct{}, 1), seat: 1}
	for slices.ContainsFunc(all, func(o *helper) bool { return o.seat == h.seat }) {
		h.seat++
	}
	h.box.Store(l)
	all = append(slices.Clip(all), h)
	crew.list.Store(&all)
	go h.live()
	return h
}

// live serves loops until none has come for long.
func (h *helper) live() {
	defer h.resign() // also when fn ends the goroutine
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for h.await(timer) {
		if l := h.box.Load(); l != nil && h.box.CompareAndSwap(l, busy) {
			h.serve(l)
		}
	}
}

// serve works on a loop and is free for another then.
func (h *helper) serve(l *loop) {
	done := false
	defer func() {
		if done {
			h.box.Store(nil)
		}
		l.leave()
	}()
	l.work(1 + (h.seat-1)%(len(l.shares)-1))
	done = true
}

// await returns true when there may be a loop in the box, false when the helper is
// to end.
func (h *helper) await(timer *time.Timer) bool {
	var w watch
	for h.box.Load() == nil {
		if !w.tired() || !h.box.CompareAndSwap(nil, asleep) {
			continue
		}
		timer.Reset(patience)
		select {
		case <-h.wake:
			return true
		case <-timer.C:
		}
		if h.box.CompareAndSwap(asleep, gone) {
			return false
		}
		<-h.wake // a caller was faster
	}
	return true
}

// resign takes the helper off the list.
func (h *helper) resign() {
	h.box.Store(gone)
	crew.Lock()
	defer crew.Unlock()
	all := slices.DeleteFunc(slices.Clone(*crew.list.Load()), func(o *helper) bool { return o == h })
	crew.list.Store(&all)
}

// watch measures how long something is waited for. Reading the clock takes longer
// than looking, so it is done rarely.
type watch struct {
	looks      int
	start      time.Time
	courtesies time.Duration
}

// tired is asked after every look in vain. It is true once lookout is over.
func (w *watch) tired() bool {
	w.looks++
	if w.looks%glances != 0 {
		return false
	}
	if w.start.IsZero() {
		w.start = time.Now()
		return false
	}
	waited := time.Since(w.start)
	if waited-w.courtesies > courtesy {
		w.courtesies = waited
		runtime.Gosched()
	}
	return waited > lookout
}
