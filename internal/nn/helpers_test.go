package nn

import (
	"math/rand/v2"
	"testing"
)

// layerCase is one layer with inputs that fit it. positive inputs keep logarithms
// and powers in their domain.
type layerCase struct {
	name     string
	op       Op
	in       [][]int
	positive bool
}

var (
	one1  = [2]int{1, 1}
	plain = Conv{Stride: one1, Dilation: one1, Groups: 1}
)

func conv(stride, dilation [2]int, pad [4]int, groups int) Conv {
	return Conv{Stride: stride, Pad: pad, Dilation: dilation, Groups: groups}
}

// layerCases has at least one case of every kind; TestCasesCoverAllKinds checks.
func layerCases() []layerCase {
	cases := []layerCase{
		{"conv 1x1", plain, [][]int{{2, 3, 1, 1}, {4, 3, 1, 1}}, false},
		{"conv bias", conv([2]int{1, 2}, one1, [4]int{1, 0, 0, 2}, 1), [][]int{{2, 3, 5, 4}, {5, 3, 2, 3}, {5}}, false},
		{"conv groups", conv(one1, [2]int{2, 1}, [4]int{1, 1, 1, 1}, 2), [][]int{{2, 4, 5, 4}, {6, 2, 2, 3}, {6}}, false},
		{"conv depthwise", conv([2]int{2, 2}, one1, [4]int{1, 1, 1, 1}, 3), [][]int{{2, 3, 5, 6}, {6, 1, 3, 3}}, false},
		{"conv stride above kernel", conv([2]int{3, 3}, one1, [4]int{}, 1), [][]int{{3, 2, 5, 7}, {3, 2, 1, 2}}, false},
		{"conv large pad", conv(one1, one1, [4]int{3, 3, 3, 3}, 1), [][]int{{1, 2, 1, 1}, {1, 2, 2, 2}}, false},
		{"conv transpose", ConvTranspose{Stride: [2]int{2, 2}, Dilation: one1, Groups: 1}, [][]int{{2, 3, 2, 3}, {4, 3, 2, 2}, {4}}, false},
		{"conv transpose groups", ConvTranspose{Stride: [2]int{2, 3}, Pad: [4]int{1, 0, 2, 1}, Dilation: [2]int{2, 1}, Groups: 2, Extra: [2]int{1, 2}}, [][]int{{2, 4, 3, 2}, {6, 2, 3, 2}}, false},
		{"conv transpose depthwise", ConvTranspose{Stride: one1, Pad: [4]int{0, 3, 3, 0}, Dilation: one1, Groups: 3}, [][]int{{2, 3, 5, 4}, {3, 1, 2, 2}, {3}}, false},
		{"matmul", MatMul{}, [][]int{{3, 5}, {5, 4}}, false},
		{"matmul bias", MatMul{}, [][]int{{3, 5}, {5, 4}, {4}}, false},
		{"matmul trans a", MatMul{TransA: true}, [][]int{{5, 3}, {5, 4}}, false},
		{"matmul trans b", MatMul{TransB: true}, [][]int{{3, 5}, {4, 5}, {4}}, false},
		{"matmul both", MatMul{TransA: true, TransB: true}, [][]int{{5, 3}, {4, 5}}, false},
		{"matmul batch", MatMul{TransB: true}, [][]int{{2, 3, 2, 5}, {2, 3, 3, 5}, {3}}, false},
		{"matmul 1x1", MatMul{}, [][]int{{1, 1}, {1, 1}}, false},
		{"max pool", Pool{Kernel: [2]int{2, 3}, Stride: [2]int{2, 1}, Pad: [4]int{1, 0, 0, 2}}, [][]int{{2, 2, 5, 4}}, false},
		{"max pool 2x2", Pool{Kernel: [2]int{2, 2}, Stride: [2]int{2, 2}}, [][]int{{2, 2, 5, 4}}, false},
		{"max pool 2x2 overlapping", Pool{Kernel: [2]int{2, 2}, Stride: [2]int{1, 1}}, [][]int{{2, 2, 4, 5}}, false},
		{"max pool gaps", Pool{Kernel: [2]int{2, 1}, Stride: [2]int{3, 2}}, [][]int{{1, 2, 5, 4}}, false},
		{"average pool", Pool{Average: true, Kernel: [2]int{3, 2}, Stride: [2]int{1, 2}, Pad: [4]int{1, 1, 2, 0}}, [][]int{{2, 2, 4, 5}}, false},
		{"average pool inside", Pool{Average: true, ExcludePad: true, Kernel: [2]int{3, 2}, Stride: [2]int{1, 2}, Pad: [4]int{1, 1, 2, 0}}, [][]int{{2, 2, 4, 5}}, false},
		{"global average", GlobalAvgPool{}, [][]int{{2, 3, 4, 5}}, false},
		{"reshape", Reshape{Shape: []int{2, -1, 3}}, [][]int{{4, 6}}, false},
		{"reshape to scalar", Reshape{}, [][]int{{1, 1}}, false},
		{"transpose", Transpose{Perm: []int{2, 0, 3, 1}}, [][]int{{2, 3, 4, 5}}, false},
		{"transpose scalar", Transpose{}, [][]int{{}}, false},
		{"concat", Concat{Axis: 1}, [][]int{{2, 1, 3}, {2, 4, 3}, {2, 2, 3}}, false},
		{"concat one", Concat{}, [][]int{{3}}, false},
		{"slice", Slice{Axis: 1, Start: 1, End: 6, Step: 2}, [][]int{{2, 7, 3}}, false},
		{"slice run", Slice{Axis: 0, Start: 1, End: 3, Step: 1}, [][]int{{4, 3}}, false},
		{"slice squeeze", Slice{Axis: 2, Start: 1, End: 2, Step: 1, Squeeze: true}, [][]int{{2, 2, 3}}, false},
		{"slice huge step", Slice{Axis: 0, End: 3, Step: int(^uint(0) >> 1)}, [][]int{{3, 2}}, false},
		{"softmax rows", Softmax{Axis: 1}, [][]int{{3, 5}}, false},
		{"softmax channels", Softmax{Axis: 1}, [][]int{{2, 3, 2, 2}}, false},
		{"log softmax", Softmax{Axis: 0, Log: true}, [][]int{{4, 3}}, false},
		{"softmax scaled", Softmax{Axis: 1, Scale: 0.4}, [][]int{{3, 5}}, false},
		{"softmax masked", Softmax{Axis: 2, Scale: 0.4}, [][]int{{2, 3, 5}, {3, 5}}, false},
		{"softmax masked rows", Softmax{Axis: 3}, [][]int{{2, 3, 2, 5}, {2, 1, 1, 5}}, false},
		{"softmax masked by one", Softmax{Axis: 1}, [][]int{{3, 5}, {3, 1}}, false},
		{"softmax masked whole", Softmax{Axis: 1, Scale: -0.4}, [][]int{{3, 5}, {3, 5}}, false},
		{"softmax masked channels", Softmax{Axis: 1, Scale: 2}, [][]int{{2, 3, 4}, {3, 1}}, false},
		{"softmax masked, axes of 1", Softmax{Axis: 1}, [][]int{{2, 5, 1, 1}, {5, 1, 1}}, false},
		{"log softmax masked", Softmax{Axis: 1, Log: true, Scale: 0.4}, [][]int{{4, 3}, {}}, false},
		{"batch norm", BatchNorm{Eps: 1e-3}, [][]int{{2, 3, 2, 4}, {3}, {3}, {3}, {3}}, true},
		{"batch norm rank 2", BatchNorm{}, [][]int{{4, 3}, {3}, {3}, {3}, {3}}, true},
		{"layer norm", LayerNorm{Axis: 2, Eps: 1e-2}, [][]int{{2, 3, 5}, {5}, {5}}, false},
		{"layer norm of two axes", LayerNorm{Axis: 1, Eps: 1e-2}, [][]int{{2, 3, 4}, {3, 4}}, false},
		{"layer norm alone", LayerNorm{Axis: 0, Eps: 1e-2}, [][]int{{7}}, false},
		{"rms norm", LayerNorm{Axis: 1, Eps: 1e-2, RMS: true}, [][]int{{3, 6}, {6}, {6}}, true},
		{"group norm", GroupNorm{Groups: 2, Eps: 1e-2}, [][]int{{2, 4, 3, 2}, {4}, {4}}, false},
		{"group norm of vectors", GroupNorm{Groups: 1, Eps: 1e-2}, [][]int{{3, 5}, {5}}, false},
		{"instance norm", GroupNorm{Groups: 3, Eps: 1e-2}, [][]int{{2, 3, 5}}, false},
		{"dropout", Dropout{P: 0.5}, [][]int{{3, 4}}, false},
		{"pad", Pad{Before: []int{0, 1, 0, 2}, After: []int{0, 0, 3, 1}, Value: -0.5}, [][]int{{2, 2, 3, 2}}, false},
		{"pad nothing", Pad{Before: []int{0}, After: []int{0}}, [][]int{{3}}, false},
		{"pad reflect", Pad{Before: []int{0, 1, 2}, After: []int{0, 3, 1}, Mode: "reflect"}, [][]int{{2, 3, 3}}, false},
		{"pad reflect often", Pad{Before: []int{5, 2}, After: []int{7, 3}, Mode: "reflect"}, [][]int{{3, 1}}, false},
		{"pad edge", Pad{Before: []int{0, 1, 2}, After: []int{0, 3, 0}, Mode: "edge"}, [][]int{{2, 3, 2}}, false},
		{"pad wrap", Pad{Before: []int{2, 0}, After: []int{7, 0}, Mode: "wrap"}, [][]int{{3, 4}}, false},
		{"pad edge of nothing", Pad{Before: []int{0}, After: []int{0}, Mode: "edge"}, [][]int{{3}}, false},
		{"pad edge of a scalar", Pad{Mode: "edge", Before: []int{}, After: []int{}}, [][]int{{}}, false},
		{"take", Take{Axis: 1, Index: []int{2, 0, 2, 1}}, [][]int{{2, 4, 3}}, false},
		{"take reversed", Take{Axis: 1, Index: []int{3, 2, 1, 0}}, [][]int{{3, 4}}, false},
		{"resize nearest", Resize{Mode: "nearest", Nearest: "round_prefer_floor", Coordinates: "half_pixel", Axes: []int{2, 3}, Size: []int{5, 6}}, [][]int{{2, 2, 3, 4}}, false},
		{"resize nearest by ceilings", Resize{Mode: "nearest", Nearest: "ceil", Coordinates: "half_pixel", Axes: []int{1}, Size: []int{3}}, [][]int{{2, 5}}, false},
		{"resize nearest by halves upwards", Resize{Mode: "nearest", Nearest: "round_prefer_ceil", Coordinates: "half_pixel", Axes: []int{1}, Size: []int{2}}, [][]int{{2, 4}}, false},
		{"resize nearest up", Resize{Mode: "nearest", Nearest: "floor", Coordinates: "asymmetric", Axes: []int{1}, Size: []int{8}, Scale: []float64{2.5}}, [][]int{{2, 3}}, false},
		{"resize linear", Resize{Mode: "linear", Coordinates: "half_pixel", Axes: []int{2, 3}, Size: []int{5, 3}}, [][]int{{2, 2, 3, 4}}, false},
		{"resize linear corners", Resize{Mode: "linear", Coordinates: "align_corners", Axes: []int{1}, Size: []int{7}}, [][]int{{2, 3, 2}}, false},
		{"resize linear to one", Resize{Mode: "linear", Coordinates: "align_corners", Axes: []int{1}, Size: []int{1}}, [][]int{{2, 3}}, false},
		{"resize linear symmetric", Resize{Mode: "linear", Coordinates: "half_pixel_symmetric", Axes: []int{1}, Size: []int{4}, Scale: []float64{0.6}}, [][]int{{2, 8}}, false},
		{"resize linear antialiased", Resize{Mode: "linear", Coordinates: "half_pixel", Axes: []int{1}, Size: []int{3}, Antialias: true}, [][]int{{2, 8}}, false},
		{"resize cubic", Resize{Mode: "cubic", Coordinates: "pytorch_half_pixel", Axes: []int{1, 2}, Size: []int{5, 1}, Cubic: -0.75}, [][]int{{2, 4, 3}}, false},
		{"resize cubic inside", Resize{Mode: "cubic", Coordinates: "half_pixel", Axes: []int{1}, Size: []int{3}, Cubic: -0.5, Inside: true, Antialias: true}, [][]int{{2, 9}}, false},
		{"lrn", LRN{Size: 3, Alpha: 0.5, Beta: 0.75, Bias: 1}, [][]int{{2, 5, 2, 3}}, false},
		{"lrn even", LRN{Size: 4, Alpha: 2, Beta: 0.5, Bias: 2}, [][]int{{2, 6}}, false},
		{"lrn wide", LRN{Size: 9, Alpha: 1, Beta: 1, Bias: 1}, [][]int{{1, 3, 2}}, false},
		{"gather", Gather{Axis: 0}, [][]int{{5, 3}, {2, 4}}, false},
		{"gather middle", Gather{Axis: 1}, [][]int{{2, 5, 3}, {6}}, false},
		{"gather one", Gather{Axis: 1}, [][]int{{2, 5}, {}}, false},
	}
	for _, s := range [][][]int{{{2, 3, 4}, {2, 3, 4}, {2, 3, 4}}, {{3, 1}, {2, 3, 4}, {1}}, {{2, 3, 1, 2}, {3, 4, 1}, {3, 1, 2}}, {{}, {4}, {4}}, {{2, 9}, {}, {}}} {
		cases = append(cases, layerCase{"where", Where{}, s, false})
	}
	for _, fn := range []string{"add", "sub", "mul", "div", "pow", "min", "max", "less", "less_equal", "greater", "greater_equal", "equal", "not_equal"} {
		for _, s := range [][][]int{{{2, 3, 4}, {2, 3, 4}}, {{2, 3, 1, 2}, {3, 4, 1}}, {{3, 1}, {1, 4}}, {{}, {2, 2}}, {{2, 3}, {1}}} {
			cases = append(cases, layerCase{fn, Binary{fn}, s, fn == "div" || fn == "pow"})
		}
	}
	for _, fn := range []string{"sum", "mean", "max", "min"} {
		for _, axes := range [][]int{{0}, {1}, {2}, {0, 2}, {1, 2}, {0, 1, 2}} {
			cases = append(cases, layerCase{"reduce " + fn, Reduce{fn, axes}, [][]int{{3, 4, 2}}, false})
		}
	}
	for _, fn := range []string{"relu", "clip", "leaky_relu", "sigmoid", "tanh", "exp", "neg", "abs", "sign",
		"ceil", "floor", "sin", "cos", "square", "cube", "expm1", "softplus", "erf", "elu", "selu", "hard_sigmoid", "hard_swish",
		"silu", "gelu", "gelu_tanh"} {
		cases = append(cases, layerCase{fn, Unary{Fn: fn, Alpha: 0.1, Beta: 0.5, Min: -0.5, Max: 0.7}, [][]int{{3, 7}}, false})
	}
	for _, fn := range []string{"log", "log2", "sqrt", "inv", "inv_sqrt", "log1p"} {
		cases = append(cases, layerCase{fn, Unary{Fn: fn}, [][]int{{3, 7}}, true})
	}
	return cases
}

