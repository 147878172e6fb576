package onnxin

import (
	"fmt"
	"slices"

	"github.com/goqat/goqat/internal/nn"
	"gorgonia.org/gorgonia"
)

// window is the geometry of a convolution or a pool over rows and columns.
type window struct {
	kernel, stride, dilation [2]int
	pad                      [4]int // top, left, bottom, right
}

// window reads the attributes for an image with the given number of axes, 1 or 2, and
// size. A 1-D window has one row. kernel is nil where the attribute must be there.
func (n *node) window(size [2]int, axes int, kernel []int, inner [4]int, ceil bool) (window, error) {
	k := n.ints("kernel_shape")
	switch {
	case k == nil && kernel == nil:
		return window{}, fmt.Errorf("%w: no kernel_shape", ErrFormat)
	case k == nil:
		k = kernel
	case kernel != nil && !slices.Equal(k, kernel):
		return window{}, fmt.Errorf("%w: kernel_shape %v, the weights have %v", ErrFormat, k, kernel)
	case len(k) != axes:
		return window{}, fmt.Errorf("%w: kernel_shape %v for %d axes", ErrFormat, k, axes)
	}
	stride, dilation, pads := n.intsOr("strides", axes, 1), n.intsOr("dilations", axes, 1), n.intsOr("pads", 2*axes, 0)
	auto := n.string("auto_pad", "NOTSET")
	if n.err != nil {
		return window{}, n.err
	}
	w := window{kernel: [2]int{1, 1}, stride: [2]int{1, 1}, dilation: [2]int{1, 1}}
	for i := range axes {
		at := i + 2 - axes // 1-D: columns
		w.kernel[at], w.stride[at], w.dilation[at] = k[i], stride[i], dilation[i]
		w.pad[at], w.pad[at+2] = pads[i], pads[i+axes]
	}
	if auto != "NOTSET" && w.pad != [4]int{} {
		return window{}, fmt.Errorf("%w: both auto_pad and pads", ErrFormat)
	}
	for at := range 2 {
		if w.kernel[at] < 1 || w.stride[at] < 1 || w.dilation[at] < 1 || min(w.pad[at], w.pad[at+2]) < 0 {
			return window{}, fmt.Errorf("%w: kernel %v, strides %v, dilations %v: want at least 1; pads %v: want at least 0", ErrFormat, k, stride, dilation, pads)
		}
		if max(w.kernel[at], w.stride[at], w.dilation[at], w.pad[at], w.pad[at+2]) > 1<<30 {
			return window{}, fmt.Errorf("%w: kernel %v, strides %v, dilations %v, pads %v: absurdly large", ErrFormat, k, stride, dilation, pads)
		}
		if err := w.auto(auto, at, size[at]+inner[at]+inner[at+2]); err != nil {
			return window{}, err
		}
		w.pad[at] += inner[at]
		w.pad[at+2] += inner[at+2]
		if ceil {
			w.ceil(at, size[at])
		}
	}
	return w, nil
}

// auto sets the padding of one axis as auto_pad says.
func (w *window) auto(mode string, at, size int) error {
	switch mode {
	case "NOTSET", "VALID":
		return nil
	case "SAME_UPPER", "SAME_LOWER":
	default:
		return fmt.Errorf("%w: auto_pad %q", ErrFormat, mode)
	}
	out := (size-1)/w.stride[at] + 1
	total := max(0, (out-1)*w.stride[at]+w.dilation[at]*(w.kernel[at]-1)+1-size)
	less, more := total/2, total-total/2
	if mode == "SAME_LOWER" {
		less, more = more, less
	}
	w.pad[at], w.pad[at+2] = less, more
	return nil
}

// ceil adds the padding that makes room for a last window that is cut off. Windows
// that would start in that padding are left out, as in PyTorch.
func (w *window) ceil(at, size int) {
	k := w.dilation[at]*(w.kernel[at]-1) + 1
	room := size + w.pad[at] + w.pad[at+2] - k
	if room < 0 {
		return // the layer's check says so
	}
	last := (room + w.stride[at] - 1) / w.stride[at] * w.stride[at] // start of the last window
	if last >= size+w.pad[at] {
		last -= w.stride[at]
	}
	w.pad[at+2] += max(0, last-room)
}

// image returns operand 0 as [N,C,H,W]. A 1-D image gets one row.
func (n *node) image() (x *gorgonia.Node, axes int, err error) {
	v := n.operand(0)
	if v != nil && v.n != nil {
		x = v.n // its padding, if any, is the caller's business
	} else if x, err = n.data(0); err != nil {
		return nil, 0, err
	}
	s := x.Shape()
	switch s.Dims() {
	case 4:
		return x, 2, nil
	case 3:
		x, err = n.apply(nn.Reshape{Shape: []int{s[0], s[1], 1, s[2]}}, x)
		return x, 1, err
	}
	return nil, 0, fmt.Errorf("%w: input of shape %v: goqat has 1-D and 2-D windows, inputs [N,C,W] and [N,C,H,W]", ErrUnsupported, s)
}

// setImage makes y the result, without its row if the image is 1-D.
func (n *node) setImage(y *gorgonia.Node, axes int, err error) error {
	if err == nil && axes == 1 {
		s := y.Shape()
		y, err = n.apply(nn.Reshape{Shape: []int{s[0], s[1], s[3]}}, y)
	}
	return n.set(0, y, err)
}

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
