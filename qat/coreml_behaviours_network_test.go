package qat

import (
	"slices"
	"strings"
	"testing"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/qat/qconfig"
	"gorgonia.org/gorgonia"
)

// behaveFusions: no quantizer stands between the parts of a pattern, the longest
// pattern wins, and the weights inside have the range of their format.
func behaveFusions(t *testing.T) {
	g := gorgonia.NewGraph
	rows := func() *gorgonia.Node { return leaf(g(), "x", 4, 6) }
	pair := func(shape ...int) (x, z *gorgonia.Node) {
		graph := g()
		return leaf(graph, "x", shape...), leaf(graph, "z", shape...)
	}
	two := func(fn func(a, b *gorgonia.Node) (*gorgonia.Node, error), act func(*gorgonia.Node) *gorgonia.Node) *gorgonia.Node {
		x, z := pair(4, 6)
		return act(must(fn(x, z)))
	}
	tanh := func(x *gorgonia.Node) *gorgonia.Node { return must(gorgonia.Tanh(x)) }
	for _, c := range []struct {
		name    string
		y       *gorgonia.Node
		acts    int // quantizers of activations: those of the inputs, and one
		weights int
	}{
		{"conv bn", batchNorm("bn", conv("c", imageInput(), 3, 3)), 2, 1},
		{"conv relu", relu(conv("c", imageInput(), 3, 3)), 2, 1},
		{"conv sigmoid", must(gorgonia.Sigmoid(conv("c", imageInput(), 3, 3))), 2, 1},
		{"conv bn relu", relu(batchNorm("bn", conv("c", imageInput(), 3, 3))), 2, 1},
		{"conv bn relu6", relu6(batchNorm("bn", conv("c", imageInput(), 3, 3))), 2, 1},
		{"conv bn leaky_relu", leakyReLU(batchNorm("bn", conv("c", imageInput(), 3, 3))), 2, 1},
		{"conv softplus", must(gorgonia.Softplus(conv("c", imageInput(), 3, 3))), 2, 1},
		{"linear bias relu", relu(fc("f", rows(), 5)), 2, 1},
		{"linear bn", batchNorm("bn", fc("f", rows(), 5)), 2, 1},
		{"linear bn tanh", tanh(batchNorm("bn", fc("f", rows(), 5))), 2, 1}, // theirs leaves the activation out
		{"bn relu", relu(batchNorm("bn", imageInput())), 2, 0},
		{"bn relu on rows", relu(batchNorm("bn", rows())), 2, 0}, // theirs: images only
		{"add relu", two(gorgonia.Add, relu), 3, 0},
		{"sub leaky_relu", two(gorgonia.Sub, leakyReLU), 3, 0}, // theirs leaves sub out
		{"mul tanh", two(gorgonia.HadamardProd, tanh), 3, 0},
		{"matmul relu", func() *gorgonia.Node {
			graph := g()
			return relu(must(gorgonia.BatchedMatMul(leaf(graph, "x", 4, 2, 3), leaf(graph, "z", 4, 3, 2))))
		}(), 3, 0},
	} {
		n := onlyPrepare(t, qconfig.Config{QuantizeOutputs: true, Global: &qconfig.Layer{Weights: qconfig.Tensor{Bits: 4, NarrowRange: qconfig.No}}}, c.y.Graph(), c.y)
		if got := n.activationQuantizers(); got != c.acts {
			t.Errorf("%s: %d quantizers of activations, want %d", c.name, got, c.acts)
		}
		if n.at(c.y) == nil {
			t.Errorf("%s: the result of the pattern has no quantizer", c.name)
		}
		if got := n.weightQuantizers(); got != c.weights {
			t.Errorf("%s: %d quantizers of weights, want %d", c.name, got, c.weights)
		}
		for _, q := range n.m.plan.Quantizers()[c.acts:] {
			if lo, hi := q.Spec().QRange(); lo != -8 || hi != 7 {
				t.Errorf("%s: codes %d to %d in a 4-bit layer", c.name, lo, hi)
			}
		}
		if err := n.m.Calibrate(n.batch(0, 4)...); err != nil {
			t.Fatal(err)
		}
		n.verify(n.freeze(), n.batch(1, 4))
	}
}

