package ops

import (
	"fmt"

	"github.com/goqat/goqat/internal/nn"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// Tensor is one operand or result of a kernel: exactly one of F32, F64 and Int is
// set, according to the dtype. The zero Tensor, with a nil shape, is an unwanted
// gradient.
type Tensor struct {
	Shape []int
	F32   []float32
	F64   []float64
	Int   []int
}

// Wanted reports whether the tensor is there at all.
func (t Tensor) Wanted() bool { return t.F32 != nil || t.F64 != nil }

// T32 and T64 view the tensor as package nn's.
func (t Tensor) T32() nn.Tensor[float32] { return nn.Tensor[float32]{Shape: t.Shape, Data: t.F32} }

// T64 is T32 for float64.
func (t Tensor) T64() nn.Tensor[float64] { return nn.Tensor[float64]{Shape: t.Shape, Data: t.F64} }

// views are tensors as package nn's, in memory that is used again.
type views[F nn.Float] [2][]nn.Tensor[F]

// all views tensors as package nn's; i tells apart two lists that are needed at the
// same time.
func (v *views[F]) all(i int, ts []Tensor, one func(Tensor) nn.Tensor[F]) []nn.Tensor[F] {
	v[i] = v[i][:0]
	for _, t := range ts {
		v[i] = append(v[i], one(t))
	}
	return v[i]
}

// all32 and all64 are for small or rare lists.
func all32(ts []Tensor) []nn.Tensor[float32] {
	out := make([]nn.Tensor[float32], len(ts))
	for i, t := range ts {
		out[i] = t.T32()
	}
	return out
}

func all64(ts []Tensor) []nn.Tensor[float64] {
	out := make([]nn.Tensor[float64], len(ts))
	for i, t := range ts {
		out[i] = t.T64()
	}
	return out
}

// readAll reads the operands into dst, whose memory is used again.
func readAll(dst []Tensor, in []operand, vals []gorgonia.Value) ([]Tensor, error) {
	if len(vals) != len(in) {
		return dst, fmt.Errorf("%d operands, want %d", len(vals), len(in))
	}
	dst = dst[:0]
	for i, v := range vals {
		t, err := in[i].read(v)
		if err != nil {
			return dst, fmt.Errorf("operand %d: %w", i, err)
		}
		dst = append(dst, t)
	}
	return dst, nil
}

// on is the memory of a machine's tensor as the kernels see it.
func (o operand) on(d *tensor.Dense) Tensor { return Tensor{Shape: o.shape, F32: d.Float32s()} }

// read views a Gorgonia value as a Tensor. A tensor that is not contiguous and
// row-major (a stock slice or a lazy transpose) is copied.
func (o operand) read(v gorgonia.Value) (Tensor, error) {
	if v == nil {
		return Tensor{}, fmt.Errorf("no value: was it Let?")
	}
	if !v.Shape().Eq(o.shape) && v.Shape().TotalSize() != o.shape.TotalSize() {
		return Tensor{}, fmt.Errorf("shape %v, want %v", v.Shape(), o.shape)
	}
	if v.Dtype() != o.dt {
		return Tensor{}, fmt.Errorf("its values are %v, want %v", v.Dtype(), o.dt)
	}
	t := Tensor{Shape: o.shape}
	switch v := v.(type) {
	case *gorgonia.F32:
		t.F32 = []float32{float32(*v)}
	case *gorgonia.F64:
		t.F64 = []float64{float64(*v)}
	case *tensor.Dense:
		return t.readDense(v)
	default:
		return Tensor{}, fmt.Errorf("unsupported value %T", v)
	}
	return t, nil
}

func (t Tensor) readDense(d *tensor.Dense) (Tensor, error) {
	if !d.IsNativelyAccessible() {
		return Tensor{}, fmt.Errorf("its memory is not accessible")
	}
	switch d.Dtype() {
	case tensor.Float32:
		t.F32 = rowMajor(d, d.Float32s)
	case tensor.Float64:
		t.F64 = rowMajor(d, d.Float64s)
	case tensor.Int:
		t.Int = rowMajor(d, d.Ints)
	case tensor.Int32:
		t.Int = ints(rowMajor(d, d.Int32s))
	case tensor.Int64:
		t.Int = ints(rowMajor(d, d.Int64s))
	default:
		return Tensor{}, fmt.Errorf("unsupported dtype %v", d.Dtype())
	}
	return t, nil
}

func ints[T int32 | int64](x []T) []int {
	out := make([]int, len(x))
	for i, v := range x {
		out[i] = int(v)
	}
	return out
}

// rowMajor returns the elements of d in row-major order, without a copy where that
// is their order in memory. A rank-0 Dense, whose typed accessor panics, is read
// through Data. (Dense.Materialize would leave a column-major tensor as it is.)
func rowMajor[T any](d *tensor.Dense, all func() []T) []T {
	shape := d.Shape()
	if shape.Dims() == 0 {
		if v, ok := d.Data().(T); ok {
			return []T{v}
		}
	}
	raw := all()
	if !d.RequiresIterator() && !d.DataOrder().IsColMajor() {
		return raw
	}
	strides := d.Strides()
	out := make([]T, 0, shape.TotalSize())
	var walk func(axis, at int)
	walk = func(axis, at int) {
		if axis == len(shape) {
			out = append(out, raw[at])
			return
		}
		for i := range shape[axis] {
			walk(axis+1, at+i*strides[axis])
		}
	}
	walk(0, 0)
	return out
}

// buffer is the memory of one result, made at first use and refilled ever after.
type buffer struct {
	t     Tensor
	dense *tensor.Dense
	s32   gorgonia.F32
	s64   gorgonia.F64
}

// get returns the memory to fill.
func (b *buffer) get(o operand) Tensor {
	if b.t.Shape != nil {
		return b.t
	}
	b.t.Shape = append([]int{}, o.shape...)
	n := o.shape.TotalSize()
	var backing any
	if o.dt == tensor.Float64 {
		b.t.F64 = make([]float64, n)
		backing = b.t.F64
	} else {
		b.t.F32 = make([]float32, n)
		backing = b.t.F32
	}
	if o.shape.Dims() > 0 {
		b.dense = tensor.New(tensor.WithShape(o.shape.Clone()...), tensor.WithBacking(backing))
	}
	return b.t
}

// value returns what get's memory holds as a Gorgonia value.
func (b *buffer) value() gorgonia.Value {
	switch {
	case b.dense != nil:
		// A consumer may have transposed or reshaped the header in place.
		if !b.dense.Shape().Eq(tensor.Shape(b.t.Shape)) || b.dense.RequiresIterator() {
			b.rewrap()
		}
		return b.dense
	case b.t.F64 != nil:
		b.s64 = gorgonia.F64(b.t.F64[0])
		return &b.s64
	}
	b.s32 = gorgonia.F32(b.t.F32[0])
	return &b.s32
}

func (b *buffer) rewrap() {
	var backing any = b.t.F32
	if b.t.F64 != nil {
		backing = b.t.F64
	}
	b.dense = tensor.New(tensor.WithShape(b.t.Shape...), tensor.WithBacking(backing))
}
