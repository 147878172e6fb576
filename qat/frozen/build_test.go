package frozen

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/goqat/goqat/fakequant"
)

// builder makes networks by hand. Tensors and layers get indices in call order.
type builder struct {
	t   testing.TB
	n   *Network
	rng *rand.Rand
}

func build(t testing.TB) *builder {
	return &builder{t, &Network{}, rand.New(rand.NewPCG(1, 2))}
}

func (b *builder) add(t Tensor) int {
	b.n.Tensors = append(b.n.Tensors, t)
	return len(b.n.Tensors) - 1
}

func (b *builder) input(name string, shape []int, q *Quant) int {
	i := b.add(Tensor{Name: name, Shape: shape, Quant: q})
	b.n.Inputs = append(b.n.Inputs, i)
	return i
}

// codes adds a quantized constant with random codes over the whole range.
func (b *builder) codes(name string, shape []int, q *Quant) int {
	b.t.Helper()
	qmin, qmax := q.Spec.QRange()
	c := make([]int32, elements(shape))
	for i := range c {
		c[i] = qmin + b.rng.Int32N(qmax-qmin+1)
	}
	t, err := NewConstCodes(name, shape, c, *q)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.add(t)
}

// floats adds a float constant with random values.
func (b *builder) floats(name string, shape []int) int {
	b.t.Helper()
	t, err := NewConst(name, shape, b.random(elements(shape), 1), nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.add(t)
}

// layer adds a layer and its result, called name.out.
func (b *builder) layer(name string, op Op, act *Unary, shape []int, q *Quant, in ...int) int {
	out := b.add(Tensor{Name: name + ".out", Shape: shape, Quant: q})
	b.n.Layers = append(b.n.Layers, Layer{Name: name, Op: op, Inputs: in, Output: out, Act: act})
	return out
}

// random returns n values of both signs and about the given size.
func (b *builder) random(n int, size float64) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(b.rng.NormFloat64() * size)
	}
	return x
}

// params makes random parameters for a constant of the given shape. Zero points
// are random for affine specs.
func (b *builder) quant(s fakequant.Spec, shape ...int) *Quant {
	b.t.Helper()
	l, err := s.Layout(shape)
	if err != nil {
		b.t.Fatal(err)
	}
	qmin, qmax := s.QRange()
	var p fakequant.Params
	for range l.Groups() {
		p.Scale = append(p.Scale, 0.01+b.rng.Float32()/50)
		z := int32(0)
		if s.Scheme == fakequant.Affine {
			z = qmin + b.rng.Int32N(qmax-qmin+1)
		}
		p.ZeroPoint = append(p.ZeroPoint, z)
	}
	return &Quant{Spec: s, Params: p}
}

// on returns a per-tensor format with one scale and zero point.
func on(s fakequant.Spec, scale float32, zero int32) *Quant {
	return &Quant{Spec: s, Params: fakequant.Params{Scale: []float32{scale}, ZeroPoint: []int32{zero}}}
}

var (
	int8s  = fakequant.Spec{}
	uint8s = fakequant.Spec{Unsigned: true}
	uint8a = fakequant.Spec{Unsigned: true, Scheme: fakequant.Affine}
)

func narrow(bits int, g fakequant.Granularity, axis, block int) fakequant.Spec {
	return fakequant.Spec{Bits: bits, NarrowRange: true, Granularity: g, Axis: axis, BlockSize: block}
}

func relu() *Unary { return &Unary{Fn: "relu"} }

func conv(stride, pad, groups int) Conv {
	return Conv{Stride: [2]int{stride, stride}, Pad: [4]int{pad, pad, pad, pad}, Dilation: [2]int{1, 1}, Groups: groups}
}

// The rest spells the formulas of the package comment once more, as naively as
// possible: math.RoundToEven, int64 sums, index arithmetic per element.

// refQuantize is clamp(rne(x/scale) + zero_point, qmin, qmax); NaN gives qmin.
func refQuantize(x float32, q *Quant) int32 {
	qmin, qmax := q.Spec.QRange()
	v := math.RoundToEven(float64(x/q.Params.Scale[0])) + float64(q.Params.ZeroPoint[0])
	if !(v >= float64(qmin)) {
		return qmin
	}
	return int32(min(v, float64(qmax)))
}

func refQuantizeAll(x []float32, q *Quant) []int32 {
	out := make([]int32, len(x))
	for i, v := range x {
		out[i] = refQuantize(v, q)
	}
	return out
}

func refDequantizeAll(c []int32, q *Quant) []float32 {
	out := make([]float32, len(c))
	for i, v := range c {
		out[i] = float32(v-q.Params.ZeroPoint[0]) * q.Params.Scale[0]
	}
	return out
}

// refGroup is the group of element (out channel, in channel) of a weight; blocks
// is the number of blocks, inFirst whether the weight is [in, out].
func refGroup(s fakequant.Spec, channel, in, channels, blocks int, inFirst bool) (group, block int) {
	switch s.Granularity {
	case fakequant.PerChannel:
		return channel, 0
	case fakequant.PerBlock:
		block = in / s.BlockSize
		if inFirst {
			return block*channels + channel, block
		}
		return channel*blocks + block, block
	}
	return 0, 0
}

