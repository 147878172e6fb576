package onnx

import (
	"fmt"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/qat/frozen"
)

// netCase is a network and what ONNX Runtime is to make of it.
type netCase struct {
	name string
	make func(m *maker) *frozen.Network
	// kernels are node types that the fully optimised graph must have.
	kernels []string
	// without are node types that it must not have.
	without []string
	// deep networks may differ by one more step, when a code inside differs.
	deep bool
	// float is the tolerance of a result that is not quantized, relative to its
	// largest magnitude; 0 means floatTolerance.
	float float64
	// rare is the share of codes that may differ without optimisation; 0 means
	// rareShare.
	rare float64
	opt  Options
}

func allCases() []netCase {
	var all []netCase
	for _, list := range [][]netCase{convCases(), linearCases(), kindCases(), extraCases(), unaryCases(), wholeCases()} {
		all = append(all, list...)
	}
	return all
}

func convCases() []netCase {
	asym := frozen.Conv{Stride: [2]int{2, 1}, Pad: [4]int{0, 1, 2, 0}, Dilation: [2]int{1, 2}, Groups: 1}
	mk := func(o frozen.Conv, x, w, y *fakequant.Spec, act *frozen.Unary, bias bool) func(*maker) *frozen.Network {
		return func(m *maker) *frozen.Network { return convNet(m, o, x, w, y, act, bias) }
	}
	q := []string{"QLinearConv"}
	cases := []netCase{
		{name: "relu unsigned", make: mk(convOf(1, 1, 1), i8, perChannel(8, 0), u8, relu(), true), kernels: q},
		{name: "relu6", make: mk(convOf(1, 1, 1), u8a, perChannel(8, 0), u8, relu6(), true), kernels: q},
		{name: "int32 bias", make: mk(convOf(1, 1, 1), i8, perChannel(8, 0), u8, relu(), true), opt: Options{Bias: BiasInt32}, kernels: q},
		{name: "no bias", make: mk(asym, u8a, perTensor(8), u8a, nil, false), kernels: q},
		{name: "asymmetric window", make: mk(asym, i8, perChannel(8, 0), i8, nil, true), kernels: q},
		{name: "depthwise", make: mk(convOf(1, 1, 6), i8, perChannel(8, 0), u8, relu(), true), kernels: q},
		{name: "groups", make: mk(convOf(2, 1, 2), u8a, perChannel(8, 0), i8, nil, true), kernels: q},
		{name: "leaky", make: mk(convOf(1, 1, 1), i8, perChannel(8, 0), i8, &frozen.Unary{Fn: "leaky_relu", Alpha: 0.1}, true)},
		{name: "float result", make: mk(convOf(1, 1, 1), i8, perChannel(8, 0), nil, nil, true)},
		{name: "narrow result", make: mk(convOf(1, 1, 1), i8n, perChannel(8, 0), i8n, nil, true)},
		{name: "4-bit activations", make: mk(convOf(1, 1, 1), u4a, perChannel(4, 0), u4a, nil, true)},
		{name: "6-bit", make: mk(convOf(1, 1, 1), i6, perChannel(6, 0), i6, nil, true)},
		{name: "weights only", make: mk(convOf(1, 1, 1), nil, perChannel(4, 0), nil, relu(), true)},
		{name: "float weights", make: mk(convOf(1, 1, 1), i8, nil, i8, nil, true), without: q},
		{name: "float", make: mk(convOf(1, 1, 2), nil, nil, nil, relu(), true)},
	}
	for _, bits := range []int{2, 3, 4, 8} {
		for _, w := range []*fakequant.Spec{perTensor(bits), perChannel(bits, 0), perBlock(bits, 1, 2), perBlock(bits, 1, 4), perBlock(bits, 1, 6),
			affine(perChannel(bits, 0), false), affine(perBlock(bits, 1, 4), true)} {
			for _, act := range []*frozen.Unary{relu(), nil} {
				y := i8
				if act != nil {
					y = u8
				}
				cases = append(cases, netCase{name: fmt.Sprint(w, " act ", act != nil), make: mk(convOf(1, 1, 1), i8, w, y, act, act != nil)})
			}
		}
	}
	for i := range cases {
		cases[i].name = "conv " + cases[i].name
	}
	return cases
}

