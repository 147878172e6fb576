package onnxout

// This file says how layers with weights are written.

import (
	"math"
	"slices"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/internal/kern"
	"github.com/goqat/goqat/internal/nn"
	"github.com/goqat/goqat/internal/onnxpb"
	"github.com/goqat/goqat/qat/frozen"
)

// product is a convolution or matrix product with a constant quantized weight, and
// how it is to be written.
type product struct {
	layer *frozen.Layer
	w     *weight
	// codes are the weight's codes in the network's order.
	codes []int32
	// guard says that runtimes would compute it wrongly in integers, which the file
	// must keep them from.
	guard bool
	// bias is the int32 bias with its scale, one per channel or one for all; nil
	// for a float one.
	bias      []int32
	biasScale []float32
	// adjusted says that w has other scales than the network, for the bias's sake.
	adjusted bool
}

// planProduct decides how layer i is written. It returns nil unless the second
// operand is a quantized constant.
func (b *builder) planProduct(i int) (*product, error) {
	l := &b.net.Layers[i]
	t := &b.net.Tensors[l.Inputs[1]]
	if t.Const == nil || t.Quant == nil {
		return nil, nil
	}
	w, err := weightOf(t)
	if err != nil {
		return nil, err
	}
	p := &product{layer: l, w: w}
	if b.net.Mode(i) != frozen.Integer {
		return p, nil
	}
	if p.codes, err = t.Codes(); err != nil {
		return nil, err
	}
	x := b.net.Tensors[l.Inputs[0]].Quant
	narrow := t.Quant.Spec.Packed()
	_, conv := l.Op.(frozen.Conv)
	stacked := !conv && len(t.Shape) > 2 && len(w.scaleShape) > 0
	most := p.largestSum(b.shapes[0][l.Inputs[0]], x, t)
	p.guard = !narrow && (w.block > 0 || stacked) || most > math.MaxInt32 || len(w.scaleShape) > 0 && b.turnsSum(l)
	if p.guard || len(l.Inputs) == 2 {
		return p, nil
	}
	// ONNX Runtime rounds the bias to int32 even where no integer kernel follows,
	// and with few bits a step of the sum is large.
	p.guard = narrow || conv && !b.roundsAtOnce(l) ||
		!p.roundBias(b.net.Tensors[l.Inputs[2]].Const, x.Params.Scale[0], math.MaxInt32-most)
	if p.guard || b.opt.Bias != BiasInt32 {
		p.bias = nil
	}
	return p, nil
}

// turnsSum reports whether nothing but a transpose stands behind the bare sum of a Gemm.
// ONNX Runtime takes it in by swapping the factors, and its integer kernel then refuses the
// scales of channels.
func (b *builder) turnsSum(l *frozen.Layer) bool {
	if _, gemm := l.Op.(frozen.MatMul); !gemm || len(l.Inputs) > 2 || l.Act != nil || b.net.Tensors[l.Output].Quant != nil {
		return false
	}
	return slices.ContainsFunc(b.net.Layers, func(r frozen.Layer) bool {
		_, turns := r.Op.(frozen.Transpose)
		return turns && slices.Contains(r.Inputs, l.Output)
	})
}

// roundsAtOnce reports whether a result is rounded behind nothing but what an
// integer kernel absorbs.
func (b *builder) roundsAtOnce(l *frozen.Layer) bool {
	simple := l.Act == nil || l.Act.Fn == "relu" || l.Act.Fn == "clip"
	return simple && b.net.Tensors[l.Output].Quant != nil
}

// terms is the number of products in one sum of a convolution or a matrix product.
func terms(op frozen.Op, x, w []int) int {
	switch o := op.(type) {
	case frozen.Conv:
		return nn.Terms(nn.Conv(o), x, w)
	case frozen.MatMul:
		return nn.Terms(nn.MatMul(o), x, w)
	}
	return 0
}

