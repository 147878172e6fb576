package onnxout

// This file says how codes, scales and roundings are written.

import (
	"fmt"
	"slices"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/internal/kern"
	"github.com/goqat/goqat/internal/onnxpb"
	"github.com/goqat/goqat/qat/frozen"
)

// storage is the ONNX type that holds the codes of s: 4 bits for narrow weights, a
// byte for the others and for all activations.
func storage(s fakequant.Spec, weight bool) onnxpb.TensorProto_DataType {
	switch {
	case weight && s.Packed() && s.Unsigned:
		return onnxpb.TensorProto_UINT4
	case weight && s.Packed():
		return onnxpb.TensorProto_INT4
	case s.Unsigned:
		return onnxpb.TensorProto_UINT8
	}
	return onnxpb.TensorProto_INT8
}

// codeBytes lays codes out as the type stores them.
func codeBytes(codes []int32, dtype onnxpb.TensorProto_DataType) ([]byte, error) {
	if dtype == onnxpb.TensorProto_INT4 || dtype == onnxpb.TensorProto_UINT4 {
		return fakequant.Pack4(codes)
	}
	raw := make([]byte, len(codes))
	for i, c := range codes {
		raw[i] = byte(c)
	}
	return raw, nil
}

// quantize rounds the value from to the grid of tensor t. The result is called out, as far
// as anything reads more than its codes.
func (b *builder) quantize(t int, from, out string) {
	tensor := &b.net.Tensors[t]
	name, q := tensor.Name, tensor.Quant
	full := fakequant.Spec{Unsigned: q.Spec.Unsigned}
	if lo, hi := full.QRange(); !sameRange(q.Spec, lo, hi) {
		from = b.clip(q, name, from)
	}
	zero := constant{name: name + "_zero_point", dtype: storage(q.Spec, false), raw: []byte{byte(q.Params.ZeroPoint[0])}}
	scale := b.constant(scalar(name+"_scale", q.Params.Scale[0]))
	params := []string{scale, b.constant(zero)}
	b.grids[t], b.codes[t] = params, b.unique(name+"_quantized")
	b.emit("QuantizeLinear", name+"/QuantizeLinear", append([]string{from}, params...), b.codes[t])
	b.dequantize(t, out)
}

// dequantize emits what makes the codes of tensor t real numbers under the name out, if
// anything reads these.
func (b *builder) dequantize(t int, out string) {
	if !b.readsReal(t) {
		return
	}
	b.real[t] = out
	b.emit("DequantizeLinear", b.net.Tensors[t].Name+"/DequantizeLinear", append([]string{b.codes[t]}, b.grids[t]...), out)
}

// readsReal reports whether an output or a layer reads more of tensor t than its codes.
func (b *builder) readsReal(t int) bool {
	if slices.Contains(b.net.Outputs, t) {
		return true
	}
	for i := range b.net.Layers {
		if slices.Contains(b.net.Layers[i].Inputs, t) && !b.movesCodes(i) {
			return true
		}
	}
	return false
}

// movesCodes reports whether layer i is an ONNX node that moves codes: all that it reads and
// its result are on one grid. It is written between QuantizeLinear and DequantizeLinear: a
// second pair behind it would round nothing, and without one runtimes add their own, ONNX
// Runtime 1.27 with types that do not fit.
func (b *builder) movesCodes(i int) bool {
	l := &b.net.Layers[i]
	switch o := l.Op.(type) {
	case frozen.Reshape, frozen.Transpose, frozen.Slice, frozen.Take, frozen.Concat, frozen.Resize:
	case frozen.Pool:
		if o.Average {
			return false
		}
	default:
		return false
	}
	return l.Act == nil && b.net.Mode(i) == frozen.Codes &&
		!slices.ContainsFunc(l.Inputs, func(t int) bool { return b.net.Tensors[t].Const != nil })
}

func sameRange(s fakequant.Spec, lo, hi int32) bool {
	qmin, qmax := s.QRange()
	return qmin == lo && qmax == hi
}

// clip limits a value to the real numbers of the smallest and largest code. These
// are on the grid, so what lies between them rounds as before.
func (b *builder) clip(q *frozen.Quant, name, from string) string {
	qmin, qmax := q.Spec.QRange()
	g := kern.Grid{Scale: q.Params.Scale[0], ZeroPoint: q.Params.ZeroPoint[0]}
	out := b.unique(name + "_clipped")
	b.clipTo(name+"/Clip", from, out, kern.DequantizeOne(qmin, g), kern.DequantizeOne(qmax, g))
	return out
}

func (b *builder) clipTo(name, from, out string, lo, hi float32) {
	limits := []string{b.constant(scalar(name+"_min", lo)), b.constant(scalar(name+"_max", hi))}
	b.emit("Clip", name, append([]string{from}, limits...), out)
}

// weight is a quantized constant in ONNX terms.
type weight struct {
	name  string
	spec  fakequant.Spec
	shape []int
	raw   []byte
	// scaleShape is empty per tensor, [n] per axis, and of full rank per block.
	scaleShape []int
	scale      []float32
	zero       []int32
	// axis and block are the attributes of DequantizeLinear; block 0 is none.
	axis, block int
}

