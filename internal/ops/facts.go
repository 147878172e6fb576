package ops

import (
	"slices"

	"github.com/goqat/goqat/internal/mem"
	"github.com/goqat/goqat/internal/nn"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

var (
	_ mem.Fuser    = (*Op)(nil)
	_ mem.Fused    = (*fusedOp)(nil)
	_ mem.Backward = (*backward)(nil)
	_ mem.Part     = (*get)(nil)
)

// Describer is a kernel that says more about memory than that its passes read all
// operands and write all results.
type Describer interface {
	// Facts are those of Forward and of Backward for so many operands. Backward's operands
	// are Forward's, the output and its gradient, in this order; its results are the
	// gradients. Out and Own are the op's own business: kernels leave them zero.
	Facts(operands int) (forward, backward mem.Facts)
}

// Facts describes the output's memory.
func (o *Op) Facts() mem.Facts {
	var f mem.Facts
	if k, ok := o.k.(Describer); ok {
		f, _ = k.Facts(len(o.in))
	}
	f.Out = outShapes([]operand{o.out}, nil)
	if f.Out == nil {
		f.View = 0
	}
	return f
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
func (b *backward) Facts() mem.Facts {
	var f mem.Facts
	n := len(b.of.in)
	if k, ok := b.of.k.(Describer); ok {
		_, f = k.Facts(n)
	}
	f.Out, f.Own = outShapes(b.of.in, b.of.diff), b.first
	if f.Out == nil {
		f.View, f.Over = 0, nil
	}
	if b.first != 0 {
		f.Over = nil // it is about the first operand's gradient
	}
	if b.fused { // the output is no operand
		if f.Unread != nil {
			f.Unread = slices.Delete(f.Unread, n, n+1)
		}
		for i, o := range f.Over {
			if o > n {
				f.Over[i]--
			}
		}
		if f.View > n+1 {
			f.View--
		}
	}
	return f
}

// Facts of a layer kind follow from its traits.
func (l *layer) Facts(operands int) (forward, backward mem.Facts) {
	t := nn.TraitsOf(l.op)
	out, dout := operands, operands+1
	if t.Copies {
		forward.View, backward.View = 1, 1+dout
	}
	if l.alike {
		backward.View = 1 + dout
	}
	backward.Optional = true // package nn skips what is not wanted
	u := make([]bool, operands+2)
	u[out] = t.IgnoresOutput
	for i := range operands {
		u[i] = t.IgnoresInputs || t.Weights != nil && i == 2 // the bias
	}
	backward.Unread = u
	if t.OnlyForOther != [2]bool{} {
		backward.ReadFor = make([][]int, 2)
		for i, only := range t.OnlyForOther {
			if only {
				backward.ReadFor[i] = []int{1 - i}
			}
		}
	}
	return forward, backward
}