// largestSum bounds the magnitude of an integer sum, whatever x holds.
func (p *product) largestSum(xShape []int, x *frozen.Quant, t *frozen.Tensor) int64 {
	n := int64(terms(p.layer.Op, xShape, t.Shape))
	most := func(q *frozen.Quant) (m int64) {
		qmin, qmax := q.Spec.QRange()
		for _, z := range q.Params.ZeroPoint {
			m = max(m, int64(qmax-z), int64(z-qmin))
		}
		return m
	}
	return n * most(x) * most(t.Quant)
}

// roundBias computes the int32 bias, rne(bias / float32(x_scale·w_scale)). It reports
// false when an element does not fit room, the codes left beside the largest sum, or
// when a scale leaves float32. A channel of zeros gets a scale that fits: any does.
func (p *product) roundBias(c *frozen.Const, xScale float32, room int64) bool {
	if c == nil {
		return false
	}
	w := p.w
	perChannel := len(w.scaleShape) > 0
	scale := slices.Clone(w.scale)
	p.bias, p.biasScale = make([]int32, len(c.Values)), make([]float32, len(scale))
	live := p.liveChannels()
	for i, v := range c.Values {
		g := 0
		if perChannel {
			g = i
		}
		if perChannel && !live[g] {
			// Half of the room, so that rounding the scale does no harm.
			if fit := float32(2 * math.Abs(float64(v)) / (float64(xScale) * float64(room))); fit > scale[g] {
				scale[g], p.adjusted = fit, true
			}
		}
		s := xScale * scale[g]
		// float64 holds the quotient of two float32 values well enough to round it
		// to an integer below 2^31; package kern stops at codes of 2^21.
		q := math.RoundToEven(float64(v) / float64(s))
		if !(s > 0) || math.IsInf(float64(s), 0) || !(math.Abs(q) <= float64(room)) {
			p.adjusted = false
			return false
		}
		p.bias[i], p.biasScale[g] = int32(q), s
	}
	w.scale = scale
	return true
}

// liveChannels reports which output channels have a weight that is not 0; nil per
// tensor.
func (p *product) liveChannels() []bool {
	if len(p.w.scaleShape) == 0 {
		return nil
	}
	inner := 1
	for _, d := range p.w.shape[p.w.axis+1:] {
		inner *= d
	}
	live := make([]bool, p.w.shape[p.w.axis])
	for i, q := range p.codes {
		if c := i / inner % len(live); q != p.w.zero[c] {
			live[c] = true
		}
	}
	return live
}

// conv emits a convolution with the result out.
func (b *builder) conv(i int, o frozen.Conv, out string) error {
	l := &b.net.Layers[i]
	in, err := b.operands(i, false)
	if err != nil {
		return err
	}
	shape := b.net.Tensors[l.Inputs[1]].Shape
	b.emit("Conv", l.Name, in, out,
		intsAttr("kernel_shape", shape[2:]...),
		intsAttr("strides", o.Stride[:]...),
		intsAttr("pads", o.Pad[:]...), // both orders are top, left, bottom, right
		intsAttr("dilations", o.Dilation[:]...),
		intAttr("group", o.Groups))
	return nil
}

// convTranspose emits a ConvTranspose, behind the nodes that bring its weights into the order
// of ONNX, [C,K/groups,R,S]. Runtimes compute it in float32 and do these nodes once, so
// nothing has to be kept from integer kernels.
func (b *builder) convTranspose(i int, o frozen.ConvTranspose, out string) error {
	l := &b.net.Layers[i]
	in, err := b.values(l.Inputs)
	if err != nil {
		return err
	}
	shape := b.net.Tensors[l.Inputs[1]].Shape
	key := [2]int{l.Inputs[1], o.Groups}
	if b.swapped[key] == "" {
		b.swapped[key] = b.swapChannels(l.Name, in[1], shape, o.Groups)
	}
	in[1] = b.swapped[key]
	b.emit("ConvTranspose", l.Name, in, out,
		intsAttr("kernel_shape", shape[2:]...),
		intsAttr("strides", o.Stride[:]...),
		intsAttr("pads", o.Pad[:]...),
		intsAttr("dilations", o.Dilation[:]...),
		intsAttr("output_padding", o.Extra[:]...),
		intAttr("group", o.Groups))
	return nil
}