func (w *weight) dtype() onnxpb.TensorProto_DataType { return storage(w.spec, true) }

// weightOf brings a quantized constant into ONNX terms.
func weightOf(t *frozen.Tensor) (*weight, error) {
	s, p := t.Quant.Spec, t.Quant.Params
	w := &weight{name: t.Name, spec: s, shape: t.Shape, raw: t.Const.Codes, scale: p.Scale, zero: p.ZeroPoint}
	if s.Granularity == fakequant.PerTensor {
		return w, nil
	}
	l, err := s.Layout(t.Shape)
	if err != nil {
		return nil, fmt.Errorf("tensor %q: %w", t.Name, err)
	}
	params := l.ParamShape()
	w.axis = s.Axis
	if w.axis < 0 {
		w.axis += len(t.Shape)
	}
	switch {
	case s.Granularity == fakequant.PerChannel:
		w.scaleShape = []int{l.Groups()}
	case l.Groups() == 1: // one block of one channel: that is per tensor
	case params[w.axis] == 1: // one block: that is per channel
		w.axis, w.scaleShape = channelAxis(w.axis), []int{l.Groups()}
	default:
		w.block = s.BlockSize
		w.expand(params)
	}
	return w, nil
}

// channelAxis is the axis that has its own scales besides the blocked one, as
// fakequant.PerBlock says.
func channelAxis(blocked int) int {
	if blocked == 0 {
		return 1
	}
	return 0
}

// expand repeats scales along the axes that share them, because ONNX wants all axes
// but the blocked one in full.
func (w *weight) expand(params []int) {
	w.scaleShape = slices.Clone(w.shape)
	w.scaleShape[w.axis] = params[w.axis]
	if slices.Equal(w.scaleShape, params) {
		return
	}
	n := 1
	for _, d := range w.scaleShape {
		n *= d
	}
	scale, zero := make([]float32, n), make([]int32, n)
	for i := range n {
		from, stride, rest := 0, 1, i
		for a := len(params) - 1; a >= 0; a-- {
			if params[a] > 1 {
				from += rest % w.scaleShape[a] * stride
			}
			rest /= w.scaleShape[a]
			stride *= params[a]
		}
		scale[i], zero[i] = w.scale[from], w.zero[from]
	}
	w.scale, w.zero = scale, zero
}

// transpose swaps the axes of a matrix.
func (w *weight) transpose(t *frozen.Tensor) error {
	codes, err := t.Codes()
	if err != nil {
		return err
	}
	rows, columns := w.shape[0], w.shape[1]
	if w.raw, err = codeBytes(swap(codes, rows, columns), w.dtype()); err != nil {
		return err
	}
	w.shape = []int{columns, rows}
	if len(w.scaleShape) == 2 {
		r, c := w.scaleShape[0], w.scaleShape[1]
		w.scale, w.zero, w.scaleShape = swap(w.scale, r, c), swap(w.zero, r, c), []int{c, r}
	}
	w.axis = 1 - w.axis
	return nil
}

func swap[T any](x []T, rows, columns int) []T {
	out := make([]T, len(x))
	for i := range rows {
		for j := range columns {
			out[j*rows+i] = x[i*columns+j]
		}
	}
	return out
}

// dequantizeConst adds the initializers of a weight and the node that makes it float.
func (b *builder) dequantizeConst(w *weight, out string) error {
	zero, err := codeBytes(w.zero, w.dtype())
	if err != nil {
		return fmt.Errorf("tensor %q: %w", w.name, err)
	}
	in := []string{
		b.constant(constant{name: w.name + "_quantized", dims: w.shape, dtype: w.dtype(), doc: w.spec.String(), raw: w.raw}),
		b.constant(floats(w.name+"_scale", w.scaleShape, w.scale)),
		b.constant(constant{name: w.name + "_zero_point", dims: w.scaleShape, dtype: w.dtype(), raw: zero}),
	}
	var attrs []*onnxpb.AttributeProto
	if len(w.scaleShape) > 0 {
		attrs = append(attrs, intAttr("axis", w.axis))
	}
	if w.block > 0 {
		attrs = append(attrs, intAttr("block_size", w.block))
	}
	b.emit("DequantizeLinear", out+"/DequantizeLinear", in, out, attrs...)
	return nil
}

// values returns the float values of tensors.
func (b *builder) values(tensors []int) ([]string, error) {
	var names []string
	for _, t := range tensors {
		name, err := b.value(t)
		if err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	return names, nil
}

// value returns the name of the float value of tensor t; a constant is emitted when
// it is first used.
func (b *builder) value(t int) (string, error) {
	if b.real[t] != "" {
		return b.real[t], nil
	}
	tensor := &b.net.Tensors[t]
	b.real[t] = tensor.Name
	if tensor.Quant == nil {
		b.consts = append(b.consts, floats(tensor.Name, tensor.Shape, tensor.Const.Values))
		return tensor.Name, nil
	}
	w, err := weightOf(tensor)
	if err != nil {
		return "", err
	}
	return tensor.Name, b.dequantizeConst(w, tensor.Name)
}
