package train

import (
	"bytes"
	"context"
	"os"
	"strings"
	"testing"

	"github.com/sirupsen/logrus"
	"golang.org/x/term"
)

func TestProgressLines(t *testing.T) {
	if term.IsTerminal(int(os.Stderr.Fd())) {
		t.Skip("stderr is a terminal: it gets a bar")
	}
	var out bytes.Buffer
	logrus.SetOutput(&out)
	defer logrus.SetOutput(os.Stderr)
	cfg := Recipe{Epochs: 2, Batch: 8, Schedule: Constant(0.1), Title: "small net"}
	for _, quiet := range []bool{false, true} {
		out.Reset()
		cfg.Quiet = quiet
		if err := Fit(context.Background(), Float(small(1)), blobs(24), cfg); err != nil {
			t.Fatal(err)
		}
		lines := strings.Count(out.String(), "small net")
		if quiet && out.Len() > 0 || !quiet && (lines != 2 || !strings.Contains(out.String(), "epoch=2")) {
			t.Errorf("quiet %v: log %q, want one line per epoch unless quiet", quiet, out.String())
		}
	}
}

func TestProgressBar(t *testing.T) {
	var out bytes.Buffer
	p := &progress{title: "small net", bar: newBar(&out, "small net", 2, 4)}
	p.add()
	p.epoch(Epoch{Number: 0, Epochs: 2, Loss: 0.25})
	p.add()
	p.close()
	if s := out.String(); !strings.Contains(s, "2/4") || !strings.HasSuffix(s, "\r") {
		t.Errorf("bar drew %q, want 2 of 4 and a cleared line at the end", s)
	}
}
