// Bench measures how long a step takes: of training a network in float32, of
// training it quantized, or of running the float network or the frozen integer one.
//
//	go run ./examples/bench -model convnet -mode qat
//	go run ./examples/bench -model resnet8 -mode run -batch 1 -threads 1 -json
//	go run ./examples/bench -kernels
//
// A training step is the forward pass, cross entropy, the backward pass and Adam on
// a batch of random numbers; the median of the steps counts, after a few to warm
// up. The network runs with random weights: time does not depend on accuracy.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"

	"github.com/sirupsen/logrus"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		logrus.Error(err)
		os.Exit(1)
	}
}

// options are the command line.
type options struct {
	model   string
	mode    string
	batch   int
	threads int
	steps   int
	bits    int
	json    bool
	kernels bool
	profile string
}

// Limits of what the flags take; more is a slip of the finger.
const (
	maxBatch = 1 << 16
	maxSteps = 1 << 20
)

func parse(args []string) (options, error) {
	var o options
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.StringVar(&o.model, "model", "convnet", "network: "+strings.Join(modelNames(), ", "))
	f.StringVar(&o.mode, "mode", "qat", "what to measure: "+strings.Join(modeNames, ", ")+
		" (stock: Gorgonia's own ops, machine and solver; run: the frozen integer network; forward: the float network without training)")
	f.IntVar(&o.batch, "batch", 64, "rows per step")
	f.IntVar(&o.threads, "threads", runtime.GOMAXPROCS(0), "processors to use (GOMAXPROCS)")
	f.IntVar(&o.steps, "steps", 0, "steps to measure; 0: 30 in training, as many as take a second without training")
	f.IntVar(&o.bits, "bits", 8, "bits of the weights, 2 to 8; activations have 8")
	f.BoolVar(&o.json, "json", false, "print one JSON object, in one line, instead of the table")
	f.BoolVar(&o.kernels, "kernels", false, "print the rates of the kernels and nothing else, for one processor and for -threads")
	f.StringVar(&o.profile, "cpuprofile", "", "write a CPU profile of the measured steps to this file")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	switch {
	case f.NArg() > 0:
		return o, fmt.Errorf("unexpected argument %q", f.Arg(0))
	case nets[o.model] == nil:
		return o, fmt.Errorf("-model %q: want one of %s", o.model, strings.Join(modelNames(), ", "))
	case !slices.Contains(modeNames, o.mode):
		return o, fmt.Errorf("-mode %q: want one of %s", o.mode, strings.Join(modeNames, ", "))
	case o.batch < 1 || o.batch > maxBatch:
		return o, fmt.Errorf("-batch %d: want 1 to %d", o.batch, maxBatch)
	case o.threads < 1:
		return o, fmt.Errorf("-threads %d: want at least 1", o.threads)
	case o.steps < 0 || o.steps > maxSteps:
		return o, fmt.Errorf("-steps %d: want 0 to %d", o.steps, maxSteps)
	case o.bits < 2 || o.bits > 8:
		return o, fmt.Errorf("-bits %d: want 2 to 8", o.bits)
	case o.kernels && o.json:
		return o, errors.New("-kernels prints a table only: leave -json out")
	}
	return o, nil
}

func run(ctx context.Context, args []string, stdout io.Writer) error {
	o, err := parse(args)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(o.threads))
	if o.kernels {
		return kernels(ctx, o, stdout)
	}
	work, err := prepare(o)
	if err != nil {
		return fmt.Errorf("%s, %s: %w", o.model, o.mode, err)
	}
	defer work.close()
	r, err := o.measureProfiled(ctx, work)
	if err != nil {
		return fmt.Errorf("%s, %s: %w", o.model, o.mode, err)
	}
	if o.json {
		return json.NewEncoder(stdout).Encode(r)
	}
	return r.table(stdout)
}

// measureProfiled is measure under the profiler where that is asked for.
func (o options) measureProfiled(ctx context.Context, w work) (r result, err error) {
	if o.profile == "" {
		return o.measure(ctx, w)
	}
	f, err := os.Create(o.profile)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := pprof.StartCPUProfile(f); err != nil {
		return r, err
	}
	defer pprof.StopCPUProfile()
	return o.measure(ctx, w)
}
