package coremlout

import (
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/qat/frozen"
	"github.com/goqat/goqat/qat/internal/frozentest"
)

// testCase is a network with the options that it is exported with, and operations that
// the program must have.
type testCase struct {
	name string
	net  func(m *frozentest.Maker) *frozen.Network
	opt  Options
	need []string
}

const (
	blockwise = "constexpr_blockwise_shift_scale"
	affineOp  = "constexpr_affine_dequantize"
)

// convNet is one convolution of a 7 by 6 image.
func convNet(o frozen.Conv, x, w, y *fakequant.Spec, act *frozen.Unary, bias bool) func(*frozentest.Maker) *frozen.Network {
	return func(m *frozentest.Maker) *frozen.Network {
		in := []int{m.Input("x", []int{-1, 8, 7, 6}, x), m.Weight("conv.weight", []int{6, 8 / o.Groups, 3, 2}, w)}
		if bias {
			in = append(in, m.Weight("conv.bias", []int{6}, nil))
		}
		return m.Net(m.Layer("conv", o, act, y, in...))
	}
}

// smallScales makes the weights of a net so small that binary16 holds their scales badly, in
// steps of 2^-24.
func smallScales(build func(*frozentest.Maker) *frozen.Network) func(*frozentest.Maker) *frozen.Network {
	return func(m *frozentest.Maker) *frozen.Network {
		n := build(m)
		for i := range n.Tensors {
			switch t := &n.Tensors[i]; {
			case t.Const != nil && t.Quant != nil:
				for k := range t.Quant.Params.Scale {
					t.Quant.Params.Scale[k] *= 1e-3
				}
			case t.Const != nil:
				for k := range t.Const.Values {
					t.Const.Values[k] *= 1e-3
				}
			}
		}
		return n
	}
}

// linearNet is one matrix product of 40 by 12.
func linearNet(o frozen.MatMul, x, w, y *fakequant.Spec, bias bool) func(*frozentest.Maker) *frozen.Network {
	return func(m *frozentest.Maker) *frozen.Network {
		xs, ws := []int{-1, 40}, []int{40, 12}
		if o.TransA {
			xs = []int{40, -1}
		}
		if o.TransB {
			ws = []int{12, 40}
		}
		in := []int{m.Input("x", xs, x), m.Weight("fc.weight", ws, w)}
		if bias {
			in = append(in, m.Weight("fc.bias", []int{12}, nil))
		}
		return m.Net(m.Layer("fc", o, nil, y, in...))
	}
}

// unequal is a convolution with everything different along rows and columns.
var unequal = frozen.Conv{Stride: [2]int{2, 1}, Pad: [4]int{1, 0, 2, 1}, Dilation: [2]int{1, 2}, Groups: 2}

