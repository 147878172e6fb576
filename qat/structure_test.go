package qat

import (
	"slices"
	"testing"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/qat/internal/plan"
	"github.com/goqat/goqat/qat/qconfig"
	"github.com/goqat/goqat/qat/report"
	"gorgonia.org/gorgonia"
)

// at returns the quantizer of a user's node, nil for a tensor that stays float.
func (n *net) at(node *gorgonia.Node) *fakequant.Quantizer {
	n.t.Helper()
	v := n.m.plan.Net.Value(node)
	if v == nil {
		n.t.Fatalf("node %v is not part of the network", node)
	}
	if g := n.m.plan.Families[v]; g != nil {
		return g.Quantizer
	}
	return nil
}

// layer returns a layer of the plan by name.
func (n *net) layer(name string) *plan.Layer {
	n.t.Helper()
	for _, l := range n.m.plan.Layers {
		if l.Name == name {
			return l
		}
	}
	n.t.Fatalf("no layer %q", name)
	return nil
}

// row returns the report's row of a layer's weight or activation.
func (n *net) row(layer, tensor string) report.Row {
	n.t.Helper()
	r, err := n.m.Report()
	if err != nil {
		n.t.Fatal(err)
	}
	for _, x := range r.Rows {
		if x.Layer == layer && x.Tensor == tensor {
			return x
		}
	}
	n.t.Fatalf("no row for the %s of %q in\n%v", tensor, layer, r)
	return report.Row{}
}

// wantFormat checks the format of a quantizer; "float32" means that there is none.
func wantFormat(t *testing.T, what string, q *fakequant.Quantizer, want string) {
	t.Helper()
	got := "float32"
	if q != nil {
		got = q.Spec().String()
	}
	if got != want {
		t.Errorf("%s: format %s, want %s", what, got, want)
	}
}

const (
	signed8   = "int8 symmetric per_tensor"
	unsigned8 = "uint8 symmetric per_tensor"
)

func TestPlacementConvPoolConv(t *testing.T) {
	g := gorgonia.NewGraph()
	x := leaf(g, "x", 2, 1, 8, 8)
	c1 := conv("conv1", x, 3, 3)
	r := relu(c1)
	pool := maxPool(r)
	y := conv("conv2", pool, 2, 3)
	n := prepare(t, qconfig.Config{QuantizeOutputs: true}, g, y)
	wantFormat(t, "input", n.at(x), signed8)
	wantFormat(t, "ReLU", n.at(r), unsigned8)
	wantFormat(t, "output", n.at(y), signed8)
	if n.at(r) != n.at(pool) {
		t.Error("max pooling has a quantizer of its own, want that of its input")
	}
	if n.at(x) == n.at(r) || n.at(r) == n.at(y) {
		t.Error("tensors of different layers share a quantizer")
	}
	if got := len(n.m.plan.Quantizers()); got != 5 {
		t.Errorf("%d quantizers, want 3 for activations and 2 for weights", got)
	}
	for _, name := range []string{"conv1", "conv2"} {
		wantFormat(t, name, n.layer(name).WeightQuantizer, "int8 symmetric per_channel(axis 0) narrow")
	}
	if _, err := n.m.Node(c1); err == nil {
		t.Error("Node of what lies inside a fused layer is no error")
	}
	n.step(n.machine(), 0)
	for _, node := range []*gorgonia.Node{x, r, y} {
		if p, err := n.at(node).Params(); err != nil || p.ZeroPoint[0] != 0 {
			t.Errorf("parameters %v, %v: want zero point 0", p, err)
		}
	}
	if got := n.row("max_pool_0", "activation").SharedWith; got != n.m.plan.Net.Value(r).Name {
		t.Errorf("the report says that the pool shares with %q", got)
	}
}

