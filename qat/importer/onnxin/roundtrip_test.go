package onnxin

import (
	"bytes"
	"errors"
	"math"
	"path/filepath"
	"slices"
	"testing"

	"github.com/goqat/goqat/internal/ort"
	"github.com/goqat/goqat/qat"
	"github.com/goqat/goqat/qat/export/onnxout"
	"github.com/goqat/goqat/qat/frozen"
	"github.com/goqat/goqat/qat/qconfig"
)

// trip is a model of PyTorch's, quantized with the default configuration and written
// to a file.
type trip struct {
	name string
	fz   *frozen.Network
	file string
	x    ort.Tensor
	y    []float32 // what fz makes of x
}

// travel reads, prepares, calibrates, freezes, verifies and writes a model.
func travel(t *testing.T, dir, name string, opt onnxout.Options) trip {
	t.Helper()
	shape, x := readNPY(t, "torch/"+name+".x.npy")
	m, err := ReadFile(filepath.Join("testdata", "torch", name+".onnx"), Options{Batch: shape[0]})
	if err != nil {
		t.Fatal(err)
	}
	fz := frozenOf(t, m, qconfig.Config{}, x)
	y, err := fz.Run(x)
	if err != nil {
		t.Fatal(err)
	}
	tr := trip{name: name, fz: fz, file: filepath.Join(dir, name+".onnx"), x: ort.Tensor{Dims: shape, Data: x}, y: y[0]}
	if err := onnxout.WriteFile(tr.file, fz, opt); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return tr
}

// frozenOf prepares a model, trains nothing but finds ranges, freezes it and verifies what
// came of that.
func frozenOf(t *testing.T, m *Model, cfg qconfig.Config, x ...[]float32) *frozen.Network {
	t.Helper()
	p, err := qat.Prepare(m.Graph, cfg, m.Outputs...)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Calibrate(x...); err != nil {
		t.Fatal(err)
	}
	fz, err := p.Freeze()
	if err != nil {
		t.Fatal(err)
	}
	v, err := p.Verify(fz, x...)
	if err != nil {
		t.Fatal(err)
	}
	if !v.OK() || v.Checked == 0 {
		t.Errorf("the frozen network is not the trained one: %+v", v)
	}
	return fz
}

// TestRoundTripBits: what was written comes back as a network that computes the same
// bits.
func TestRoundTripBits(t *testing.T) {
	dir := t.TempDir()
	for _, name := range torchModels {
		t.Run(name, func(t *testing.T) {
			tr := travel(t, dir, name, onnxout.Options{Bias: onnxout.BiasFloat})
			back, err := ReadFrozenFile(tr.file)
			if err != nil {
				t.Fatal(err)
			}
			sameRun(t, back, tr.fz, tr.x.Data)
			var first, second bytes.Buffer
			if err := errors.Join(onnxout.Write(&first, tr.fz, onnxout.Options{}), onnxout.Write(&second, tr.fz, onnxout.Options{})); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(first.Bytes(), second.Bytes()) {
				t.Error("written twice, the file differs")
			}
		})
	}
}

// TestRoundTripRuntime: ONNX Runtime, which computes in float32 when it optimises
// nothing, gets the results of the frozen network, with biases as floats and as the
// exporter chooses.
func TestRoundTripRuntime(t *testing.T) {
	if _, err := ort.Find(); errors.Is(err, ort.ErrMissing) {
		t.Skip(err)
	}
	var trips []trip
	var jobs []ort.Job
	for _, bias := range []onnxout.Bias{onnxout.BiasFloat, onnxout.BiasAuto} {
		dir := t.TempDir()
		for _, name := range torchModels {
			tr := travel(t, dir, name, onnxout.Options{Bias: bias})
			tr.name += " " + map[onnxout.Bias]string{onnxout.BiasFloat: "float bias", onnxout.BiasAuto: "default"}[bias]
			trips = append(trips, tr)
			in := tr.fz.Tensors[tr.fz.Inputs[0]].Name
			jobs = append(jobs, ort.Job{Model: tr.file, Level: ort.Disabled, Inputs: map[string]ort.Tensor{in: tr.x}})
		}
	}
	results, err := ort.Run(jobs)
	if err != nil {
		t.Fatal(err)
	}
	for i, tr := range trips {
		t.Run(tr.name, func(t *testing.T) { nearRuntime(t, tr, results[i]) })
	}
}

func nearRuntime(t *testing.T, tr trip, got ort.Result) {
	t.Helper()
	if got.Err != nil {
		t.Fatal(got.Err)
	}
	shapes, err := tr.fz.Shapes(tr.x.Dims[0])
	if err != nil {
		t.Fatal(err)
	}
	out := tr.fz.Outputs[0]
	y, ok := got.Outputs[tr.fz.Tensors[out].Name]
	if !ok || !slices.Equal(y.Dims, shapes[out]) {
		t.Fatalf("ONNX Runtime gave %v, want %q %v", y.Dims, tr.fz.Tensors[out].Name, shapes[out])
	}
	tol := sumBound(t, tr.fz, tr.x.Data)
	for i, want := range tr.y {
		if d := math.Abs(float64(y.Data[i]) - float64(want)); !(d <= tol) {
			t.Fatalf("element %d is %v, want %v ± %v", i, y.Data[i], want, tol)
		}
	}
}

// sumBound bounds how far a float32 result may lie from the exact one: n terms added up
// in any order are off by at most n·2^-24·Σ|terms|, here those of the last product with
// weights. Two more roundings scale the sum and add the bias, and what follows it (sums,
// a softmax, a SiLU) neither adds nor magnifies more than as much again.
func sumBound(t *testing.T, n *frozen.Network, x []float32) float64 {
	t.Helper()
	trace, err := n.Trace(x)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range slices.Backward(n.Layers) {
		if len(l.Inputs) < 2 || n.Tensors[l.Inputs[1]].Const == nil || n.Tensors[l.Inputs[1]].Quant == nil {
			continue
		}
		in, ok := trace.Values(n.Tensors[l.Inputs[0]].Name)
		if !ok {
			t.Fatalf("no values of the input of %s", l.Name)
		}
		weights := &n.Tensors[l.Inputs[1]]
		w, err := weights.Values()
		if err != nil {
			t.Fatal(err)
		}
		terms := float64(len(w) / len(weights.Quant.Params.Scale)) // a scale for each channel
		return 2 * (terms + 2) * 0x1p-24 * terms * float64(largest(in)) * float64(largest(w))
	}
	t.Fatal("no product with weights")
	return 0
}

func largest(x []float32) float32 {
	top := float32(0)
	for _, v := range x {
		top = max(top, v, -v)
	}
	return top
}
