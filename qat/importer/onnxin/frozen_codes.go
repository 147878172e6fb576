package onnxin

import (
	"fmt"
	"slices"
	"strings"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/internal/kern"
	"github.com/goqat/goqat/internal/onnxpb"
	"github.com/goqat/goqat/qat/frozen"
)

// formats are the types of codes.
var formats = map[dataType]fakequant.Spec{
	onnxpb.TensorProto_INT8: {}, onnxpb.TensorProto_UINT8: {Unsigned: true},
	onnxpb.TensorProto_INT4: {Bits: 4}, onnxpb.TensorProto_UINT4: {Bits: 4, Unsigned: true},
}

// rounded is a value with what rounds it: the tensor's name, the names of its real numbers and
// of its codes, empty where the file has none, and its format; nil for one that is not
// rounded.
type rounded struct {
	name, real, codes string
	quant             *frozen.Quant
}

// bind makes the values names of tensor i.
func (r rounded) bind(t *thawer, i int) {
	for _, name := range []string{r.name, r.real, r.codes} {
		if name != "" {
			t.tensors[name] = i
		}
	}
}

// rounding follows a value through the QuantizeLinear behind it and a Clip in front of that,
// which narrows the range, to the DequantizeLinear behind. Layers that only move codes may
// stand between the two, or in place of the second.
func (t *thawer) rounding(name string) (rounded, error) {
	q := t.onlyUser(name)
	var clip *node
	if q != nil && q.op == "Clip" && strings.HasSuffix(q.label, "/Clip") && len(q.pb.Output) == 1 {
		base := strings.TrimSuffix(q.label, "/Clip")
		if next := t.onlyUser(q.pb.Output[0]); next != nil && next.op == "QuantizeLinear" && next.label == base+"/QuantizeLinear" {
			clip, q = q, next
		}
	}
	if q == nil || q.op != "QuantizeLinear" {
		return rounded{name: name}, nil
	}
	if len(q.pb.Output) != 1 || len(q.pb.Input) != 3 {
		return rounded{}, fmt.Errorf("%w: %s: want a zero point and one result", ErrUnsupported, q.label)
	}
	out, err := t.activationQuant(q)
	if err == nil && clip != nil {
		err = t.narrow(out, clip)
	}
	if err != nil {
		return rounded{}, fmt.Errorf("%s: %w", q.label, err)
	}
	for _, n := range []*node{clip, q} {
		if n != nil {
			t.quiet[n] = true
		}
	}
	r, err := t.movedCodes(q.pb.Output[0], out)
	if base, ok := strings.CutSuffix(q.label, "/QuantizeLinear"); ok && r.real == "" {
		r.name = base
	}
	return r, err
}

// codeMovers are the operators that may stand on codes.
var codeMovers = []string{"Concat", "Gather", "MaxPool", "Reshape", "Resize", "Slice", "Squeeze", "Transpose"}

// sameGrid reports whether codes of one activation mean the same as those of another.
func sameGrid(a, b *frozen.Quant) bool {
	return a.Params.Scale[0] == b.Params.Scale[0] && a.Params.ZeroPoint[0] == b.Params.ZeroPoint[0] && a.Spec.Unsigned == b.Spec.Unsigned
}

// codesSuffix ends the names that the exporter gives codes.
const codesSuffix = "_quantized"

// movedCodes is a value of codes on a grid, with the DequantizeLinear behind it, if any.
func (t *thawer) movedCodes(codes string, q *frozen.Quant) (rounded, error) {
	r := rounded{name: strings.TrimSuffix(codes, codesSuffix), codes: codes, quant: q}
	if t.wanted[codes] {
		return rounded{}, fmt.Errorf("%w: codes %q as an output: want real numbers", ErrUnsupported, codes)
	}
	for _, n := range t.users[codes] {
		if slices.Contains(codeMovers, n.op) && (n.op == "Concat" || !slices.Contains(n.pb.Input[1:], codes)) {
			continue
		}
		if n.op != "DequantizeLinear" {
			return rounded{}, fmt.Errorf("%w: %s on codes", ErrUnsupported, n.label)
		}
		if len(n.pb.Output) != 1 || len(n.pb.Input) != 3 || r.real != "" {
			return rounded{}, fmt.Errorf("%w: %s: want one DequantizeLinear with a zero point behind codes", ErrUnsupported, n.label)
		}
		at, err := t.activationQuant(n)
		if err != nil {
			return rounded{}, fmt.Errorf("%s: %w", n.label, err)
		}
		if !sameGrid(at, q) {
			return rounded{}, fmt.Errorf("%w: %s: another scale, zero point or type than in the QuantizeLinear in front of it", ErrUnsupported, n.label)
		}
		t.quiet[n] = true
		r.name, r.real = n.pb.Output[0], n.pb.Output[0]
	}
	return r, nil
}

