package par

import (
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// eventually waits until ok holds. It is there for what happens in its own time;
// a slow machine makes the test slow, not red.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for range 3000 {
		if ok() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("%s: not after 30 s", what)
}

func crewSize() int {
	if p := crew.list.Load(); p != nil {
		return len(*p)
	}
	return 0
}

// allDo is fn of a loop of n chunks that ends only when n goroutines run it.
func allDo(n int) func(lo, hi int) {
	var in atomic.Int64
	return func(lo, hi int) {
		for in.Add(1); in.Load() < int64(n); {
			runtime.Gosched()
		}
	}
}

func TestForUsesAllProcessors(t *testing.T) {
	for _, procs := range []int{2, 5, 3} {
		withProcs(t, procs, func() {
			// A helper may be asleep, awake or on its way out: each must do.
			for _, pause := range []time.Duration{0, lookout, 0, patience, 2 * patience} {
				time.Sleep(pause)
				For(procs, 1, allDo(procs))
			}
		})
	}
}

func TestForN(t *testing.T) {
	withProcs(t, 6, func() {
		for _, c := range []struct{ workers, most int }{{1, 1}, {2, 2}, {3, 3}, {100, 6}, {0, 6}, {-1, 6}} {
			var now, peak atomic.Int64
			var mu sync.Mutex
			var got [][2]int
			ForN(c.workers, 200, 3, func(lo, hi int) {
				n := now.Add(1)
				for p := peak.Load(); n > p && !peak.CompareAndSwap(p, n); p = peak.Load() {
				}
				runtime.Gosched()
				mu.Lock()
				got = append(got, [2]int{lo, hi})
				mu.Unlock()
				now.Add(-1)
			})
			if peak.Load() > int64(c.most) {
				t.Errorf("ForN(%d): %d goroutines at once, want at most %d", c.workers, peak.Load(), c.most)
			}
			if c.most == 1 && !slices.IsSortedFunc(got, func(a, b [2]int) int { return a[0] - b[0] }) {
				t.Errorf("ForN(%d): chunks out of order", c.workers)
			}
			covers(t, fmt.Sprintf("ForN(%d)", c.workers), got, 200, 3)
		}
	})
}

// Helpers end when nothing runs.
func TestHelpersEnd(t *testing.T) {
	withProcs(t, 4, func() { For(4, 1, func(lo, hi int) {}) })
	eventually(t, "no helper left", func() bool { return crewSize() == 0 })
}

// Fewer processors than helpers: the helpers of before are not used.
func TestForFollowsGOMAXPROCS(t *testing.T) {
	withProcs(t, 4, func() { For(64, 1, func(lo, hi int) {}) })
	withProcs(t, 1, func() {
		last := -1
		For(64, 1, func(lo, hi int) {
			if lo != last+1 {
				t.Errorf("chunk %d after %d", lo, last)
			}
			last = lo
		})
	})
}

// A loop below a loop, below a loop, from several goroutines, with panics here and
// there: everything is done exactly once and every panic arrives where it belongs.
func TestForStorm(t *testing.T) {
	rounds := 300
	if testing.Short() {
		rounds = 50
	}
	withProcs(t, 4, func() {
		var wait sync.WaitGroup
		for g := range 6 {
			wait.Go(func() {
				for r := range rounds {
					storm(t, g, r)
				}
			})
		}
		wait.Wait()
	})
}

func storm(t *testing.T, g, r int) {
	fails := (g+r)%7 == 0
	var sum atomic.Int64
	defer func() {
		switch v := recover(); {
		case fails && v != g*1000+r:
			t.Errorf("goroutine %d, round %d: recovered %v", g, r, v)
		case !fails && (v != nil || sum.Load() != 5*11*13):
			t.Errorf("goroutine %d, round %d: sum %d, panic %v", g, r, sum.Load(), v)
		}
	}()
	ForN(r%4, 5, 1, func(lo, hi int) {
		For(11, 1+r%3, func(a, b int) {
			ForN(2, 13*(b-a), 4, func(c, d int) {
				if fails && lo == 2 && a <= 6 && 6 < b && c == 0 {
					panic(g*1000 + r)
				}
				sum.Add(int64(d - c))
			})
		})
	})
}

// A test that fails inside fn ends the goroutine that runs it, be it the caller's
// or a helper's. Nothing may hang.
func TestForGoexit(t *testing.T) {
	withProcs(t, 3, func() {
		for range 20 {
			var ended sync.WaitGroup
			ended.Go(func() {
				For(30, 1, func(lo, hi int) {
					if lo >= 10 {
						runtime.Goexit()
					}
				})
			})
			ended.Wait()
		}
		var n atomic.Int64
		For(30, 1, func(lo, hi int) { n.Add(1) })
		if n.Load() != 30 {
			t.Errorf("%d chunks after that, want 30", n.Load())
		}
	})
}

// Loops and helpers are used again. Pools may forget, helpers may end: not often.
func TestForAllocates(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector lets pools forget on purpose")
	}
	const calls, most = 1000, 200
	fn := func(lo, hi int) {}
	for _, procs := range []int{1, 2} {
		withProcs(t, procs, func() {
			var before, after runtime.MemStats
			For(100, 1, fn)
			runtime.ReadMemStats(&before)
			for range calls {
				For(100, 1, fn)
			}
			runtime.ReadMemStats(&after)
			if n := after.Mallocs - before.Mallocs; n > most {
				t.Errorf("%d processors: %d allocations in %d calls", procs, n, calls)
			}
		})
	}
}

// BenchmarkFor is the cost of a loop with almost nothing in it.
func BenchmarkFor(b *testing.B) {
	var x [64]int64
	fn := func(lo, hi int) {
		for i := lo; i < hi; i++ {
			x[i]++
		}
	}
	for _, chunks := range []int{1, 2, 8, 64} {
		b.Run(map[int]string{1: "1 chunk", 2: "2 chunks", 8: "8 chunks", 64: "64 chunks"}[chunks], func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				For(64, 64/chunks, fn)
			}
		})
	}
}
