package nn

import (
	"errors"
	"math"
	"strings"
	"testing"
)

func wantErr(t *testing.T, err, kind error, text string) {
	t.Helper()
	if !errors.Is(err, kind) || !strings.Contains(err.Error(), text) {
		t.Errorf("error %v, want one that wraps %q and says %q", err, kind, text)
	}
}

type strange struct{}

func (strange) Kind() string { return "strange" }

func TestBadSettingsAndShapes(t *testing.T) {
	huge := math.MaxInt / 2
	x, w := []int{1, 4, 5, 5}, []int{6, 4, 3, 3}
	cases := []struct {
		op   Op
		in   [][]int
		kind error
		text string
	}{
		{nil, [][]int{x}, ErrSettings, "nil"},
		{strange{}, [][]int{x}, ErrSettings, "unknown layer type"},
		{&Conv{}, [][]int{x, w}, ErrSettings, "as values"},
		{Conv{}, [][]int{x, w}, ErrSettings, "groups"},
		{conv([2]int{0, 1}, one1, [4]int{}, 1), [][]int{x, w}, ErrSettings, "stride"},
		{conv(one1, [2]int{1, 0}, [4]int{}, 1), [][]int{x, w}, ErrSettings, "dilation"},
		{conv(one1, one1, [4]int{0, 0, -1, 0}, 1), [][]int{x, w}, ErrSettings, "padding"},
		{plain, [][]int{x}, ErrShape, "got 1 inputs, want 2 or 3"},
		{plain, [][]int{x, w, {6}, {6}}, ErrShape, "got 4 inputs"},
		{plain, [][]int{{4, 5, 5}, w}, ErrShape, "[N,C,H,W]"},
		{conv(one1, one1, [4]int{}, 3), [][]int{x, w}, ErrShape, "3 groups do not divide"},
		{conv(one1, one1, [4]int{}, 2), [][]int{x, w}, ErrShape, "input channels per group"},
		{plain, [][]int{x, w, {5}}, ErrShape, "bias"},
		{plain, [][]int{{1, 4, 2, 5}, w}, ErrShape, "does not fit"},
		{plain, [][]int{{0, 4, 5, 5}, w}, ErrShape, "at least 1"},
		{plain, [][]int{{huge, 4, 5, 5}, w}, ErrShape, "more than"},
		{conv(one1, one1, [4]int{huge, 0, 0, 0}, 1), [][]int{x, w}, ErrSettings, "larger than"},
		{conv(one1, [2]int{huge, 1}, [4]int{}, 1), [][]int{x, w}, ErrSettings, "larger than"},
		{conv([2]int{1 << 30, 1 << 30}, one1, [4]int{1 << 30, 1 << 30, 1 << 30, 1 << 30}, 1), [][]int{x, w}, ErrShape, "padded input"},
		{ConvTranspose{}, [][]int{x, w}, ErrSettings, "groups"},
		{ConvTranspose{Groups: 1}, [][]int{x, w}, ErrSettings, "dilation"},
		{ConvTranspose{Groups: 1, Dilation: one1}, [][]int{x, w}, ErrSettings, "stride"},
		{ConvTranspose{Groups: 1, Dilation: one1, Stride: one1, Extra: one1}, [][]int{x, w}, ErrSettings, "extra"},
		{ConvTranspose{Groups: 1, Dilation: one1, Stride: one1}, [][]int{{4, 5, 5}, w}, ErrShape, "[N,C,H,W]"},
		{ConvTranspose{Groups: 2, Dilation: one1, Stride: one1}, [][]int{x, w}, ErrShape, "2 groups"},
		{ConvTranspose{Groups: 1, Dilation: one1, Stride: one1}, [][]int{x, w, {5}}, ErrShape, "bias"},
		{ConvTranspose{Groups: 1, Dilation: one1, Stride: one1, Pad: [4]int{4, 0, 4, 0}}, [][]int{x, w}, ErrShape, "cuts off all"},
		{ConvTranspose{Groups: 1, Dilation: one1, Stride: [2]int{huge, 1}}, [][]int{x, w}, ErrSettings, "larger than"},
		{ConvTranspose{Groups: 1, Dilation: one1, Stride: [2]int{1 << 30, 1 << 30}}, [][]int{x, w}, ErrShape, "more than"},
		{MatMul{}, [][]int{{3}, {3}}, ErrShape, "matrices"},
		{MatMul{}, [][]int{{2, 3, 4}, {3, 4, 5}}, ErrShape, "leading"},
		{MatMul{}, [][]int{{3, 4}, {3, 5}}, ErrShape, "contract"},
		{MatMul{}, [][]int{{3, 4}, {4, 5}, {3}}, ErrShape, "bias"},
		{MatMul{}, [][]int{{1 << 30, 1}, {1, 1 << 30}}, ErrShape, "output"},
		{Binary{"mod"}, [][]int{{1}, {1}}, ErrSettings, "unknown function"},
		{Binary{"add"}, [][]int{{2}, {3}}, ErrShape, "broadcast"},
		{Binary{"add"}, [][]int{{1 << 30, 1}, {1 << 30}}, ErrShape, "output"},
		{Unary{Fn: "gela"}, [][]int{{1}}, ErrSettings, "unknown function"},
		{Unary{Fn: "clip", Min: 1, Max: 0}, [][]int{{1}}, ErrSettings, "above"},
		{Unary{Fn: "clip", Max: math.Inf(1)}, [][]int{{1}}, ErrSettings, "finite"},
		{Pool{Stride: one1}, [][]int{x}, ErrSettings, "kernel"},
		{Pool{Kernel: one1}, [][]int{x}, ErrSettings, "stride"},
		{Pool{Kernel: [2]int{2, 2}, Stride: one1, Pad: [4]int{2, 0, 0, 0}}, [][]int{x}, ErrSettings, "less than the kernel"},
		{Pool{Kernel: [2]int{6, 1}, Stride: one1}, [][]int{x}, ErrShape, "does not fit"},
		{Pool{Kernel: one1, Stride: one1}, [][]int{{3, 3}}, ErrShape, "[N,C,H,W]"},
		{Pool{Kernel: one1, Stride: one1, Pad: [4]int{0, -1, 0, 0}}, [][]int{x}, ErrSettings, "padding"},
		{GlobalAvgPool{}, [][]int{{3, 3}}, ErrShape, "[N,C,H,W]"},
		{Reduce{"range", []int{0}}, [][]int{x}, ErrSettings, "unknown function"},
		{Reduce{"sum", nil}, [][]int{x}, ErrSettings, "no axes"},
		{Reduce{"sum", []int{1, 1}}, [][]int{x}, ErrSettings, "distinct"},
		{Reduce{"sum", []int{-1}}, [][]int{x}, ErrSettings, "at least 0"},
		{Reduce{"sum", []int{4}}, [][]int{x}, ErrShape, "axis 4"},
		{Reshape{[]int{-1, -1}}, [][]int{x}, ErrSettings, "at most one"},
		{Reshape{[]int{0}}, [][]int{x}, ErrSettings, "at least 1"},
		{Reshape{[]int{huge, huge}}, [][]int{x}, ErrSettings, "more than"},
		{Reshape{[]int{3, -1}}, [][]int{x}, ErrShape, "does not fill"},
		{Reshape{[]int{10}}, [][]int{x}, ErrShape, "does not fill"},
		{Transpose{[]int{0, 0}}, [][]int{{2, 2}}, ErrSettings, "permutation"},
		{Transpose{[]int{1, 0}}, [][]int{x}, ErrShape, "does not fit"},
		{Concat{-1}, [][]int{x}, ErrSettings, "axis"},
		{Concat{4}, [][]int{x}, ErrShape, "axis 4"},
		{Concat{1}, nil, ErrShape, "at least 1"},
		{Concat{1}, [][]int{{2, 3}, {3, 3}}, ErrShape, "does not join"},
		{Concat{1}, [][]int{{2, 3}, {2}}, ErrShape, "does not join"},
		{Slice{Axis: 0, Start: 1, End: 1, Step: 1}, [][]int{x}, ErrSettings, "end above start"},
		{Slice{Axis: 0, End: 1}, [][]int{x}, ErrSettings, "step"},
		{Slice{Axis: 1, End: 9, Step: 1}, [][]int{x}, ErrShape, "past axis"},
		{Slice{Axis: 4, End: 1, Step: 1}, [][]int{x}, ErrShape, "axis 4"},
		{Slice{Axis: 1, End: 2, Step: 1, Squeeze: true}, [][]int{x}, ErrShape, "one element"},
		{Softmax{Axis: -1}, [][]int{x}, ErrSettings, "axis"},
		{Softmax{Axis: 0}, [][]int{{}}, ErrShape, "axis 0"},
		{Softmax{Scale: math.Inf(1)}, [][]int{x}, ErrSettings, "scale"},
		{Softmax{}, [][]int{{3, 4}, {3, 1, 1}}, ErrShape, "mask"},
		{Softmax{}, [][]int{{3, 4}, {2, 1}}, ErrShape, "mask"},
		{BatchNorm{Eps: math.NaN()}, [][]int{x, {4}, {4}, {4}, {4}}, ErrSettings, "eps"},
		{BatchNorm{}, [][]int{{4}, {4}, {4}, {4}, {4}}, ErrShape, "[N,C]"},
		{BatchNorm{}, [][]int{x, {4}, {4}, {3}, {4}}, ErrShape, "mean"},
		{Dropout{P: 1}, [][]int{x}, ErrSettings, "p < 1"},
		{Pad{Before: []int{1}}, [][]int{{2}}, ErrSettings, "one element per axis"},
		{Pad{Before: []int{-1}, After: []int{0}}, [][]int{{2}}, ErrSettings, "want 0"},
		{Pad{Before: []int{huge}, After: []int{0}}, [][]int{{2}}, ErrSettings, "want 0"},
		{Pad{Before: []int{1}, After: []int{0}, Value: math.Inf(1)}, [][]int{{2}}, ErrSettings, "finite"},
		{Pad{Before: []int{1}, After: []int{0}}, [][]int{x}, ErrShape, "axes"},
		{Pad{Before: []int{1 << 39, 1 << 39}, After: []int{0, 0}}, [][]int{{2, 2}}, ErrShape, "output"},
		{Pad{Before: []int{1}, After: []int{0}, Mode: "mirror"}, [][]int{{2}}, ErrSettings, "mode"},
		{Pad{Before: []int{1}, After: []int{0}, Mode: "edge", Value: 1}, [][]int{{2}}, ErrSettings, "value 1"},
		{Take{}, [][]int{x}, ErrSettings, "no indices"},
		{Take{Index: []int{-1}}, [][]int{x}, ErrSettings, "index 0"},
		{Take{Axis: -1, Index: []int{0}}, [][]int{x}, ErrSettings, "axis"},
		{Take{Axis: 4, Index: []int{0}}, [][]int{x}, ErrShape, "axis 4"},
		{Take{Axis: 1, Index: []int{0, 4}}, [][]int{x}, ErrShape, "index 1 is 4"},
		{Resize{Mode: "area"}, [][]int{x}, ErrSettings, "mode"},
		{Resize{Mode: "nearest", Nearest: "up"}, [][]int{x}, ErrSettings, "nearest"},
		{Resize{Mode: "nearest", Nearest: "floor", Antialias: true}, [][]int{x}, ErrSettings, "antialias"},
		{Resize{Mode: "linear", Nearest: "floor"}, [][]int{x}, ErrSettings, "nearest"},
		{Resize{Mode: "linear", Coordinates: "crop"}, [][]int{x}, ErrSettings, "coordinates"},
		{Resize{Mode: "linear", Coordinates: "asymmetric"}, [][]int{x}, ErrSettings, "one at least"},
		{Resize{Mode: "linear", Coordinates: "asymmetric", Axes: []int{2, 1}, Size: []int{3, 3}}, [][]int{x}, ErrSettings, "sorted"},
		{Resize{Mode: "linear", Coordinates: "asymmetric", Axes: []int{2}, Size: []int{0}}, [][]int{x}, ErrSettings, "at least 1"},
		{Resize{Mode: "linear", Coordinates: "asymmetric", Axes: []int{2}, Size: []int{9}, Scale: []float64{math.NaN()}}, [][]int{x}, ErrSettings, "scales"},
		{Resize{Mode: "linear", Coordinates: "asymmetric", Axes: []int{2}, Size: []int{9}, Scale: []float64{9}}, [][]int{x}, ErrShape, "is not 9"},
		{Resize{Mode: "linear", Coordinates: "asymmetric", Axes: []int{2}, Size: []int{9}, Cubic: -1}, [][]int{x}, ErrSettings, "cubic"},
		{Resize{Mode: "linear", Coordinates: "asymmetric", Axes: []int{4}, Size: []int{9}}, [][]int{x}, ErrShape, "axis 4"},
		{LRN{Size: 0, Bias: 1}, [][]int{x}, ErrSettings, "size"},
		{LRN{Size: 3}, [][]int{x}, ErrSettings, "bias"},
		{LRN{Size: 3, Bias: 1}, [][]int{{4}}, ErrShape, "[N,C,...]"},
		{Gather{Axis: -1}, [][]int{{4}, {2}}, ErrSettings, "axis"},
		{Gather{Axis: 1}, [][]int{{4}, {2}}, ErrShape, "axis 1"},
		{Gather{}, [][]int{{4}}, ErrShape, "got 1 inputs, want 2"},
	}
	for _, c := range cases {
		_, err := OutShape(c.op, c.in)
		wantErr(t, err, c.kind, c.text)
	}
}

