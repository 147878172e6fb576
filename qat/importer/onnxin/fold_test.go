package onnxin

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/goqat/goqat/internal/graph"
	"github.com/goqat/goqat/internal/nn"
	"github.com/goqat/goqat/internal/onnxpb"
	"github.com/goqat/goqat/qat"
	"github.com/goqat/goqat/qat/qconfig"
	"google.golang.org/protobuf/proto"
)

// foldCase computes whole numbers, which the test sees as the shape of a Reshape of 24
// elements.
var foldCases = []struct {
	name string
	make func(f *file, x string) string
	want []int
}{
	{"shape", func(f *file, x string) string { return f.node("Shape", []string{x}) }, []int{2, 3, 4}},
	{"part of a shape", func(f *file, x string) string {
		s := f.node("Shape", []string{x}, "start", -2, "end", 9)
		return f.node("Concat", []string{f.list(2), s}, "axis", 0)
	}, []int{2, 3, 4}},
	{"size", func(f *file, x string) string {
		return f.node("Unsqueeze", []string{f.node("Size", []string{x}), f.list(0)})
	}, []int{24}},
	{"gather and concat", func(f *file, x string) string {
		s := f.node("Shape", []string{x})
		b := f.node("Gather", []string{s, f.init(intTensor("zero", nil, 0))})
		return f.node("Concat", []string{f.node("Unsqueeze", []string{b, f.list(0)}), f.list(-1)}, "axis", 0)
	}, []int{2, 12}},
	{"slice", func(f *file, x string) string {
		s := f.node("Shape", []string{x})
		return f.node("Slice", []string{s, f.list(math.MaxInt64), f.list(math.MinInt64), f.list(0), f.list(-1)})
	}, []int{4, 3, 2}},
	{"arithmetic", func(f *file, x string) string { // [2,3,4]·2 - 1 mod 5 + 1 = [3,5,7] mod 5 + 1 = [4,1,3]
		s := f.node("Mul", []string{f.node("Shape", []string{x}), f.list(2)})
		s = f.node("Mod", []string{f.node("Sub", []string{s, f.list(1)}), f.list(5)})
		return f.node("Concat", []string{f.node("Add", []string{s, f.list(1)}), f.list(2)}, "axis", 0)
	}, []int{4, 1, 3, 2}},
	{"division", func(f *file, x string) string {
		return f.node("Concat", []string{f.node("Div", []string{f.list(7), f.list(2)}), f.list(8)}, "axis", 0)
	}, []int{3, 8}},
	{"floats", func(f *file, x string) string { // ceil(sqrt(10)) = 4, floor of 6.9
		v := f.init(floatTensor("v", nil, 10))
		s := f.node("Ceil", []string{f.node("Sqrt", []string{v})})
		u := f.node("Floor", []string{f.init(floatTensor("u", nil, 6.9))})
		both := f.node("Concat", []string{f.node("Unsqueeze", []string{s, f.list(0)}), f.node("Unsqueeze", []string{u, f.list(0)})}, "axis", 0)
		return f.node("Cast", []string{both}, "to", int(typeInt))
	}, []int{4, 6}},
	{"where", func(f *file, x string) string {
		is := f.node("Equal", []string{f.list(-1, 5), f.list(-1, -1)})
		return f.node("Where", []string{is, f.list(4, 4), f.list(6, 6)})
	}, []int{4, 6}},
	{"not", func(f *file, x string) string {
		is := f.node("Not", []string{f.node("Less", []string{f.list(1, 9), f.list(5)})})
		return f.node("Where", []string{is, f.list(4), f.list(6)})
	}, []int{6, 4}},
	{"range and reduce", func(f *file, x string) string { // (1+2+3, 4)
		r := f.node("Range", []string{f.init(intTensor("a", nil, 1)), f.init(intTensor("b", nil, 4)), f.init(intTensor("c", nil, 1))})
		return f.node("Concat", []string{f.node("ReduceSum", []string{r}), f.list(4)}, "axis", 0)
	}, []int{6, 4}},
	{"product", func(f *file, x string) string {
		return f.node("ReduceProd", []string{f.node("Shape", []string{x})})
	}, []int{24}},
	{"fill and expand", func(f *file, x string) string {
		ones := f.node("ConstantOfShape", []string{f.list(1)}, "value", intTensor("", []int{1}, 3))
		ones = f.node("Expand", []string{ones, f.list(1, 2)})
		ones = f.node("Squeeze", []string{f.node("Transpose", []string{ones}), f.list(1)})
		return f.node("Concat", []string{f.node("Sub", []string{ones, f.list(1, 1)}), f.list(-1)}, "axis", 0)
	}, []int{2, 2, 6}},
	{"constants", func(f *file, x string) string {
		a := f.node("Constant", nil, "value_ints", []int{4})
		b := f.node("Unsqueeze", []string{f.node("Constant", nil, "value_int", 6), f.list(0)})
		return f.node("Concat", []string{a, b}, "axis", 0)
	}, []int{4, 6}},
	{"reshape and flatten", func(f *file, x string) string {
		s := f.node("Reshape", []string{f.list(4, 6), f.list(2, 1)})
		return f.node("Reshape", []string{f.node("Flatten", []string{s}, "axis", 0), f.list(-1)})
	}, []int{4, 6}},
	{"smallest and largest", func(f *file, x string) string {
		a := f.node("Max", []string{f.list(4, 1), f.list(2, 6)})
		return f.node("Min", []string{a, f.list(99)})
	}, []int{4, 6}},
}

