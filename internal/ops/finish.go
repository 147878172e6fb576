package ops

import (
	"fmt"
	"math"

	"github.com/goqat/goqat/internal/kern"
	"github.com/goqat/goqat/internal/mem"
	"github.com/goqat/goqat/internal/nn"
	"gorgonia.org/gorgonia"
)

// Rounder is a fake-quantizer with one scale for the whole tensor, taken apart so
// that the kernel that makes the tensor can round it in the same pass. Each run
// calls Look, then Range or Values if Look asks for it, then Grid.
type Rounder interface {
	// Look says whether it wants to see the bounds of the values before it rounds them, or
	// the values themselves; at most one of the two.
	Look() (bounds, values bool)
	// Range takes the bounds of the values, all of which are finite.
	Range(lo, hi float32) error
	// Values takes the values themselves. It refuses NaN.
	Values(x []float32, shape []int) error
	// Grid returns what to round to; on is false where values pass as they are.
	Grid() (g kern.Grid, on bool, err error)
}

// Rounded returns the kernel of an op that rounds its only operand, float32. The
// gradient passes straight through where the grid does not clip (see [kern.STE]).
func Rounded(r Rounder) Kernel { return &finish{act: nn.Everything, quant: r, keep: true} }

// finish is what may stand between a product and the next layer, in one pass: a
// batch normalisation or a sum of two tensors, then an activation, then rounding to
// a grid. Backward it keeps one bit per element. Ops of their own have one part of
// it; a machine fuses them (see [mem.Fuser]).
type finish struct {
	norm  *norm
	sum   bool        // of two operands of one shape
	act   nn.Interval // of an activation that clips; nn.Everything for none
	quant Rounder
	keep  bool // Backward will be called: keep the bits

	mask []uint8   // of the last float32 run; nil where everything passes
	pass []bool    // of the last float64 run
	room []float32 // for values that are not the output
}

// Facts: every element depends on those in the same place only. Backward, the bits say
// it all without a normalisation; the sums over dout come first, each gradient is
// computed on its own, and both terms of a sum have one and the same.
func (k *finish) Facts(operands int) (forward, backward mem.Facts) {
	forward.Over = []int{0}
	if k.sum {
		forward.Over = []int{0, 1}
	}
	u := make([]bool, operands+2)
	u[operands] = true
	for i := range operands {
		u[i] = k.norm == nil
	}
	return forward, mem.Facts{Unread: u, Over: []int{operands + 1}, Optional: true, Same: k.sum}
}

// dims returns the tensor as images, channels and elements of a plane.
func (k *finish) dims(shape []int) (n, c, inner int) {
	inner = 1
	for _, d := range shape {
		inner *= d
	}
	if k.norm == nil {
		return 1, 1, inner
	}
	return shape[0], shape[1], inner / (shape[0] * shape[1])
}

func (k *finish) Forward(out Tensor, in []Tensor) error {
	if out.F64 != nil {
		return k.forward64(out, in)
	}
	return k.forward32(out, in)
}

func (k *finish) forward32(out Tensor, in []Tensor) error {
	p, grid, err := k.begin(out, in)
	if err != nil {
		return err
	}
	p.write(grid, k.bits(&p, grid))
	return nil
}

// begin prepares a float32 forward pass and lets the rounder look. The grid is nil where
// nothing is rounded.
func (k *finish) begin(out Tensor, in []Tensor) (p finishPass, grid *kern.Grid, err error) {
	p = finishPass{out: out, a: in[0].F32, clip: kern.Clip{Lo: float32(k.act.Lo), Hi: float32(k.act.Hi)}}
	p.n, p.c, p.inner = k.dims(out.Shape)
	if k.sum {
		p.b = in[1].F32
	}
	var bounds, values bool
	if k.quant != nil {
		bounds, values = k.quant.Look()
	}
	if k.norm != nil {
		if err := k.norm.forward(&p, in); err != nil {
			return p, nil, err
		}
	}
	if err := k.show(&p, bounds, values); err != nil || k.quant == nil {
		return p, nil, err
	}
	g, on, err := k.quant.Grid()
	if err != nil || !on {
		return p, nil, err
	}
	return p, &g, nil
}

// bits returns the memory of the mask, nil where it is not needed or would be all
// ones.
func (k *finish) bits(p *finishPass, g *kern.Grid) []uint8 {
	if !k.keep || g == nil && k.act == nn.Everything {
		k.mask = nil
		return nil
	}
	k.mask = sized(k.mask, kern.MaskLen(p.n, p.c, p.inner))
	return k.mask
}

// show gives the rounder what it wants to see.
func (k *finish) show(p *finishPass, bounds, values bool) error {
	if bounds {
		if lo, hi, ok := k.extent(p); ok {
			return k.quant.Range(lo, hi)
		}
		values = true // they deal with infinities and NaN
	}
	if !values {
		return nil
	}
	// The activation of what it has made is that itself, and so is its gradient's mask:
	// the second pass needs no other.
	if p.out.F32 == nil {
		k.room = sized(k.room, len(p.a))
		p.out.F32 = k.room
	}
	p.write(nil, nil)
	p.a, p.b, p.k1, p.k2 = p.out.F32, nil, nil, nil
	return k.quant.Values(p.out.F32, p.out.Shape)
}

