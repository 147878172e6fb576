package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/goqat/goqat/internal/kern"
)

const (
	trainWarmup, trainSteps = 3, 30
	// Running a network takes from 0.05 ms on: there the time is given, not the
	// number of steps.
	runWarmup, runLeast, runTime = 10, 30, time.Second
)

// work is what is measured.
type work struct {
	params int                     // learned values
	step   func() error            // one step
	loss   func() (float64, error) // of the last step; nil if there is none
	close  func()
}

// result is what -json prints.
type result struct {
	Model      string   `json:"model"`
	Mode       string   `json:"mode"`
	Batch      int      `json:"batch"`
	Threads    int      `json:"threads"`
	Steps      int      `json:"steps"`
	Bits       int      `json:"bits"`
	MsPerStep  float64  `json:"ms_per_step"` // median
	MsBest     float64  `json:"ms_best"`
	ItemsPerS  float64  `json:"items_per_s"`
	Unit       string   `json:"unit"`
	Params     int      `json:"params"`
	FinalLoss  *float64 `json:"final_loss,omitempty"`
	BytesStep  uint64   `json:"bytes_per_step"`  // allocated on the Go heap
	AllocsStep float64  `json:"allocs_per_step"` // number of allocations
	PeakRSS    int64    `json:"peak_rss"`        // bytes; 0 where the system does not say
	SIMD       string   `json:"simd"`
}

// infers says that the mode runs a network instead of training it.
func (o options) infers() bool { return o.mode == "run" || o.mode == "forward" }

// measure runs the steps. A cancelled ctx ends it after the current one.
func (o options) measure(ctx context.Context, w work) (result, error) {
	warmup, steps, least := trainWarmup, o.steps, time.Duration(0)
	if o.infers() {
		warmup = runWarmup
	}
	switch {
	case steps > 0:
	case o.infers():
		steps, least = runLeast, runTime
	default:
		steps = trainSteps
	}
	once := func() error {
		if ctx.Err() != nil {
			return fmt.Errorf("stopped: %w", context.Cause(ctx))
		}
		return w.step()
	}
	for i := range warmup {
		if err := once(); err != nil {
			return result{}, fmt.Errorf("warm-up step %d: %w", i, err)
		}
	}
	var times []time.Duration
	times = slices.Grow(times, maxSteps/16)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for start := time.Now(); len(times) < steps || time.Since(start) < least; {
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
	r := result{Model: o.model, Mode: o.mode, Batch: o.batch, Threads: o.threads, Steps: n, Bits: o.bits,
		MsPerStep: round(median.Seconds()*1e3, 4), MsBest: round(times[0].Seconds()*1e3, 4),
		ItemsPerS: round(float64(o.batch)/median.Seconds(), 1), Unit: "images", Params: w.params,
		BytesStep:  (after.TotalAlloc - before.TotalAlloc) / uint64(n),
		AllocsStep: round(float64(after.Mallocs-before.Mallocs)/float64(n), 1),
		PeakRSS:    peakRSS(), SIMD: kern.CurrentLevel().String()}
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

// round keeps some digits after the point.
func round(v float64, digits int) float64 {
	v, _ = strconv.ParseFloat(strconv.FormatFloat(v, 'f', digits, 64), 64)
	return v
}

// peakRSS is the largest amount of memory that the process had so far, in bytes, as
// Linux counts it; 0 elsewhere.
func peakRSS() int64 {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range bytes.Lines(text) {
		if rest, ok := bytes.CutPrefix(line, []byte("VmHWM:")); ok {
			kib, _ := strconv.ParseInt(string(bytes.TrimSpace(bytes.TrimSuffix(bytes.TrimSpace(rest), []byte("kB")))), 10, 64)
			return kib << 10
		}
	}
	return 0
}

// table prints the result for people.
func (r result) table(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "%s, %s\tbatch %d, %d threads, %s\n", r.Model, r.Mode, r.Batch, r.Threads, r.SIMD)
	fmt.Fprintf(w, "median step\t%.3f ms\t(best %.3f ms, of %d)\n", r.MsPerStep, r.MsBest, r.Steps)
	fmt.Fprintf(w, "%s per second\t%.0f\n", r.Unit, r.ItemsPerS)
	fmt.Fprintf(w, "allocated per step\t%d bytes\t(%.1f times)\n", r.BytesStep, r.AllocsStep)
	if r.PeakRSS > 0 {
		fmt.Fprintf(w, "peak memory\t%.1f MiB\n", float64(r.PeakRSS)/(1<<20))
	}
	fmt.Fprintf(w, "parameters\t%d\n", r.Params)
	if r.FinalLoss != nil {
		fmt.Fprintf(w, "last loss\t%.4f\n", *r.FinalLoss)
	}
	return w.Flush()
}
