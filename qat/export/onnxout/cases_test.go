package onnxout

import (
	"fmt"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/qat/frozen"
	"github.com/goqat/goqat/qat/internal/frozentest"
)

// netCase is a network and what ONNX Runtime is to make of it.
type netCase struct {
	name string
	make func(m *frozentest.Maker) *frozen.Network
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
	mk := func(o frozen.Conv, x, w, y *fakequant.Spec, act *frozen.Unary, bias bool) func(*frozentest.Maker) *frozen.Network {
		return func(m *frozentest.Maker) *frozen.Network { return convNet(m, o, x, w, y, act, bias) }
	}
	q := []string{"QLinearConv"}
	cases := []netCase{
		{name: "relu unsigned", make: mk(frozentest.ConvOf(1, 1, 1), frozentest.I8, frozentest.PerChannel(8, 0), frozentest.U8, frozentest.ReLU(), true), kernels: q},
		{name: "relu6", make: mk(frozentest.ConvOf(1, 1, 1), frozentest.U8Affine, frozentest.PerChannel(8, 0), frozentest.U8, frozentest.ReLU6(), true), kernels: q},
		{name: "int32 bias", make: mk(frozentest.ConvOf(1, 1, 1), frozentest.I8, frozentest.PerChannel(8, 0), frozentest.U8, frozentest.ReLU(), true), opt: Options{Bias: BiasInt32}, kernels: q},
		{name: "no bias", make: mk(asym, frozentest.U8Affine, frozentest.PerTensor(8), frozentest.U8Affine, nil, false), kernels: q},
		{name: "asymmetric window", make: mk(asym, frozentest.I8, frozentest.PerChannel(8, 0), frozentest.I8, nil, true), kernels: q},
		{name: "depthwise", make: mk(frozentest.ConvOf(1, 1, 6), frozentest.I8, frozentest.PerChannel(8, 0), frozentest.U8, frozentest.ReLU(), true), kernels: q},
		{name: "groups", make: mk(frozentest.ConvOf(2, 1, 2), frozentest.U8Affine, frozentest.PerChannel(8, 0), frozentest.I8, nil, true), kernels: q},
		{name: "leaky", make: mk(frozentest.ConvOf(1, 1, 1), frozentest.I8, frozentest.PerChannel(8, 0), frozentest.I8, &frozen.Unary{Fn: "leaky_relu", Alpha: 0.1}, true)},
		{name: "float result", make: mk(frozentest.ConvOf(1, 1, 1), frozentest.I8, frozentest.PerChannel(8, 0), nil, nil, true)},
		{name: "narrow result", make: mk(frozentest.ConvOf(1, 1, 1), frozentest.I8Narrow, frozentest.PerChannel(8, 0), frozentest.I8Narrow, nil, true)},
		{name: "4-bit activations", make: mk(frozentest.ConvOf(1, 1, 1), frozentest.U4Affine, frozentest.PerChannel(4, 0), frozentest.U4Affine, nil, true)},
		{name: "6-bit", make: mk(frozentest.ConvOf(1, 1, 1), frozentest.I6Narrow, frozentest.PerChannel(6, 0), frozentest.I6Narrow, nil, true)},
		{name: "weights only", make: mk(frozentest.ConvOf(1, 1, 1), nil, frozentest.PerChannel(4, 0), nil, frozentest.ReLU(), true)},
		{name: "float weights", make: mk(frozentest.ConvOf(1, 1, 1), frozentest.I8, nil, frozentest.I8, nil, true), without: q},
		{name: "float", make: mk(frozentest.ConvOf(1, 1, 2), nil, nil, nil, frozentest.ReLU(), true)},
	}
	for _, bits := range []int{2, 3, 4, 8} {
		for _, w := range []*fakequant.Spec{frozentest.PerTensor(bits), frozentest.PerChannel(bits, 0), frozentest.PerBlock(bits, 1, 2), frozentest.PerBlock(bits, 1, 4), frozentest.PerBlock(bits, 1, 6),
			frozentest.Affine(frozentest.PerChannel(bits, 0), false), frozentest.Affine(frozentest.PerBlock(bits, 1, 4), true)} {
			for _, act := range []*frozen.Unary{frozentest.ReLU(), nil} {
				y := frozentest.I8
				if act != nil {
					y = frozentest.U8
				}
				cases = append(cases, netCase{name: fmt.Sprint(w, " act ", act != nil), make: mk(frozentest.ConvOf(1, 1, 1), frozentest.I8, w, y, act, act != nil)})
			}
		}
	}
	for i := range cases {
		cases[i].name = "conv " + cases[i].name
	}
	return cases
}

