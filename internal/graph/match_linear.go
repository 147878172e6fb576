package graph

import (
	"slices"

	"github.com/goqat/goqat/internal/nn"
	"gorgonia.org/gorgonia"
)

// The products of linAlgBinOp, in the order of Gorgonia's enumeration.
const (
	matMul = iota
	matVec
	vecDot
	outerProd
	batchedMatMul
)

// linAlg reads Mul, OuterProd and BatchedMatMul. Products with vectors become a
// product of matrices between reshapes.
func (r *reader) linAlg(n *gorgonia.Node) *match {
	f := fieldsOf(n.Op())
	kind, ta, tb := f.int("āBinaryOperator"), f.bool("transA"), f.bool("transB")
	kids := r.kids[n]
	if f.err != nil || len(kids) != 2 {
		return nil
	}
	a, b := kids[0], kids[1]
	switch kind {
	case matMul, batchedMatMul:
		m := simple(n, nn.MatMul{TransA: ta, TransB: tb}, a, b)
		m.left, m.right = a, b
		return m
	case matVec:
		m := &match{out: n, args: kids, left: a, right: b}
		if ta {
			// Written as vector · matrix, and stored with the operands swapped.
			m.left, m.right = b, a
		}
		m.emit = func(e *emitter, in []*Value) (*Value, error) { return r.matVec(e, n, ta, in[0], in[1]) }
		return m
	case vecDot:
		return vectors(n, a, b, func(x, y int) ([]int, []int) { return []int{1, x}, []int{y, 1} })
	case outerProd:
		m := vectors(n, a, b, func(x, y int) ([]int, []int) { return []int{x, 1}, []int{1, y} })
		m.wrong = "its gradient multiplies operands of the wrong shapes"
		return m
	}
	return nil
}

// vectors is a product of two vectors, as matrices of the shapes that as gives.
func vectors(n, a, b *gorgonia.Node, as func(x, y int) (left, right []int)) *match {
	return &match{out: n, args: []*gorgonia.Node{a, b}, left: a, right: b,
		emit: func(e *emitter, in []*Value) (*Value, error) {
			l, rt := as(product(in[0].Shape), product(in[1].Shape))
			return e.product(nn.MatMul{}, in[0], l, in[1], rt, n)
		}}
}

// matVec emits matrix · vector, or vector · matrix when trans is set. The vector is
// a row on the left where the matrix is the weight, so that the layer looks like a
// linear one, and a column on the right otherwise.
func (r *reader) matVec(e *emitter, n *gorgonia.Node, trans bool, m, v *Value) (*Value, error) {
	k := product(v.Shape)
	if trans || m.Role == Param && v.Role != Param {
		return e.product(nn.MatMul{TransB: !trans}, v, []int{1, k}, m, m.Shape, n)
	}
	return e.product(nn.MatMul{}, m, m.Shape, v, []int{k, 1}, n)
}

// product emits a · b in the given shapes, and the node's shape for the result.
func (e *emitter) product(op nn.MatMul, a *Value, as []int, b *Value, bs []int, n *gorgonia.Node) (*Value, error) {
	a, err := e.reshape(a, as...)
	if err != nil {
		return nil, err
	}
	if b, err = e.reshape(b, bs...); err != nil {
		return nil, err
	}
	return e.layer(op, a, b)
}

// conv reads Conv2d and Conv1d: an image to columns, times the flattened filter, back
// to an image.
func (r *reader) conv(n *gorgonia.Node) *match {
	f := fieldsOf(n.Op())
	if !slices.Equal(f.ints("pattern"), []int{0, 3, 1, 2}) || f.err != nil {
		return nil
	}
	prod := r.under(r.kids[n][0], "reshapeOp")
	if prod == nil || opName(prod.Op()) != "linAlgBinOp" {
		return nil
	}
	pf := fieldsOf(prod.Op())
	if pf.int("āBinaryOperator") != matMul || pf.bool("transA") || !pf.bool("transB") || pf.err != nil {
		return nil
	}
	cols, w := r.under(r.kids[prod][0], "reshapeOp"), r.under(r.kids[prod][1], "reshapeOp")
	if cols == nil || w == nil || opName(cols.Op()) != "im2colOp" {
		return nil
	}
	x, cf := r.kids[cols][0], fieldsOf(cols.Op())
	ws := w.Shape()
	if len(ws) != 4 || ws[2] != cf.int("h") || ws[3] != cf.int("w") {
		return nil
	}
	ph, pw := cf.int("padH"), cf.int("padW")
	op := nn.Conv{
		Stride:   [2]int{cf.int("strideH"), cf.int("strideW")},
		Pad:      [4]int{ph, pw, ph, pw},
		Dilation: [2]int{cf.int("dilationH"), cf.int("dilationW")},
		Groups:   1,
	}
	if cf.err != nil {
		return nil
	}
	m := simple(n, op, x, w)
	m.image = x
	return m
}

// under returns the operand of n if n's op is of that type.
func (r *reader) under(n *gorgonia.Node, op string) *gorgonia.Node {
	if opName(n.Op()) != op {
		return nil
	}
	return r.kids[n][0]
}

// tensordot reads Tensordot: a product of matrices, the contracted axes of either factor as
// one and the others as one.
func (r *reader) tensordot(n *gorgonia.Node) *match {
	f := fieldsOf(n.Op())
	aAxes, bAxes := f.ints("aAxes"), f.ints("bAxes")
	kids := r.kids[n]
	if f.err != nil || len(kids) != 2 {
		return nil
	}
	return &match{out: n, args: kids, left: kids[0], right: kids[1], emit: func(e *emitter, in []*Value) (*Value, error) {
		aFree, bFree := others(aAxes, len(in[0].Shape)), others(bAxes, len(in[1].Shape))
		a, err := e.matrix(in[0], append(slices.Clone(aFree), aAxes...), len(aFree))
		if err != nil {
			return nil, err
		}
		right, first := append(slices.Clone(bAxes), bFree...), len(bAxes)
		op := nn.MatMul{}
		if turned := append(slices.Clone(bFree), bAxes...); slices.IsSorted(turned) { // a view will do
			op.TransB, right, first = true, turned, len(bFree)
		}
		b, err := e.matrix(in[1], right, first)
		if err != nil {
			return nil, err
		}
		return e.layer(op, a, b)
	}}
}

// others are the axes of a tensor of some rank that are not in the list.
func others(axes []int, rank int) []int {
	var free []int
	for i := range rank {
		if !slices.Contains(axes, i) {
			free = append(free, i)
		}
	}
	return free
}

// matrix brings the axes of v into the order of perm and makes rows of the first so many of
// them, columns of the others.
func (e *emitter) matrix(v *Value, perm []int, first int) (*Value, error) {
	if !slices.IsSorted(perm) {
		var err error
		if v, err = e.aux(nn.Transpose{Perm: perm}, v); err != nil {
			return nil, err
		}
	}
	return e.reshape(v, product(v.Shape[:first]), product(v.Shape[first:]))
}
