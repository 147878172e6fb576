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

// withProcs runs fn with the given GOMAXPROCS and puts the old value back.
func withProcs(t *testing.T, n int, fn func()) {
	t.Helper()
	old := runtime.GOMAXPROCS(n)
	defer runtime.GOMAXPROCS(old)
	fn()
}

func TestForInOrder(t *testing.T) {
	cases := []struct {
		n, grain int
		want     [][2]int
	}{
		{0, 4, nil},
		{-3, 4, nil},
		{1, 4, [][2]int{{0, 1}}},
		{4, 4, [][2]int{{0, 4}}},
		{9, 4, [][2]int{{0, 4}, {4, 8}, {8, 9}}},
		{3, 0, [][2]int{{0, 1}, {1, 2}, {2, 3}}},
		{3, int(^uint(0) >> 1), [][2]int{{0, 3}}},
	}
	withProcs(t, 1, func() {
		for _, c := range cases {
			var got [][2]int
			For(c.n, c.grain, func(lo, hi int) { got = append(got, [2]int{lo, hi}) })
			if !slices.Equal(got, c.want) {
				t.Errorf("For(%d, %d): chunks %v, want %v", c.n, c.grain, got, c.want)
			}
		}
	})
}

// covers checks that chunks are [0, n), each once and of at most grain.
func covers(t *testing.T, what string, got [][2]int, n, grain int) {
	t.Helper()
	slices.SortFunc(got, func(a, b [2]int) int { return a[0] - b[0] })
	at := 0
	for _, c := range got {
		if c[0] != at || c[1] <= at || c[1]-at > max(grain, 1) {
			t.Fatalf("%s: chunk %v after %d", what, c, at)
		}
		at = c[1]
	}
	if at != n {
		t.Fatalf("%s: covered %d", what, at)
	}
}

func TestForCovers(t *testing.T) {
	for _, procs := range []int{1, 2, 3, 7} {
		withProcs(t, procs, func() {
			for n := range 70 {
				for _, grain := range []int{0, 1, 2, 5, 16, 100} {
					var mu sync.Mutex
					var got [][2]int
					For(n, grain, func(lo, hi int) {
						mu.Lock()
						defer mu.Unlock()
						got = append(got, [2]int{lo, hi})
					})
					covers(t, fmt.Sprintf("%d processors, For(%d, %d)", procs, n, grain), got, n, grain)
				}
			}
		})
	}
}

// TestForShares: every goroutine keeps its part of the data from loop to loop, wherever
// that is worth it, and leaves none behind where somebody does not come.
func TestForShares(t *testing.T) {
	l := &loop{grain: 3, fn: func(lo, hi int) {}}
	l.deal(2, 20)
	if a, b := l.shares[0].left(), l.shares[1].left(); a != 10 || b != 10 {
		t.Fatalf("shares of %d and %d", a, b)
	}
	l.shares[1].owned.Store(true)
	// Times are given here: an idle loop may take long on a busy processor.
	l.help(0, float64(theftWorth)/10)
	if a, b := l.shares[0].left(), l.shares[1].left(); a != 10 || b != 10 {
		t.Errorf("a little of an owner's is left: %d and %d", a, b)
	}
	if lo, hi := l.shares[1].take(3, true); lo != 17 || hi != 20 {
		t.Errorf("a thief got [%d, %d)", lo, hi)
	}
	if lo, hi := l.shares[1].take(3, false); lo != 10 || hi != 13 {
		t.Errorf("the owner got [%d, %d)", lo, hi)
	}
	l.deal(2, 20)
	l.shares[1].owned.Store(true)
	l.help(0, float64(theftWorth)/5) // what is left is worth it until there are five or less
	if n := l.shares[1].left(); n != 4 {
		t.Errorf("%d left of a busy owner's, want 4", n)
	}
	l.deal(2, 20)
	l.shares[1].owned.Store(true)
	l.fn = func(lo, hi int) { time.Sleep(4 * theftWorth) }
	if l.work(0); l.shares[0].left() != 0 || l.shares[1].left() != 0 {
		t.Errorf("%d and %d left with a slow owner", l.shares[0].left(), l.shares[1].left())
	}
	l.fn = func(lo, hi int) {}
	l.deal(3, 20)
	if l.work(1); l.shares[0].left() != 0 || l.shares[2].left() != 0 {
		t.Errorf("%d and %d left of shares that nobody has", l.shares[0].left(), l.shares[2].left())
	}
}

func TestForNested(t *testing.T) {
	withProcs(t, 4, func() {
		var sum atomic.Int64
		For(20, 1, func(lo, hi int) {
			For(30, 7, func(a, b int) { sum.Add(int64(b - a)) })
		})
		if sum.Load() != 600 {
			t.Errorf("covered %d elements, want 600", sum.Load())
		}
	})
}

func TestForPanic(t *testing.T) {
	for _, procs := range []int{1, 4} {
		for _, at := range []int{0, 57, 99} {
			withProcs(t, procs, func() {
				defer func() {
					if v := recover(); v != "boom" {
						t.Errorf("%d processors, panic at %d: recovered %v, want boom", procs, at, v)
					}
				}()
				For(100, 1, func(lo, hi int) {
					if lo == at {
						panic("boom")
					}
				})
				t.Errorf("%d processors, panic at %d: For returned", procs, at)
			})
		}
	}
}

func TestForConcurrentCallers(t *testing.T) {
	withProcs(t, 4, func() {
		var wait sync.WaitGroup
		for range 8 {
			wait.Go(func() {
				seen := make([]int, 101)
				For(len(seen), 10, func(lo, hi int) {
					for i := lo; i < hi; i++ {
						seen[i]++
					}
				})
				for i, n := range seen {
					if n != 1 {
						t.Errorf("element %d visited %d times", i, n)
					}
				}
			})
		}
		wait.Wait()
	})
}
