package nn

import (
	"math"
	"slices"

	"github.com/goqat/goqat/internal/kern"
	"github.com/goqat/goqat/internal/par"
)

// BatchNorm normalises each channel (axis 1 of rank 2 or 4) with given statistics.
// Inputs: x, gamma [C], beta [C], mean [C], variance [C]:
// y = (x - mean) / sqrt(variance + Eps) * gamma + beta (Ioffe and Szegedy 2015).
type BatchNorm struct {
	Eps float64 `json:"eps"`
}

func (BatchNorm) Kind() string { return "batch_norm" }

// bnScale returns 1/sqrt(variance + Eps) of each channel, rounded once.
func bnScale[F Float](o BatchNorm, variance []F) ([]F, error) {
	inv := make([]F, len(variance))
	for c, v := range variance {
		s := float64(v) + o.Eps
		if !(s > 0) {
			return nil, settingsErr(o, "variance %v of channel %d plus eps %v is not positive", v, c, o.Eps)
		}
		inv[c] = F(1 / math.Sqrt(s))
	}
	return inv, nil
}

// channels calls fn for every stretch of x that belongs to one channel, image by
// image, in parallel over channels.
func channels(shape []int, fn func(c, lo, hi int)) {
	n, c, inner := shape[0], shape[1], product(shape[2:])
	par.For(c, max(1, elementGrain/(n*inner)), func(lo, hi int) {
		for ch := lo; ch < hi; ch++ {
			for i := range n {
				at := (i*c + ch) * inner
				fn(ch, at, at+inner)
			}
		}
	})
}

// batchNormForward: y = F((x - mean)·inv)·gamma + beta, each step rounded.
func batchNormForward[F Float](o BatchNorm, out Tensor[F], in []Tensor[F]) error {
	inv, err := bnScale(o, in[4].Data)
	if err != nil {
		return err
	}
	x, gamma, beta, mean := in[0], in[1].Data, in[2].Data, in[3].Data
	if c := len(inv); len(x.Data) == x.Shape[0]*c { // one element per channel: run along the channels
		par.For(x.Shape[0], max(1, elementGrain/c), func(lo, hi int) {
			for i := lo; i < hi; i++ {
				dst := out.Data[i*c:][:c]
				kern.Sub(dst, x.Data[i*c:][:c], mean)
				kern.Mul(dst, dst, inv)
				kern.Mul(dst, dst, gamma)
				kern.Add(dst, dst, beta)
			}
		})
		return nil
	}
	channels(x.Shape, func(c, lo, hi int) {
		for ; lo < hi; lo += elementGrain / 4 { // pieces stay in the first cache
			end := min(hi, lo+elementGrain/4)
			dst := out.Data[lo:end]
			kern.SubOne(dst, x.Data[lo:end], mean[c])
			kern.MulOne(dst, dst, inv[c])
			kern.MulOne(dst, dst, gamma[c])
			kern.AddOne(dst, dst, beta[c])
		}
	})
	return nil
}

// batchNormBackward: the statistics are constants, so with x̂ = (x - mean)·inv
//
//	dx = dy·(gamma·inv),  dgamma = Σ dy·x̂ = (Σ dy·x - mean·Σ dy)·inv,  dbeta = Σ dy
func batchNormBackward[F Float](o BatchNorm, grads, in []Tensor[F], dout Tensor[F]) error {
	inv, err := bnScale(o, in[4].Data)
	if err != nil {
		return err
	}
	x, gamma, mean := in[0], in[1].Data, in[3].Data
	if d := grads[0].Data; d != nil {
		scaleChannels(d, dout, gamma, inv)
	}
	if grads[1].Data != nil || grads[2].Data != nil {
		both := kern.Scratch[kern.Sums](len(inv))
		defer kern.Return(both)
		sumsOf(*both, dout.Data, x.Data, x.Shape[0], len(inv), product(x.Shape[2:]))
		for c, s := range *both {
			if d := grads[1].Data; d != nil {
				d[c] = F((s.DX - float64(float64(mean[c])*s.D)) * float64(inv[c]))
			}
			if d := grads[2].Data; d != nil {
				d[c] = F(s.D)
			}
		}
	}
	for _, g := range grads[3:] {
		clear(g.Data)
	}
	return nil
}

// scaleChannels writes dout times gamma·inv of the channel, the product rounded.
func scaleChannels[F Float](d []F, dout Tensor[F], gamma, inv []F) {
	k := make([]F, len(inv))
	kern.Mul(k, gamma, inv)
	if c := len(inv); len(d) == dout.Shape[0]*c {
		for i := range dout.Shape[0] {
			kern.Mul(d[i*c:][:c], dout.Data[i*c:][:c], k)
		}
		return
	}
	channels(dout.Shape, func(c, lo, hi int) {
		for ; lo < hi; lo += elementGrain {
			end := min(hi, lo+elementGrain)
			kern.MulOne(d[lo:end], dout.Data[lo:end], k[c])
		}
	})
}

// sumsOf writes Σ dy and Σ dy·x of each channel, in float64.
func sumsOf[F Float](sums []kern.Sums, dy, x []F, n, c, inner int) {
	if d32, ok := any(dy).([]float32); ok {
		kern.MaskedSums(sums, d32, any(x).([]float32), n, c, inner, nil)
		return
	}
	clear(sums)
	for i, d := range dy {
		s := &sums[i/inner%c]
		s.D += float64(d)
		s.DX += float64(float64(d) * float64(x[i]))
	}
}

func batchNormShape(o BatchNorm, in [][]int) ([]int, error) {
	x := in[0]
	if len(x) != 2 && len(x) != 4 {
		return nil, shapeErr(o, "input has shape %v, want [N,C] or [N,C,H,W]", x)
	}
	for i, name := range []string{"gamma", "beta", "mean", "variance"} {
		if !slices.Equal(in[i+1], x[1:2]) {
			return nil, shapeErr(o, "%s has shape %v, want [%d]", name, in[i+1], x[1])
		}
	}
	return slices.Clone(x), nil
}

func init() {
	register(family[BatchNorm]{
		kinds: []string{"batch_norm"}, inputs: [2]int{5, 5},
		check: func(o BatchNorm) error {
			if !(o.Eps >= 0) || math.IsInf(o.Eps, 0) {
				return settingsErr(o, "eps is %v, want a finite number, at least 0", o.Eps)
			}
			return nil
		},
		shape:  batchNormShape,
		traits: func(BatchNorm) Traits { return Traits{Quantized: true, TakesActivation: true} },
		batch:  batchFirst[BatchNorm],
		f32:    batchNormPasses[float32](), f64: batchNormPasses[float64](),
	})
}

func batchNormPasses[F Float]() passes[BatchNorm, F] {
	return passes[BatchNorm, F]{
		forward: func(o BatchNorm, out Tensor[F], in []Tensor[F]) error { return batchNormForward(o, out, in) },
		backward: func(o BatchNorm, grads, in []Tensor[F], _, dout Tensor[F]) error {
			return batchNormBackward(o, grads, in, dout)
		},
	}
}
