package graph

import (
	"slices"

	"github.com/goqat/goqat/internal/nn"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// aliasing is why a reshape or a one-operand concatenation of a leaf is wrong.
const aliasing = "its result shares the leaf's memory, and an elementwise op behind it overwrites the leaf"

func (r *reader) reshape(n *gorgonia.Node) *match {
	f := fieldsOf(n.Op())
	to, x := f.ints("to"), r.kids[n][0]
	if f.err != nil {
		return nil
	}
	m := simple(n, nn.Reshape{Shape: to}, x)
	if isLeaf(x) || isConst(x) {
		m.wrong = aliasing
	}
	return m
}

func (r *reader) transpose(n *gorgonia.Node) *match {
	f := fieldsOf(n.Op())
	perm := f.ints("pattern")
	if f.err != nil {
		return nil
	}
	return simple(n, nn.Transpose{Perm: perm}, r.kids[n]...)
}

func (r *reader) concat(n *gorgonia.Node) *match {
	f := fieldsOf(n.Op())
	axis := f.int("axis")
	if f.err != nil {
		return nil
	}
	m := simple(n, nn.Concat{Axis: axis}, r.kids[n]...)
	if len(m.args) == 1 && (isLeaf(m.args[0]) || isConst(m.args[0])) {
		m.wrong = aliasing
	}
	return m
}

// slice reads one axis of Slice; a slice over several axes is a chain of them. A
// slice that takes everything is its operand.
func (r *reader) slice(n *gorgonia.Node) *match {
	op, ok := n.Op().(interface{ IsSlice() tensor.Slice })
	f := fieldsOf(n.Op())
	axis, x := f.int("along"), r.kids[n][0]
	if !ok || f.err != nil {
		return nil
	}
	in, out := []int(x.Shape()), []int(n.Shape())
	s := op.IsSlice()
	if s == nil || s.End() <= s.Start() || axis >= len(in) {
		return r.sameShape(n)
	}
	l := nn.Slice{Axis: axis, Start: s.Start(), End: min(s.End(), in[axis]), Step: max(s.Step(), 1), Squeeze: len(out) < len(in)}
	if l.Start == 0 && l.End == in[axis] && l.Step == 1 && !l.Squeeze {
		return r.sameShape(n)
	}
	return simple(n, l, x)
}

func (r *reader) sameShape(n *gorgonia.Node) *match {
	if !slices.Equal(n.Shape(), r.kids[n][0].Shape()) {
		return nil
	}
	return r.same(n)
}
