package onnxin

import (
	"math"
	"slices"
	"testing"

	"github.com/goqat/goqat/internal/onnxpb"
)

// ten is a tensor of an operator test.
type ten struct {
	shape []int
	v     []float32
}

// seq holds 1, 2, 3 …
func seq(shape ...int) ten {
	x := ten{shape, make([]float32, product(shape))}
	for i := range x.v {
		x.v[i] = float32(i + 1)
	}
	return x
}

func vec(v ...float32) ten { return ten{[]int{len(v)}, v} }

func row(v ...float32) ten { return ten{[]int{1, len(v)}, v} }

// opCase is one operator: the first operand is the input, the others are initializers
// (ten: floats; []int64 and rows of them: whole numbers; nil: left out). Results are by hand.
type opCase struct {
	name  string
	op    string
	opset int
	attrs []any
	x     ten
	rest  []any
	want  ten
}

var opCases = []opCase{
	{"conv", "Conv", 17, nil, seq(1, 1, 2, 3), []any{ten{[]int{1, 1, 2, 2}, []float32{1, 0, 0, 10}}, vec(100)}, ten{[]int{1, 1, 1, 2}, []float32{151, 162}}},
	{"conv pads", "Conv", 17, []any{"pads", []int{1, 0, 0, 1}}, seq(1, 1, 1, 2), []any{ten{[]int{1, 1, 2, 2}, []float32{1, 2, 3, 4}}}, ten{[]int{1, 1, 1, 2}, []float32{11, 6}}},
	{"conv same upper", "Conv", 17, []any{"auto_pad", "SAME_UPPER"}, seq(1, 1, 1, 3), []any{ten{[]int{1, 1, 1, 2}, []float32{1, 10}}}, ten{[]int{1, 1, 1, 3}, []float32{21, 32, 3}}},
	{"conv same lower", "Conv", 17, []any{"auto_pad", "SAME_LOWER"}, seq(1, 1, 1, 3), []any{ten{[]int{1, 1, 1, 2}, []float32{1, 10}}}, ten{[]int{1, 1, 1, 3}, []float32{10, 21, 32}}},
	{"conv same strided", "Conv", 17, []any{"auto_pad", "SAME_UPPER", "strides", []int{1, 2}}, seq(1, 1, 1, 4), []any{ten{[]int{1, 1, 1, 3}, []float32{1, 10, 100}}}, ten{[]int{1, 1, 1, 2}, []float32{321, 43}}},
	{"conv groups", "Conv", 17, []any{"group", 2}, seq(1, 2, 1, 1), []any{ten{[]int{2, 1, 1, 1}, []float32{10, 100}}}, ten{[]int{1, 2, 1, 1}, []float32{10, 200}}},
	{"conv dilated", "Conv", 17, []any{"dilations", []int{1, 2}}, seq(1, 1, 1, 3), []any{ten{[]int{1, 1, 1, 2}, []float32{1, 10}}}, ten{[]int{1, 1, 1, 1}, []float32{31}}},
	{"conv 1-D", "Conv", 17, []any{"strides", []int{2}, "pads", []int{1, 0}}, seq(1, 1, 3), []any{ten{[]int{1, 1, 2}, []float32{1, 10}}}, ten{[]int{1, 1, 2}, []float32{10, 32}}},
	{"conv transpose", "ConvTranspose", 17, []any{"strides", []int{1, 2}}, seq(1, 1, 1, 2), []any{ten{[]int{1, 2, 1, 3}, []float32{1, 10, 100, 1, 1, 1}}, vec(0, 1000)}, ten{[]int{1, 2, 1, 5}, []float32{1, 10, 102, 20, 200, 1001, 1001, 1003, 1002, 1002}}},
	{"conv transpose pads", "ConvTranspose", 17, []any{"strides", []int{1, 2}, "pads", []int{0, 1, 0, 0}, "output_padding", []int{0, 1}}, seq(1, 1, 1, 2), []any{ten{[]int{1, 1, 1, 3}, []float32{1, 10, 100}}}, ten{[]int{1, 1, 1, 5}, []float32{10, 102, 20, 200, 0}}},
	{"conv transpose groups", "ConvTranspose", 17, []any{"group", 2}, seq(1, 2, 1, 1), []any{ten{[]int{2, 2, 1, 1}, []float32{1, 10, 100, 1000}}}, ten{[]int{1, 4, 1, 1}, []float32{1, 10, 200, 2000}}},
	{"conv transpose 1-D", "ConvTranspose", 17, []any{"output_shape", []int{2}}, seq(1, 1, 2), []any{ten{[]int{1, 1, 2}, []float32{1, 10}}}, ten{[]int{1, 1, 2}, []float32{12, 20}}},
	{"max pool", "MaxPool", 17, []any{"kernel_shape", []int{1, 2}}, seq(1, 1, 1, 3), nil, ten{[]int{1, 1, 1, 2}, []float32{2, 3}}},
	{"max pool ceil", "MaxPool", 17, []any{"kernel_shape", []int{1, 2}, "strides", []int{1, 2}, "ceil_mode", 1}, seq(1, 1, 1, 3), nil, ten{[]int{1, 1, 1, 2}, []float32{2, 3}}},
	{"max pool ceil starts in padding", "MaxPool", 17, []any{"kernel_shape", []int{1, 1}, "strides", []int{1, 2}, "ceil_mode", 1}, seq(1, 1, 1, 2), nil, ten{[]int{1, 1, 1, 1}, []float32{1}}},
	{"max pool 1-D", "MaxPool", 17, []any{"kernel_shape", []int{2}, "strides", []int{2}}, seq(1, 1, 4), nil, ten{[]int{1, 1, 2}, []float32{2, 4}}},
	{"average pool", "AveragePool", 17, []any{"kernel_shape", []int{1, 2}, "pads", []int{0, 1, 0, 0}}, seq(1, 1, 1, 2), nil, ten{[]int{1, 1, 1, 2}, []float32{1, 1.5}}},
	{"average pool with padding", "AveragePool", 17, []any{"kernel_shape", []int{1, 2}, "pads", []int{0, 1, 0, 0}, "count_include_pad", 1}, seq(1, 1, 1, 2), nil, ten{[]int{1, 1, 1, 2}, []float32{0.5, 1.5}}},
	{"average pool ceil", "AveragePool", 17, []any{"kernel_shape", []int{1, 2}, "strides", []int{1, 2}, "ceil_mode", 1}, seq(1, 1, 1, 3), nil, ten{[]int{1, 1, 1, 2}, []float32{1.5, 3}}},
	{"average pool ceil with padding", "AveragePool", 19, []any{"kernel_shape", []int{1, 3}, "strides", []int{1, 3}, "pads", []int{0, 1, 0, 1}, "count_include_pad", 1, "ceil_mode", 1}, seq(1, 1, 1, 3), nil,
		ten{[]int{1, 1, 1, 2}, []float32{1, 1.5}}}, // (0+1+2)/3, and (3+0)/2: the room of ceil_mode is not counted
	{"max pool dilated", "MaxPool", 17, []any{"kernel_shape", []int{2}, "dilations", []int{2}, "pads", []int{1, 0}}, ten{[]int{1, 1, 4}, []float32{1, 5, 2, 4}}, nil, ten{[]int{1, 1, 3}, []float32{5, 2, 5}}},
	{"average pool dilated", "AveragePool", 19, []any{"kernel_shape", []int{2}, "dilations", []int{2}, "pads", []int{1, 0}}, ten{[]int{1, 1, 4}, []float32{1, 5, 2, 4}}, nil, ten{[]int{1, 1, 3}, []float32{5, 1.5, 4.5}}},
	{"lp pool", "LpPool", 18, []any{"kernel_shape", []int{2}}, ten{[]int{1, 1, 3}, []float32{3, -4, 3}}, nil, ten{[]int{1, 1, 2}, []float32{5, 5}}},
	{"lp pool of 1", "LpPool", 18, []any{"kernel_shape", []int{2}, "p", 1}, ten{[]int{1, 1, 3}, []float32{3, -4, 3}}, nil, ten{[]int{1, 1, 2}, []float32{7, 7}}},
	{"conv 3-D", "Conv", 17, nil, seq(1, 1, 2, 1, 2), []any{ten{[]int{1, 1, 2, 1, 1}, []float32{1, 10}}}, ten{[]int{1, 1, 1, 1, 2}, []float32{31, 42}}},
	{"global average", "GlobalAveragePool", 17, nil, seq(1, 2, 1, 2), nil, ten{[]int{1, 2, 1, 1}, []float32{1.5, 3.5}}},
	{"global maximum", "GlobalMaxPool", 17, nil, seq(1, 2, 1, 2), nil, ten{[]int{1, 2, 1, 1}, []float32{2, 4}}},
	{"pad", "Pad", 17, nil, seq(1, 2), []any{[]int64{0, 1, 1, 0}, ten{nil, []float32{9}}}, ten{[]int{2, 3}, []float32{9, 1, 2, 9, 9, 9}}},
	{"pad axes", "Pad", 18, nil, seq(1, 2), []any{[]int64{1, 0}, nil, []int64{-1}}, row(0, 1, 2)},
	{"pad attributes", "Pad", 10, []any{"pads", []int{0, 0, 0, 1}, "value", 7.0}, seq(1, 2), nil, row(1, 2, 7)},
	{"pad reflect", "Pad", 17, []any{"mode", "reflect"}, seq(1, 3), []any{[]int64{0, 2, 0, 1}}, row(3, 2, 1, 2, 3, 2)},
	{"pad edge", "Pad", 17, []any{"mode", "edge"}, seq(1, 2), []any{[]int64{0, 2, 1, 0}}, ten{[]int{2, 4}, []float32{1, 1, 1, 2, 1, 1, 1, 2}}},
	{"pad wrap", "Pad", 19, []any{"mode", "wrap"}, seq(1, 3), []any{[]int64{1, 1}, nil, []int64{1}}, row(3, 1, 2, 3, 1)},
	{"pad negative", "Pad", 17, nil, seq(1, 4), []any{[]int64{0, -1, 0, 1}}, row(2, 3, 4, 0)},
	{"tile", "Tile", 17, nil, seq(1, 2), []any{[]int64{2, 2}}, ten{[]int{2, 4}, []float32{1, 2, 1, 2, 1, 2, 1, 2}}},
	{"depth to space", "DepthToSpace", 13, []any{"blocksize", 2}, seq(1, 8, 1, 1), nil, ten{[]int{1, 2, 2, 2}, []float32{1, 3, 5, 7, 2, 4, 6, 8}}},
	{"depth to space by columns", "DepthToSpace", 13, []any{"blocksize", 2, "mode", "CRD"}, seq(1, 8, 1, 1), nil, seq(1, 2, 2, 2)},
	{"space to depth", "SpaceToDepth", 13, []any{"blocksize", 2}, seq(1, 1, 2, 4), nil, ten{[]int{1, 4, 1, 2}, []float32{1, 3, 2, 4, 5, 7, 6, 8}}},
	{"upsample", "Upsample", 9, nil, seq(1, 1, 1, 2), []any{ten{[]int{4}, []float32{1, 1, 2, 1.5}}}, ten{[]int{1, 1, 2, 3}, []float32{1, 1, 2, 1, 1, 2}}},
	{"upsample attributes", "Upsample", 7, []any{"scales", []float32{1, 2}}, seq(1, 2), nil, row(1, 1, 2, 2)},
	{"resize 10", "Resize", 10, nil, seq(1, 2), []any{vec(1, 2)}, row(1, 1, 2, 2)},
	{"resize nearest", "Resize", 13, []any{"nearest_mode", "floor", "coordinate_transformation_mode", "asymmetric"}, seq(1, 3), []any{nil, vec(1, 2)}, row(1, 1, 2, 2, 3, 3)},
	{"resize linear", "Resize", 13, []any{"mode", "linear"}, row(0, 4), []any{nil, nil, []int64{1, 4}}, row(0, 1, 3, 4)},
	{"resize linear corners", "Resize", 13, []any{"mode", "linear", "coordinate_transformation_mode", "align_corners"}, row(0, 6), []any{vec(), vec(), []int64{1, 4}}, row(0, 2, 4, 6)},
	// The weights of cubic at 1/4 are -0.10546875, 0.87890625, 0.26171875 and -0.03515625.
	{"resize cubic", "Resize", 13, []any{"mode", "cubic"}, row(0, 0, 128, 0, 0), []any{nil, vec(1, 2)}, row(0, -4.5, -13.5, 33.5, 112.5, 112.5, 33.5, -13.5, -4.5, 0)},
	{"resize not larger", "Resize", 18, []any{"keep_aspect_ratio_policy", "not_larger", "axes", []int{0, 1}}, seq(1, 2), []any{nil, nil, []int64{2, 2}}, row(1, 2)},
	{"resize not smaller", "Resize", 18, []any{"keep_aspect_ratio_policy", "not_smaller"}, seq(1, 2), []any{nil, nil, []int64{2, 2}}, ten{[]int{2, 4}, []float32{1, 1, 2, 2, 1, 1, 2, 2}}},
	{"resize antialiased", "Resize", 18, []any{"mode", "linear", "antialias", 1}, row(0, 0, 8, 0), []any{nil, vec(1, 0.5)}, row(1, 3)},
	{"slice backwards", "Slice", 17, nil, seq(1, 5), []any{[]int64{-1}, []int64{0}, []int64{1}, []int64{-2}}, row(5, 3)},
	{"gather any", "Gather", 17, []any{"axis", 1}, seq(1, 3), []any{[]int64{2, -3, 2}}, row(3, 1, 3)},
	{"gemm", "Gemm", 17, []any{"alpha", 2.0, "beta", 10.0}, seq(1, 2), []any{seq(2, 2), vec(1, 2)}, row(24, 40)},
	{"gemm transposed", "Gemm", 17, []any{"transB", 1}, seq(1, 2), []any{seq(2, 2), row(100, 200)}, row(105, 211)},
	{"gemm column", "Gemm", 17, []any{"transA", 1}, seq(1, 2), []any{row(3, 4), ten{[]int{2, 1}, []float32{10, 20}}}, ten{[]int{2, 2}, []float32{13, 14, 26, 28}}},
	{"matmul", "MatMul", 17, nil, seq(1, 2), []any{seq(2, 2)}, row(7, 10)},
	{"matmul stack of rows", "MatMul", 17, nil, seq(1, 2, 2), []any{seq(2, 1)}, ten{[]int{1, 2, 1}, []float32{5, 11}}},
	{"matmul stacks", "MatMul", 17, nil, seq(2, 1, 2), []any{seq(2, 2, 1)}, ten{[]int{2, 1, 1}, []float32{5, 25}}},
	{"matmul stack of one", "MatMul", 17, nil, seq(2, 1, 2), []any{seq(1, 2, 1)}, ten{[]int{2, 1, 1}, []float32{5, 11}}},
	{"matmul vector", "MatMul", 17, nil, seq(2, 2), []any{vec(1, 10)}, vec(21, 43)},
	{"matmul of vectors", "MatMul", 17, nil, vec(1, 2), []any{seq(2, 2)}, vec(7, 10)},
	{"batch norm", "BatchNormalization", 17, []any{"epsilon", 0.0}, seq(1, 2, 1, 1), []any{vec(2, 3), vec(10, 20), vec(1, 1), vec(4, 0.25)}, ten{[]int{1, 2, 1, 1}, []float32{10, 26}}},
	{"batch norm rank 3", "BatchNormalization", 17, []any{"epsilon", 0.0}, seq(1, 2, 2), []any{vec(2, 3), vec(10, 20), vec(1, 1), vec(4, 0.25)}, ten{[]int{1, 2, 2}, []float32{10, 11, 32, 38}}},
	{"layer norm", "LayerNormalization", 17, []any{"epsilon", 0.0}, row(1, 3), []any{vec(2, 2), vec(0, 1)}, row(-2, 3)},
	{"instance norm of constants", "InstanceNormalization", 22, []any{"epsilon", 0.0}, ten{[]int{1, 2, 2}, []float32{1, 3, 2, 6}}, []any{vec(1, 1), vec(0, 0)}, ten{[]int{1, 2, 2}, []float32{-1, 1, -1, 1}}},
	{"instance norm", "InstanceNormalization", 22, []any{"epsilon", 0.0}, ten{[]int{1, 2, 2}, []float32{1, 3, 2, 6}}, []any{vec(2, 1), vec(0, 1)}, ten{[]int{1, 2, 2}, []float32{-2, 2, 0, 2}}},
	{"group norm", "GroupNormalization", 21, []any{"epsilon", 0.0, "num_groups", 2}, ten{[]int{1, 2, 2}, []float32{1, 3, 2, 6}}, []any{vec(2, 1), vec(0, 1)}, ten{[]int{1, 2, 2}, []float32{-2, 2, 0, 2}}},
	{"rms norm", "RMSNormalization", 23, []any{"epsilon", 0.0}, row(3, 3), []any{vec(2, 4)}, row(2, 4)},
	{"layer norm no bias", "LayerNormalization", 17, []any{"epsilon", 0.0, "axis", 0}, row(1, 3), []any{row(2, 2)}, row(-2, 2)},
	{"lrn", "LRN", 17, []any{"size", 1, "alpha", 1.0, "beta", 1.0, "bias", 1.0}, row(1, 3), nil, row(0.5, 0.3)},
	{"softmax", "Softmax", 13, nil, row(0, float32(math.Log(3))), nil, row(0.25, 0.75)},
	{"softmax flat", "Softmax", 11, nil, ten{[]int{1, 2, 2}, []float32{0, 0, 0, float32(math.Log(5))}}, nil, ten{[]int{1, 2, 2}, []float32{0.125, 0.125, 0.125, 0.625}}},
	{"log softmax", "LogSoftmax", 13, []any{"axis", 0}, ten{[]int{2, 1}, []float32{0, 0}}, nil, ten{[]int{2, 1}, []float32{-float32(math.Ln2), -float32(math.Ln2)}}},
	{"dropout", "Dropout", 13, nil, row(1, 2), []any{ten{nil, []float32{0.5}}}, row(1, 2)},
	{"add", "Add", 17, nil, seq(1, 2), []any{ten{[]int{2, 1}, []float32{10, 20}}}, ten{[]int{2, 2}, []float32{11, 12, 21, 22}}},
	{"sub", "Sub", 17, nil, seq(1, 2), []any{vec(3)}, row(-2, -1)},
	{"mul", "Mul", 17, nil, seq(1, 2), []any{ten{nil, []float32{3}}}, row(3, 6)},
	{"div", "Div", 17, nil, seq(1, 2), []any{vec(2, 4)}, row(0.5, 0.5)},
	{"pow", "Pow", 17, nil, seq(1, 2), []any{ten{nil, []float32{2}}}, row(1, 4)},
	{"pow odd", "Pow", 17, nil, seq(1, 2), []any{vec(5)}, row(1, 32)},
	{"pow of several", "Pow", 17, nil, seq(1, 2), []any{vec(1, 4)}, row(1, 16)},
	{"sum", "Sum", 17, nil, seq(1, 2), []any{vec(10, 20), vec(100)}, row(111, 122)},
	{"mean", "Mean", 17, nil, seq(1, 2), []any{vec(3, 4)}, row(2, 3)},
	{"max", "Max", 17, nil, row(-1, 2), []any{ten{nil, []float32{0}}, ten{nil, []float32{1}}}, row(1, 2)},
	{"min", "Min", 17, nil, row(-1, 2), []any{ten{nil, []float32{1}}}, row(-1, 1)},
	{"max of tensors", "Max", 17, nil, row(-1, 2, 0), []any{vec(0, 1, 5), ten{nil, []float32{1}}}, row(1, 2, 5)},
	{"min of tensors", "Min", 17, nil, row(-1, 2, 0), []any{vec(0, 1, 5), vec(9, 0, 9)}, row(-1, 0, 0)},
	{"where", "Where", 17, nil, row(0, 2, -1), []any{vec(1, 2, 3), ten{nil, []float32{7}}}, row(7, 2, 3)},
	{"prelu", "PRelu", 17, nil, row(-2, 3), []any{vec(0.5, 0.5)}, row(-1, 3)},
	{"relu", "Relu", 17, nil, row(-1, 2), nil, row(0, 2)},
	{"leaky relu", "LeakyRelu", 17, []any{"alpha", 0.5}, row(-2, 3), nil, row(-1, 3)},
	{"clip", "Clip", 17, nil, row(-9, 9), []any{nil, ten{nil, []float32{6}}}, row(-9, 6)},
	{"clip attributes", "Clip", 7, []any{"min", 0.0, "max", 6.0}, row(-9, 9), nil, row(0, 6)},
	{"clip crossed", "Clip", 17, nil, row(-9, 9), []any{ten{nil, []float32{2}}, ten{nil, []float32{1}}}, row(1, 1)},
	{"hard sigmoid", "HardSigmoid", 17, nil, row(-9, 1, 9), nil, row(0, 0.7, 1)},
	{"hard swish", "HardSwish", 17, nil, row(-9, 3, 9), nil, row(0, 3, 9)},
	{"elu", "Elu", 17, []any{"alpha", 2.0}, row(-float32(math.Ln2), 3), nil, row(-1, 3)},
	{"celu", "Celu", 17, []any{"alpha", 2.0}, row(-2*float32(math.Ln2), 3), nil, row(-1, 3)},
	{"selu", "Selu", 17, []any{"alpha", 2.0, "gamma", 3.0}, row(-float32(math.Ln2), 3), nil, row(-3, 9)},
	{"gelu", "Gelu", 20, nil, row(-1, 1), nil, row(-0.15865525, 0.84134475)},
	{"gelu tanh", "Gelu", 20, []any{"approximate", "tanh"}, row(-1, 1), nil, row(-0.158808, 0.841192)},
	{"softsign", "Softsign", 17, nil, row(-1, 3), nil, row(-0.5, 0.75)},
	{"mish", "Mish", 18, nil, row(0, 1), nil, row(0, 0.8650984)},
	{"swish", "Swish", 24, []any{"alpha", 2.0}, row(0, 1), nil, row(0, 0.8807971)},
	{"erf", "Erf", 17, nil, row(0, 1), nil, row(0, 0.8427008)},
	{"reciprocal", "Reciprocal", 17, nil, row(2, 4), nil, row(0.5, 0.25)},
	{"shrink", "Shrink", 17, []any{"bias", 1.0, "lambd", 1.5}, row(-3, 1, 2), nil, row(-2, 0, 1)},
	{"shrink hard", "Shrink", 17, nil, row(-3, 0.5, 2), nil, row(-3, 0, 2)},
	{"thresholded relu", "ThresholdedRelu", 17, []any{"alpha", 2.0}, row(2, 3), nil, row(0, 3)},
	{"prelu of channels", "PRelu", 17, nil, ten{[]int{1, 2, 3}, []float32{-1, -2, -3, -1, 2, -3}}, []any{vec(1, 10)}, ten{[]int{1, 2, 3}, []float32{-1, -2, -3, -10, 2, -30}}},
	{"hardmax", "Hardmax", 17, nil, row(1, 3, 3), nil, row(0, 1, 0)},
	{"hardmax flat", "Hardmax", 11, nil, ten{[]int{1, 2, 2}, []float32{1, 3, 3, 5}}, nil, ten{[]int{1, 2, 2}, []float32{0, 0, 0, 1}}},
	{"l1 norm", "LpNormalization", 17, []any{"p", 1}, ten{[]int{2, 2}, []float32{-1, 3, 0, 0}}, nil, ten{[]int{2, 2}, []float32{-0.25, 0.75, 0, 0}}},
	{"l2 norm", "LpNormalization", 17, []any{"axis", 0}, ten{[]int{2, 1}, []float32{-3, 4}}, nil, ten{[]int{2, 1}, []float32{-0.6, 0.8}}},
	{"mean variance norm", "MeanVarianceNormalization", 17, []any{"axes", []int{1}}, row(1, 3), nil, row(-1, 1)},
	{"cast like", "CastLike", 17, nil, row(-1.5, 3), []any{vec(0)}, row(-1.5, 3)},
	{"log-likelihood", "NegativeLogLikelihoodLoss", 17, nil, ten{[]int{2, 2}, []float32{-1, -2, -3, -4}}, []any{[]int64{1, 0}}, ten{nil, []float32{2.5}}},
	{"log-likelihood of each", "NegativeLogLikelihoodLoss", 17, []any{"reduction", "none", "ignore_index", 1}, ten{[]int{2, 2}, []float32{-1, -2, -3, -4}}, []any{[]int64{1, 0}}, vec(0, 3)},
	{"log-likelihood weighted", "NegativeLogLikelihoodLoss", 17, nil, ten{[]int{2, 2}, []float32{-1, -2, -3, -4}}, []any{[]int64{1, 0}, vec(1, 3)}, ten{nil, []float32{2.25}}},
	{"log-likelihood of the known", "NegativeLogLikelihoodLoss", 17, []any{"ignore_index", -1}, ten{[]int{2, 2}, []float32{-1, -2, -3, -4}}, []any{[]int64{-1, 0}}, ten{nil, []float32{3}}},
	{"cross-entropy", "SoftmaxCrossEntropyLoss", 17, []any{"reduction", "sum"}, ten{[]int{2, 2}, []float32{0, 0, 5, 5}}, []any{[]int64{1, 0}}, ten{nil, []float32{2 * math.Ln2}}},
	{"reduce l1", "ReduceL1", 17, []any{"axes", []int{1}}, ten{[]int{2, 2}, []float32{-1, 2, 3, -4}}, nil, ten{[]int{2, 1}, []float32{3, 7}}},
	{"reduce l2", "ReduceL2", 18, []any{"keepdims", 0}, ten{[]int{2, 2}, []float32{3, 4, 0, 0}}, []any{[]int64{-1}}, vec(5, 0)},
	{"reduce sum of squares", "ReduceSumSquare", 17, []any{"axes", []int{0}}, seq(2, 2), nil, row(10, 20)},
	{"reduce log sum", "ReduceLogSum", 17, []any{"axes", []int{1}}, row(0.25, 0.75), nil, ten{[]int{1, 1}, []float32{0}}},
	{"reduce log sum exp", "ReduceLogSumExp", 17, []any{"axes", []int{1}, "keepdims", 0}, row(1000, 1000), nil, vec(1000 + math.Ln2)},
	{"reduce product", "ReduceProd", 17, []any{"axes", []int{1}}, seq(2, 5), nil, ten{[]int{2, 1}, []float32{120, 30240}}},
	{"reduce product of three", "ReduceProd", 17, []any{"axes", []int{0, 1}, "keepdims", 0}, seq(3, 2), nil, ten{[]int{}, []float32{720}}},
	{"reduce nothing", "ReduceSumSquare", 18, []any{"noop_with_empty_axes", 1}, row(1, 3), nil, row(1, 9)},
	{"reduce mean", "ReduceMean", 17, []any{"axes", []int{-1}, "keepdims", 0}, seq(2, 2), nil, vec(1.5, 3.5)},
	{"reduce image", "ReduceMean", 17, []any{"axes", []int{2, 3}, "keepdims", 0}, seq(1, 2, 1, 2), nil, row(1.5, 3.5)},
	{"reduce sum", "ReduceSum", 17, nil, seq(2, 2), []any{[]int64{0}}, row(4, 6)},
	{"reduce all", "ReduceMax", 17, nil, seq(2, 2), nil, ten{[]int{1, 1}, []float32{4}}},
	{"reduce min", "ReduceMin", 17, []any{"axes", []int{1}}, seq(2, 2), nil, ten{[]int{2, 1}, []float32{1, 3}}},
	{"reshape", "Reshape", 17, nil, seq(2, 3), []any{[]int64{0, -1, 1}}, ten{[]int{2, 3, 1}, seq(6).v}},
	{"flatten", "Flatten", 17, []any{"axis", -1}, seq(2, 1, 3), nil, seq(2, 3)},
	{"transpose", "Transpose", 17, nil, seq(2, 2), nil, ten{[]int{2, 2}, []float32{1, 3, 2, 4}}},
	{"squeeze", "Squeeze", 17, nil, seq(1, 2, 1), []any{[]int64{-1}}, seq(1, 2)},
	{"squeeze all", "Squeeze", 11, nil, seq(1, 2, 1), nil, seq(2)},
	{"unsqueeze", "Unsqueeze", 11, []any{"axes", []int{0, 3}}, seq(2, 2), nil, ten{[]int{1, 2, 2, 1}, seq(4).v}},
	{"concat", "Concat", 17, []any{"axis", -1}, seq(1, 2), []any{row(7)}, row(1, 2, 7)},
	{"slice", "Slice", 17, nil, seq(1, 5), []any{[]int64{-4}, []int64{math.MaxInt64}, []int64{1}, []int64{2}}, row(2, 4)},
	{"slice attributes", "Slice", 9, []any{"starts", []int{0, 1}, "ends", []int{9, -1}}, seq(2, 4), nil, ten{[]int{2, 2}, []float32{2, 3, 6, 7}}},
	{"gather row", "Gather", 17, nil, seq(3, 2), []any{[]int64{2, 0}}, ten{[]int{2, 2}, []float32{5, 6, 1, 2}}},
	{"gather run", "Gather", 17, []any{"axis", 1}, seq(1, 5), []any{[]int64{0, 2, -1}}, row(1, 3, 5)},
	{"gather elements", "GatherElements", 17, nil, seq(2, 1), []any{[][]int64{{1}}}, ten{[]int{1, 1}, []float32{2}}},
	{"gather parts", "GatherND", 17, nil, seq(3, 2), []any{[][]int64{{2}, {-3}}}, ten{[]int{2, 2}, []float32{5, 6, 1, 2}}},
	{"gather points", "GatherND", 17, nil, seq(3, 2), []any{[][]int64{{2, 0}, {0, 1}}}, vec(5, 2)},
	{"gather points of a batch", "GatherND", 17, []any{"batch_dims", 1}, seq(2, 3), []any{[][]int64{{2}, {0}}}, vec(3, 4)},
	{"scatter", "ScatterElements", 18, []any{"axis", 1}, seq(1, 4), []any{[][]int64{{1, -1}}, row(8, 9)}, row(1, 8, 3, 9)},
	{"scatter added", "ScatterElements", 18, []any{"axis", 1, "reduction", "add"}, seq(1, 4), []any{[][]int64{{1, 1, 3}}, row(8, 9, 10)}, row(1, 19, 3, 14)},
	{"scatter of old", "Scatter", 9, []any{"axis", 1}, seq(1, 4), []any{[][]int64{{0}}, row(8)}, row(8, 2, 3, 4)},
	{"scatter parts", "ScatterND", 18, nil, seq(3, 2), []any{[][]int64{{2}}, row(8, 9)}, ten{[]int{3, 2}, []float32{1, 2, 3, 4, 8, 9}}},
	{"scatter the largest", "ScatterND", 18, []any{"reduction", "max"}, seq(3, 2), []any{[][]int64{{0}, {2}}, ten{[]int{2, 2}, []float32{0, 9, 9, 0}}}, ten{[]int{3, 2}, []float32{1, 9, 3, 4, 9, 6}}},
	{"scatter multiplied", "ScatterND", 18, []any{"reduction", "mul"}, seq(3, 2), []any{[][]int64{{0, 1}, {0, 1}}, vec(2, 5)}, ten{[]int{3, 2}, []float32{1, 20, 3, 4, 5, 6}}},
	{"expand", "Expand", 17, nil, row(1, 2), []any{[]int64{2, 1, 1}}, ten{[]int{2, 1, 2}, []float32{1, 2, 1, 2}}},
	{"cast", "Cast", 17, []any{"to", int(onnxpb.TensorProto_FLOAT16)}, row(1.5), nil, row(1.5)},
	{"identity", "Identity", 17, nil, row(1.5), nil, row(1.5)},
}

