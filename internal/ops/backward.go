package ops

import (
	"fmt"
	"hash"

	"github.com/chewxy/hm"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// backward computes all wanted gradients of one Op. Its operands are those of the
// op, then its output, then the output's gradient; it returns the first wanted
// gradient and keeps the others for the get nodes.
type backward struct {
	of    *Op
	id    uint64
	first int
	in    []operand
	bufs  []buffer
	args  []Tensor
	grads []Tensor
}

func newBackward(o *Op, in gorgonia.Nodes, out, grad *gorgonia.Node) (gorgonia.Nodes, error) {
	b := &backward{of: o, id: nextID.Add(1), first: -1, bufs: make([]buffer, len(o.in)), grads: make([]Tensor, len(o.in))}
	b.in = append(append([]operand{}, o.in...), o.out, o.out)
	for i, want := range o.diff {
		if want && b.first < 0 {
			b.first = i
		}
	}
	grads := make(gorgonia.Nodes, len(in))
	if b.first < 0 {
		return grads, nil
	}
	head, err := gorgonia.ApplyOp(b, append(append(gorgonia.Nodes{}, in...), out, grad)...)
	if err != nil {
		return nil, fmt.Errorf("ops: gradient of %s: %w", o.label, err)
	}
	for i, want := range o.diff {
		switch {
		case !want:
		case i == b.first:
			grads[i] = head
		default:
			g := &get{b: b, id: nextID.Add(1), i: i}
			if grads[i], err = gorgonia.ApplyOp(g, head); err != nil {
				return nil, fmt.Errorf("ops: gradient of %s: %w", o.label, err)
			}
		}
	}
	return grads, nil
}

func (b *backward) Do(vals ...gorgonia.Value) (v gorgonia.Value, err error) {
	defer recovered(b.String(), &err)
	if len(vals) != len(b.in) {
		return nil, fmt.Errorf("ops: %v: %d operands, want %d", b, len(vals), len(b.in))
	}
	b.args = b.args[:0]
	for i, v := range vals {
		t, err := b.in[i].read(v)
		if err != nil {
			return nil, fmt.Errorf("ops: %v: operand %d: %w", b, i, err)
		}
		b.args = append(b.args, t)
	}
	for i, want := range b.of.diff {
		if want {
			b.grads[i] = b.bufs[i].get(b.of.in[i])
		}
	}
	n := len(b.of.in)
	if err := b.of.k.Backward(b.grads, b.args[:n], b.args[n], b.args[n+1]); err != nil {
		return nil, fmt.Errorf("ops: %v: %w", b, err)
	}
	return b.bufs[b.first].value(), nil
}

func (b *backward) Arity() int { return len(b.in) }

func (b *backward) Type() hm.Type {
	ts := make([]hm.Type, 0, len(b.in)+1)
	for _, x := range b.in {
		ts = append(ts, x.typ())
	}
	return hm.NewFnType(append(ts, b.of.in[b.first].typ())...)
}

func (b *backward) InferShape(...gorgonia.DimSizer) (tensor.Shape, error) {
	return b.of.in[b.first].shape.Clone(), nil
}

func (b *backward) ReturnsPtr() bool      { return false }
func (b *backward) CallsExtern() bool     { return false }
func (b *backward) OverwritesInput() int  { return -1 }
func (b *backward) WriteHash(h hash.Hash) { fmt.Fprintf(h, "goqat %d", b.id) }
func (b *backward) Hashcode() uint32      { return uint32(b.id*2654435761) ^ uint32(b.id>>32) }
func (b *backward) String() string        { return "gradient of " + b.of.label }

// DiffWRT and SymDiff: second derivatives are not offered, but the methods keep a
// later Grad over the same graph from failing on these nodes.
func (b *backward) DiffWRT(n int) []bool { return make([]bool, n) }

func (b *backward) SymDiff(in gorgonia.Nodes, _, _ *gorgonia.Node) (gorgonia.Nodes, error) {
	return make(gorgonia.Nodes, len(in)), nil
}

// get hands out one further gradient of a backward node, its only operand, which
// makes it run afterwards.
type get struct {
	b  *backward
	id uint64
	i  int
}

func (g *get) Do(...gorgonia.Value) (gorgonia.Value, error) { return g.b.bufs[g.i].value(), nil }
func (g *get) Arity() int                                   { return 1 }
func (g *get) Type() hm.Type {
	return hm.NewFnType(g.b.of.in[g.b.first].typ(), g.b.of.in[g.i].typ())
}
func (g *get) InferShape(...gorgonia.DimSizer) (tensor.Shape, error) {
	return g.b.of.in[g.i].shape.Clone(), nil
}
func (g *get) ReturnsPtr() bool      { return false }
func (g *get) CallsExtern() bool     { return false }
func (g *get) OverwritesInput() int  { return -1 }
func (g *get) WriteHash(h hash.Hash) { fmt.Fprintf(h, "goqat %d", g.id) }
func (g *get) Hashcode() uint32      { return uint32(g.id*2654435761) ^ uint32(g.id>>32) }
func (g *get) String() string        { return fmt.Sprintf("gradient %d of %s", g.i, g.b.of.label) }
func (g *get) DiffWRT(n int) []bool  { return make([]bool, n) }
func (g *get) SymDiff(in gorgonia.Nodes, _, _ *gorgonia.Node) (gorgonia.Nodes, error) {
	return make(gorgonia.Nodes, len(in)), nil
}

// doDiff is the backward pass under LispMachine, which gives every node a value
// and a gradient to add to.
func doDiff(o *Op, in gorgonia.Nodes, out *gorgonia.Node) error {
	args := make([]Tensor, len(in))
	grads := make([]Tensor, len(in))
	scratch := make([]buffer, len(in))
	for i, n := range in {
		var err error
		if args[i], err = o.in[i].read(n.Value()); err != nil {
			return fmt.Errorf("ops: gradient of %s: operand %d: %w", o.label, i, err)
		}
		if o.diff[i] {
			grads[i] = scratch[i].get(o.in[i])
		}
	}
	y, err := o.out.read(out.Value())
	if err != nil {
		return fmt.Errorf("ops: gradient of %s: output: %w", o.label, err)
	}
	g, err := out.Grad()
	if err != nil {
		return fmt.Errorf("ops: gradient of %s: %w", o.label, err)
	}
	dy, err := o.out.read(g)
	if err != nil {
		return fmt.Errorf("ops: gradient of %s: output gradient: %w", o.label, err)
	}
	if err := o.k.Backward(grads, args, y, dy); err != nil {
		return fmt.Errorf("ops: gradient of %s: %w", o.label, err)
	}
	for i, n := range in {
		if !o.diff[i] {
			continue
		}
		if err := accumulate(n, grads[i]); err != nil {
			return fmt.Errorf("ops: gradient of %s: operand %d: %w", o.label, i, err)
		}
	}
	return nil
}

// accumulate adds g to the gradient that the machine keeps for n.
func accumulate(n *gorgonia.Node, g Tensor) error {
	v, err := n.Grad()
	if err != nil {
		return err
	}
	switch v := v.(type) {
	case *gorgonia.F32:
		*v += gorgonia.F32(g.F32[0])
	case *gorgonia.F64:
		*v += gorgonia.F64(g.F64[0])
	case *tensor.Dense:
		if g.F64 != nil {
			add(v.Float64s(), g.F64)
		} else {
			add(v.Float32s(), g.F32)
		}
	default:
		return fmt.Errorf("unsupported gradient %T", v)
	}
	return nil
}

func add[F float32 | float64](dst, src []F) {
	for i, v := range src {
		dst[i] += v
	}
}
