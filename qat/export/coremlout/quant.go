package coremlout

// This file says how codes, scales and roundings are written.

import (
	"math"
	"slices"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/internal/kern"
	"github.com/goqat/goqat/internal/mlpb"
	"github.com/goqat/goqat/qat/frozen"
)

// quantize rounds x to the grid of tensor t and returns its real numbers again, in a
// value called name.
func (b *builder) quantize(t int, x value, name string) value {
	tensor, q, id := &b.net.Tensors[t], b.net.Tensors[t].Quant, b.id[t]
	if !b.opt.Target.atLeast(IOS17) {
		b.fail("%q is rounded to %s, but programs for %v compute in float: export with Target IOS17 or IOS18, or quantize weights only",
			tensor.Name, q.Spec.DType(), b.opt.Target)
		return x
	}
	if len(x.shape) == 0 {
		b.fail("%q is a quantized scalar, but Core ML quantizes tensors of rank 1 and up: leave it float", tensor.Name)
		return x
	}
	if full := (fakequant.Spec{Unsigned: q.Spec.Unsigned}); !sameRange(q.Spec, full) {
		x = b.clipToCodes(q, id, x)
	}
	dtype, text := mlpb.DataType_INT8, "int8"
	if q.Spec.Unsigned {
		dtype, text = mlpb.DataType_UINT8, "uint8"
	}
	b.checkScales(tensor.Name, q.Params.Scale)
	params := []arg{{"scale", q.Params.Scale[0]}}
	if z := q.Params.ZeroPoint[0]; z != 0 { // left out when 0, as coremltools does
		d := data{dtype: dtype, raw: []byte{byte(z)}}
		params = append(params, arg{"zero_point", b.constant(id+"_zero_point", b.store(d, nil), dtype, nil)})
	}
	codes := b.emit("quantize", b.names.unique(id+"_quantized"), dtype, x.shape,
		append([]arg{{"input", x}, {"output_dtype", text}}, params...)...)
	return b.emit("dequantize", name, b.float, x.shape, append([]arg{{"input", codes}}, params...)...)
}

func sameRange(a, b fakequant.Spec) bool {
	amin, amax := a.QRange()
	bmin, bmax := b.QRange()
	return amin == bmin && amax == bmax
}

// clipToCodes limits x to the real numbers of the smallest and largest code, because
// quantize saturates at the full 8 bits only. These numbers are on the grid, so what
// lies between them rounds as before.
func (b *builder) clipToCodes(q *frozen.Quant, id string, x value) value {
	qmin, qmax := q.Spec.QRange()
	g := kern.Grid{Scale: q.Params.Scale[0], ZeroPoint: q.Params.ZeroPoint[0]}
	return b.emit("clip", b.names.unique(id+"_clipped"), x.dtype, x.shape, arg{"x", x},
		arg{"alpha", kern.DequantizeOne(qmin, g)}, arg{"beta", kern.DequantizeOne(qmax, g)})
}

// halfRounding is what rounding to float16 does at most to a normal number, relative to it.
const halfRounding = 0x1p-11

// checkScales refuses scales that float16 rounds by more than that: small ones, which it
// holds in steps of 2^-24, and those beyond its range.
func (b *builder) checkScales(name string, scales []float32) {
	if b.float != mlpb.DataType_FLOAT16 {
		return
	}
	for _, s := range scales {
		if h := kern.OfHalf(kern.Half(s)); !(math.Abs(float64(h-s)) <= halfRounding*float64(s)) {
			b.fail("the scale %v of %q is %v in float16: export with Compute Float32, or train with scale_dtype: float16", s, name, h)
			return
		}
	}
}

// constTensor emits constant t as a value called name, transposed (rank 2) on request.
func (b *builder) constTensor(t int, name string, transpose bool) value {
	tensor := &b.net.Tensors[t]
	if tensor.Quant != nil && len(tensor.Shape) > 0 {
		w, err := weightOf(tensor)
		if err == nil {
			w.lift(b.liftOf(t))
		}
		if err == nil && transpose {
			err = w.transpose(tensor)
		}
		if err != nil {
			b.fail("%w", err)
			return value{}
		}
		return b.constexpr(w, name)
	}
	values, shape := tensor.Const.Values, tensor.Shape
	if tensor.Quant != nil {
		var err error
		if values, err = tensor.Values(); err != nil {
			b.fail("%w", err)
		}
	}
	if transpose {
		values, shape = swap(values, shape[0], shape[1]), []int{shape[1], shape[0]}
	}
	d := data{dtype: b.float, floats: values}
	op := &mlpb.Operation{Type: "const", Attributes: map[string]*mlpb.Value{"val": b.store(d, shape)}}
	return b.operation(op, value{name, b.float, shape})
}