func TestFolding(t *testing.T) {
	for _, c := range foldCases {
		t.Run(c.name, func(t *testing.T) {
			f := newFile(17)
			x := f.input("x", 2, 3, 4)
			f.named("", "Reshape", []string{f.node("Relu", []string{x}), c.make(f, x)}, []string{"y"})
			m, err := f.output("y").read(t, Options{})
			if err != nil {
				t.Fatal(err)
			}
			if s := m.Outputs[0].Shape(); !slices.Equal([]int(s), c.want) {
				t.Errorf("shape %v, want %v", s, c.want)
			}
		})
	}
}

// TestTypes: every element type decodes, raw and in the field for its type.
func TestTypes(t *testing.T) {
	for _, c := range []struct {
		dt    dataType
		raw   []byte
		field func(*onnxpb.TensorProto)
		want  []float64
	}{
		{typeFloat, []byte{0, 0, 192, 63, 0, 0, 128, 255}, func(t *onnxpb.TensorProto) { t.FloatData = []float32{1.5, float32(math.Inf(-1))} }, []float64{1.5, math.Inf(-1)}},
		{onnxpb.TensorProto_DOUBLE, []byte{0, 0, 0, 0, 0, 0, 248, 63, 0, 0, 0, 0, 0, 0, 0, 192}, func(t *onnxpb.TensorProto) { t.DoubleData = []float64{1.5, -2} }, []float64{1.5, -2}},
		{onnxpb.TensorProto_FLOAT16, []byte{0, 0x3e, 1, 0x80}, func(t *onnxpb.TensorProto) { t.Int32Data = []int32{0x3e00, 0x8001} }, []float64{1.5, -0x1p-24}},
		{onnxpb.TensorProto_FLOAT16, []byte{0, 0x7c, 0xff, 0x7b}, func(t *onnxpb.TensorProto) { t.Int32Data = []int32{0x7c00, 0x7bff} }, []float64{math.Inf(1), 65504}},
		{onnxpb.TensorProto_BFLOAT16, []byte{0xc0, 0x3f, 0, 0xc0}, func(t *onnxpb.TensorProto) { t.Int32Data = []int32{0x3fc0, 0xc000} }, []float64{1.5, -2}},
		{typeInt, []byte{1, 0, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255}, func(t *onnxpb.TensorProto) { t.Int64Data = []int64{1, -1} }, []float64{1, -1}},
		{onnxpb.TensorProto_INT32, []byte{1, 0, 0, 0, 255, 255, 255, 255}, func(t *onnxpb.TensorProto) { t.Int32Data = []int32{1, -1} }, []float64{1, -1}},
		{onnxpb.TensorProto_UINT32, []byte{1, 0, 0, 0, 255, 255, 255, 255}, func(t *onnxpb.TensorProto) { t.Uint64Data = []uint64{1, math.MaxUint32} }, []float64{1, math.MaxUint32}},
		{onnxpb.TensorProto_INT16, []byte{1, 0, 255, 255}, func(t *onnxpb.TensorProto) { t.Int32Data = []int32{1, -1} }, []float64{1, -1}},
		{onnxpb.TensorProto_UINT16, []byte{1, 0, 255, 255}, func(t *onnxpb.TensorProto) { t.Int32Data = []int32{1, 65535} }, []float64{1, 65535}},
		{onnxpb.TensorProto_INT8, []byte{1, 255}, func(t *onnxpb.TensorProto) { t.Int32Data = []int32{1, -1} }, []float64{1, -1}},
		{onnxpb.TensorProto_UINT8, []byte{1, 255}, func(t *onnxpb.TensorProto) { t.Int32Data = []int32{1, 255} }, []float64{1, 255}},
		{onnxpb.TensorProto_BOOL, []byte{1, 0}, func(t *onnxpb.TensorProto) { t.Int32Data = []int32{1, 0} }, []float64{1, 0}},
		{onnxpb.TensorProto_INT4, []byte{0x87}, func(t *onnxpb.TensorProto) { t.Int32Data = []int32{0x87} }, []float64{7, -8}},
		{onnxpb.TensorProto_UINT4, []byte{0xf1}, func(t *onnxpb.TensorProto) { t.Int32Data = []int32{0xf1} }, []float64{1, 15}},
		{onnxpb.TensorProto_UINT64, []byte{1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0}, func(t *onnxpb.TensorProto) { t.Uint64Data = []uint64{1, 2} }, []float64{1, 2}},
	} {
		for _, raw := range []bool{true, false} {
			x := &onnxpb.TensorProto{Dims: []int64{2}, DataType: proto.Int32(int32(c.dt))}
			if raw {
				x.RawData = c.raw
			} else {
				c.field(x)
			}
			got, err := decode(x, noFiles{})
			if err != nil {
				t.Errorf("%v: %v", c.dt, err)
				continue
			}
			for i, w := range c.want {
				if g := 0.0; got.float {
					if g = float64(got.f[i]); g != w {
						t.Errorf("%v, raw %v: element %d is %v, want %v", c.dt, raw, i, g, w)
					}
				} else if g = float64(got.i[i]); g != w {
					t.Errorf("%v, raw %v: element %d is %v, want %v", c.dt, raw, i, g, w)
				}
			}
		}
	}
}