func formatCases() []testCase {
	list := []testCase{
		{"conv float", convNet(frozentest.ConvOf(1, 1, 1), nil, nil, nil, frozentest.ReLU(), true), Options{}, []string{"conv", "relu"}},
		{"conv unequal", convNet(unequal, frozentest.I8, frozentest.PerChannel(8, 0), frozentest.U8, frozentest.ReLU(), true), Options{}, nil},
		{"conv weights only iOS16", convNet(frozentest.ConvOf(2, 0, 1), nil, frozentest.PerChannel(8, 0), nil, frozentest.ReLU6(), true), Options{Target: IOS16}, []string{affineOp, "relu6"}},
		{"conv iOS17", convNet(frozentest.ConvOf(2, 0, 2), frozentest.U8Affine, frozentest.Affine(frozentest.PerChannel(8, 0), true), frozentest.I8Affine, nil, true), Options{Target: IOS17}, []string{affineOp, "quantize"}},
		{"linear int4 blocks transposed", linearNet(frozen.MatMul{}, frozentest.I8, frozentest.PerBlock(4, 0, 8), nil, true), Options{}, []string{"linear"}},
		{"linear 7 bits transposed iOS17", linearNet(frozen.MatMul{}, frozentest.I8, frozentest.PerChannel(7, 1), frozentest.I8, false), Options{Target: IOS17}, []string{"linear", affineOp}},
		{"linear one block iOS17", linearNet(frozen.MatMul{TransB: true}, frozentest.I8, frozentest.PerBlock(8, 1, 40), frozentest.I8, false), Options{Target: IOS17}, []string{affineOp}},
		{"linear ragged blocks", linearNet(frozen.MatMul{TransB: true}, frozentest.I8, frozentest.PerBlock(4, 1, 12), frozentest.I8, true), Options{}, []string{blockwise}},
		{"linear ragged blocks transposed", linearNet(frozen.MatMul{}, nil, frozentest.Affine(frozentest.PerBlock(4, 0, 16), true), nil, true), Options{}, []string{blockwise}},
		// 3 scales of 40 inputs, which 3 does not divide, and 2 of 40 in blocks of 24, which 2 does.
		{"linear ragged blocks, even count", linearNet(frozen.MatMul{TransB: true}, nil, frozentest.PerBlock(8, 1, 24), nil, false), Options{}, []string{blockwise}},
		{"odd number of 4-bit codes", func(m *frozentest.Maker) *frozen.Network {
			x := m.Input("x", []int{-1, 5}, frozentest.I8)
			return m.Net(m.Layer("fc", frozen.MatMul{}, nil, nil, x, m.Weight("w", []int{5, 3}, frozentest.Affine(frozentest.PerTensor(4), true))))
		}, Options{}, []string{blockwise}},
		{"matmul transposed x", linearNet(frozen.MatMul{TransA: true}, frozentest.I8, frozentest.PerTensor(8), nil, true), Options{Batch: 3}, []string{"matmul"}},
		{"half", convNet(frozentest.ConvOf(1, 1, 1), frozentest.I8, frozentest.PerChannel(4, 0), frozentest.U8, frozentest.ReLU(), true), Options{Compute: Float16}, []string{"cast"}},
		{"half, small scales", smallScales(convNet(frozentest.ConvOf(1, 1, 1), frozentest.I8, frozentest.PerChannel(8, 0), nil, nil, true)), Options{Compute: Float16}, []string{"mul"}},
		{"half, small scales in groups", smallScales(convNet(frozentest.ConvOf(2, 1, 2), frozentest.I8, frozentest.PerChannel(8, 0), nil, frozentest.ReLU(), false)), Options{Compute: Float16}, []string{"mul"}},
		{"half, small scales of blocks", smallScales(linearNet(frozen.MatMul{}, frozentest.I8, frozentest.PerBlock(8, 0, 8), nil, true)), Options{Compute: Float16}, []string{"mul"}},
		{"half, one small scale", smallScales(linearNet(frozen.MatMul{TransB: true}, frozentest.I8, frozentest.PerTensor(8), nil, false)), Options{Compute: Float16}, []string{"mul"}},
		{"half iOS16", convNet(frozentest.ConvOf(1, 1, 1), nil, frozentest.PerChannel(8, 0), nil, nil, true), Options{Compute: Float16, Target: IOS16}, []string{"cast", affineOp}},
	}
	for bits := 2; bits <= 8; bits++ {
		for _, w := range []*fakequant.Spec{frozentest.PerTensor(bits), frozentest.PerChannel(bits, 0), frozentest.PerBlock(bits, 1, 4),
			frozentest.Affine(frozentest.PerChannel(bits, 0), false), frozentest.Affine(frozentest.PerTensor(bits), true), frozentest.Affine(frozentest.PerBlock(bits, 1, 2), true)} {
			list = append(list, testCase{"conv " + w.String(), convNet(frozentest.ConvOf(1, 1, 1), frozentest.U8Affine, w, frozentest.I8Narrow, nil, true), Options{Batch: 2}, []string{blockwise, "clip"}})
		}
	}
	for _, y := range []*fakequant.Spec{frozentest.I8, frozentest.U8, frozentest.U8Affine, frozentest.I8Affine, frozentest.I8Narrow, frozentest.U4Affine, frozentest.I6Narrow, {Unsigned: true, NarrowRange: true}} {
		list = append(list, testCase{"result " + y.String(), convNet(frozentest.ConvOf(2, 1, 1), y, frozentest.PerChannel(8, 0), y, frozentest.ReLU(), true), Options{}, []string{"quantize", "dequantize"}})
	}
	return list
}

