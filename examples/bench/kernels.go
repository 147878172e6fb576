package main

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"time"

	"github.com/goqat/goqat/internal/kern"
	"github.com/goqat/goqat/internal/par"
)

// kernel is one row of the table: calls of a kernel with a fixed problem.
type kernel struct {
	name string
	peak peak           // what the rate is compared with
	call func() float64 // returns the operations or bytes of the call
}

// peak is an upper bound of a rate.
type peak int

const (
	noPeak    peak = iota
	floatPeak      // fused multiply-adds in registers
	bytePeak       // products of bytes in registers
	copyPeak       // the built-in copy on large memory
)

// kernelTime is how long each kernel is called, after two calls to warm up; the
// fastest call counts.
const kernelTime = 100 * time.Millisecond

// nameWidth is the width of the table's first column.
const nameWidth = 52

// kernels prints the rates of all kernels with one processor and with o.threads.
func kernels(ctx context.Context, o options, out io.Writer) error {
	counts := []int{1}
	if o.threads > 1 {
		counts = append(counts, o.threads)
	}
	fmt.Fprintf(out, "level %v\n%-*s", kern.CurrentLevel(), nameWidth, "")
	for _, n := range counts {
		fmt.Fprintf(out, "%12s %8s", fmt.Sprintf("%d procs", n), "of peak")
	}
	fmt.Fprintln(out)
	bounds := make([]map[peak]bound, len(counts))
	for i := range bounds {
		bounds[i] = map[peak]bound{}
	}
	for _, s := range sections() {
		fmt.Fprintf(out, "\n%s, %s\n", s.title, s.unit)
		all := s.kernels()
		for j := range all {
			k := &all[j]
			fmt.Fprintf(out, "%-*s", nameWidth, "  "+k.name)
			for i, n := range counts {
				if ctx.Err() != nil {
					return fmt.Errorf("stopped: %w", context.Cause(ctx))
				}
				of := bounds[i]
				rate, share := k.rate(n, of[k.peak].kernel)
				if s.bound != noPeak && rate > 0 { // the peak loops do nothing without vector instructions
					of[s.bound] = of[s.bound].or(bound{k, rate})
					share = rate / of[s.bound].rate
				}
				fmt.Fprintf(out, "%12.1f %8s", rate/1e9, percent(share))
			}
			fmt.Fprintln(out)
		}
	}
	return nil
}

// bound is the fastest kernel of its kind so far.
type bound struct {
	kernel *kernel
	rate   float64
}

func (b bound) or(c bound) bound {
	if c.rate > b.rate {
		return c
	}
	return b
}

// percent writes a share of a bound; 0 means that nobody knows it.
func percent(share float64) string {
	if share == 0 {
		return ""
	}
	return fmt.Sprintf("%.0f %%", 100*share)
}

// rate calls the kernel on n processors and returns work per second in the fastest call.
// In turns with it, it calls the bound, of, unless that is nil, for at least as long as the
// kernel took: share is the fastest call's part of the fastest such stretch, 0 without a
// bound. A processor that has others to serve too, or to keep cool, is not for milliseconds
// what it is for a microsecond.
func (k kernel) rate(n int, of *kernel) (best, share float64) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(n))
	k.call()
	k.call()
	most := 0.0
	for spent := time.Duration(0); spent < kernelTime; {
		work, d := timed(k.call)
		best, spent = max(best, work/d.Seconds()), spent+d
		if of == nil {
			continue
		}
		all, took := 0.0, time.Duration(0)
		for took < d {
			work, d := timed(of.call)
			all, took = all+work, took+d
		}
		most = max(most, all/took.Seconds())
	}
	if most > 0 {
		share = best / most
	}
	return best, share
}

// timed calls fn, which returns the work that it does. The time is more than 0.
func timed(fn func() float64) (work float64, d time.Duration) {
	start := time.Now()
	work = fn()
	return work, max(time.Since(start), 1)
}

// everywhere calls fn, which does the given work, on each processor at once and
// returns all work done.
func everywhere(fn func() float64) (work float64) {
	n := runtime.GOMAXPROCS(0)
	done := make([]float64, n)
	par.For(n, 1, func(lo, hi int) { done[lo] = fn() })
	for _, v := range done {
		work += v
	}
	return work
}
