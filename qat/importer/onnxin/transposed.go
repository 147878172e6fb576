package onnxin

import (
	"fmt"

	"github.com/goqat/goqat/internal/nn"
	"gorgonia.org/gorgonia"
)

// How is a transposed convolution read?

func convTranspose(n *node) error {
	if err := n.arity(2, 3); err != nil {
		return err
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
	if n.in[0].pad != [4]int{} {
		return fmt.Errorf("%w: its input is padded for a convolution only", ErrUnsupported)
	}
	w, err := n.window([2]int(x.Shape()[2:]), dims, ws[2:], [4]int{}, false)
	if err != nil {
		return err
	}
	op := nn.ConvTranspose{Stride: w.stride, Pad: w.pad, Dilation: w.dilation, Groups: n.int("group", 1)}
	if err := n.transposedSize(&op, w.kernel, [2]int(x.Shape()[2:]), dims); err != nil {
		return err
	}
	if weight, err = n.outputsFirst(weight, op.Groups); err != nil {
		return err
	}
	in := []*gorgonia.Node{x, weight}
	if n.operand(2) != nil {
		bias, err := n.param(2)
		if err != nil {
			return err
		}
		in = append(in, bias)
	}
	y, err := n.apply(op, in...)
	return n.setImage(y, dims, err)
}

// transposedSize reads what the result's size depends on: rows and columns more, or the size
// itself, from which padding follows.
func (n *node) transposedSize(op *nn.ConvTranspose, kernel, size [2]int, dims int) error {
	extra, want := n.intsOr("output_padding", dims, 0), n.ints("output_shape")
	auto := n.string("auto_pad", "NOTSET")
	same := auto == "SAME_UPPER" || auto == "SAME_LOWER"
	if n.err != nil {
		return n.err
	}
	if len(want) > dims { // with batch and channels
		want = want[len(want)-dims:]
	}
	if want != nil && len(want) != dims {
		return fmt.Errorf("%w: output_shape %v for %d axes", ErrFormat, want, dims)
	}
	for i := range dims {
		at := i + 2 - dims
		op.Extra[at] = extra[i]
		if want == nil && !same {
			continue
		}
		out := size[at] * op.Stride[at]
		if want != nil {
			out = want[i]
		}
		total := (size[at]-1)*op.Stride[at] + extra[i] + op.Dilation[at]*(kernel[at]-1) + 1 - out
		if total < 0 {
			op.Extra[at], total = extra[i]-total, 0
		}
		op.Pad[at], op.Pad[at+2] = total-total/2, total/2
		if auto == "SAME_UPPER" {
			op.Pad[at], op.Pad[at+2] = total/2, total-total/2
		}
	}
	return nil
}

// outputsFirst brings weights [C,K/groups,(R,)S] into the order of a convolution's,
// [K,C/groups,R,S].
func (n *node) outputsFirst(w *gorgonia.Node, groups int) (*gorgonia.Node, error) {
	s := w.Shape()
	taps := []int{1, s[len(s)-1]}
	if len(s) == 4 {
		taps[0] = s[2]
	}
	if groups < 1 || s[0]%groups != 0 {
		return nil, fmt.Errorf("%w: weights of shape %v in %d groups", ErrFormat, s, groups)
	}
	ins := s[0] / groups
	steps := []nn.Op{
		nn.Reshape{Shape: []int{groups, ins, s[1], taps[0], taps[1]}}, nn.Transpose{Perm: []int{0, 2, 1, 3, 4}},
		nn.Reshape{Shape: []int{groups * s[1], ins, taps[0], taps[1]}},
	}
	if groups == 1 && len(s) == 4 {
		steps = []nn.Op{nn.Transpose{Perm: []int{1, 0, 2, 3}}}
	}
	for _, op := range steps {
		var err error
		if w, err = n.apply(op, w); err != nil {
			return nil, err
		}
	}
	return w, nil
}
