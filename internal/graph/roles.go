package graph

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// This file says what the leaves of a network are: data, parameters that are trained, or
// parameters that keep their value.

// markPrefix begins the groups of marked leaves. Gorgonia only draws groups.
const markPrefix = "goqat "

// Mark tells a later Read what a leaf is, whatever value it has by then: for those who
// build graphs and know. Role is Input or Param.
func Mark(r Role) gorgonia.NodeConsOpt { return gorgonia.WithGroupName(markPrefix + r.String()) }

// MarkName tells a later Read how the file that a graph was read from calls the result of
// a node.
func MarkName(name string) gorgonia.NodeConsOpt { return gorgonia.WithGroupName(namePrefix + name) }

// namePrefix begins the groups of results with a name.
const namePrefix = "goqat result "

// markedName is what MarkName said; empty for nothing.
func markedName(n *gorgonia.Node) string {
	name, ok := strings.CutPrefix(fieldsOf(n).str("group"), namePrefix)
	if !ok {
		return ""
	}
	return name
}

// markOf returns the role that a leaf was marked with.
func markOf(n *gorgonia.Node) (Role, bool) {
	text, ok := strings.CutPrefix(fieldsOf(n).str("group"), markPrefix)
	switch {
	case ok && text == Input.String():
		return Input, true
	case ok && text == Param.String():
		return Param, true
	}
	return Activation, false
}

// assignRoles decides what the leaves are. A leaf without a value is an input, and one
// with a value a parameter, except where it clearly is data: the image of a convolution,
// and one of the factors of a product of two leaves.
//
// A parameter is trained if gorgonia.Grad was called for it. In a graph without Grad it is
// if it is marked, or used as weights are; see weights. All others keep their values.
func (r *reader) assignRoles(g *gorgonia.ExprGraph) error {
	graded := hasGrad(g)
	r.graded = graded
	var found []*match
	for _, n := range r.order {
		m := r.found[n]
		if m == nil {
			continue
		}
		found = append(found, m)
		mark, marked := markOf(n)
		switch {
		case isConst(n):
			r.roles[n] = Const
		case r.randomOf(n) != nil:
			r.roles[n] = Input
		case !isLeaf(n):
		case n.Value() == nil || marked && mark == Input:
			r.roles[n] = Input
		case IsWhole(n.Dtype()):
			r.roles[n] = Input
			if x, err := floats(n.Value()); err == nil && order(x) {
				r.roles[n] = Const
			}
		default:
			r.roles[n] = Param
		}
		r.said[n] = marked
	}
	r.guessData(found)
	heads := r.weights(found, true)
	for n, role := range r.roles {
		if role == Param {
			r.fixed[n] = n.Deriv() == nil && (graded || !r.said[n] && !heads[n])
		}
	}
	if err := r.obey(g); err != nil {
		return err
	}
	for _, role := range r.roles {
		if role == Input {
			return nil
		}
	}
	var names []string
	for _, n := range r.order {
		if isLeaf(n) {
			names = append(names, n.Name())
		}
	}
	return fmt.Errorf("graph: no input: every leaf (%s) has a value and looks like a parameter; name the data leaves under inputs in the config", strings.Join(names, ", "))
}

// hasGrad reports whether gorgonia.Grad was called for a leaf of the graph.
func hasGrad(g *gorgonia.ExprGraph) bool {
	return slices.ContainsFunc([]*gorgonia.Node(g.AllNodes()), func(n *gorgonia.Node) bool { return isLeaf(n) && n.Deriv() != nil })
}

