package frozen

import (
	"math"
	"testing"

	"github.com/goqat/goqat/fakequant"
)

// refFloatProduct is a float32 matrix product x [m,k] · w [k,n] + bias: one chain of
// fused multiply-adds in the order of k, as internal/kern promises for k up to 512.
// float64 holds a product of two float32 exactly; the sum's second rounding does not
// show in these numbers.
func refFloatProduct(x, w, bias []float32, m, n, k int) []float32 {
	var y []float32
	for i := range m {
		for j := range n {
			var s float32
			for c := range k {
				s = float32(float64(x[i*k+c])*float64(w[c*n+j]) + float64(s))
			}
			y = append(y, s+bias[j])
		}
	}
	return y
}

// A quantized weight beside a float x is dequantized; any granularity will do.
func TestWeightOnly(t *testing.T) {
	const m, n, k = 3, 4, 6
	specs := []fakequant.Spec{
		narrow(8, fakequant.PerTensor, 0, 0),
		narrow(8, fakequant.PerChannel, 1, 0),
		narrow(8, fakequant.PerChannel, 0, 0), // the summed axis: no integer form exists
		narrow(4, fakequant.PerBlock, 0, 4),
		{Bits: 4, Scheme: fakequant.Affine, Granularity: fakequant.PerChannel, Axis: 1},
	}
	for _, s := range specs {
		t.Run(s.String(), func(t *testing.T) {
			b := build(t)
			in := []int{b.input("x", []int{-1, k}, nil), b.codes("w", []int{k, n}, b.quant(s, k, n)), b.floats("b", []int{n})}
			b.n.Outputs = []int{b.layer("fc", MatMul{}, nil, []int{-1, n}, nil, in...)}
			if b.n.Mode(0) != Float {
				t.Fatal("not float")
			}
			codes, err := b.n.Tensors[in[1]].Codes()
			if err != nil {
				t.Fatal(err)
			}
			q := b.n.Tensors[in[1]].Quant
			w := make([]float32, k*n)
			for i := range w {
				channel, row := i%n, i/n
				group, _ := refGroup(s, channel, row, n, refBlocks(s, k), true)
				if s.Granularity == fakequant.PerChannel && s.Axis == 0 {
					group = row
				}
				w[i] = float32(codes[i]-q.Params.ZeroPoint[group]) * q.Params.Scale[group]
			}
			x := b.random(m*k, 1)
			y := refFloatProduct(x, w, b.n.Tensors[in[2]].Const.Values, m, n, k)
			checkResult(t, b.n, trace(t, b.n, x), "fc.out", y, nil, x)
		})
	}
}

// A float weight beside a quantized x: x is dequantized.
func TestFloatWeight(t *testing.T) {
	const m, n, k = 3, 4, 6
	b := build(t)
	xq, yq := on(uint8a, 0.02, 100), on(int8s, 0.03, 0)
	in := []int{b.input("x", []int{-1, k}, xq), b.floats("w", []int{k, n}), b.floats("b", []int{n})}
	b.n.Outputs = []int{b.layer("fc", MatMul{}, relu(), []int{-1, n}, yq, in...)}
	x := b.random(m*k, 1)
	dx := refDequantizeAll(refQuantizeAll(x, xq), xq)
	y := refFloatProduct(dx, b.n.Tensors[in[1]].Const.Values, b.n.Tensors[in[2]].Const.Values, m, n, k)
	checkResult(t, b.n, trace(t, b.n, x), "fc.out", refRelu(y), yq, x)
}

// softmaxTolerance: internal/nn computes in float64 or float32; an exponential, a
// sum of five terms and a quotient in float32 lose at most 10 roundings of 2^-24.
const softmaxTolerance = 10 * 0x1p-24

