package onnxin

import (
	"errors"
	"math"
	"runtime"
	"strings"
	"testing"

	"github.com/goqat/goqat/internal/onnxpb"
)

// Which operators' settings are refused, with which reason?

// TestResampleRefused: what no resize, pad or tile of goqat's does is refused with its reason.
func TestResampleRefused(t *testing.T) {
	huge := int64(1) << 40
	for _, c := range []struct {
		name, op string
		opset    int
		attrs    []any
		rest     []any
		kind     error
		text     string
	}{
		{"mode", "Pad", 17, []any{"mode", "mirror"}, []any{[]int64{0, 0, 0, 0}}, ErrFormat, "mirror"},
		{"amounts", "Pad", 17, nil, []any{[]int64{0, 0}}, ErrFormat, "pads"},
		{"nothing left", "Pad", 17, nil, []any{[]int64{0, -2, 0, -1}}, ErrUnsupported, "nothing of axis 1"},
		{"huge edge", "Pad", 17, []any{"mode", "edge"}, []any{[]int64{0, huge, 0, huge}}, ErrFormat, "pad"},
		{"region", "Resize", 13, []any{"coordinate_transformation_mode", "tf_crop_and_resize"}, []any{vec(0, 0, 1, 1), vec(1, 2)}, ErrUnsupported, "tf_crop_and_resize"},
		{"coordinates", "Resize", 13, []any{"coordinate_transformation_mode", "middle"}, []any{nil, vec(1, 2)}, ErrFormat, "middle"},
		{"unknown mode", "Resize", 13, []any{"mode", "area"}, []any{nil, vec(1, 2)}, ErrFormat, "area"},
		{"rounding", "Resize", 13, []any{"nearest_mode", "up"}, []any{nil, vec(1, 2)}, ErrFormat, `"up"`},
		{"neither", "Resize", 13, nil, []any{nil, vec(), []int64{}}, ErrFormat, "for 2 axes"},
		{"scale 0", "Resize", 13, nil, []any{nil, vec(1, 0)}, ErrFormat, "scales"},
		{"not a number", "Resize", 13, nil, []any{nil, vec(1, float32(math.NaN()))}, ErrFormat, "scales"},
		{"no elements", "Resize", 13, nil, []any{nil, vec(1, 0.1)}, ErrFormat, "no elements"},
		{"huge size", "Resize", 13, nil, []any{nil, nil, []int64{huge, huge}}, ErrFormat, "resize"},
		{"axis", "Resize", 18, []any{"axes", []int{2}}, []any{nil, vec(2)}, ErrFormat, "axis 2"},
		{"policy", "Resize", 18, []any{"keep_aspect_ratio_policy", "some"}, []any{nil, nil, []int64{1, 2}}, ErrFormat, "some"},
		{"repeats", "Tile", 17, nil, []any{[]int64{2}}, ErrFormat, "repeats"},
		{"no repeats", "Tile", 17, nil, []any{[]int64{1, 0}}, ErrUnsupported, "0 times"},
		{"huge repeats", "Tile", 17, nil, []any{[]int64{1, huge}}, ErrUnsupported, "times"},
		{"axis twice", "Pad", 18, nil, []any{[]int64{1, 1, 1, 1}, nil, []int64{1, -1}}, ErrFormat, "twice"},
		{"axis twice", "Resize", 18, []any{"axes", []int{1, 1}}, []any{nil, vec(2, 3)}, ErrFormat, "twice"},
		{"too many repeats", "Tile", 17, nil, []any{[]int64{1, 5 << 20}}, ErrFormat, "MaxElements"},
		{"no image", "DepthToSpace", 13, []any{"blocksize", 2}, nil, ErrFormat, "[N,C,H,W]"},
		{"no image", "SpaceToDepth", 13, []any{"blocksize", 2}, nil, ErrFormat, "[N,C,H,W]"},
		{"nothing", "Slice", 17, nil, []any{[]int64{0}, []int64{1}, []int64{1}, []int64{-1}}, ErrUnsupported, "empty slice"},
	} {
		f := newFile(c.opset)
		in := []string{f.input("x", 1, 3)}
		for i, r := range c.rest {
			name := string(rune('a' + i))
			switch r := r.(type) {
			case nil:
				name = ""
			case ten:
				f.init(floatTensor(name, r.shape, r.v...))
			case []int64:
				f.init(intTensor(name, []int{len(r)}, r...))
			}
			in = append(in, name)
		}
		f.output(f.node(c.op, in, c.attrs...))
		if _, err := f.read(t, Options{}); !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s of %s: %v, want %v that says %q", c.name, c.op, err, c.kind, c.text)
		}
	}
}

