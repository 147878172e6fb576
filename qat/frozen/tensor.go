package frozen

// This file says what a tensor holds, as codes and as values.

import (
	"errors"
	"fmt"
	"slices"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/internal/kern"
	"github.com/goqat/goqat/qat/internal/exact"
)

// codeBytes is the number of bytes that n codes of spec s take.
func codeBytes(s fakequant.Spec, n int) int {
	if s.Packed() {
		return fakequant.PackedLen(n)
	}
	return n
}

// NewConst makes a constant tensor of the values x, row-major in the given shape:
// float32 when q is nil, else quantized with q's format and parameters, by
// clamp(rne(x/scale) + zero_point). Everything is copied. It fails when x, the
// shape and the parameters do not fit each other; the error names the tensor.
func NewConst(name string, shape []int, x []float32, q *Quant) (Tensor, error) {
	t := Tensor{Name: name, Shape: slices.Clone(shape), Const: &Const{}}
	if q == nil {
		t.Const.Values = slices.Clone(x)
		return t, t.check()
	}
	codes := make([]int32, len(x))
	l, err := q.Spec.Layout(shape)
	if err == nil {
		err = fakequant.Quantize(codes, x, l, q.Spec, q.Params)
	}
	if err != nil {
		return Tensor{}, t.wrap(err)
	}
	return NewConstCodes(name, shape, codes, *q)
}

// NewConstCodes makes a quantized constant of codes that exist already, row-major
// in the given shape. Everything is copied. It fails when a code is outside the
// format's range or lengths do not fit; the error names the tensor.
func NewConstCodes(name string, shape []int, codes []int32, q Quant) (Tensor, error) {
	t := Tensor{Name: name, Shape: slices.Clone(shape), Const: &Const{}}
	t.Quant = &Quant{Spec: q.Spec, Params: q.Params.Clone()}
	if err := q.Spec.Validate(); err != nil {
		return Tensor{}, t.wrap(err)
	}
	if err := inRange(codes, q.Spec); err != nil {
		return Tensor{}, t.wrap(err)
	}
	if q.Spec.Packed() {
		packed, err := fakequant.Pack4(codes)
		if err != nil {
			return Tensor{}, t.wrap(err)
		}
		t.Const.Codes = packed
	} else {
		t.Const.Codes = make([]byte, len(codes))
		for i, c := range codes {
			t.Const.Codes[i] = byte(c)
		}
	}
	if err := t.check(); err != nil {
		return Tensor{}, err
	}
	return t, nil
}

// Codes returns the stored codes of a quantized constant, one per element,
// row-major, in a fresh slice. Any other tensor is an error that names it.
func (t *Tensor) Codes() ([]int32, error) {
	codes, err := t.codes()
	return codes, t.wrap(err)
}

// wrap puts the tensor's name before an error; nil stays nil.
func (t *Tensor) wrap(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("tensor %q: %w", t.Name, err)
}

func (t *Tensor) codes() ([]int32, error) {
	if t.Const == nil || t.Quant == nil {
		return nil, fmt.Errorf("%w: not a quantized constant", ErrNetwork)
	}
	n, err := fakequant.NumElements(t.Shape)
	if err != nil {
		return nil, err
	}
	// Lengths come before memory: a shape may promise more than there is.
	if want := codeBytes(t.Quant.Spec, n); len(t.Const.Codes) != want {
		return nil, fmt.Errorf("%w: %d bytes of codes, want %d for %s of shape %v",
			ErrNetwork, len(t.Const.Codes), want, t.Quant.Spec.DType(), t.Shape)
	}
	out := make([]int32, n)
	signed := !t.Quant.Spec.Unsigned
	if t.Quant.Spec.Packed() {
		return out, fakequant.Unpack4(out, t.Const.Codes, signed)
	}
	for i, b := range t.Const.Codes {
		if signed {
			out[i] = int32(int8(b))
		} else {
			out[i] = int32(b)
		}
	}
	return out, nil
}