// swapChannels swaps output and input channels of weights within each group.
func (b *builder) swapChannels(layer, w string, shape []int, groups int) string {
	out := b.unique(w + "_swapped")
	if groups == 1 {
		b.emit("Transpose", layer+"/swap", []string{w}, out, intsAttr("perm", 1, 0, 2, 3))
		return out
	}
	outs, ins := shape[0]/groups, shape[1]
	apart, turned := b.unique(w+"_groups"), b.unique(w+"_groups_swapped")
	b.emit("Reshape", layer+"/swap_groups", []string{w, b.constant(ints(layer+"_groups", groups, outs, ins, shape[2], shape[3]))}, apart)
	b.emit("Transpose", layer+"/swap", []string{apart}, turned, intsAttr("perm", 0, 2, 1, 3, 4))
	b.emit("Reshape", layer+"/swap_join", []string{turned, b.constant(ints(layer+"_joined", groups*ins, outs, shape[2], shape[3]))}, out)
	return out
}

// matMul emits a matrix product: a Gemm where the right factor is a constant
// matrix, else a MatMul with its own transposes and addition.
func (b *builder) matMul(i int, o frozen.MatMul, out string) error {
	l := &b.net.Layers[i]
	right := &b.net.Tensors[l.Inputs[1]]
	if right.Const != nil && len(right.Shape) == 2 {
		return b.gemm(i, o, out)
	}
	in, err := b.operands(i, false)
	if err != nil {
		return err
	}
	if o.TransA {
		in[0] = b.transposed(l.Name+"/transpose_a", in[0], len(right.Shape))
	}
	if o.TransB {
		in[1] = b.transposed(l.Name+"/transpose_b", in[1], len(right.Shape))
	}
	if len(in) == 2 {
		b.emit("MatMul", l.Name, in, out)
		return nil
	}
	sum := b.unique(out + "_product")
	b.emit("MatMul", l.Name, in[:2], sum)
	b.emit("Add", l.Name+"/bias", []string{sum, in[2]}, out)
	return nil
}

// transposed swaps the last two axes of a value.
func (b *builder) transposed(name, from string, rank int) string {
	perm := make([]int, rank)
	for i := range perm {
		perm[i] = i
	}
	perm[rank-2], perm[rank-1] = rank-1, rank-2
	out := b.unique(from + "_transposed")
	b.emit("Transpose", name, []string{from}, out, intsAttr("perm", perm...))
	return out
}

func (b *builder) gemm(i int, o frozen.MatMul, out string) error {
	l := &b.net.Layers[i]
	// The layouts that ONNX Runtime has kernels for: [out, in] beside codes, and
	// [in, out] for weights alone. Float weights stay as they are.
	transB := o.TransB
	if b.net.Tensors[l.Inputs[1]].Quant != nil {
		transB = b.net.Mode(i) == frozen.Integer
	}
	in, err := b.operands(i, transB != o.TransB)
	if err != nil {
		return err
	}
	var attrs []*onnxpb.AttributeProto
	if o.TransA {
		attrs = append(attrs, intAttr("transA", 1))
	}
	if transB {
		attrs = append(attrs, intAttr("transB", 1))
	}
	if len(in) < 3 || !b.addsBias(i) {
		b.emit("Gemm", l.Name, in, out, attrs...)
		return nil
	}
	sum := b.unique(out + "_product")
	b.emit("Gemm", l.Name, in[:2], sum, attrs...)
	b.emit("Add", l.Name+"/bias", []string{sum, in[2]}, out)
	return nil
}

// addsBias reports whether the bias of a Gemm is a step of its own: with a float one in it
// ONNX Runtime would have no integer kernel before a result that stays float.
func (b *builder) addsBias(i int) bool {
	return b.opt.Bias == BiasAuto && b.net.Mode(i) == frozen.Integer && !b.roundsAtOnce(&b.net.Layers[i])
}