func linearCases() []netCase {
	mk := func(o frozen.MatMul, x, w, y *fakequant.Spec, act *frozen.Unary, bias bool) func(*maker) *frozen.Network {
		return func(m *maker) *frozen.Network { return linearNet(m, o, x, w, y, act, bias) }
	}
	ab, abT, aTb := frozen.MatMul{}, frozen.MatMul{TransB: true}, frozen.MatMul{TransA: true}
	g, nbits := []string{"QGemm"}, []string{"MatMulNBits"}
	cases := []netCase{
		{name: "in out", make: mk(ab, i8, perChannel(8, 1), i8, nil, true), kernels: g},
		{name: "out in", make: mk(abT, u8a, perChannel(8, 0), u8, relu(), true), kernels: g},
		{name: "no bias", make: mk(abT, u8a, perTensor(8), u8a, nil, false), kernels: g},
		{name: "float result", make: mk(ab, i8, perChannel(8, 1), nil, nil, true), kernels: g},
		{name: "gelu-like result", make: mk(ab, i8, perTensor(8), u8, &frozen.Unary{Fn: "sigmoid"}, true), kernels: g},
		{name: "left transposed", make: mk(aTb, i8, perChannel(8, 1), nil, nil, true)},
		{name: "unsigned weights", make: mk(ab, i8, affine(perChannel(8, 1), true), i8, nil, true)},
		{name: "float weights", make: mk(ab, i8, nil, i8, nil, true), without: g},
		{name: "float", make: mk(abT, nil, nil, nil, relu(), true)},
		{name: "external data", make: mk(abT, nil, nil, nil, relu(), true), opt: Options{ExternalAbove: 1}},
		{name: "int32 bias", make: mk(ab, i8, perChannel(8, 1), i8, nil, true), opt: Options{Bias: BiasInt32}, kernels: g},
		{name: "weights only out in", make: mk(abT, nil, perChannel(8, 0), nil, nil, true), kernels: nbits},
		{name: "weights only out in per block", make: mk(abT, nil, perBlock(4, 1, 16), nil, nil, true), kernels: nbits},
		{name: "weights only along the wrong axis", make: mk(ab, nil, perChannel(8, 0), nil, nil, true)},
	}
	for _, bits := range []int{2, 3, 4, 8} {
		for name, x := range map[string]*fakequant.Spec{"only": nil, "int8": i8} {
			for _, w := range []*fakequant.Spec{perTensor(bits), perChannel(bits, 1), perBlock(bits, 0, 16), perBlock(bits, 0, 40),
				affine(perChannel(bits, 1), false), affine(perBlock(bits, 0, 16), true)} {
				c := netCase{name: fmt.Sprint(name, " ", w), make: mk(ab, x, w, x, nil, true)}
				if x == nil {
					c.kernels = nbits
				}
				cases = append(cases, c)
			}
			w := perBlock(bits, 1, 16)
			cases = append(cases, netCase{name: fmt.Sprint(name, " out in ", w), make: mk(abT, x, w, x, nil, true)})
		}
	}
	for i := range cases {
		cases[i].name = "linear " + cases[i].name
	}
	return cases
}

// averageTies is for averages of 2 to 6 codes between grids that are almost the same.
// Up to half of the averages of 2 lie at the middle between two codes, and float32
// rounding decides about a part of these; most windows here have more elements.
const averageTies = 0.1