// layerNet has x [batch,6,4,4] quantized as s, and one layer behind it.
func layerNet(op frozen.Op, s *fakequant.Spec) func(*frozentest.Maker) *frozen.Network {
	return func(m *frozentest.Maker) *frozen.Network {
		return m.Net(m.Layer("layer", op, nil, s, m.Input("x", []int{-1, 6, 4, 4}, s)))
	}
}

// positiveNet makes its input positive first.
func positiveNet(fn string) func(*frozentest.Maker) *frozen.Network {
	return func(m *frozentest.Maker) *frozen.Network {
		x := m.Layer("abs", frozen.Unary{Fn: "abs"}, nil, nil, m.Input("x", []int{-1, 30}, nil))
		x = m.Layer("shift", frozen.Binary{Fn: "add"}, nil, nil, x, m.Values("one", []int{1}, []float32{0.3}, nil))
		return m.Net(m.Layer("fn", frozen.Unary{Fn: fn}, nil, nil, x))
	}
}

func layerCases() []testCase {
	all := func(axes ...int) []int { return axes }
	list := []testCase{
		{"max pool", layerNet(frozen.Pool{Kernel: [2]int{3, 2}, Stride: [2]int{2, 1}, Pad: [4]int{1, 0, 0, 1}}, frozentest.I8), Options{}, []string{"max_pool"}},
		{"avg pool", layerNet(frozen.Pool{Average: true, Kernel: [2]int{2, 3}, Stride: [2]int{1, 2}, Pad: [4]int{1, 1, 1, 1}}, frozentest.U8Affine), Options{}, []string{"avg_pool"}},
		{"avg pool inside", layerNet(frozen.Pool{Average: true, Kernel: [2]int{3, 3}, Stride: [2]int{2, 2}, Pad: [4]int{1, 1, 1, 1}, ExcludePad: true}, nil), Options{}, nil},
		{"global pool", layerNet(frozen.GlobalAvgPool{}, frozentest.I8), Options{}, []string{"reduce_mean"}},
		{"sum", layerNet(frozen.Reduce{Fn: "sum", Axes: all(1, 3)}, nil), Options{}, nil},
		{"mean", layerNet(frozen.Reduce{Fn: "mean", Axes: all(2)}, frozentest.I8), Options{}, nil},
		{"maximum", layerNet(frozen.Reduce{Fn: "max", Axes: all(0, 2, 3)}, nil), Options{Batch: 2}, nil},
		{"scalar output", layerNet(frozen.Reduce{Fn: "mean", Axes: all(0, 1, 2, 3)}, nil), Options{Batch: 2}, []string{"expand_dims"}},
		{"scalar output half", layerNet(frozen.Reduce{Fn: "max", Axes: all(0, 1, 2, 3)}, nil), Options{Compute: Float16}, []string{"expand_dims"}},
		{"reshape", layerNet(frozen.Reshape{Shape: []int{-1, 12, 8}}, frozentest.I8), Options{Batch: 2}, nil},
		{"transpose", layerNet(frozen.Transpose{Perm: []int{0, 2, 3, 1}}, frozentest.I8), Options{}, nil},
		{"slice", layerNet(frozen.Slice{Axis: 1, Start: 1, End: 6, Step: 2}, frozentest.I8), Options{}, nil},
		{"slice huge step", layerNet(frozen.Slice{Axis: 3, Start: 1, End: 4, Step: math.MaxInt}, frozentest.I8), Options{}, nil},
		{"slice squeezed", layerNet(frozen.Slice{Axis: 2, Start: 3, End: 4, Step: 1, Squeeze: true}, nil), Options{}, []string{"squeeze"}},
		{"softmax", layerNet(frozen.Softmax{Axis: 1}, frozentest.U8), Options{}, nil},
		{"layer norm", normNet(frozen.LayerNorm{Axis: 2, Eps: 0.25}, 4), Options{}, nil},
		{"rms norm", normNet(frozen.LayerNorm{Axis: 2, Eps: 0.25, RMS: true}, 4), Options{}, nil},
		{"rms norm with scale", normNet(frozen.LayerNorm{Axis: 2, Eps: 0.25, RMS: true}, 4, "gamma"), Options{}, nil},
		{"rms norm with both", normNet(frozen.LayerNorm{Axis: 2, Eps: 0.25, RMS: true}, 4, "gamma", "beta"), Options{}, nil},
		{"group norm", normNet(frozen.GroupNorm{Groups: 2, Eps: 0.25}, 6), Options{}, nil},
		{"group norm with scale", normNet(frozen.GroupNorm{Groups: 2, Eps: 0.25}, 6, "gamma"), Options{}, nil},
		{"group norm with both", normNet(frozen.GroupNorm{Groups: 2, Eps: 0.25}, 6, "gamma", "beta"), Options{}, nil},
		{"masked softmax", maskedNet, Options{}, nil},
		{"log softmax", layerNet(frozen.Softmax{Axis: 3, Log: true}, nil), Options{}, []string{"reduce_max"}},
		{"dropout", layerNet(frozen.Dropout{P: 0.5}, frozentest.I8), Options{}, []string{"identity"}},
		{"pad", layerNet(frozen.Pad{Before: all(0, 1, 0, 2), After: all(0, 0, 3, 1), Value: -1.5}, nil), Options{}, []string{"pad"}},
		{"lrn", layerNet(frozen.LRN{Size: 3, Alpha: 0.5, Beta: 0.75, Bias: 2}, nil), Options{}, nil},
		{"batch norm", batchNormNet([]int{-1, 5, 4, 4}), Options{}, []string{"batch_norm"}},
		{"batch norm of a matrix", batchNormNet([]int{-1, 5}), Options{}, nil},
		{"leaky relu", layerNet(frozen.Unary{Fn: "leaky_relu", Alpha: 0.1}, nil), Options{}, nil},
		{"clip to 6", layerNet(frozen.Unary{Fn: "clip", Min: -1, Max: 6}, nil), Options{}, []string{"clip"}},
		{"clip open", layerNet(frozen.Unary{Fn: "clip", Min: -0.5, Max: math.MaxFloat32}, nil), Options{Compute: Float16}, nil},
		{"concat", concatNet, Options{}, []string{"concat"}},
		{"residual", residualNet, Options{Batch: 2}, nil},
		{"residual half iOS17", residualNet, Options{Compute: Float16, Target: IOS17}, nil},
		{"mlp", mlpNet, Options{}, []string{blockwise}},
		{"embedding", gatherNet(0, []int{-1, 3}), Options{Batch: 2}, []string{"gather"}},
		{"embedding half iOS16", gatherNet(1, []int{-1}), Options{Compute: Float16, Target: IOS16}, []string{"gather"}},
		{"embedding half, many rows", func(m *frozentest.Maker) *frozen.Network {
			table, x := m.Weight("table", []int{3000, 2}, frozentest.PerTensor(8)), m.Input("x", []int{-1, 7}, nil)
			return m.Net(m.Layer("abs", frozen.Unary{Fn: "abs"}, nil, nil, m.Layer("look", frozen.Gather{}, nil, nil, table, x)))
		}, Options{Compute: Float16}, []string{"gather"}},
		{"constant indices", constGatherNet, Options{}, []string{"gather"}},
		{"many constant indices", manyIndicesNet, Options{}, []string{"gather"}},
		{"many constant indices iOS17", manyIndicesNet, Options{Target: IOS17}, []string{"gather"}},
		{"large constants", largeNet, Options{}, nil},
		{"large constants half", largeNet, Options{Compute: Float16}, nil},
		{"computed operands", computedNet, Options{Batch: 3}, []string{"conv", "matmul"}},
		{"shared", sharedNet, Options{}, nil},
		{"shared half", sharedNet, Options{Compute: Float16, Batch: 2}, nil},
		{"names", namesNet, Options{}, nil},
		{"scalars", scalarNet, Options{}, []string{"squeeze"}},
	}
	for _, fn := range []string{"sigmoid", "tanh", "exp", "neg", "abs", "sign", "ceil", "floor", "sin", "cos", "square", "cube", "expm1", "softplus", "erf", "relu"} {
		list = append(list, testCase{fn, layerNet(frozen.Unary{Fn: fn}, nil), Options{}, nil})
	}
	for _, fn := range []string{"log", "log2", "sqrt", "inv", "inv_sqrt", "log1p"} {
		list = append(list, testCase{fn, positiveNet(fn), Options{}, nil})
	}
	for _, fn := range []string{"add", "sub", "mul", "div", "pow", "min", "max", "less", "less_equal", "greater", "greater_equal", "equal", "not_equal"} {
		list = append(list, testCase{fn, binaryNet(fn), Options{}, nil})
	}
	return append(list, testCase{"choice", choiceNet, Options{}, nil})
}