// spread returns values that differ by at least spreadStep and keep half of it
// from every multiple of it, so that no maximum is near a tie and no kink near 0.
func spread[F Float](r *rand.Rand, shape []int, positive bool) Tensor[F] {
	n := product(shape)
	x := make([]F, n)
	for i, p := range r.Perm(n) {
		v := (float64(p) + 0.5) * spreadStep
		if positive {
			v += 0.5
		} else {
			v -= float64(n/2) * spreadStep
		}
		x[i] = F(v)
	}
	return Tensor[F]{shape, x}
}

const spreadStep = 0x1p-6

func (c layerCase) inputs(seed uint64) []Tensor[float64] {
	r := rand.New(rand.NewPCG(seed, 0))
	in := make([]Tensor[float64], len(c.in))
	for i, s := range c.in {
		in[i] = spread[float64](r, s, c.positive)
	}
	if o, ok := c.op.(Gather); ok { // indices: whole numbers, some from the end, some twice
		n := c.in[0][o.Axis]
		for i := range in[1].Data {
			in[1].Data[i] = float64((3*i+1)%(2*n) - n)
		}
	}
	if o, ok := c.op.(Binary); ok && binaryFns[o.Fn] >= fnMin { // no ties
		for i := range in[1].Data {
			in[1].Data[i] += spreadStep / 2
		}
	}
	if _, ok := c.op.(Where); ok {
		for i, v := range in[0].Data {
			in[0].Data[i] = float64(int(v/spreadStep+1e3) % 3)
		}
	}
	return in
}

