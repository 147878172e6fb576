package onnxin

import (
	"bytes"
	"math"
	"path/filepath"
	"slices"
	"testing"

	"github.com/goqat/goqat/qat"
	"github.com/goqat/goqat/qat/export/onnxout"
	"github.com/goqat/goqat/qat/frozen"
	"github.com/goqat/goqat/qat/internal/frozentest"
	"github.com/goqat/goqat/qat/qconfig"
)

// freeze prepares, calibrates and freezes a model of PyTorch's.
func freeze(t *testing.T, name string, cfg qconfig.Config) (*frozen.Network, []float32) {
	t.Helper()
	_, x := readNPY(t, "torch/"+name+".x.npy")
	m, err := Read(bytes.NewReader(readData(t, "torch/"+name+".onnx")), Options{})
	if err != nil {
		t.Fatal(err)
	}
	p, err := qat.Prepare(m.Graph, cfg, m.Outputs...)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Calibrate(x); err != nil {
		t.Fatal(err)
	}
	fz, err := p.Freeze()
	if err != nil {
		t.Fatal(err)
	}
	return fz, x
}

var frozenConfigs = map[string]qconfig.Config{
	"default": {},
	"affine":  {Global: &qconfig.Layer{Activations: qconfig.Tensor{Scheme: qconfig.Affine}, Weights: qconfig.Tensor{Scheme: qconfig.Affine}}},
	"int4":    {Global: &qconfig.Layer{Weights: qconfig.Tensor{Bits: 4}}},
	"blocks":  {Global: &qconfig.Layer{Weights: qconfig.Tensor{Bits: 4, Granularity: qconfig.PerBlock, BlockSize: 4}}},
	"tensor":  {Global: &qconfig.Layer{Weights: qconfig.Tensor{Granularity: qconfig.PerTensor}}},
	"weights": {Global: &qconfig.Layer{Activations: qconfig.Tensor{Off: true}}},
	"narrow":  {Global: &qconfig.Layer{Activations: qconfig.Tensor{Bits: 5}, Weights: qconfig.Tensor{Bits: 3}}},
}

// TestFrozenRoundTrip: a network that was written and read again computes the same bits
// and has the same codes.
func TestFrozenRoundTrip(t *testing.T) {
	for config, cfg := range frozenConfigs {
		for _, name := range torchModels {
			t.Run(config+"/"+name, func(t *testing.T) {
				fz, x := freeze(t, name, cfg)
				var file bytes.Buffer
				if err := onnxout.Write(&file, fz, onnxout.Options{Bias: onnxout.BiasFloat}); err != nil {
					t.Fatal(err)
				}
				back, err := ReadFrozen(&file)
				if err != nil {
					t.Fatal(err)
				}
				sameNetwork(t, back, fz)
				sameRun(t, back, fz, x)
			})
		}
	}
}

// TestFrozenKinds: layers that no model of the other tests has.
func TestFrozenKinds(t *testing.T) {
	for name, build := range frozenKinds {
		t.Run(name, func(t *testing.T) {
			m := frozentest.New(t)
			x := m.Layer("x", frozen.Unary{Fn: "sin"}, nil, nil, m.Input("in", []int{-1, 4, 6}, nil))
			fz := m.Net(build(m, x))
			var file bytes.Buffer
			if err := onnxout.Write(&file, fz, onnxout.Options{}); err != nil {
				t.Fatal(err)
			}
			back, err := ReadFrozen(&file)
			if err != nil {
				t.Fatal(err)
			}
			sameNetwork(t, back, fz)
			sameRun(t, back, fz, numbers(3, 2*4*6))
		})
	}
}

var frozenKinds = map[string]func(m *frozentest.Maker, x int) int{
	"where": func(m *frozentest.Maker, x int) int {
		is := m.Layer("is", frozen.Binary{Fn: "not_equal"}, nil, nil, x, m.Values("zero", []int{}, []float32{0}, nil))
		return m.Layer("layer", frozen.Where{}, nil, nil, is, x, m.Weight("b", []int{6}, nil))
	},
	"masked": func(m *frozentest.Maker, x int) int {
		return m.Layer("layer", frozen.Softmax{Axis: 2}, nil, nil, x, m.Weight("mask", []int{4, 6}, nil))
	},
	"scaled": func(m *frozentest.Maker, x int) int {
		return m.Layer("layer", frozen.Softmax{Axis: 1, Scale: 0.25, Log: true}, nil, nil, x)
	},
	"attention": func(m *frozentest.Maker, x int) int {
		return m.Layer("layer", frozen.Softmax{Axis: 2, Scale: 0.25}, nil, frozentest.U8, x, m.Weight("mask", []int{1, 6}, nil))
	},
	"rms norm": func(m *frozentest.Maker, x int) int {
		return m.Layer("layer", frozen.LayerNorm{Axis: 1, Eps: 0.25, RMS: true}, nil, nil, x)
	},
	"rms norm with scale": func(m *frozentest.Maker, x int) int {
		return m.Layer("layer", frozen.LayerNorm{Axis: 2, Eps: 0.25, RMS: true}, nil, frozentest.I8, x, m.Weight("gamma", []int{6}, nil))
	},
	"rms norm with both": func(m *frozentest.Maker, x int) int {
		return m.Layer("layer", frozen.LayerNorm{Axis: 2, Eps: 0.25, RMS: true}, frozentest.ReLU(), nil, x, m.Weight("gamma", []int{6}, nil), m.Weight("beta", []int{6}, nil))
	},
	"group norm": func(m *frozentest.Maker, x int) int {
		return m.Layer("layer", frozen.GroupNorm{Groups: 2, Eps: 0.25}, nil, nil, x, m.Weight("gamma", []int{4}, nil), m.Weight("beta", []int{4}, nil))
	},
	"smallest": func(m *frozentest.Maker, x int) int {
		return m.Layer("layer", frozen.Reduce{Fn: "min", Axes: []int{1}}, nil, nil, x)
	},
	"minimum":   pairNet("min"),
	"maximum":   pairNet("max"),
	"less":      pairNet("less"),
	"at most":   pairNet("less_equal"),
	"greater":   pairNet("greater"),
	"at least":  pairNet("greater_equal"),
	"equal":     pairNet("equal"),
	"not equal": pairNet("not_equal"),
}

