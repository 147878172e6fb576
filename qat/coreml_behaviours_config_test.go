package qat

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/internal/nn"
	"github.com/goqat/goqat/internal/ops"
	"github.com/goqat/goqat/qat/qconfig"
	"gorgonia.org/gorgonia"
)

// behavePrecedence: a name beats a type beats the global settings, null skips a
// layer and leaves its neighbours alone. Where Core ML Tools takes a field that is
// left out from the class, so does its form here; goqat's own form takes it from
// global. Mixed schemes and algorithms, which theirs refuses, are supported.
func behavePrecedence(t *testing.T) {
	const text = "global_config: {weight_dtype: quint8}\n" +
		"module_type_configs: {Conv2d: {weight_dtype: qint4, quantization_scheme: affine}}\n" +
		"module_name_configs: {c2: {weight_dtype: quint4, algorithm: learnable}, c3: null}\n"
	c, err := qconfig.ReadYAML(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	x := imageInput()
	h := relu(conv("c2", relu(conv("c1", x, 3, 3)), 3, 3))
	mid := relu(conv("c3", h, 3, 3))
	n := prepare(t, c, x.Graph(), fc("f", flatRows(mid), 3))
	for layer, want := range map[string]string{
		"c1": "int4 affine per_channel(axis 0)",
		"c2": "uint4 symmetric per_channel(axis 0)",
		"c3": "float32",
		"f":  "uint8 symmetric per_channel(axis 1)",
	} {
		wantFormat(t, "weights of "+layer, n.layer(layer).WeightQuantizer, want)
	}
	if !n.layer("c2").WeightQuantizer.Learned() || n.layer("c1").WeightQuantizer.Learned() {
		t.Error("the algorithm of c2 is not its own")
	}
	wantFormat(t, "x, of an affine layer", n.at(x), "uint8 affine per_tensor")
	wantFormat(t, "before the skipped layer", n.at(h), unsigned8)
	wantFormat(t, "behind it", n.at(mid), unsigned8) // the neighbour asks for it
	n.live(2)
	for text, want := range map[string]string{
		"global_config: {wieght_dtype: qint8}":    `unknown key: did you mean "weight_dtype"?`,
		"global_config: {weight_dtype: int32}":    `unknown value "int32"`,
		"global_config: {milestones: [0, 1]}":     `2 numbers: want 4`,
		"global_config: {activation_dtype: int8}": `unknown value "int8"`,
	} {
		if _, err := qconfig.ReadYAML(strings.NewReader(text)); !errors.Is(err, qconfig.ErrConfig) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %s", text, err, want)
		}
	}
	mixed, err := qconfig.ReadYAML(strings.NewReader("global_config: {}\nmodule_type_configs: {Linear: {quantization_scheme: affine, algorithm: learnable}}"))
	if err != nil {
		t.Fatal(err)
	}
	var notes []string
	for _, note := range mixed.Notes() {
		notes = append(notes, note.Text)
	}
	for _, what := range []string{"quantization_scheme", "algorithm"} {
		if !slices.Contains(notes, "layers differ in their "+what+": Core ML Tools refuses that, here each layer has its own") {
			t.Errorf("no note about the mixed %s in %q", what, notes)
		}
	}
}

// behaveFinalize: frozen weights lie on their grid, so rounding them again changes
// nothing; batch normalisation is gone; a skipped layer has no trace of
// quantization; freezing and reporting change nothing.
func behaveFinalize(t *testing.T) {
	x := imageInput()
	y := fc("skipped", flatRows(relu(batchNorm("bn", conv("c", x, 3, 3)))), 3)
	n := prepare(t, qconfig.Config{QuantizeOutputs: true, Names: map[string]*qconfig.Layer{"skipped": nil}}, x.Graph(), y)
	n.step(n.machine(), 0)
	before := n.snapshot()
	fz := n.freeze()
	report, err := n.m.Report(n.batch(2, 2)...)
	if err != nil {
		t.Fatal(err)
	}
	after := n.snapshot()
	sameBits(t, "parameters", after.params, before.params)
	sameBits(t, "statistics", after.stats, before.stats)
	for i := range before.states {
		if string(after.states[i].Observers[0]) != string(before.states[i].Observers[0]) || after.states[i].Phase != before.states[i].Phase {
			t.Errorf("freezing or reporting changed quantizer %s", before.states[i].Name)
		}
	}
	for _, l := range fz.Layers {
		if l.Op.Kind() == "batch_norm" {
			t.Errorf("layer %s is a batch normalisation", l.Name)
		}
	}
	found := 0
	for _, tensor := range fz.Tensors {
		switch tensor.Name {
		case "skipped.weight":
			if found++; tensor.Quant != nil {
				t.Error("the skipped layer's weights have a format")
			}
		case "c.weight":
			found++
			values, err := tensor.Values()
			if err != nil {
				t.Fatal(err)
			}
			codes, err := tensor.Codes()
			if err != nil {
				t.Fatal(err)
			}
			l, err := tensor.Quant.Spec.Layout(tensor.Shape)
			if err != nil {
				t.Fatal(err)
			}
			again := make([]int32, len(values))
			if err := fakequant.Quantize(again, values, l, tensor.Quant.Spec, tensor.Quant.Params); err != nil {
				t.Fatal(err)
			}
			wantCodes(t, "rounded again", again, codes...)
		}
	}
	if found != 2 {
		t.Errorf("%d of the two weights found", found)
	}
	// The report is in network order: input, then weight and activation of each layer.
	var rows []string
	for _, r := range report.Rows {
		if r.Layer != "" && (r.Kind == "input" || r.Tensor == "weight") {
			rows = append(rows, r.Layer)
		}
		if r.Tensor == "weight" && r.Layer == "c" && math.IsNaN(float64(r.RMSE)) {
			t.Error("no error measured for the weights of c")
		}
	}
	if !slices.Equal(rows, []string{"x", "c", "skipped"}) {
		t.Errorf("rows %q", rows)
	}
}