// transposed returns the value of constant matrix t with its axes swapped.
func (b *builder) transposed(t int) value {
	if b.turned[t] == nil {
		v := b.constTensor(t, b.names.unique(b.id[t]+"_transposed"), true)
		b.turned[t] = &v
	}
	return *b.turned[t]
}

// constexpr emits the operation that makes a weight float, with its codes inside.
func (b *builder) constexpr(w *weight, name string) value {
	b.checkScales(w.name, w.scale)
	if b.opt.Target.atLeast(IOS18) {
		return b.blockwise(w, name)
	}
	return b.affine(w, name)
}

// blockwise is scale·(data − offset) with one scale for each block of every axis.
func (b *builder) blockwise(w *weight, name string) value {
	if axis, ok := w.refine(); !ok {
		b.fail("blocks of %d along axis %d of weight %q of shape %v have no common size but 1 with the shorter last block: use a block size that divides %d",
			w.block[axis], axis, w.name, w.shape, w.shape[axis])
		return value{}
	}
	args := map[string]*mlpb.Value{
		"data":  b.store(data{dtype: w.dtype(), raw: w.raw}, w.shape),
		"scale": b.store(data{dtype: b.float, floats: w.scale}, w.params),
	}
	if !allZero(w.zero) {
		args["offset"] = b.zeroPoints(w, w.params)
	}
	op := &mlpb.Operation{Type: "constexpr_blockwise_shift_scale", Inputs: map[string]*mlpb.Argument{}}
	for k, v := range args {
		op.Inputs[k] = &mlpb.Argument{Arguments: []*mlpb.Argument_Binding{{Binding: &mlpb.Argument_Binding_Value{Value: v}}}}
	}
	return b.operation(op, value{name, b.float, w.shape})
}

// affine is the older form: 8 bits, with scales for the whole tensor or along one axis.
func (b *builder) affine(w *weight, name string) value {
	if w.spec.Packed() {
		b.fail("weight %q is %s: %v stores 8 bits: export with Target IOS18, or freeze it with 5 bits or more",
			w.name, w.spec.DType(), b.opt.Target)
		return value{}
	}
	axis, shape := 0, []int(nil)
	for a, n := range w.params {
		if n == 1 {
			continue
		}
		if shape != nil || w.block[a] > 1 {
			b.fail("weight %q has blocks with scales of shape %v: %v knows one scale per tensor or per channel: export with Target IOS18, or freeze it per channel",
				w.name, w.params, b.opt.Target)
			return value{}
		}
		axis, shape = a, []int{n}
	}
	op := &mlpb.Operation{Type: "constexpr_affine_dequantize", Attributes: map[string]*mlpb.Value{
		"quantized_data": b.store(data{dtype: w.dtype(), raw: w.raw}, w.shape),
		"scale":          b.store(data{dtype: b.float, floats: w.scale}, shape),
		"zero_point":     b.zeroPoints(w, shape),
		"axis":           intsValue(nil, int32(axis)),
	}}
	return b.operation(op, value{name, b.float, w.shape})
}

func (b *builder) zeroPoints(w *weight, shape []int) *mlpb.Value {
	raw, err := w.pack(w.zero)
	if err != nil {
		b.fail("weight %q: %w", w.name, err)
	}
	return b.store(data{dtype: w.dtype(), raw: raw}, shape)
}

func allZero(v []int32) bool { return !slices.ContainsFunc(v, func(z int32) bool { return z != 0 }) }

// values returns the float values of tensors.
func (b *builder) values(tensors []int) []value {
	var list []value
	for _, t := range tensors {
		list = append(list, b.value(t))
	}
	return list
}

// value returns the float value of tensor t; a constant is emitted, and an input is
// cast, when it is first used.
func (b *builder) value(t int) value {
	if b.real[t] == nil {
		var v value
		if b.isConst(t) {
			v = b.constTensor(t, b.id[t], false)
		} else {
			v = b.narrow(value{b.id[t], mlpb.DataType_FLOAT32, b.shapes[t]})
		}
		b.real[t] = &v
	}
	return *b.real[t]
}
