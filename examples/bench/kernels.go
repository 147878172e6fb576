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
const nameWidth = 50

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
	bounds := make([]map[peak]float64, len(counts))
	for i := range bounds {
		bounds[i] = map[peak]float64{}
	}
	for _, s := range sections() {
		fmt.Fprintf(out, "\n%s, %s\n", s.title, s.unit)
		for _, k := range s.kernels() {
			fmt.Fprintf(out, "%-*s", nameWidth, "  "+k.name)
			for i, n := range counts {
				if ctx.Err() != nil {
					return fmt.Errorf("stopped: %w", context.Cause(ctx))
				}
				rate, of := k.rate(n), bounds[i]
				if s.bound != noPeak {
					of[s.bound] = max(of[s.bound], rate)
				}
				fmt.Fprintf(out, "%12.1f %8s", rate/1e9, share(rate, of[k.peak]))
			}
			fmt.Fprintln(out)
		}
	}
	return nil
}

// share is a rate in percent of its bound, which is 0 if nobody knows it.
func share(rate, bound float64) string {
	if bound == 0 {
		return ""
	}
	return fmt.Sprintf("%.0f %%", 100*rate/bound)
}

// rate calls the kernel on n processors and returns work per second.
func (k kernel) rate(n int) float64 {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(n))
	k.call()
	k.call()
	best := 0.0
	for start := time.Now(); time.Since(start) < kernelTime; {
		t := time.Now()
		work := k.call()
		best = max(best, work/max(time.Since(t).Seconds(), 1e-9))
	}
	return best
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
