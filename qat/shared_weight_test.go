package qat

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/goqat/goqat/qat/export/coremlout"
	"github.com/goqat/goqat/qat/export/onnxout"
	"github.com/goqat/goqat/qat/export/packedout"
	"github.com/goqat/goqat/qat/frozen"
	"github.com/goqat/goqat/qat/ptq"
	"github.com/goqat/goqat/qat/qconfig"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// unrolled is h = tanh(x_t·W + h·U) over so many steps, batches of 4.
func unrolled(steps int) (g *gorgonia.ExprGraph, y *gorgonia.Node) {
	const batch, in, hidden = 4, 16, 64
	g = gorgonia.NewGraph()
	x := leaf(g, "x", batch, steps, in)
	w, u := param(g, "W", in, hidden), param(g, "U", hidden, hidden)
	for t := range steps {
		a := must(gorgonia.Mul(must(gorgonia.Slice(x, nil, gorgonia.S(t))), w))
		if y != nil {
			a = must(gorgonia.Add(a, must(gorgonia.Mul(y, u))))
		}
		y = must(gorgonia.Tanh(a))
	}
	return g, y
}

// quantizedConstants are the names of a network's constants that have codes, and its
// bytes of constants.
func quantizedConstants(t *testing.T, fz *frozen.Network) (names []string, bytes int) {
	t.Helper()
	for _, x := range fz.Tensors {
		if x.Const != nil && x.Quant != nil {
			names = append(names, x.Name)
			bytes += len(x.Const.Codes) + 4*len(x.Quant.Params.Scale)
		}
	}
	return names, bytes
}

// The weights of a network that is unrolled over 40 steps are two: they have two
// quantizers, two rows, two learned scales and, at 4 bits, at most 5 kB in any file.
func TestUnrolledWeights(t *testing.T) {
	const steps, limit = 40, 5000
	for _, est := range []qconfig.Estimator{qconfig.STE, qconfig.LSQ} {
		cfg := qconfig.Config{Global: &qconfig.Layer{Weights: qconfig.Tensor{Bits: 4, Estimator: est}}}
		g, y := unrolled(steps)
		n := prepare(t, cfg, g, y)
		vm := n.machine()
		for i := range 3 {
			n.step(vm, i)
		}
		fz := n.freeze()
		n.verify(fz, n.batch(7, 3))
		names, stored := quantizedConstants(t, fz)
		if !slices.Equal(names, []string{"W.weight", "U.weight"}) || stored > limit {
			t.Errorf("%s: %d bytes of quantized constants %q, want W and U once, at most %d bytes", est, stored, names, limit)
		}
		if got, want := len(n.m.Scales()), map[qconfig.Estimator]int{qconfig.STE: 0, qconfig.LSQ: 2}[est]; got != want {
			t.Errorf("%s: %d learned scales, want %d", est, got, want)
		}
		r, err := n.m.Report()
		if err != nil {
			t.Fatal(err)
		}
		rows := 0
		for _, x := range r.Rows {
			if x.Tensor == "weight" {
				rows++
			}
		}
		if rows != 2 || r.FloatBytes != 4*(16*64+64*64) || r.Bytes > limit {
			t.Errorf("%s: %d rows of weights, %d → %d bytes", est, rows, r.FloatBytes, r.Bytes)
		}
		if _, size := fz.Size(); size != r.FloatBytes {
			t.Errorf("%s: the frozen network stands for %d bytes of parameters, want %d", est, size, r.FloatBytes)
		}
	}
}

// What each step adds to a file is its description of the layers, not weights.
func TestUnrolledFiles(t *testing.T) {
	sizes := map[string][]int{}
	for _, steps := range []int{20, 40} {
		cfg := qconfig.Config{Global: &qconfig.Layer{Weights: qconfig.Tensor{Bits: 4}, Activations: qconfig.Tensor{Off: true}}}
		g, y := unrolled(steps)
		n := onlyPrepare(t, cfg, g, y)
		fz := n.freeze()
		var f, o, p bytes.Buffer
		if err := fz.Write(&f); err != nil {
			t.Fatal(err)
		}
		if err := onnxout.Write(&o, fz, onnxout.Options{}); err != nil {
			t.Fatal(err)
		}
		if _, err := packedout.Write(&p, fz, packedout.Options{}); err != nil {
			t.Fatal(err)
		}
		dir := filepath.Join(t.TempDir(), "m.mlpackage")
		if err := coremlout.WriteDir(dir, fz, coremlout.Options{Target: coremlout.IOS18}); err != nil {
			t.Fatal(err)
		}
		weights, err := os.Stat(filepath.Join(dir, "Data", "com.apple.CoreML", "weights", "weight.bin"))
		if err != nil {
			t.Fatal(err)
		}
		for name, size := range map[string]int{"frozen": f.Len(), "onnx": o.Len(), "packed": p.Len(), "coreml": int(weights.Size())} {
			sizes[name] = append(sizes[name], size)
		}
	}
	// One copy of U alone is 2,048 bytes of codes.
	for name, s := range sizes {
		if per := (s[1] - s[0]) / 20; per > 2000 {
			t.Errorf("%s: %d bytes a step", name, per)
		}
	}
	if s := sizes["packed"]; s[0] != s[1] {
		t.Errorf("packed: %d bytes for 20 steps, %d for 40", s[0], s[1])
	}
	if s := sizes["coreml"]; s[0] != s[1] {
		t.Errorf("Core ML: %d bytes of weights for 20 steps, %d for 40", s[0], s[1])
	}
}