// normNet normalises [N,6,4] with parameters of so many elements.
func normNet(op frozen.Op, width int, params ...string) func(*frozentest.Maker) *frozen.Network {
	return func(m *frozentest.Maker) *frozen.Network {
		in := []int{m.Input("x", []int{-1, 6, 4}, nil)}
		for _, p := range params {
			in = append(in, m.Weight(p, []int{width}, nil))
		}
		return m.Net(m.Layer("norm", op, nil, nil, in...))
	}
}

func maskedNet(m *frozentest.Maker) *frozen.Network {
	x := m.Input("x", []int{-1, 3, 4}, frozentest.I8)
	return m.Net(m.Layer("softmax", frozen.Softmax{Axis: 2, Scale: 0.3}, nil, frozentest.U8, x, m.Weight("mask", []int{3, 4}, nil)))
}

// choiceNet takes the larger of two tensors where it is above 1.
func choiceNet(m *frozentest.Maker) *frozen.Network {
	x, y := m.Input("x", []int{-1, 3, 4}, nil), m.Input("y", []int{3, 1}, nil)
	is := m.Layer("is", frozen.Binary{Fn: "greater"}, nil, nil, x, m.Values("one", []int{}, []float32{1}, nil))
	least := m.Layer("least", frozen.Reduce{Fn: "min", Axes: []int{2}}, nil, nil, x)
	least = m.Layer("column", frozen.Reshape{Shape: []int{-1, 3, 1}}, nil, nil, least)
	return m.Net(m.Layer("choice", frozen.Where{}, nil, nil, is, y, least))
}

