package nn

import (
	"math"

	"github.com/goqat/goqat/internal/par"
)

// softmaxForward works in float64 and rounds once. A row of -Inf alone, or with
// NaN or +Inf, gives NaN.
func softmaxForward[F Float](o Softmax, out, x Tensor[F]) {
	n := x.Shape[o.Axis]
	outer, inner := spans(x.Shape, o.Axis)
	par.For(outer*inner, max(1, elementGrain/8/n), func(lo, hi int) {
		row := make([]float64, n)
		for u := lo; u < hi; u++ {
			at := u/inner*n*inner + u%inner
			top := math.Inf(-1)
			for i := range row {
				row[i] = float64(x.Data[at+i*inner])
				top = max(top, row[i])
			}
			var sum float64
			for i, v := range row {
				e := math.Exp(v - top)
				sum += e
				if o.Log {
					row[i] = v - top
				} else {
					row[i] = e
				}
			}
			for i, v := range row {
				if o.Log {
					out.Data[at+i*inner] = F(v - math.Log(sum))
				} else {
					out.Data[at+i*inner] = F(v / sum)
				}
			}
		}
	})
}

// softmaxBackward: dx = y·(dy - Σ dy·y), or for the logarithm dx = dy - exp(y)·Σ dy.
func softmaxBackward[F Float](o Softmax, dx, y, dy Tensor[F]) {
	n := y.Shape[o.Axis]
	outer, inner := spans(y.Shape, o.Axis)
	par.For(outer*inner, max(1, elementGrain/8/n), func(lo, hi int) {
		for u := lo; u < hi; u++ {
			at := u/inner*n*inner + u%inner
			var sum float64
			for i := at; i < at+n*inner; i += inner {
				if o.Log {
					sum += float64(dy.Data[i])
				} else {
					sum += float64(float64(dy.Data[i]) * float64(y.Data[i]))
				}
			}
			for i := at; i < at+n*inner; i += inner {
				d, v := float64(dy.Data[i]), float64(y.Data[i])
				if o.Log {
					dx.Data[i] = F(d - float64(math.Exp(v)*sum))
				} else {
					dx.Data[i] = F(v * (d - sum))
				}
			}
		}
	})
}

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
	channels(x.Shape, func(c, lo, hi int) {
		s, g, b, m := inv[c], gamma[c], beta[c], mean[c]
		dst := out.Data[lo:hi]
		for i, v := range x.Data[lo:hi] {
			dst[i] = F(F((v-m)*s)*g) + b
		}
	})
	return nil
}

func batchNormBackward[F Float](o BatchNorm, grads, in []Tensor[F], dout Tensor[F]) error {
	inv, err := bnScale(o, in[4].Data)
	if err != nil {
		return err
	}
	x, gamma, mean := in[0], in[1].Data, in[3].Data
	if d := grads[0].Data; d != nil {
		channels(x.Shape, func(c, lo, hi int) {
			k := F(gamma[c] * inv[c])
			for i := lo; i < hi; i++ {
				d[i] = dout.Data[i] * k
			}
		})
	}
	if d := grads[1].Data; d != nil {
		sums := make([]float64, len(d))
		channels(x.Shape, func(c, lo, hi int) {
			s, m, sum := float64(inv[c]), float64(mean[c]), sums[c]
			dy := dout.Data[lo:hi]
			for i, v := range x.Data[lo:hi] {
				sum += float64((float64(v) - m) * s * float64(dy[i]))
			}
			sums[c] = sum
		})
		for c, s := range sums {
			d[c] = F(s)
		}
	}
	if d := grads[2].Data; d != nil {
		biasGrad(d, dout.Data, x.Shape[0], x.Shape[1], product(x.Shape[2:]))
	}
	for _, g := range grads[3:] {
		clear(g.Data)
	}
	return nil
}