// activationQuant reads scale and zero point of a QuantizeLinear, per tensor.
func (t *thawer) activationQuant(q *node) (*frozen.Quant, error) {
	scale, zero := t.values[q.pb.Input[1]], t.values[q.pb.Input[2]]
	if scale == nil || zero == nil {
		return nil, fmt.Errorf("%w: scale and zero point must be initializers", ErrUnsupported)
	}
	s, err := t.constant(scale)
	if err != nil {
		return nil, err
	}
	z, err := t.constant(zero)
	if err != nil {
		return nil, err
	}
	spec, ok := formats[dataType(zero.t.GetDataType())]
	if !ok || !s.float || s.size() != 1 || z.size() != 1 {
		return nil, fmt.Errorf("%w: want one float scale and one zero point of 8 or 4 bits", ErrUnsupported)
	}
	out := &frozen.Quant{Spec: spec, Params: fakequant.Params{Scale: slices.Clone(s.f), ZeroPoint: []int32{int32(z.i[0])}}}
	if z.i[0] != 0 {
		out.Spec.Scheme = fakequant.Affine
	}
	return out, nil
}

// narrow gives q the format whose outermost codes are the limits of the clip.
func (t *thawer) narrow(q *frozen.Quant, clip *node) error {
	for _, name := range clip.pb.Input {
		clip.in = append(clip.in, t.values[name])
	}
	lo, err := clip.number(1, "min", 0)
	if err != nil {
		return err
	}
	hi, err := clip.number(2, "max", 0)
	if err != nil {
		return err
	}
	g := kern.Grid{Scale: q.Params.Scale[0], ZeroPoint: q.Params.ZeroPoint[0]}
	for bits := fakequant.MinBits; bits <= fakequant.MaxBits; bits++ {
		for _, narrow := range []bool{false, true} {
			s := q.Spec
			s.Bits, s.NarrowRange = bits, narrow
			qmin, qmax := s.QRange()
			if kern.DequantizeOne(qmin, g) == float32(lo) && kern.DequantizeOne(qmax, g) == float32(hi) {
				if q.Spec = s; bits == fakequant.DefaultBits {
					q.Spec.Bits = 0
				}
				return nil
			}
		}
	}
	return fmt.Errorf("%w: clip to %v … %v is the range of no format", ErrUnsupported, lo, hi)
}

// constantCodes makes a quantized constant of a DequantizeLinear of an initializer, or a
// float one if the codes are an int32 bias.
func (t *thawer) constantCodes(n *node) error {
	if err := n.arity(2, 3); err != nil {
		return err
	}
	x, sv := n.in[0], n.in[1]
	if x == nil || sv == nil || x.t == nil || sv.t == nil {
		return fmt.Errorf("%w: codes and scale must be initializers", ErrUnsupported)
	}
	codes, err := t.constant(x)
	if err != nil {
		return err
	}
	scale, err := t.constant(sv)
	if err != nil {
		return err
	}
	zero := &constant{i: make([]int64, scale.size())}
	if n.operand(2) != nil {
		if zero, err = t.constant(n.in[2]); err != nil {
			return err
		}
	}
	if codes.float || !scale.float || zero.float || zero.size() != scale.size() {
		return fmt.Errorf("%w: want whole codes, float scales, and a zero point for each scale", ErrFormat)
	}
	name := n.pb.Output[0]
	if dataType(x.t.GetDataType()) == onnxpb.TensorProto_INT32 {
		_, err := t.addConst(bias(name, codes, scale, zero))
		return err
	}
	q, err := t.weightQuant(n, x, codes.shape, scale, zero)
	if err != nil {
		return err
	}
	c := make([]int32, len(codes.i))
	for i, v := range codes.i {
		c[i] = int32(v)
	}
	_, err = t.addConst(frozen.NewConstCodes(name, codes.shape, c, q))
	return err
}

