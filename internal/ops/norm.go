package ops

import (
	"math"

	"github.com/goqat/goqat/internal/kern"
	"github.com/goqat/goqat/internal/nn"
)

// norm is a batch normalisation as part of a fused op. Its operands are x, gamma and
// beta, or for a folded one a, f, gamma, beta and perhaps bias (see [Unfold]).
//
// With live statistics both are y = a·k1 + k2 per channel. Everything that is not a
// pass over a is algebra per channel, in float64: c0 = a/f + bias has the mean
// mean(a)/f + bias and the variance var(a)/f², and
//
//	k1 = gamma / (f·sqrt(var(c0) + eps))   k2 = beta - mean(a)·k1
type norm struct {
	st       *BNState
	folded   bool
	training bool

	live   bool // whether the last Forward used batch statistics
	stats  []kern.Stats
	a      moments // of the operand
	c0     moments // of what is normalised
	inv    []float64
	k1, k2 []float32
	sums   []kern.Sums
	p      [3][]float32 // of the backward pass
	dm     []float32
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

// at returns element c, or what stands for a tensor that is not there.
func (t Tensor) at(c int, none float64) float64 {
	switch {
	case t.F64 != nil:
		return t.F64[c]
	case t.F32 != nil:
		return float64(t.F32[c])
	}
	return none
}

// set writes element c of a gradient, if it is wanted.
func (t Tensor) set(c int, v float64) {
	switch {
	case t.F64 != nil:
		t.F64[c] = v
	case t.F32 != nil:
		t.F32[c] = float32(v)
	}
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
		b.a.fromSums(b.stats, p.n*p.inner)
		b.normalise(in)
		v := b.vectors(in)
		for c := range b.k1 {
			b.k1[c] = float32(b.slope(v, c))
			b.k2[c] = float32(v.beta.at(c, 0) - float64(b.a.mean[c]*float64(b.k1[c])))
		}
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

// normalise derives the statistics of c0 from those of a, moves the running ones
// towards them and computes 1/sqrt(variance + eps).
func (b *norm) normalise(in []Tensor) {
	v := b.vectors(in)
	nC := len(b.a.mean)
	b.c0.size(nC)
	b.c0.n = b.a.n
	b.inv = sized(b.inv, nC)
	for c := range nC {
		f := v.f.at(c, 1)
		b.c0.mean[c] = b.a.mean[c]/f + v.bias.at(c, 0)
		b.c0.variance[c] = b.a.variance[c] / (f * f)
		b.inv[c] = 1 / math.Sqrt(b.c0.variance[c]+b.st.Eps)
	}
	b.st.update(&b.c0)
}

// slope is dy/da with the statistics held fixed.
func (b *norm) slope(v vectors, c int) float64 { return v.gamma.at(c, 1) * b.inv[c] / v.f.at(c, 1) }

// gradients writes the gradients of the vectors, from the sums Σ dy and Σ dy·a of a
// channel, and returns q and r of da = dy·k1 + a·q + r, where round is how q is
// rounded. With x̂ = (a - mean)·t and t = inv/f:
//
//	dgamma = Σ dy·x̂        dbeta = Σ dy        dbias = 0
//	da     = k1·(dy - dbeta/n - x̂·dgamma/n)
//	df     = -Σ da·a/f = -(gamma·inv/f²)·Σ dy·(a - mean)·eps·inv²
//
// The bias has no influence, since its mean is taken off; f has one only by way of
// eps.
func (b *norm) gradients(v, grad vectors, c int, d, da float64, round func(float64) float64) (q, r float64) {
	centred := da - float64(b.a.mean[c]*d)
	f, inv, n := v.f.at(c, 1), b.inv[c], float64(b.a.n)
	t := inv / f
	grad.gamma.set(c, centred*t)
	grad.beta.set(c, d)
	grad.bias.set(c, 0)
	grad.f.set(c, -v.gamma.at(c, 1)*inv/(f*f)*centred*(b.st.Eps*inv*inv))
	k := b.slope(v, c)
	q = round(-k * t * t * centred / n)
	return q, -k*d/n - float64(q*b.a.mean[c])
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
		b.frozenGradients(v, g)
		if dx := grads[0].F32; dx != nil {
			kern.AffineBackward(dx, dout.F32, nil, n, c, inner, k.mask, nil, nil, nil)
		}
		return nil
	}
	kern.MaskedSums(b.sums, dout.F32, in[0].F32, n, c, inner, k.mask)
	for i := range b.p {
		b.p[i] = sized(b.p[i], c)
	}
	for ch, s := range b.sums {
		q, r := b.gradients(v, g, ch, s.D, s.DX, func(x float64) float64 { return float64(float32(x)) })
		b.p[0][ch], b.p[1][ch], b.p[2][ch] = b.k1[ch], float32(q), float32(r)
	}
	if dx := grads[0].F32; dx != nil {
		kern.AffineBackward(dx, dout.F32, in[0].F32, n, c, inner, k.mask, b.p[0], b.p[1], b.p[2])
	}
	return nil
}

// frozenGradients are those of y = a + (beta + (bias - mean)·f).
func (b *norm) frozenGradients(v, grad vectors) {
	for c, s := range b.sums {
		grad.gamma.set(c, 0) // it acts through f
		grad.beta.set(c, s.D)
		grad.bias.set(c, s.D*v.f.at(c, 1))
		grad.f.set(c, s.D*(v.bias.at(c, 0)-float64(b.st.Mean[c])))
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
