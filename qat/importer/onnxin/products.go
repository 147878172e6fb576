package onnxin

import (
	"fmt"
	"slices"

	"github.com/goqat/goqat/internal/nn"
	"gorgonia.org/gorgonia"
)

// gemm is alpha·A·B + beta·C with transposes.
func gemm(n *node) error {
	if err := n.arity(2, 3); err != nil {
		return err
	}
	a, err := n.data(0)
	if err != nil {
		return err
	}
	b, err := n.param(1)
	if err != nil {
		return err
	}
	op := nn.MatMul{TransA: n.int("transA", 0) != 0, TransB: n.int("transB", 0) != 0}
	alpha, beta := n.float("alpha", 1), n.float("beta", 1)
	if a.Shape().Dims() != 2 || b.Shape().Dims() != 2 {
		return fmt.Errorf("%w: factors of shapes %v and %v, want matrices", ErrFormat, a.Shape(), b.Shape())
	}
	in := []*gorgonia.Node{a, b}
	c := n.operand(2)
	columns := b.Shape()[1]
	if op.TransB {
		columns = b.Shape()[0]
	}
	if c != nil && alpha == 1 && beta == 1 {
		bias, err := n.param(2)
		if err != nil {
			return err
		}
		if s := bias.Shape(); s.TotalSize() == columns && (s.Dims() == 1 || s.Dims() == 2 && s[0] == 1) {
			if s.Dims() == 2 {
				if bias, err = n.apply(nn.Reshape{Shape: []int{columns}}, bias); err != nil {
					return err
				}
			}
			in, c = append(in, bias), nil
		}
	}
	y, err := n.apply(op, in...)
	if err == nil {
		y, err = n.scaled(y, alpha)
	}
	if err != nil || c == nil {
		return n.set(0, y, err)
	}
	bias, err := n.param(2)
	if err == nil {
		bias, err = n.scaled(bias, beta)
	}
	if err == nil {
		y, err = n.apply(nn.Binary{Fn: "add"}, y, bias)
	}
	return n.set(0, y, err)
}

// scaled multiplies x with a number, unless that is 1.
func (n *node) scaled(x *gorgonia.Node, by float64) (*gorgonia.Node, error) {
	if by == 1 {
		return x, nil
	}
	return n.apply(nn.Binary{Fn: "mul"}, x, n.single(by))
}

// single is a new constant of one number.
func (n *node) single(v float64) *gorgonia.Node {
	return n.b.scalar(fmt.Sprintf("const %v", float32(v)), float32(v))
}

// matMul multiplies stacks of matrices. A right factor of rank 2 multiplies all rows of
// the left one as one matrix, which is what integer kernels and weight quantizers
// want; a bias that is added behind it, and nowhere else needed, becomes part of it.
func matMul(n *node) error {
	if err := n.arity(2, 2); err != nil {
		return err
	}
	a, err := n.data(0)
	if err != nil {
		return err
	}
	b, op, err := n.rightFactor()
	if err != nil {
		return err
	}
	as, bs := a.Shape().Clone(), b.Shape().Clone()
	if as.Dims() < 1 || bs.Dims() < 1 {
		return fmt.Errorf("%w: factors of shapes %v and %v", ErrFormat, as, bs)
	}
	if bs.Dims() == 2 && as.Dims() != 2 {
		return n.flatMatMul(op, a, b)
	}
	if bs.Dims() == 2 {
		bias, add, err := n.biasBehind(columnsOf(op, bs))
		if err != nil {
			return err
		}
		if bias != nil {
			y, err := n.apply(op, a, b, bias)
			return n.setFused(add, y, err)
		}
		y, err := n.apply(op, a, b)
		return n.set(0, y, err)
	}
	return n.stackMatMul(op, a, b)
}

// rightFactor is operand 1, looked at through the transposition of a matrix.
func (n *node) rightFactor() (*gorgonia.Node, nn.MatMul, error) {
	b, err := n.param(1)
	if err != nil {
		return nil, nn.MatMul{}, err
	}
	if source := n.b.transposed[b]; source != nil {
		return source, nn.MatMul{TransB: true}, nil
	}
	return b, nn.MatMul{}, nil
}

