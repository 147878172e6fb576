package weights

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/goqat/goqat/internal/safetensors"
)

// numbers are the elements of a tensor, row-major, in one of the two slices.
type numbers struct {
	f32 []float32
	f64 []float64
}

// read returns a tensor as float32 or, with double, as float64. All numbers are finite.
func read(f *safetensors.File, name string, double bool) (v numbers, err error) {
	d, _, _, err := f.Info(name)
	if err != nil {
		return v, err
	}
	if d == safetensors.F64 && double {
		v.f64, err = float64s(f, name)
	} else {
		v.f32, err = f.Float32s(name)
	}
	if err != nil {
		return v, err
	}
	if i := v.notFinite(); i >= 0 {
		return v, fmt.Errorf("tensor %s: element %d is not finite", short(name), i)
	}
	if double && v.f64 == nil {
		v.f64 = make([]float64, len(v.f32))
		for i, x := range v.f32 {
			v.f64[i] = float64(x)
		}
		v.f32 = nil
	}
	return v, nil
}

func float64s(f *safetensors.File, name string) ([]float64, error) {
	raw, err := f.Bytes(name)
	if err != nil {
		return nil, err
	}
	out := make([]float64, len(raw)/8)
	for i := range out {
		out[i] = math.Float64frombits(binary.LittleEndian.Uint64(raw[8*i:]))
	}
	return out, nil
}

// notFinite returns the index of the first NaN or infinity, -1 without one.
func (v numbers) notFinite() int {
	// A number minus itself is 0 unless it is NaN or infinite.
	if i := slices.IndexFunc(v.f32, func(x float32) bool { return x-x != 0 }); i >= 0 {
		return i
	}
	return slices.IndexFunc(v.f64, func(x float64) bool { return x-x != 0 })
}

// transposed returns the elements of a matrix [cols, rows] as [rows, cols].
func (v numbers) transposed(rows, cols int) numbers {
	return numbers{f32: transpose(v.f32, rows, cols), f64: transpose(v.f64, rows, cols)}
}

func transpose[F float32 | float64](x []F, rows, cols int) []F {
	if x == nil {
		return nil
	}
	out := make([]F, len(x))
	for r := range rows {
		for c := range cols {
			out[r*cols+c] = x[c*rows+r]
		}
	}
	return out
}
