package graph

import (
	"github.com/goqat/goqat/internal/ops"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// Random nodes are inputs of a network: they have fresh numbers in every run, and were
// constants if they counted as computed from nothing.

// randomLaws are those of Gorgonia's random nodes, in the order of its enumeration.
var randomLaws = []string{ops.Uniform, ops.Gaussian, ops.Binomial}

// randomOf reads a node of UniformRandomNode, GaussianRandomNode or BinomialRandomNode.
func (r *reader) randomOf(n *gorgonia.Node) *ops.Random {
	if opName(n.Op()) != "randomOp" || n.Dtype() != tensor.Float32 {
		return nil
	}
	f := fieldsOf(n.Op())
	law, a, b := f.int("which"), f.float("a"), f.float("b")
	if f.err != nil || law >= len(randomLaws) {
		return nil
	}
	return &ops.Random{Law: randomLaws[law], A: a, B: b}
}
