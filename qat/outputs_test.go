package qat

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/goqat/goqat/qat/export/onnxout"
	"github.com/goqat/goqat/qat/qconfig"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// quantized lists the activations that have codes, in network order.
func (n *net) quantized() []string {
	var names []string
	for _, v := range n.m.plan.Net.Values {
		if n.m.plan.Families[v] != nil {
			names = append(names, v.Name)
		}
	}
	return names
}

// TestOutputsStayFloat: what leaves the network is float, with all that lies between the
// last products and it and is for nothing else; the rest is quantized as ever.
func TestOutputsStayFloat(t *testing.T) {
	image := func(g *gorgonia.ExprGraph) *gorgonia.Node { return leaf(g, "x", 2, 3, 6, 6) }
	for _, c := range []struct {
		name  string
		build func(g *gorgonia.ExprGraph) gorgonia.Nodes
		want  string // names of the quantized activations
	}{
		{"a product", func(g *gorgonia.ExprGraph) gorgonia.Nodes { return gorgonia.Nodes{fc("a", leaf(g, "x", 4, 6), 3)} }, "x"},
		{"an activation", func(g *gorgonia.ExprGraph) gorgonia.Nodes {
			return gorgonia.Nodes{relu(fc("b", relu(fc("a", leaf(g, "x", 4, 6), 3)), 2))}
		}, "x relu_0.out"},
		{"probabilities", func(g *gorgonia.ExprGraph) gorgonia.Nodes {
			return gorgonia.Nodes{must(gorgonia.SoftMax(fc("a", leaf(g, "x", 4, 6), 3)))}
		}, "x"},
		{"heads that are joined", func(g *gorgonia.ExprGraph) gorgonia.Nodes {
			x := image(g)
			h := relu(conv("a", x, 4, 3))
			return gorgonia.Nodes{must(gorgonia.Concat(1, conv("b", h, 2, 1), conv("c", h, 3, 1)))}
		}, "x relu_0.out"},
		{"pooled and reshaped", func(g *gorgonia.ExprGraph) gorgonia.Nodes {
			y := maxPool(conv("a", image(g), 4, 3))
			return gorgonia.Nodes{must(gorgonia.Reshape(y, tensor.Shape{2, 36}))}
		}, "x"},
		{"a sum", func(g *gorgonia.ExprGraph) gorgonia.Nodes {
			x := leaf(g, "x", 4, 6)
			return gorgonia.Nodes{must(gorgonia.Add(x, fc("a", x, 6)))}
		}, "x"},
		{"nothing to multiply", func(g *gorgonia.ExprGraph) gorgonia.Nodes {
			return gorgonia.Nodes{must(gorgonia.Add(relu(leaf(g, "x", 4, 6)), param(g, "b", 4, 6)))}
		}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := gorgonia.NewGraph()
			n := prepare(t, qconfig.Config{}, g, c.build(g)...)
			if got := strings.Join(n.quantized(), " "); got != c.want {
				t.Errorf("quantized: %q, want %q", got, c.want)
			}
			n.step(n.machine(), 0)
			fz := n.freeze()
			n.verify(fz, n.batch(1, 3))
			for _, y := range fz.Outputs {
				if fz.Tensors[y].Quant != nil {
					t.Errorf("output %s has codes", fz.Tensors[y].Name)
				}
			}
		})
	}
}

// TestOutputReadOn: an output that another layer computes with is float all the same; that
// layer reads it rounded.
func TestOutputReadOn(t *testing.T) {
	g := gorgonia.NewGraph()
	h := relu(fc("a", leaf(g, "x", 4, 6), 5))
	y := fc("b", h, 3)
	n := prepare(t, qconfig.Config{}, g, h, y)
	if got, want := strings.Join(n.quantized(), " "), "x relu_0.out.rounded"; got != want {
		t.Errorf("quantized: %q, want %q", got, want)
	}
	if q := n.m.plan.Quantizers()[1]; !q.Spec().Unsigned {
		t.Errorf("%v behind a ReLU", q.Spec())
	}
	n.step(n.machine(), 0)
	fz := n.freeze()
	n.verify(fz, n.batch(1, 3))
	var b bytes.Buffer
	if err := onnxout.Write(&b, fz, onnxout.Options{}); err != nil {
		t.Fatal(err)
	}
	trace, err := fz.Trace(n.batch(1, 64)...)
	if err != nil {
		t.Fatal(err)
	}
	out, _ := trace.Values("relu_0.out")
	rounded, ok := trace.Values("relu_0.out.rounded")
	if !ok || len(out) != len(rounded) || slices.Equal(out, rounded) {
		t.Errorf("the output has %d elements, its rounded form %d: they have to differ", len(out), len(rounded))
	}
}

