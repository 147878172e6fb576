package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// This file compares each network with the same one in plain Gorgonia.

// twin is one column of the table.
type twin struct {
	title string
	mode  string
	plain bool
}

var twins = []twin{
	{"models float", "float", false}, {"models qat", "qat", false},
	{"plain float", "float", true}, {"plain qat", "qat", true}, {"stock Gorgonia", "stock", true},
}

// twinRounds is how often the columns take turns, so that all share whatever else the
// machine does; the best step of each counts.
const twinRounds, twinSteps = 10, 3

// printTwins prints the training step of every network: of package models and in plain Gorgonia, in
// float and quantized, and as Gorgonia itself trains it.
func printTwins(ctx context.Context, o options, out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(w, "batch, ms a step\t")
	for _, t := range twins {
		fmt.Fprint(w, t.title, "\t")
	}
	fmt.Fprint(w, "plain qat/float\tplain/models qat\tstock/plain qat\t\n")
	for _, model := range modelNames() {
		o.model = model
		o.batch = 64
		if recurrent[model] != nil {
			o.batch = 32
		}
		ms, err := o.twins(ctx)
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "%s, %d\t", model, o.batch)
		for _, t := range ms {
			fmt.Fprint(w, number(t.Seconds()*1e3), "\t")
		}
		for _, pair := range [][2]int{{3, 2}, {3, 1}, {4, 3}} {
			ratio := 0.0
			if ms[pair[1]] > 0 {
				ratio = ms[pair[0]].Seconds() / ms[pair[1]].Seconds()
			}
			fmt.Fprint(w, number(ratio), "\t")
		}
		fmt.Fprintln(w)
	}
	return w.Flush()
}

// number prints what was measured; 0 is nothing.
func number(v float64) string {
	if v == 0 {
		return ""
	}
	return strings.TrimSpace(fmt.Sprintf("%8.2f", v))
}

// twins measures the columns for one network; 0 where there is no such.
func (o options) twins(ctx context.Context) ([]time.Duration, error) {
	ms := make([]time.Duration, len(twins))
	var works [5]*work
	for i, t := range twins {
		o.mode, o.plain = t.mode, t.plain
		if o.missing() != "" {
			continue
		}
		w, err := prepare(o)
		if err != nil {
			return nil, fmt.Errorf("%s, %s: %w", o.model, t.title, err)
		}
		defer w.close()
		works[i] = &w
	}
	for round := range twinRounds {
		for i, w := range works {
			for range twinSteps {
				if w == nil {
					continue
				}
				if ctx.Err() != nil {
					return nil, fmt.Errorf("stopped: %w", context.Cause(ctx))
				}
				start := time.Now()
				if err := w.step(); err != nil {
					return nil, fmt.Errorf("%s, %s: %w", o.model, twins[i].title, err)
				}
				if took := time.Since(start); round > 0 && (ms[i] == 0 || took < ms[i]) {
					ms[i] = took
				}
			}
		}
	}
	return ms, nil
}