func TestPlacementBranches(t *testing.T) {
	g := gorgonia.NewGraph()
	x := leaf(g, "x", 4, 6)
	a, b := relu(fc("a", x, 3)), fc("b", x, 2)
	cat := must(gorgonia.Concat(1, a, b))
	s := must(gorgonia.Add(fc("c", cat, 5), fc("d", x, 5)))
	y := relu(s)
	n := prepare(t, qconfig.Config{QuantizeOutputs: true}, g, y)
	if n.at(a) != n.at(b) || n.at(a) != n.at(cat) {
		t.Error("the branches of a concatenation do not share one quantizer")
	}
	wantFormat(t, "concatenation of a ReLU and a signed branch", n.at(cat), signed8)
	wantFormat(t, "residual sum with ReLU", n.at(y), unsigned8)
	if _, err := n.m.Node(s); err == nil {
		t.Error("the ReLU behind the addition is not fused into it")
	}
	left, right := n.layer("c").Out.Node, n.layer("d").Out.Node
	if n.at(left) == nil || n.at(right) == nil || n.at(left) == n.at(right) {
		t.Error("the operands of an addition want a quantizer each")
	}
	n.step(n.machine(), 0)
	n.verify(n.freeze(), n.batch(3, 5))
}

// TestConcatOrder: a concatenation is unsigned only if every branch is.
func TestConcatOrder(t *testing.T) {
	for _, c := range []struct {
		a, b bool // whether the branch ends in a ReLU
		want string
	}{{false, false, signed8}, {true, false, signed8}, {false, true, signed8}, {true, true, unsigned8}} {
		g := gorgonia.NewGraph()
		x := leaf(g, "x", 4, 6)
		branch := func(name string, positive bool) *gorgonia.Node {
			y := fc(name, x, 2)
			if positive {
				y = relu(y)
			}
			return y
		}
		cat := must(gorgonia.Concat(1, branch("a", c.a), branch("b", c.b)))
		n := onlyPrepare(t, qconfig.Config{QuantizeOutputs: true}, g, cat)
		wantFormat(t, "concatenation", n.at(cat), c.want)
	}
}

// TestDropoutLeavesTheGrid: while training drops, the survivors are scaled and lie on
// no grid, so the product behind them is one of floats.
func TestDropoutLeavesTheGrid(t *testing.T) {
	g := gorgonia.NewGraph()
	drop := must(gorgonia.Dropout(leaf(g, "x", 4, 6), 0.25))
	y := must(gorgonia.Mul(drop, param(g, "fc.weight", 6, 3)))
	n := onlyPrepare(t, qconfig.Config{QuantizeOutputs: true}, g, y)
	values := func(v *gorgonia.Node) []float32 { return floats(t, v.Value()) }
	e := n.m.train
	out := e.Raw[n.m.plan.Net.Value(y)] // before its fake-quantizer
	in, w := n.node(drop), e.Weights[n.layer("fc")].Quant
	vm, err := n.m.Machine(out, in, w)
	if err != nil {
		t.Fatal(err)
	}
	n.feed(0)
	if err := vm.RunAll(); err != nil {
		t.Fatal(err)
	}
	xs, ws, got := values(in), values(w), values(out)
	for i := range got {
		var want, sum float64
		for k := range 6 {
			p := float64(xs[i/3*6+k]) * float64(ws[k*3+i%3])
			want, sum = want+p, sum+max(p, -p)
		}
		// Six products and five additions, each off by 2^-24 of the sum of magnitudes.
		if d := float64(got[i]) - want; max(d, -d) > 11*0x1p-24*sum {
			t.Errorf("element %d is %v, want %v", i, got[i], want)
		}
	}
}

// TestConcatConstant: the constant columns were never seen by a quantizer, so the
// result is quantized where it stands.
func TestConcatConstant(t *testing.T) {
	for _, first := range []bool{false, true} {
		g := gorgonia.NewGraph()
		x, c := leaf(g, "x", 4, 6), param(g, "columns", 4, 2)
		h := relu(fc("a", x, 3))
		pair := []*gorgonia.Node{h, c}
		if first {
			slices.Reverse(pair)
		}
		cat := must(gorgonia.Concat(1, pair...))
		n := prepare(t, qconfig.Config{QuantizeOutputs: true}, g, fc("b", cat, 2))
		n.step(n.machine(), 0)
		n.verify(n.freeze(), n.batch(1, 4))
		if first && n.at(cat) == nil {
			t.Error("the concatenation stayed float")
		}
	}
}

