// Digits is goqat's main job: it trains a small network on real handwritten
// digits, quantizes it in several formats, fine-tunes each with quantization in
// the loop, freezes it to integers and proves that the integers are those of the
// training, code for code.
//
//	go run ./examples/digits            # one seed, a table
//	go run ./examples/digits -seeds 3 -json
//	go run ./examples/digits -eval digits-out/w4a8-per-channel.safetensors
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"

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
	net    string
	seeds  int
	epochs int
	out    string
	quick  bool
	json   bool
	config string
	eval   string

	noExport bool
}

func parse(args []string) (options, error) {
	var o options
	f := flag.NewFlagSet("digits", flag.ContinueOnError)
	f.StringVar(&o.net, "net", "mobile", "network: mobile or cnn")
	f.IntVar(&o.seeds, "seeds", 1, "number of seeds, counted from 0")
	f.IntVar(&o.epochs, "epochs", 40, "epochs of float training; fine-tuning takes half as many")
	f.StringVar(&o.out, "out", "digits-out", "folder for the frozen networks")
	f.BoolVar(&o.quick, "quick", false, "a few seconds: 4 epochs, two formats")
	f.BoolVar(&o.json, "json", false, "print one JSON object instead of the table")
	f.StringVar(&o.config, "config", "", "YAML file with the formats to try, as examples/digits/lsq.yaml")
	f.BoolFunc("export", "also write ONNX models, Core ML packages and HTML reports (default true)", func(text string) error {
		yes, err := strconv.ParseBool(text)
		o.noExport = !yes
		return err
	})
	f.StringVar(&o.eval, "eval", "", "evaluate this frozen network and do nothing else")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	switch {
	case f.NArg() > 0:
		return o, fmt.Errorf("unexpected argument %q", f.Arg(0))
	case builders[o.net] == nil:
		return o, fmt.Errorf("-net %q: want mobile or cnn", o.net)
	case o.seeds < 1:
		return o, fmt.Errorf("-seeds %d: want at least 1", o.seeds)
	case o.epochs < 2:
		return o, fmt.Errorf("-epochs %d: want at least 2", o.epochs)
	}
	if o.quick {
		o.epochs = 4
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
	if o.eval != "" {
		return evaluate(o, stdout)
	}
	r, err := experiment(ctx, o)
	if err != nil {
		return err
	}
	if o.json {
		return json.NewEncoder(stdout).Encode(r)
	}
	return r.table(stdout)
}