// TestParameters: float initializers are parameters under their names, also those that
// exporters share behind Identity nodes; single numbers and constants are not.
func TestParameters(t *testing.T) {
	m, err := Read(bytes.NewReader(readData(t, "torch/cnn_17_train.onnx")), Options{Batch: 3})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"b1.bias", "b1.weight", "b2.bias", "b2.weight", "c1.bias", "c1.weight", "c2.weight", "fc.bias", "fc.weight"}
	if got := m.ParamNames(); !slices.Equal(got, want) {
		t.Errorf("parameters %q, want %q", got, want)
	}
	for name, n := range m.Params {
		if n.Name() != name || n.Value() == nil {
			t.Errorf("parameter %q is the node %q with the value %v", name, n.Name(), n.Value())
		}
	}
	if in := m.Inputs[0]; in.Name() != "x" || in.Shape()[0] != 3 || in.Value() != nil || m.OutputNames[0] != "y" {
		t.Errorf("input %q of shape %v, outputs %q", in.Name(), in.Shape(), m.OutputNames)
	}
	_, err = qat.Prepare(m.Graph, qconfig.Config{Names: map[string]*qconfig.Layer{"c1": {}, "fc": {}, "/MaxPool": {}}}, m.Outputs...)
	if err != nil {
		t.Errorf("layers are named after their weights and nodes: %v", err)
	}
	m, err = Read(bytes.NewReader(readData(t, "torch/tf_17_eval.onnx")), Options{})
	if err != nil {
		t.Fatal(err)
	}
	// Five vectors share two initializers in the file.
	for _, name := range []string{"l.self_attn.out_proj.bias", "l.norm1.bias", "l.norm2.bias", "n.bias", "l.norm1.weight", "l.norm2.weight", "n.weight"} {
		if m.Params[name] == nil {
			t.Errorf("no parameter %q", name)
		}
	}
	m.Params["n.bias"].Value().Data().([]float32)[0] = 77
	if m.Params["l.norm1.bias"].Value().Data().([]float32)[0] == 77 {
		t.Error("n.bias and l.norm1.bias are tied together")
	}
	m, err = Read(bytes.NewReader(readData(t, "torch/res_17_eval.onnx")), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := m.ParamNames(), []string{"c.bias", "c.weight", "d.bias", "d.weight"}; !slices.Equal(got, want) {
		t.Errorf("parameters %q, want %q", got, want)
	}
}

