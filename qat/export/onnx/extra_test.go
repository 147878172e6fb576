package onnx

import (
	"fmt"
	"strings"
	"testing"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/qat/frozen"
)

// extraCases are padding, local response normalisation and look-ups.
func extraCases() []netCase {
	var cases []netCase
	image := []int{-1, 5, 4, 3}
	for _, value := range []float64{0, -1.25} {
		pad := frozen.Pad{Before: []int{0, 1, 2, 0}, After: []int{0, 0, 1, 3}, Value: value}
		for name, s := range map[string]*fakequant.Spec{"float": nil, "int8": i8, "uint8 affine": u8a} {
			cases = append(cases, netCase{name: fmt.Sprint("pad ", value, " ", name), make: func(m *maker) *frozen.Network {
				return m.net(m.layer("layer", pad, nil, s, m.input("x", image, s)))
			}})
		}
		cases = append(cases, netCase{name: fmt.Sprint("pad ", value, " on the grid of x"), make: func(m *maker) *frozen.Network {
			return m.net(m.pass("layer", pad, m.input("x", image, u8a)))
		}})
	}
	// ONNX Runtime wants an odd size, and alpha and beta above 0, on four axes.
	for _, o := range []frozen.LRN{{Size: 3, Alpha: 0.9, Beta: 0.75, Bias: 2}, {Size: 1, Alpha: 0.5, Beta: 0.5, Bias: 1}, {Size: 9, Alpha: 1e-4, Beta: 1.5, Bias: 0.5}} {
		for name, s := range map[string]*fakequant.Spec{"float": nil, "int8": i8} {
			cases = append(cases, netCase{name: fmt.Sprint("lrn of ", o.Size, " ", name), float: 1e-5, make: func(m *maker) *frozen.Network {
				return m.net(m.layer("layer", o, nil, s, m.input("x", image, s)))
			}})
		}
	}
	for axis := range 2 {
		for name, s := range map[string]*fakequant.Spec{"float": nil, "int8 per tensor": perTensor(8), "4 bits per channel": perChannel(4, 0), "blocks": perBlock(4, 1, 2)} {
			cases = append(cases, netCase{name: fmt.Sprint("gather of ", name, " along ", axis), make: func(m *maker) *frozen.Network {
				y := m.layer("layer", frozen.Gather{Axis: axis}, nil, nil, m.weight("table", []int{6, 6}, s), indices(m, 6))
				return m.net(y)
			}})
		}
	}
	return append(cases,
		netCase{name: "gather rounded", make: func(m *maker) *frozen.Network {
			return m.net(m.layer("layer", frozen.Gather{}, nil, i8, m.weight("table", []int{4, 6}, perChannel(8, 0)), indices(m, 4)))
		}},
		netCase{name: "gather codes", make: func(m *maker) *frozen.Network {
			return m.net(m.pass("layer", frozen.Gather{}, m.weight("table", []int{4, 6}, perTensor(8)), indices(m, 4)))
		}},
		netCase{name: "gather from an input", make: func(m *maker) *frozen.Network {
			list := m.values("list", []int{2, 2}, []float32{0, -1, 3, -4}, nil)
			return m.net(m.pass("layer", frozen.Gather{Axis: 1}, m.input("x", []int{-1, 4, 3}, u8a), list))
		}},
	)
}

// indices makes random whole numbers from -n to n-1, [N, 7].
func indices(m *maker, n float64) int {
	x := m.layer("spread", frozen.Unary{Fn: "cube"}, nil, nil, m.input("x", []int{-1, 7}, nil))
	// The floor of n - 0.5 is n-1, the last index.
	return m.layer("whole", frozen.Unary{Fn: "floor"}, nil, nil, m.layer("limit", frozen.Unary{Fn: "clip", Min: -n, Max: n - 0.5}, nil, nil, x))
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
	m := newMaker(t)
	x, tokens := m.input("x", []int{-1, 2, 3, 3}, nil), m.add(frozen.Tensor{Name: "tokens", Shape: []int{-1, 3}})
	y := m.layer("pad", frozen.Pad{Before: []int{0, 0, 1, 0}, After: []int{0, 0, 0, 2}, Value: -1.5}, nil, nil, x)
	y = m.layer("lrn", frozen.LRN{Size: 3, Alpha: 0.5, Beta: 0.75, Bias: 2}, nil, nil, y)
	y = m.layer("erf", frozen.Unary{Fn: "erf"}, nil, nil, y)
	m.n.Inputs = append(m.n.Inputs, tokens)
	z := m.layer("gather", frozen.Gather{Axis: 1}, nil, nil, m.weight("table", []int{4, 5}, perChannel(8, 1)), tokens)
	all := text(export(t, m.net(y, z), Options{}))
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
