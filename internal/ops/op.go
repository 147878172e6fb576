package ops

import (
	"fmt"
	"hash"
	"sync/atomic"

	"github.com/chewxy/hm"
	"github.com/goqat/goqat/internal/nn"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// Kernel computes an op on values. Both methods get tensors in operand order and
// fill what they are given; they must not keep any of it.
type Kernel interface {
	// Forward fills out.
	Forward(out Tensor, in []Tensor) error
	// Backward overwrites each grads[i] that is wanted (not nil) with the gradient
	// of operand i, given the output and its gradient.
	Backward(grads []Tensor, in []Tensor, out, dout Tensor) error
}

// Op is a Gorgonia op around a [Kernel]. One Op object belongs to one node.
type Op struct {
	id    uint64
	label string
	what  string
	kind  nn.Op
	in    []operand
	out   operand
	diff  []bool
	k     Kernel
	state *BNState
	again func(in ...*gorgonia.Node) (*gorgonia.Node, error)

	buf  buffer
	args []Tensor
}

// operand is what the graph knows of a value before any run.
type operand struct {
	shape tensor.Shape
	dt    tensor.Dtype
}

func operandOf(n *gorgonia.Node) operand { return operand{n.Shape(), n.Dtype()} }

// typ is a fresh type expression; Gorgonia puts used ones into a pool.
func (o operand) typ() hm.Type {
	if o.shape.Dims() == 0 {
		return o.dt
	}
	return gorgonia.TensorType{Dims: o.shape.Dims(), Of: o.dt}
}

var nextID atomic.Uint64

// Spec describes an op to [New].
type Spec struct {
	Label  string   // what String and errors show
	What   string   // the kind of computation, for those who count by kind; the Kind's name or Label by default
	Kind   nn.Op    // the layer kind it computes, if it is one; read back by NN
	Out    []int    // output shape
	Diff   []bool   // operands that get a gradient; nil: all of floating type
	Kernel Kernel   // the computation
	State  *BNState // of a batch normalisation
	// Of is the output's type where no operand is floating; zero: one must be.
	Of tensor.Dtype
	// Again applies an equal op, with state of its own, to other nodes.
	Again func(in ...*gorgonia.Node) (*gorgonia.Node, error)
}

// New applies the op that s describes to nodes of one graph. All floating
// operands have one dtype, float32 or float64, which is also the output's.
func New(s Spec, in ...*gorgonia.Node) (n *gorgonia.Node, err error) {
	defer recovered(s.Label, &err)
	o := &Op{id: nextID.Add(1), label: s.Label, what: s.What, kind: s.Kind, k: s.Kernel, state: s.State, again: s.Again, diff: s.Diff}
	switch {
	case o.what != "":
	case s.Kind != nil:
		o.what = s.Kind.Kind()
	default:
		o.what = s.Label
	}
	if err := present(s.Label, in...); err != nil {
		return nil, err
	}
	if s.Diff != nil && len(s.Diff) != len(in) {
		return nil, fmt.Errorf("ops: %s: Diff is about %d operands, there are %d", s.Label, len(s.Diff), len(in))
	}
	for _, x := range in {
		o.in = append(o.in, operandOf(x))
	}
	dt := s.Of
	if dt.Type == nil {
		var err error
		if dt, err = floatType(s.Label, o.in); err != nil {
			return nil, err
		}
	}
	o.out = operand{append(tensor.Shape{}, s.Out...), dt}
	if o.diff == nil {
		for _, x := range o.in {
			o.diff = append(o.diff, isFloat(x.dt))
		}
	}
	n, err = gorgonia.ApplyOp(o, in...)
	if err != nil {
		return nil, fmt.Errorf("ops: %s: %w", s.Label, err)
	}
	return n, nil
}

// present reports the first operand that is nil.
func present(label string, in ...*gorgonia.Node) error {
	for i, x := range in {
		if x == nil {
			return fmt.Errorf("ops: %s: operand %d is nil", label, i)
		}
	}
	return nil
}

func isFloat(dt tensor.Dtype) bool { return dt == tensor.Float32 || dt == tensor.Float64 }

func floatType(label string, in []operand) (tensor.Dtype, error) {
	var dt tensor.Dtype
	for i, x := range in {
		switch {
		case !isFloat(x.dt):
		case dt.Type == nil:
			dt = x.dt
		case dt != x.dt:
			return dt, fmt.Errorf("ops: %s: operand %d is %v, an earlier one %v: use one type", label, i, x.dt, dt)
		}
	}
	if dt.Type == nil {
		return dt, fmt.Errorf("ops: %s: no operand is float32 or float64", label)
	}
	return dt, nil
}

// NN returns the layer kind, or nil for an op that is none.
func (o *Op) NN() nn.Op { return o.kind }

// What names the kind of computation, which many ops share: those of a fused op are
// joined by commas.
func (o *Op) What() string { return o.what }

// BatchNormState returns the running statistics of a batch normalisation, or nil.
func (o *Op) BatchNormState() *BNState { return o.state }

// Again applies an equal op to other nodes, in the same or another graph.
func (o *Op) Again(in ...*gorgonia.Node) (*gorgonia.Node, error) {
	if o.again == nil {
		return nil, fmt.Errorf("ops: %s cannot be applied again", o.label)
	}
	return o.again(in...)
}

// Do computes the output into the op's own buffer and returns it.
func (o *Op) Do(vals ...gorgonia.Value) (v gorgonia.Value, err error) {
	defer recovered(o.label, &err)
	if err := o.forward(o.buf.get(o.out), vals); err != nil {
		return nil, err
	}
	return o.buf.value(), nil
}

// DoInto is Do with the machine's memory; see [mem.Op].
func (o *Op) DoInto(out []*tensor.Dense, vals []gorgonia.Value) (err error) {
	defer recovered(o.label, &err)
	return o.forward(o.out.on(out[0]), vals)
}

func (o *Op) forward(out Tensor, vals []gorgonia.Value) (err error) {
	if o.args, err = readAll(o.args, o.in, vals); err != nil {
		return fmt.Errorf("ops: %s: %w", o.label, err)
	}
	if err := o.k.Forward(out, o.args); err != nil {
		return fmt.Errorf("ops: %s: %w", o.label, err)
	}
	return nil
}

// DiffWRT says which operands get a gradient.
func (o *Op) DiffWRT(int) []bool { return append([]bool(nil), o.diff...) }

// SymDiff adds the backward nodes.
func (o *Op) SymDiff(in gorgonia.Nodes, out, grad *gorgonia.Node) (gorgonia.Nodes, error) {
	return newBackward(o, in, out, grad)
}

// DoDiff adds the gradients of the operands for LispMachine.
func (o *Op) DoDiff(_ gorgonia.ExecutionContext, in gorgonia.Nodes, out *gorgonia.Node) (err error) {
	defer recovered(o.label, &err)
	return doDiff(o, in, out)
}

// Arity returns the number of operands.
func (o *Op) Arity() int { return len(o.in) }

// Type returns a new function type, operands to output.
func (o *Op) Type() hm.Type {
	ts := make([]hm.Type, 0, len(o.in)+1)
	for _, x := range o.in {
		ts = append(ts, x.typ())
	}
	return hm.NewFnType(append(ts, o.out.typ())...)
}

// InferShape returns the output shape, which New fixed.
func (o *Op) InferShape(...gorgonia.DimSizer) (tensor.Shape, error) { return o.out.shape.Clone(), nil }

// ReturnsPtr is false: the machines then treat the result as a value of its own.
func (o *Op) ReturnsPtr() bool { return false }

// CallsExtern is false: pure Go.
func (o *Op) CallsExtern() bool { return false }

// OverwritesInput is -1: operands are never written to.
func (o *Op) OverwritesInput() int { return -1 }

// WriteHash writes the op's unique number, so that no two nodes are ever merged.
func (o *Op) WriteHash(h hash.Hash) { fmt.Fprintf(h, "goqat %d", o.id) }

// Hashcode is made of the unique number.
func (o *Op) Hashcode() uint32 { return uint32(o.id*2654435761) ^ uint32(o.id>>32) }

func (o *Op) String() string { return o.label }

// recovered turns a panic into an error that names the op.
func recovered(label string, err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("ops: %s: panic: %v", label, r)
	}
}
