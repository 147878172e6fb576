package frozen

// This file says which arithmetic a layer has.

import (
	"github.com/goqat/goqat/internal/nn"
)

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
