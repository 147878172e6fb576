package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strings"
	"testing"

	"github.com/goqat/goqat/internal/kern"
	"github.com/goqat/goqat/qat/importer/onnxin"
)

func TestParseRefuses(t *testing.T) {
	for _, c := range []struct{ args, says string }{
		{"-model vgg", "mlp, convnet, resnet8, mobile, lstm, gru, rnn"},
		{"-mode int4", "float, qat, stock, run, forward"},
		{"-batch 0", "-batch 0: want 1 to"},
		{"-batch 100000000", "want 1 to"},
		{"-threads 0", "at least 1"},
		{"-steps -1", "-steps -1"},
		{"-bits 9", "2 to 8"},
		{"-kernels -json", "leave -json out"},
		{"-twins -json", "leave -json out"},
		{"-onnx a.onnx -model mlp", "leave one out"},
		{"-tokens 5", "give one"},
		{"-onnx a.onnx -tokens -1", "-tokens -1: want 0 to"},
		{"-ops -cpuprofile p", "leave -cpuprofile out"},
		{"-ops -mode forward", "float, qat and run"},
		{"-export b.onnx", "-mode run, the mode is qat"},
		{"more", `unexpected argument "more"`},
		{"-batch x", "invalid value"},
	} {
		if _, err := parse(strings.Fields(c.args)); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: error %v, want one with %q", c.args, err, c.says)
		}
	}
}