// TestTransposedRefused: what a transposed convolution cannot be.
func TestTransposedRefused(t *testing.T) {
	for _, c := range []struct {
		weights []int
		attrs   []any
		text    string
	}{
		{[]int{4, 2, 3, 3}, []any{"output_padding", []int{1, 0}}, "extra"},
		{[]int{4, 2, 3, 3}, []any{"output_padding", []int{1}}, "output_padding"},
		{[]int{4, 2, 3, 3}, []any{"output_shape", []int{5}}, "output_shape"},
		{[]int{4, 2, 3, 3}, []any{"output_shape", []int{99, 99}}, "extra"},
		{[]int{4, 2, 3, 3}, []any{"group", 3}, "3 groups"},
		{[]int{4, 2, 3, 3}, []any{"group", 0}, "0 groups"},
		{[]int{5, 2, 3, 3}, nil, "do not fit"},
		{[]int{4, 2, 3}, nil, "weights of shape (4, 2, 3)"},
		{[]int{4, 2, 3, 3}, []any{"pads", []int{9, 0, 9, 0}}, "cuts off all"},
	} {
		f := newFile(17)
		f.output(f.node("ConvTranspose", []string{f.input("x", 1, 4, 3, 3), f.fill("w", 1, c.weights...)}, c.attrs...))
		if _, err := f.read(t, Options{}); err == nil || !strings.Contains(err.Error(), c.text) {
			t.Errorf("weights %v, %v: %v, want %q", c.weights, c.attrs, err, c.text)
		}
	}
}

// TestPoolsRefused: windows that are none.
func TestPoolsRefused(t *testing.T) {
	for _, c := range []struct {
		op    string
		shape []any
		attrs []any
		text  string
	}{
		{"MaxPool", []any{1, 2, 4, 4, 4}, nil, "kernel_shape [] for 3 axes"},
		{"MaxPool", []any{1, 2, 4, 4, 4}, []any{"kernel_shape", []int{2, 2}}, "for 3 axes"},
		{"MaxPool", []any{1, 2, 4, 4, 4}, []any{"kernel_shape", []int{2, 2, 0}}, "want at least 1"},
		{"MaxPool", []any{1, 2, 4, 4, 4}, []any{"kernel_shape", []int{2, 2, 5}}, "does not fit"},
		{"MaxPool", []any{1, 2, 4}, []any{"kernel_shape", []int{2}, "dilations", []int{1 << 40}}, "at most"},
		{"MaxPool", []any{1, 2, 4}, []any{"kernel_shape", []int{1}, "dilations", []int{2}, "pads", []int{2, 2}}, "in the padding"},
		{"MaxPool", []any{1, 4}, []any{"kernel_shape", []int{1}, "dilations", []int{2}}, "[N,C,...]"},
		{"AveragePool", []any{1, 2, 4, 4, 4}, []any{"kernel_shape", []int{2, 2, 2}, "auto_pad", "BEST"}, "BEST"},
		{"LpPool", []any{1, 2, 4}, []any{"kernel_shape", []int{2}, "p", 3}, "p = 3"},
		{"Conv", []any{1, 2, 4, 4, 4}, []any{"group", 0}, "0 groups"},
		{"Conv", []any{1, 2, 1, 4, 4}, nil, "does not fit"},
	} {
		f := newFile(19)
		in := []string{f.input("x", c.shape...)}
		if c.op == "Conv" {
			in = append(in, f.fill("w", 1, 2, 2, 2, 2, 2))
		}
		f.output(f.node(c.op, in, c.attrs...))
		if _, err := f.read(t, Options{}); err == nil || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s of %v, %v: %v, want %q", c.op, c.shape, c.attrs, err, c.text)
		}
	}
}

