package onnxin

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"runtime"
	"strings"
	"testing"

	"github.com/goqat/goqat/internal/onnxpb"
	"google.golang.org/protobuf/proto"
)

// small is a sound model: y = relu(x·w + b).
func small() *file {
	f := newFile(17)
	x := f.input("x", "N", 4)
	f.init(floatTensor("w", []int{4, 3}, numbers(1, 12)...))
	f.init(floatTensor("b", []int{3}, 1, 2, 3))
	f.named("fc", "Gemm", []string{x, "w", "b"}, []string{"h"})
	f.named("act", "Relu", []string{"h"}, []string{"y"})
	return f.output("y")
}

// pooled is a sound model of an image: y = maxpool(conv(x, w)).
func pooled() *file {
	f := newFile(17)
	x := f.input("x", "N", 2, 6, 6)
	f.init(floatTensor("w", []int{2, 2, 3, 3}, numbers(1, 36)...))
	f.named("c", "Conv", []string{x, "w"}, []string{"h"}, "kernel_shape", []int{3, 3})
	f.named("p", "MaxPool", []string{"h"}, []string{"y"}, "kernel_shape", []int{2, 2})
	return f.output("y")
}

// folded is a sound model whose shape is computed: y = reshape(x, shape).
func folded(shape func(f *file) string) *file {
	f := newFile(17)
	x := f.input("x", 1, 12)
	f.named("r", "Reshape", []string{x, shape(f)}, []string{"y"})
	return f.output("y")
}