// operands emits the operands of the product i, with the weight transposed on
// request, and returns their names.
func (b *builder) operands(i int, transpose bool) ([]string, error) {
	p, err := b.planProduct(i)
	if err != nil {
		return nil, err
	}
	l := &b.net.Layers[i]
	if p == nil {
		in, err := b.values(l.Inputs)
		if err == nil && b.floatWeight(l) {
			in[0] = b.guarded(l, in[0])
		}
		return in, err
	}
	x, err := b.value(l.Inputs[0])
	if err != nil {
		return nil, err
	}
	if p.guard {
		x = b.guarded(l, x)
	}
	w, err := b.weightValue(p, l.Inputs[1], transpose)
	if err != nil {
		return nil, err
	}
	in := []string{x, w}
	if len(l.Inputs) == 2 {
		return in, nil
	}
	bias, err := b.bias(p)
	return append(in, bias), err
}

// floatWeight reports whether a constant weight was left float beside a quantized x.
// ONNX Runtime quantizes such weights by itself, to int8 per tensor.
func (b *builder) floatWeight(l *frozen.Layer) bool {
	x, w := &b.net.Tensors[l.Inputs[0]], &b.net.Tensors[l.Inputs[1]]
	return x.Quant != nil && w.Const != nil && w.Quant == nil
}

// weightValue emits the weight t of a product, transposed on request, and returns its
// name. Layers that share a weight share it in the file too, unless its layout or
// its scales differ.
func (b *builder) weightValue(p *product, t int, transpose bool) (string, error) {
	if !transpose && !p.adjusted {
		return b.value(t)
	}
	if name := b.turned[t]; name != "" && !p.adjusted {
		return name, nil
	}
	name := b.net.Tensors[t].Name + "_adjusted"
	if transpose {
		name = b.net.Tensors[t].Name + "_transposed"
		if err := p.w.transpose(&b.net.Tensors[t]); err != nil {
			return "", err
		}
	}
	name = b.unique(name)
	if !p.adjusted {
		b.turned[t] = name
	}
	return name, b.dequantizeConst(p.w, name)
}

// bias emits the bias of a product and returns its name.
func (b *builder) bias(p *product) (string, error) {
	t := p.layer.Inputs[2]
	if p.bias == nil {
		return b.value(t)
	}
	name := b.net.Tensors[t].Name
	out := b.unique(name + "_dequantized")
	var dims []int
	var attrs []*onnxpb.AttributeProto
	if len(p.w.scaleShape) > 0 {
		dims = []int{len(p.biasScale)}
		attrs = append(attrs, intAttr("axis", 0))
	}
	in := []string{
		b.constant(int32s(name+"_quantized", []int{len(p.bias)}, p.bias)),
		b.constant(floats(name+"_scale", dims, p.biasScale)),
		b.constant(int32s(name+"_zero_point", dims, make([]int32, len(p.biasScale)))),
	}
	b.emit("DequantizeLinear", out+"/DequantizeLinear", in, out, attrs...)
	return out, nil
}

// guarded puts a Clip that changes nothing between x and the layer, so that no
// runtime sees DequantizeLinear in front of the product and takes integers.
func (b *builder) guarded(l *frozen.Layer, x string) string {
	return b.guard(l.Name, x, b.net.Tensors[l.Inputs[0]].Quant)
}

// guard clips x to the whole range of a grid that it is on, or is rounded to next.
func (b *builder) guard(layer, x string, q *frozen.Quant) string {
	qmin, qmax := fakequant.Spec{Unsigned: q.Spec.Unsigned}.QRange()
	g := kern.Grid{Scale: q.Params.Scale[0], ZeroPoint: q.Params.ZeroPoint[0]}
	out := b.unique(x + "_guarded")
	b.clipTo(layer+"/guard", x, out, kern.DequantizeOne(qmin, g), kern.DequantizeOne(qmax, g))
	return out
}
