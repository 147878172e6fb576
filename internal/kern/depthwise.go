package kern

import "github.com/goqat/goqat/internal/par"

// Depthwise convolutions (one input channel per group) have too few products
// per output for packing to pay: they run along image rows instead. The order
// of each sum is the one of the packed path: kernel rows, then columns.

func depthwiseForward[F Float](p *convPlan, out, x, w, bias []F) {
	pixels, kg, taps := p.pixels(), p.kg(), p.taps()
	par.For(p.N*p.Groups, p.planeGrain(), func(lo, hi int) {
		pad := borrow[F](p.planes())
		defer giveBack(pad)
		for u := lo; u < hi; u++ {
			n, g := u/p.Groups, u%p.Groups
			img := image(p, x, *pad, n, g)
			for k := g * kg; k < (g+1)*kg; k++ {
				dst := out[(n*p.K+k)*pixels:][:pixels]
				depthwisePlane(p, dst, img, w[k*taps:][:taps])
				for i := 0; bias != nil && i < len(dst); i++ {
					dst[i] += bias[k]
				}
			}
		}
	})
}

// planeGrain is the number of planes that are worth a goroutine.
func (p *convPlan) planeGrain() int {
	return max(1, gemmGrain/max(1, p.pixels()*p.taps()*p.kg()))
}

// three says that a kernel is 3×3 with neighbouring columns, which has its own loop.
func (p *convPlan) three() bool { return p.R == 3 && p.S == 3 && p.Dilation[1] == 1 }

func depthwisePlane[F Float](p *convPlan, out, img, w []F) {
	for y := range p.OH {
		dst := out[y*p.OW:][:p.OW]
		at := y * p.Stride[0] * p.pw
		if p.three() {
			d := p.Dilation[0] * p.pw
			depthwiseRow3(dst, img[at:], img[at+d:], img[at+2*d:], w, p.Stride[1])
			continue
		}
		clear(dst)
		for k, o := range p.off {
			src, v := img[at+o:], w[k]
			if p.Stride[1] == 1 {
				src = src[:len(dst)]
				for i, e := range src {
					dst[i] += F(v * e)
				}
				continue
			}
			for i := range dst {
				dst[i] += F(v * src[i*p.Stride[1]])
			}
		}
	}
}

// depthwiseRow3 is one output row of a 3×3 kernel; r0 to r2 are its input rows.
func depthwiseRow3[F Float](dst, r0, r1, r2, w []F, stride int) {
	w = w[:9]
	w0, w1, w2, w3, w4, w5, w6, w7, w8 := w[0], w[1], w[2], w[3], w[4], w[5], w[6], w[7], w[8]
	for i := range dst {
		at := i * stride
		a, b, c := r0[at:at+3], r1[at:at+3], r2[at:at+3]
		s := F(w0*a[0]) + 0
		s += F(w1 * a[1])
		s += F(w2 * a[2])
		s += F(w3 * b[0])
		s += F(w4 * b[1])
		s += F(w5 * b[2])
		s += F(w6 * c[0])
		s += F(w7 * c[1])
		s += F(w8 * c[2])
		dst[i] = s
	}
}

func depthwiseBackwardData[F Float](p *convPlan, dx, w, dy []F) {
	pixels, kg, taps := p.pixels(), p.kg(), p.taps()
	par.For(p.N*p.Groups, p.planeGrain(), func(lo, hi int) {
		pad := borrow[F](p.planes())
		defer giveBack(pad)
		for u := lo; u < hi; u++ {
			n, g := u/p.Groups, u%p.Groups
			grad := paddedGrad(p, dx, *pad, n, g)
			for k := g * kg; k < (g+1)*kg; k++ {
				depthwiseScatter(p, grad, w[k*taps:][:taps], dy[(n*p.K+k)*pixels:][:pixels])
			}
			cropGrad(p, dx, grad, n, g)
		}
	})
}

func depthwiseScatter[F Float](p *convPlan, grad, w, dy []F) {
	for y := range p.OH {
		src := dy[y*p.OW:][:p.OW]
		at := y * p.Stride[0] * p.pw
		for k, o := range p.off {
			dst, v := grad[at+o:], w[k]
			if p.Stride[1] == 1 {
				dst = dst[:len(src)]
				for i, e := range src {
					dst[i] += F(v * e)
				}
				continue
			}
			for i, e := range src {
				dst[i*p.Stride[1]] += F(v * e)
			}
		}
	}
}

// depthwiseWeight adds the weight gradients of one plane to dw [kg, taps]. Four taps run
// at a time, so that their sums overlap in time.
func depthwiseWeight[F Float](p *convPlan, dw, img, dy []F) {
	taps, pixels := p.taps(), p.pixels()
	for k := range p.kg() {
		d := dy[k*pixels:][:pixels]
		for t := 0; t < taps; t += 4 {
			o := [4]int{}
			for i := range o {
				o[i] = p.off[min(t+i, taps-1)]
			}
			s := depthwiseDot4(p, d, img[o[0]:], img[o[1]:], img[o[2]:], img[o[3]:])
			for i := range min(4, taps-t) {
				dw[k*taps+t+i] += s[i]
			}
		}
	}
}

func depthwiseDot4[F Float](p *convPlan, dy, x0, x1, x2, x3 []F) [4]F {
	var s0, s1, s2, s3 F
	for y := range p.OH {
		at := y * p.Stride[0] * p.pw
		for _, d := range dy[y*p.OW:][:p.OW] {
			s0 += F(d * x0[at])
			s1 += F(d * x1[at])
			s2 += F(d * x2[at])
			s3 += F(d * x3[at])
			at += p.Stride[1]
		}
	}
	return [4]F{s0, s1, s2, s3}
}