// extent returns the smallest and largest result before rounding. It is exact: every
// step, rounded, is monotonic. It declines where it would have to look at the
// results themselves, and where not all of them are finite.
func (k *finish) extent(p *finishPass) (lo, hi float32, ok bool) {
	switch {
	case p.k1 != nil && p.stats == nil:
		return 0, 0, false
	case p.k1 != nil:
		lo, hi = float32(math.Inf(1)), float32(math.Inf(-1))
		for ch, s := range p.stats {
			if s.NaN || s.Finite != p.n*p.inner {
				return 0, 0, false
			}
			a, b := float32(s.Min*p.k1[ch])+p.k2[ch], float32(s.Max*p.k1[ch])+p.k2[ch]
			lo, hi = min(lo, a, b), max(hi, a, b)
		}
	default:
		var finite int
		var nan bool
		if p.b != nil {
			lo, hi, finite, nan = kern.AddMinMax(p.a, p.b)
		} else {
			lo, hi, finite, nan = kern.MinMax(p.a)
		}
		if nan || finite != len(p.a) {
			return 0, 0, false
		}
	}
	lo, hi = p.clip.Apply(lo)+0, p.clip.Apply(hi)+0 // +0: a zero has no sign here
	return lo, hi, lo-lo == 0 && hi-hi == 0
}

// finishPass is one float32 forward pass: act(a*k1 + k2), or act(a + b), rounded.
type finishPass struct {
	out         Tensor
	n, c, inner int
	a, b        []float32    // b is nil unless two tensors are added
	k1, k2      []float32    // per channel; nil for none
	stats       []kern.Stats // of a, where known
	clip        kern.Clip
}

func (p *finishPass) write(g *kern.Grid, mask []uint8) {
	if p.b != nil {
		kern.AddActQuant(p.out.F32, p.a, p.b, p.n, p.c, p.inner, p.clip, g, mask)
		return
	}
	kern.AffineActQuant(p.out.F32, p.a, p.n, p.c, p.inner, p.k1, p.k2, p.clip, g, mask)
}

func (k *finish) Backward(grads, in []Tensor, _, dout Tensor) error {
	if dout.F64 != nil {
		return k.backward64(grads, in, dout)
	}
	if k.norm != nil {
		return k.norm.backward(k, grads, in, dout)
	}
	n, c, inner := k.dims(dout.Shape)
	var done []float32
	for _, g := range grads {
		switch {
		case g.F32 == nil:
		case done == nil:
			kern.AffineBackward(g.F32, dout.F32, nil, n, c, inner, k.mask, nil, nil, nil)
			done = g.F32
		case len(done) > 0 && &done[0] != &g.F32[0]:
			copy(g.F32, done)
		}
	}
	return nil
}

// fusedOp is several ops in one.
type fusedOp struct{ *Op }

// Fuse returns the op with the next one's part added, if it fits behind.
func (o *Op) Fuse(next gorgonia.Op) (mem.Fused, bool) {
	k, ok := finishOf(o)
	if !ok {
		return nil, false
	}
	f := *k
	f.keep, f.mask, f.pass, f.room = false, nil, nil, nil
	if f.norm != nil {
		f.norm = f.norm.again()
	}
	n := o
	if next == nil {
		// Alone, a clip keeps bits and not its input, and a rounding no bits unless asked.
		if _, plain := o.k.(*layer); f.norm != nil || f.sum || !plain && f.quant == nil {
			return nil, false
		}
	} else {
		if n, ok = next.(*Op); !ok {
			return nil, false
		}
		if p := pooledBy(&f, n); p != nil {
			return fused(o, n, p), true
		}
		b, ok := finishOf(n)
		if !ok || b.norm != nil || b.sum || f.quant != nil || f.act != nn.Everything && b.act != nn.Everything || !n.diff[0] {
			return nil, false
		}
		if b.act != nn.Everything {
			f.act = b.act
		}
		if b.quant != nil {
			f.quant = b.quant
		}
	}
	return fused(o, n, &f), true
}

// fused is the op that does what o and then n do, or o alone.
func fused(o, n *Op, k Kernel) *fusedOp {
	label, what := o.label, o.what
	if n != o {
		label, what = fmt.Sprintf("%s, %s", label, n.label), fmt.Sprintf("%s, %s", what, n.what)
	}
	return &fusedOp{&Op{id: nextID.Add(1), label: label, what: what, in: o.in, out: n.out, diff: o.diff, k: k}}
}

// Backward returns the op that computes the gradients of the first op's operands.
func (o *fusedOp) Backward() mem.Backward {
	o.k.(interface{ keepBits() }).keepBits()
	return o.backward(true)
}

func (k *finish) keepBits() { k.keep = true }

// finishOf returns the op's computation as a finish.
func finishOf(o *Op) (*finish, bool) {
	switch k := o.k.(type) {
	case *finish:
		return k, true
	case *layer:
		if t := nn.TraitsOf(k.op); t.Clips {
			return &finish{act: t.Limits}, true
		}
		return &finish{sum: true, act: nn.Everything}, k.alike && o.in[0].shape.Dims() > 0
	}
	return nil, false
}