// opTol: exponentials and roots are rounded a few times; the numbers by hand have seven
// digits. Everything else here is exact.
const opTol = 1e-6

func TestOps(t *testing.T) {
	tested := map[string]bool{"Split": true, "DequantizeLinear": true} // see TestSplit, TestDequantize
	for _, c := range truthCases {
		tested[c.op] = true
	}
	for _, c := range opCases {
		tested[c.op] = true
		t.Run(c.name, func(t *testing.T) {
			f := newFile(c.opset)
			dims := make([]any, len(c.x.shape))
			for i, d := range c.x.shape {
				dims[i] = d
			}
			in := []string{f.input("x", dims...)}
			for i, r := range c.rest {
				name := string(rune('a' + i))
				switch r := r.(type) {
				case nil:
					name = ""
				case ten:
					f.init(floatTensor(name, r.shape, r.v...))
				case []int64:
					f.init(intTensor(name, []int{len(r)}, r...))
				case [][]int64:
					f.init(intTensor(name, []int{len(r), len(r[0])}, slices.Concat(r...)...))
				}
				in = append(in, name)
			}
			y := f.node(c.op, in, c.attrs...)
			f.output(f.node("Neg", []string{y})) // so that y may be x itself
			m, err := f.read(t, Options{})
			if err != nil {
				t.Fatal(err)
			}
			got := forward(t, m, c.x.v)[0]
			for i := range got {
				got[i] = -got[i]
			}
			if s := m.Outputs[0].Shape(); !slices.Equal([]int(s), c.want.shape) {
				t.Errorf("shape %v, want %v", s, c.want.shape)
			}
			near(t, c.name, got, c.want.v, opTol)
		})
	}
	layers, _ := Ops()
	simple := []string{"Abs", "Ceil", "Cos", "Exp", "Floor", "Log", "Neg", "Sigmoid", "Sign", "Sin", "Softplus", "Sqrt", "Tanh"} // one layer of the same name
	for _, op := range layers {
		if !tested[op] && !slices.Contains(simple, op) {
			t.Errorf("no case of %s", op)
		}
	}
}