// obey gives leaves the roles that the options say.
func (r *reader) obey(g *gorgonia.ExprGraph) error {
	for _, list := range []struct {
		names []string
		role  Role
		fixed bool
	}{{r.opt.Params, Param, false}, {r.opt.Constants, Param, true}, {r.opt.Inputs, Input, false}} {
		for _, name := range list.names {
			if err := r.setRole(g, name, list.role, list.fixed); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *reader) setRole(g *gorgonia.ExprGraph, name string, role Role, fixed bool) error {
	hit := false
	for _, n := range g.AllNodes() {
		// A leaf beside the network has its turn in carriedRoles.
		_, inside := r.index[n]
		hit = hit || !inside && isLeaf(n) && n.Name() == name
	}
	for _, n := range r.order {
		if _, leaf := r.roles[n]; leaf && isLeaf(n) && n.Name() == name {
			if role == Param && n.Value() == nil {
				return fmt.Errorf("graph: leaf %q has no value, so it can only be an input: bind one with gorgonia.Let, or correct the roles in the config", name)
			}
			r.roles[n], r.fixed[n], r.said[n], hit = role, fixed, true, true
		}
	}
	if !hit {
		return fmt.Errorf("graph: no leaf named %q in the graph: correct the names in the config", name)
	}
	return nil
}

// guessData marks the leaves with values that are used as data.
func (r *reader) guessData(found []*match) {
	factors := map[*gorgonia.Node]bool{} // leaves that something computed or an input is multiplied with
	left, right := 0, 0                  // on which side they stand
	open := func(n *gorgonia.Node) bool { return isLeaf(n) && r.roles[n] == Param }
	for _, m := range found {
		if m.image != nil {
			r.markData(r.trace(m.image))
		}
		if m.left == nil {
			continue
		}
		switch a, b := r.trace(m.left), r.trace(m.right); {
		case open(a) && !open(b) && !isConst(b):
			factors[a] = true
			left++
		case open(b) && !open(a) && !isConst(a):
			factors[b] = true
			right++
		}
	}
	computed := map[*gorgonia.Node]bool{} // factors that are products themselves
	for _, m := range found {
		if m.left != nil {
			computed[r.base(m.left)], computed[r.base(m.right)] = true, true
		}
	}
	fed := slices.ContainsFunc(r.order, func(n *gorgonia.Node) bool { return isLeaf(n) && n.Value() == nil })
	var doubtful []*gorgonia.Node
	for _, m := range found {
		if m.left == nil {
			continue
		}
		a, b := r.trace(m.left), r.trace(m.right)
		if !open(a) || !open(b) || a == b {
			continue
		}
		if fed && computed[m.out] && random(a.Value()) && random(b.Value()) {
			continue // a weight that is a product of two
		}
		x := r.dataOf(a, b, factors, left > 0 && right == 0)
		if x == b && a.Deriv() != nil && b.Dims() > 1 && !uniform(b.Value(), 0) {
			doubtful = append(doubtful, x) // perhaps a is a learned state, and b weights that are not trained
			continue
		}
		r.markData(x)
	}
	if !fed && !slices.Contains(slices.Collect(maps.Values(r.roles)), Input) {
		for _, x := range doubtful {
			r.markData(x)
		}
	}
}

// dataOf picks the factor that is data of a product a · b of two leaves with values: not
// what Grad was called for, what is marked, or what is multiplied with data elsewhere; a
// vector beside a matrix, or zeros, as initial states are. Where that does not tell, it is
// what its name says, or else the left one, or the right one in a network whose other weights
// stand on the left.
func (r *reader) dataOf(a, b *gorgonia.Node, factors map[*gorgonia.Node]bool, weightsLeft bool) *gorgonia.Node {
	for _, weight := range []func(n *gorgonia.Node) bool{
		func(n *gorgonia.Node) bool { return n.Deriv() != nil },
		func(n *gorgonia.Node) bool { return r.said[n] },
		func(n *gorgonia.Node) bool { return factors[n] },
		func(n *gorgonia.Node) bool { return n.Dims() > 1 },
		func(n *gorgonia.Node) bool { return !uniform(n.Value(), 0) },
		func(n *gorgonia.Node) bool { return random(n.Value()) },
		func(n *gorgonia.Node) bool { return !namedData(n) },
	} {
		switch x, y := weight(a), weight(b); {
		case x && !y:
			return b
		case y && !x:
			return a
		}
	}
	if weightsLeft {
		return b
	}
	return a
}

// markData makes a leaf an input, unless someone said that it is none.
func (r *reader) markData(n *gorgonia.Node) {
	if isLeaf(n) && n.Deriv() == nil && !r.said[n] {
		r.roles[n] = Input
	}
}

// namedData reports whether a leaf has a name that programs give their data.
func namedData(n *gorgonia.Node) bool {
	name := strings.ToLower(n.Name())
	return strings.HasPrefix(name, "x") || strings.HasPrefix(name, "input") || strings.HasPrefix(name, "data")
}

// uniform reports whether all elements of a value are v.
func uniform(x gorgonia.Value, v float32) bool {
	data, err := floats(x)
	return err == nil && !slices.ContainsFunc(data, func(e float32) bool { return e != v })
}

// random reports whether a value looks as if it was drawn to be trained: numbers of both
// signs, no two alike. Masks, priors, adjacency matrices and scales do not.
func random(x gorgonia.Value) bool {
	const fewest = 2
	data, err := floats(x)
	if err != nil || len(data) < fewest {
		return false
	}
	sorted := slices.Sorted(slices.Values(data))
	n := len(slices.Compact(slices.Clone(sorted)))
	return n == len(sorted) && sorted[0] < 0 && sorted[n-1] > 0
}

// isFloatLeaf reports whether n is a float32 leaf with a value.
func isFloatLeaf(n *gorgonia.Node) bool {
	return isLeaf(n) && n.Value() != nil && n.Dtype() == tensor.Float32
}

// trace follows layers of one operand (constants aside) back to where they start.
func (r *reader) trace(n *gorgonia.Node) *gorgonia.Node {
	for {
		m := r.found[n]
		if m == nil || m.opaque || isLeaf(n) || isConst(n) {
			return n
		}
		var only *gorgonia.Node
		for _, a := range m.args {
			if !isConst(a) && a != only {
				if only != nil {
					return n
				}
				only = a
			}
		}
		if only == nil {
			return n
		}
		n = only
	}
}