func binaryNet(fn string) func(*frozentest.Maker) *frozen.Network {
	return func(m *frozentest.Maker) *frozen.Network {
		x := m.Layer("exp", frozen.Unary{Fn: "exp"}, nil, nil, m.Input("x", []int{-1, 3, 4}, nil))
		y := m.Layer("back", frozen.Unary{Fn: "exp"}, nil, nil, m.Input("y", []int{3, 1}, nil))
		return m.Net(m.Layer(fn, frozen.Binary{Fn: fn}, nil, nil, x, y))
	}
}

func batchNormNet(shape []int) func(*frozentest.Maker) *frozen.Network {
	return func(m *frozentest.Maker) *frozen.Network {
		in := []int{m.Input("x", shape, nil)}
		for _, name := range []string{"gamma", "beta", "mean"} {
			in = append(in, m.Weight(name, []int{5}, nil))
		}
		in = append(in, m.Values("variance", []int{5}, []float32{1, 0.5, 2, 0.1, 3}, nil))
		return m.Net(m.Layer("bn", frozen.BatchNorm{Eps: 1e-3}, frozentest.ReLU(), nil, in...))
	}
}

func concatNet(m *frozentest.Maker) *frozen.Network {
	x := m.Input("x", []int{-1, 4, 6, 6}, frozentest.I8)
	a := m.Layer("a", frozentest.ConvOf(1, 1, 1), nil, frozentest.I8, x, m.Weight("a.weight", []int{3, 4, 3, 3}, frozentest.PerChannel(8, 0)))
	b := m.Layer("b", frozentest.ConvOf(1, 0, 1), nil, frozentest.I8, x, m.Weight("b.weight", []int{5, 4, 1, 1}, frozentest.PerBlock(4, 1, 2)))
	joined := m.Layer("join", frozen.Concat{Axis: 1}, nil, frozentest.I8, a, b)
	alone := m.Pass("alone", frozen.Concat{Axis: 1}, joined)
	return m.Net(m.Layer("pool", frozen.Pool{Kernel: [2]int{2, 2}, Stride: [2]int{2, 2}}, nil, frozentest.I8, alone))
}

