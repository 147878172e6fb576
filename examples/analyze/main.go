// Analyze quantizes a small network without training it, first plainly and then with
// the post-training helpers, and shows which layers mind. The network is trained in
// float on real handwritten digits first.
//
//	go run ./examples/analyze            # one seed, tables
//	go run ./examples/analyze -seeds 3 -json
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
	seeds int
	quick bool
	json  bool
	out   string
}

func parse(args []string) (options, error) {
	var o options
	f := flag.NewFlagSet("analyze", flag.ContinueOnError)
	f.IntVar(&o.seeds, "seeds", 1, "number of seeds, counted from 0")
	f.BoolVar(&o.quick, "quick", false, "a few seconds: 4 epochs, two formats")
	f.BoolVar(&o.json, "json", false, "print one JSON object instead of the tables")
	f.StringVar(&o.out, "out", "analyze-out", "folder for the reports and the mixed-precision network")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	switch {
	case f.NArg() > 0:
		return o, fmt.Errorf("unexpected argument %q", f.Arg(0))
	case o.seeds < 1:
		return o, fmt.Errorf("-seeds %d: want at least 1", o.seeds)
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
	r, err := analyze(ctx, o)
	if err != nil {
		return err
	}
	if o.json {
		return json.NewEncoder(stdout).Encode(r)
	}
	return r.print(stdout)
}