// measured runs the program and decodes the last line of its output.
func measured(t *testing.T, args string) (fields map[string]any) {
	t.Helper()
	var out strings.Builder
	if err := run(context.Background(), append(strings.Fields(args), "-json"), &out); err != nil {
		t.Fatalf("%s: %v", args, err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &fields); err != nil {
		t.Fatalf("%s: %v in %q", args, err, out.String())
	}
	return fields
}

func TestModes(t *testing.T) {
	sizes := map[string]float64{"mlp": 535818, "convnet": 421642, "resnet8": 78042, "mobile": 19114, // as PyTorch counts them
		"lstm": 33674, "gru": 25418, "rnn": 8906} // four, three and one times 64·64 + 64·64 + 64, and 64·10 + 10
	for _, model := range modelNames() {
		for _, mode := range modeNames {
			if mode == "stock" && stockMissing[model]+plainMissing[model] != "" {
				err := run(context.Background(), []string{"-model", model, "-mode", mode}, nil)
				if err == nil || !strings.Contains(err.Error(), "stock ops") {
					t.Errorf("%s of stock ops: error %v", model, err)
				}
				continue
			}
			if testing.Short() && model != "mlp" {
				continue
			}
			got := measured(t, "-model "+model+" -mode "+mode+" -batch 2 -steps 2")
			for _, key := range []string{"model", "mode", "batch", "threads", "steps", "bits", "ms_per_step", "items_per_s", "unit",
				"params", "bytes_per_step", "allocs_per_step", "peak_rss", "simd"} {
				if got[key] == nil {
					t.Errorf("%s, %s: no %q", model, mode, key)
				}
			}
			if got["params"] != sizes[model] || got["steps"] != 2.0 || got["batch"] != 2.0 {
				t.Errorf("%s, %s: %v", model, mode, got)
			}
			// A network that knows nothing starts near ln 10 = 2.3.
			if loss, ok := got["final_loss"].(float64); ok != (mode != "run" && mode != "forward") || ok && !(loss > 0 && loss < 4) {
				t.Errorf("%s, %s: loss %v", model, mode, got["final_loss"])
			}
		}
	}
}

// TestPlain: a network in plain Gorgonia has as many parameters as its twin and trains.
func TestPlain(t *testing.T) {
	for _, args := range []string{"-model mlp -mode float", "-model mlp -mode qat", "-model mlp -mode run", "-model convnet -mode qat", "-model resnet8 -mode qat"} {
		if testing.Short() && !strings.Contains(args, "mlp") {
			continue
		}
		got, want := measured(t, args+" -plain -batch 2 -steps 1"), measured(t, args+" -batch 2 -steps 1")
		if got["params"] != want["params"] || got["unit"] != want["unit"] {
			t.Errorf("%s: %v, want as of package models %v", args, got, want)
		}
	}
}

// TestTwins: each column that there is has a time.
func TestTwins(t *testing.T) {
	for model, columns := range map[string]int{"mlp": 5, "rnn": 3} {
		ms, err := options{model: model, batch: 2, bits: 8, compare: true}.twins(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, d := range ms {
			if d > 0 {
				n++
			}
		}
		if n != columns {
			t.Errorf("%s: times %v, want %d", model, ms, columns)
		}
	}
}

// TestONNX measures a file in every mode and reads back what it exports.
func TestONNX(t *testing.T) {
	const file = "../../qat/importer/onnxin/testdata/torch/mlp_13_eval.onnx"
	q := filepath.Join(t.TempDir(), "q.onnx")
	for mode, more := range map[string]string{"float": "", "qat": "", "forward": "", "run": " -export " + q} {
		got := measured(t, "-onnx "+file+" -mode "+mode+" -batch 3 -steps 2"+more)
		if got["model"] != "mlp_13_eval" || got["batch"] != 3.0 || got["params"] != 212.0 || got["unit"] != "rows" {
			t.Errorf("%s: %v", mode, got)
		}
	}
	if got := measured(t, "-onnx "+file+" -mode forward -tokens 7 -batch 1 -steps 1"); got["ms_per_step"] == nil {
		t.Error("no time with whole numbers")
	}
	if n, err := onnxin.ReadFrozenFile(q); err != nil || len(n.Layers) == 0 {
		t.Errorf("the exported file: %v", err)
	}
	for args, says := range map[string]string{
		"-onnx " + q + ".none -mode float":                    "no such file",
		"-onnx " + file + " -mode stock":                      "no such network of stock ops",
		"-onnx " + file + " -mode run -export " + t.TempDir(): "",
	} {
		if err := run(context.Background(), strings.Fields(args), nil); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: error %v, want one with %q", args, err, says)
		}
	}
}

// TestOps lists the ops of a training step and of a run: the shares are all of a step,
// and products are vector code where the processor has any.
func TestOps(t *testing.T) {
	if testing.Short() {
		t.Skip("measures for seconds")
	}
	for mode, want := range map[string][]string{
		"qat": {"matmul", "gradient of matmul", "fake_quantize", "cross_entropy", "solver", outside},
		"run": {"matmul, relu (integer)", outside},
	} {
		got := measured(t, "-model mlp -mode "+mode+" -batch 16 -steps 1 -ops")
		list, _ := got["ops"].([]any)
		names, sum := map[string]map[string]any{}, 0.0
		for _, x := range list {
			op := x.(map[string]any)
			names[op["op"].(string)] = op
			sum += op["share"].(float64)
		}
		if sum < 0.98 || sum > 1.02 {
			t.Errorf("%s: the shares add up to %v", mode, sum)
		}
		for _, name := range want {
			if names[name] == nil {
				t.Errorf("%s: no %q in %v", mode, name, list)
			}
		}
		vector, known := names[want[0]]["vector"].(float64)
		if !known || (vector > 0.2) != (kern.CurrentLevel() != kern.LevelGeneric) {
			t.Errorf("%s: %v of the products in vector code at level %v", mode, names[want[0]], kern.CurrentLevel())
		}
	}
}

// TestPlaces: what is no profile is refused, and a cut one does not end the program.
func TestPlaces(t *testing.T) {
	var raw bytes.Buffer
	if err := pprof.StartCPUProfile(&raw); err != nil {
		t.Skip(err) // somebody profiles the test
	}
	pprof.StopCPUProfile()
	if _, err := places(raw.Bytes()); err != nil {
		t.Errorf("an empty profile: %v", err)
	}
	if _, err := places([]byte("no gzip")); err == nil {
		t.Error("text taken for a profile")
	}
	if _, err := parseMessage([]byte{0xff}); err == nil {
		t.Error("half a number taken for a message")
	}
	for name, want := range map[string]bool{"github.com/goqat/goqat/internal/kern.addAVX2": true, "math.archExp": false, "runtime.memmove": true} {
		if vectorCode(name, "x_amd64.s") != want {
			t.Errorf("%s: vector code %v", name, !want)
		}
	}
}

func TestThreadsAndProfile(t *testing.T) {
	before := runtime.GOMAXPROCS(0)
	file := filepath.Join(t.TempDir(), "cpu.prof")
	got := measured(t, "-model mlp -mode float -batch 2 -steps 1 -threads 1 -cpuprofile "+file)
	if got["threads"] != 1.0 || runtime.GOMAXPROCS(0) != before {
		t.Errorf("%v threads, %d afterwards, %d before", got["threads"], runtime.GOMAXPROCS(0), before)
	}
	if info, err := os.Stat(file); err != nil || info.Size() == 0 {
		t.Errorf("profile: %v", err)
	}
	if err := run(context.Background(), []string{"-model", "mlp", "-cpuprofile", t.TempDir()}, nil); err == nil {
		t.Error("a folder taken for a profile")
	}
}

func TestCancel(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for _, args := range []string{"-model mlp -mode float", "-kernels"} {
		var out strings.Builder
		if err := run(ctx, strings.Fields(args), &out); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: error %v, want the context's", args, err)
		}
	}
}

func TestTables(t *testing.T) {
	var out strings.Builder
	if err := run(context.Background(), strings.Fields("-model mlp -mode qat -batch 2 -steps 1"), &out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"mlp, qat", "median step", "535818", "last loss"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, &out)
		}
	}
	names := map[string]bool{}
	for _, s := range sections() {
		if s.title == "" || s.unit == "" || names[s.title] {
			t.Errorf("section %q, %q", s.title, s.unit)
		}
		names[s.title] = true
	}
}

func TestHelp(t *testing.T) {
	if err := run(context.Background(), []string{"-h"}, nil); err != nil {
		t.Error(err)
	}
}

// TestRateWithoutPeak: where nobody knows a peak there is no share of it.
func TestRateWithoutPeak(t *testing.T) {
	k := kernel{call: func() float64 { return 1 }}
	for _, of := range []*kernel{nil, {call: func() float64 { return 0 }}} {
		if rate, share := k.rate(1, of); !(rate > 0) || percent(share) != "" {
			t.Errorf("rate %v, share %q", rate, percent(share))
		}
	}
}