func residualNet(m *frozentest.Maker) *frozen.Network {
	x := m.Input("x", []int{-1, 4, 6, 6}, frozentest.I8)
	w := func(name string) int { return m.Weight(name, []int{4, 4, 3, 3}, frozentest.PerChannel(8, 0)) }
	y := m.Layer("conv1", frozentest.ConvOf(1, 1, 1), frozentest.ReLU(), frozentest.U8, x, w("conv1.weight"), m.Weight("conv1.bias", []int{4}, nil))
	y = m.Layer("conv2", frozentest.ConvOf(1, 1, 1), nil, frozentest.I8, y, w("conv2.weight"))
	y = m.Layer("add", frozen.Binary{Fn: "add"}, frozentest.ReLU(), frozentest.U8, y, x)
	y = m.Layer("pool", frozen.GlobalAvgPool{}, nil, frozentest.I8, y)
	y = m.Pass("flat", frozen.Reshape{Shape: []int{-1, 4}}, y)
	return m.Net(m.Layer("fc", frozen.MatMul{TransB: true}, nil, nil, y, m.Weight("fc.weight", []int{10, 4}, frozentest.PerChannel(8, 0)), m.Weight("fc.bias", []int{10}, nil)))
}

func mlpNet(m *frozentest.Maker) *frozen.Network {
	x := m.Input("x", []int{-1, 32}, frozentest.I8)
	x = m.Layer("fc1", frozen.MatMul{}, frozentest.ReLU(), frozentest.U8, x, m.Weight("fc1.weight", []int{32, 24}, frozentest.PerBlock(4, 0, 8)), m.Weight("fc1.bias", []int{24}, nil))
	x = m.Layer("fc2", frozen.MatMul{TransB: true}, frozentest.ReLU(), frozentest.U8, x, m.Weight("fc2.weight", []int{16, 24}, frozentest.PerBlock(3, 1, 12)), m.Weight("fc2.bias", []int{16}, nil))
	n := m.Net(m.Layer("fc3", frozen.MatMul{}, nil, nil, x, m.Weight("fc3.weight", []int{16, 5}, frozentest.PerChannel(2, 1))))
	n.Notes = map[string]string{"accuracy": "98.5 %", "é": "ß"}
	return n
}

// gatherNet looks up rows of a quantized table, the last of them from the end.
func gatherNet(axis int, shape []int) func(*frozentest.Maker) *frozen.Network {
	return func(m *frozentest.Maker) *frozen.Network {
		table := m.Weight("table", []int{7, 9}, frozentest.PerChannel(8, 0))
		x := m.Add(frozen.Tensor{Name: "x", Shape: shape})
		m.N.Inputs = append(m.N.Inputs, x)
		return m.Net(m.Layer("look", frozen.Gather{Axis: axis}, nil, nil, table, x))
	}
}

func constGatherNet(m *frozentest.Maker) *frozen.Network {
	x := m.Input("x", []int{-1, 5, 3}, frozentest.I8)
	return m.Net(m.Layer("look", frozen.Gather{Axis: 1}, nil, frozentest.I8, x, m.Values("which", []int{4}, []float32{2, -1, 0, -5}, nil)))
}

// manyIndicesNet has more indices than are kept in the program.
func manyIndicesNet(m *frozentest.Maker) *frozen.Network {
	x := m.Input("x", []int{-1, 5, 3}, nil)
	which := m.Values("which", []int{2, 6}, []float32{2, -1, 0, -5, 4, 3, 1, 1, -2, 0, 2, 4}, nil)
	return m.Net(m.Layer("look", frozen.Gather{Axis: 1}, nil, nil, x, which))
}

// largeNet has a constant that is written in several stretches.
func largeNet(m *frozentest.Maker) *frozen.Network {
	x := m.Input("x", []int{-1, 1, 130}, nil)
	return m.Net(m.Layer("mul", frozen.Binary{Fn: "mul"}, nil, nil, x, m.Weight("w", []int{300, 130}, nil)))
}