func TestFixedRanges(t *testing.T) {
	g := gorgonia.NewGraph()
	x := leaf(g, "x", 4, 6)
	s := must(gorgonia.Sigmoid(fc("a", x, 3)))
	h := must(gorgonia.Tanh(fc("b", s, 3)))
	n := prepare(t, qconfig.Config{QuantizeOutputs: true}, g, h)
	for _, c := range []struct {
		node   *gorgonia.Node
		format string
		scale  float32
	}{{s, unsigned8, 1.0 / 256}, {h, signed8, 2.0 / 256}} {
		q := n.at(c.node)
		wantFormat(t, c.format, q, c.format)
		p, err := q.Params() // before any data
		if err != nil || p.Scale[0] != c.scale || p.ZeroPoint[0] != 0 {
			t.Errorf("parameters %v, %v: want scale %v and zero point 0", p, err, c.scale)
		}
	}
	n.step(n.machine(), 0)
	if p, err := n.at(s).Params(); err != nil || p.Scale[0] != 1.0/256 {
		t.Errorf("training changed the fixed parameters to %v, %v", p, err)
	}
}

func TestLayerSettings(t *testing.T) {
	wide := &qconfig.Layer{Weights: qconfig.Tensor{Bits: 4}, Activations: qconfig.Tensor{Bits: 6}}
	three := &qconfig.Layer{Weights: qconfig.Tensor{Bits: 3}}
	for _, c := range []struct {
		name       string
		cfg        qconfig.Config
		a, b       string // formats of the weights
		x, mid, y  string // formats of the activations
		why1, why2 string // reasons in the report for the weights of a and b
	}{
		{"default", qconfig.Config{QuantizeOutputs: true}, "int8", "int8", "int8", "uint8", "int8", "", ""},
		{"by name off", qconfig.Config{QuantizeOutputs: true, Names: map[string]*qconfig.Layer{"a": nil}}, "", "int8", "", "uint8", "int8", "left float by the config", ""},
		{"last by name off", qconfig.Config{QuantizeOutputs: true, Names: map[string]*qconfig.Layer{"b": nil}}, "int8", "", "int8", "uint8", "", "", "left float by the config"},
		{"by type off", qconfig.Config{QuantizeOutputs: true, Types: map[string]*qconfig.Layer{"matmul": nil}}, "", "", "", "", "", "left float by the config", "left float by the config"},
		{"only one by name", qconfig.Config{QuantizeOutputs: true, Global: &qconfig.Layer{Weights: qconfig.Tensor{Off: true}, Activations: qconfig.Tensor{Off: true}},
			Names: map[string]*qconfig.Layer{"b": {Weights: qconfig.Tensor{Bits: 8}, Activations: qconfig.Tensor{Bits: 8}}}},
			"", "int8", "", "uint8", "int8", "left float by the config", ""},
		{"weights only", qconfig.Config{QuantizeOutputs: true, Global: &qconfig.Layer{Activations: qconfig.Tensor{Off: true}}}, "int8", "int8", "", "", "", "", ""},
		{"activations only", qconfig.Config{QuantizeOutputs: true, Global: &qconfig.Layer{Weights: qconfig.Tensor{Off: true}}}, "", "", "int8", "uint8", "int8", "", ""},
		{"global", qconfig.Config{QuantizeOutputs: true, Global: wide}, "int4", "int4", "int6", "uint6", "int6", "", ""},
		{"type over global", qconfig.Config{QuantizeOutputs: true, Global: wide, Types: map[string]*qconfig.Layer{"matmul": three}}, "int3", "int3", "int6", "uint6", "int6", "", ""},
		{"name over type", qconfig.Config{QuantizeOutputs: true, Types: map[string]*qconfig.Layer{"matmul": wide}, Names: map[string]*qconfig.Layer{"a": three}},
			"int3", "int4", "int8", "uint8", "int6", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := gorgonia.NewGraph()
			x := leaf(g, "x", 4, 6)
			h := relu(fc("a", x, 5))
			y := fc("b", h, 3)
			n := prepare(t, c.cfg, g, y)
			for _, part := range []struct {
				what string
				q    *fakequant.Quantizer
				want string
			}{{"weights of a", n.layer("a").WeightQuantizer, c.a}, {"weights of b", n.layer("b").WeightQuantizer, c.b},
				{"x", n.at(x), c.x}, {"between", n.at(h), c.mid}, {"y", n.at(y), c.y}} {
				got := ""
				if part.q != nil {
					got = part.q.Spec().DType()
				}
				if got != part.want {
					t.Errorf("%s: %q, want %q", part.what, got, part.want)
				}
			}
			n.step(n.machine(), 0)
			n.verify(n.freeze(), n.batch(1, 7))
			for name, want := range map[string]string{"a": c.why1, "b": c.why2} {
				if got := n.row(name, "weight").Why; got != want {
					t.Errorf("the report gives %q as the reason for %s, want %q", got, name, want)
				}
			}
		})
	}
}

