package onnxin

import (
	"fmt"
	"slices"

	"github.com/goqat/goqat/internal/nn"
	"gorgonia.org/gorgonia"
)

// Which layers are convolutions and pools?

func conv(n *node) error {
	if err := n.arity(2, 3); err != nil {
		return err
	}
	if v := n.operand(0); v != nil && v.n != nil && v.n.Shape().Dims() == 5 {
		return convDepth(n, v.n)
	}
	x, dims, err := n.image()
	if err != nil {
		return err
	}
	weight, err := n.param(1)
	if err != nil {
		return err
	}
	ws := weight.Shape()
	if ws.Dims() != dims+2 {
		return fmt.Errorf("%w: weights of shape %v for an input of shape %v", ErrFormat, ws, x.Shape())
	}
	w, err := n.window([2]int(x.Shape()[2:]), dims, ws[2:], n.in[0].pad, false)
	if err != nil {
		return err
	}
	if dims == 1 {
		if weight, err = n.apply(nn.Reshape{Shape: []int{ws[0], ws[1], 1, ws[2]}}, weight); err != nil {
			return err
		}
	}
	in := []*gorgonia.Node{x, weight}
	if n.operand(2) != nil {
		bias, err := n.param(2)
		if err != nil {
			return err
		}
		in = append(in, bias)
	}
	groups := n.int("group", 1)
	y, err := n.apply(nn.Conv{Stride: w.stride, Pad: w.pad, Dilation: w.dilation, Groups: groups}, in...)
	return n.setImage(y, dims, err)
}

// pool reads what both kinds of pool share.
func (n *node) pool() (x *gorgonia.Node, dims int, w window, err error) {
	if err = n.arity(1, 1); err != nil {
		return
	}
	if x, dims, err = n.image(); err != nil {
		return
	}
	ceil := n.int("ceil_mode", 0) != 0
	w, err = n.window([2]int(x.Shape()[2:]), dims, nil, [4]int{}, ceil)
	return
}

// poolOf reads a pool of any kind.
func (n *node) poolOf(kind poolKind) error {
	in, err := n.all(1, 1)
	if err != nil {
		return err
	}
	y, _, err := n.poolApart(in[0], kind)
	return n.set(0, y, err)
}

func maxPool(n *node) error {
	if n.apart() {
		return n.poolOf(poolMax)
	}
	x, dims, w, err := n.pool()
	if err != nil {
		return err
	}
	y, err := n.apply(nn.Pool{Kernel: w.kernel, Stride: w.stride, Pad: w.pad}, x)
	return n.setImage(y, dims, err)
}

// averagePool counts the file's padding if count_include_pad says so, but never that of
// ceil_mode.
func averagePool(n *node) error {
	if n.apart() {
		kind := poolInside
		if n.int("count_include_pad", 0) != 0 {
			kind = poolWhole
		}
		return n.poolOf(kind)
	}
	x, dims, w, err := n.pool()
	if err != nil {
		return err
	}
	op := nn.Pool{Average: true, Kernel: w.kernel, Stride: w.stride, Pad: w.pad}
	op.ExcludePad = w.pad != [4]int{}
	if n.int("count_include_pad", 0) != 0 && op.ExcludePad {
		plain, err := n.window([2]int(x.Shape()[2:]), dims, nil, [4]int{}, false)
		if err != nil {
			return err
		}
		if plain.pad == w.pad {
			op.ExcludePad = false
		} else {
			p := plain.pad
			if x, err = n.apply(nn.Pad{Before: []int{0, 0, p[0], p[1]}, After: []int{0, 0, p[2], p[3]}}, x); err != nil {
				return err
			}
			op.Pad = [4]int{0, 0, w.pad[2] - p[2], w.pad[3] - p[3]}
		}
	}
	y, err := n.apply(op, x)
	return n.setImage(y, dims, err)
}

func globalPool(n *node) error {
	if err := n.arity(1, 1); err != nil {
		return err
	}
	if v := n.in[0]; v != nil && v.n != nil && v.n.Shape().Dims() > 4 {
		s := v.n.Shape()
		op := nn.Op(nn.GlobalAvgPool{})
		if n.op == "GlobalMaxPool" {
			op = nn.Pool{Kernel: [2]int{s[2], product(s[3:])}, Stride: [2]int{1, 1}}
		}
		y, err := n.chained(v.n, []nn.Op{nn.Reshape{Shape: []int{s[0], s[1], s[2], product(s[3:])}}, op,
			nn.Reshape{Shape: slices.Concat(s[:2], slices.Repeat([]int{1}, len(s)-2))}})
		return n.set(0, y, err)
	}
	x, dims, err := n.image()
	if err != nil {
		return err
	}
	var op nn.Op = nn.GlobalAvgPool{}
	if n.op == "GlobalMaxPool" {
		op = nn.Pool{Kernel: [2]int(x.Shape()[2:]), Stride: [2]int{1, 1}}
	}
	y, err := n.apply(op, x)
	return n.setImage(y, dims, err)
}
