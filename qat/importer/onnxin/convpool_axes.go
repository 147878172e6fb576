package onnxin

import (
	"fmt"
	"slices"

	"github.com/goqat/goqat/internal/nn"
	"gorgonia.org/gorgonia"
)

// How are pools and convolutions read that have dilations, or more than rows and columns?
// A pool is one pool for each axis, a convolution over depth one over channels.

// stretch is a window along one axis.
type stretch struct {
	kernel, stride, dilation int
	before, after            int // padding
	more                     int // room behind it that ceil_mode adds
}

// windows is the number of places of the window.
func (w stretch) windows(size int) int {
	return (size+w.before+w.after+w.more-w.dilation*(w.kernel-1)-1)/w.stride + 1
}

// stretches reads the attributes of a window over axes of the given sizes. kernel is nil where
// the attribute must be there.
func (n *node) stretches(size, kernel []int, ceil bool) ([]stretch, error) {
	axes := len(size)
	k := n.ints("kernel_shape")
	if k == nil {
		k = kernel
	}
	if len(k) != axes || kernel != nil && !slices.Equal(k, kernel) {
		return nil, fmt.Errorf("%w: kernel_shape %v for %d axes and weights of %v", ErrFormat, k, axes, kernel)
	}
	stride, dilation, pads := n.intsOr("strides", axes, 1), n.intsOr("dilations", axes, 1), n.intsOr("pads", 2*axes, 0)
	auto := n.string("auto_pad", "NOTSET")
	if n.err != nil {
		return nil, n.err
	}
	var out []stretch
	for i := range axes {
		if min(k[i], stride[i], dilation[i]) < 1 || min(pads[i], pads[i+axes]) < 0 || max(k[i], stride[i], dilation[i], pads[i], pads[i+axes]) > maxExact {
			return nil, fmt.Errorf("%w: kernel %v, strides %v, dilations %v: want at least 1; pads %v: want at least 0; and %d at most", ErrFormat, k, stride, dilation, pads, maxExact)
		}
		w := window{kernel: [2]int{1, k[i]}, stride: [2]int{1, stride[i]}, dilation: [2]int{1, dilation[i]}, pad: [4]int{0, pads[i], 0, pads[i+axes]}}
		if err := w.auto(auto, 1, size[i]); err != nil {
			return nil, err
		}
		s := stretch{kernel: k[i], stride: stride[i], dilation: dilation[i], before: w.pad[1], after: w.pad[3]}
		if ceil {
			w.ceil(1, size[i])
			s.more = w.pad[3] - s.after
		}
		if size[i]+s.before+s.after+s.more < s.dilation*(s.kernel-1)+1 {
			return nil, fmt.Errorf("%w: a kernel of %d with dilation %d does not fit into %d elements with padding", ErrFormat, s.kernel, s.dilation, size[i])
		}
		out = append(out, s)
	}
	return out, nil
}

// apart reports whether a pool is one for each axis: with dilations or of other images than
// those of rows and columns.
func (n *node) apart() bool {
	v := n.operand(0)
	rank := v != nil && v.n != nil && v.n.Shape().Dims() > 4
	return rank || slices.ContainsFunc(n.ints("dilations"), func(d int) bool { return d != 1 })
}

// poolKind is what a pool does with a window.
type poolKind int

const (
	poolMax    poolKind = iota
	poolInside          // average of what lies inside the image
	poolWhole           // average with the file's padding as zeros
	poolSum             // average with all padding as zeros
)

// poolApart pools along one axis after the other.
func (n *node) poolApart(x *gorgonia.Node, kind poolKind) (*gorgonia.Node, []stretch, error) {
	s := x.Shape()
	if s.Dims() < 3 {
		return nil, nil, fmt.Errorf("%w: an input of shape %v: want [N,C,...]", ErrFormat, s)
	}
	all, err := n.stretches(s[2:], nil, n.int("ceil_mode", 0) != 0)
	for i := 0; i < len(all) && err == nil; i++ {
		x, err = n.poolAxis(x, i+2, all[i], kind)
	}
	return x, all, err
}

func (n *node) poolAxis(x *gorgonia.Node, at int, w stretch, kind poolKind) (*gorgonia.Node, error) {
	s := slices.Clone([]int(x.Shape()))
	y, err := n.apply(nn.Reshape{Shape: []int{s[0], product(s[1:at]), s[at], product(s[at+1:])}}, x)
	if err != nil {
		return nil, err
	}
	places, size := w.windows(s[at]), s[at]
	if kind == poolWhole && w.before+w.after > 0 {
		if y, err = n.apply(nn.Pad{Before: []int{0, 0, w.before, 0}, After: []int{0, 0, w.after, 0}}, y); err != nil {
			return nil, err
		}
		size, w.before, w.after = size+w.before+w.after, 0, 0
	}
	if w.dilation == 1 {
		y, err = n.apply(nn.Pool{Average: kind != poolMax, ExcludePad: kind == poolInside || kind == poolWhole && w.more > 0,
			Kernel: [2]int{w.kernel, 1}, Stride: [2]int{w.stride, 1}, Pad: [4]int{w.before, 0, w.after + w.more, 0}}, y)
	} else {
		y, err = n.poolTaken(y, w, at, size, places, kind)
	}
	if err != nil {
		return nil, err
	}
	s[at] = places
	return n.apply(nn.Reshape{Shape: s}, y)
}

