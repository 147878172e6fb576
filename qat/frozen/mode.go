package frozen

import (
	"fmt"

	"github.com/goqat/goqat/internal/nn"
)

// Mode says what a layer computes with. It follows from the tensors alone, and it
// is part of the definition of the network: training computes the same way.
type Mode uint8

const (
	// Float dequantizes what is quantized and computes in float32. A quantized
	// weight beside a float x (weight-only quantization) is dequantized once.
	Float Mode = iota
	// Integer sums exact products of centred codes (convolution and matrix product
	// with two quantized operands) or exact codes (average pools), and scales the
	// sums.
	Integer
	// Codes moves codes and no numbers: layers that only move or choose values (max
	// pooling, reshape, concat and the like) whose inputs and result share one grid.
	Codes
)

func (m Mode) String() string {
	switch m {
	case Float:
		return "float"
	case Integer:
		return "integer"
	case Codes:
		return "codes"
	}
	return fmt.Sprintf("Mode(%d)", uint8(m))
}

// Mode returns what layer i computes with. The network must be valid and i an
// index into Layers.
func (n *Network) Mode(i int) Mode {
	l := &n.Layers[i]
	switch t := nn.TraitsOf(l.Op.op()); {
	case t.Moves:
		return n.passMode(l)
	case t.Averages:
		return n.averageMode(l)
	case t.Weights != nil && n.Tensors[l.Inputs[0]].Quant != nil && n.Tensors[l.Inputs[1]].Quant != nil:
		return Integer
	}
	return Float
}

func (n *Network) averageMode(l *Layer) Mode {
	if n.Tensors[l.Inputs[0]].Quant.perTensor() {
		return Integer
	}
	return Float
}

// passMode is Codes when inputs and result have the same grid.
func (n *Network) passMode(l *Layer) Mode {
	out := n.Tensors[l.Output].Quant
	if l.Act != nil || !out.perTensor() {
		return Float
	}
	for _, i := range l.Inputs {
		if q := n.Tensors[i].Quant; !q.perTensor() || q.grid() != out.grid() {
			return Float
		}
	}
	return Codes
}
