// Package frozentest builds small frozen networks by hand, for the tests of packages
// that read or write them.
package frozentest

import (
	"math/rand/v2"
	"testing"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/qat/frozen"
)

// Maker builds networks by hand. Results are quantized by the range they have on
// random data, so that their codes fill the grid.
type Maker struct {
	// N is the network as far as it is built.
	N   *frozen.Network
	t   testing.TB
	rng *rand.Rand
}

// New starts an empty network; t fails on networks that cannot be built.
func New(t testing.TB) *Maker {
	return &Maker{N: &frozen.Network{}, t: t, rng: rand.New(rand.NewPCG(3, 4))}
}

// Add adds a tensor and returns its index.
func (m *Maker) Add(t frozen.Tensor) int {
	m.N.Tensors = append(m.N.Tensors, t)
	return len(m.N.Tensors) - 1
}

// Input adds an input with values of about ±3; s is nil for a float one.
func (m *Maker) Input(name string, shape []int, s *fakequant.Spec) int {
	t := frozen.Tensor{Name: name, Shape: shape}
	if s != nil {
		t.Quant = m.Ranged(*s, -3, 3)
	}
	i := m.Add(t)
	m.N.Inputs = append(m.N.Inputs, i)
	return i
}

// Ranged returns a per-tensor quantization of the range (lo, hi).
func (m *Maker) Ranged(s fakequant.Spec, lo, hi float32) *frozen.Quant {
	m.t.Helper()
	p, err := fakequant.ParamsFromRange(s, []float32{lo}, []float32{hi}, true)
	if err != nil {
		m.t.Fatal(err)
	}
	return &frozen.Quant{Spec: s, Params: p}
}

// Weight adds a constant with random values; s is nil for a float one.
func (m *Maker) Weight(name string, shape []int, s *fakequant.Spec) int {
	m.t.Helper()
	return m.Values(name, shape, m.Random(Count(shape), 0.4), s)
}

// Values adds a constant, quantized by the range of each group.
func (m *Maker) Values(name string, shape []int, x []float32, s *fakequant.Spec) int {
	m.t.Helper()
	var q *frozen.Quant
	if s != nil {
		l, err := s.Layout(shape)
		if err != nil {
			m.t.Fatal(err)
		}
		lo, hi := make([]float32, l.Groups()), make([]float32, l.Groups())
		l.Runs(func(from, to, group, step int) {
			for i := from; i < to; i++ {
				g := group + (i-from)*step
				lo[g], hi[g] = min(lo[g], x[i]), max(hi[g], x[i])
			}
		})
		p, err := fakequant.ParamsFromRange(*s, lo, hi, false)
		if err != nil {
			m.t.Fatal(err)
		}
		q = &frozen.Quant{Spec: *s, Params: p}
	}
	t, err := frozen.NewConst(name, shape, x, q)
	if err != nil {
		m.t.Fatal(err)
	}
	return m.Add(t)
}

// Layer adds a layer with a result called name.out; s is nil for a float one.
func (m *Maker) Layer(name string, op frozen.Op, act *frozen.Unary, s *fakequant.Spec, in ...int) int {
	m.t.Helper()
	out := m.Add(frozen.Tensor{Name: name + ".out", Shape: m.outShape(op, in)})
	m.N.Layers = append(m.N.Layers, frozen.Layer{Name: name, Op: op, Inputs: in, Output: out, Act: act})
	if s == nil {
		return out
	}
	probe := m.copy()
	probe.Outputs = []int{out}
	y, err := probe.Run(m.Feed(probe, 4)...)
	if err != nil {
		m.t.Fatal(err)
	}
	var lo, hi float32
	for _, v := range y[0] {
		lo, hi = min(lo, v), max(hi, v)
	}
	m.N.Tensors[out].Quant = m.Ranged(*s, lo, hi)
	return out
}

// Pass adds a layer that moves codes: its result has the grid of its first input.
func (m *Maker) Pass(name string, op frozen.Op, in ...int) int {
	m.t.Helper()
	out := m.Layer(name, op, nil, nil, in...)
	m.N.Tensors[out].Quant = m.N.Tensors[in[0]].Quant
	return out
}