// kindCases are the other layers, one each.
func kindCases() []netCase {
	one := func(op frozen.Op, shape []int, x, y *fakequant.Spec) func(*maker) *frozen.Network {
		return func(m *maker) *frozen.Network { return m.net(m.layer("layer", op, nil, y, m.input("x", shape, x))) }
	}
	pass := func(op frozen.Op, shape []int) func(*maker) *frozen.Network {
		return func(m *maker) *frozen.Network { return m.net(m.pass("layer", op, m.input("x", shape, u8a))) }
	}
	two := func(op frozen.Op, a, b []int, x, y *fakequant.Spec) func(*maker) *frozen.Network {
		return func(m *maker) *frozen.Network {
			return m.net(m.layer("layer", op, nil, y, m.input("a", a, x), m.input("b", b, x)))
		}
	}
	image := []int{-1, 3, 6, 6}
	max3 := frozen.Pool{Kernel: [2]int{3, 2}, Stride: [2]int{2, 2}, Pad: [4]int{1, 0, 0, 1}}
	avg3 := frozen.Pool{Average: true, Kernel: [2]int{3, 2}, Stride: [2]int{2, 2}, Pad: [4]int{1, 0, 0, 1}}
	avgX := avg3
	avgX.ExcludePad = true
	cases := []netCase{
		{name: "max pool", make: pass(max3, image), kernels: []string{"MaxPool"}},
		{name: "max pool float", make: one(max3, image, nil, nil)},
		{name: "max pool to another grid", make: one(max3, image, i8, u8a)},
		{name: "avg pool", make: one(avg3, image, i8, i8), rare: averageTies},
		{name: "avg pool without padding", make: one(avgX, image, u8a, u8a), rare: averageTies},
		{name: "avg pool float", make: one(avg3, image, nil, nil)},
		{name: "global avg pool", make: one(frozen.GlobalAvgPool{}, image, u8a, u8a), kernels: []string{"QLinearGlobalAveragePool"}},
		{name: "reshape", make: pass(frozen.Reshape{Shape: []int{-1, 9, 12}}, image)},
		{name: "reshape to a multiple of the batch", make: pass(frozen.Reshape{Shape: []int{-1, 36}}, image)},
		{name: "reshape to a vector", make: pass(frozen.Reshape{Shape: []int{-1}}, image)},
		{name: "transpose", make: pass(frozen.Transpose{Perm: []int{2, 0, 3, 1}}, image)},
		{name: "slice", make: pass(frozen.Slice{Axis: 2, Start: 1, End: 6, Step: 2}, image)},
		{name: "slice and squeeze", make: pass(frozen.Slice{Axis: 1, Start: 2, End: 3, Step: 1, Squeeze: true}, image)},
		{name: "dropout", make: pass(frozen.Dropout{P: 0.5}, image)},
		{name: "softmax", make: one(frozen.Softmax{Axis: 1}, []int{-1, 10}, i8, u8)},
		{name: "softmax float", make: one(frozen.Softmax{Axis: 2}, image, nil, nil)},
		{name: "log softmax", make: one(frozen.Softmax{Axis: 1, Log: true}, []int{-1, 10}, i8, nil)},
		{name: "reduce all", make: one(frozen.Reduce{Fn: "sum", Axes: []int{0, 1}}, []int{-1, 3}, nil, nil)},
		{name: "quantized constant", make: func(m *maker) *frozen.Network {
			return m.net(m.layer("add", frozen.Binary{Fn: "add"}, nil, i8, m.input("x", []int{-1, 6}, i8), m.weight("c", []int{6}, perChannel(4, 0))))
		}},
		{name: "scalar", make: func(m *maker) *frozen.Network {
			return m.net(m.layer("mul", frozen.Binary{Fn: "mul"}, nil, nil, m.input("x", []int{-1, 6}, nil), m.values("c", []int{}, []float32{1.5}, nil)))
		}},
		{name: "activations product", kernels: []string{"QLinearMatMul"}, make: two(frozen.MatMul{}, []int{-1, 4, 6}, []int{-1, 6, 5}, i8, i8)},
		{name: "activations product transposed", make: two(frozen.MatMul{TransA: true, TransB: true}, []int{-1, 6, 4}, []int{-1, 5, 6}, u8a, i8)},
		{name: "stacked weights", make: func(m *maker) *frozen.Network {
			return m.net(m.layer("mm", frozen.MatMul{TransB: true}, nil, i8, m.input("x", []int{2, 4, 6}, i8), m.weight("w", []int{2, 5, 6}, perChannel(8, 1)), m.weight("b", []int{5}, nil)))
		}},
		{name: "stacked weights only", make: func(m *maker) *frozen.Network {
			return m.net(m.layer("mm", frozen.MatMul{}, nil, nil, m.input("x", []int{2, 4, 6}, nil), m.weight("w", []int{2, 6, 5}, perBlock(4, 1, 4)), m.weight("b", []int{5}, nil)))
		}},
		{name: "batch norm", make: batchNormNet([]int{-1, 5, 4, 4}, nil)},
		{name: "batch norm of a matrix", make: batchNormNet([]int{-1, 5}, i8)},
	}
	for _, fn := range []string{"sum", "mean", "max"} {
		for name, s := range map[string]*fakequant.Spec{"": i8, " float": nil} {
			cases = append(cases, netCase{name: "reduce " + fn + name, make: one(frozen.Reduce{Fn: fn, Axes: []int{1, 3}}, image, s, s)})
		}
	}
	for _, fn := range []string{"add", "sub", "mul", "div", "pow"} {
		c := netCase{name: fn, make: two(frozen.Binary{Fn: fn}, image, []int{3, 1, 6}, i8, i8)}
		if fn == "div" || fn == "pow" {
			c.make = func(m *maker) *frozen.Network {
				x := m.layer("exp", frozen.Unary{Fn: "exp"}, nil, nil, m.input("x", image, nil))
				return m.net(m.layer("layer", frozen.Binary{Fn: fn}, nil, nil, x, m.input("b", []int{1, 6}, nil)))
			}
			c.float = 1e-5 // quotients near 0 and powers: a few roundings of float32 in a chain
		}
		cases = append(cases, c)
	}
	return cases
}

