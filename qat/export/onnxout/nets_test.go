package onnxout

import (
	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/qat/frozen"
	"github.com/goqat/goqat/qat/internal/frozentest"
)

// conv is a network of one convolution of 5 to 6 channels (or groups).
func convNet(m *frozentest.Maker, o frozen.Conv, x, w, y *fakequant.Spec, act *frozen.Unary, bias bool) *frozen.Network {
	in := []int{m.Input("x", []int{-1, 6, 7, 6}, x), m.Weight("conv.weight", []int{6, 6 / o.Groups, 3, 2}, w)}
	if bias {
		in = append(in, m.Weight("conv.bias", []int{6}, nil))
	}
	return m.Net(m.Layer("conv", o, act, y, in...))
}

// linearNet is a network of one matrix product of 40 by 12.
func linearNet(m *frozentest.Maker, o frozen.MatMul, x, w, y *fakequant.Spec, act *frozen.Unary, bias bool) *frozen.Network {
	xs, ws := []int{-1, 40}, []int{40, 12}
	if o.TransA {
		xs = []int{40, -1}
	}
	if o.TransB {
		ws = []int{12, 40}
	}
	in := []int{m.Input("x", xs, x), m.Weight("fc.weight", ws, w)}
	if bias {
		in = append(in, m.Weight("fc.bias", []int{12}, nil))
	}
	return m.Net(m.Layer("fc", o, act, y, in...))
}
