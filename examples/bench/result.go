package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strconv"
	"text/tabwriter"
)

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

	Ops []opShare `json:"ops,omitempty"` // with -ops
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
	if err := w.Flush(); err != nil || r.Ops == nil {
		return err
	}
	return printShares(out, r.Ops)
}