func batchNormNet(shape []int, s *fakequant.Spec) func(*maker) *frozen.Network {
	return func(m *maker) *frozen.Network {
		in := []int{m.input("x", shape, s)}
		for _, name := range []string{"gamma", "beta", "mean"} {
			in = append(in, m.weight(name, []int{5}, nil))
		}
		in = append(in, m.values("variance", []int{5}, []float32{0.5, 1, 2, 0.1, 3}, nil))
		return m.net(m.layer("bn", frozen.BatchNorm{Eps: 1e-5}, nil, s, in...))
	}
}

// unaryCases are all functions, in float; those with a domain get positive inputs.
func unaryCases() []netCase {
	var cases []netCase
	for _, fn := range []string{"relu", "clip", "leaky_relu", "sigmoid", "tanh", "exp", "log", "log2", "neg", "abs", "sign", "ceil", "floor",
		"sin", "cos", "square", "sqrt", "cube", "inv", "inv_sqrt", "log1p", "expm1", "softplus", "erf"} {
		cases = append(cases, netCase{name: "unary " + fn, float: 2e-6, make: func(m *maker) *frozen.Network {
			x := m.input("x", []int{-1, 50}, nil)
			switch fn {
			case "log", "log2", "sqrt", "inv", "inv_sqrt", "log1p":
				x = m.layer("square", frozen.Unary{Fn: "square"}, nil, nil, x)
			}
			return m.net(m.layer("layer", frozen.Unary{Fn: fn, Alpha: 0.2, Min: -1, Max: 0.5}, nil, nil, x))
		}})
	}
	for _, fn := range []string{"sigmoid", "tanh", "leaky_relu"} {
		cases = append(cases, netCase{name: "unary quantized " + fn, make: func(m *maker) *frozen.Network {
			return m.net(m.layer("layer", frozen.Unary{Fn: fn, Alpha: 0.2}, nil, u8a, m.input("x", []int{-1, 50}, u8a)))
		}})
	}
	return cases
}

// wholeCases are networks of several layers.
func wholeCases() []netCase {
	cases := []netCase{
		{name: "shared weights", make: sharedNet, deep: true},
		{name: "odd outputs", make: oddOutputsNet},
		{name: "dead channel, int32 bias", make: deadNet(0), opt: Options{Bias: BiasInt32}, kernels: []string{"QLinearConv"}},
		{name: "dead channel", make: deadNet(0), kernels: []string{"QLinearConv"}},
		{name: "nearly dead channel", make: deadNet(2e-6)},
	}
	for _, bits := range []int{2, 3, 4, 8} {
		for name, w := range map[string]func(in int) *fakequant.Spec{
			"tensor":  func(int) *fakequant.Spec { return perTensor(bits) },
			"channel": func(int) *fakequant.Spec { return perChannel(bits, 0) },
			"block":   func(in int) *fakequant.Spec { return perBlock(bits, 1, min(in, 4)) },
		} {
			c := netCase{name: fmt.Sprint("mobile ", bits, " bits per ", name), deep: true, make: func(m *maker) *frozen.Network { return mobileNet(m, w) }}
			if bits == 8 && name != "block" {
				c.kernels = []string{"QLinearConv", "QGemm", "QLinearAdd", "QLinearConcat", "QLinearAveragePool"}
			}
			cases = append(cases, c)
		}
	}
	return cases
}