// hostile lists what is done to a sound model, the reason, and a part of the error, which
// must say where the fault is.
var hostile = []struct {
	name string
	make func() *file
	kind error
	text string
}{
	{"no graph", func() *file { f := small(); f.Graph = nil; return f }, ErrFormat, "no graph"},
	{"no operator set", func() *file { f := small(); f.OpsetImport = nil; return f }, ErrFormat, "operator set"},
	{"two operator sets", func() *file { f := small(); f.OpsetImport = append(f.OpsetImport, f.OpsetImport[0]); return f }, ErrFormat, "two versions"},
	{"old operator set", func() *file { return newFile(6) }, ErrUnsupported, "operator set 6"},
	{"future operator set", func() *file { return newFile(99) }, ErrUnsupported, "operator set 99"},
	{"no outputs", func() *file { f := small(); f.Graph.Output = nil; return f }, ErrFormat, "no outputs"},
	{"output of nothing", func() *file { f := small(); f.output("z"); return f }, ErrFormat, `"z"`},
	{"one output twice", func() *file { return small().output("y") }, ErrFormat, `two outputs are named "y"`},
	{"output is an input", func() *file { f := small(); f.Graph.Output[0].Name = proto.String("x"); return f }, ErrUnsupported, `output "x"`},
	{"output is a constant", func() *file { f := small(); f.output("w"); return f }, ErrUnsupported, `"w"`},
	{"functions", func() *file {
		f := small()
		f.Functions = []*onnxpb.FunctionProto{{Name: proto.String("mine")}}
		return f
	}, ErrUnsupported, "mine"},
	{"sparse initializer", func() *file {
		f := small()
		f.Graph.SparseInitializer = []*onnxpb.SparseTensorProto{{}}
		return f
	}, ErrUnsupported, "sparse"},
	{"cycle", func() *file { f := small(); f.Graph.Node[0].Input[0] = "y"; return f }, ErrFormat, "cycle"},
	{"node reads itself", func() *file { f := small(); f.Graph.Node[1].Input[0] = "y"; return f }, ErrFormat, "cycle"},
	{"out of order", func() *file {
		f := small()
		f.Graph.Node[0], f.Graph.Node[1] = f.Graph.Node[1], f.Graph.Node[0]
		return f
	}, ErrFormat, "out of order"},
	{"reads nothing", func() *file { f := small(); f.Graph.Node[0].Input[0] = "nowhere"; return f }, ErrFormat, `"nowhere"`},
	{"result twice", func() *file { f := small(); f.Graph.Node[0].Output[0] = "y"; return f }, ErrFormat, `"y" is made twice`},
	{"result is an initializer", func() *file { f := small(); f.Graph.Node[0].Output[0] = "w"; return f }, ErrFormat, `"w"`},
	{"initializer twice", func() *file { f := small(); f.init(floatTensor("w", []int{1}, 1)); return f }, ErrFormat, `two initializers are named "w"`},
	{"initializer without a name", func() *file { f := small(); f.init(floatTensor("", []int{1}, 1)); return f }, ErrFormat, "no name"},
	{"input twice", func() *file { f := small(); f.input("x", 1, 4); return f }, ErrFormat, `two inputs are named "x"`},
	{"input without a type", func() *file { f := small(); f.Graph.Input[0].Type = nil; return f }, ErrUnsupported, `input "x"`},
	{"input without a shape", func() *file {
		f := small()
		f.Graph.Input[0].Type.GetTensorType().Shape = nil
		return f
	}, ErrUnsupported, "Options.Shapes"},
	{"input of texts", func() *file {
		f := small()
		f.Graph.Input[0] = info("x", onnxpb.TensorProto_STRING, 1, 4)
		return f
	}, ErrUnsupported, "STRING"},
	{"input with open columns", func() *file { f := small(); f.Graph.Input[0] = info("x", typeFloat, "N", "C"); return f }, ErrUnsupported, `"C"`},
	{"huge input", func() *file {
		f := small()
		f.Graph.Input[0] = info("x", typeFloat, 1<<40, 1<<40)
		return f
	}, ErrFormat, `input "x"`},
	{"input with a hundred axes", func() *file {
		f := small()
		f.Graph.Input[0] = info("x", typeFloat, slicesOf(100)...)
		return f
	}, ErrUnsupported, "100 axes"},
	{"negative dimension", func() *file { f := small(); f.Graph.Initializer[0].Dims[0] = -4; return f }, ErrFormat, `"w"`},
	{"dimensions that overflow", func() *file {
		f := small()
		f.Graph.Initializer[0].Dims = []int64{1 << 40, 1 << 40, 1 << 40}
		return f
	}, ErrFormat, `"w"`},
	{"more dimensions than data", func() *file { f := small(); f.Graph.Initializer[0].Dims[0] = 1 << 40; return f }, ErrFormat, "there are 12"},
	{"less raw data", func() *file {
		f := small()
		f.Graph.Initializer[0].RawData = make([]byte, 47)
		return f
	}, ErrFormat, "needs 48 bytes, there are 47"},
	{"data of another type", func() *file {
		f := small()
		f.Graph.Initializer[0].DataType = proto.Int32(int32(typeInt))
		return f
	}, ErrFormat, `"w"`},
	{"unknown type", func() *file { f := small(); f.Graph.Initializer[0].DataType = proto.Int32(77); return f }, ErrUnsupported, "77"},
	{"segments", func() *file {
		f := small()
		f.Graph.Initializer[0].Segment = &onnxpb.TensorProto_Segment{}
		return f
	}, ErrUnsupported, "segments"},
	{"external data in a stream", func() *file { return external1("weights.bin") }, ErrUnsupported, "ReadFile"},
	{"quantized model", func() *file { f := small(); f.Graph.Node[1].OpType = proto.String("QuantizeLinear"); return f }, ErrUnsupported, "ReadFrozen reads"},
	{"unknown operator", func() *file { f := small(); f.Graph.Node[1].OpType = proto.String("Einsum"); return f }, ErrUnsupported, "act (Einsum)"},
	{"operator of a vendor", func() *file {
		f := small()
		f.Graph.Node[1].Domain = proto.String("com.example")
		return f
	}, ErrUnsupported, "com.example"},
	{"attribute of another type", func() *file {
		f := small()
		f.Graph.Node[0].Attribute = append(f.Graph.Node[0].Attribute, attribute("transB", "yes"))
		return f
	}, ErrFormat, `"transB" is STRING`},
	{"attribute twice", func() *file {
		f := small()
		f.Graph.Node[0].Attribute = append(f.Graph.Node[0].Attribute, attribute("transB", 0), attribute("transB", 1))
		return f
	}, ErrFormat, "twice"},
	{"too few operands", func() *file { f := small(); f.Graph.Node[0].Input = []string{"x"}; return f }, ErrFormat, "node fc"},
	{"operand left out", func() *file { f := small(); f.Graph.Node[0].Input[1] = ""; return f }, ErrFormat, "missing"},
	{"no operands at all", func() *file { f := small(); f.Graph.Node[1].Input = nil; return f }, ErrFormat, "node act (Relu): invalid ONNX model: 0 operands"},
	{"weights that do not fit", func() *file { f := small(); f.Graph.Initializer[0].Dims = []int64{3, 4}; return f }, ErrFormat, "node fc"},
	{"matrix of one axis", func() *file { f := small(); f.Graph.Initializer[0].Dims = []int64{12}; return f }, ErrFormat, "want matrices"},
	{"empty weights", func() *file {
		f := small()
		f.Graph.Initializer[0].Dims, f.Graph.Initializer[0].FloatData = []int64{4, 0}, nil
		return f
	}, ErrUnsupported, "empty"},
	{"stride 0", func() *file { return attr0("strides", []int{0, 1}) }, ErrFormat, "strides"},
	{"negative padding", func() *file { return attr0("pads", []int{-1, 0, 0, 0}) }, ErrFormat, "pads"},
	{"padding beyond int", func() *file { return attr0("pads", []int{math.MaxInt, 0, 0, 0}) }, ErrFormat, "pads"},
	{"padding of a terabyte", func() *file { return attr0("pads", []int{1 << 40, 0, 0, 0}) }, ErrFormat, "pads"},
	{"dilation beyond the image", func() *file { return attr0("dilations", []int{1 << 29, 1}) }, ErrFormat, "node c"},
	{"groups 0", func() *file { return attr0("group", 0) }, ErrFormat, "groups"},
	{"negative groups", func() *file { return attr0("group", -1) }, ErrFormat, "groups"},
	{"strides of one axis", func() *file { return attr0("strides", []int{1}) }, ErrFormat, "strides"},
	{"unknown auto_pad", func() *file { return attr0("auto_pad", "BEST") }, ErrFormat, "BEST"},
	{"kernel of zeros", func() *file {
		f := pooled()
		f.Graph.Node[1].Attribute = []*onnxpb.AttributeProto{attribute("kernel_shape", []int{0, 0})}
		return f
	}, ErrFormat, "node p"},
	{"kernel other than the weights", func() *file {
		f := pooled()
		f.Graph.Node[0].Attribute = []*onnxpb.AttributeProto{attribute("kernel_shape", []int{5, 5})}
		return f
	}, ErrFormat, "kernel_shape"},
	{"reshape to a terabyte", func() *file { return folded(func(f *file) string { return f.list(1<<20, 1<<20) }) }, ErrFormat, "node r"},
	{"reshape with two -1", func() *file { return folded(func(f *file) string { return f.list(-1, -1) }) }, ErrFormat, "node r"},
	{"reshape copies no axis", func() *file { return folded(func(f *file) string { return f.list(1, 0, 0) }) }, ErrFormat, "copies"},
	{"reshape to a shape of floats", func() *file {
		return folded(func(f *file) string { return f.init(floatTensor("s", []int{2}, 3, 4)) })
	}, ErrFormat, `"s"`},
	{"reshape to a shape that depends on the input", func() *file { return folded(func(*file) string { return "x" }) }, ErrUnsupported, "must not depend"},
	{"fill a terabyte", func() *file {
		return folded(func(f *file) string { return f.node("ConstantOfShape", []string{f.list(1<<20, 1<<20)}) })
	}, ErrFormat, "MaxElements"},
	{"fill a negative shape", func() *file {
		return folded(func(f *file) string { return f.node("ConstantOfShape", []string{f.list(-1)}) })
	}, ErrFormat, "ConstantOfShape"},
	{"expand to a terabyte", func() *file {
		return folded(func(f *file) string {
			return f.node("Expand", []string{f.list(1), f.list(1<<20, 1<<20)})
		})
	}, ErrFormat, "MaxElements"},
	{"endless range", func() *file {
		return folded(func(f *file) string {
			return f.node("Range", []string{f.init(intTensor("a", nil, 0)), f.init(intTensor("b", nil, 9)), f.init(intTensor("c", nil, 0))})
		})
	}, ErrFormat, "range"},
	{"division by zero", func() *file {
		return folded(func(f *file) string { return f.node("Div", []string{f.list(1), f.list(0)}) })
	}, ErrFormat, "zero"},
	{"index beyond the axis", func() *file {
		return folded(func(f *file) string { return f.node("Gather", []string{f.list(1, 2), f.list(2)}) })
	}, ErrFormat, "index 2"},
	{"axis that is not there", func() *file {
		return folded(func(f *file) string { return f.node("Concat", []string{f.list(1), f.list(2)}, "axis", 1) })
	}, ErrFormat, "axis 1"},
	{"axis named twice", func() *file {
		return folded(func(f *file) string { return f.node("Unsqueeze", []string{f.list(1), f.list(0, 0)}) })
	}, ErrFormat, "twice"},
	{"a million axes", func() *file {
		return folded(func(f *file) string {
			return f.node("Unsqueeze", []string{f.list(1), f.list(make([]int64, 1<<20)...)})
		})
	}, ErrUnsupported, "1048576 axes"},
	{"step 0", func() *file {
		return folded(func(f *file) string {
			return f.node("Slice", []string{f.list(1, 2), f.list(0), f.list(2), f.list(0), f.list(0)})
		})
	}, ErrFormat, "steps"},
	{"permutation that is none", func() *file {
		f := small()
		f.Graph.Node[1] = f.named("t", "Transpose", []string{"h"}, []string{"y"}, "perm", []int{0, 0})
		f.Graph.Node = f.Graph.Node[:2]
		return f
	}, ErrFormat, "node t"},
	{"permutation of constants that is none", func() *file {
		return folded(func(f *file) string { return f.node("Transpose", []string{f.list(3, 4)}, "perm", []int{-1}) })
	}, ErrFormat, "permutation"},
}

