package onnxout

import (
	"fmt"
	"strings"
	"testing"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/qat/frozen"
	"github.com/goqat/goqat/qat/internal/frozentest"
)

// extraCases are padding, local response normalisation and look-ups.
func extraCases() []netCase {
	var cases []netCase
	image := []int{-1, 5, 4, 3}
	for _, value := range []float64{0, -1.25} {
		pad := frozen.Pad{Before: []int{0, 1, 2, 0}, After: []int{0, 0, 1, 3}, Value: value}
		for name, s := range map[string]*fakequant.Spec{"float": nil, "int8": frozentest.I8, "uint8 affine": frozentest.U8Affine} {
			cases = append(cases, netCase{name: fmt.Sprint("pad ", value, " ", name), make: func(m *frozentest.Maker) *frozen.Network {
				return m.Net(m.Layer("layer", pad, nil, s, m.Input("x", image, s)))
			}})
		}
		cases = append(cases, netCase{name: fmt.Sprint("pad ", value, " on the grid of x"), make: func(m *frozentest.Maker) *frozen.Network {
			return m.Net(m.Pass("layer", pad, m.Input("x", image, frozentest.U8Affine)))
		}})
	}
	// ONNX Runtime wants an odd size, and alpha and beta above 0, on four axes.
	for _, o := range []frozen.LRN{{Size: 3, Alpha: 0.9, Beta: 0.75, Bias: 2}, {Size: 1, Alpha: 0.5, Beta: 0.5, Bias: 1}, {Size: 9, Alpha: 1e-4, Beta: 1.5, Bias: 0.5}} {
		for name, s := range map[string]*fakequant.Spec{"float": nil, "int8": frozentest.I8} {
			cases = append(cases, netCase{name: fmt.Sprint("lrn of ", o.Size, " ", name), float: powerTolerance, make: func(m *frozentest.Maker) *frozen.Network {
				return m.Net(m.Layer("layer", o, nil, s, m.Input("x", image, s)))
			}})
		}
	}
	for axis := range 2 {
		for name, s := range map[string]*fakequant.Spec{"float": nil, "int8 per tensor": frozentest.PerTensor(8), "4 bits per channel": frozentest.PerChannel(4, 0), "blocks": frozentest.PerBlock(4, 1, 2)} {
			cases = append(cases, netCase{name: fmt.Sprint("gather of ", name, " along ", axis), make: func(m *frozentest.Maker) *frozen.Network {
				y := m.Layer("layer", frozen.Gather{Axis: axis}, nil, nil, m.Weight("table", []int{6, 6}, s), indices(m, 6))
				return m.Net(y)
			}})
		}
	}
	return append(cases,
		netCase{name: "gather rounded", make: func(m *frozentest.Maker) *frozen.Network {
			return m.Net(m.Layer("layer", frozen.Gather{}, nil, frozentest.I8, m.Weight("table", []int{4, 6}, frozentest.PerChannel(8, 0)), indices(m, 4)))
		}},
		// What ONNX Runtime rounds with the transpose is off by the rounding at least.
		netCase{name: "output that is read rounded", make: func(m *frozentest.Maker) *frozen.Network {
			h := m.Layer("float", frozen.Unary{Fn: "relu"}, nil, nil, m.Input("x", []int{-1, 6}, nil))
			r := m.Layer("round", frozen.Transpose{Perm: []int{0, 1}}, nil, frozentest.U8Affine, h)
			return m.Net(h, m.Layer("relu", frozen.Unary{Fn: "relu"}, nil, frozentest.U8, r))
		}},
		netCase{name: "gather codes", make: func(m *frozentest.Maker) *frozen.Network {
			return m.Net(m.Pass("layer", frozen.Gather{}, m.Weight("table", []int{4, 6}, frozentest.PerTensor(8)), indices(m, 4)))
		}},
		netCase{name: "gather from an input", make: func(m *frozentest.Maker) *frozen.Network {
			list := m.Values("list", []int{2, 2}, []float32{0, -1, 3, -4}, nil)
			return m.Net(m.Pass("layer", frozen.Gather{Axis: 1}, m.Input("x", []int{-1, 4, 3}, frozentest.U8Affine), list))
		}},
	)
}

// indices makes random whole numbers from -n to n-1, [N, 7].
func indices(m *frozentest.Maker, n float64) int {
	x := m.Layer("spread", frozen.Unary{Fn: "cube"}, nil, nil, m.Input("x", []int{-1, 7}, nil))
	// The floor of n - 0.5 is n-1, the last index.
	return m.Layer("whole", frozen.Unary{Fn: "floor"}, nil, nil, m.Layer("limit", frozen.Unary{Fn: "clip", Min: -n, Max: n - 0.5}, nil, nil, x))
}

const extraText = `Pad pad(x, pad_pads, pad_value) -> pad.out
LRN lrn(pad.out) -> lrn.out size=3 alpha=0.5 beta=0.75 bias=2
Erf erf(lrn.out) -> erf.out
DequantizeLinear table/DequantizeLinear(table_quantized, table_scale, table_zero_point) -> table axis=1
Cast gather/indices(tokens) -> gather_indices to=7
Gather gather(table, gather_indices) -> gather.out axis=1
pad_pads INT64 [8] 00000000000000000000000000000000010000000000000000000000000000000000000000000000000000000000000000000000000000000200000000000000
pad_value FLOAT [] [-1.5]
`

// TestExtraForms: the nodes, attributes and inputs are those of the ONNX operators.
func TestExtraForms(t *testing.T) {
	m := frozentest.New(t)
	x, tokens := m.Input("x", []int{-1, 2, 3, 3}, nil), m.Add(frozen.Tensor{Name: "tokens", Shape: []int{-1, 3}})
	y := m.Layer("pad", frozen.Pad{Before: []int{0, 0, 1, 0}, After: []int{0, 0, 0, 2}, Value: -1.5}, nil, nil, x)
	y = m.Layer("lrn", frozen.LRN{Size: 3, Alpha: 0.5, Beta: 0.75, Bias: 2}, nil, nil, y)
	y = m.Layer("erf", frozen.Unary{Fn: "erf"}, nil, nil, y)
	m.N.Inputs = append(m.N.Inputs, tokens)
	z := m.Layer("gather", frozen.Gather{Axis: 1}, nil, nil, m.Weight("table", []int{4, 5}, frozentest.PerChannel(8, 1)), tokens)
	all := text(export(t, m.Net(y, z), Options{}))
	var got strings.Builder
	for line := range strings.SplitAfterSeq(all, "\n") {
		switch name, _, _ := strings.Cut(line, " "); name {
		case "Pad", "LRN", "Erf", "Cast", "Gather", "DequantizeLinear", "pad_pads", "pad_value":
			got.WriteString(line)
		}
	}
	if got.String() != extraText {
		t.Errorf("got:\n%s\nwant:\n%s", got.String(), extraText)
	}
}
