package ops

import (
	"slices"

	"github.com/goqat/goqat/internal/nn"
	"github.com/goqat/goqat/internal/place"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

var (
	_ place.Fuser    = (*Op)(nil)
	_ place.Fused    = (*fusedOp)(nil)
	_ place.Backward = (*backward)(nil)
	_ place.Part     = (*get)(nil)
)

// A kernel may say more about itself with these methods.
type (
	// Overwriter lists operands in whose memory Forward may make the output.
	Overwriter interface{ Over() []int }
	// Reader marks what Backward does not look at: operands, the output, its gradient.
	Reader interface{ Unread(operands int) []bool }
	// Sparing lists the gradients for which Backward looks at an
	// operand; see [place.Facts].
	Sparing interface{ ReadFor() [][]int }
	// Chooser says that Backward may be given any subset of the wanted gradients.
	Chooser interface{ Chooses() }
	// Rewriter says that Backward may make the gradient of operand 0 in the memory of
	// dout.
	Rewriter interface{ Rewrites() }
	// Sharer says that all gradients are equal and may lie in one memory.
	Sharer interface{ Shares() bool }
)

// Facts describes the output's memory.
func (o *Op) Facts() place.Facts {
	f := place.Facts{Out: outShapes([]operand{o.out}, nil)}
	if k, ok := o.k.(Overwriter); ok {
		f.Over = k.Over()
	}
	if l, ok := o.k.(*layer); ok && f.Out != nil && passes(l.op) {
		f.View = 1
	}
	return f
}

// passes reports whether the elements go through a layer as they are, in both
// directions.
func passes(op nn.Op) bool {
	switch op.(type) {
	case nn.Reshape, nn.Dropout:
		return true
	}
	return false
}

// outShapes returns the shapes of results that a machine can place, nil if one of
// them is not for it. wanted leaves some out; nil wants all.
func outShapes(of []operand, wanted []bool) []tensor.Shape {
	out := make([]tensor.Shape, len(of))
	for i, o := range of {
		if wanted != nil && !wanted[i] {
			continue
		}
		if o.dt != tensor.Float32 || o.shape.Dims() == 0 {
			return nil
		}
		out[i] = o.shape
	}
	return out
}

// Result is for ops with several results.
func (o *Op) Result(int) gorgonia.Value { return o.buf.value() }

// Facts describes the gradients' memory.
func (b *backward) Facts() place.Facts {
	last := len(b.in) - 1
	f := place.Facts{Out: outShapes(b.of.in, b.of.diff), Own: b.first}
	if k, ok := b.of.k.(Reader); ok {
		f.Unread = k.Unread(len(b.of.in))
		if b.fused {
			f.Unread = slices.Delete(f.Unread, last, last+1) // the output
		}
	}
	if _, ok := b.of.k.(Chooser); ok {
		f.Optional = true
	}
	if k, ok := b.of.k.(Sparing); ok {
		f.ReadFor = k.ReadFor()
	}
	if _, ok := b.of.k.(Rewriter); ok && f.Out != nil && b.first == 0 {
		f.Over = []int{last}
	}
	if k, ok := b.of.k.(Sharer); ok {
		f.Same = k.Shares()
	}
	if l, ok := b.of.k.(*layer); ok && f.Out != nil && (passes(l.op) || l.sharesGradient(b.of)) {
		f.View = 1 + last
	}
	return f
}

// sharesGradient reports whether all gradients of the layer are the output's.
func (l *layer) sharesGradient(o *Op) bool {
	add, ok := l.op.(nn.Binary)
	return ok && add.Fn == "add" && slices.Equal(o.in[0].shape, o.out.shape) && slices.Equal(o.in[1].shape, o.out.shape)
}

// Chooses: package nn skips what is not wanted.
func (l *layer) Chooses() {}

// ReadFor: each factor is needed for the gradient of the other one.
func (l *layer) ReadFor() [][]int {
	switch op := l.op.(type) {
	case nn.Conv, nn.MatMul:
		return [][]int{{1}, {0}}
	case nn.Binary:
		switch op.Fn {
		case "mul":
			return [][]int{{1}, {0}}
		case "div":
			return [][]int{{1}}
		}
	}
	return nil
}

// Unread goes by what package nn's Backward says it needs, kind by kind.
func (l *layer) Unread(operands int) []bool {
	u := make([]bool, operands+2)
	out := operands
	switch op := l.op.(type) {
	case nn.Conv, nn.MatMul:
		u[out] = true
		if operands > 2 {
			u[2] = true // the bias
		}
	case nn.Unary:
		u[out] = op.Fn == "relu" || op.Fn == "clip" || op.Fn == "leaky_relu"
	case nn.Binary:
		u[out] = true
		if op.Fn == "add" || op.Fn == "sub" {
			u[0], u[1] = true, true
		}
	case nn.Pool:
		u[0], u[out] = op.Average, op.Average
	case nn.Softmax:
		u[0] = true
	case nn.GlobalAvgPool, nn.Reshape, nn.Dropout, nn.Transpose, nn.Concat, nn.Slice, nn.Pad:
		for i := range out + 1 {
			u[i] = true
		}
	}
	return u
}