// refSum collects the products of one output: an int64 sum and a scale per block.
type refSum struct {
	acc   []int64
	scale []float32
}

func (r *refSum) add(block int, product int64, scale float32) {
	for len(r.acc) <= block {
		r.acc, r.scale = append(r.acc, 0), append(r.scale, 0)
	}
	r.acc[block] += product
	r.scale[block] = scale
}

func (r *refSum) value(xScale float32) float32 {
	var y float32
	for i, a := range r.acc {
		y += float32(float32(a) * float32(xScale*r.scale[i]))
	}
	return y
}

func refBlocks(s fakequant.Spec, in int) int {
	if s.Granularity != fakequant.PerBlock {
		return 1
	}
	return (in + s.BlockSize - 1) / s.BlockSize
}

// refConv convolves codes x [N,C,H,W] with codes w [K,C/G,R,S].
func refConv(o Conv, x []int32, xs []int, xq *Quant, w []int32, ws []int, wq *Quant, bias []float32) []float32 {
	oh := (xs[2]+o.Pad[0]+o.Pad[2]-o.Dilation[0]*(ws[2]-1)-1)/o.Stride[0] + 1
	ow := (xs[3]+o.Pad[1]+o.Pad[3]-o.Dilation[1]*(ws[3]-1)-1)/o.Stride[1] + 1
	var y []float32
	for n := range xs[0] {
		for k := range ws[0] {
			for i := range oh * ow {
				var sum refSum
				for c := range ws[1] {
					g, block := refGroup(wq.Spec, k, c, ws[0], refBlocks(wq.Spec, ws[1]), false)
					for rs := range ws[2] * ws[3] {
						wc := int64(w[(k*ws[1]+c)*ws[2]*ws[3]+rs] - wq.Params.ZeroPoint[g])
						row := i/ow*o.Stride[0] - o.Pad[0] + rs/ws[3]*o.Dilation[0]
						col := i%ow*o.Stride[1] - o.Pad[1] + rs%ws[3]*o.Dilation[1]
						xc := int64(0)
						if row >= 0 && row < xs[2] && col >= 0 && col < xs[3] {
							ch := k/(ws[0]/o.Groups)*ws[1] + c
							xc = int64(x[((n*xs[1]+ch)*xs[2]+row)*xs[3]+col] - xq.Params.ZeroPoint[0])
						}
						sum.add(block, xc*wc, wq.Params.Scale[g])
					}
				}
				v := sum.value(xq.Params.Scale[0])
				if bias != nil {
					v += bias[k]
				}
				y = append(y, v)
			}
		}
	}
	return y
}

// refMatMul multiplies codes a [B,M,K] and b [B,K,N] after the transposes.
func refMatMul(o MatMul, a []int32, aq *Quant, b []int32, bq *Quant, batch, m, n, k int, bias []float32) []float32 {
	var y []float32
	for t := range batch {
		for i := range m {
			for j := range n {
				var sum refSum
				for c := range k {
					ia, ib := i*k+c, c*n+j
					if o.TransA {
						ia = c*m + i
					}
					if o.TransB {
						ib = j*k + c
					}
					g, block := refGroup(bq.Spec, j, c, n, refBlocks(bq.Spec, k), !o.TransB)
					p := int64(a[t*m*k+ia]-aq.Params.ZeroPoint[0]) * int64(b[t*k*n+ib]-bq.Params.ZeroPoint[g])
					sum.add(block, p, bq.Params.Scale[g])
				}
				v := sum.value(aq.Params.Scale[0])
				if bias != nil {
					v += bias[j]
				}
				y = append(y, v)
			}
		}
	}
	return y
}

func refRelu(x []float32) []float32 {
	out := make([]float32, len(x))
	for i, v := range x {
		out[i] = max(v, 0)
	}
	return out
}

// trace runs the network and fails the test on any error.
func trace(t *testing.T, n *Network, in ...[]float32) *Trace {
	t.Helper()
	tr, err := n.Trace(in...)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

func wantCodes(t *testing.T, tr *Trace, name string, want []int32) {
	t.Helper()
	got, ok := tr.Codes(name)
	if !ok {
		t.Fatalf("tensor %q has no codes", name)
	}
	if len(got) != len(want) {
		t.Fatalf("tensor %q: %d codes, want %d", name, len(got), len(want))
	}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("tensor %q: code %d is %d, want %d", name, i, got[i], want[i])
		}
	}
}

func wantBits(t *testing.T, what string, got, want []float32) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d values, want %d", what, len(got), len(want))
	}
	for i := range want {
		if math.Float32bits(got[i]) != math.Float32bits(want[i]) && !(got[i] == 0 && want[i] == 0) {
			t.Fatalf("%s: value %d is %v, want %v", what, i, got[i], want[i])
		}
	}
}

func wantValues(t *testing.T, tr *Trace, name string, want []float32) {
	t.Helper()
	got, ok := tr.Values(name)
	if !ok {
		t.Fatalf("no tensor %q", name)
	}
	wantBits(t, name, got, want)
}
