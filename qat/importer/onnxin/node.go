package onnxin

import (
	"fmt"
	"math"
	"slices"

	"github.com/goqat/goqat/internal/onnxpb"
	"gorgonia.org/gorgonia"
)

func newNode(b *builder, pb *onnxpb.NodeProto) (*node, error) {
	n := &node{b: b, pb: pb, op: pb.GetOpType(), label: labelOf(pb), attrs: map[string]*onnxpb.AttributeProto{}}
	for _, a := range pb.Attribute {
		if n.attrs[a.GetName()] != nil {
			return nil, fmt.Errorf("%w: node %s: attribute %q is there twice", ErrFormat, n.label, a.GetName())
		}
		n.attrs[a.GetName()] = a
	}
	return n, nil
}

// labelOf is the node's name, or that of its first result.
func labelOf(pb *onnxpb.NodeProto) string {
	if pb.GetName() != "" {
		return pb.GetName()
	}
	for _, out := range pb.Output {
		if out != "" {
			return out
		}
	}
	return "(unnamed " + pb.GetOpType() + ")"
}

// attr returns an attribute of the given type, nil if it is absent. Files of the first
// format version have no types.
func (n *node) attr(name string, want onnxpb.AttributeProto_AttributeType) *onnxpb.AttributeProto {
	a := n.attrs[name]
	if a == nil {
		return nil
	}
	if a.GetType() != want && a.Type != nil {
		if n.err == nil {
			n.err = fmt.Errorf("%w: attribute %q is %v, want %v", ErrFormat, name, a.GetType(), want)
		}
		return nil
	}
	return a
}

// reads are the values that the node reads: its operands, and what its branches take from
// outside of themselves.
func (n *node) reads() []string {
	names := n.pb.Input
	for _, a := range n.pb.Attribute {
		if a.G != nil {
			names = append(slices.Clone(names), captured(a.G, maxCaptured)...)
		}
	}
	return names
}

// maxCaptured bounds graphs within graphs.
const maxCaptured = 100

// captured lists names that a graph inside a node reads and may not make. One too many
// does no harm.
func captured(g *onnxpb.GraphProto, depth int) []string {
	var names []string
	if depth == 0 {
		return nil
	}
	for _, n := range g.Node {
		names = append(names, n.Input...)
		for _, a := range n.Attribute {
			if a.G != nil {
				names = append(names, captured(a.G, depth-1)...)
			}
		}
	}
	for _, o := range g.Output {
		names = append(names, o.GetName())
	}
	return names
}

func (n *node) int(name string, def int) int {
	if a := n.attr(name, onnxpb.AttributeProto_INT); a != nil {
		return n.toInt(name, a.GetI())
	}
	return def
}

// toInt refuses numbers that no shape or axis can need, so that later sums cannot
// overflow.
func (n *node) toInt(name string, v int64) int {
	if v > math.MaxInt64/4 || v < math.MinInt64/4 {
		if n.err == nil {
			n.err = fmt.Errorf("%w: attribute %q is %d", ErrFormat, name, v)
		}
		return 0
	}
	return int(v)
}

func (n *node) float(name string, def float64) float64 {
	if a := n.attr(name, onnxpb.AttributeProto_FLOAT); a != nil {
		return float64(a.GetF())
	}
	return def
}

func (n *node) string(name, def string) string {
	if a := n.attr(name, onnxpb.AttributeProto_STRING); a != nil {
		return string(a.GetS())
	}
	return def
}

// ints returns nil for an absent attribute.
func (n *node) ints(name string) []int {
	a := n.attr(name, onnxpb.AttributeProto_INTS)
	if a == nil {
		return nil
	}
	out := make([]int, len(a.Ints))
	for i, v := range a.Ints {
		out[i] = n.toInt(name, v)
	}
	return out
}

// intsOr is ints of exactly count elements, with def for an absent attribute.
func (n *node) intsOr(name string, count, def int) []int {
	v := n.ints(name)
	if v == nil {
		return slices.Repeat([]int{def}, count)
	}
	if len(v) != count && n.err == nil {
		n.err = fmt.Errorf("%w: attribute %q is %v, want %d numbers", ErrFormat, name, v, count)
		return slices.Repeat([]int{def}, count)
	}
	return v
}

// operand returns operand i, nil if it is left out.
func (n *node) operand(i int) *value {
	if i < len(n.in) {
		return n.in[i]
	}
	return nil
}

// arity checks the number of operands.
func (n *node) arity(lo, hi int) error {
	if len(n.in) < lo || len(n.in) > hi {
		return fmt.Errorf("%w: %d operands", ErrFormat, len(n.in))
	}
	return nil
}

// data returns the graph's node of operand i, param the same for a weight.
func (n *node) data(i int) (*gorgonia.Node, error)  { return n.b.graphNode(n.operand(i), false) }
func (n *node) param(i int) (*gorgonia.Node, error) { return n.b.graphNode(n.operand(i), true) }

// known returns operand i as a constant.
func (n *node) known(i int) (*constant, error) { return n.b.constant(n.operand(i)) }

// all returns the graph's nodes of all operands, of which there are lo to hi.
func (n *node) all(lo, hi int) ([]*gorgonia.Node, error) {
	if err := n.arity(lo, hi); err != nil {
		return nil, err
	}
	var out []*gorgonia.Node
	for i := range n.in {
		x, err := n.data(i)
		if err != nil {
			return nil, err
		}
		out = append(out, x)
	}
	return out, nil
}

// list returns whole numbers that are operand i or, in older operator sets, an
// attribute. It is nil where both are absent.
func (n *node) list(i int, name string) ([]int, error) {
	v := n.operand(i)
	if v == nil {
		return n.ints(name), n.err
	}
	c, err := n.b.constant(v)
	if err != nil {
		return nil, err
	}
	if c.float || len(c.shape) > 1 {
		return nil, fmt.Errorf("%w: %q must be a list of whole numbers", ErrFormat, v.name)
	}
	out := make([]int, len(c.i))
	for k, x := range c.i {
		// Slices end at the largest int64: "as far as it goes".
		out[k] = int(min(max(x, math.MinInt64/4), math.MaxInt64/4))
	}
	return out, nil
}

// number returns a single number that is operand i or, in older operator sets, an
// attribute.
func (n *node) number(i int, name string, def float64) (float64, error) {
	v := n.operand(i)
	if v == nil {
		return n.float(name, def), n.err
	}
	c, err := n.b.constant(v)
	if err != nil {
		return 0, err
	}
	if c.size() != 1 {
		return 0, fmt.Errorf("%w: %q must be one number, has shape %v", ErrFormat, v.name, c.shape)
	}
	if c.float {
		return float64(c.f[0]), nil
	}
	return float64(c.i[0]), nil
}

// axis counts negative axes from the end.
func axis(a, rank int) (int, error) {
	if a < -rank || a >= rank {
		return 0, fmt.Errorf("%w: axis %d of %d", ErrFormat, a, rank)
	}
	if a < 0 {
		a += rank
	}
	return a, nil
}

// axes is axis for a list, which it sorts. No axis may be there twice.
func axes(as []int, rank int) ([]int, error) {
	if err := checkRank(len(as)); err != nil {
		return nil, err
	}
	out := make([]int, len(as))
	for i, a := range as {
		var err error
		if out[i], err = axis(a, rank); err != nil {
			return nil, err
		}
	}
	slices.Sort(out)
	if len(slices.Compact(slices.Clone(out))) != len(out) {
		return nil, fmt.Errorf("%w: axes %v name one twice", ErrFormat, as)
	}
	return out, nil
}
