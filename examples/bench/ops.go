package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"runtime"
	"runtime/pprof"
	"slices"
	"text/tabwriter"
	"time"
)

// watcher is called before an op of a kind is computed; what it returns, right after.
type watcher func(what string) (done func())

// opShare is what all ops of a kind take of a step.
type opShare struct {
	Op    string  `json:"op"`
	Calls float64 `json:"calls"` // in a step
	Ms    float64 `json:"ms"`    // in a step
	Share float64 `json:"share"` // of the step
	// Vector is the part of the time that is spent in vector code: the project's
	// assembly and copies of memory; null where the profile has too little of the kind.
	Vector *float64 `json:"vector"`
	// Rest is the function that takes most of what is left.
	Rest string `json:"rest,omitempty"`
	// Others is the part of the kind's time in each function that is no vector code, of one percent or more.
	Others map[string]float64 `json:"others,omitempty"`
}

const (
	opsSteps    = 5               // that are timed, at least
	opsTime     = time.Second     // and for so long
	profileTime = 4 * time.Second // steps under the profiler, at least two
	fewSamples  = 5               // that say nothing
	outside     = "between ops"
)

// shares measures what each kind of op takes, with a clock, and where in the code it is
// then, with the profiler. The latter is done on one processor, where all of an op runs
// in one goroutine: which code runs does not depend on their number.
func (o options) shares(ctx context.Context, w work) ([]opShare, error) {
	defer w.watch(nil)
	steps := func(least int, long time.Duration) (n int, spent time.Duration, err error) {
		for start := time.Now(); n < least || time.Since(start) < long; n++ {
			if ctx.Err() != nil {
				return n, spent, fmt.Errorf("stopped: %w", context.Cause(ctx))
			}
			t := time.Now()
			if err := w.step(); err != nil {
				return n, spent, err
			}
			spent += time.Since(t)
		}
		return n, spent, nil
	}
	c := clock{}
	w.watch(c.start)
	n, all, err := steps(opsSteps, opsTime)
	if err != nil {
		return nil, err
	}
	w.watch(label)
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	var raw bytes.Buffer
	if err := pprof.StartCPUProfile(&raw); err != nil {
		return nil, err
	}
	_, _, err = steps(2, profileTime)
	pprof.StopCPUProfile()
	if err != nil {
		return nil, err
	}
	where, err := places(raw.Bytes())
	if err != nil {
		return nil, fmt.Errorf("profile: %w", err)
	}
	return c.table(n, all, where), nil
}

// clock adds up the time of each kind of op.
type clock map[string]*struct {
	calls int
	spent time.Duration
}

func (c clock) start(what string) func() {
	if c[what] == nil {
		c[what] = &struct {
			calls int
			spent time.Duration
		}{}
	}
	k, start := c[what], time.Now()
	return func() { k.calls, k.spent = k.calls+1, k.spent+time.Since(start) }
}

// table sorts the kinds by their share of n steps.
func (c clock) table(n int, all time.Duration, where map[string]*place) []opShare {
	var out []opShare
	rest := all
	add := func(what string, calls int, spent time.Duration) {
		s := opShare{Op: what, Calls: round(float64(calls)/float64(n), 1), Ms: round(spent.Seconds()*1e3/float64(n), 4),
			Share: round(spent.Seconds()/all.Seconds(), 4)}
		if p := where[what]; p != nil && p.samples >= fewSamples {
			v := round(float64(p.vector)/float64(p.samples), 3)
			s.Vector, s.Rest, s.Others = &v, p.slowest(), p.parts()
		}
		out = append(out, s)
	}
	for what, k := range c {
		add(what, k.calls, k.spent)
		rest -= k.spent
	}
	add(outside, 1, rest)
	slices.SortFunc(out, func(a, b opShare) int {
		return cmp.Or(cmp.Compare(b.Share, a.Share), cmp.Compare(a.Op, b.Op))
	})
	return out
}

// label marks the samples of the profile with the kind of op.
func label(what string) func() {
	pprof.SetGoroutineLabels(pprof.WithLabels(context.Background(), pprof.Labels(opLabel, what)))
	return func() { pprof.SetGoroutineLabels(context.Background()) }
}

// opLabel is the key of the label.
const opLabel = "op"

// printShares writes the table for people.
func printShares(out io.Writer, all []opShare) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "ms\tof step\tcalls\tvector code\t")
	for _, s := range all {
		vector := "?"
		if s.Vector != nil {
			vector = fmt.Sprintf("%.0f %%", 100*(*s.Vector))
		}
		rest := ""
		if s.Rest != "" {
			rest = ", else " + s.Rest
		}
		fmt.Fprintf(w, "%.3f\t%.1f %%\t%.0f\t%s%s\t  %s\n", s.Ms, 100*s.Share, s.Calls, vector, rest, s.Op)
	}
	return w.Flush()
}
