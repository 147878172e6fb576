package onnxin

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/goqat/goqat/internal/onnxpb"
	"google.golang.org/protobuf/proto"
)

// file builds an ONNX model.
type file struct {
	*onnxpb.ModelProto
	rng *rand.Rand
	n   int
}

func newFile(opset int) *file {
	return &file{rng: rand.New(rand.NewPCG(1, 2)), ModelProto: &onnxpb.ModelProto{
		IrVersion: proto.Int64(8), OpsetImport: []*onnxpb.OperatorSetIdProto{{Version: proto.Int64(int64(opset))}},
		Graph: &onnxpb.GraphProto{Name: proto.String("test")}}}
}

func (f *file) bytes(t testing.TB) []byte {
	t.Helper()
	data, err := proto.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func (f *file) read(t testing.TB, opt Options) (*Model, error) {
	t.Helper()
	return Read(bytes.NewReader(f.bytes(t)), opt)
}

// info describes a value; a text is an open dimension.
func info(name string, dt dataType, dims ...any) *onnxpb.ValueInfoProto {
	shape := &onnxpb.TensorShapeProto{}
	for _, d := range dims {
		dim := &onnxpb.TensorShapeProto_Dimension{}
		switch d := d.(type) {
		case int:
			dim.Value = &onnxpb.TensorShapeProto_Dimension_DimValue{DimValue: int64(d)}
		case string:
			dim.Value = &onnxpb.TensorShapeProto_Dimension_DimParam{DimParam: d}
		}
		shape.Dim = append(shape.Dim, dim)
	}
	return &onnxpb.ValueInfoProto{Name: &name, Type: &onnxpb.TypeProto{Value: &onnxpb.TypeProto_TensorType{
		TensorType: &onnxpb.TypeProto_Tensor{ElemType: proto.Int32(int32(dt)), Shape: shape}}}}
}

const (
	typeFloat = onnxpb.TensorProto_FLOAT
	typeInt   = onnxpb.TensorProto_INT64
)

func (f *file) input(name string, dims ...any) string {
	f.Graph.Input = append(f.Graph.Input, info(name, typeFloat, dims...))
	return name
}

func (f *file) output(name string) *file {
	f.Graph.Output = append(f.Graph.Output, &onnxpb.ValueInfoProto{Name: &name})
	return f
}

func floatTensor(name string, dims []int, v ...float32) *onnxpb.TensorProto {
	t := &onnxpb.TensorProto{Name: &name, DataType: proto.Int32(int32(typeFloat)), FloatData: v}
	for _, d := range dims {
		t.Dims = append(t.Dims, int64(d))
	}
	return t
}

func intTensor(name string, dims []int, v ...int64) *onnxpb.TensorProto {
	t := floatTensor(name, dims)
	t.DataType, t.Int64Data = proto.Int32(int32(typeInt)), v
	return t
}

// list is an initializer of whole numbers, [n].
func (f *file) list(v ...int64) string {
	f.n++
	return f.init(intTensor(fmt.Sprint("list", f.n), []int{len(v)}, v...))
}

func (f *file) init(t *onnxpb.TensorProto) string {
	f.Graph.Initializer = append(f.Graph.Initializer, t)
	return t.GetName()
}

// weight is an initializer of normal numbers with the given deviation.
func (f *file) weight(name string, deviation float64, dims ...int) string {
	v := make([]float32, product(dims))
	for i := range v {
		v[i] = float32(f.rng.NormFloat64() * deviation)
	}
	return f.init(floatTensor(name, dims, v...))
}

func (f *file) fill(name string, v float32, dims ...int) string {
	x := make([]float32, product(dims))
	for i := range x {
		x[i] = v
	}
	return f.init(floatTensor(name, dims, x...))
}

// node adds a node with one result and returns its name. Attributes are names and values
// in turn: int, float64, string, []int or a tensor.
func (f *file) node(op string, in []string, attrs ...any) string {
	f.n++
	out := fmt.Sprint(op, "_", f.n)
	f.named("", op, in, []string{out}, attrs...)
	return out
}

func (f *file) named(name, op string, in, out []string, attrs ...any) *onnxpb.NodeProto {
	n := &onnxpb.NodeProto{OpType: &op, Input: in, Output: out}
	if name != "" {
		n.Name = &name
	}
	for i := 0; i < len(attrs); i += 2 {
		n.Attribute = append(n.Attribute, attribute(attrs[i].(string), attrs[i+1]))
	}
	f.Graph.Node = append(f.Graph.Node, n)
	return n
}

func attribute(name string, v any) *onnxpb.AttributeProto {
	a := &onnxpb.AttributeProto{Name: &name}
	switch v := v.(type) {
	case int:
		a.Type, a.I = onnxpb.AttributeProto_INT.Enum(), proto.Int64(int64(v))
	case float64:
		a.Type, a.F = onnxpb.AttributeProto_FLOAT.Enum(), proto.Float32(float32(v))
	case string:
		a.Type, a.S = onnxpb.AttributeProto_STRING.Enum(), []byte(v)
	case []int:
		a.Type = onnxpb.AttributeProto_INTS.Enum()
		for _, x := range v {
			a.Ints = append(a.Ints, int64(x))
		}
	case []float32:
		a.Type, a.Floats = onnxpb.AttributeProto_FLOATS.Enum(), v
	case *onnxpb.TensorProto:
		a.Type, a.T = onnxpb.AttributeProto_TENSOR.Enum(), v
	case *onnxpb.GraphProto:
		a.Type, a.G = onnxpb.AttributeProto_GRAPH.Enum(), v
	default:
		panic(fmt.Sprintf("attribute %q is a %T", name, v))
	}
	return a
}

// numbers are normal numbers.
func numbers(seed uint64, n int) []float32 {
	rng := rand.New(rand.NewPCG(seed, 7))
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(rng.NormFloat64())
	}
	return x
}