// TestLayers: what training needs to know is in the layers that the graph is read as.
func TestLayers(t *testing.T) {
	f := newFile(17)
	x := f.input("x", "N", 3)
	w := f.node("Transpose", []string{f.init(floatTensor("w", []int{2, 3}, 1, 2, 3, 4, 5, 6))})
	x = f.node("MatMul", []string{x, w})
	f.init(floatTensor("g", []int{2}, 1, 1))
	f.init(floatTensor("b", []int{2}, 0, 0))
	f.output(f.node("BatchNormalization", []string{x, "g", "b", "b", "g"}, "momentum", 0.75))
	m, err := f.read(t, Options{Batch: 8, Training: true})
	if err != nil {
		t.Fatal(err)
	}
	net, err := graph.Read(m.Graph, m.Outputs, graph.Options{})
	if err != nil {
		t.Fatal(err)
	}
	product, norm := net.Layers[0], net.Layers[1]
	if op, ok := product.Op.(nn.MatMul); !ok || !op.TransB || product.In[1].Role != graph.Param {
		t.Errorf("a product with transposed weights is %v of %s", product.Op, product.In[1].Name)
	}
	if norm.BN == nil || norm.BN.Momentum != 0.25 { // ONNX counts what stays
		t.Errorf("batch normalisation %+v", norm.BN)
	}
	forward(t, m, numbers(8, 24))
	if mean, _ := norm.BN.Stats(); mean[0] == 0 {
		t.Error("the running mean did not move")
	}
	if b := m.Params["b"].Value().Data().([]float32); b[0] != 0 {
		t.Error("the shift moved with the running mean")
	}
}