// behaveBlocks: shapes of the scales by block, the threshold, and the packing of
// codes. Where a block size does not divide the axis, Core ML Tools skips the
// weights with a warning; here the last block is shorter. Gorgonia has no transposed
// convolution.
func behaveBlocks(t *testing.T) {
	for _, c := range []struct {
		name  string
		build func() *gorgonia.Node
		block int
		want  []int // shape of the scales
	}{
		{"conv", func() *gorgonia.Node { return conv("l", leaf(gorgonia.NewGraph(), "x", 2, 8, 4, 4), 3, 3) }, 4, []int{3, 2, 1, 1}},
		{"conv, one block", func() *gorgonia.Node { return conv("l", leaf(gorgonia.NewGraph(), "x", 2, 8, 4, 4), 3, 3) }, 8, []int{3, 1, 1, 1}},
		{"matmul, weights [in, out]", func() *gorgonia.Node { return fc("l", leaf(gorgonia.NewGraph(), "x", 4, 6), 5) }, 2, []int{3, 5}},
		{"linear, weights [out, in]", func() *gorgonia.Node {
			x := leaf(gorgonia.NewGraph(), "x", 4, 6)
			return must(ops.Apply(nn.MatMul{TransB: true}, x, param(x.Graph(), "l.weight", 5, 6)))
		}, 2, []int{5, 3}},
		{"not divisible", func() *gorgonia.Node { return fc("l", leaf(gorgonia.NewGraph(), "x", 4, 7), 5) }, 3, []int{3, 5}},
	} {
		y := c.build()
		cfg := qconfig.Config{QuantizeOutputs: true, Global: &qconfig.Layer{Weights: qconfig.Tensor{Bits: 4, Granularity: qconfig.PerBlock, BlockSize: c.block}}}
		n := prepare(t, cfg, y.Graph(), y)
		l := n.m.plan.Layers[0]
		for _, candidate := range n.m.plan.Layers {
			if candidate.Weighted {
				l = candidate
			}
		}
		layout, err := l.WeightQuantizer.Spec().Layout(l.In[1].Shape)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(layout.ParamShape(), c.want) {
			t.Errorf("%s: scales of shape %v, want %v", c.name, layout.ParamShape(), c.want)
		}
		n.live(1)
	}
	// weight_threshold is strict: only weights with more elements are compressed.
	for threshold, want := range map[string]string{"29": "int8 symmetric per_channel(axis 1) narrow", "30": "float32"} {
		c, err := qconfig.ReadYAML(strings.NewReader("global_config: {mode: linear_symmetric, weight_threshold: " + threshold + "}"))
		if err != nil {
			t.Fatal(err)
		}
		x := leaf(gorgonia.NewGraph(), "x", 4, 6)
		n := prepare(t, c, x.Graph(), fc("l", x, 5))
		wantFormat(t, "30 weights, threshold "+threshold, n.layer("l").WeightQuantizer, want)
		if n.activationQuantizers() != 0 {
			t.Error("a config for weights quantizes activations")
		}
	}
	for _, signed := range []bool{false, true} {
		codes := []int32{7, 0, 3, 1, 5}
		if signed {
			codes = []int32{7, -8, -1, 0, 5}
		}
		packed, err := fakequant.Pack4(codes)
		if err != nil {
			t.Fatal(err)
		}
		if first := byte(codes[0]&15 | codes[1]&15<<4); packed[0] != first || len(packed) != 3 {
			t.Errorf("%v packs to % x: want the first code in the low half, two to a byte", codes, packed)
		}
		again := make([]int32, len(codes))
		if err := fakequant.Unpack4(again, packed, signed); err != nil {
			t.Fatal(err)
		}
		wantCodes(t, "unpacked", again, codes...)
	}
}