func TestBadTensors(t *testing.T) {
	x := Tensor[float32]{[]int{2}, make([]float32, 2)}
	short := Tensor[float32]{[]int{2}, make([]float32, 1)}
	other := Tensor[float32]{[]int{1, 2}, make([]float32, 2)}
	op, in := Unary{Fn: "relu"}, []Tensor[float32]{x}
	wantErr(t, Forward(op, x, []Tensor[float32]{short}), ErrShape, "input 0 has 1 elements")
	wantErr(t, Forward(op, other, in), ErrShape, "output has shape")
	wantErr(t, Forward(op, x, nil), ErrShape, "got 0 inputs")
	wantErr(t, Backward(op, nil, in, x, x), ErrShape, "0 gradients")
	wantErr(t, Backward(op, in, in, x, other), ErrShape, "gradient of the output")
	wantErr(t, Backward(op, []Tensor[float32]{short}, in, x, x), ErrShape, "gradient of input 0")
	if err := Backward(op, []Tensor[float32]{{}}, in, x, x); err != nil {
		t.Errorf("no gradient wanted: %v", err)
	}
}

func TestOutShapeIsNewMemory(t *testing.T) {
	for _, c := range layerCases() {
		s, err := OutShape(c.op, c.in)
		if err != nil {
			t.Fatal(err)
		}
		for _, in := range c.in {
			if len(in) > 0 && len(s) > 0 && &in[0] == &s[0] {
				t.Errorf("%s: the output's shape is the input's", c.name)
			}
		}
	}
}
