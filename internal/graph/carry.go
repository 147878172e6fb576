package graph

import (
	"fmt"
	"slices"

	"github.com/goqat/goqat/internal/vm"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// Carried is the part of a graph that stands behind or beside the asked-for outputs:
// losses, metrics, regularisers, further heads, with the labels and whatever else they
// need. It is no part of the network: it is there in training, in float, and neither
// evaluated at another batch size nor frozen nor exported.
type Carried struct {
	// Values are those of the carried part alone, producers before consumers. Nodes of
	// any dtype may be among them; Data of a constant is set for float32 only.
	//
	// A leaf with Role Input is a label or other data; one that had a value in the
	// user's graph keeps it until another is bound. A leaf is a Param only where
	// gorgonia.Grad was called for it, the options say so or, in a graph without Grad,
	// where it is clearly a weight of a loss; see carriedRoles.
	Values []*Value
	Layers []*Layer // topological
	Reads  []Statement
	// Seen marks the network's own values that the carried part reads. They must be
	// there in whatever is made of the network.
	Seen map[*Value]bool
}

// Statement is one of gorgonia.Read: a variable that gets a value in every run.
type Statement struct {
	Node *gorgonia.Node // the statement in the user's graph
	From *Value
	Into *gorgonia.Value // the user's variable
}

// carry reads what stands behind and beside the network that e has emitted. The
// network stays as it is: where a carried node reads the inside of one of its layers,
// that inside is carried along a second time.
func (r *reader) carry(g *gorgonia.ExprGraph, e *emitter) error {
	net := e.net
	sinks := r.carriedSinks(g, net)
	r.given = net.nodes
	roots := make([]*gorgonia.Node, len(sinks)) // what the sinks compute or read
	for i, n := range sinks {
		if roots[i] = n; isStatement(n) {
			roots[i] = r.kids[n][0]
		}
	}
	found := r.matchCarried(roots)
	r.carriedRoles(g, found, roots)
	part := &Net{nodes: net.nodes, kids: r.kids}
	e.net = part
	defer func() { e.net = net }()
	for _, m := range found {
		if err := e.carried(m); err != nil {
			return fmt.Errorf("graph: node %s, which no output needs: %w", m.out.Name(), err)
		}
	}
	c := Carried{Values: part.Values, Layers: part.Layers, Seen: map[*Value]bool{}}
	own := map[*Value]bool{}
	for _, v := range part.Values {
		own[v] = true
	}
	see := func(v *Value) {
		if !own[v] {
			c.Seen[v] = true
		}
	}
	for _, l := range part.Layers {
		for _, v := range l.In {
			see(v)
		}
	}
	for i, n := range sinks {
		from := net.nodes[roots[i]]
		see(from)
		if isStatement(n) {
			c.Reads = append(c.Reads, Statement{Node: n, From: from, Into: vm.ReadTarget(n)})
		}
	}
	net.Carried = c
	return nil
}

// carried emits the layer or leaf of m.
func (e *emitter) carried(m *match) error {
	if m.emit == nil && !m.opaque {
		return e.leaf(m.out)
	}
	return e.node(m)
}

// carriedSinks returns the nodes that no output needs and nothing reads, gradients aside,
// in creation order, and adds what they need to the reader. Left out, with the reason
// noted in net, are those that depend on nodes of Grad's making, and those that cannot be
// applied again.
func (r *reader) carriedSinks(g *gorgonia.ExprGraph, net *Net) []*gorgonia.Node {
	read := map[*gorgonia.Node]bool{}
	for _, n := range g.AllNodes() {
		kids, err := r.childrenOf(n)
		if err != nil {
			net.left[n] = err.Error()
			continue
		}
		for _, k := range kids {
			read[k] = true
		}
	}
	inNetwork := make(map[*gorgonia.Node]bool, len(r.order))
	for _, n := range r.order {
		inNetwork[n] = true
	}
	for _, n := range g.AllNodes() {
		if read[n] || inNetwork[n] || isLeaf(n) {
			continue
		}
		if err := r.visit(n); err != nil {
			net.left[n] = err.Error()
		}
	}
	r.sortOrder()
	for _, n := range r.order {
		if why := r.cannotCarry(n, net.left); why != "" && !inNetwork[n] {
			net.left[n] = why
		}
	}
	var sinks []*gorgonia.Node
	needed := map[*gorgonia.Node]bool{}
	for _, n := range slices.Backward(r.order) {
		if inNetwork[n] || net.left[n] != "" {
			continue
		}
		if !needed[n] {
			if n.Deriv() == nil { // not what a user took the gradient of
				if gradGroups[fieldsOf(n).str("group")] {
					net.left[n] = madeByGrad
					continue
				}
				if read[n] || !r.hasSource(n) {
					net.left[n] = "only nodes that were left out need it"
					continue
				}
			}
			sinks = append(sinks, n)
		}
		for _, k := range r.kids[n] {
			needed[k] = true
		}
	}
	slices.Reverse(sinks)
	return sinks
}

// madeByGrad is why a gradient is not carried.
const madeByGrad = "it is, or depends on, a gradient that gorgonia.Grad made: call Grad on the new graph"

// The groups that Gorgonia puts gradients into which nobody asked for; they are of no
// node's DerivOf. Nodes of the user's that Grad reads can be in them, too.
var gradGroups = map[string]bool{"gradients": true, "undifferentiated nodes": true}

// cannotCarry says why n is not carried, given the reasons for its operands.
func (r *reader) cannotCarry(n *gorgonia.Node, left map[*gorgonia.Node]string) string {
	if isLeaf(n) || isConst(n) { // Grad shares its constant 1 with the user's
		return ""
	}
	if len(n.DerivOf()) > 0 {
		return madeByGrad
	}
	for _, k := range r.kids[n] {
		if left[k] != "" {
			return left[k]
		}
	}
	if isStatement(n) && vm.ReadTarget(n) == nil {
		return fmt.Sprintf("it is a statement (%v) that has no place in the new graph: bind values with gorgonia.Let", n.Op())
	}
	return ""
}

// hasSource reports whether n depends on more than constants: what Grad leaves behind
// may not.
func (r *reader) hasSource(n *gorgonia.Node) bool {
	seen := map[*gorgonia.Node]bool{}
	stack := []*gorgonia.Node{n}
	for len(stack) > 0 {
		n := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if seen[n] || isConst(n) {
			continue
		}
		if len(r.kids[n]) == 0 {
			return true // a leaf, or random numbers
		}
		seen[n] = true
		stack = append(stack, r.kids[n]...)
	}
	return false
}

// matchCarried finds the layers of the roots, and of what they need in turn, that the
// network does not have. They come operands first.
func (r *reader) matchCarried(roots []*gorgonia.Node) []*match {
	need := map[*gorgonia.Node]bool{}
	for _, n := range roots {
		need[n] = true
	}
	found := map[*gorgonia.Node]*match{}
	for i := len(r.order) - 1; i >= 0; i-- {
		n := r.order[i]
		if !need[n] || r.given[n] != nil {
			continue
		}
		m := &match{out: n}
		if !isLeaf(n) && !isConst(n) {
			m = r.matchAny(n)
		}
		found[n], r.found[n] = m, m
		for _, a := range m.args {
			need[a] = true
		}
	}
	var list []*match
	for _, n := range r.order {
		if m := found[n]; m != nil {
			list = append(list, m)
		}
	}
	return list
}

// matchAny is match for nodes of any dtype: only float32 ones are layers.
func (r *reader) matchAny(n *gorgonia.Node) *match {
	if n.Dtype() != tensor.Float32 {
		return r.opaque(n, "it does not compute float32")
	}
	m := r.match(n)
	for _, a := range m.args {
		if !m.opaque && a.Dtype() != tensor.Float32 {
			return r.opaque(n, "an operand is not float32")
		}
	}
	return m
}

// isStatement reports whether the node has no value: it only reads or sets others.
func isStatement(n *gorgonia.Node) bool { return n.Op() != nil && n.Type() == nil }

// Missing says why [Net.Value] has nothing for a node of the user's: nil when it has.
// A node inside a layer is not this error's business: ask [Net.Inside] first.
func (n *Net) Missing(node *gorgonia.Node) error {
	switch {
	case node == nil:
		return fmt.Errorf("the node is nil")
	case node.Graph() != n.graph:
		return fmt.Errorf("node %s belongs to another graph than the one that was read", node.Name())
	case n.nodes[node] != nil:
		return nil
	case n.left[node] != "":
		return fmt.Errorf("node %s was not carried over: %s", node.Name(), n.left[node])
	case isLeaf(node):
		return fmt.Errorf("node %s was not carried over: nothing computes with it", node.Name())
	}
	return fmt.Errorf("node %s was not carried over: nothing that was carried over needs it, or it is newer than that", node.Name())
}

// Inside returns the layer, of the network or the carried part, that took in a node of
// the user's; nil when none did.
func (n *Net) Inside(node *gorgonia.Node) *Layer {
	for _, layers := range [][]*Layer{n.Layers, n.Carried.Layers} {
		for _, l := range layers {
			for _, own := range l.Nodes {
				if own == node {
					return l
				}
			}
		}
	}
	return nil
}
