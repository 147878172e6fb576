package packedout

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/internal/safetensors"
	"github.com/goqat/goqat/qat/frozen"
)

// maker builds networks by hand.
type maker struct {
	t   testing.TB
	n   *frozen.Network
	rng *rand.Rand
}

func newMaker(t testing.TB) *maker {
	return &maker{t, &frozen.Network{}, rand.New(rand.NewPCG(7, 8))}
}

func (m *maker) add(t frozen.Tensor) int {
	m.n.Tensors = append(m.n.Tensors, t)
	return len(m.n.Tensors) - 1
}

func (m *maker) input(name string, shape ...int) int {
	i := m.add(frozen.Tensor{Name: name, Shape: shape})
	m.n.Inputs = append(m.n.Inputs, i)
	return i
}

// weight adds a quantized constant with random codes, scales and zero points.
func (m *maker) weight(name string, s fakequant.Spec, shape ...int) int {
	m.t.Helper()
	l, err := s.Layout(shape)
	if err != nil {
		m.t.Fatal(err)
	}
	lo, hi := s.QRange()
	code := func() int32 { return lo + m.rng.Int32N(hi-lo+1) }
	q := frozen.Quant{Spec: s}
	for range l.Groups() {
		zero := int32(0)
		switch {
		case s.Scheme == fakequant.Affine:
			zero = code()
		case s.Unsigned:
			zero = (lo + hi) / 2
		}
		q.Params.Scale = append(q.Params.Scale, 0.01+m.rng.Float32())
		q.Params.ZeroPoint = append(q.Params.ZeroPoint, zero)
	}
	codes := make([]int32, l.Len())
	for i := range codes {
		codes[i] = code()
	}
	codes[0], codes[len(codes)-1] = lo, hi
	t, err := frozen.NewConstCodes(name, shape, codes, q)
	if err != nil {
		m.t.Fatal(err)
	}
	return m.add(t)
}

// float adds a constant of random float values.
func (m *maker) float(name string, shape ...int) int {
	m.t.Helper()
	n, err := fakequant.NumElements(shape)
	if err != nil {
		m.t.Fatal(err)
	}
	t, err := frozen.NewConst(name, shape, m.random(n), nil)
	if err != nil {
		m.t.Fatal(err)
	}
	return m.add(t)
}

func (m *maker) random(n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = 2*m.rng.Float32() - 1
	}
	return x
}

// layer adds a layer whose result has the given shape.
func (m *maker) layer(name string, op frozen.Op, shape []int, in ...int) int {
	out := m.add(frozen.Tensor{Name: name + ".out", Shape: shape})
	m.n.Layers = append(m.n.Layers, frozen.Layer{Name: name, Op: op, Inputs: in, Output: out})
	return out
}

// end makes t the output and checks the network.
func (m *maker) end(t int) *frozen.Network {
	m.t.Helper()
	m.n.Outputs = []int{t}
	if err := m.n.Validate(); err != nil {
		m.t.Fatal(err)
	}
	return m.n
}

// linearNet is a network of one linear layer "fc", x [N, in], with a bias.
func linearNet(t testing.TB, s fakequant.Spec, transB bool, out, in int) *frozen.Network {
	t.Helper()
	m := newMaker(t)
	x := m.input("x", -1, in)
	shape := []int{in, out}
	if transB {
		shape = []int{out, in}
	}
	w := m.weight("fc.weight", s, shape...)
	return m.end(m.layer("fc", frozen.MatMul{TransB: transB}, []int{-1, out}, x, w, m.float("fc.bias", out)))
}

// written returns the file of a network.
func written(t testing.TB, n *frozen.Network, opt Options) (*safetensors.File, Report) {
	t.Helper()
	var b bytes.Buffer
	r, err := Write(&b, n, opt)
	if err != nil {
		t.Fatal(err)
	}
	f, err := safetensors.Read(bytes.NewReader(b.Bytes()), int64(b.Len()))
	if err != nil {
		t.Fatal(err)
	}
	return f, r
}

// unpack is compressed-tensors' decoding, spelled out for one element: code i of a line
// lies at bit i·bits of the line's words; 2^(bits-1) is taken off.
func unpack(line func(word int) int32, i, bits int) int32 {
	word, place := i*bits/32, i*bits%32
	return int32(uint32(line(word))>>place&(1<<bits-1)) - 1<<(bits-1)
}

// decode reads the weight of a module as [out, in], as compressed-tensors does.
func decode(f *safetensors.File, module string, bits int) (values []float32, out, in int, err error) {
	shape, err := f.Int64s(module + ".weight_shape")
	if err != nil {
		return nil, 0, 0, err
	}
	out, in = int(shape[0]), int(shape[1])
	packed, err := f.Int32s(module + ".weight_packed")
	if err != nil {
		return nil, 0, 0, err
	}
	scale, err := f.Float32s(module + ".weight_scale")
	if err != nil {
		return nil, 0, 0, err
	}
	groups, words := len(scale)/out, (in*bits+31)/32
	if want := out * words; len(packed) != want {
		return nil, 0, 0, fmt.Errorf("%d words, want %d", len(packed), want)
	}
	var zero []int32
	if f.Has(module + ".weight_zero_point") {
		if zero, err = f.Int32s(module + ".weight_zero_point"); err != nil {
			return nil, 0, 0, err
		}
	}
	for o := range out {
		for i := range in {
			g := i / (in / groups)
			q := unpack(func(w int) int32 { return packed[o*words+w] }, i, bits)
			z := int32(0)
			if zero != nil {
				z = unpack(func(w int) int32 { return zero[w*groups+g] }, o, bits)
			}
			values = append(values, float32(q-z)*scale[o*groups+g])
		}
	}
	return values, out, in, nil
}