// behaveReLU: after ReLU and ReLU6 the symmetric scheme has codes 0 to 255 with zero
// point 0. Other tensors are int8 with zero point 0, where Core ML Tools trains
// quint8 with zero point 128 and rewrites it on conversion: the same values.
func behaveReLU(t *testing.T) {
	for _, c := range []struct {
		name string
		act  func(*gorgonia.Node) *gorgonia.Node
		want string
	}{{"relu", relu, unsigned8}, {"relu6", relu6, unsigned8}, {"leaky_relu", leakyReLU, signed8}, {"none", func(x *gorgonia.Node) *gorgonia.Node { return x }, signed8}} {
		x := imageInput()
		y := c.act(conv("c", x, 3, 3))
		n := prepare(t, qconfig.Config{QuantizeOutputs: true}, x.Graph(), y)
		n.step(n.machine(), 0)
		wantFormat(t, c.name, n.at(y), c.want)
		p, err := n.at(y).Params()
		if err != nil {
			t.Fatal(err)
		}
		_, hi, _ := n.at(y).Range()
		lo, _, _ := n.at(y).Range()
		want := max(-lo[0], hi[0]) / 127.5
		if c.want == unsigned8 {
			want = hi[0] / 255
		}
		if p.ZeroPoint[0] != 0 || p.Scale[0] != want {
			t.Errorf("%s: %v, want scale %v and zero point 0", c.name, p, want)
		}
		if c.want == signed8 { // the same grid as quint8 with zero point 128
			theirs := fitted{fakequant.Spec{Unsigned: true}, fakequant.Params{Scale: p.Scale, ZeroPoint: []int32{128}}}
			ours := fitted{fakequant.Spec{}, p}
			for _, v := range []float32{lo[0], hi[0], 0, lo[0] / 3, 1e9, -1e9} {
				if a, b := ours.codes(t, v), theirs.codes(t, v); a[0]+128 != b[0] {
					t.Errorf("%v is %d here and %d there", v, a[0], b[0])
				}
			}
		}
	}
}

// behavePropagation: sums, products and concatenations are unsigned only if all
// they are made of is.
func behavePropagation(t *testing.T) {
	join := map[string]func(a, b *gorgonia.Node) *gorgonia.Node{
		"add": addNodes,
		"mul": func(a, b *gorgonia.Node) *gorgonia.Node { return must(gorgonia.HadamardProd(a, b)) },
		"cat": func(a, b *gorgonia.Node) *gorgonia.Node { return must(gorgonia.Concat(1, a, b)) },
		// A difference of what is not negative may be.
		"sub": func(a, b *gorgonia.Node) *gorgonia.Node { return must(gorgonia.Sub(a, b)) },
	}
	for name, fn := range join {
		for _, positive := range [][2]bool{{true, true}, {true, false}, {false, true}, {false, false}} {
			x := imageInput()
			branch := func(name string, positive bool) *gorgonia.Node {
				if y := conv(name, x, 3, 3); positive {
					return relu(y)
				} else {
					return leakyReLU(y)
				}
			}
			a, b := branch("a", positive[0]), branch("b", positive[1])
			y := fn(a, b)
			n := prepare(t, qconfig.Config{QuantizeOutputs: true}, x.Graph(), y)
			want := signed8
			if positive[0] && positive[1] && name != "sub" {
				want = unsigned8
			}
			wantFormat(t, name, n.at(y), want)
			if name != "cat" {
				for i, op := range []*gorgonia.Node{a, b} {
					want := signed8
					if positive[i] {
						want = unsigned8
					}
					wantFormat(t, "operand of "+name, n.at(op), want)
				}
			}
			n.live(1)
		}
	}
}

