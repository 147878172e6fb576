package coremlout

// This file says what a quantized constant is in Core ML's terms.

import (
	"slices"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/internal/mlpb"
	"github.com/goqat/goqat/qat/frozen"
)

// weight is a quantized constant in Core ML's terms.
type weight struct {
	name  string
	spec  fakequant.Spec
	shape []int
	raw   []byte
	// params is the shape of scale and zero, of the rank of shape; block is the number
	// of elements of each axis that share them.
	params, block []int
	scale         []float32
	zero          []int32
}

func weightOf(t *frozen.Tensor) (*weight, error) {
	s := t.Quant.Spec
	l, err := s.Layout(t.Shape)
	if err != nil {
		return nil, err
	}
	w := &weight{
		name: t.Name, spec: s, shape: t.Shape, raw: t.Const.Codes,
		params: slices.Clone(l.ParamShape()), block: slices.Clone(t.Shape),
		scale: t.Quant.Params.Scale, zero: t.Quant.Params.ZeroPoint,
	}
	for i, n := range w.params {
		if n > 1 {
			w.block[i] = 1
		}
	}
	if s.Granularity == fakequant.PerBlock {
		axis := s.Axis
		if axis < 0 {
			axis += len(t.Shape)
		}
		w.block[axis] = s.BlockSize
	}
	return w, nil
}

// dtype is the type that holds the codes: 4 bits for up to 4 bits, else 8.
func (w *weight) dtype() mlpb.DataType {
	switch four := w.spec.Packed(); {
	case four && w.spec.Unsigned:
		return mlpb.DataType_UINT4
	case four:
		return mlpb.DataType_INT4
	case w.spec.Unsigned:
		return mlpb.DataType_UINT8
	}
	return mlpb.DataType_INT8
}

// pack lays codes out as dtype stores them.
func (w *weight) pack(codes []int32) ([]byte, error) {
	if w.spec.Packed() {
		return fakequant.Pack4(codes)
	}
	raw := make([]byte, len(codes))
	for i, c := range codes {
		raw[i] = byte(c)
	}
	return raw, nil
}

// transpose swaps the axes of a matrix.
func (w *weight) transpose(t *frozen.Tensor) error {
	codes, err := t.Codes()
	if err != nil {
		return err
	}
	if w.raw, err = w.pack(swap(codes, w.shape[0], w.shape[1])); err != nil {
		return err
	}
	w.scale, w.zero = swap(w.scale, w.params[0], w.params[1]), swap(w.zero, w.params[0], w.params[1])
	w.shape, w.params, w.block = reversed(w.shape), reversed(w.params), reversed(w.block)
	return nil
}

func reversed(v []int) []int { return []int{v[1], v[0]} }

func swap[T any](x []T, rows, columns int) []T {
	out := make([]T, len(x))
	for i := range rows {
		for j := range columns {
			out[j*rows+i] = x[i*columns+j]
		}
	}
	return out
}

// refine cuts the blocks of an axis whose last block is shorter into ones of equal
// size, because Core ML knows no other: their greatest common divisor. Every element
// keeps its scale. It reports an axis for which these would be single elements: then
// the scales alone are as large as float32 weights.
func (w *weight) refine() (axis int, ok bool) {
	for a := range w.shape {
		old := w.block[a]
		if w.shape[a]%old == 0 {
			continue
		}
		size := gcd(old, w.shape[a]%old)
		if size == 1 {
			return a, false
		}
		n, before, inner := w.shape[a]/size, w.params[a], elements(w.params[a+1:])
		var scale []float32
		var zero []int32
		for outer := range elements(w.params[:a]) {
			for i := range n {
				from := (outer*before + i*size/old) * inner
				scale = append(scale, w.scale[from:from+inner]...)
				zero = append(zero, w.zero[from:from+inner]...)
			}
		}
		w.scale, w.zero, w.params[a], w.block[a] = scale, zero, n, size
	}
	return 0, true
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
