package onnxout

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/goqat/goqat/internal/onnxpb"
	"github.com/goqat/goqat/internal/ort"
	"github.com/goqat/goqat/qat/frozen"
	"github.com/goqat/goqat/qat/internal/frozentest"
	"google.golang.org/protobuf/proto"
)

const (
	// Float32 sums of at most 40 products, in another order than ours: each addition
	// is off by 2^-24 of the sum at most. int32 biases add half of x_scale·w_scale,
	// which is a 2^-14th of the range.
	floatTolerance = 1e-4
	// chainTolerance is for layers without products and int32 biases: at most 32 roundings
	// to 2^-24 of the largest magnitude follow each other in them.
	chainTolerance = 32 * 0x1p-24
	// powerTolerance is for powers and quotients, which magnify what was rounded before them
	// as often as their exponent says, here below 5.
	powerTolerance = 5 * chainTolerance
	// A value that lies in the middle between two codes, up to float32 rounding, may
	// go either way.
	roundingSteps = 1
	// An integer kernel rounds the bias by half a step of its sum. Behind a code that
	// differs so, the next layer may differ by a step too.
	deepSteps = 2
	// Such values are rare where the runtime computes in float32: the sums of these
	// networks differ by a few 2^-24 of their size from ours, a step is 2^-8 of the
	// range, so a few of 2^16 results are close enough to the middle. An int32 bias
	// makes it a few of 2^8.
	rareShare = 0.01
	batchSize = 5
)

// ran is a case with the inputs and where its files are.
type ran struct {
	netCase
	net   *frozen.Network
	in    [][]float32
	model string
	jobs  map[string]int // by level
}

func TestONNXRuntime(t *testing.T) {
	if _, err := ort.Find(); errors.Is(err, ort.ErrMissing) {
		t.Skip(err)
	}
	dir := t.TempDir()
	var jobs []ort.Job
	var list []ran
	for i, c := range allCases() {
		m := frozentest.New(t)
		r := ran{netCase: c, net: c.make(m), jobs: map[string]int{}, model: filepath.Join(dir, fmt.Sprint(i, ".onnx"))}
		r.in = m.Feed(r.net, batchSize)
		if err := WriteFile(r.model, r.net, c.opt); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		for _, level := range []string{ort.Disabled, ort.All} {
			job := ort.Job{Model: r.model, Level: level, Inputs: map[string]ort.Tensor{}}
			if level == ort.All {
				job.Optimized = r.model + ".all"
			}
			for k, ti := range r.net.Inputs {
				job.Inputs[r.net.Tensors[ti].Name] = ort.Tensor{Dims: atBatch(r.net.Tensors[ti].Shape), Data: r.in[k]}
			}
			r.jobs[level] = len(jobs)
			jobs = append(jobs, job)
		}
		list = append(list, r)
	}
	results, err := ort.Run(jobs)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range list {
		t.Run(r.name, func(t *testing.T) {
			for level, job := range r.jobs {
				compare(t, r, level, results[job])
			}
			checkKernels(t, r)
		})
	}
}

func atBatch(shape []int) []int {
	s := slices.Clone(shape)
	for i, d := range s {
		if d == -1 {
			s[i] = batchSize
		}
	}
	return s
}

// compare holds the outputs of ONNX Runtime against those of the frozen network.
func compare(t *testing.T, r ran, level string, got ort.Result) {
	t.Helper()
	if got.Err != nil {
		t.Errorf("%s: %v", level, got.Err)
		return
	}
	want, err := r.net.Run(r.in...)
	if err != nil {
		t.Fatal(err)
	}
	shapes, err := r.net.Shapes(batchSize)
	if err != nil {
		t.Fatal(err)
	}
	graph := readModel(t, r.model).Graph
	for k, ti := range r.net.Outputs {
		y := got.Outputs[graph.Output[k].GetName()]
		if !slices.Equal(y.Dims, shapes[ti]) {
			t.Errorf("%s: output %d has shape %v, want %v", level, k, y.Dims, shapes[ti])
			continue
		}
		compareOutput(t, fmt.Sprint(level, ": output ", k), r, level, r.net.Tensors[ti].Quant, y.Data, want[k])
	}
}

func compareOutput(t *testing.T, what string, r ran, level string, q *frozen.Quant, got, want []float32) {
	t.Helper()
	if !slices.ContainsFunc(want, func(v float32) bool { return v != 0 }) { // nothing to be relative to
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, want zeros", what, got)
		}
		return
	}
	unit, limit := 0.0, 0.0
	if q != nil {
		unit, limit = float64(q.Params.Scale[0]), roundingSteps
		if r.deep && level == ort.All {
			limit = deepSteps
		}
	} else {
		for _, v := range want {
			unit = max(unit, math.Abs(float64(v)))
		}
		if limit = r.float; limit == 0 {
			limit = floatTolerance
		}
	}
	off := 0
	for i := range want {
		d := math.Abs(float64(got[i])-float64(want[i])) / unit
		if !(d <= limit*1.001) {
			t.Errorf("%s: element %d is %v, want %v: off by %.3g, limit %v", what, i, got[i], want[i], d, limit)
			return
		}
		if q != nil && d > 0.5 {
			off++
		}
	}
	rare := r.rare
	if rare == 0 {
		rare = rareShare
	}
	if level == ort.Disabled && float64(off) > max(1, rare*float64(len(want))) {
		t.Errorf("%s: %d of %d codes differ", what, off, len(want))
	}
}

// checkKernels looks for the node types that the case wants.
func checkKernels(t *testing.T, r ran) {
	t.Helper()
	var types []string
	for _, n := range readModel(t, r.model+".all").Graph.Node {
		types = append(types, n.GetOpType())
	}
	for _, k := range r.without {
		if slices.Contains(types, k) {
			t.Errorf("ONNX Runtime made %s of it: %v", k, types)
		}
	}
	for _, k := range r.kernels {
		if !slices.Contains(types, k) {
			t.Errorf("ONNX Runtime made no %s of it: %v", k, types)
		}
	}
}

func readModel(t testing.TB, path string) *onnxpb.ModelProto {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	m := &onnxpb.ModelProto{}
	if err := proto.Unmarshal(data, m); err != nil {
		t.Fatal(err)
	}
	return m
}
