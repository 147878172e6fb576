package onnxin

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/goqat/goqat/internal/onnxpb"
)

// constant is a tensor that is known while reading, row-major: f if float, else i.
// Truth values are whole numbers 0 and 1.
type constant struct {
	shape []int
	float bool
	f     []float32
	i     []int64
}

func (c *constant) size() int { return max(len(c.f), len(c.i)) }

// ints is a constant of whole numbers, [n].
func ints(v ...int) *constant {
	c := &constant{shape: []int{len(v)}, i: make([]int64, len(v))}
	for k, x := range v {
		c.i[k] = int64(x)
	}
	return c
}

// maxExact is the largest whole number up to which float32 holds all of them.
const maxExact = 1 << 24

// floats returns the elements as float32; whole numbers must be exact.
func (c *constant) floats() ([]float32, error) {
	if c.float {
		return c.f, nil
	}
	out := make([]float32, len(c.i))
	for k, v := range c.i {
		if v > maxExact || v < -maxExact {
			return nil, fmt.Errorf("%w: %d is not exact in float32", ErrUnsupported, v)
		}
		out[k] = float32(v)
	}
	return out, nil
}

type dataType = onnxpb.TensorProto_DataType

// bits is the storage of one element, 0 for types that are not read.
var bits = map[dataType]int{
	onnxpb.TensorProto_FLOAT: 32, onnxpb.TensorProto_DOUBLE: 64, onnxpb.TensorProto_FLOAT16: 16, onnxpb.TensorProto_BFLOAT16: 16,
	onnxpb.TensorProto_INT64: 64, onnxpb.TensorProto_INT32: 32, onnxpb.TensorProto_INT16: 16, onnxpb.TensorProto_INT8: 8, onnxpb.TensorProto_INT4: 4,
	onnxpb.TensorProto_UINT64: 64, onnxpb.TensorProto_UINT32: 32, onnxpb.TensorProto_UINT16: 16, onnxpb.TensorProto_UINT8: 8, onnxpb.TensorProto_UINT4: 4,
	onnxpb.TensorProto_BOOL: 8,
}

func isFloatType(dt dataType) bool {
	switch dt {
	case onnxpb.TensorProto_FLOAT, onnxpb.TensorProto_DOUBLE, onnxpb.TensorProto_FLOAT16, onnxpb.TensorProto_BFLOAT16:
		return true
	}
	return false
}

// shapeOf returns the dimensions of a tensor and the number of elements.
func shapeOf(t *onnxpb.TensorProto) ([]int, int, error) {
	shape, n := make([]int, len(t.Dims)), 1
	for i, d := range t.Dims {
		if d < 0 || d > 0 && n > math.MaxInt>>8/int(d) {
			return nil, 0, fmt.Errorf("%w: shape %v", ErrFormat, t.Dims)
		}
		shape[i] = int(d)
		n *= int(d)
	}
	return shape, n, nil
}

// decode reads a tensor of the file. Errors do not name it.
func decode(t *onnxpb.TensorProto, files fileSource) (*constant, error) {
	dt := dataType(t.GetDataType())
	if bits[dt] == 0 {
		return nil, fmt.Errorf("%w: elements of type %v", ErrUnsupported, dt)
	}
	if t.Segment != nil {
		return nil, fmt.Errorf("%w: stored in segments", ErrUnsupported)
	}
	shape, n, err := shapeOf(t)
	if err != nil {
		return nil, err
	}
	c := &constant{shape: shape, float: isFloatType(dt)}
	raw, err := rawOf(t, files, dt, n)
	if err != nil {
		return nil, err
	}
	if raw == nil {
		return c, c.typed(t, dt, n)
	}
	c.fromRaw(raw, dt, n)
	return c, nil
}

// rawOf returns the bytes of n elements that are stored raw or in another file, and
// nil if they are in a field of their type.
func rawOf(t *onnxpb.TensorProto, files fileSource, dt dataType, n int) ([]byte, error) {
	want := (n*bits[dt] + 7) / 8
	if t.GetDataLocation() == onnxpb.TensorProto_EXTERNAL {
		return external(files, t, want)
	}
	if t.RawData == nil {
		return nil, nil
	}
	if len(t.RawData) != want {
		return nil, fmt.Errorf("%w: shape %v of %v needs %d bytes, there are %d", ErrFormat, t.Dims, dt, want, len(t.RawData))
	}
	return t.RawData, nil
}

func (c *constant) alloc(n int) {
	if c.float {
		c.f = make([]float32, n)
	} else {
		c.i = make([]int64, n)
	}
}