// bias makes float values of int32 codes with one scale, or one for each.
func bias(name string, codes, scale, zero *constant) (frozen.Tensor, error) {
	if len(codes.shape) != 1 || scale.size() != 1 && scale.size() != codes.size() {
		return frozen.Tensor{}, fmt.Errorf("%w: an int32 bias of shape %v with %d scales", ErrFormat, codes.shape, scale.size())
	}
	x := make([]float32, codes.size())
	for i, v := range codes.i {
		k := min(i, scale.size()-1)
		x[i] = float32(v-zero.i[k]) * scale.f[k]
	}
	return frozen.NewConst(name, codes.shape, x, nil)
}

// weightQuant is the format of a constant. The exporter leaves its text with the codes;
// the layout follows from the scales, because a matrix may be stored transposed.
func (t *thawer) weightQuant(n *node, x *value, shape []int, scale, zero *constant) (frozen.Quant, error) {
	spec, ok := formats[dataType(x.t.GetDataType())]
	if !ok {
		return frozen.Quant{}, fmt.Errorf("%w: codes of type %v", ErrUnsupported, dataType(x.t.GetDataType()))
	}
	described(&spec, x.t.GetDocString())
	if slices.ContainsFunc(zero.i, func(z int64) bool { return z != 0 }) {
		spec.Scheme = fakequant.Affine
	}
	var err error
	block := n.int("block_size", 0)
	if len(scale.shape) > 0 {
		if spec.Axis, err = axis(n.int("axis", 1), len(shape)); err != nil {
			return frozen.Quant{}, err
		}
		spec.Granularity = fakequant.PerChannel
	}
	if block > 0 {
		spec.Granularity, spec.BlockSize = fakequant.PerBlock, block
	}
	l, err := spec.Layout(shape)
	if err != nil {
		return frozen.Quant{}, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	q := frozen.Quant{Spec: spec}
	at, err := groupsOf(l.ParamShape(), scale.shape, l.Groups(), scale, zero)
	if err != nil {
		return frozen.Quant{}, err
	}
	for _, i := range at {
		q.Params.Scale = append(q.Params.Scale, scale.f[i])
		q.Params.ZeroPoint = append(q.Params.ZeroPoint, int32(zero.i[i]))
	}
	return q, nil
}

// described takes from the exporter's text what the type alone does not say. A text that
// is something else changes nothing.
func described(s *fakequant.Spec, text string) {
	words := strings.Fields(text)
	if len(words) < 3 {
		return
	}
	for bits := fakequant.MinBits; bits <= s.Width(); bits++ {
		d := *s
		if d.Bits = bits; bits == fakequant.DefaultBits {
			d.Bits = 0
		}
		if d.DType() != words[0] {
			continue
		}
		d.NarrowRange = words[len(words)-1] == "narrow"
		if words[1] == fakequant.Affine.String() {
			d.Scheme = fakequant.Affine
		}
		*s = d
	}
}

// groupsOf returns where in the file's scales each group's is. Blocked scales are written
// in full for axes that share them; those must be equal.
func groupsOf(params, file []int, groups int, scale, zero *constant) ([]int, error) {
	at := make([]int, 0, groups)
	if len(file) != len(params) {
		if scale.size() != groups {
			return nil, fmt.Errorf("%w: %d scales for %d groups", ErrFormat, scale.size(), groups)
		}
		for i := range groups {
			at = append(at, i)
		}
		return at, nil
	}
	for a, d := range params {
		if d != file[a] && d != 1 {
			return nil, fmt.Errorf("%w: scales of shape %v, the layout wants %v", ErrFormat, file, params)
		}
	}
	strides := stridesOf(file)
	for i := range groups {
		at = append(at, strided(i, params, strides))
	}
	shared := repeating(params, file)
	for i := range scale.size() {
		k := at[strided(i, file, shared)]
		if scale.f[i] != scale.f[k] || zero.i[i] != zero.i[k] {
			return nil, fmt.Errorf("%w: scales of shape %v differ within a group; goqat's have shape %v", ErrUnsupported, file, params)
		}
	}
	return at, nil
}
