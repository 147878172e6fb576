package safetensors

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/goqat/goqat/internal/kern"
)

// Float32s reads a tensor of F32, F16, BF16 or F64 as float32 values. F32, F16 and
// BF16 are exact, bits of NaNs included; F64 is rounded to the nearest float32,
// and a finite value that float32 cannot hold is an error. Errors wrap [ErrFormat]
// or those of reading.
func (f *File) Float32s(name string) ([]float32, error) {
	d, b, err := f.typed(name, F32, F16, BF16, F64)
	if err != nil {
		return nil, err
	}
	size := d.Bits() / 8
	out := make([]float32, len(b)/size)
	for i := range out {
		switch at := b[i*size:]; d {
		case F32:
			out[i] = math.Float32frombits(binary.LittleEndian.Uint32(at))
		case F16:
			out[i] = kern.OfHalf(binary.LittleEndian.Uint16(at))
		case BF16:
			out[i] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(at)) << 16)
		case F64:
			v := math.Float64frombits(binary.LittleEndian.Uint64(at))
			out[i] = float32(v)
			if math.IsInf(float64(out[i]), 0) && !math.IsInf(v, 0) {
				return nil, fmt.Errorf("%w: tensor %s: element %d is %v, beyond float32", ErrFormat, quote(name), i, v)
			}
		}
	}
	return out, nil
}

// Int8s reads a tensor of I8. Errors wrap [ErrFormat] or those of reading, here and
// in the methods below.
func (f *File) Int8s(name string) ([]int8, error) {
	return read(f, name, I8, func(b []byte) int8 { return int8(b[0]) })
}

// Uint8s reads a tensor of U8.
func (f *File) Uint8s(name string) ([]uint8, error) {
	_, b, err := f.typed(name, U8)
	return b, err
}

// Int32s reads a tensor of I32.
func (f *File) Int32s(name string) ([]int32, error) {
	return read(f, name, I32, func(b []byte) int32 { return int32(binary.LittleEndian.Uint32(b)) })
}

// Int64s reads a tensor of I64.
func (f *File) Int64s(name string) ([]int64, error) {
	return read(f, name, I64, func(b []byte) int64 { return int64(binary.LittleEndian.Uint64(b)) })
}

func read[T any](f *File, name string, want DType, one func([]byte) T) ([]T, error) {
	_, b, err := f.typed(name, want)
	if err != nil {
		return nil, err
	}
	size := want.Bits() / 8
	out := make([]T, len(b)/size)
	for i := range out {
		out[i] = one(b[i*size:])
	}
	return out, nil
}

// typed reads a tensor that must have one of the given types.
func (f *File) typed(name string, want ...DType) (DType, []byte, error) {
	d, _, _, err := f.Info(name)
	if err != nil {
		return "", nil, err
	}
	if !slices.Contains(want, d) {
		return "", nil, fmt.Errorf("%w: tensor %s is %s: want %v", ErrFormat, quote(name), d, want)
	}
	b, err := f.Bytes(name)
	return d, b, err
}

// FromFloat32s makes an F32 tensor. The data is copied, the shape is not, here and
// in the functions below; Write checks that they fit.
func FromFloat32s(name string, shape []int, v []float32) Tensor {
	return encode(name, F32, shape, v, func(b []byte, x float32) []byte {
		return binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
	})
}

// FromInt8s makes an I8 tensor.
func FromInt8s(name string, shape []int, v []int8) Tensor {
	return encode(name, I8, shape, v, func(b []byte, x int8) []byte { return append(b, byte(x)) })
}

// FromUint8s makes a U8 tensor.
func FromUint8s(name string, shape []int, v []uint8) Tensor {
	return Tensor{Name: name, DType: U8, Shape: shape, Data: slices.Clone(v)}
}

// FromInt32s makes an I32 tensor.
func FromInt32s(name string, shape []int, v []int32) Tensor {
	return encode(name, I32, shape, v, func(b []byte, x int32) []byte {
		return binary.LittleEndian.AppendUint32(b, uint32(x))
	})
}

// FromInt64s makes an I64 tensor.
func FromInt64s(name string, shape []int, v []int64) Tensor {
	return encode(name, I64, shape, v, func(b []byte, x int64) []byte {
		return binary.LittleEndian.AppendUint64(b, uint64(x))
	})
}

func encode[T any](name string, d DType, shape []int, v []T, add func([]byte, T) []byte) Tensor {
	b := make([]byte, 0, len(v)*d.Bits()/8)
	for _, x := range v {
		b = add(b, x)
	}
	return Tensor{Name: name, DType: d, Shape: shape, Data: b}
}
