package ops

import (
	"github.com/goqat/goqat/internal/kern"
	"github.com/goqat/goqat/internal/nn"
)

// The float64 form of a finish, for gradient checks: the same algebra, one element
// after the other. Nothing is rounded to a grid in float64.

func (k *finish) forward64(out Tensor, in []Tensor) error {
	y := out.F64
	switch {
	case k.norm != nil:
		if err := k.norm.forward64(out, in); err != nil {
			return err
		}
	case k.sum:
		for i, v := range in[0].F64 {
			y[i] = v + in[1].F64[i]
		}
	default:
		copy(y, in[0].F64)
	}
	k.pass = sized(k.pass, len(y))
	lo, hi := k.act.Lo, k.act.Hi
	for i, v := range y {
		k.pass[i] = k.act == nn.Everything || v > lo && v < hi
		y[i] = min(max(v, lo), hi)
	}
	return nil
}

func (k *finish) backward64(grads, in []Tensor, dout Tensor) error {
	dm := make([]float64, len(dout.F64))
	for i, d := range dout.F64 {
		if k.pass[i] {
			dm[i] = d
		}
	}
	if k.norm != nil {
		return k.norm.backward64(grads, in, Tensor{Shape: dout.Shape, F64: dm})
	}
	for _, g := range grads {
		copy(g.F64, dm)
	}
	return nil
}

func (b *norm) forward64(out Tensor, in []Tensor) error {
	b.live = b.training && !b.st.Frozen()
	v := b.vectors(in)
	switch {
	case b.live:
		c := len(b.st.Mean)
		b.size(c)
		batchMoments(&b.o, in[0].T64())
		b.k1w, b.k2w = sized(b.k1w, c), sized(b.k2w, c)
		kern.BatchNormForward(&b.o, b.k1w, b.k2w, v.of64(), b.st.running())
		channels(out.Shape, func(c, lo, hi int) {
			for i := lo; i < hi; i++ {
				out.F64[i] = in[0].F64[i]*b.k1w[c] + b.k2w[c]
			}
		})
	case b.folded:
		shift := make([]float64, len(b.st.Mean))
		foldedBias(b.st, shift, v.f.F64, v.beta.F64, v.bias.F64)
		channels(out.Shape, func(c, lo, hi int) {
			for i := lo; i < hi; i++ {
				out.F64[i] = in[0].F64[i] + shift[c]
			}
		})
	default:
		return nn.Forward(nn.BatchNorm{Eps: b.st.Eps}, out.T64(), withStats(b.st, all64(in)))
	}
	return nil
}

func (b *norm) backward64(grads, in []Tensor, dm Tensor) error {
	if !b.live && !b.folded {
		none := nn.Tensor[float64]{}
		return nn.Backward(nn.BatchNorm{Eps: b.st.Eps}, append(all64(grads), none, none), withStats(b.st, all64(in)), in[0].T64(), dm.T64())
	}
	a, dx := in[0].F64, grads[0].F64
	b.sums = make([]kern.Sums, len(b.st.Mean))
	channels(dm.Shape, func(c, lo, hi int) {
		for i := lo; i < hi; i++ {
			b.sums[c].D += dm.F64[i]
			b.sums[c].DX += dm.F64[i] * a[i]
		}
	})
	v, g := b.vectors(in), b.vectors(grads)
	if !b.live {
		frozenGradients(b.st, g.of64(), v.of64(), b.sums)
		copy(dx, dm.F64)
		return nil
	}
	q, r := make([]float64, len(b.sums)), make([]float64, len(b.sums))
	kern.BatchNormBackward(&b.o, q, r, g.of64(), v.of64(), b.sums)
	if dx != nil {
		channels(dm.Shape, func(c, lo, hi int) {
			for i := lo; i < hi; i++ {
				dx[i] = dm.F64[i]*b.k1w[c] + (a[i]*q[c] + r[c])
			}
		})
	}
	return nil
}