func TestSoftmaxFallsBackToFloat(t *testing.T) {
	b := build(t)
	xq := on(int8s, 0.05, 0)
	b.n.Outputs = []int{b.layer("softmax", Softmax{Axis: 1}, nil, []int{-1, 5}, nil, b.input("x", []int{-1, 5}, xq))}
	x := b.random(15, 2)
	out, err := b.n.Run(x)
	if err != nil {
		t.Fatal(err)
	}
	dx := refDequantizeAll(refQuantizeAll(x, xq), xq)
	for i, got := range out[0] {
		sum := 0.0
		for _, v := range dx[i/5*5:][:5] {
			sum += math.Exp(float64(v))
		}
		if want := math.Exp(float64(dx[i])) / sum; math.Abs(float64(got)-want) > softmaxTolerance {
			t.Errorf("element %d: %v, want %v", i, got, want)
		}
	}
}

// One tensor read by an integer and a float layer, used as an output, too, must be
// the same in all roles while buffers are reused.
func TestSharedTensorAndConstOutput(t *testing.T) {
	b := build(t)
	q := on(int8s, 0.02, 0)
	x := b.input("x", []int{-1, 4}, q)
	w := b.codes("w", []int{4, 4}, b.quant(narrow(8, fakequant.PerChannel, 1, 0), 4, 4))
	fc := b.layer("fc", MatMul{}, nil, []int{-1, 4}, q, x, w)
	unused := b.layer("unused", Unary{Fn: "square"}, nil, []int{-1, 4}, q, fc)
	sum := b.layer("sum", Binary{Fn: "add"}, nil, []int{-1, 4}, nil, fc, x)
	last := b.layer("last", Unary{Fn: "neg"}, nil, []int{-1, 4}, q, sum)
	b.n.Outputs = []int{fc, x, w, last, fc}
	in := b.random(12, 1)
	tr := trace(t, b.n, in)
	for range 3 { // the second and third run find used buffers
		out, err := b.n.Run(in)
		if err != nil {
			t.Fatal(err)
		}
		for i, o := range b.n.Outputs {
			wantValues(t, tr, b.n.Tensors[o].Name, out[i])
		}
		out[0][0] = 99 // fresh memory: no other output may notice
		wantValues(t, tr, "fc.out", out[4])
	}
	if _, ok := tr.Codes(b.n.Tensors[unused].Name); !ok {
		t.Error("a result that nothing reads is missing from the trace")
	}
}

func TestTrace(t *testing.T) {
	n := sample(t)
	x := sampleInput(3)
	tr := trace(t, n, x)
	for i := range n.Tensors {
		name := n.Tensors[i].Name
		v, ok := tr.Values(name)
		if !ok {
			t.Fatalf("no values of %q", name)
		}
		shape, ok := tr.Shape(name)
		if !ok || elements(shape) != len(v) {
			t.Fatalf("%q: shape %v for %d values", name, shape, len(v))
		}
		c, ok := tr.Codes(name)
		if ok != (n.Tensors[i].Quant != nil) {
			t.Fatalf("%q: codes %v", name, ok)
		}
		if q := n.Tensors[i].Quant; q.perTensor() {
			wantBits(t, name, v, refDequantizeAll(c, q))
		}
	}
	if _, ok := tr.Codes("no such tensor"); ok {
		t.Error("codes of a tensor that does not exist")
	}
	if _, ok := tr.Values("no such tensor"); ok {
		t.Error("values of a tensor that does not exist")
	}
	if _, ok := tr.Shape("no such tensor"); ok {
		t.Error("shape of a tensor that does not exist")
	}
	out, err := n.Run(x)
	if err != nil {
		t.Fatal(err)
	}
	wantValues(t, tr, n.Tensors[n.Outputs[0]].Name, out[0])
}

func TestTraceKeepsFloatInput(t *testing.T) {
	b := build(t)
	b.n.Outputs = []int{b.layer("relu", *relu(), nil, []int{-1, 2}, nil, b.input("x", []int{-1, 2}, nil))}
	x := []float32{-1, 2}
	tr := trace(t, b.n, x)
	x[0] = 5
	wantValues(t, tr, "x", []float32{-1, 2})
	wantValues(t, tr, "relu.out", []float32{0, 2})
}
