package onnx

import (
	"math/rand/v2"
	"testing"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/internal/nn"
	"github.com/goqat/goqat/qat/frozen"
)

// maker builds networks by hand. Results are quantized by the range they have on
// random data, so that their codes fill the grid.
type maker struct {
	t   testing.TB
	n   *frozen.Network
	rng *rand.Rand
}

func newMaker(t testing.TB) *maker {
	return &maker{t, &frozen.Network{}, rand.New(rand.NewPCG(3, 4))}
}

func (m *maker) add(t frozen.Tensor) int {
	m.n.Tensors = append(m.n.Tensors, t)
	return len(m.n.Tensors) - 1
}

// input adds an input with values of about ±3; s is nil for a float one.
func (m *maker) input(name string, shape []int, s *fakequant.Spec) int {
	t := frozen.Tensor{Name: name, Shape: shape}
	if s != nil {
		t.Quant = m.ranged(*s, -3, 3)
	}
	i := m.add(t)
	m.n.Inputs = append(m.n.Inputs, i)
	return i
}

func (m *maker) ranged(s fakequant.Spec, lo, hi float32) *frozen.Quant {
	m.t.Helper()
	p, err := fakequant.ParamsFromRange(s, []float32{lo}, []float32{hi}, true)
	if err != nil {
		m.t.Fatal(err)
	}
	return &frozen.Quant{Spec: s, Params: p}
}

// weight adds a constant with random values; s is nil for a float one.
func (m *maker) weight(name string, shape []int, s *fakequant.Spec) int {
	m.t.Helper()
	return m.values(name, shape, m.random(count(shape), 0.4), s)
}

// values adds a constant, quantized by the range of each group.
func (m *maker) values(name string, shape []int, x []float32, s *fakequant.Spec) int {
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
	return m.add(t)
}

// layer adds a layer with a result called name.out; s is nil for a float one.
func (m *maker) layer(name string, op frozen.Op, act *frozen.Unary, s *fakequant.Spec, in ...int) int {
	m.t.Helper()
	out := m.add(frozen.Tensor{Name: name + ".out", Shape: m.outShape(op, in)})
	m.n.Layers = append(m.n.Layers, frozen.Layer{Name: name, Op: op, Inputs: in, Output: out, Act: act})
	if s == nil {
		return out
	}
	probe := m.copy()
	probe.Outputs = []int{out}
	y, err := probe.Run(m.feed(probe, 4)...)
	if err != nil {
		m.t.Fatal(err)
	}
	var lo, hi float32
	for _, v := range y[0] {
		lo, hi = min(lo, v), max(hi, v)
	}
	m.n.Tensors[out].Quant = m.ranged(*s, lo, hi)
	return out
}

// pass adds a layer that moves codes: its result has the grid of its first input.
func (m *maker) pass(name string, op frozen.Op, in ...int) int {
	m.t.Helper()
	out := m.layer(name, op, nil, nil, in...)
	m.n.Tensors[out].Quant = m.n.Tensors[in[0]].Quant
	return out
}

// outShape is the shape of a result, with -1 where it follows the batch.
func (m *maker) outShape(op frozen.Op, in []int) []int {
	m.t.Helper()
	var shapes [2][]int
	for i := range shapes {
		var all [][]int
		for _, t := range in {
			s := append([]int{}, m.n.Tensors[t].Shape...)
			for k, d := range s {
				if d == -1 {
					s[k] = i + 2
				}
			}
			all = append(all, s)
		}
		s, err := nn.OutShape(op, all)
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
func (m *maker) copy() *frozen.Network {
	return &frozen.Network{Tensors: append([]frozen.Tensor{}, m.n.Tensors...), Layers: append([]frozen.Layer{}, m.n.Layers...),
		Inputs: m.n.Inputs, Notes: m.n.Notes}
}

// net finishes the network.
func (m *maker) net(outputs ...int) *frozen.Network {
	m.t.Helper()
	n := m.copy()
	n.Outputs = outputs
	if err := n.Validate(); err != nil {
		m.t.Fatal(err)
	}
	return n
}

// feed returns random data for all inputs of n.
func (m *maker) feed(n *frozen.Network, batch int) [][]float32 {
	var all [][]float32
	for _, t := range n.Inputs {
		size := 1
		for _, d := range n.Tensors[t].Shape {
			if d == -1 {
				d = batch
			}
			size *= d
		}
		all = append(all, m.random(size, 1.2))
	}
	return all
}

func (m *maker) random(n int, size float64) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(m.rng.NormFloat64() * size)
	}
	return x
}

func count(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}

// Formats.
var (
	i8  = &fakequant.Spec{}
	u8  = &fakequant.Spec{Unsigned: true}
	u8a = &fakequant.Spec{Unsigned: true, Scheme: fakequant.Affine}
	i8n = &fakequant.Spec{NarrowRange: true}
	u4a = &fakequant.Spec{Bits: 4, Unsigned: true, Scheme: fakequant.Affine}
	i6  = &fakequant.Spec{Bits: 6, NarrowRange: true}
)

func perTensor(bits int) *fakequant.Spec {
	return &fakequant.Spec{Bits: bits, NarrowRange: true}
}

func perChannel(bits, axis int) *fakequant.Spec {
	return &fakequant.Spec{Bits: bits, NarrowRange: true, Granularity: fakequant.PerChannel, Axis: axis}
}

func perBlock(bits, axis, size int) *fakequant.Spec {
	return &fakequant.Spec{Bits: bits, NarrowRange: true, Granularity: fakequant.PerBlock, Axis: axis, BlockSize: size}
}

// affine makes the format affine, over the full range.
func affine(s *fakequant.Spec, unsigned bool) *fakequant.Spec {
	a := *s
	a.Scheme, a.NarrowRange, a.Unsigned = fakequant.Affine, false, unsigned
	return &a
}

func convOf(stride, pad, groups int) frozen.Conv {
	return frozen.Conv{Stride: [2]int{stride, stride}, Pad: [4]int{pad, pad, pad, pad}, Dilation: [2]int{1, 1}, Groups: groups}
}

func relu() *frozen.Unary { return &frozen.Unary{Fn: "relu"} }

func relu6() *frozen.Unary { return &frozen.Unary{Fn: "clip", Max: 6} }

// conv is a network of one convolution of 5 to 6 channels (or groups).
func convNet(m *maker, o frozen.Conv, x, w, y *fakequant.Spec, act *frozen.Unary, bias bool) *frozen.Network {
	in := []int{m.input("x", []int{-1, 6, 7, 6}, x), m.weight("conv.weight", []int{6, 6 / o.Groups, 3, 2}, w)}
	if bias {
		in = append(in, m.weight("conv.bias", []int{6}, nil))
	}
	return m.net(m.layer("conv", o, act, y, in...))
}

// linearNet is a network of one matrix product of 40 by 12.
func linearNet(m *maker, o frozen.MatMul, x, w, y *fakequant.Spec, act *frozen.Unary, bias bool) *frozen.Network {
	xs, ws := []int{-1, 40}, []int{40, 12}
	if o.TransA {
		xs = []int{40, -1}
	}
	if o.TransB {
		ws = []int{12, 40}
	}
	in := []int{m.input("x", xs, x), m.weight("fc.weight", ws, w)}
	if bias {
		in = append(in, m.weight("fc.bias", []int{12}, nil))
	}
	return m.net(m.layer("fc", o, act, y, in...))
}