func slicesOf(n int) []any {
	out := make([]any, n)
	for i := range out {
		out[i] = 1
	}
	return out
}

// attr0 adds an attribute to the convolution of pooled.
func attr0(name string, v any) *file {
	f := pooled()
	f.Graph.Node[0].Attribute = append(f.Graph.Node[0].Attribute, attribute(name, v))
	return f
}

func wantFault(t *testing.T, err, kind error, text string) {
	t.Helper()
	if !errors.Is(err, kind) || !strings.Contains(err.Error(), text) {
		t.Errorf("error %v, want one that wraps %q and says %q", err, kind, text)
	}
}

func TestSoundModels(t *testing.T) {
	for name, f := range map[string]*file{"small": small(), "pooled": pooled(), "folded": folded(func(f *file) string { return f.list(3, -1) })} {
		if _, err := f.read(t, Options{}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestHostile(t *testing.T) {
	for _, c := range hostile {
		t.Run(c.name, func(t *testing.T) {
			m, err := c.make().read(t, Options{})
			if m != nil {
				t.Error("a model beside an error")
			}
			wantFault(t, err, c.kind, c.text)
		})
	}
	if len(hostile) < 30 {
		t.Errorf("%d cases", len(hostile))
	}
}

// TestTruncated: no prefix of a file is taken for a model, but for those that end before
// an optional part, and none panics.
func TestTruncated(t *testing.T) {
	data := small().bytes(t)
	for n := range data {
		if m, err := Read(bytes.NewReader(data[:n]), Options{}); err == nil && len(m.Outputs) == 0 {
			t.Errorf("%d of %d bytes: a model without outputs", n, len(data))
		}
	}
	for _, text := range []string{"", "not a model", "\x3a\x00", strings.Repeat("\xff", 100)} {
		if _, err := Read(strings.NewReader(text), Options{}); !errors.Is(err, ErrFormat) {
			t.Errorf("%q: %v, want ErrFormat", text, err)
		}
	}
}

// TestEmptyMessages: a file of empty nodes, two bytes each, is refused before each of
// them takes hundreds of bytes of memory.
func TestEmptyMessages(t *testing.T) {
	nodes := bytes.Repeat([]byte{0x0a, 0}, 2<<20)
	data := append([]byte{0x3a, 0x80, 0x80, 0x80, 2}, nodes...)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := Read(bytes.NewReader(data), Options{})
	runtime.ReadMemStats(&after)
	wantFault(t, err, ErrFormat, "empty parts")
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 16*uint64(len(data)) {
		t.Errorf("%d bytes allocated for a file of %d", grown, len(data))
	}
}

// TestManyFaults: one error names every node that cannot be read, and not those that
// only depend on them.
func TestManyFaults(t *testing.T) {
	f := newFile(17)
	x := f.input("x", 1, 4)
	var ends []string
	for i := range maxFailures + 7 {
		f.named(fmt.Sprintf("bad%d", i), "Einsum", []string{x}, []string{fmt.Sprintf("e%d", i)})
		f.named(fmt.Sprintf("fine%d", i), "Relu", []string{fmt.Sprintf("e%d", i)}, []string{fmt.Sprintf("r%d", i)})
		ends = append(ends, fmt.Sprintf("r%d", i))
	}
	f.output(f.node("Sum", ends))
	_, err := f.read(t, Options{})
	for _, text := range []string{"57 nodes", "bad0 (Einsum)", fmt.Sprintf("bad%d ", maxFailures-1), "and 7 nodes more"} {
		wantFault(t, err, ErrUnsupported, text)
	}
	if strings.Contains(err.Error(), "fine") || strings.Contains(err.Error(), "bad50") {
		t.Errorf("too much: %v", err)
	}
}

func TestBadOptions(t *testing.T) {
	for _, c := range []struct {
		opt  Options
		text string
	}{{Options{Batch: -1}, "batch -1"}, {Options{MaxElements: -1}, "max elements -1"}, {Options{Shapes: map[string][]int{"z": {1}}}, `"z"`},
		{Options{Shapes: map[string][]int{"x": {0, 4}}}, `input "x"`}, {Options{Shapes: map[string][]int{"x": {2, 5}}}, "node fc"}} {
		_, err := small().read(t, c.opt)
		if err == nil || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%+v: %v, want an error that says %q", c.opt, err, c.text)
		}
	}
}

// FuzzRead: no file makes either reader panic, and a model that is read has shapes.
func FuzzRead(f *testing.F) {
	for _, name := range torchModels {
		f.Add(readData(f, "torch/"+name+".onnx"))
	}
	for _, c := range hostile[:40] {
		if data, err := proto.Marshal(c.make()); err == nil {
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := Read(bytes.NewReader(data), Options{})
		if err == nil {
			for _, y := range m.Outputs {
				if product(y.Shape()) < 1 {
					t.Errorf("output %s has shape %v", y.Name(), y.Shape())
				}
			}
		}
		if net, err := ReadFrozen(bytes.NewReader(data)); err == nil {
			if err := net.Validate(); err != nil {
				t.Error(err)
			}
		}
	})
}
