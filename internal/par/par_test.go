package par

import (
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
)

// withProcs runs fn with the given GOMAXPROCS and puts the old value back.
func withProcs(t *testing.T, n int, fn func()) {
	t.Helper()
	old := runtime.GOMAXPROCS(n)
	defer runtime.GOMAXPROCS(old)
	fn()
}

func TestForChunks(t *testing.T) {
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
	for _, procs := range []int{1, 4} {
		withProcs(t, procs, func() {
			for _, c := range cases {
				var mu sync.Mutex
				var got [][2]int
				For(c.n, c.grain, func(lo, hi int) {
					mu.Lock()
					defer mu.Unlock()
					got = append(got, [2]int{lo, hi})
				})
				slices.SortFunc(got, func(a, b [2]int) int { return a[0] - b[0] })
				if !slices.Equal(got, c.want) {
					t.Errorf("%d processors, For(%d, %d): chunks %v, want %v", procs, c.n, c.grain, got, c.want)
				}
			}
		})
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