// TestBlockSizes: a size for many layers is cut to the axis of each.
func TestBlockSizes(t *testing.T) {
	blocks := qconfig.Tensor{Granularity: qconfig.PerBlock, BlockSize: 4}
	for name, cfg := range map[string]qconfig.Config{
		"global": {Global: &qconfig.Layer{Weights: blocks}},
		"type":   {Types: map[string]*qconfig.Layer{"matmul": {Weights: blocks}}},
		"inherited by a name": {Global: &qconfig.Layer{Weights: blocks},
			Names: map[string]*qconfig.Layer{"b": {Weights: qconfig.Tensor{Bits: 4}}}},
	} {
		g := gorgonia.NewGraph()
		x := leaf(g, "x", 4, 6)
		n := prepare(t, cfg, g, fc("b", relu(fc("a", x, 3)), 2))
		if got := n.layer("a").WeightQuantizer.Spec().BlockSize; got != 4 {
			t.Errorf("%s: blocks of %d on an axis of 6, want 4", name, got)
		}
		if got := n.layer("b").WeightQuantizer.Spec().BlockSize; got != 3 {
			t.Errorf("%s: blocks of %d on an axis of 3, want the whole axis", name, got)
		}
		n.step(n.machine(), 0)
		n.verify(n.freeze(), n.batch(1, 3))
	}
}

// TestScalarsStayFloat: a cost among the outputs is computed, not quantized.
func TestScalarsStayFloat(t *testing.T) {
	g, _, y := mlp()
	mean := must(gorgonia.Mean(y))
	both := must(gorgonia.Add(mean, must(gorgonia.Sum(y))))
	n := prepare(t, qconfig.Config{QuantizeOutputs: true}, g, both)
	if n.at(mean) != nil || n.at(both) != nil {
		t.Error("a scalar has a quantizer")
	}
	if why := n.row("add_2", "activation").Why; why == "" {
		t.Error("the report does not say why the scalar sum stays float")
	}
	n.step(n.machine(), 0)
	n.verify(n.freeze(), n.batch(1, 4))
}

// TestReshapedScalar: a scalar that becomes a vector again is quantized there, and
// not where it has no axis.
func TestReshapedScalar(t *testing.T) {
	g, _, y := mlp()
	sum := must(gorgonia.Sum(y))
	vector := must(gorgonia.Reshape(sum, []int{1, 1}))
	n := prepare(t, qconfig.Config{QuantizeOutputs: true}, g, fc("after", vector, 2))
	if n.at(sum) != nil || n.at(vector) == nil {
		t.Errorf("quantizers: %v on the scalar, %v on the vector", n.at(sum), n.at(vector))
	}
	n.step(n.machine(), 0)
	n.verify(n.freeze(), n.batch(1, 4))
}
