package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/goqat/goqat/internal/ort"
	"github.com/goqat/goqat/models"
	"github.com/goqat/goqat/qat"
	"github.com/goqat/goqat/qat/export/onnxout"
	"github.com/goqat/goqat/qat/frozen"
	"github.com/goqat/goqat/qat/importer/onnxin"
)

func TestParse(t *testing.T) {
	for _, c := range []struct {
		args string
		want options
	}{
		{"-model m.onnx", options{model: "m.onnx", out: "finetune-out", bits: 4, epochs: 20}},
		{"-make -seed 3", options{model: defaultModel, create: true, out: "finetune-out", bits: 4, epochs: 20, seed: 3}},
		{"-model m -out d -bits 8 -epochs 7 -json", options{model: "m", out: "d", bits: 8, epochs: 7, json: true}},
		{"-model m -config c.yaml -quick -epochs 7", options{model: "m", out: "finetune-out", bits: 4, config: "c.yaml", epochs: quickEpochs, quick: true}},
	} {
		if got, err := parse(strings.Fields(c.args)); err != nil || got != c.want {
			t.Errorf("%q: %+v, %v, want %+v", c.args, got, err, c.want)
		}
	}
	if err := run(context.Background(), []string{"-h"}, &bytes.Buffer{}); err != nil {
		t.Errorf("-h: %v", err)
	}
}

// modelFile writes a float ONNX model of a network that nobody trained.
func modelFile(t *testing.T, input []int, layer models.Layer) string {
	t.Helper()
	net, err := models.New(input, layer, 1)
	if err != nil {
		t.Fatal(err)
	}
	g, err := net.Build(2, false)
	if err != nil {
		t.Fatal(err)
	}
	p, err := qat.Prepare(g.G, allFloat(), g.Logits)
	if err != nil {
		t.Fatal(err)
	}
	fz, err := p.Freeze()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "model.onnx")
	if err := onnxout.WriteFile(path, fz, onnxout.Options{}); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestBadArguments: run fails before it trains, and says what it wants.
func TestBadArguments(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	head := models.Sequential(models.Flatten{}, models.Linear{Out: 10})
	good := modelFile(t, []int{1, 8, 8}, head)
	garbage, config := write("garbage.onnx", "no model"), write("bad.yaml", "global: {weights: {bits: 99}}")
	missing := filepath.Join(dir, "none.onnx")
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"-model", ""}, "-model is empty"},
		{[]string{"-model", good, "more"}, `unexpected argument "more"`},
		{[]string{"-model", good, "-epochs", "0"}, "-epochs 0"},
		{[]string{"-model", good, "-bits", "9"}, "bits"},
		{[]string{"-model", good, "-rate", "9"}, "-rate"},
		{[]string{"-model", good, "-config", config}, "99"},
		{[]string{"-model", good, "-config", missing + ".yaml"}, "none.onnx.yaml"},
		{[]string{"-model", missing}, "none.onnx"},
		{[]string{"-model", garbage}, "garbage.onnx"},
		{[]string{"-model", modelFile(t, []int{1, 9, 8}, head)}, "[64 1 9 8]"},
		{[]string{"-model", modelFile(t, []int{64}, models.Linear{Out: 10})}, "[64 64]"},
		{[]string{"-model", modelFile(t, []int{1, 8, 8}, models.Sequential(models.Flatten{}, models.Linear{Out: 9}))}, "[64 9]"},
		{[]string{"-model", good, "-out", filepath.Join(garbage, "below")}, "garbage.onnx"},
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
}

// chance is the accuracy of a guess among ten digits, in percent.
const chance = 10

// roundingShare is the accuracy, in percent, that float rounding may move: the model in
// the file has its batch normalisations folded or computed in another order, so that
// logits differ by a few 2^-24 of their size; a digit changes only where two logits are
// that close. One of 360 digits is 0.28 %.
const roundingShare = 0.28

