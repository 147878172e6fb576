package graph

import (
	"math"
	"slices"

	"github.com/goqat/goqat/internal/nn"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// carriedRoles decides which leaves of the carried part are parameters. What nobody
// asked to train is data: labels, masks, priors, class weights. Where Grad was called,
// that was the asking. Before that, a weight counts as asked for if a single number
// depends on it, one that nothing reads on: a loss.
func (r *reader) carriedRoles(g *gorgonia.ExprGraph, found []*match, roots []*gorgonia.Node) {
	var heads map[*gorgonia.Node]bool
	if !hasGrad(g) {
		heads = r.weights(found, false)
		lost := r.lost(roots)
		for n := range heads {
			heads[n] = lost[n]
		}
	}
	for _, m := range found {
		n := m.out
		switch {
		case isConst(n):
			r.roles[n] = Const
		case !isLeaf(n):
		case n.Dtype() == tensor.Float32 &&
			(n.Deriv() != nil || slices.Contains(r.opt.Params, n.Name()) || heads[n] && !slices.Contains(r.opt.Inputs, n.Name()) && !slices.Contains(r.opt.Constants, n.Name())):
			r.roles[n] = Param
		default:
			r.roles[n] = Input
		}
	}
}

// lost lists what single float32 numbers among the roots depend on.
func (r *reader) lost(roots []*gorgonia.Node) map[*gorgonia.Node]bool {
	seen := map[*gorgonia.Node]bool{}
	var stack []*gorgonia.Node
	for _, n := range roots {
		if n.Dims() == 0 && n.Dtype() == tensor.Float32 {
			stack = append(stack, n)
		}
	}
	for len(stack) > 0 {
		n := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if !seen[n] {
			seen[n] = true
			stack = append(stack, r.kids[n]...)
		}
	}
	return seen
}

// weights lists the leaves with values that look as if they were there to be trained: the matrix that something computed is multiplied with,
// the filter of a convolution, the bias that is added to such a product, the scale and
// shift of a batch normalisation. A vector that something is multiplied with is none: it
// may weigh classes. In the network itself tables of embeddings count too, and what is
// added to or multiplied with something computed, if its values look like it; see gains.
func (r *reader) weights(found []*match, network bool) map[*gorgonia.Node]bool {
	out := map[*gorgonia.Node]bool{}
	products := map[*gorgonia.Node]bool{}
	examples := map[*gorgonia.Node]int{} // the axis of the examples of a product: 0, or 1 behind weights on the left
	var columns []*gorgonia.Node         // weights only where there are no others
	factor := 2                          // the least rank of a weight that something is multiplied with
	if network {
		factor = 1
	}
	take := func(n *gorgonia.Node, minRank int) bool {
		leaf := r.base(n)
		if network && !isLeaf(leaf) { // weights that are computed from parameters
			leaves, ok := r.leavesOf(leaf)
			for _, l := range leaves {
				out[l] = out[l] || ok && r.trainable(l)
			}
			return ok && len(leaves) > 0
		}
		if !r.trainable(leaf) || leaf.Shape().Dims() < minRank {
			return false
		}
		out[leaf] = true
		return true
	}
	for _, m := range found {
		if m.opaque || len(m.args) == 0 {
			continue
		}
		a := m.args
		switch op := r.kindOf(m).(type) {
		case nn.Conv, nn.ConvTranspose:
			products[m.out] = r.isComputed(a[0]) && take(a[1], 4)
		case nn.MatMul:
			right := r.isComputed(a[0]) && !(network && r.isOperator(a[1])) && take(a[1], factor)
			products[m.out] = right || r.isComputed(a[1]) && !(network && (r.noWeight(a[0]) || r.isOperator(a[0]))) && take(a[0], factor)
			if !right {
				examples[m.out] = 1
			}
		case nn.BatchNorm, nn.LayerNorm, nn.GroupNorm:
			for _, x := range a[1:] {
				take(x, 1)
			}
			continue
		case nn.Gather:
			if network && a[0].Shape().Dims() > 1 {
				take(a[0], 1) // a table may be the reshaped form of a vector
			}
			continue
		case nn.Binary:
			if x, y := r.base(a[0]), r.base(a[1]); op.Fn == "add" && (products[x] || products[y]) && r.isComputed(x) && r.isComputed(y) {
				products[m.out] = true // a sum of products is one
				continue
			}
			for i, x := range a {
				b := a[len(a)-1-i]
				switch {
				case op.Fn == "add" && products[r.base(x)] && (isBiasOf(b, m.out) || isBiasOfOne(b, m.out, examples[x])):
					take(b, 1)
				case !network || !r.isComputed(x) || !r.isGain(op.Fn, b):
				case r.standardises(x, b):
					columns = append(columns, b)
				default:
					take(b, 1)
				}
			}
			continue
		default:
			continue
		}
		if len(a) > 2 && products[m.out] {
			take(a[2], 1)
		}
	}
	if len(out) == 0 {
		for _, n := range columns {
			take(n, 1)
		}
	}
	return out
}

// trainable reports whether n is a float32 leaf that has a value and no role yet.
func (r *reader) trainable(n *gorgonia.Node) bool {
	return isFloatLeaf(n) && r.given[n] == nil && (r.roles[n] == Param || r.roles[n] == Activation)
}

// noWeight reports whether a left factor can hardly be a weight: it has numbers above 0
// and none below, as adjacency matrices and averages do.
func (r *reader) noWeight(n *gorgonia.Node) bool {
	x, err := floats(r.base(n).Value())
	return err == nil && slices.Min(x) >= 0 && slices.Max(x) > 0
}

// isOperator reports whether a factor is a leaf of square matrices such as adjacency matrices,
// Laplacians and averages, and no weights: symmetric, with equal sums of rows or columns, or
// of zeros and positive numbers. Multiples of the identity and one number throughout are what
// weights may start with.
func (r *reader) isOperator(n *gorgonia.Node) bool {
	leaf := r.base(n)
	s := leaf.Shape()
	x, err := floats(leaf.Value())
	rank := len(s)
	if !isLeaf(leaf) || leaf.Deriv() != nil || err != nil || rank < 2 || s[rank-1] != s[rank-2] || s[rank-1] < 2 || uniform(leaf.Value(), x[0]) {
		return false
	}
	size := s[rank-1]
	symmetric, rows, columns, identity := true, true, true, true
	for ; len(x) > 0; x = x[size*size:] {
		sums := [2][]float64{make([]float64, size), make([]float64, size)}
		for i := range size {
			for j := range size {
				v := x[i*size+j]
				symmetric = symmetric && v == x[j*size+i]
				identity = identity && (i != j && v == 0 || i == j && v == x[0])
				sums[0][i] += float64(v)
				sums[1][j] += float64(v)
			}
		}
		rows, columns = rows && alike(sums[0]), columns && alike(sums[1])
	}
	all, _ := floats(leaf.Value())
	gaps := slices.Min(all) == 0 && slices.Max(all) > 0
	return !identity && (symmetric || rows || columns || gaps)
}

// alike reports whether sums are equal up to the rounding of float32 numbers.
func alike(sums []float64) bool {
	const rounding = 1e-5
	return slices.Max(sums)-slices.Min(sums) <= rounding*max(1, math.Abs(sums[0]))
}

// leavesOf lists the leaves that n is computed from; ok is false if there is data among
// them.
func (r *reader) leavesOf(n *gorgonia.Node) (leaves []*gorgonia.Node, ok bool) {
	seen := map[*gorgonia.Node]bool{}
	stack := []*gorgonia.Node{n}
	for len(stack) > 0 {
		n := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if seen[n] || isConst(n) {
			continue
		}
		seen[n] = true
		m := r.found[n]
		switch {
		case isLeaf(n) && r.roles[n] == Param:
			leaves = append(leaves, n)
		case isLeaf(n) || m == nil:
			return nil, false
		default:
			stack = append(stack, m.args...)
		}
	}
	return leaves, true
}

// isGain reports whether a leaf that is added to or multiplied with something computed
// looks as if it was there to be trained: a vector of one element per channel that does
// nothing yet, or random numbers.
func (r *reader) isGain(fn string, n *gorgonia.Node) bool {
	none, ok := map[string]float32{"add": 0, "mul": 1}[fn]
	leaf := r.base(n)
	if !ok || !r.trainable(leaf) {
		return false
	}
	long := 0
	for _, d := range leaf.Shape() {
		if d > 1 {
			long++
		}
	}
	return long == 1 && uniform(leaf.Value(), none) || random(leaf.Value())
}

// standardises reports whether a leaf is a number for each column of an input, as the means
// and deviations of a table are.
func (r *reader) standardises(x, leaf *gorgonia.Node) bool {
	s := r.base(leaf).Shape()
	return r.roles[r.base(x)] == Input && s.TotalSize() == slices.Max(s) && s.TotalSize() < x.Shape().TotalSize()
}

// isComputed reports whether n is data, or computed from anything.
func (r *reader) isComputed(n *gorgonia.Node) bool {
	n = r.base(n)
	return !isLeaf(n) && !isConst(n) || r.roles[n] == Input || isLeaf(n) && n.Value() == nil
}

// isBiasOf reports whether b holds one element per channel of out: axis 1, or axis 0 where
// weights stand on the left; a scalar behind a product with one channel.
func isBiasOf(b, out *gorgonia.Node) bool {
	s, size := out.Shape(), b.Shape().TotalSize()
	switch len(s) {
	case 0:
		return false
	case 1:
		return size == s[0] || size == 1
	}
	column := len(s) == 2 && b.Dims() == 2 && b.Shape()[1] == 1 && size == s[0]
	return (size == s[1] || column) && size < s.TotalSize()
}

// isBiasOfOne is isBiasOf for a batch of one example, of which out has one element per
// channel: the shape does not tell a bias from an offset of the example, which is rare.
func isBiasOfOne(b, out *gorgonia.Node, examples int) bool {
	s := out.Shape()
	return len(s) > 1 && s[examples] == 1 && s.TotalSize() == s[1-examples] && b.Shape().TotalSize() == s.TotalSize()
}

// base follows reshapes and transposes of the carried part back to where they start.
func (r *reader) base(n *gorgonia.Node) *gorgonia.Node {
	for {
		m := r.found[n]
		if m == nil || m.opaque || len(m.args) != 1 || r.given[n] != nil {
			return n
		}
		switch r.kindOf(m).(type) {
		case nn.Reshape, nn.Transpose:
			n = m.args[0]
		default:
			return n
		}
	}
}

// kindOf is the kind of the layer that a match stands for, found by emitting it on
// shapes only; nil where there is none.
func (r *reader) kindOf(m *match) nn.Op {
	if m.emit == nil || m.alias {
		return nil
	}
	e := &emitter{dry: true, r: r}
	in := make([]*Value, len(m.args))
	for i, a := range m.args {
		in[i] = &Value{Shape: []int(a.Shape()), BatchAxis: noAxis}
	}
	if _, err := m.emit(e, in); err != nil {
		return nil
	}
	return e.kind
}
