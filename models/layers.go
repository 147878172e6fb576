package models

import (
	"fmt"
	"math"

	"github.com/goqat/goqat/internal/nn"
	"github.com/goqat/goqat/internal/ops"
	"gorgonia.org/gorgonia"
)

// Window is a window that is not the same in rows and columns. It replaces the
// fields of the same names in [Conv2D], [MaxPool] and [AvgPool].
type Window struct {
	Kernel   [2]int // rows, columns
	Stride   [2]int // rows, columns; 0: 1 for Conv2D, the kernel for pools
	Pad      [4]int // top, left, bottom, right
	Dilation [2]int // rows, columns; 0: 1; only for Conv2D
}

// square is the window of the plain fields.
func square(kernel, stride, pad, dilation int) Window {
	return Window{Kernel: [2]int{kernel, kernel}, Stride: [2]int{stride, stride},
		Pad: [4]int{pad, pad, pad, pad}, Dilation: [2]int{dilation, dilation}}
}

// defaults fills in what is 0.
func (w Window) defaults(stride [2]int) Window {
	for i := range 2 {
		if w.Stride[i] == 0 {
			w.Stride[i] = stride[i]
		}
		if w.Dilation[i] == 0 {
			w.Dilation[i] = 1
		}
	}
	return w
}

// Conv2D is a 2-D convolution of [N,C,H,W] with weight "name.weight"
// [Out, C/Groups, R, S] and bias "name.bias" [Out].
type Conv2D struct {
	Name      string // "" names it conv1, conv2 … in order
	Out       int    // output channels; may be 0 if Depthwise: as many as come in
	Kernel    int    // rows and columns
	Stride    int    // 0: 1
	Pad       int    // zeros on every side
	Dilation  int    // 0: 1
	Groups    int    // 0: 1; divides the channels in and out
	Depthwise bool   // one group per input channel
	NoBias    bool   // leave the bias out, as before a BatchNorm
	Window    *Window
}

// Apply adds the convolution.
func (l Conv2D) Apply(b *Builder, x *gorgonia.Node) *gorgonia.Node {
	name := b.layerName(l.Name, "conv")
	if !b.wants(name, x, 4) {
		return nil
	}
	channels := x.Shape()[1]
	w := square(l.Kernel, l.Stride, l.Pad, l.Dilation)
	if l.Window != nil {
		w = *l.Window
	}
	w = w.defaults([2]int{1, 1})
	groups, out := max(l.Groups, 1), l.Out
	if l.Depthwise {
		groups = channels
		if out == 0 {
			out = channels
		}
	}
	switch {
	case l.Groups < 0 || w.Kernel[0] < 1 || w.Kernel[1] < 1:
		return b.fail(name, fmt.Errorf("%w: Kernel %v, Groups %d: want at least 1", ErrConfig, w.Kernel, l.Groups))
	case out < 1 || channels%groups != 0 || out%groups != 0:
		return b.fail(name, fmt.Errorf("%w: %d channels in, %d out, %d groups: the groups must divide both", ErrConfig, channels, out, groups))
	}
	shape := []int{out, channels / groups, w.Kernel[0], w.Kernel[1]}
	in := b.weights(name, shape, !l.NoBias)
	return b.apply(name, nn.Conv{Stride: w.Stride, Pad: w.Pad, Dilation: w.Dilation, Groups: groups}, append([]*gorgonia.Node{x}, in...)...)
}

// Linear is x·Wᵀ + bias for x [N, in], with weight "name.weight" [Out, in] and bias
// "name.bias" [Out].
type Linear struct {
	Name   string // "" names it fc1, fc2 … in order
	Out    int
	NoBias bool
}

// Apply adds the product.
func (l Linear) Apply(b *Builder, x *gorgonia.Node) *gorgonia.Node {
	name := b.layerName(l.Name, "fc")
	if !b.wants(name, x, 2) {
		return nil
	}
	if l.Out < 1 {
		return b.fail(name, fmt.Errorf("%w: Out %d, want at least 1", ErrConfig, l.Out))
	}
	in := b.weights(name, []int{l.Out, x.Shape()[1]}, !l.NoBias)
	return b.apply(name, nn.MatMul{TransB: true}, append([]*gorgonia.Node{x}, in...)...)
}

// weights returns the weight and bias nodes of a layer. Both start uniform in
// ±1/sqrt(fan-in): PyTorch's kaiming_uniform with a = sqrt(5) (He et al. 2015).
func (b *Builder) weights(name string, shape []int, bias bool) []*gorgonia.Node {
	fanIn := 1
	for _, d := range shape[1:] {
		fanIn *= d
	}
	init := uniform(1 / math.Sqrt(float64(fanIn)))
	in := []*gorgonia.Node{b.param(name+".weight", shape, init)}
	if bias {
		in = append(in, b.param(name+".bias", shape[:1], init))
	}
	return in
}

// wants checks that there is a node and that it has the rank; 0 takes any.
func (b *Builder) wants(name string, x *gorgonia.Node, rank int) bool {
	if b.err != nil {
		return false
	}
	if x == nil {
		b.fail(name, fmt.Errorf("%w: no input node", ErrConfig))
		return false
	}
	if rank > 0 && x.Shape().Dims() != rank {
		cure := "use Flatten or Reshape first"
		if rank == 4 {
			cure = "an image is [batch, channels, rows, columns]"
		}
		b.fail(name, fmt.Errorf("%w: input of shape %v, want %d axes: %s", ErrShape, x.Shape(), rank, cure))
		return false
	}
	return true
}

// BatchNorm normalises each channel (axis 1) of [N,C] or [N,C,H,W], then scales by
// "name.weight" (gamma) and shifts by "name.bias" (beta), both [C] (Ioffe and
// Szegedy 2015). A training graph uses the batch's statistics and records running
// ones, "name.running_mean" and "name.running_var"; other graphs use those.
type BatchNorm struct {
	Name     string  // "" names it bn1, bn2 … in order
	Momentum float64 // running += Momentum*(batch - running); 0: 0.1
	Eps      float64 // added to the variance; 0: 1e-5
}

// Apply adds the normalisation.
func (l BatchNorm) Apply(b *Builder, x *gorgonia.Node) *gorgonia.Node {
	name := b.layerName(l.Name, "bn")
	if !b.wants(name, x, 0) {
		return nil
	}
	if l.Momentum == 0 {
		l.Momentum = 0.1
	}
	if l.Eps == 0 {
		l.Eps = 1e-5
	}
	switch rank := x.Shape().Dims(); {
	case rank != 2 && rank != 4:
		return b.fail(name, fmt.Errorf("%w: input of shape %v, want 2 or 4 axes", ErrShape, x.Shape()))
	case !(l.Momentum > 0 && l.Momentum <= 1) || !(l.Eps > 0):
		return b.fail(name, fmt.Errorf("%w: Momentum %v, Eps %v: want 0 < Momentum <= 1 and Eps > 0", ErrConfig, l.Momentum, l.Eps))
	}
	channels := x.Shape()[1]
	gamma, beta := b.param(name+".weight", []int{channels}, ones), b.param(name+".bias", []int{channels}, nil)
	if b.err != nil {
		return nil
	}
	st, err := b.state(name, channels, l.Momentum, l.Eps)
	if err != nil {
		return b.fail(name, err)
	}
	out, err := ops.BatchNorm(x, gamma, beta, st, b.training)
	if err != nil {
		return b.fail(name, err)
	}
	b.learned[out] = true
	return out
}
