package ops

import (
	"github.com/goqat/goqat/internal/kern"
	"github.com/goqat/goqat/internal/mem"
	"github.com/goqat/goqat/internal/nn"
)

// pooled is a finish of one operand with a maximum pooling behind it, in one pass. The
// tensor between them, the largest of many networks, is never stored, and backward one
// bit for each of its elements takes its place.
type pooled struct {
	f  finish
	op nn.Pool

	picks  []uint8   // of the last float32 run
	y, out []float64 // what went into and came out of the pooling in the last float64 run
	dy     []float64
}

// pooledBy returns the kernel of a finish and the op behind it, nil unless that is a
// pooling which fits.
func pooledBy(f *finish, next *Op) *pooled {
	l, ok := next.k.(*layer)
	if !ok || f.norm != nil || f.sum || !next.diff[0] {
		return nil
	}
	op, ok := l.op.(nn.Pool)
	if !ok || op.Average {
		return nil
	}
	if g := op.Geometry(next.in[0].shape, next.out.shape); !g.Fits2x2() {
		return nil
	}
	return &pooled{f: *f, op: op}
}

func (k *pooled) keepBits() { k.f.keep = true }

// Facts: the bits say it all.
func (k *pooled) Facts(operands int) (forward, backward mem.Facts) {
	u := make([]bool, operands+2)
	for i := range operands + 1 {
		u[i] = true
	}
	return forward, mem.Facts{Unread: u}
}

func (k *pooled) Forward(out Tensor, in []Tensor) error {
	x := in[0]
	g := k.op.Geometry(x.Shape, out.Shape)
	if out.F64 != nil {
		k.y, k.out, k.dy = sized(k.y, len(x.F64)), sized(k.out, len(out.F64)), sized(k.dy, len(x.F64))
		if err := k.f.forward64(Tensor{Shape: x.Shape, F64: k.y}, in); err != nil {
			return err
		}
		kern.MaxPool(&g, k.out, k.y)
		copy(out.F64, k.out)
		return nil
	}
	p, grid, err := k.f.begin(Tensor{Shape: x.Shape}, in)
	if err != nil {
		return err
	}
	if k.f.keep {
		k.picks = sized(k.picks, g.PicksLen())
	}
	kern.ActQuantPool2(&g, out.F32, p.a, p.clip, grid, k.picks)
	return nil
}

func (k *pooled) Backward(grads, in []Tensor, _, dout Tensor) error {
	g := k.op.Geometry(in[0].Shape, dout.Shape)
	if dout.F64 != nil {
		kern.MaxPoolBackward(&g, k.dy, k.y, k.out, dout.F64)
		return k.f.backward64(grads, in, Tensor{Shape: in[0].Shape, F64: k.dy})
	}
	kern.Pool2Backward(&g, grads[0].F32, dout.F32, k.picks)
	return nil
}