// TestOutputsOfOutputs: outputs that come of each other, and are read, are float, all of them;
// and their rounded forms have names that nothing else has.
func TestOutputsOfOutputs(t *testing.T) {
	image := func(g *gorgonia.ExprGraph) *gorgonia.Node { return relu(conv("a", leaf(g, "x", 2, 3, 6, 6), 4, 3)) }
	for _, c := range []struct {
		name  string
		build func(g *gorgonia.ExprGraph) gorgonia.Nodes
		want  string // names of the quantized activations
	}{
		{"reshaped", func(g *gorgonia.ExprGraph) gorgonia.Nodes {
			h := image(g)
			y := must(gorgonia.Reshape(h, tensor.Shape{2, 144}))
			return gorgonia.Nodes{y, fc("b", y, 3), h}
		}, "x reshape_0.out.rounded"},
		{"pooled", func(g *gorgonia.ExprGraph) gorgonia.Nodes {
			h := image(g)
			y := maxPool(h)
			return gorgonia.Nodes{h, y, conv("b", y, 2, 3), conv("c", h, 2, 3)}
		}, "x relu_0.out.rounded max_pool_0.out.rounded"},
		{"joined", func(g *gorgonia.ExprGraph) gorgonia.Nodes {
			h := image(g)
			a := conv("b", h, 2, 1)
			y := must(gorgonia.Concat(1, a, conv("c", h, 3, 1)))
			return gorgonia.Nodes{a, y, conv("d", y, 2, 3)}
		}, "x relu_0.out concat_0.out.rounded"},
		{"names that are taken", func(g *gorgonia.ExprGraph) gorgonia.Nodes {
			y := relu(fc("relu_0.out.rounded", leaf(g, "x", 4, 6), 3))
			return gorgonia.Nodes{y, fc("b", y, 2)}
		}, "x relu_0.out.rounded2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := gorgonia.NewGraph()
			n := onlyPrepare(t, qconfig.Config{}, g, c.build(g)...)
			if got := strings.Join(n.quantized(), " "); got != c.want {
				t.Errorf("quantized: %q, want %q", got, c.want)
			}
			if err := n.m.Calibrate(n.batch(0, 2)...); err != nil {
				t.Fatal(err)
			}
			fz := n.freeze()
			n.verify(fz, n.batch(1, 3))
			for _, y := range fz.Outputs {
				if fz.Tensors[y].Quant != nil {
					t.Errorf("output %s has codes", fz.Tensors[y].Name)
				}
			}
		})
	}
}

// TestOutputsAreNotClipped: an output far beyond what calibration has seen is as large as
// the integer sums make it.
func TestOutputsAreNotClipped(t *testing.T) {
	const far = 100
	for _, c := range []struct {
		cfg     qconfig.Config
		clipped bool
	}{{qconfig.Config{}, false}, {qconfig.Config{QuantizeOutputs: true}, true}} {
		g, _, y := mlp()
		n := onlyPrepare(t, c.cfg, g, y)
		x := n.batch(1, 4)
		if err := n.m.Calibrate(x...); err != nil {
			t.Fatal(err)
		}
		for _, p := range n.m.Learnables() {
			if p.Name() == "fc2.bias" {
				for i, b := 0, p.Value().Data().([]float32); i < len(b); i++ {
					b[i] += far
				}
			}
		}
		fz := n.freeze()
		n.verify(fz, x)
		out, err := fz.Run(x...)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range out[0] {
			if clipped := v < far/2; clipped != c.clipped {
				t.Errorf("%+v: %v near %v", c.cfg, v, far)
			}
		}
	}
}

