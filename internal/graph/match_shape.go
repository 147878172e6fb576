package graph

import (
	"fmt"
	"slices"

	"github.com/goqat/goqat/internal/nn"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// aliasing is why a reshape or a one-operand concatenation can be wrong.
const aliasing = "its result shares its operand's memory, which an elementwise op behind it may overwrite while it is still needed"

// readers are the ops that leave their operands alone, forward and backward.
var readers = map[string]bool{
	"linAlgBinOp": true, "im2colOp": true, "maxPoolOp": true, "avgPoolOp": true, "globalAveragePoolOp": true,
	"softmaxOp": true, "concatOp": true, "transposeOp": true, "sliceOp": true, "upsampleOp": true, "BatchNormOp": true,
}

// clobbered reports whether a user of n, a node that shares its operand's memory, or
// of that operand may write into it. It errs on the side of yes.
func (r *reader) clobbered(n *gorgonia.Node) bool {
	seen := map[*gorgonia.Node]bool{}
	var visit func(n *gorgonia.Node) bool
	visit = func(n *gorgonia.Node) bool {
		if seen[n] {
			return false
		}
		seen[n] = true
		for _, u := range r.users[n] {
			switch {
			case sharing(u, r.kids[u]):
				if visit(u) {
					return true
				}
			case u.Op() != nil && opName(u.Op()) == "": // not Gorgonia's
			case !readers[opName(u.Op())]:
				return true
			}
		}
		return sharing(n, r.kids[n]) && visit(r.kids[n][0])
	}
	return visit(n)
}

// wrongPick says whether Gorgonia picks the wrong elements along an axis.
func wrongPick(axis, rank int) string {
	if axis > 0 && axis < rank-1 {
		return fmt.Sprintf("along axis %d of %d it picks wrong elements behind the first", axis, rank)
	}
	return ""
}

func sharing(n *gorgonia.Node, kids []*gorgonia.Node) bool {
	name := opName(n.Op())
	return name == "reshapeOp" || name == "concatOp" && len(kids) == 1
}

func (r *reader) reshape(n *gorgonia.Node) *match {
	f := fieldsOf(n.Op())
	to, x := f.ints("to"), r.kids[n][0]
	if f.err != nil {
		return nil
	}
	m := simple(n, nn.Reshape{Shape: to}, x)
	if r.clobbered(n) {
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
	if len(m.args) == 1 && r.clobbered(n) {
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

// upsample reads Upsample2D, which repeats each pixel.
func (r *reader) upsample(n *gorgonia.Node) *match {
	f := fieldsOf(n.Op())
	scale := f.int("stride") + 1
	s := n.Shape()
	if f.err != nil || len(s) != 4 || scale < 1 {
		return nil
	}
	if scale == 1 {
		return r.sameShape(n)
	}
	return simple(n, nn.Resize{Mode: "nearest", Coordinates: "asymmetric", Nearest: "floor", Axes: []int{2, 3}, Size: []int{s[2], s[3]}}, r.kids[n]...)
}
