package graph

import (
	"github.com/goqat/goqat/internal/nn"
	"gorgonia.org/gorgonia"
)

// What is a node, whether Gorgonia's op or goqat's own computes it? Patterns of several
// ops are matched in these terms.

// composites find a layer that ends at a node and stands for several ops, of Gorgonia's or
// of goqat's. They are tried before all others.
var composites []func(*reader, *gorgonia.Node) *match

// composite finds the layer of several ops that ends at n, nil if there is none.
func (r *reader) composite(n *gorgonia.Node) *match {
	for _, f := range composites {
		if m := f(r, n); m != nil && r.complete(m) == nil {
			return m
		}
	}
	return nil
}

// binaryOf reads an elementwise operation on two nodes.
func (r *reader) binaryOf(n *gorgonia.Node) (fn string, x, y *gorgonia.Node) {
	if op, ok := ownOp(n).(nn.Binary); ok {
		return op.Fn, r.kids[n][0], r.kids[n][1]
	}
	if b, ok := r.elem(n); ok && !b.retSame {
		return b.fn, b.x, b.y
	}
	return "", nil, nil
}

// unaryOf reads an elementwise function; those of Gorgonia's have no settings.
func (r *reader) unaryOf(n *gorgonia.Node) (nn.Unary, *gorgonia.Node) {
	if op, ok := ownOp(n).(nn.Unary); ok {
		return op, r.kids[n][0]
	}
	if opName(n.Op()) == "elemUnaryOp" {
		return nn.Unary{Fn: unaryNames[n.Op().String()]}, r.kids[n][0]
	}
	return nn.Unary{}, nil
}

// ownOp is the layer kind of one of goqat's own ops, nil of others.
func ownOp(n *gorgonia.Node) nn.Op {
	if own, ok := n.Op().(interface{ NN() nn.Op }); ok {
		return own.NN()
	}
	return nil
}

// number is the value of a constant of one element.
func (r *reader) number(n *gorgonia.Node) (float64, bool) {
	if !isConst(n) {
		return 0, false
	}
	v, err := floats(n.Value())
	if err != nil || len(v) != 1 {
		return 0, false
	}
	return float64(v[0]), true
}

// numberOf is number of what may be nil.
func (r *reader) numberOf(n *gorgonia.Node) (float64, bool) {
	if n == nil {
		return 0, false
	}
	return r.number(n)
}
