// Finetune takes a float ONNX model of handwritten digits, as any framework exports
// one, quantizes it, wins back by training what that costs, and writes the result for
// three runtimes:
//
//	go run ./examples/finetune -make                 # trains a small model, to have one
//	go run ./examples/finetune                       # quantizes it; writes into finetune-out
//	go run ./examples/finetune -model other.onnx
//
// Where ONNX Runtime is installed (package internal/ort says how), it also runs the
// exported file and compares.
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
	model  string
	create bool
	out    string
	bits   int
	config string
	epochs int
	seed   uint64
	quick  bool
	json   bool
}

// Defaults.
const (
	defaultModel = "finetune-out/float.onnx"
	quickEpochs  = 2 // with -quick
)

func parse(args []string) (options, error) {
	var o options
	f := flag.NewFlagSet("finetune", flag.ContinueOnError)
	f.StringVar(&o.model, "model", defaultModel, "float ONNX model to quantize: one input [batch, 1, 8, 8], one output [batch, 10]")
	f.BoolVar(&o.create, "make", false, "train a small float model, write it to the -model file and do nothing else")
	f.StringVar(&o.out, "out", "finetune-out", "folder for the exported files")
	f.IntVar(&o.bits, "bits", 4, "bits of the weights, 2 to 8; activations have 8")
	f.StringVar(&o.config, "config", "", "goqat config, YAML or JSON, in place of -bits")
	f.IntVar(&o.epochs, "epochs", 20, "epochs of training")
	f.Uint64Var(&o.seed, "seed", 0, "seed of weights and shuffling")
	f.BoolVar(&o.quick, "quick", false, "a few seconds: 2 epochs")
	f.BoolVar(&o.json, "json", false, "print one JSON object instead of text")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if o.quick {
		o.epochs = quickEpochs
	}
	switch {
	case f.NArg() > 0:
		return o, fmt.Errorf("unexpected argument %q", f.Arg(0))
	case o.model == "":
		return o, errors.New("-model is empty: name a float ONNX model")
	case o.epochs < 1:
		return o, fmt.Errorf("-epochs %d: want at least 1", o.epochs)
	}
	return o, nil
}

func run(ctx context.Context, args []string, stdout io.Writer) error {
	o, err := parse(args)
	if err == flag.ErrHelp {
		return nil
	}
	if err != nil {
		return err
	}
	var r interface{ text(io.Writer) error }
	if o.create {
		r, err = makeModel(ctx, o)
	} else {
		r, err = finetune(ctx, o)
	}
	if err != nil {
		return err
	}
	if o.json {
		return json.NewEncoder(stdout).Encode(r)
	}
	return r.text(stdout)
}