// TestQuick is the whole way in small.
func TestQuick(t *testing.T) {
	if testing.Short() {
		t.Skip("trains a network")
	}
	dir := t.TempDir()
	model, dst := filepath.Join(dir, "float.onnx"), filepath.Join(dir, "out")
	var out bytes.Buffer
	if err := run(context.Background(), []string{"-make", "-model", model, "-quick", "-json"}, &out); err != nil {
		t.Fatal(err)
	}
	var m made
	if err := json.Unmarshal(out.Bytes(), &m); err != nil {
		t.Fatal(err)
	}
	if m.File != model || m.Parameters == 0 || m.Accuracy < 2*chance {
		t.Errorf("made %+v: nothing was learned", m)
	}
	out.Reset()
	if err := run(context.Background(), []string{"-model", model, "-quick", "-json", "-out", dst}, &out); err != nil {
		t.Fatal(err)
	}
	var r result
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatalf("%v in %s", err, &out)
	}
	if math.Abs(r.Float-m.Accuracy) > roundingShare {
		t.Errorf("the imported model has %v %%, the one that was exported %v %%", r.Float, m.Accuracy)
	}
	if r.QAT != r.Frozen || r.CodesDiffering != 0 || r.CodesChecked == 0 {
		t.Errorf("frozen %v %%, trained %v %%; %d of %d codes differ", r.Frozen, r.QAT, r.CodesDiffering, r.CodesChecked)
	}
	if r.PTQ < 2*chance || r.Frozen < 2*chance || 2*r.Bytes >= r.FloatBytes {
		t.Errorf("result %+v", r)
	}
	checkFiles(t, &r)
	out.Reset()
	if err := r.text(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"float", "PTQ", "QAT", "frozen", "ONNX Runtime", r.Files.CoreML} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the text has no %q:\n%s", want, &out)
		}
	}
}

// checkFiles: what was written is the network that was measured.
func checkFiles(t *testing.T, r *result) {
	t.Helper()
	d, err := loadDigits()
	if err != nil {
		t.Fatal(err)
	}
	saved, err := frozen.ReadFile(r.Files.SafeTensors)
	if err != nil {
		t.Fatal(err)
	}
	back, err := onnxin.ReadFrozenFile(r.Files.ONNX)
	if err != nil {
		t.Fatal(err)
	}
	want, err := saved.Run(d.test.X)
	if err != nil {
		t.Fatal(err)
	}
	got, err := back.Run(d.test.X)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got[0], want[0]) {
		t.Error("the network in the ONNX file gives other logits than the one in the safetensors file")
	}
	if acc, err := d.percent(predictor(saved.Run)); err != nil || acc != r.Frozen {
		t.Errorf("the saved network has %v %%, want %v (%v)", acc, r.Frozen, err)
	}
	if _, err := os.Stat(filepath.Join(r.Files.CoreML, "Manifest.json")); err != nil {
		t.Error(err)
	}
	_, err = ort.Find()
	if missing := errors.Is(err, ort.ErrMissing); missing != (r.ORT == nil) {
		t.Errorf("ONNX Runtime is missing: %v, but the result is %+v", missing, r.ORT)
	}
	if r.ORT != nil && (r.ORT.Examples != d.test.Len() || math.Abs(r.ORT.Accuracy-r.Frozen) > float64(100*r.ORT.Differing)/float64(r.ORT.Examples)+0.01) {
		t.Errorf("ONNX Runtime gives %+v, the frozen network %v %%", r.ORT, r.Frozen)
	}
}

func TestLargest(t *testing.T) {
	for _, c := range []struct {
		v    []float32
		want int
	}{{[]float32{1}, 0}, {[]float32{-2, -1, -3}, 1}, {[]float32{0, 5, 5}, 1}} {
		if got := largest(c.v); got != c.want {
			t.Errorf("%v: %d, want %d", c.v, got, c.want)
		}
	}
}

func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := run(ctx, []string{"-make", "-model", filepath.Join(t.TempDir(), "m.onnx"), "-quick"}, &bytes.Buffer{}); err == nil {
		t.Error("a cancelled run has no error")
	}
}