// Values returns the real values of a constant, row-major, in a fresh slice: its
// floats, or (q - zero_point) * scale. Any other tensor is an error that names it.
func (t *Tensor) Values() ([]float32, error) {
	if t.Const == nil {
		return nil, fmt.Errorf("tensor %q: %w: not a constant", t.Name, ErrNetwork)
	}
	if t.Quant == nil {
		return slices.Clone(t.Const.Values), nil
	}
	codes, err := t.Codes()
	if err != nil {
		return nil, err
	}
	l, err := t.Quant.Spec.Layout(t.Shape)
	if err != nil {
		return nil, t.wrap(err)
	}
	out := make([]float32, len(codes))
	if err := fakequant.Dequantize(out, codes, l, t.Quant.Spec, t.Quant.Params); err != nil {
		return nil, t.wrap(err)
	}
	return out, nil
}

// centred writes q - zero_point of every code of a checked quantized constant.
func (t *Tensor) centred(dst []int16) {
	codes, err := t.codes()
	if err != nil {
		panic(err) // was checked
	}
	l, err := t.Quant.Spec.Layout(t.Shape)
	if err != nil {
		panic(err)
	}
	l.Runs(func(lo, hi, group, step int) {
		for i := lo; i < hi; i++ {
			dst[i] = int16(codes[i] - t.Quant.Params.ZeroPoint[group+(i-lo)*step])
		}
	})
}

// perTensor reports whether one scale and zero point hold for the whole tensor.
func (q *Quant) perTensor() bool { return q != nil && exact.Quant(*q).PerTensor() }

// grid is the integer grid of a tensor quantized per tensor.
func (q *Quant) grid() kern.Grid { return exact.Quant(*q).Grid() }

// check reports what is wrong with a tensor by itself; errors name it.
func (t *Tensor) check() error { return t.wrap(t.checkParts()) }

func (t *Tensor) checkParts() error {
	open := 0
	dims := slices.Clone(t.Shape)
	for i, d := range dims {
		if d == -1 {
			open++
			dims[i] = 1
		}
	}
	n, err := fakequant.NumElements(dims)
	switch {
	case err != nil:
		return err
	case n == 0:
		return fmt.Errorf("%w: shape %v is empty", ErrNetwork, t.Shape)
	case open > 1:
		return fmt.Errorf("%w: shape %v has %d open dimensions, want at most one", ErrNetwork, t.Shape, open)
	case open > 0 && t.Const != nil:
		return fmt.Errorf("%w: shape %v of a constant has an open dimension", ErrNetwork, t.Shape)
	}
	if t.Quant != nil {
		if err := t.Quant.check(t.Const != nil, dims); err != nil {
			return err
		}
	}
	if t.Const != nil {
		return t.checkConst(n)
	}
	return nil
}

func (q *Quant) check(constant bool, dims []int) error {
	if !constant && q.Spec.Granularity != fakequant.PerTensor {
		return fmt.Errorf("%w: %v: inputs and results are quantized per_tensor", ErrNetwork, q.Spec)
	}
	err := exact.Quant(*q).Check(dims)
	if errors.Is(err, exact.ErrZeroPoint) {
		err = fmt.Errorf("%w: %w", ErrNetwork, err)
	}
	return err
}

// checkConst compares the data of a constant with its n elements.
func (t *Tensor) checkConst(n int) error {
	c := t.Const
	if t.Quant == nil {
		switch {
		case c.Codes != nil:
			return fmt.Errorf("%w: codes without quantization parameters", ErrNetwork)
		case len(c.Values) != n:
			return fmt.Errorf("%w: %d values, want %d for shape %v", ErrNetwork, len(c.Values), n, t.Shape)
		}
		for i, v := range c.Values {
			if v != v {
				return fmt.Errorf("%w: the constant holds NaN at %d", ErrNetwork, i)
			}
		}
		return nil
	}
	if c.Values != nil {
		return fmt.Errorf("%w: a quantized constant holds codes, not float values", ErrNetwork)
	}
	codes, err := t.codes()
	if err != nil {
		return err
	}
	return inRange(codes, t.Quant.Spec)
}

// inRange reports the first code that the format does not have.
func inRange(codes []int32, s fakequant.Spec) error {
	qmin, qmax := s.QRange()
	for i, c := range codes {
		if c < qmin || c > qmax {
			return fmt.Errorf("%w: code %d at %d is outside %d..%d of %v", ErrNetwork, c, i, qmin, qmax, s)
		}
	}
	return nil
}
