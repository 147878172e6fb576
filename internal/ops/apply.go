package ops

import (
	"fmt"
	"slices"

	"github.com/goqat/goqat/internal/nn"
	"gorgonia.org/gorgonia"
)

// Options change how [ApplyWith] makes an op.
type Options struct {
	// Label names the op in errors; the layer kind by default.
	Label string
	// Diff says which operands get a gradient; nil: all of floating type. Turning
	// off the gradient of a first layer's input saves its computation.
	Diff []bool
	// Forward replaces the float32 forward pass where it reports true. The
	// backward pass stays that of the layer kind.
	Forward func(out nn.Tensor[float32], in []nn.Tensor[float32]) (bool, error)
}

// Apply adds a stateless layer kind to the graph of its operands. Shapes are
// checked here; the node computes float32 or float64 as the operands are.
func Apply(op nn.Op, in ...*gorgonia.Node) (*gorgonia.Node, error) {
	return ApplyWith(op, Options{}, in...)
}

// ApplyWith is Apply with options.
func ApplyWith(op nn.Op, opt Options, in ...*gorgonia.Node) (*gorgonia.Node, error) {
	if op == nil {
		return nil, fmt.Errorf("ops: no layer kind")
	}
	if opt.Label == "" {
		opt.Label = op.Kind()
	}
	if err := present(opt.Label, in...); err != nil {
		return nil, err
	}
	shapes := make([][]int, len(in))
	for i, n := range in {
		shapes[i] = n.Shape()
	}
	out, err := nn.OutShape(op, shapes)
	if err != nil {
		return nil, fmt.Errorf("ops: %s: %w", opt.Label, err)
	}
	s := Spec{Label: opt.Label, Kind: op, Out: out, Diff: opt.Diff, Kernel: &layer{op: op, exact: opt.Forward, alike: adds(op, shapes, out)}}
	s.Again = func(in ...*gorgonia.Node) (*gorgonia.Node, error) { return ApplyWith(op, opt, in...) }
	return New(s, in...)
}

// layer is the kernel of a stateless layer kind.
type layer struct {
	op    nn.Op
	alike bool // all gradients are the output's
	exact func(out nn.Tensor[float32], in []nn.Tensor[float32]) (bool, error)
	v32   views[float32]
}

// adds reports whether op is a sum of tensors of one shape.
func adds(op nn.Op, in [][]int, out []int) bool {
	return nn.TraitsOf(op).Adds && slices.Equal(in[0], out) && slices.Equal(in[1], out)
}

func (l *layer) Forward(out Tensor, in []Tensor) error {
	if out.F64 != nil {
		return nn.Forward(l.op, out.T64(), all64(in))
	}
	args := l.v32.all(0, in, Tensor.T32)
	if l.exact != nil {
		if done, err := l.exact(out.T32(), args); done || err != nil {
			return err
		}
	}
	return nn.Forward(l.op, out.T32(), args)
}

func (l *layer) Backward(grads, in []Tensor, out, dout Tensor) error {
	if dout.F64 != nil {
		return nn.Backward(l.op, all64(grads), all64(in), out.T64(), dout.T64())
	}
	return nn.Backward(l.op, l.v32.all(1, grads, Tensor.T32), l.v32.all(0, in, Tensor.T32), out.T32(), dout.T32())
}