// behaveSharing: what only moves values shares the quantizer of where they come
// from. Unlike theirs, that is also so for reshape, transpose and slice, and not for
// average pools: an average lies between the codes of its input, so it has a range
// of its own.
func behaveSharing(t *testing.T) {
	x := imageInput()
	h := relu(conv("c", x, 4, 3))
	pool := maxPool(h)
	turned := must(gorgonia.Transpose(pool, 0, 2, 3, 1))
	flat := flatRows(turned)
	part := must(gorgonia.Slice(flat, nil, gorgonia.S(0, 8)))
	cat := must(gorgonia.Concat(1, flat, part))
	y := fc("f", cat, 3)
	n := prepare(t, qconfig.Config{QuantizeOutputs: true}, x.Graph(), y)
	q := n.at(h)
	for name, node := range map[string]*gorgonia.Node{"max pool": pool, "transpose": turned, "flatten": flat, "slice": part, "concat": cat} {
		if n.at(node) != q {
			t.Errorf("%s does not share its input's quantizer", name)
		}
	}
	if got := n.activationQuantizers(); got != 3 {
		t.Errorf("%d quantizers, want one for x, one for the ReLU and all behind it, one for the output", got)
	}
	n.live(1)

	x = imageInput()
	h = relu(conv("c", x, 4, 3))
	mean := must(gorgonia.GlobalAveragePool2D(h))
	n = prepare(t, qconfig.Config{QuantizeOutputs: true}, x.Graph(), mean)
	wantFormat(t, "average", n.at(mean), unsigned8)
	if n.at(mean) == n.at(h) {
		t.Error("an average shares its input's quantizer")
	}
	n.live(1)
}

// behaveFixed: functions with a known range have fixed parameters, in both schemes
// and whatever is observed. Gorgonia has no hard sigmoid: one that is written as
// clip has the range of what it clips to. A softmax that leaves the network stays
// float: its loss takes logarithms.
func behaveFixed(t *testing.T) {
	for _, scheme := range []qconfig.SchemeSetting{qconfig.Symmetric, qconfig.Affine} {
		for _, c := range []struct {
			name   string
			act    func(*gorgonia.Node) *gorgonia.Node
			format string
			scale  float32
		}{
			{"sigmoid", func(x *gorgonia.Node) *gorgonia.Node { return must(gorgonia.Sigmoid(x)) }, unsigned8, 1.0 / 256},
			{"tanh", func(x *gorgonia.Node) *gorgonia.Node { return must(gorgonia.Tanh(x)) }, signed8, 2.0 / 256},
			{"softmax", func(x *gorgonia.Node) *gorgonia.Node { return must(gorgonia.SoftMax(x)) }, unsigned8, 1.0 / 256},
		} {
			x := leaf(gorgonia.NewGraph(), "x", 4, 6)
			mid := c.act(fc("a", x, 3))
			n := prepare(t, qconfig.Config{QuantizeOutputs: true, Global: &qconfig.Layer{Activations: qconfig.Tensor{Scheme: scheme}}}, x.Graph(), fc("b", mid, 3))
			wantFormat(t, c.name, n.at(mid), c.format)
			n.live(1)
			if p, err := n.at(mid).Params(); err != nil || p.Scale[0] != c.scale || p.ZeroPoint[0] != 0 {
				t.Errorf("%s, %s: %v, %v, want scale %v and zero point 0", c.name, scheme, p, err, c.scale)
			}
		}
	}
	x := leaf(gorgonia.NewGraph(), "x", 4, 6)
	y := must(gorgonia.SoftMax(fc("a", x, 3)))
	n := prepare(t, qconfig.Config{QuantizeOutputs: true}, x.Graph(), y)
	if n.at(y) != nil || !strings.Contains(n.row("softmax_0", "activation").Why, "would end training") {
		t.Errorf("softmax as output: %v, reason %q", n.at(y), n.row("softmax_0", "activation").Why)
	}
	n.live(1)
}

