package main

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"time"

	"github.com/goqat/goqat/internal/kern"
)

const (
	trainWarmup, trainSteps = 3, 30
	// Running a network takes from 0.05 ms to seconds: there the time is given, not the
	// number of steps.
	runWarmup, runWarmupTime = 10, time.Second / 2
	runLeast, runTime        = 30, time.Second    // whatever takes longer, but
	runFew, runMost          = 5, 5 * time.Second // no longer than this from some steps on
)

// work is what is measured.
type work struct {
	params int                     // learned values
	unit   string                  // what a row of the batch is
	step   func() error            // one step
	loss   func() (float64, error) // of the last step; nil if there is none
	watch  func(watcher)           // has the kinds of ops reported; nil ends it
	close  func()
}

// infers says that the mode runs a network instead of training it.
func (o options) infers() bool { return o.mode == "run" || o.mode == "forward" }

// warming says whether another step to warm up follows the first n.
func (o options) warming(n int, spent time.Duration) bool {
	if o.infers() {
		return n < 1 || n < runWarmup && spent < runWarmupTime
	}
	return n < trainWarmup
}

// goesOn says whether another step is to be measured after the first n.
func (o options) goesOn(n int, spent time.Duration) bool {
	switch {
	case o.steps > 0:
		return n < o.steps
	case !o.infers():
		return n < trainSteps
	case spent > runMost:
		return n < runFew
	}
	return n < runLeast || spent < runTime
}

// measure runs the steps. A cancelled ctx ends it after the current one.
func (o options) measure(ctx context.Context, w work) (r result, err error) {
	once := func() error {
		if ctx.Err() != nil {
			return fmt.Errorf("stopped: %w", context.Cause(ctx))
		}
		return w.step()
	}
	for i, start := 0, time.Now(); o.warming(i, time.Since(start)); i++ {
		if err := once(); err != nil {
			return result{}, fmt.Errorf("warm-up step %d: %w", i, err)
		}
	}
	var times []time.Duration
	times = slices.Grow(times, maxSteps/16)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for start := time.Now(); o.goesOn(len(times), time.Since(start)); {
		t := time.Now()
		if err := once(); err != nil {
			return result{}, fmt.Errorf("step %d: %w", len(times), err)
		}
		times = append(times, time.Since(t))
	}
	runtime.ReadMemStats(&after)
	n := len(times)
	slices.Sort(times)
	median := (times[(n-1)/2] + times[n/2]) / 2
	r = result{Model: o.network(), Mode: o.mode, Batch: o.batch, Threads: o.threads, Steps: n, Bits: o.bits,
		MsPerStep: round(median.Seconds()*1e3, 4), MsBest: round(times[0].Seconds()*1e3, 4),
		ItemsPerS: round(float64(o.batch)/median.Seconds(), 1), Unit: w.unit, Params: w.params,
		BytesStep:  (after.TotalAlloc - before.TotalAlloc) / uint64(n),
		AllocsStep: round(float64(after.Mallocs-before.Mallocs)/float64(n), 1),
		PeakRSS:    peakRSS(), SIMD: kern.CurrentLevel().String()}
	if o.ops {
		if r.Ops, err = o.shares(ctx, w); err != nil {
			return result{}, err
		}
	}
	if w.loss != nil {
		loss, err := w.loss()
		if err != nil {
			return result{}, err
		}
		loss = round(loss, 4)
		r.FinalLoss = &loss
	}
	return r, nil
}