func linearCases() []netCase {
	mk := func(o frozen.MatMul, x, w, y *fakequant.Spec, act *frozen.Unary, bias bool) func(*frozentest.Maker) *frozen.Network {
		return func(m *frozentest.Maker) *frozen.Network { return linearNet(m, o, x, w, y, act, bias) }
	}
	ab, abT, aTb := frozen.MatMul{}, frozen.MatMul{TransB: true}, frozen.MatMul{TransA: true}
	g, nbits := []string{"QGemm"}, []string{"MatMulNBits"}
	cases := []netCase{
		{name: "in out", make: mk(ab, frozentest.I8, frozentest.PerChannel(8, 1), frozentest.I8, nil, true), kernels: g},
		{name: "out in", make: mk(abT, frozentest.U8Affine, frozentest.PerChannel(8, 0), frozentest.U8, frozentest.ReLU(), true), kernels: g},
		{name: "no bias", make: mk(abT, frozentest.U8Affine, frozentest.PerTensor(8), frozentest.U8Affine, nil, false), kernels: g},
		{name: "float result", make: mk(ab, frozentest.I8, frozentest.PerChannel(8, 1), nil, nil, true), kernels: g},
		{name: "gelu-like result", make: mk(ab, frozentest.I8, frozentest.PerTensor(8), frozentest.U8, &frozen.Unary{Fn: "sigmoid"}, true), kernels: g},
		{name: "left transposed", make: mk(aTb, frozentest.I8, frozentest.PerChannel(8, 1), nil, nil, true)},
		{name: "unsigned weights", make: mk(ab, frozentest.I8, frozentest.Affine(frozentest.PerChannel(8, 1), true), frozentest.I8, nil, true)},
		{name: "float weights", make: mk(ab, frozentest.I8, nil, frozentest.I8, nil, true), without: g},
		{name: "float", make: mk(abT, nil, nil, nil, frozentest.ReLU(), true)},
		{name: "external data", make: mk(abT, nil, nil, nil, frozentest.ReLU(), true), opt: Options{ExternalAbove: 1}},
		{name: "int32 bias", make: mk(ab, frozentest.I8, frozentest.PerChannel(8, 1), frozentest.I8, nil, true), opt: Options{Bias: BiasInt32}, kernels: g},
		{name: "weights only out in", make: mk(abT, nil, frozentest.PerChannel(8, 0), nil, nil, true), kernels: nbits},
		{name: "weights only out in per block", make: mk(abT, nil, frozentest.PerBlock(4, 1, 16), nil, nil, true), kernels: nbits},
		{name: "weights only along the wrong axis", make: mk(ab, nil, frozentest.PerChannel(8, 0), nil, nil, true)},
	}
	for _, bits := range []int{2, 3, 4, 8} {
		for name, x := range map[string]*fakequant.Spec{"only": nil, "int8": frozentest.I8} {
			for _, w := range []*fakequant.Spec{frozentest.PerTensor(bits), frozentest.PerChannel(bits, 1), frozentest.PerBlock(bits, 0, 16), frozentest.PerBlock(bits, 0, 40),
				frozentest.Affine(frozentest.PerChannel(bits, 1), false), frozentest.Affine(frozentest.PerBlock(bits, 0, 16), true)} {
				c := netCase{name: fmt.Sprint(name, " ", w), make: mk(ab, x, w, x, nil, true)}
				if x == nil {
					c.kernels = nbits
				}
				cases = append(cases, c)
			}
			w := frozentest.PerBlock(bits, 1, 16)
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
	one := func(op frozen.Op, shape []int, x, y *fakequant.Spec) func(*frozentest.Maker) *frozen.Network {
		return func(m *frozentest.Maker) *frozen.Network {
			return m.Net(m.Layer("layer", op, nil, y, m.Input("x", shape, x)))
		}
	}
	pass := func(op frozen.Op, shape []int) func(*frozentest.Maker) *frozen.Network {
		return func(m *frozentest.Maker) *frozen.Network {
			return m.Net(m.Pass("layer", op, m.Input("x", shape, frozentest.U8Affine)))
		}
	}
	two := func(op frozen.Op, a, b []int, x, y *fakequant.Spec) func(*frozentest.Maker) *frozen.Network {
		return func(m *frozentest.Maker) *frozen.Network {
			return m.Net(m.Layer("layer", op, nil, y, m.Input("a", a, x), m.Input("b", b, x)))
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
		{name: "max pool to another grid", make: one(max3, image, frozentest.I8, frozentest.U8Affine)},
		{name: "avg pool", make: one(avg3, image, frozentest.I8, frozentest.I8), rare: averageTies},
		{name: "avg pool without padding", make: one(avgX, image, frozentest.U8Affine, frozentest.U8Affine), rare: averageTies},
		{name: "avg pool float", make: one(avg3, image, nil, nil)},
		{name: "global avg pool", make: one(frozen.GlobalAvgPool{}, image, frozentest.U8Affine, frozentest.U8Affine), kernels: []string{"QLinearGlobalAveragePool"}},
		{name: "reshape", make: pass(frozen.Reshape{Shape: []int{-1, 9, 12}}, image)},
		{name: "reshape to a multiple of the batch", make: pass(frozen.Reshape{Shape: []int{-1, 36}}, image)},
		{name: "reshape to a vector", make: pass(frozen.Reshape{Shape: []int{-1}}, image)},
		{name: "transpose", make: pass(frozen.Transpose{Perm: []int{2, 0, 3, 1}}, image)},
		{name: "slice", make: pass(frozen.Slice{Axis: 2, Start: 1, End: 6, Step: 2}, image)},
		{name: "slice and squeeze", make: pass(frozen.Slice{Axis: 1, Start: 2, End: 3, Step: 1, Squeeze: true}, image)},
		{name: "take", make: pass(frozen.Take{Axis: 2, Index: []int{5, 0, 0, 3}}, image)},
		{name: "pad reflect", make: pass(frozen.Pad{Before: []int{0, 0, 2, 0}, After: []int{0, 0, 1, 3}, Mode: "reflect"}, image)},
		{name: "resize nearest", make: pass(frozen.Resize{Mode: "nearest", Coordinates: "half_pixel", Nearest: "round_prefer_floor", Axes: []int{2, 3}, Size: []int{9, 15}}, image)},
		{name: "resize to a size that scales miss", make: pass(frozen.Resize{Mode: "nearest", Coordinates: "asymmetric", Nearest: "floor", Axes: []int{2, 3}, Size: []int{12, 31}}, []int{-1, 3, 6, 7})},
		{name: "resize that keeps its aspect", make: pass(frozen.Resize{Mode: "nearest", Coordinates: "half_pixel", Nearest: "round_prefer_floor", Axes: []int{2, 3}, Size: []int{2, 3}, Scale: []float64{0.75, 0.75}}, []int{-1, 3, 2, 4})},
		{name: "resize linear", float: chainTolerance, make: one(frozen.Resize{Mode: "linear", Coordinates: "align_corners", Axes: []int{2, 3}, Size: []int{9, 15}}, image, nil, nil)},
		{name: "dropout", make: pass(frozen.Dropout{P: 0.5}, image)},
		{name: "softmax", make: one(frozen.Softmax{Axis: 1}, []int{-1, 10}, frozentest.I8, frozentest.U8)},
		{name: "softmax float", make: one(frozen.Softmax{Axis: 2}, image, nil, nil)},
		{name: "log softmax", make: one(frozen.Softmax{Axis: 1, Log: true}, []int{-1, 10}, frozentest.I8, nil)},
		{name: "softmax scaled", make: one(frozen.Softmax{Axis: 1, Scale: 0.3}, []int{-1, 10}, frozentest.I8, frozentest.U8)},
		{name: "softmax masked", make: func(m *frozentest.Maker) *frozen.Network {
			return m.Net(m.Layer("layer", frozen.Softmax{Axis: 2, Scale: 0.3}, nil, frozentest.U8, m.Input("x", []int{-1, 4, 6}, frozentest.I8), m.Weight("mask", []int{4, 6}, nil)))
		}},
		{name: "rms norm", float: chainTolerance, make: one(frozen.LayerNorm{Axis: 2, Eps: 1e-5, RMS: true}, image, nil, nil)},
		{name: "group norm", float: chainTolerance, make: one(frozen.GroupNorm{Groups: 3, Eps: 1e-5}, image, nil, nil)},
		{name: "reduce all", make: one(frozen.Reduce{Fn: "sum", Axes: []int{0, 1}}, []int{-1, 3}, nil, nil)},
		{name: "quantized constant", make: func(m *frozentest.Maker) *frozen.Network {
			return m.Net(m.Layer("add", frozen.Binary{Fn: "add"}, nil, frozentest.I8, m.Input("x", []int{-1, 6}, frozentest.I8), m.Weight("c", []int{6}, frozentest.PerChannel(4, 0))))
		}},
		{name: "scalar", make: func(m *frozentest.Maker) *frozen.Network {
			return m.Net(m.Layer("mul", frozen.Binary{Fn: "mul"}, nil, nil, m.Input("x", []int{-1, 6}, nil), m.Values("c", []int{}, []float32{1.5}, nil)))
		}},
		{name: "activations product", kernels: []string{"QLinearMatMul"}, make: two(frozen.MatMul{}, []int{-1, 4, 6}, []int{-1, 6, 5}, frozentest.I8, frozentest.I8)},
		{name: "activations product transposed", make: two(frozen.MatMul{TransA: true, TransB: true}, []int{-1, 6, 4}, []int{-1, 5, 6}, frozentest.U8Affine, frozentest.I8)},
		{name: "stacked weights", make: func(m *frozentest.Maker) *frozen.Network {
			return m.Net(m.Layer("mm", frozen.MatMul{TransB: true}, nil, frozentest.I8, m.Input("x", []int{2, 4, 6}, frozentest.I8), m.Weight("w", []int{2, 5, 6}, frozentest.PerChannel(8, 1)), m.Weight("b", []int{5}, nil)))
		}},
		{name: "stacked weights only", make: func(m *frozentest.Maker) *frozen.Network {
			return m.Net(m.Layer("mm", frozen.MatMul{}, nil, nil, m.Input("x", []int{2, 4, 6}, nil), m.Weight("w", []int{2, 6, 5}, frozentest.PerBlock(4, 1, 4)), m.Weight("b", []int{5}, nil)))
		}},
		{name: "batch norm", make: batchNormNet([]int{-1, 5, 4, 4}, nil)},
		{name: "batch norm of a matrix", make: batchNormNet([]int{-1, 5}, frozentest.I8)},
	}
	cases = append(cases, netCase{name: "where", make: func(m *frozentest.Maker) *frozen.Network {
		a := m.Input("a", image, nil)
		is := m.Layer("is", frozen.Binary{Fn: "greater"}, nil, nil, a, m.Values("zero", []int{}, []float32{0}, nil))
		return m.Net(m.Layer("layer", frozen.Where{}, nil, nil, is, a, m.Input("b", []int{3, 1, 6}, nil)))
	}})
	for _, fn := range []string{"min", "max", "less", "less_equal", "greater", "greater_equal", "equal", "not_equal"} {
		cases = append(cases, netCase{name: fn, make: two(frozen.Binary{Fn: fn}, image, []int{3, 1, 6}, nil, nil)})
	}
	for _, fn := range []string{"sum", "mean", "max", "min"} {
		for name, s := range map[string]*fakequant.Spec{"": frozentest.I8, " float": nil} {
			cases = append(cases, netCase{name: "reduce " + fn + name, make: one(frozen.Reduce{Fn: fn, Axes: []int{1, 3}}, image, s, s)})
		}
	}
	for _, fn := range []string{"add", "sub", "mul", "div", "pow"} {
		c := netCase{name: fn, make: two(frozen.Binary{Fn: fn}, image, []int{3, 1, 6}, frozentest.I8, frozentest.I8)}
		if fn == "div" || fn == "pow" {
			c.make = func(m *frozentest.Maker) *frozen.Network {
				x := m.Layer("exp", frozen.Unary{Fn: "exp"}, nil, nil, m.Input("x", image, nil))
				return m.Net(m.Layer("layer", frozen.Binary{Fn: fn}, nil, nil, x, m.Input("b", []int{1, 6}, nil)))
			}
			c.float = powerTolerance
		}
		cases = append(cases, c)
	}
	return cases
}

func batchNormNet(shape []int, s *fakequant.Spec) func(*frozentest.Maker) *frozen.Network {
	return func(m *frozentest.Maker) *frozen.Network {
		in := []int{m.Input("x", shape, s)}
		for _, name := range []string{"gamma", "beta", "mean"} {
			in = append(in, m.Weight(name, []int{5}, nil))
		}
		in = append(in, m.Values("variance", []int{5}, []float32{0.5, 1, 2, 0.1, 3}, nil))
		return m.Net(m.Layer("bn", frozen.BatchNorm{Eps: 1e-5}, nil, s, in...))
	}
}

// unaryCases are all functions, in float; those with a domain get positive inputs.
func unaryCases() []netCase {
	var cases []netCase
	for _, fn := range []string{"relu", "clip", "leaky_relu", "sigmoid", "tanh", "exp", "log", "log2", "neg", "abs", "sign", "ceil", "floor",
		"sin", "cos", "square", "sqrt", "cube", "inv", "inv_sqrt", "log1p", "expm1", "softplus", "erf"} {
		cases = append(cases, netCase{name: "unary " + fn, float: chainTolerance, make: func(m *frozentest.Maker) *frozen.Network {
			x := m.Input("x", []int{-1, 50}, nil)
			switch fn {
			case "log", "log2", "sqrt", "inv", "inv_sqrt", "log1p":
				x = m.Layer("square", frozen.Unary{Fn: "square"}, nil, nil, x)
			}
			return m.Net(m.Layer("layer", frozen.Unary{Fn: fn, Alpha: 0.2, Min: -1, Max: 0.5}, nil, nil, x))
		}})
	}
	for _, fn := range []string{"sigmoid", "tanh", "leaky_relu"} {
		cases = append(cases, netCase{name: "unary quantized " + fn, make: func(m *frozentest.Maker) *frozen.Network {
			return m.Net(m.Layer("layer", frozen.Unary{Fn: fn, Alpha: 0.2}, nil, frozentest.U8Affine, m.Input("x", []int{-1, 50}, frozentest.U8Affine)))
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
			"tensor":  func(int) *fakequant.Spec { return frozentest.PerTensor(bits) },
			"channel": func(int) *fakequant.Spec { return frozentest.PerChannel(bits, 0) },
			"block":   func(in int) *fakequant.Spec { return frozentest.PerBlock(bits, 1, min(in, 4)) },
		} {
			c := netCase{name: fmt.Sprint("mobile ", bits, " bits per ", name), deep: true, make: func(m *frozentest.Maker) *frozen.Network { return mobileNet(m, w) }}
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
func mobileNet(m *frozentest.Maker, w func(in int) *fakequant.Spec) *frozen.Network {
	conv := func(name string, x, in, out, kernel, groups int, act *frozen.Unary, y *fakequant.Spec) int {
		return m.Layer(name, frozentest.ConvOf(1, kernel/2, groups), act, y, x,
			m.Weight(name+".weight", []int{out, in / groups, kernel, kernel}, w(in/groups)), m.Weight(name+".bias", []int{out}, nil))
	}
	x := m.Input("image", []int{-1, 3, 8, 8}, frozentest.I8)
	stem := conv("stem", x, 3, 8, 3, 1, frozentest.ReLU6(), frozentest.U8)
	pooled := m.Pass("pool", frozen.Pool{Kernel: [2]int{2, 2}, Stride: [2]int{2, 2}}, stem)
	deep := conv("depthwise", pooled, 8, 8, 3, 8, frozentest.ReLU(), frozentest.U8)
	point := conv("pointwise", deep, 8, 8, 1, 1, frozentest.ReLU(), frozentest.U8)
	sum := m.Layer("residual", frozen.Binary{Fn: "add"}, frozentest.ReLU(), frozentest.U8, pooled, point)
	avg := m.Layer("avg", frozen.Pool{Average: true, Kernel: [2]int{2, 2}, Stride: [2]int{1, 1}, Pad: [4]int{1, 1, 0, 0}}, nil, frozentest.U8, sum)
	cat := m.Layer("concat", frozen.Concat{Axis: 1}, nil, frozentest.U8, sum, avg)
	gap := m.Layer("gap", frozen.GlobalAvgPool{}, nil, frozentest.U8, cat)
	flat := m.Pass("flatten", frozen.Reshape{Shape: []int{-1, 16}}, gap)
	logits := m.Layer("fc", frozen.MatMul{TransB: true}, nil, frozentest.I8, flat, m.Weight("fc.weight", []int{10, 16}, w(16)), m.Weight("fc.bias", []int{10}, nil))
	return m.Net(logits)
}

// sharedNet reads one weight as a factor in both layouts, in float and in integers,
// and as a number.
func sharedNet(m *frozentest.Maker) *frozen.Network {
	w := m.Weight("w", []int{6, 6}, frozentest.PerTensor(8))
	a, b := m.Input("a", []int{-1, 6}, frozentest.I8), m.Input("b", []int{-1, 6}, nil)
	y := m.Layer("one", frozen.MatMul{}, nil, frozentest.I8, a, w)
	y = m.Layer("two", frozen.MatMul{TransB: true}, nil, frozentest.I8, y, w)
	y = m.Layer("three", frozen.MatMul{}, nil, frozentest.I8, y, w)
	z := m.Layer("four", frozen.MatMul{TransB: true}, nil, nil, b, w)
	z = m.Layer("five", frozen.MatMul{}, nil, nil, z, w)
	sum := m.Layer("six", frozen.Reduce{Fn: "sum", Axes: []int{0}}, nil, nil, w)
	return m.Net(y, z, sum)
}

// oddOutputsNet returns an input, a constant, an inner tensor and one tensor twice.
// Names collide with those that the exporter makes.
func oddOutputsNet(m *frozentest.Maker) *frozen.Network {
	x, other := m.Input("x", []int{-1, 4}, frozentest.I8), m.Input("x_quantized", []int{-1, 4}, nil)
	c := m.Weight("x_scale", []int{4}, frozentest.PerChannel(4, 0))
	y := m.Layer("add", frozen.Binary{Fn: "add"}, nil, frozentest.U8Affine, x, c)
	z := m.Layer("add/DequantizeLinear", frozen.Binary{Fn: "mul"}, nil, nil, y, other)
	return m.Net(z, x, c, y, y, other)
}

// deadNet has a channel with a bias far above its weights, which are about size: 0,
// or some steps of the smallest scale, where the bias is beyond int32.
func deadNet(size float32) func(*frozentest.Maker) *frozen.Network {
	return func(m *frozentest.Maker) *frozen.Network {
		w := m.Random(4*3, 0.4)
		for i := range 3 {
			w[3+i] *= size
		}
		x := m.Input("x", []int{-1, 3, 2, 2}, frozentest.I8)
		y := m.Layer("conv", frozentest.ConvOf(1, 0, 1), nil, frozentest.I8, x, m.Values("conv.weight", []int{4, 3, 1, 1}, w, frozentest.PerChannel(8, 0)),
			m.Values("conv.bias", []int{4}, []float32{0.1, 300, -0.1, 0}, nil))
		return m.Net(y)
	}
}