func pairNet(fn string) func(m *frozentest.Maker, x int) int {
	return func(m *frozentest.Maker, x int) int {
		return m.Layer("layer", frozen.Binary{Fn: fn}, nil, nil, x, m.Weight("b", []int{4, 1}, nil))
	}
}

func sameRun(t *testing.T, back, fz *frozen.Network, x []float32) {
	t.Helper()
	got, err := back.Run(x)
	if err != nil {
		t.Fatal(err)
	}
	want, err := fz.Run(x)
	if err != nil {
		t.Fatal(err)
	}
	for i := range want[0] {
		if math.Float32bits(got[0][i]) != math.Float32bits(want[0][i]) {
			t.Fatalf("element %d is %v, want %v", i, got[0][i], want[0][i])
		}
	}
}

// sameNetwork compares names, layers, formats and codes.
func sameNetwork(t *testing.T, back, fz *frozen.Network) {
	t.Helper()
	if len(back.Layers) != len(fz.Layers) || len(back.Tensors) != len(fz.Tensors) {
		t.Fatalf("%d layers and %d tensors, want %d and %d", len(back.Layers), len(back.Tensors), len(fz.Layers), len(fz.Tensors))
	}
	for i, l := range fz.Layers {
		b := back.Layers[i]
		if b.Name != l.Name || b.Op.Kind() != l.Op.Kind() || (b.Act == nil) != (l.Act == nil) || l.Act != nil && *b.Act != *l.Act || back.Mode(i) != fz.Mode(i) {
			t.Errorf("layer %d is %s (%v, %v), want %s (%v, %v)", i, b.Name, b.Op, b.Act, l.Name, l.Op, l.Act)
		}
		for k, at := range append(l.Inputs, l.Output) {
			sameTensor(t, &back.Tensors[append(slices.Clone(b.Inputs), b.Output)[k]], &fz.Tensors[at])
		}
	}
}

func sameTensor(t *testing.T, got, want *frozen.Tensor) {
	t.Helper()
	if want.Const == nil && (got.Name != want.Name || !slices.Equal(got.Shape, want.Shape)) {
		t.Errorf("tensor %s %v, want %s %v", got.Name, got.Shape, want.Name, want.Shape)
	}
	if (got.Quant == nil) != (want.Quant == nil) || (got.Const == nil) != (want.Const == nil) {
		t.Errorf("tensor %s: quantized %v, want %v", want.Name, got.Quant, want.Quant)
		return
	}
	if want.Quant != nil {
		gl, gh := got.Quant.Spec.QRange()
		wl, wh := want.Quant.Spec.QRange()
		if gl != wl || gh != wh {
			t.Errorf("tensor %s is %v, want %v", want.Name, got.Quant.Spec, want.Quant.Spec)
		}
	}
	if want.Const == nil || !slices.Equal(got.Shape, want.Shape) {
		return // a transposed matrix: Run compares it
	}
	g, err := got.Values()
	if err != nil {
		t.Fatal(err)
	}
	w, err := want.Values()
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(g, w) && !isTransposed(want.Shape, g, w) { // a square matrix may be transposed too
		t.Errorf("tensor %s has other values", want.Name)
	}
}

// isTransposed reports whether g is the transpose of the matrix w of the given shape.
func isTransposed(shape []int, g, w []float32) bool {
	if len(shape) != 2 {
		return false
	}
	for i, v := range w {
		if g[i%shape[1]*shape[0]+i/shape[1]] != v {
			return false
		}
	}
	return true
}

// TestFrozenExternal: a model with its tensors in a second file comes back too.
func TestFrozenExternal(t *testing.T) {
	fz, x := freeze(t, "cnn_13_eval", qconfig.Config{})
	path := filepath.Join(t.TempDir(), "net.onnx")
	if err := onnxout.WriteFile(path, fz, onnxout.Options{ExternalAbove: 1, Bias: onnxout.BiasFloat}); err != nil {
		t.Fatal(err)
	}
	back, err := ReadFrozenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	sameRun(t, back, fz, x)
}

// TestFrozenRoundedBias: an int32 bias comes back as the float that it stands for, half
// a step of the sum away at most.
func TestFrozenRoundedBias(t *testing.T) {
	fz, x := freeze(t, "mlp_13_eval", qconfig.Config{})
	var file bytes.Buffer
	if err := onnxout.Write(&file, fz, onnxout.Options{Bias: onnxout.BiasInt32}); err != nil {
		t.Fatal(err)
	}
	back, err := ReadFrozen(&file)
	if err != nil {
		t.Fatal(err)
	}
	got, err := back.Run(x)
	if err != nil {
		t.Fatal(err)
	}
	want, err := fz.Run(x)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "with rounded biases", got[0], want[0], biasTol)
}

// biasTol is one step of each of the two 8-bit results in the network.
const biasTol = 2.0 / 255
