package qat

import (
	"strings"
	"testing"

	"github.com/goqat/goqat/qat/qconfig"
	"gorgonia.org/gorgonia"
)

// TestCoreMLPrepare: kinds of layers that a network does not have are no mistake in
// such a file, and a name holds for all layers below it.
func TestCoreMLPrepare(t *testing.T) {
	c, err := qconfig.ReadYAML(strings.NewReader("global_config: {}\nmodule_type_configs: {Conv2d: null}\nmodule_name_configs: {head: {activation_dtype: float32, weight_dtype: qint4}, head.b.out: null}"))
	if err != nil {
		t.Fatal(err)
	}
	g := gorgonia.NewGraph()
	h := relu(fc("head.a", relu(fc("header", leaf(g, "x", 4, 6), 5)), 4))
	n := prepare(t, c, g, fc("head.b.out", relu(fc("head.b.in", h, 4)), 3))
	for name, want := range map[string]string{"header": "int8", "head.a": "int4", "head.b.in": "int4", "head.b.out": ""} {
		got := ""
		if q := n.layer(name).WeightQuantizer; q != nil {
			got = q.Spec().DType()
		}
		if got != want {
			t.Errorf("weights of %s: %q, want %q", name, got, want)
		}
	}
	n.step(n.machine(), 0)
	n.verify(n.freeze(), n.batch(1, 3))
	if err := (qconfig.Config{QuantizeOutputs: true, Names: map[string]*qconfig.Layer{"heads": nil}}).Validate(); err != nil {
		t.Error(err) // names are checked against a network
	}
}

// TestWeightThreshold: the limit itself stays float, one element more does not.
func TestWeightThreshold(t *testing.T) {
	for threshold, want := range map[int]string{0: "int8", 29: "int8", 30: "", 31: ""} {
		g := gorgonia.NewGraph()
		x := leaf(g, "x", 4, 6)
		n := prepare(t, qconfig.Config{QuantizeOutputs: true, Global: &qconfig.Layer{Weights: qconfig.Tensor{WeightThreshold: threshold}}}, g, fc("a", x, 5))
		got := ""
		if q := n.layer("a").WeightQuantizer; q != nil {
			got = q.Spec().DType()
		} else if why := n.row("a", "weight").Why; !strings.Contains(why, "30 weights, not more than the weight_threshold of") {
			t.Errorf("threshold %d: the report gives the reason %q", threshold, why)
		}
		if got != want {
			t.Errorf("threshold %d, 30 weights: format %q, want %q", threshold, got, want)
		}
		n.step(n.machine(), 0)
		n.verify(n.freeze(), n.batch(1, 2))
	}
}