func narrow(in []Tensor[float64]) []Tensor[float32] {
	out := make([]Tensor[float32], len(in))
	for i, t := range in {
		out[i] = Tensor[float32]{t.Shape, make([]float32, len(t.Data))}
		for j, v := range t.Data {
			out[i].Data[j] = float32(v)
		}
	}
	return out
}

func like[F Float](in []Tensor[F]) []Tensor[F] {
	out := make([]Tensor[F], len(in))
	for i, t := range in {
		out[i] = Tensor[F]{t.Shape, make([]F, len(t.Data))}
		for j := range out[i].Data {
			out[i].Data[j] = 77 // must be overwritten
		}
	}
	return out
}

func run[F Float](t *testing.T, op Op, in []Tensor[F]) Tensor[F] {
	t.Helper()
	shapes := make([][]int, len(in))
	for i, x := range in {
		shapes[i] = x.Shape
	}
	s, err := OutShape(op, shapes)
	if err != nil {
		t.Fatal(err)
	}
	out := like([]Tensor[F]{{s, make([]F, product(s))}})[0]
	if err := Forward(op, out, in); err != nil {
		t.Fatal(err)
	}
	return out
}

func back[F Float](t *testing.T, op Op, in []Tensor[F], out, dout Tensor[F]) []Tensor[F] {
	t.Helper()
	grads := like(in)
	if err := Backward(op, grads, in, out, dout); err != nil {
		t.Fatal(err)
	}
	return grads
}

func wantSame[T comparable](t *testing.T, what string, got, want []T) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d elements, want %d", what, len(got), len(want))
	}
	for i := range got {
		if got[i] != want[i] {
			t.Fatalf("%s: element %d is %v, want %v", what, i, got[i], want[i])
		}
	}
}
