package weights

import (
	"bytes"
	"encoding/binary"
	"math"
	"testing"

	"github.com/goqat/goqat/internal/safetensors"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// spec is a tensor of a file to be written.
type spec struct {
	name  string
	dtype safetensors.DType
	shape []int
	data  []byte
}

// file writes a safetensors file.
func file(specs ...spec) []byte {
	var ts []safetensors.Tensor
	for _, s := range specs {
		ts = append(ts, safetensors.Tensor{Name: s.name, DType: s.dtype, Shape: s.shape, Data: s.data})
	}
	var b bytes.Buffer
	must(0, safetensors.Write(&b, ts, nil))
	return b.Bytes()
}

// f32 is a tensor of F32.
func f32(name string, shape []int, v ...float32) spec {
	var data []byte
	for _, x := range v {
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(x))
	}
	return spec{name, safetensors.F32, shape, data}
}

// f64 is a tensor of F64.
func f64(name string, shape []int, v ...float64) spec {
	var data []byte
	for _, x := range v {
		data = binary.LittleEndian.AppendUint64(data, math.Float64bits(x))
	}
	return spec{name, safetensors.F64, shape, data}
}

// bits16 is a tensor of F16 or BF16 by its bits.
func bits16(name string, d safetensors.DType, shape []int, v ...uint16) spec {
	var data []byte
	for _, x := range v {
		data = binary.LittleEndian.AppendUint16(data, x)
	}
	return spec{name, d, shape, data}
}

// leaf adds a leaf of float32 with values 100, 101 …
func leaf(g *gorgonia.ExprGraph, name string, shape ...int) *gorgonia.Node {
	data := make([]float32, tensor.Shape(shape).TotalSize())
	for i := range data {
		data[i] = float32(100 + i)
	}
	return gorgonia.NewTensor(g, tensor.Float32, len(shape), gorgonia.WithShape(shape...), gorgonia.WithName(name),
		gorgonia.WithValue(tensor.New(tensor.WithShape(shape...), tensor.WithBacking(data))))
}

// small is a graph with parameters fc.w [2,3] and fc.b [1,3] and an input x.
func small() (g *gorgonia.ExprGraph, x, w, b *gorgonia.Node) {
	g = gorgonia.NewGraph()
	x = gorgonia.NewMatrix(g, tensor.Float32, gorgonia.WithShape(4, 2), gorgonia.WithName("x"))
	return g, x, leaf(g, "fc.w", 2, 3), leaf(g, "fc.b", 1, 3)
}

// contents returns a node's numbers.
func contents(t testing.TB, n *gorgonia.Node) []float32 {
	t.Helper()
	v, ok := n.Value().(*tensor.Dense)
	if !ok {
		t.Fatalf("node %q holds %T", n.Name(), n.Value())
	}
	return v.Data().([]float32)
}

func open(raw []byte, nodes gorgonia.Nodes, opt Options) (Report, error) {
	return Read(bytes.NewReader(raw), int64(len(raw)), nodes, opt)
}
