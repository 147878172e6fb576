// Bench measures how long a step takes: of training a network in float32, of
// training it quantized, or of running the float network or the frozen integer one.
//
//	go run ./examples/bench -model convnet -mode qat
//	go run ./examples/bench -model resnet8 -mode run -batch 1 -threads 1 -json
//	go run ./examples/bench -onnx resnet18.onnx -mode run -batch 8 -export resnet18_int8.onnx
//	go run ./examples/bench -model mobile -mode qat -ops
//	go run ./examples/bench -model lstm -mode stock
//	go run ./examples/bench -twins
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
	if o.compare {
		return printTwins(ctx, o, stdout)
	}
	work, err := prepare(o)
	if err != nil {
		return fmt.Errorf("%s, %s: %w", o.network(), o.mode, err)
	}
	defer work.close()
	r, err := o.measureProfiled(ctx, work)
	if err != nil {
		return fmt.Errorf("%s, %s: %w", o.network(), o.mode, err)
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
