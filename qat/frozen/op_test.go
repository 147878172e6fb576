package frozen

import (
	"errors"
	"reflect"
	"testing"

	"github.com/goqat/goqat/internal/nn"
)

// kinds are valid settings of every type of this package.
var kinds = []Op{
	Conv{Stride: [2]int{1, 2}, Pad: [4]int{0, 1, 2, 3}, Dilation: [2]int{1, 1}, Groups: 2}, MatMul{TransB: true},
	Binary{Fn: "sub"}, Unary{Fn: "leaky_relu", Alpha: 0.1}, Pool{Kernel: [2]int{2, 3}, Stride: [2]int{1, 1}},
	GlobalAvgPool{}, Where{}, Binary{Fn: "greater_equal"}, Reduce{Fn: "min", Axes: []int{0}}, Reduce{Fn: "mean", Axes: []int{1}}, Reshape{Shape: []int{-1, 2}}, Transpose{Perm: []int{1, 0}},
	Concat{Axis: 1}, Slice{End: 3, Step: 1}, Softmax{Axis: 1, Log: true}, BatchNorm{Eps: 1e-5}, LayerNorm{Axis: 1, Eps: 1e-5, RMS: true}, GroupNorm{Groups: 2, Eps: 1e-5}, Dropout{P: 0.5},
	Pad{Before: []int{1}, After: []int{0}, Value: 2}, LRN{Size: 3, Alpha: 1, Beta: 0.75, Bias: 1}, Gather{Axis: 1},
	ConvTranspose{Stride: [2]int{1, 2}, Pad: [4]int{0, 1, 2, 3}, Dilation: [2]int{1, 1}, Groups: 2, Extra: [2]int{0, 1}},
	Pad{Before: []int{1}, After: []int{0}, Mode: "reflect"}, Take{Axis: 1, Index: []int{2, 0}},
	Resize{Mode: "nearest", Coordinates: "asymmetric", Nearest: "floor", Axes: []int{2, 3}, Size: []int{4, 6}, Scale: []float64{2, 1.5}},
}

// Every kind has the same name and settings in files, whichever package's type says it.
func TestParseOp(t *testing.T) {
	for _, op := range kinds {
		settings, err := nn.MarshalOp(op.op())
		if err != nil {
			t.Fatalf("%T: %v", op, err)
		}
		got, err := ParseOp(op.Kind(), settings)
		if err != nil || !reflect.DeepEqual(got, op) {
			t.Errorf("%s of %s: %#v, %v, want %#v", op.Kind(), settings, got, err, op)
		}
	}
	for _, c := range [][2]string{{"conv", `{}`}, {"knot", `{}`}, {"concat", `{"axis":1,"axle":2}`}, {"concat", ``}, {"add", `null`}} {
		if op, err := ParseOp(c[0], []byte(c[1])); !errors.Is(err, ErrFormat) {
			t.Errorf("%s of %s: %v, %v", c[0], c[1], op, err)
		}
	}
}

func TestOutShape(t *testing.T) {
	got, err := OutShape(Concat{Axis: 1}, [][]int{{2, 3}, {2, 4}})
	if err != nil || !reflect.DeepEqual(got, []int{2, 7}) {
		t.Errorf("%v, %v, want [2 7]", got, err)
	}
	if _, err := OutShape(Concat{Axis: 1}, [][]int{{2, 3}, {3, 4}}); err == nil {
		t.Error("no error for shapes that do not fit")
	}
	if _, err := OutShape(nil, nil); !errors.Is(err, ErrNetwork) {
		t.Errorf("nil kind: %v", err)
	}
}
