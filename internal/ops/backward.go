package ops

import (
	"fmt"
	"hash"
	"slices"

	"github.com/chewxy/hm"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// backward computes all wanted gradients of one Op. Its operands are those of the
// op, then its output, then the output's gradient; it returns the first wanted
// gradient and keeps the others for the get nodes. That of a fused op does without
// the output.
type backward struct {
	of    *Op
	id    uint64
	first int
	fused bool
	label string
	in    []operand
	bufs  []buffer
	args  []Tensor
	grads []Tensor
}

func newBackward(o *Op, in gorgonia.Nodes, out, grad *gorgonia.Node) (gorgonia.Nodes, error) {
	b := o.backward(false)
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

// backward makes the op that computes the gradients.
func (o *Op) backward(fused bool) *backward {
	b := &backward{of: o, id: nextID.Add(1), first: slices.Index(o.diff, true), fused: fused, label: "gradient of " + o.label, bufs: make([]buffer, len(o.in)), grads: make([]Tensor, len(o.in))}
	b.in = append([]operand{}, o.in...)
	if !fused {
		b.in = append(b.in, o.out)
	}
	b.in = append(b.in, o.out)
	return b
}

// What names the kind of computation.
func (b *backward) What() string { return "gradient of " + b.of.what }

// BackwardOf returns the op whose gradients b computes.
func (b *backward) BackwardOf() gorgonia.Op { return b.of }

func (b *backward) Do(vals ...gorgonia.Value) (v gorgonia.Value, err error) {
	defer recovered(b.label, &err)
	for i, want := range b.of.diff {
		if want {
			b.grads[i] = b.bufs[i].get(b.of.in[i])
		}
	}
	if err := b.run(vals); err != nil {
		return nil, err
	}
	return b.bufs[b.first].value(), nil
}

// DoInto is Do with the machine's memory; see [mem.Op].
func (b *backward) DoInto(out []*tensor.Dense, vals []gorgonia.Value) (err error) {
	defer recovered(b.label, &err)
	for i, d := range out {
		b.grads[i] = Tensor{}
		if d != nil {
			b.grads[i] = b.of.in[i].on(d)
		}
	}
	return b.run(vals)
}

func (b *backward) run(vals []gorgonia.Value) (err error) {
	if b.args, err = readAll(b.args, b.in, vals); err != nil {
		return fmt.Errorf("ops: %v: %w", b, err)
	}
	n := len(b.of.in)
	out, dout := Tensor{}, b.args[len(b.args)-1]
	if !b.fused {
		out = b.args[n]
	}
	if err := b.of.k.Backward(b.grads, b.args[:n], out, dout); err != nil {
		return fmt.Errorf("ops: %v: %w", b, err)
	}
	return nil
}

// Result returns the gradient of operand i after Do.
func (b *backward) Result(i int) gorgonia.Value { return b.bufs[i].value() }

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
func (b *backward) String() string        { return b.label }

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

// Part is the operand whose gradient it hands out.
func (g *get) Part() int { return g.i }

func (g *get) Do(...gorgonia.Value) (gorgonia.Value, error) { return g.b.Result(g.i), nil }
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