// TestOutputSettings: entries of outputs and inputs, by name.
func TestOutputSettings(t *testing.T) {
	tensors := func(name string, s *qconfig.Tensor) map[string]*qconfig.Tensor {
		return map[string]*qconfig.Tensor{name: s}
	}
	four := &qconfig.Tensor{Bits: 4}
	for _, c := range []struct {
		name string
		cfg  qconfig.Config
		want string
		bits int // of the tensor that the entry is about; 0: float
	}{
		{"default", qconfig.Config{}, "x relu_0.out", 0},
		{"output", qconfig.Config{Outputs: tensors("fc2", &qconfig.Tensor{})}, "x relu_0.out add_1.out", 8},
		{"output's bits", qconfig.Config{Outputs: tensors("fc2", four)}, "x relu_0.out add_1.out", 4},
		{"output of a layer left float", qconfig.Config{Names: map[string]*qconfig.Layer{"fc2": nil}, Outputs: tensors("fc2", four)}, "x relu_0.out add_1.out", 4},
		{"output of weights only", qconfig.Config{Global: &qconfig.Layer{Activations: qconfig.Tensor{Off: true}}, Outputs: tensors("fc2", four)}, "add_1.out", 4},
		{"output by its own name", qconfig.Config{Outputs: tensors("add_1.out", four)}, "x relu_0.out add_1.out", 4},
		{"all outputs", qconfig.Config{QuantizeOutputs: true}, "x relu_0.out add_1.out", 8},
		{"all outputs but one", qconfig.Config{QuantizeOutputs: true, Outputs: tensors("fc2", nil)}, "x relu_0.out", 0},
		{"input", qconfig.Config{Inputs: tensors("x", four)}, "x relu_0.out", 4},
		{"input left float", qconfig.Config{Inputs: tensors("x", nil)}, "relu_0.out", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			g, x, y := mlp()
			n := prepare(t, c.cfg, g, y)
			if got := strings.Join(n.quantized(), " "); got != c.want {
				t.Errorf("quantized: %q, want %q", got, c.want)
			}
			about := y
			if c.cfg.Inputs != nil {
				about = x
			}
			bits := 0
			if q := n.at(about); q != nil {
				bits = q.Spec().Width()
			}
			if bits != c.bits {
				t.Errorf("%d bits, want %d", bits, c.bits)
			}
			n.step(n.machine(), 0)
			n.verify(n.freeze(), n.batch(1, 3))
		})
	}
}

// TestOutputSettingsRefused: names that the network does not have, and a single number.
func TestOutputSettingsRefused(t *testing.T) {
	g, _, y := mlp()
	for text, want := range map[string]string{
		"outputs:\n  fc1: {}": `line 2, column 3: outputs.fc1: no output "fc1": did you mean "fc2"?`,
		"inputs: {image: {}}": `line 1, column 10: inputs.image: no input "image": there are x`,
	} {
		cfg, err := qconfig.ReadYAML(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		_, err = Prepare(g, cfg, y)
		wantError(t, err, want)
	}
	scalar := must(gorgonia.Sum(must(gorgonia.Square(y))))
	_, err := Prepare(g, qconfig.Config{Outputs: map[string]*qconfig.Tensor{"reduce_sum_0.out": {}}}, y, scalar)
	wantError(t, err, "single number", "leave it out")
}

// TestExportFloatOutput: a float output is written without a quantizer behind it, and
// with its bias in float.
func TestExportFloatOutput(t *testing.T) {
	g, _, y := mlp()
	n := prepare(t, qconfig.Config{}, g, y)
	n.step(n.machine(), 0)
	var b bytes.Buffer
	if err := onnxout.Write(&b, n.freeze(), onnxout.Options{}); err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(b.Bytes(), []byte("add_1.out_scale")) || bytes.Contains(b.Bytes(), []byte("fc2.bias_quantized")) {
		t.Error("the output or its bias is quantized in the file")
	}
}