// behaveDropout: dropout has the quantizer of its input and adds none, before or
// behind it.
func behaveDropout(t *testing.T) {
	x := leaf(gorgonia.NewGraph(), "x", 4, 6)
	h := relu(fc("a", x, 5))
	drop := must(gorgonia.Dropout(h, 0.5))
	y := leakyReLU(fc("b", drop, 3))
	n := prepare(t, qconfig.Config{QuantizeOutputs: true}, x.Graph(), y)
	if n.at(drop) != n.at(h) || n.activationQuantizers() != 3 {
		t.Errorf("%d quantizers, want 3: of x, the ReLU with its dropout, and the output", n.activationQuantizers())
	}
	wantFormat(t, "dropout", n.at(drop), unsigned8)
	if sites := len(n.m.plan.Families[n.m.plan.Net.Value(h)].Sites); sites != 1 {
		t.Errorf("%d places where the shared quantizer rounds, want 1", sites)
	}
	n.live(1)
}

// behaveOneSided: weights only is no node for activations; activations only is two
// of them around a layer.
func behaveOneSided(t *testing.T) {
	for name, build := range map[string]func() *gorgonia.Node{
		"conv":   func() *gorgonia.Node { return conv("l", imageInput(), 3, 3) },
		"linear": func() *gorgonia.Node { return fc("l", leaf(gorgonia.NewGraph(), "x", 4, 6), 5) },
	} {
		for text, want := range map[string][2]int{
			`{"global_config": {"activation_dtype": "float32"}}`:                           {0, 1},
			`{"global_config": {"weight_dtype": "float32", "activation_dtype": "quint8"}}`: {2, 0},
			`{"global_config": {}}`: {2, 1},
		} {
			var c qconfig.Config
			if err := c.UnmarshalJSON([]byte(text)); err != nil {
				t.Fatal(err)
			}
			y := build()
			n := prepare(t, c, y.Graph(), y)
			if got := [2]int{n.activationQuantizers(), n.weightQuantizers()}; got != want {
				t.Errorf("%s, %s: %v quantizers of activations and weights, want %v", name, text, got, want)
			}
			n.live(2)
		}
	}
}

// behaveVerify: where Core ML Tools asks for 20 dB between the fake-quantized model
// and the converted one, every code must be equal here.
func behaveVerify(t *testing.T) {
	for _, text := range []string{
		`{}`,
		`{"global_config": {"algorithm": "learnable"}}`,
		`{"global_config": {"quantization_scheme": "affine", "weight_dtype": "quint8", "weight_per_channel": false}}`,
		`{"global_config": {"weight_dtype": "qint4", "activation_observer": "ema_min_max", "weight_observer": "min_max"}}`,
		`{"global_config": {"granularity": "per_block", "block_size": 2, "weight_dtype": "int4"}}`,
	} {
		var c qconfig.Config
		if err := c.UnmarshalJSON([]byte(text)); err != nil {
			t.Fatal(err)
		}
		x := imageInput()
		h := maxPool(relu6(batchNorm("bn", conv("c1", x, 4, 3))))
		h = relu(addNodes(conv("c2", h, 4, 3), h))
		h = must(gorgonia.HadamardProd(h, must(gorgonia.Sigmoid(conv("gate", h, 4, 1)))))
		y := fc("head", flatRows(batchNorm("bn2", h)), 3)
		n := prepare(t, c, x.Graph(), y)
		m := n.machine()
		for i := range 3 {
			n.step(m, i)
		}
		fz := n.freeze()
		v, err := n.m.Verify(fz, n.batch(7, 5)...)
		if err != nil {
			t.Fatal(err)
		}
		if !v.OK() || v.Checked == 0 {
			t.Errorf("%s: %d of %d codes differ, the first: %v", text, v.Differing, v.Checked, v.First)
		}
		want, err := n.m.Predict(n.batch(7, 5)...)
		if err != nil {
			t.Fatal(err)
		}
		got, err := fz.Run(n.batch(7, 5)...)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got[0], want[0]) {
			t.Errorf("%s: the frozen network returns %v, training %v", text, got[0], want[0])
		}
	}
}