// mobileNet has a residual block with a depthwise convolution, a concat, pools, and
// a linear classifier.
func mobileNet(m *maker, w func(in int) *fakequant.Spec) *frozen.Network {
	conv := func(name string, x, in, out, kernel, groups int, act *frozen.Unary, y *fakequant.Spec) int {
		return m.layer(name, convOf(1, kernel/2, groups), act, y, x,
			m.weight(name+".weight", []int{out, in / groups, kernel, kernel}, w(in/groups)), m.weight(name+".bias", []int{out}, nil))
	}
	x := m.input("image", []int{-1, 3, 8, 8}, i8)
	stem := conv("stem", x, 3, 8, 3, 1, relu6(), u8)
	pooled := m.pass("pool", frozen.Pool{Kernel: [2]int{2, 2}, Stride: [2]int{2, 2}}, stem)
	deep := conv("depthwise", pooled, 8, 8, 3, 8, relu(), u8)
	point := conv("pointwise", deep, 8, 8, 1, 1, relu(), u8)
	sum := m.layer("residual", frozen.Binary{Fn: "add"}, relu(), u8, pooled, point)
	avg := m.layer("avg", frozen.Pool{Average: true, Kernel: [2]int{2, 2}, Stride: [2]int{1, 1}, Pad: [4]int{1, 1, 0, 0}}, nil, u8, sum)
	cat := m.layer("concat", frozen.Concat{Axis: 1}, nil, u8, sum, avg)
	gap := m.layer("gap", frozen.GlobalAvgPool{}, nil, u8, cat)
	flat := m.pass("flatten", frozen.Reshape{Shape: []int{-1, 16}}, gap)
	logits := m.layer("fc", frozen.MatMul{TransB: true}, nil, i8, flat, m.weight("fc.weight", []int{10, 16}, w(16)), m.weight("fc.bias", []int{10}, nil))
	return m.net(logits)
}

// sharedNet reads one weight as a factor in both layouts, in float and in integers,
// and as a number.
func sharedNet(m *maker) *frozen.Network {
	w := m.weight("w", []int{6, 6}, perTensor(8))
	a, b := m.input("a", []int{-1, 6}, i8), m.input("b", []int{-1, 6}, nil)
	y := m.layer("one", frozen.MatMul{}, nil, i8, a, w)
	y = m.layer("two", frozen.MatMul{TransB: true}, nil, i8, y, w)
	y = m.layer("three", frozen.MatMul{}, nil, i8, y, w)
	z := m.layer("four", frozen.MatMul{TransB: true}, nil, nil, b, w)
	z = m.layer("five", frozen.MatMul{}, nil, nil, z, w)
	sum := m.layer("six", frozen.Reduce{Fn: "sum", Axes: []int{0}}, nil, nil, w)
	return m.net(y, z, sum)
}

// oddOutputsNet returns an input, a constant, an inner tensor and one tensor twice.
// Names collide with those that the exporter makes.
func oddOutputsNet(m *maker) *frozen.Network {
	x, other := m.input("x", []int{-1, 4}, i8), m.input("x_quantized", []int{-1, 4}, nil)
	c := m.weight("x_scale", []int{4}, perChannel(4, 0))
	y := m.layer("add", frozen.Binary{Fn: "add"}, nil, u8a, x, c)
	z := m.layer("add/DequantizeLinear", frozen.Binary{Fn: "mul"}, nil, nil, y, other)
	return m.net(z, x, c, y, y, other)
}

// deadNet has a channel with a bias far above its weights, which are about size: 0,
// or some steps of the smallest scale, where the bias is beyond int32.
func deadNet(size float32) func(*maker) *frozen.Network {
	return func(m *maker) *frozen.Network {
		w := m.random(4*3, 0.4)
		for i := range 3 {
			w[3+i] *= size
		}
		x := m.input("x", []int{-1, 3, 2, 2}, i8)
		y := m.layer("conv", convOf(1, 0, 1), nil, i8, x, m.values("conv.weight", []int{4, 3, 1, 1}, w, perChannel(8, 0)),
			m.values("conv.bias", []int{4}, []float32{0.1, 300, -0.1, 0}, nil))
		return m.net(y)
	}
}