// TestConstantsApart: constants that Gorgonia would take for one another stay apart: long
// ones that print alike, and numbers under the name of another.
func TestConstantsApart(t *testing.T) {
	f := newFile(17)
	x := f.input("x", 1, 400)
	for i := range 3 { // factors that differ in the middle
		v := slices.Repeat([]float32{1}, 400)
		v[200] = float32(i + 1)
		x = f.node("Mul", []string{x, f.node("Constant", nil, "value", floatTensor("", []int{400}, v...))})
	}
	want := slices.Repeat([]float32{1}, 400)
	want[200] = 1 * 2 * 3
	f.named("", "Constant", nil, []string{"const 2"}, "value_float", 3.0)
	x = f.node("Mul", []string{x, "const 2"})
	x = f.node("Mul", []string{x, f.node("Constant", nil, "value_float", 5.0)})
	f.output(f.node("Swish", []string{x}, "alpha", 2.0)) // makes a constant 2 of its own
	f.OpsetImport[0].Version = proto.Int64(24)
	m, err := f.read(t, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range want {
		v *= 15 * 0x1p-6
		want[k] = float32(float64(v) / (1 + math.Exp(-2*float64(v))))
	}
	near(t, "products", forward(t, m, slices.Repeat([]float32{0x1p-6}, 400))[0], want, opTol)
}

// TestBatchStaysOpen: a model is traced at one batch and prepared for all, also where
// shapes alone do not tell the batch from an axis of size 1.
func TestBatchStaysOpen(t *testing.T) {
	for _, batch := range []int{1, 2, 5} {
		f := newFile(17)
		x := f.input("x", "N", 6, 4)
		h := f.node("Transpose", []string{x}, "perm", []int{1, 0, 2}) // [6,N,4]
		h = f.node("Reshape", []string{h, f.list(-1, 4)})             // [6·N,4]: the batch inside
		h = f.node("MatMul", []string{h, f.init(floatTensor("w", []int{4, 4}, numbers(5, 16)...))})
		n := f.node("Slice", []string{f.node("Shape", []string{x}), f.list(0), f.list(1)})
		h = f.node("Reshape", []string{h, f.node("Concat", []string{f.list(6), n, f.list(4)}, "axis", 0)})
		f.output(f.node("Transpose", []string{h}, "perm", []int{1, 0, 2}))
		m, err := f.read(t, Options{Batch: batch})
		if err != nil {
			t.Fatal(err)
		}
		p, err := qat.Prepare(m.Graph, qconfig.Config{}, m.Outputs...)
		if err != nil {
			t.Fatal(err)
		}
		if p.Batch() != batch {
			t.Errorf("batch %d, want %d", p.Batch(), batch)
			continue
		}
		data := numbers(6, 3*24)
		if err := p.Calibrate(data); err != nil {
			t.Fatal(err)
		}
		all, err := p.Predict(data)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 3 {
			one, err := p.Predict(data[i*24 : (i+1)*24])
			if err != nil {
				t.Fatal(err)
			}
			near(t, fmt.Sprintf("row %d", i), all[0][i*24:(i+1)*24], one[0], 0)
		}
	}
}

// TestTraining: with Options.Training the graph itself drops and uses batch statistics.
func TestTraining(t *testing.T) {
	for _, training := range []bool{false, true} {
		f := newFile(17)
		x := f.batchNorm(f.input("x", "N", 2), 2)
		f.output(f.node("Dropout", []string{x}))
		m, err := f.read(t, Options{Batch: 64, Training: training})
		if err != nil {
			t.Fatal(err)
		}
		zeros, mean := 0, 0.0
		for i, v := range forward(t, m, slices.Repeat([]float32{3, 5}, 64))[0] {
			if v == 0 {
				zeros++
			}
			if i%2 == 0 {
				mean += float64(v) / 64
			}
		}
		// A batch of equal rows is normalised to beta, near 0; the running mean is near 0, so
		// the inference form leaves 3 near 3.
		if training != (zeros > 0) || training != (math.Abs(mean) < 1) {
			t.Errorf("training %v: %d zeros, mean %v", training, zeros, mean)
		}
	}
}

// TestFoldTile: a tile of what is known is known.
func TestFoldTile(t *testing.T) {
	f := newFile(17)
	shape := f.node("Tile", []string{f.list(2), f.list(2)})
	f.output(f.node("Reshape", []string{f.input("x", 1, 4), shape}))
	m, err := f.read(t, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if s := m.Outputs[0].Shape(); !s.Eq([]int{2, 2}) {
		t.Errorf("shape %v, want (2, 2)", s)
	}
}