// fromRaw decodes little-endian elements; 4-bit ones lie low half first.
func (c *constant) fromRaw(raw []byte, dt dataType, n int) {
	c.alloc(n)
	le := binary.LittleEndian
	for k := range n {
		switch dt {
		case onnxpb.TensorProto_FLOAT:
			c.f[k] = math.Float32frombits(le.Uint32(raw[4*k:]))
		case onnxpb.TensorProto_DOUBLE:
			c.f[k] = float32(math.Float64frombits(le.Uint64(raw[8*k:])))
		case onnxpb.TensorProto_FLOAT16:
			c.f[k] = half(le.Uint16(raw[2*k:]))
		case onnxpb.TensorProto_BFLOAT16:
			c.f[k] = math.Float32frombits(uint32(le.Uint16(raw[2*k:])) << 16)
		case onnxpb.TensorProto_INT64, onnxpb.TensorProto_UINT64:
			c.i[k] = int64(le.Uint64(raw[8*k:]))
		case onnxpb.TensorProto_INT32:
			c.i[k] = int64(int32(le.Uint32(raw[4*k:])))
		case onnxpb.TensorProto_UINT32:
			c.i[k] = int64(le.Uint32(raw[4*k:]))
		case onnxpb.TensorProto_INT16:
			c.i[k] = int64(int16(le.Uint16(raw[2*k:])))
		case onnxpb.TensorProto_UINT16:
			c.i[k] = int64(le.Uint16(raw[2*k:]))
		case onnxpb.TensorProto_INT8:
			c.i[k] = int64(int8(raw[k]))
		case onnxpb.TensorProto_UINT8, onnxpb.TensorProto_BOOL:
			c.i[k] = int64(raw[k])
		case onnxpb.TensorProto_UINT4:
			c.i[k] = int64(raw[k/2] >> (k % 2 * 4) & 15)
		case onnxpb.TensorProto_INT4:
			c.i[k] = int64(int8(raw[k/2]>>(k%2*4)<<4) >> 4)
		}
	}
}

// typed reads the field for the element type.
func (c *constant) typed(t *onnxpb.TensorProto, dt dataType, n int) error {
	have := 0
	switch dt {
	case onnxpb.TensorProto_FLOAT:
		have = len(t.FloatData)
	case onnxpb.TensorProto_DOUBLE:
		have = len(t.DoubleData)
	case onnxpb.TensorProto_INT64:
		have = len(t.Int64Data)
	case onnxpb.TensorProto_UINT32, onnxpb.TensorProto_UINT64:
		have = len(t.Uint64Data)
	default:
		have = len(t.Int32Data)
	}
	want := n
	if bits[dt] == 4 { // packed: one byte, two elements, in each number
		want = (n + 1) / 2
	}
	if have != want {
		return fmt.Errorf("%w: shape %v of %v needs %d elements, there are %d", ErrFormat, t.Dims, dt, want, have)
	}
	c.alloc(n)
	for k := range n {
		switch dt {
		case onnxpb.TensorProto_FLOAT:
			c.f[k] = t.FloatData[k]
		case onnxpb.TensorProto_DOUBLE:
			c.f[k] = float32(t.DoubleData[k])
		case onnxpb.TensorProto_FLOAT16:
			c.f[k] = half(uint16(t.Int32Data[k]))
		case onnxpb.TensorProto_BFLOAT16:
			c.f[k] = math.Float32frombits(uint32(uint16(t.Int32Data[k])) << 16)
		case onnxpb.TensorProto_INT64:
			c.i[k] = t.Int64Data[k]
		case onnxpb.TensorProto_UINT32, onnxpb.TensorProto_UINT64:
			c.i[k] = int64(t.Uint64Data[k])
		case onnxpb.TensorProto_UINT4:
			c.i[k] = int64(byte(t.Int32Data[k/2]) >> (k % 2 * 4) & 15)
		case onnxpb.TensorProto_INT4:
			c.i[k] = int64(int8(byte(t.Int32Data[k/2])>>(k%2*4)<<4) >> 4)
		default:
			c.i[k] = int64(t.Int32Data[k])
		}
	}
	return nil
}

// half converts an IEEE 754 binary16 number; every one is exact in float32.
func half(h uint16) float32 {
	sign, exp, frac := uint32(h>>15)<<31, int(h>>10&31), uint32(h&1023)
	switch exp {
	case 31:
		return math.Float32frombits(sign | 255<<23 | frac<<13)
	case 0:
		v := float32(frac) * 0x1p-24
		return math.Float32frombits(sign | math.Float32bits(v))
	}
	return math.Float32frombits(sign | uint32(exp+112)<<23 | frac<<13)
}

func checkRank(rank int) error {
	if rank > maxRank {
		return fmt.Errorf("%w: %d axes, goqat reads up to %d", ErrUnsupported, rank, maxRank)
	}
	return nil
}

// product is the number of elements of a shape, saturated far beyond any limit.
func product(shape []int) int {
	n := 1
	for _, d := range shape {
		if d > 0 && n > math.MaxInt>>8/d {
			return math.MaxInt >> 8
		}
		n *= d
	}
	return n
}

// maxRank bounds the axes of a tensor. Files with more are broken, and shapes with a
// million axes would cost as much memory as tensors.
const maxRank = 16