// outShape is the shape of a result, with -1 where it follows the batch.
func (m *Maker) outShape(op frozen.Op, in []int) []int {
	m.t.Helper()
	var shapes [2][]int
	for i := range shapes {
		var all [][]int
		for _, t := range in {
			s := append([]int{}, m.N.Tensors[t].Shape...)
			for k, d := range s {
				if d == -1 {
					s[k] = i + 2
				}
			}
			all = append(all, s)
		}
		s, err := frozen.OutShape(op, all)
		if err != nil {
			m.t.Fatal(err)
		}
		shapes[i] = s
	}
	for k, d := range shapes[1] {
		if shapes[0][k] != d {
			shapes[0][k] = -1
		}
	}
	return shapes[0]
}

// copy returns the network as it is, which can be run while m goes on.
func (m *Maker) copy() *frozen.Network {
	return &frozen.Network{Tensors: append([]frozen.Tensor{}, m.N.Tensors...), Layers: append([]frozen.Layer{}, m.N.Layers...),
		Inputs: m.N.Inputs, Notes: m.N.Notes}
}

// Net finishes the network.
func (m *Maker) Net(outputs ...int) *frozen.Network {
	m.t.Helper()
	n := m.copy()
	n.Outputs = outputs
	if err := n.Validate(); err != nil {
		m.t.Fatal(err)
	}
	return n
}

// Feed returns random data for all inputs of n.
func (m *Maker) Feed(n *frozen.Network, batch int) [][]float32 {
	var all [][]float32
	for _, t := range n.Inputs {
		size := 1
		for _, d := range n.Tensors[t].Shape {
			if d == -1 {
				d = batch
			}
			size *= d
		}
		all = append(all, m.Random(size, 1.2))
	}
	return all
}

// Random returns n normally distributed numbers of the given deviation, the same in
// every run.
func (m *Maker) Random(n int, size float64) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(m.rng.NormFloat64() * size)
	}
	return x
}

// Count returns the number of elements of a shape.
func Count(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}

// Formats.
var (
	I8       = &fakequant.Spec{}
	U8       = &fakequant.Spec{Unsigned: true}
	U8Affine = &fakequant.Spec{Unsigned: true, Scheme: fakequant.Affine}
	I8Affine = &fakequant.Spec{Scheme: fakequant.Affine}
	I8Narrow = &fakequant.Spec{NarrowRange: true}
	U4Affine = &fakequant.Spec{Bits: 4, Unsigned: true, Scheme: fakequant.Affine}
	I6Narrow = &fakequant.Spec{Bits: 6, NarrowRange: true}
)

// PerTensor, PerChannel and PerBlock are symmetric narrow formats for weights.
func PerTensor(bits int) *fakequant.Spec {
	return &fakequant.Spec{Bits: bits, NarrowRange: true}
}

func PerChannel(bits, axis int) *fakequant.Spec {
	return &fakequant.Spec{Bits: bits, NarrowRange: true, Granularity: fakequant.PerChannel, Axis: axis}
}

func PerBlock(bits, axis, size int) *fakequant.Spec {
	return &fakequant.Spec{Bits: bits, NarrowRange: true, Granularity: fakequant.PerBlock, Axis: axis, BlockSize: size}
}

// Affine makes the format affine, over the full range.
func Affine(s *fakequant.Spec, unsigned bool) *fakequant.Spec {
	a := *s
	a.Scheme, a.NarrowRange, a.Unsigned = fakequant.Affine, false, unsigned
	return &a
}

// ConvOf is a convolution with equal strides and padding on all sides.
func ConvOf(stride, pad, groups int) frozen.Conv {
	return frozen.Conv{Stride: [2]int{stride, stride}, Pad: [4]int{pad, pad, pad, pad}, Dilation: [2]int{1, 1}, Groups: groups}
}

// ReLU and ReLU6 are activations.
func ReLU() *frozen.Unary { return &frozen.Unary{Fn: "relu"} }

func ReLU6() *frozen.Unary { return &frozen.Unary{Fn: "clip", Max: 6} }
