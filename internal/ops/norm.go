package ops

import (
	"github.com/goqat/goqat/internal/kern"
	"github.com/goqat/goqat/internal/nn"
)

// norm is a batch normalisation as part of a fused op. Its operands are x, gamma and
// beta, or for a folded one a, f, gamma, beta and perhaps bias (see [Unfold]).
//
// With live statistics both are y = a·k1 + k2 per channel. Everything that is not a
// pass over a is algebra per channel: [kern.BatchNorm].
type norm struct {
	st       *BNState
	folded   bool
	training bool

	live   bool // whether the last Forward used batch statistics
	stats  []kern.Stats
	o      kern.BatchNorm
	k1, k2 []float32
	sums   []kern.Sums
	q, r   []float32 // of the backward pass
	dm     []float32

	k1w, k2w []float64 // k1 and k2 of a float64 run
}

// again returns an equal normalisation with memory of its own.
func (b *norm) again() *norm { return &norm{st: b.st, folded: b.folded, training: b.training} }

// vectors are the operands behind the first, one element per channel each.
type vectors struct{ f, gamma, beta, bias Tensor }

func (b *norm) vectors(ts []Tensor) vectors {
	if !b.folded {
		return vectors{gamma: ts[1], beta: ts[2]}
	}
	return vectors{f: ts[1], gamma: ts[2], beta: ts[3], bias: optional(ts, 4)}
}

// of32 and of64 are the vectors as the kernels take them.
func (v vectors) of32() kern.BatchVectors[float32] {
	return kern.BatchVectors[float32]{F: v.f.F32, Gamma: v.gamma.F32, Beta: v.beta.F32, Bias: v.bias.F32}
}

func (v vectors) of64() kern.BatchVectors[float64] {
	return kern.BatchVectors[float64]{F: v.f.F64, Gamma: v.gamma.F64, Beta: v.beta.F64, Bias: v.bias.F64}
}

// size makes room for the statistics of c channels.
func (b *norm) size(c int) {
	b.o.Eps = b.st.Eps
	b.o.Mean, b.o.Variance, b.o.Inv = sized(b.o.Mean, c), sized(b.o.Variance, c), sized(b.o.Inv, c)
}

// running are the statistics that move with each batch.
func (st *BNState) running() kern.Running {
	return kern.Running{Mean: st.Mean, Variance: st.Variance, Momentum: st.Momentum}
}

// forward sets what p multiplies with and adds.
func (b *norm) forward(p *finishPass, in []Tensor) error {
	b.live = b.training && !b.st.Frozen()
	b.k1, b.k2 = sized(b.k1, p.c), sized(b.k2, p.c)
	if b.live {
		if len(b.stats) != p.c {
			b.stats = make([]kern.Stats, p.c)
		}
		kern.ChannelStats(b.stats, p.a, p.n, p.c, p.inner)
		b.size(p.c)
		b.o.BatchMoments(b.stats, p.n*p.inner)
		kern.BatchNormForward(&b.o, b.k1, b.k2, b.vectors(in).of32(), b.st.running())
		p.k1, p.k2, p.stats = b.k1, b.k2, b.stats
		return nil
	}
	if b.folded {
		v := b.vectors(in)
		foldedBias(b.st, b.k2, v.f.F32, v.beta.F32, v.bias.F32)
		for c := range b.k1 {
			b.k1[c] = 1
		}
		p.k1, p.k2 = b.k1, b.k2
		return nil
	}
	p.a = p.out.F32
	return nn.Forward(nn.BatchNorm{Eps: b.st.Eps}, p.out.T32(), withStats(b.st, all32(in)))
}

// backward computes the gradients of the operands. k has the bits.
func (b *norm) backward(k *finish, grads, in []Tensor, dout Tensor) error {
	n, c, inner := k.dims(dout.Shape)
	if !b.live && !b.folded {
		return b.plainBackward(k, grads, in, dout)
	}
	if len(b.sums) != c {
		b.sums = make([]kern.Sums, c)
	}
	v, g := b.vectors(in), b.vectors(grads)
	if !b.live {
		kern.MaskedSums(b.sums, dout.F32, nil, n, c, inner, k.mask)
		frozenGradients(b.st, g.of32(), v.of32(), b.sums)
		if dx := grads[0].F32; dx != nil {
			kern.AffineBackward(dx, dout.F32, nil, n, c, inner, k.mask, nil, nil, nil)
		}
		return nil
	}
	kern.MaskedSums(b.sums, dout.F32, in[0].F32, n, c, inner, k.mask)
	b.q, b.r = sized(b.q, c), sized(b.r, c)
	kern.BatchNormBackward(&b.o, b.q, b.r, g.of32(), v.of32(), b.sums)
	if dx := grads[0].F32; dx != nil {
		kern.AffineBackward(dx, dout.F32, in[0].F32, n, c, inner, k.mask, b.k1, b.q, b.r)
	}
	return nil
}

// frozenGradients are those of y = a + (beta + (bias - mean)·f). Gamma acts through f.
func frozenGradients[F nn.Float](st *BNState, grad, v kern.BatchVectors[F], sums []kern.Sums) {
	clear(grad.Gamma)
	for c, s := range sums {
		bias := 0.0
		if v.Bias != nil {
			bias = float64(v.Bias[c])
		}
		if grad.Beta != nil {
			grad.Beta[c] = F(s.D)
		}
		if grad.Bias != nil {
			grad.Bias[c] = F(s.D * float64(v.F[c]))
		}
		if grad.F != nil {
			grad.F[c] = F(s.D * (bias - float64(st.Mean[c])))
		}
	}
}

// plainBackward is the gradient of a normalisation with running statistics.
func (b *norm) plainBackward(k *finish, grads, in []Tensor, dout Tensor) error {
	n, c, inner := k.dims(dout.Shape)
	b.dm = sized(b.dm, len(dout.F32)) // the gradient may be made in the memory of dout
	kern.AffineBackward(b.dm, dout.F32, nil, n, c, inner, k.mask, nil, nil, nil)
	dm := nn.Tensor[float32]{Shape: dout.Shape, Data: b.dm}
	none := nn.Tensor[float32]{}
	return nn.Backward(nn.BatchNorm{Eps: b.st.Eps}, append(all32(grads), none, none), withStats(b.st, all32(in)), in[0].T32(), dm)
}
