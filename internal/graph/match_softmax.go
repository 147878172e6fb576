package graph

import (
	"math"
	"reflect"

	"github.com/goqat/goqat/internal/nn"
	"gorgonia.org/gorgonia"
)

// Which softmax has a scale and a mask in front of it? It takes both in: one pass, and what
// is masked sets no range of a quantizer.

func init() { composites = append(composites, (*reader).maskedSoftmax) }

// maskedSoftmax reads softmax(x·c + mask) and softmax(x/c + mask); either part may be missing.
func (r *reader) maskedSoftmax(n *gorgonia.Node) *match {
	op, ok := r.softmaxOf(n)
	if !ok || op.Scale != 0 || len(r.kids[n]) != 1 {
		return nil
	}
	x := r.kids[n][0]
	var masks []operand
	if scores, mask := r.masked(x); scores != nil {
		x, masks = scores, append(masks, mask)
	}
	if scores, c := r.scaledBy(x); scores != nil {
		x, op.Scale = scores, c
	}
	if x == r.kids[n][0] {
		return nil
	}
	m := &match{out: n, args: []*gorgonia.Node{x}}
	for _, mask := range masks {
		m.args = append(m.args, mask.node)
	}
	m.emit = func(e *emitter, in []*Value) (*Value, error) {
		for i, mask := range masks {
			v, err := e.reshape(in[1+i], mask.effective()...)
			if err != nil {
				return nil, err
			}
			in[1+i] = v
		}
		return e.layer(op, in...)
	}
	return m
}

// LogOfLog finds a gorgonia.Log of what goqat computes as the logarithm of a softmax already,
// and names that: a loss built a second time, of which NaN would come. Empty for none.
func LogOfLog(g *gorgonia.ExprGraph) string {
	r := &reader{byPtr: map[uintptr]*gorgonia.Node{}}
	nodes := g.AllNodes()
	for _, n := range nodes {
		r.byPtr[reflect.ValueOf(n).Pointer()] = n
	}
	for _, n := range nodes {
		if opName(n.Op()) != "elemUnaryOp" || unaryNames[n.Op().String()] != "log" {
			continue
		}
		kids, err := r.childrenOf(n)
		if err != nil || len(kids) != 1 {
			continue
		}
		if op, ok := ownOp(kids[0]).(nn.Softmax); ok && op.Log {
			return kids[0].Name()
		}
	}
	return ""
}

// softmaxOf is a softmax, Gorgonia's or goqat's.
func (r *reader) softmaxOf(n *gorgonia.Node) (nn.Softmax, bool) {
	if opName(n.Op()) == "softmaxOp" {
		return r.stockSoftmax(n)
	}
	op, ok := ownOp(n).(nn.Softmax)
	return op, ok
}

// masked reads scores + mask: a leaf or a constant, or what repeats along the scores. A vector
// is rather the bias of the product in front.
func (r *reader) masked(n *gorgonia.Node) (scores *gorgonia.Node, mask operand) {
	fn, a, b := r.binaryOf(n)
	if fn != "add" || !r.inner(n) {
		return nil, mask
	}
	for _, p := range [][2]*gorgonia.Node{{a, b}, {b, a}} {
		scores, mask = p[0], r.strip(p[1])
		s, given := mask.effective(), isLeaf(mask.node) || isConst(mask.node)
		if !isConst(mask.node) && len(s) <= 2 && (len(s) < 2 || s[0] == 1) {
			continue
		}
		if scores.Shape().Eq(n.Shape()) && len(s) > 0 && !isConst(scores) && (given || r.repeats(mask.node, n)) {
			return scores, mask
		}
	}
	return nil, mask
}

// scaledBy reads x·c and x/c.
func (r *reader) scaledBy(n *gorgonia.Node) (x *gorgonia.Node, c float64) {
	fn, a, b := r.binaryOf(n)
	if fn != "mul" && fn != "div" || !r.inner(n) {
		return nil, 0
	}
	c, ok := r.number(b)
	if !ok && fn == "mul" {
		a, b = b, a
		c, ok = r.number(b)
	}
	if fn == "div" {
		c = 1 / c
	}
	if !ok || c == 0 || math.IsInf(c, 0) || math.IsNaN(c) || !a.Shape().Eq(n.Shape()) || isConst(a) {
		return nil, 0
	}
	return a, c
}
