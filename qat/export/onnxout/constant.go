package onnxout

// This file says how initializers are stored.

import (
	"encoding/binary"
	"math"

	"github.com/goqat/goqat/internal/onnxpb"
	"google.golang.org/protobuf/proto"
)

// constant is an initializer to be. Its data are float32 values or raw bytes, as
// ONNX stores them; both may be the network's own memory.
type constant struct {
	name   string
	dims   []int
	dtype  onnxpb.TensorProto_DataType
	doc    string
	values []float32
	raw    []byte
}

func floats(name string, dims []int, v []float32) constant {
	return constant{name: name, dims: dims, dtype: onnxpb.TensorProto_FLOAT, values: v}
}

func scalar(name string, v float32) constant { return floats(name, nil, []float32{v}) }

// ints is a vector of int64, the type of shapes and axes.
func ints(name string, v ...int) constant {
	var raw []byte
	for _, x := range v {
		raw = binary.LittleEndian.AppendUint64(raw, uint64(x))
	}
	return constant{name: name, dims: []int{len(v)}, dtype: onnxpb.TensorProto_INT64, raw: raw}
}

// int32s has one element per element of dims.
func int32s(name string, dims []int, v []int32) constant {
	var raw []byte
	for _, x := range v {
		raw = binary.LittleEndian.AppendUint32(raw, uint32(x))
	}
	return constant{name: name, dims: dims, dtype: onnxpb.TensorProto_INT32, raw: raw}
}

func (c *constant) size() int64 {
	if c.values != nil {
		return 4 * int64(len(c.values))
	}
	return int64(len(c.raw))
}

// bytes returns the data, little endian.
func (c *constant) bytes() []byte {
	if c.values == nil {
		return c.raw
	}
	out := make([]byte, 0, 4*len(c.values))
	for _, v := range c.values {
		out = binary.LittleEndian.AppendUint32(out, math.Float32bits(v))
	}
	return out
}

func (c *constant) header() *onnxpb.TensorProto {
	t := &onnxpb.TensorProto{Name: &c.name, Dims: int64s(c.dims), DataType: proto.Int32(int32(c.dtype))}
	if c.doc != "" {
		t.DocString = &c.doc
	}
	return t
}

func (c *constant) inline() *onnxpb.TensorProto {
	t := c.header()
	t.RawData = c.bytes()
	if t.RawData == nil {
		t.RawData = []byte{} // an empty tensor has data of no bytes, not no data
	}
	return t
}

func int64s(v []int) []int64 {
	out := make([]int64, len(v))
	for i, x := range v {
		out[i] = int64(x)
	}
	return out
}