// computedNet has weights and biases that are no constants.
func computedNet(m *frozentest.Maker) *frozen.Network {
	x := m.Input("x", []int{-1, 2, 4, 4}, frozentest.I8)
	w := m.Layer("w", frozen.Unary{Fn: "tanh"}, nil, frozentest.I8, m.Input("w", []int{3, 2, 2, 2}, nil))
	bias := m.Layer("b", frozen.Unary{Fn: "tanh"}, nil, nil, m.Input("b", []int{3}, nil))
	y := m.Layer("conv", frozentest.ConvOf(1, 0, 1), nil, frozentest.I8, x, w, bias)
	a := m.Layer("a", frozen.Reshape{Shape: []int{-1, 9, 3}}, nil, frozentest.I8, y)
	p := m.Layer("product", frozen.MatMul{TransB: true}, nil, frozentest.I8, a, a)
	q := m.Layer("rows", frozen.MatMul{}, nil, nil, p, a, bias)
	r := m.Layer("fc", frozen.MatMul{}, nil, nil, m.Layer("flat", frozen.Reshape{Shape: []int{-1, 9}}, nil, frozentest.I8, p), m.Weight("fc.weight", []int{9, 3}, nil), bias)
	return m.Net(q, r)
}

// sharedNet uses one weight both ways, gives one result twice, and an input and a
// constant as results.
func sharedNet(m *frozentest.Maker) *frozen.Network {
	x := m.Input("x", []int{-1, 8}, frozentest.I8)
	w := m.Weight("w", []int{8, 8}, frozentest.PerChannel(4, 1))
	v := m.Weight("v", []int{8, 8}, nil)
	y := m.Layer("one", frozen.MatMul{}, nil, nil, x, w)
	z := m.Layer("two", frozen.MatMul{TransB: true}, nil, nil, y, w)
	z = m.Layer("three", frozen.MatMul{}, nil, nil, z, v)
	z = m.Layer("four", frozen.MatMul{}, nil, nil, z, v)
	return m.Net(z, z, x, w, y)
}

// namesNet has names that collide, and some that no program may have.
func namesNet(m *frozentest.Maker) *frozen.Network {
	x := m.Input("fp32", []int{-1, 3}, frozentest.I8)
	y := m.Input("fp32_", []int{-1, 3}, nil)
	for i, name := range []string{"a.b", "a/b", "a_b", "1", "_1", "日本", "a b\"<\n", "a_b_2", "fp32_quantized"} {
		x = m.Layer(name, frozen.Binary{Fn: "add"}, nil, frozentest.I8, x, m.Weight(fmt.Sprintf("%s %d", name, i%2), []int{3}, nil))
	}
	return m.Net(m.Layer("true", frozen.Binary{Fn: "add"}, nil, nil, x, y))
}

// scalarNet passes through rank 0.
func scalarNet(m *frozentest.Maker) *frozen.Network {
	x := m.Input("x", []int{2, 3}, nil)
	x = m.Layer("sum", frozen.Reduce{Fn: "sum", Axes: []int{0, 1}}, nil, nil, x)
	x = m.Layer("half", frozen.Binary{Fn: "mul"}, nil, nil, x, m.Values("c", []int{}, []float32{0.5}, frozentest.I8))
	x = m.Layer("same", frozen.Reshape{Shape: []int{}}, nil, nil, x)
	x = m.Layer("turn", frozen.Transpose{Perm: []int{}}, nil, nil, x)
	x = m.Layer("none", frozen.Pad{}, nil, nil, x)
	x = m.Layer("up", frozen.Reshape{Shape: []int{1, 1}}, nil, nil, x)
	return m.Net(m.Layer("down", frozen.Reshape{Shape: []int{}}, nil, nil, x))
}

// build makes the network of a case and inputs for it.
func (c testCase) build(t testing.TB) (*frozen.Network, [][]float32) {
	m := frozentest.New(t)
	n := c.net(m)
	in := m.Feed(n, max(c.opt.Batch, 1))
	for _, l := range n.Layers {
		if _, ok := l.Op.(frozen.Gather); !ok || n.Tensors[l.Inputs[1]].Const != nil {
			continue
		}
		for i := range in[0] {
			in[0][i] = float32(i%7 - 3)
		}
	}
	return n, in
}