// One tensor of codes for each memory, axis and setting, whatever stands between.
func TestWeightsOfOneMemory(t *testing.T) {
	perTensor := &qconfig.Layer{Weights: qconfig.Tensor{Granularity: qconfig.PerTensor}}
	twice := func(second func(w *gorgonia.Node) *gorgonia.Node) func() (*gorgonia.ExprGraph, *gorgonia.Node) {
		return func() (*gorgonia.ExprGraph, *gorgonia.Node) {
			g := gorgonia.NewGraph()
			w := param(g, "w", 6, 6)
			h := relu(must(gorgonia.Mul(leaf(g, "x", 4, 6), w)))
			return g, must(gorgonia.Mul(h, second(w)))
		}
	}
	same := func(w *gorgonia.Node) *gorgonia.Node { return w }
	transposed := func(w *gorgonia.Node) *gorgonia.Node { return must(gorgonia.Transpose(w)) }
	for _, c := range []struct {
		name   string
		cfg    qconfig.Config
		build  func() (*gorgonia.ExprGraph, *gorgonia.Node)
		stored int
	}{
		{"twice", qconfig.Config{}, twice(same), 1},
		{"transposed, per channel", qconfig.Config{}, twice(transposed), 2},
		{"transposed, per tensor", qconfig.Config{Global: perTensor}, twice(transposed), 1},
		{"turned back", qconfig.Config{}, twice(func(w *gorgonia.Node) *gorgonia.Node { return transposed(transposed(w)) }), 1},
		{"reshaped and back", qconfig.Config{}, twice(func(w *gorgonia.Node) *gorgonia.Node {
			return must(gorgonia.Reshape(must(gorgonia.Reshape(w, tensor.Shape{36})), tensor.Shape{6, 6}))
		}), 1},
		{"other settings", qconfig.Config{Names: map[string]*qconfig.Layer{"w#2": {Weights: qconfig.Tensor{Bits: 4}}}}, twice(same), 2},
		{"two leaves on one memory", qconfig.Config{}, func() (*gorgonia.ExprGraph, *gorgonia.Node) {
			g := gorgonia.NewGraph()
			w := param(g, "w", 6, 6)
			w2 := leaf(g, "w2", 6, 6)
			if err := gorgonia.Let(w2, w.Value()); err != nil {
				t.Fatal(err)
			}
			return g, must(gorgonia.Mul(relu(must(gorgonia.Mul(leaf(g, "x", 4, 6), w))), w2))
		}, 1},
	} {
		g, y := c.build()
		n := prepare(t, c.cfg, g, y)
		vm := n.machine()
		for i := range 3 {
			n.step(vm, i)
		}
		fz := n.freeze()
		if names, _ := quantizedConstants(t, fz); len(names) != c.stored {
			t.Errorf("%s: %d quantized constants %q, want %d", c.name, len(names), names, c.stored)
		}
		n.verify(fz, n.batch(5, 9))
	}
}

// Post-training helpers look at all uses of a weight and find one answer.
func TestPostTrainingOfSharedWeights(t *testing.T) {
	g, y := unrolled(6)
	n := onlyPrepare(t, qconfig.Config{Global: &qconfig.Layer{Weights: qconfig.Tensor{Bits: 4}}}, g, y)
	var data [][][]float32
	for i := range 4 {
		data = append(data, n.batch(i, 4))
	}
	if _, err := n.m.PostTraining(slices.Values(data), ptq.Options{}); err != nil {
		t.Fatal(err)
	}
	fz := n.freeze()
	n.verify(fz, n.batch(9, 4))
	if names, _ := quantizedConstants(t, fz); len(names) != 2 {
		t.Errorf("quantized constants %q, want two", names)
	}
	biases := map[string]bool{}
	for _, x := range fz.Tensors {
		if x.Const != nil && x.Quant == nil {
			biases[fmt.Sprint(x.Const.Values)] = true
		}
	}
	if len(biases) > 2 {
		t.Errorf("%d corrections, want one for each weight", len(biases))
	}
}
