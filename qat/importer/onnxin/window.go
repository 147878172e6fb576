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