const (
	// floatTol bounds the difference of float32 results relative to the largest: sums
	// of up to 200 products in another order, 200·2^-24 ≈ 1.2e-5.
	floatTol = 1.2e-5
	// halfTol does the same for float16: a few roundings of 2^-11 on the way.
	halfTol = 1e-2
)

// tolerance is how far the results of a case may lie from the network's: relative to
// the largest one, and one step of the grid where a number near the middle between two
// codes may become the other one, in float16 two.
func (c testCase) tolerance(n *frozen.Network, output int, want []float32) float32 {
	var top float32
	for _, v := range want {
		top = max(top, float32(math.Abs(float64(v))))
	}
	tol := float32(floatTol) * top
	if c.opt.Compute == Float16 {
		tol = float32(halfTol) * top
	}
	if q := n.Tensors[n.Outputs[output]].Quant; q != nil && q.Spec.Granularity == fakequant.PerTensor {
		tol += q.Params.Scale[0]
		if c.opt.Compute == Float16 {
			tol += q.Params.Scale[0]
		}
	}
	return tol
}

func TestPrograms(t *testing.T) {
	dir := t.TempDir()
	for i, c := range slices.Concat(formatCases(), layerCases()) {
		t.Run(c.name, func(t *testing.T) {
			n, in := c.build(t)
			want, err := n.Run(in...)
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, fmt.Sprint(i, ".mlpackage"))
			if err := WriteDir(path, n, c.opt); err != nil {
				t.Fatal(err)
			}
			p := open(t, path)
			got := p.run(in...)
			for _, op := range c.need {
				if p.ops[op] == 0 {
					t.Errorf("no %s in %v", op, p.ops)
				}
			}
			if len(got) != len(want) {
				t.Fatalf("%d outputs, want %d", len(got), len(want))
			}
			for k := range want {
				c.compare(t, n, k, got[k].data, want[k])
			}
		})
	}
}

// compare wants all results within the tolerance, and those of quantized tensors the
// same but for a few.
func (c testCase) compare(t *testing.T, n *frozen.Network, output int, got, want []float32) {
	t.Helper()
	tol, differ := c.tolerance(n, output, want), 0
	if len(got) != len(want) {
		t.Fatalf("output %d: %d numbers, want %d", output, len(got), len(want))
	}
	for i, w := range want {
		d := float32(math.Abs(float64(got[i] - w)))
		if !(d <= tol) {
			t.Fatalf("output %d: element %d is %v, want %v ± %v", output, i, got[i], w, tol)
		}
		if d > 0 {
			differ++
		}
	}
	if q := n.Tensors[n.Outputs[output]].Quant; q != nil && c.opt.Compute == Float32 && differ > 1+len(want)/100 {
		t.Errorf("output %d: %d of %d codes differ", output, differ, len(want))
	}
}

// TestSmallActivationScale: a scale that float16 rounds by more than 2^-11 is refused by
// name; one that is a number of 16 bits, however small, is written.
func TestSmallActivationScale(t *testing.T) {
	for scale, refused := range map[float32]bool{1.03e-6: true, 9 * 0x1p-24: false, 70000: true, 0.01: false} {
		n := convNet(frozentest.ConvOf(1, 1, 1), frozentest.I8, frozentest.PerChannel(8, 0), nil, nil, true)(frozentest.New(t))
		n.Tensors[n.Inputs[0]].Quant.Params.Scale[0] = scale
		err := WriteDir(filepath.Join(t.TempDir(), "net.mlpackage"), n, Options{Compute: Float16})
		if (err != nil) != refused || refused && (!errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), `of "x" is`)) {
			t.Errorf("scale %v: error %v", scale, err)
		}
		if err := WriteDir(filepath.Join(t.TempDir(), "net.mlpackage"), n, Options{}); err != nil {
			t.Errorf("scale %v in float32: %v", scale, err)
		}
	}
}
