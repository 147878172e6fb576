package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for _, c := range []struct {
		args string
		want options
	}{
		{"", options{net: "mobile", seeds: 1, epochs: 40, out: "digits-out"}},
		{"-net cnn -seeds 3 -epochs 6 -out here -json", options{net: "cnn", seeds: 3, epochs: 6, out: "here", json: true}},
		{"-quick", options{net: "mobile", seeds: 1, epochs: 4, out: "digits-out", quick: true}},
		{"-quick -epochs 9", options{net: "mobile", seeds: 1, epochs: 4, out: "digits-out", quick: true}},
		{"-eval a.safetensors", options{net: "mobile", seeds: 1, epochs: 40, out: "digits-out", eval: "a.safetensors"}},
	} {
		if got, err := parse(strings.Fields(c.args)); err != nil || got != c.want {
			t.Errorf("%q: %+v, %v, want %+v", c.args, got, err, c.want)
		}
	}
}

// TestBadArguments: run fails before it computes anything, and says what it wants.
func TestBadArguments(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "none.safetensors")
	garbage := filepath.Join(t.TempDir(), "garbage.safetensors")
	if err := os.WriteFile(garbage, []byte("no network"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"-net", "vgg"}, `-net "vgg": want mobile or cnn`},
		{[]string{"-seeds", "0"}, "-seeds 0: want at least 1"},
		{[]string{"-epochs", "1"}, "-epochs 1: want at least 2"},
		{[]string{"train"}, `unexpected argument "train"`},
		{[]string{"-bits", "4"}, "not defined: -bits"},
		{[]string{"-eval", missing}, missing},
		{[]string{"-eval", garbage}, garbage},
		{[]string{"-quick", "-out", filepath.Join(garbage, "below")}, "garbage.safetensors"},
	} {
		var out bytes.Buffer
		err := run(context.Background(), c.args, &out)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: error %v, want one with %q", c.args, err, c.want)
		}
		if out.Len() > 0 {
			t.Errorf("%q: printed %q beside the error", c.args, &out)
		}
	}
	if err := run(context.Background(), []string{"-h"}, &bytes.Buffer{}); err != nil {
		t.Errorf("-h: %v", err)
	}
}

// TestQuick is the whole job in small: the frozen networks are as good as the
// trained ones, because they compute the same codes, and a saved one gives the same
// accuracy when it is loaded.
func TestQuick(t *testing.T) {
	if testing.Short() {
		t.Skip("trains a network")
	}
	dir := t.TempDir()
	var out bytes.Buffer
	if err := run(context.Background(), []string{"-quick", "-json", "-out", dir}, &out); err != nil {
		t.Fatal(err)
	}
	var r result
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatalf("%v in %s", err, &out)
	}
	if len(r.Rows) != quickFormats || len(r.Seeds) != 1 {
		t.Fatalf("%d rows and %d seeds", len(r.Rows), len(r.Seeds))
	}
	for _, x := range r.Rows {
		if len(x.QAT) != 1 || len(x.Frozen) != 1 || len(x.Float) != 1 || len(x.PTQ) != 1 {
			t.Fatalf("%s: %+v", x.Name, x)
		}
		if x.QAT[0] != x.Frozen[0] {
			t.Errorf("%s: %v %% in training, %v %% frozen", x.Name, x.QAT[0], x.Frozen[0])
		}
		if x.CodesDiffering != 0 || x.CodesChecked == 0 {
			t.Errorf("%s: %d of %d codes differ", x.Name, x.CodesDiffering, x.CodesChecked)
		}
		if x.Bytes == 0 || 2*x.Bytes >= x.FloatBytes {
			t.Errorf("%s: %d bytes of %d", x.Name, x.Bytes, x.FloatBytes)
		}
		if x.Float[0] < 2*chance || x.Frozen[0] < 2*chance {
			t.Errorf("%s: %v %% float, %v %% frozen: nothing was learned", x.Name, x.Float[0], x.Frozen[0])
		}
		out.Reset()
		if err := run(context.Background(), []string{"-eval", x.File}, &out); err != nil {
			t.Fatal(err)
		}
		var e evaluation
		if err := json.Unmarshal(out.Bytes(), &e); err != nil {
			t.Fatal(err)
		}
		if e.Accuracy != x.Frozen[0] || e.Examples == 0 || e.File != x.File {
			t.Errorf("%s: loaded %+v, want %v %%", x.Name, e, x.Frozen[0])
		}
	}
	out.Reset()
	if err := r.table(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"frozen %", "differing", "W8A8 per channel", "W4A8 per channel"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the table has no %q:\n%s", want, &out)
		}
	}
}

// chance is the accuracy of a guess among ten digits, in percent.
const chance = 10

func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := run(ctx, []string{"-quick", "-out", t.TempDir()}, &bytes.Buffer{}); err == nil {
		t.Error("a cancelled run has no error")
	}
}