// truthCases compare x = -1, 0, 0, 2 with 0, 0, 1, 1; the operators on truth values take
// those of x < 1 and of x ≥ 0.
var truthCases = []struct {
	op   string
	want []float32
}{
	{"Less", []float32{1, 0, 1, 0}}, {"LessOrEqual", []float32{1, 1, 1, 0}}, {"Greater", []float32{0, 0, 0, 1}},
	{"GreaterOrEqual", []float32{0, 1, 0, 1}}, {"Equal", []float32{0, 1, 0, 0}},
	{"And", []float32{0, 1, 1, 0}}, {"Or", []float32{1, 1, 1, 1}}, {"Xor", []float32{1, 0, 0, 1}}, {"Not", []float32{0, 0, 0, 1}},
	{"Cast", []float32{1, 0, 0, 1}},
}

func TestTruth(t *testing.T) {
	for _, c := range truthCases {
		f := newFile(17)
		x := f.input("x", 1, 4)
		var is string
		switch c.op {
		case "Cast":
			is = f.node("Cast", []string{x}, "to", int(onnxpb.TensorProto_BOOL))
		case "And", "Or", "Xor", "Not":
			in := []string{f.node("Less", []string{x, f.init(floatTensor("one", nil, 1))}), f.node("GreaterOrEqual", []string{x, f.init(floatTensor("zero", nil, 0))})}
			if c.op == "Not" {
				in = in[:1]
			}
			is = f.node(c.op, in)
		default:
			is = f.node(c.op, []string{x, f.init(floatTensor("y", []int{4}, 0, 0, 1, 1))})
		}
		f.output(f.node("Cast", []string{is}, "to", int(onnxpb.TensorProto_FLOAT)))
		f.output(f.node("Where", []string{is, x, f.init(floatTensor("none", nil, 9))}))
		m, err := f.read(t, Options{})
		if err != nil {
			t.Fatalf("%s: %v", c.op, err)
		}
		at := []float32{-1, 0, 0, 2}
		got := forward(t, m, at)
		near(t, c.op, got[0], c.want, 0)
		for i, v := range c.want {
			if want := at[i]*v + 9*(1-v); got[1][i] != want {
				t.Errorf("%s: chosen %v, element %d is not %v", c.op, got[1], i, want)
			}
		}
	}
}