// poolTaken pools axis 2 where the taps of a window do not lie side by side: they are picked
// and then do.
func (n *node) poolTaken(x *gorgonia.Node, w stretch, at, size, places int, kind poolKind) (*gorgonia.Node, error) {
	if err := n.b.spend(places * w.kernel); err != nil {
		return nil, err
	}
	var index []int
	scale, even, outside := make([]float32, places), true, false
	for o := range places {
		inside, count := -1, 0
		start := len(index)
		for t := range w.kernel {
			i := o*w.stride + t*w.dilation - w.before
			if i < 0 || i >= size {
				i, outside = -1, true
			} else {
				inside, count = i, count+1
			}
			index = append(index, i)
		}
		if inside < 0 {
			return nil, fmt.Errorf("%w: a window lies in the padding", ErrUnsupported)
		}
		for k, i := range index[start:] {
			switch {
			case i >= 0:
			case kind == poolMax:
				index[start+k] = inside // once more does not matter
			default:
				index[start+k] = size // a zero behind the others
			}
		}
		scale[o] = float32(w.kernel) / float32(count)
		even = even && count == w.kernel
	}
	var err error
	if outside && kind != poolMax {
		if x, err = n.apply(nn.Pad{Before: []int{0, 0, 0, 0}, After: []int{0, 0, 1, 0}}, x); err != nil {
			return nil, err
		}
	}
	if x, err = n.apply(nn.Take{Axis: 2, Index: index}, x); err != nil {
		return nil, err
	}
	y, err := n.apply(nn.Pool{Average: kind != poolMax, Kernel: [2]int{w.kernel, 1}, Stride: [2]int{w.kernel, 1}}, x)
	if err != nil || even || kind == poolMax || kind == poolSum {
		return y, err
	}
	c := n.b.constantNode(fmt.Sprint(n.label, " counts ", at), []int{places, 1}, scale)
	if c == nil {
		return nil, fmt.Errorf("%w: it cannot be told from another constant", ErrUnsupported)
	}
	return n.apply(nn.Binary{Fn: "mul"}, y, c)
}

// lpPool is the root of the sum of powers in a window, for the powers 1 and 2.
func lpPool(n *node) error {
	in, err := n.all(1, 1)
	if err != nil {
		return err
	}
	p := n.int("p", 2)
	first, last := nn.Unary{Fn: "abs"}, ""
	switch p {
	case 1:
	case 2:
		first, last = nn.Unary{Fn: "square"}, "sqrt"
	default:
		return fmt.Errorf("%w: p = %d: goqat has 1 and 2", ErrUnsupported, p)
	}
	y, err := n.apply(first, in[0])
	if err != nil {
		return err
	}
	y, all, err := n.poolApart(y, poolSum)
	if err != nil {
		return err
	}
	count := 1
	for _, w := range all {
		count = product([]int{count, w.kernel})
	}
	if y, err = n.apply(nn.Binary{Fn: "mul"}, y, n.single(float64(count))); err == nil && last != "" {
		y, err = n.apply(nn.Unary{Fn: last}, y)
	}
	return n.set(0, y, err)
}

// convDepth reads a convolution over depth, rows and columns: for each place in depth, its
// taps there are channels more of a convolution over rows and columns.
func convDepth(n *node, x *gorgonia.Node) error {
	w, err := n.param(1)
	if err != nil {
		return err
	}
	s, ws, groups := x.Shape(), w.Shape(), n.int("group", 1)
	if len(ws) != 5 || groups < 1 {
		return fmt.Errorf("%w: weights of shape %v in %d groups for an input of shape %v", ErrFormat, ws, groups, s)
	}
	all, err := n.stretches(s[2:], ws[2:], false)
	if err != nil {
		return err
	}
	d, r, c := all[0], all[1], all[2]
	places := d.windows(s[2])
	if err := n.b.affords(product([]int{places, d.kernel})); err != nil {
		return err
	}
	index := make([]int, 0, places*d.kernel)
	for o := range places {
		for t := range d.kernel {
			index = append(index, o*d.stride+t*d.dilation)
		}
	}
	if d.before+d.after > 0 {
		if x, err = n.apply(nn.Pad{Before: []int{0, 0, d.before, 0, 0}, After: []int{0, 0, d.after, 0, 0}}, x); err != nil {
			return err
		}
	}
	if x, err = n.taken(x, 2, index); err != nil {
		return err
	}
	in := []*gorgonia.Node{x, w}
	for i, steps := range [2][]nn.Op{{
		nn.Reshape{Shape: []int{s[0], s[1], places, d.kernel, s[3] * s[4]}}, nn.Transpose{Perm: []int{0, 2, 1, 3, 4}},
		nn.Reshape{Shape: []int{s[0] * places, s[1] * d.kernel, s[3], s[4]}},
	}, {nn.Reshape{Shape: []int{ws[0], ws[1] * ws[2], ws[3], ws[4]}}}} {
		if in[i], err = n.chained(in[i], steps); err != nil {
			return err
		}
	}
	if n.operand(2) != nil {
		bias, err := n.param(2)
		if err != nil {
			return err
		}
		in = append(in, bias)
	}
	y, err := n.apply(nn.Conv{Stride: [2]int{r.stride, c.stride}, Dilation: [2]int{r.dilation, c.dilation}, Groups: groups,
		Pad: [4]int{r.before, c.before, r.after, c.after}}, in...)
	if err != nil {
		return err
	}
	h, width := y.Shape()[2], y.Shape()[3]
	y, err = n.chained(y, []nn.Op{
		nn.Reshape{Shape: []int{s[0], places, ws[0], h * width}}, nn.Transpose{Perm: []int{0, 2, 1, 3}},
		nn.Reshape{Shape: []int{s[0], ws[0], places, h, width}},
	})
	return n.set(0, y, err)
}

// chained applies one layer after the other.
func (n *node) chained(x *gorgonia.Node, steps []nn.Op) (y *gorgonia.Node, err error) {
	for _, op := range steps {
		if x, err = n.apply(op, x); err != nil {
			return nil, err
		}
	}
	return x, nil
}