// TestScatterRefused: places that are none, and what is not computed.
func TestScatterRefused(t *testing.T) {
	for _, c := range []struct {
		op      string
		indices *onnxpb.TensorProto
		updates []int
		attrs   []any
		text    string
	}{
		{"GatherElements", intTensor("i", []int{1, 1}, 3), nil, nil, "index 3"},
		{"GatherElements", intTensor("i", []int{1}, 0), nil, nil, "indices of shape [1]"},
		{"GatherElements", intTensor("i", []int{1, 1}, 0), nil, []any{"axis", 2}, "axis 2"},
		{"GatherElements", floatTensor("i", []int{1, 1}, 0), nil, nil, "whole numbers"},
		{"GatherND", intTensor("i", []int{1, 3}, 0, 0, 0), nil, nil, "indices of shape [1 3]"},
		{"GatherND", intTensor("i", []int{1, 1}, -4), nil, nil, "index -4"},
		{"GatherND", intTensor("i", []int{2, 1}, 0, 0), nil, []any{"batch_dims", 1}, "1 axes of a batch"},
		{"GatherND", intTensor("i", []int{1, 1}, 0), nil, []any{"batch_dims", -1}, "-1 axes of a batch"},
		{"ScatterND", intTensor("i", []int{1, 1}, 0), []int{1, 3}, nil, "updates of shape (1, 3)"},
		{"ScatterND", intTensor("i", []int{1, 1}, 0), []int{1, 2}, []any{"reduction", "mean"}, "mean"},
		{"ScatterND", intTensor("i", []int{17, 1}, make([]int64, 17)...), []int{17, 2}, []any{"reduction", "add"}, "16 times"},
		{"ScatterElements", intTensor("i", []int{1, 3}, 0, 0, 0), []int{1, 3}, nil, "indices of shape [1 3]"},
	} {
		f := newFile(18)
		in := []string{f.input("x", 3, 2), f.init(c.indices)}
		if c.updates != nil {
			in = append(in, f.fill("u", 1, c.updates...))
		}
		f.output(f.node(c.op, in, c.attrs...))
		if _, err := f.read(t, Options{}); err == nil || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s at %v, %v: %v, want %q", c.op, c.indices.Dims, c.attrs, err, c.text)
		}
	}
}

// TestNothingMadeBeyondLimit: what a small file asks for beyond Options.MaxElements is refused
// before there is memory for it.
func TestNothingMadeBeyondLimit(t *testing.T) {
	const asked, most = 1 << 23, 4 << 20 // elements, and bytes that a refusal may take
	for _, c := range []struct {
		op    string
		shape []any
		rest  func(f *file) string
		attrs []any
	}{
		{"Tile", []any{1, 2}, func(f *file) string { return f.list(1, asked/2) }, nil},
		{"Conv", []any{1, 1, 3, 3, 3}, func(f *file) string { return f.weight("w", 1, 1, 1, 2, 2, 2) }, []any{"pads", []int{asked, 0, 0, 0, 0, 0}}},
	} {
		f := newFile(17)
		f.output(f.node(c.op, []string{f.input("x", c.shape...), c.rest(f)}, c.attrs...))
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := f.read(t, Options{})
		runtime.ReadMemStats(&after)
		if err == nil || !strings.Contains(err.Error(), "MaxElements") {
			t.Errorf("%s: %v, want one that says MaxElements", c.op, err)
		}
		if took := after.TotalAlloc - before.TotalAlloc; took > most {
			t.Errorf("%s: %d bytes for a refusal", c.op, took)
		}
	}
}