// TestMaskOfInfinity: numbers that are not finite are no parameter, which training could
// only spoil.
func TestMaskOfInfinity(t *testing.T) {
	f := newFile(17)
	mask := f.init(floatTensor("mask", []int{3}, 0, 0, float32(math.Inf(-1))))
	w := f.init(floatTensor("w", []int{3}, 1, 1, 1))
	f.output(f.node("Softmax", []string{f.node("Add", []string{f.node("Mul", []string{f.input("x", 1, 3), w}), mask})}))
	m, err := f.read(t, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Params) != 1 || m.Params["w"] == nil {
		t.Errorf("parameters %v, want w alone", m.ParamNames())
	}
	near(t, "softmax", forward(t, m, []float32{1, 1, 1})[0], []float32{0.5, 0.5, 0}, opTol)
}

// TestGroupNormOfPyTorch: an instance normalisation of groups with ones and zeros, as
// constants or as initializers, has no parameters but those of the channels behind it.
func TestGroupNormOfPyTorch(t *testing.T) {
	for _, folded := range []bool{false, true} {
		f := newFile(17)
		y := f.node("Reshape", []string{f.input("x", 1, 4, 1, 2), f.list(0, 2, -1)})
		ones, zeros := f.init(floatTensor("ones", []int{2}, 1, 1)), f.init(floatTensor("zeros", []int{2}, 0, 0))
		if !folded {
			ones, zeros = f.node("Expand", []string{f.init(floatTensor("one", nil, 1)), f.list(2)}), f.node("Expand", []string{f.init(floatTensor("zero", nil, 0)), f.list(2)})
		}
		y = f.node("InstanceNormalization", []string{y, ones, zeros}, "epsilon", 0.0)
		y = f.node("Reshape", []string{y, f.list(1, 4, 1, 2)})
		f.output(f.node("Mul", []string{y, f.init(floatTensor("gamma", []int{4, 1, 1}, 1, 2, 1, 1))}))
		m, err := f.read(t, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if len(m.Params) != 1 || m.Params["gamma"] == nil {
			t.Errorf("folded %t: parameters %v, want gamma alone", folded, m.ParamNames())
		}
		near(t, "group norm", forward(t, m, []float32{1, 1, 3, 3, 0, 4, 4, 0})[0], []float32{-1, -1, 2, 2, -1, 1, 1, -1}, opTol)
	}
}

// TestPadding: zeros around an image go into the convolution behind it, which then has
// the same result as with a padding layer.
func TestPadding(t *testing.T) {
	for _, shared := range []bool{false, true} {
		f := newFile(17)
		p := f.node("Pad", []string{f.input("x", 1, 2, 4, 4), f.list(0, 0, 1, 0, 0, 0, 2, 1)})
		w := f.init(floatTensor("w", []int{1, 2, 3, 3}, numbers(3, 18)...))
		f.output(f.node("Conv", []string{p, w}, "pads", []int{0, 1, 0, 0}))
		if shared { // somebody else reads it
			f.output(f.node("Relu", []string{p}))
		}
		m, err := f.read(t, Options{})
		if err != nil {
			t.Fatal(err)
		}
		g := newFile(17)
		w = g.init(f.Graph.Initializer[1])
		g.output(g.node("Conv", []string{g.input("x", 1, 2, 4, 4), w}, "pads", []int{1, 1, 2, 1}))
		plain, err := g.read(t, Options{})
		if err != nil {
			t.Fatal(err)
		}
		x := numbers(4, 32)
		near(t, "padded", forward(t, m, x)[0], forward(t, plain, x)[0], 0)
		layers := 0
		for _, n := range m.Graph.AllNodes() {
			if n.Op() != nil {
				layers++
			}
		}
		if want := map[bool]int{false: 1, true: 3}[shared]; layers != want {
			t.Errorf("%d layers, want %d", layers, want)
		}
	}
}

func TestSplit(t *testing.T) {
	for _, c := range []struct {
		parts []int
		sizes []int64
		opset int
	}{{[]int{2, 3}, []int64{2, 3}, 13}, {[]int{2, 2, 1}, nil, 18}} {
		f := newFile(c.opset)
		in := []string{f.input("x", 1, 5)}
		if c.sizes != nil {
			in = append(in, f.list(c.sizes...))
		}
		var out []string
		for i := range c.parts {
			out = append(out, string(rune('a'+i)))
		}
		f.named("cut", "Split", in, out, "axis", 1)
		for _, name := range out {
			f.output(name)
		}
		m, err := f.read(t, Options{})
		if err != nil {
			t.Fatal(err)
		}
		at := 0
		for i, y := range forward(t, m, seq(5).v) {
			near(t, out[i], y, seq(5).v[at:at+c.parts[i]], 0)
			at += c.parts[i]
		}
	}
}