func columnsOf(op nn.MatMul, b []int) int {
	if op.TransB {
		return b[0]
	}
	return b[1]
}

// flatMatMul multiplies all rows of a, of any rank but 2, with a matrix.
func (n *node) flatMatMul(op nn.MatMul, a, b *gorgonia.Node) error {
	as := a.Shape().Clone()
	last := as[len(as)-1]
	flat, err := n.apply(nn.Reshape{Shape: []int{as.TotalSize() / last, last}}, a)
	if err != nil {
		return err
	}
	columns := columnsOf(op, b.Shape())
	out := append(slices.Clone([]int(as[:len(as)-1])), columns)
	bias, add, err := n.biasBehind(columns)
	if err != nil {
		return err
	}
	in := []*gorgonia.Node{flat, b}
	if bias != nil {
		in = append(in, bias)
	}
	y, err := n.apply(op, in...)
	if err != nil {
		return err
	}
	gorgonia.WithName(n.label)(y)
	n.b.named[y] = true
	y, err = n.apply(nn.Reshape{Shape: out}, y)
	if bias != nil {
		return n.setFused(add, y, err)
	}
	return n.set(0, y, err)
}

// biasBehind finds an addition of a vector of parameters, one per column, that alone
// reads the node's result.
func (n *node) biasBehind(columns int) (bias *gorgonia.Node, add *node, err error) {
	add = n.b.onlyUser(n.pb.Output[0])
	if add == nil || add.op != "Add" || len(add.pb.Input) != 2 || len(add.pb.Output) != 1 || !isStandard(add.pb.GetDomain()) {
		return nil, nil, nil
	}
	other := add.pb.Input[0]
	if other == n.pb.Output[0] {
		other = add.pb.Input[1]
	}
	v := n.b.values[other]
	if v == nil || !v.isParam() || len(v.t.Dims) != 1 || v.t.Dims[0] != int64(columns) {
		return nil, nil, nil
	}
	bias, err = n.b.graphNode(v, true)
	return bias, add, err
}

// setFused makes y the result of a later node that n has taken in.
func (n *node) setFused(later *node, y *gorgonia.Node, err error) error {
	if err == nil {
		n.b.done[later], n.absorbed = true, true
	}
	return later.set(0, y, err)
}

// stackMatMul multiplies stacks of matrices; leading axes of size 1 or missing are
// repeated only where that costs no memory: over the rows of the left factor.
func (n *node) stackMatMul(op nn.MatMul, a, b *gorgonia.Node) error {
	as, bs := []int(a.Shape().Clone()), []int(b.Shape().Clone())
	if len(as) == 1 { // a row; its axis goes again
		as = []int{1, as[0]}
	}
	column := len(bs) == 1
	if column {
		bs = []int{bs[0], 1}
	}
	out := slices.Clone(as[:len(as)-1])
	if column || product(bs[:len(bs)-2]) == 1 && len(bs) <= len(as) {
		// One matrix for all.
		b2, err := n.apply(nn.Reshape{Shape: bs[len(bs)-2:]}, b)
		if err != nil {
			return err
		}
		flat, err := n.apply(nn.Reshape{Shape: []int{product(out), as[len(as)-1]}}, a)
		if err != nil {
			return err
		}
		y, err := n.apply(op, flat, b2)
		if err != nil {
			return err
		}
		if !column {
			out = append(out, bs[len(bs)-1])
		}
		if a.Shape().Dims() == 1 {
			out = out[1:]
		}
		y, err = n.apply(nn.Reshape{Shape: out}, y)
		return n.set(0, y, err)
	}
	if !slices.Equal(as[:len(as)-2], bs[:len(bs)-2]) {
		return fmt.Errorf("%w: factors of shapes %v and %v: stacks of matrices must have equal leading axes", ErrUnsupported, a.Shape(), b.Shape())
	}
	y, err := n.apply(op, a, b)
	return n.set(0, y, err)
}
