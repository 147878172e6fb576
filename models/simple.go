package models

import (
	"fmt"

	"github.com/goqat/goqat/internal/nn"
	"github.com/goqat/goqat/internal/ops"
	"gorgonia.org/gorgonia"
)

// Layers without parameters. All take any shape unless they say otherwise.
type (
	// ReLU is max(x, 0).
	ReLU struct{}
	// ReLU6 is min(max(x, 0), 6).
	ReLU6 struct{}
	// LeakyReLU is x for x >= 0 and Slope*x below.
	LeakyReLU struct {
		Slope float64 // 0: 0.01
	}
	// Sigmoid is 1/(1+exp(-x)).
	Sigmoid struct{}
	// Tanh is the hyperbolic tangent.
	Tanh struct{}
	// GELU is x·Φ(x), Φ the distribution function of the normal distribution (Hendrycks and
	// Gimpel 2016), or with Tanh its approximation 0.5·x·(1 + tanh(√(2/π)·(x + 0.044715·x³))).
	GELU struct{ Tanh bool }
	// Softmax is exp(x)/sum(exp(x)) along the last axis. Leave it out in front of a
	// cross entropy on logits, which has its own.
	Softmax struct{}
	// MaxPool takes the largest value of each window of [N,C,H,W].
	MaxPool struct {
		Kernel int // rows and columns
		Stride int // 0: Kernel
		Pad    int // on every side; less than Kernel; never wins
		Window *Window
	}
	// AvgPool averages each window of [N,C,H,W], padding included unless ExcludePad
	// is set.
	AvgPool struct {
		Kernel     int // rows and columns
		Stride     int // 0: Kernel
		Pad        int // zeros on every side; less than Kernel
		ExcludePad bool
		Window     *Window
	}
	// GlobalAvgPool averages [N,C,H,W] over H and W into [N,C,1,1].
	GlobalAvgPool struct{}
	// Flatten makes [N, everything else] of any shape.
	Flatten struct{}
	// Dropout drops elements with probability P, 0 <= P < 1, in training and scales
	// the others by 1/(1-P) (Srivastava et al. 2014). The masks depend on the network's
	// seed and start over with each new graph.
	Dropout struct{ P float64 }
)

// Apply adds the layer.
func (ReLU) Apply(b *Builder, x *gorgonia.Node) *gorgonia.Node {
	return b.simple(nn.Unary{Fn: "relu"}, x, 0)
}

// Apply adds the layer.
func (ReLU6) Apply(b *Builder, x *gorgonia.Node) *gorgonia.Node {
	return b.simple(nn.Unary{Fn: "clip", Min: 0, Max: 6}, x, 0)
}

// Apply adds the layer.
func (l LeakyReLU) Apply(b *Builder, x *gorgonia.Node) *gorgonia.Node {
	if l.Slope == 0 {
		l.Slope = 0.01
	}
	return b.simple(nn.Unary{Fn: "leaky_relu", Alpha: l.Slope}, x, 0)
}

// Apply adds the layer.
func (Sigmoid) Apply(b *Builder, x *gorgonia.Node) *gorgonia.Node {
	return b.simple(nn.Unary{Fn: "sigmoid"}, x, 0)
}

// Apply adds the layer.
func (Tanh) Apply(b *Builder, x *gorgonia.Node) *gorgonia.Node {
	return b.simple(nn.Unary{Fn: "tanh"}, x, 0)
}

// Apply adds the layer.
func (l GELU) Apply(b *Builder, x *gorgonia.Node) *gorgonia.Node {
	fn := "gelu"
	if l.Tanh {
		fn = "gelu_tanh"
	}
	return b.simple(nn.Unary{Fn: fn}, x, 0)
}

// Apply adds the layer.
func (Softmax) Apply(b *Builder, x *gorgonia.Node) *gorgonia.Node {
	if !b.wants("softmax", x, 0) {
		return nil
	}
	return b.simple(nn.Softmax{Axis: x.Shape().Dims() - 1}, x, 0)
}

// Apply adds the layer.
func (l MaxPool) Apply(b *Builder, x *gorgonia.Node) *gorgonia.Node {
	return b.simple(pool(l.Window, square(l.Kernel, l.Stride, l.Pad, 1)), x, 4)
}

// Apply adds the layer.
func (l AvgPool) Apply(b *Builder, x *gorgonia.Node) *gorgonia.Node {
	op := pool(l.Window, square(l.Kernel, l.Stride, l.Pad, 1))
	op.Average, op.ExcludePad = true, l.ExcludePad
	return b.simple(op, x, 4)
}

func pool(given *Window, w Window) nn.Pool {
	if given != nil {
		w = *given
	}
	w = w.defaults(w.Kernel)
	return nn.Pool{Kernel: w.Kernel, Stride: w.Stride, Pad: w.Pad}
}

// Apply adds the layer.
func (GlobalAvgPool) Apply(b *Builder, x *gorgonia.Node) *gorgonia.Node {
	return b.simple(nn.GlobalAvgPool{}, x, 4)
}

// Apply adds the layer.
func (Flatten) Apply(b *Builder, x *gorgonia.Node) *gorgonia.Node {
	if !b.wants("flatten", x, 0) {
		return nil
	}
	// -1 for the batch, so that the op does not depend on it.
	return b.simple(nn.Reshape{Shape: []int{-1, x.Shape().TotalSize() / x.Shape()[0]}}, x, 0)
}

// Apply adds the layer.
func (l Dropout) Apply(b *Builder, x *gorgonia.Node) *gorgonia.Node {
	if !b.wants("dropout", x, 0) {
		return nil
	}
	b.drops++
	// Consecutive seeds are as good as any for PCG's stream of each layer.
	out, err := ops.Dropout(x, l.P, b.net.seed+b.drops, b.training)
	if err != nil {
		return b.fail("dropout", err)
	}
	b.learned[out] = b.learned[x]
	return out
}

func (b *Builder) simple(op nn.Op, x *gorgonia.Node, rank int) *gorgonia.Node {
	if !b.wants(op.Kind(), x, rank) {
		return nil
	}
	return b.apply(op.Kind(), op, x)
}

// Add is the elementwise sum of two nodes, as in a residual connection.
func (b *Builder) Add(x, y *gorgonia.Node) *gorgonia.Node {
	if !b.wants("add", x, 0) || !b.wants("add", y, 0) {
		return nil
	}
	if !x.Shape().Eq(y.Shape()) {
		return b.fail("add", fmt.Errorf("%w: %v and %v", ErrShape, x.Shape(), y.Shape()))
	}
	return b.apply("add", nn.Binary{Fn: "add"}, x, y)
}

// Concat joins nodes along an axis, 1 for channels.
func (b *Builder) Concat(axis int, xs ...*gorgonia.Node) *gorgonia.Node {
	for _, x := range xs {
		if !b.wants("concat", x, 0) {
			return nil
		}
	}
	if len(xs) == 0 {
		return b.fail("concat", fmt.Errorf("%w: nothing to join", ErrConfig))
	}
	return b.apply("concat", nn.Concat{Axis: axis}, xs...)
}

// Residual adds the outputs of body and shortcut; a nil shortcut is the input
// itself.
func Residual(body, shortcut Layer) Layer {
	return Func(func(b *Builder, x *gorgonia.Node) *gorgonia.Node {
		y := body.Apply(b, x)
		if shortcut != nil {
			x = shortcut.Apply(b, x)
		}
		return b.Add(y, x)
	})
}
