package main

import (
	"errors"
	"flag"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// options are the command line.
type options struct {
	model   string
	onnx    string // a file in place of model
	tokens  int    // inputs of the file are whole numbers below this; 0: real numbers
	export  string // file for the QDQ model of what mode run runs
	mode    string
	plain   bool // the network of Gorgonia's own ops
	compare bool // the table of twins
	batch   int
	threads int
	steps   int
	bits    int
	json    bool
	kernels bool
	ops     bool
	profile string
}

// Limits of what the flags take; more is a slip of the finger.
const (
	maxBatch = 1 << 16
	maxSteps = 1 << 20
	maxToken = 1 << 24 // float32 holds all whole numbers up to here
)

func parse(args []string) (options, error) {
	var o options
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.StringVar(&o.model, "model", "convnet", "network: "+strings.Join(modelNames(), ", "))
	f.StringVar(&o.onnx, "onnx", "", "measure the network of this ONNX file instead of -model")
	f.IntVar(&o.tokens, "tokens", 0, "the inputs of the -onnx file are whole numbers below this; 0: real numbers")
	f.StringVar(&o.export, "export", "", "with -mode run: write the frozen network to this file, as ONNX in QDQ form")
	f.StringVar(&o.mode, "mode", "qat", "what to measure: "+strings.Join(modeNames, ", ")+
		" (stock: Gorgonia's own ops, machine and solver; run: the frozen integer network; forward: the float network without training)")
	f.BoolVar(&o.plain, "plain", false, "the network written in plain Gorgonia instead of package models (recurrent ones always are)")
	f.BoolVar(&o.compare, "twins", false, "print the training steps of all networks, of package models, in plain Gorgonia and with Gorgonia alone, and nothing else")
	f.IntVar(&o.batch, "batch", 64, "rows per step")
	f.IntVar(&o.threads, "threads", runtime.GOMAXPROCS(0), "processors to use (GOMAXPROCS)")
	f.IntVar(&o.steps, "steps", 0, "steps to measure; 0: 30 in training, as many as take a second without training")
	f.IntVar(&o.bits, "bits", 8, "bits of the weights, 2 to 8; activations have 8")
	f.BoolVar(&o.json, "json", false, "print one JSON object, in one line, instead of the table")
	f.BoolVar(&o.kernels, "kernels", false, "print the rates of the kernels and nothing else, for one processor and for -threads")
	f.BoolVar(&o.ops, "ops", false, "list each kind of op with its share of a step and the part of its time in vector code")
	f.StringVar(&o.profile, "cpuprofile", "", "write a CPU profile of the measured steps to this file")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	given := map[string]bool{}
	f.Visit(func(f *flag.Flag) { given[f.Name] = true })
	switch {
	case f.NArg() > 0:
		return o, fmt.Errorf("unexpected argument %q", f.Arg(0))
	case !slices.Contains(modelNames(), o.model):
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
	case o.onnx != "" && given["model"]:
		return o, errors.New("-onnx and -model both name a network: leave one out")
	case o.onnx == "" && o.tokens != 0:
		return o, errors.New("-tokens is about the inputs of an -onnx file: give one")
	case o.tokens < 0 || o.tokens > maxToken:
		return o, fmt.Errorf("-tokens %d: want 0 to %d", o.tokens, maxToken)
	case o.export != "" && o.mode != "run":
		return o, fmt.Errorf("-export writes the frozen network of -mode run, the mode is %s", o.mode)
	case o.ops && (o.profile != "" || o.mode == "stock" || o.mode == "forward"):
		return o, errors.New("-ops is for the modes float, qat and run, and takes a profile of its own: leave -cpuprofile out")
	case (o.kernels || o.compare) && o.json:
		return o, errors.New("-kernels and -twins print a table only: leave -json out")
	}
	return o, nil
}

// network is the name of what is measured, for people.
func (o options) network() string {
	if o.onnx != "" {
		return strings.TrimSuffix(filepath.Base(o.onnx), ".onnx")
	}
	return o.model
}
