package onnxin

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/goqat/goqat/internal/onnxpb"
	"github.com/goqat/goqat/qat/export/onnxout"
	"github.com/goqat/goqat/qat/frozen"
	"google.golang.org/protobuf/proto"
)

// coded is an initializer of codes.
func (f *file) coded(name string, dt dataType, dims []int, raw ...byte) string {
	t := floatTensor(name, dims)
	t.DataType, t.RawData = proto.Int32(int32(dt)), raw
	return f.init(t)
}

// TestDequantize: codes behind DequantizeLinear are weights, with a scale for all, for each
// channel or for each block.
func TestDequantize(t *testing.T) {
	for _, c := range []struct {
		name  string
		make  func(f *file) []string
		attrs []any
		want  []float32 // [3,2]
	}{
		{"one scale", func(f *file) []string {
			return []string{f.coded("w", onnxpb.TensorProto_INT8, []int{3, 2}, 1, 2, 255, 4, 5, 6), f.init(floatTensor("s", nil, 0.5))}
		}, nil, []float32{0.5, 1, -0.5, 2, 2.5, 3}},
		{"channels", func(f *file) []string {
			return []string{f.coded("w", onnxpb.TensorProto_UINT8, []int{3, 2}, 1, 2, 255, 4, 5, 6), f.init(floatTensor("s", []int{3}, 1, 2, 4)),
				f.coded("z", onnxpb.TensorProto_UINT8, []int{3}, 1, 4, 5)}
		}, []any{"axis", 0}, []float32{0, 1, 502, 0, 0, 4}},
		{"blocks of 4 bits", func(f *file) []string {
			return []string{f.coded("w", onnxpb.TensorProto_INT4, []int{3, 2}, 0x21, 0xf3, 0x65), f.init(floatTensor("s", []int{2, 2}, 1, 2, 4, 8))}
		}, []any{"axis", -2, "block_size", 2}, []float32{1, 4, 3, -2, 20, 48}},
		{"16 bits", func(f *file) []string {
			return []string{f.coded("w", onnxpb.TensorProto_INT16, []int{3, 2}, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0), f.init(floatTensor("s", []int{1}, 2))}
		}, nil, []float32{512, 2, 0, 0, 0, 0}},
	} {
		f := newFile(21)
		x := f.input("x", "N", 3)
		w := f.node("DequantizeLinear", c.make(f), c.attrs...)
		f.output(f.node("MatMul", []string{x, w}))
		m, err := f.read(t, Options{Batch: 3})
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		near(t, c.name, forward(t, m, []float32{1, 0, 0, 0, 1, 0, 0, 0, 1})[0], c.want, 0)
		if p := m.Params[w]; p == nil || !p.Shape().Eq([]int{3, 2}) {
			t.Errorf("%s: parameters %v, want %s", c.name, m.ParamNames(), w)
		}
	}
}

// TestWeightsOnly: the file of a network whose weights alone are quantized, which goqat
// writes, too, is read as a float model that computes the same.
func TestWeightsOnly(t *testing.T) {
	fz, x := freeze(t, "mlp_13_eval", frozenConfigs["weights"])
	var file bytes.Buffer
	if err := onnxout.Write(&file, fz, onnxout.Options{}); err != nil {
		t.Fatal(err)
	}
	m, err := Read(&file, Options{Batch: len(x) / fz.Tensors[fz.Inputs[0]].Shape[1]})
	if err != nil {
		t.Fatal(err)
	}
	want, err := fz.Run(x)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "weights only", forward(t, m, x)[0], want[0], torchTol)
	if codes := countCodes(fz); codes == 0 || len(m.Params) < codes {
		t.Errorf("parameters %v, want %d weights", m.ParamNames(), codes)
	}
}

// countCodes is the number of constants that are codes.
func countCodes(fz *frozen.Network) (n int) {
	for i := range fz.Tensors {
		if fz.Tensors[i].Const != nil && fz.Tensors[i].Quant != nil {
			n++
		}
	}
	return n
}

func TestDequantizeRefused(t *testing.T) {
	for _, c := range []struct {
		scale, zero *onnxpb.TensorProto
		attrs       []any
		kind        error
		text        string
	}{
		{floatTensor("s", []int{4}, 1, 1, 1, 1), nil, []any{"axis", 0}, ErrFormat, "want [3]"},
		{floatTensor("s", []int{3}, 1, 1, 1), nil, []any{"axis", 2}, ErrFormat, "axis 2"},
		{floatTensor("s", []int{3}, 1, 1, 1), intTensor("z", []int{2}, 0, 0), []any{"axis", 0}, ErrFormat, "zero points"},
		{floatTensor("s", []int{3}, 1, 1, 1), floatTensor("z", []int{3}, 0, 0, 0), []any{"axis", 0}, ErrUnsupported, "whole numbers"},
		{floatTensor("s", []int{1, 2}, 1, 1), nil, []any{"axis", 0, "block_size", -1}, ErrFormat, "block_size"},
		{floatTensor("s", []int{1, 2}, 1, 1), nil, []any{"axis", 0, "block_size", 2}, ErrFormat, "want [2 2]"},
	} {
		f := newFile(21)
		in := []string{f.coded("w", onnxpb.TensorProto_INT8, []int{3, 2}, 1, 2, 3, 4, 5, 6), f.init(c.scale)}
		if c.zero != nil {
			in = append(in, f.init(c.zero))
		}
		f.output(f.node("MatMul", []string{f.input("x", 1, 3), f.node("DequantizeLinear", in, c.attrs...)}))
		if _, err := f.read(t, Options{}); !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%v, want %v that says %q", err, c.kind, c.text)
		}
	}
	f := newFile(21)
	f.output(f.node("DequantizeLinear", []string{f.input("x", 1, 3), f.init(floatTensor("s", nil, 1))}))
	if _, err := f.read(t, Options{}); !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), "ReadFrozen") {
		t.Errorf("of an input: %v", err)
	}
}
