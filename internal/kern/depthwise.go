package kern

import (
	"unsafe"

	"github.com/goqat/goqat/internal/par"
)

// Depthwise convolutions (one input channel per group) have too few products
// per output for packing to pay: portable code runs along image rows instead. The
// order of each sum is the one of the packed path: kernel rows, then columns.

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

// depthwisePlane sums the taps p.off of one plane; w has their weights.
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
			for i := range dst {
				dst[i] = madd(v, src[i*p.Stride[1]], dst[i])
			}
		}
	}
}

// depthwiseRow3 is one output row of a 3×3 kernel; r0 to r2 are its input rows.
func depthwiseRow3[F Float](dst, r0, r1, r2, w []F, stride int) {
	w = w[:9]
	for i := range dst {
		at := i * stride
		a, b, c := r0[at:at+3], r1[at:at+3], r2[at:at+3]
		s := madd(w[0], a[0], 0)
		s = madd(w[1], a[1], s)
		s = madd(w[2], a[2], s)
		s = madd(w[3], b[0], s)
		s = madd(w[4], b[1], s)
		s = madd(w[5], b[2], s)
		s = madd(w[6], c[0], s)
		s = madd(w[7], c[1], s)
		dst[i] = madd(w[8], c[2], s)
	}
}

// madd returns a·b+c: rounded once in float32, as in all float32 sums of products;
// the product and the sum rounded each in float64.
func madd[F Float](a, b, c F) F {
	if unsafe.Sizeof(a) == 4 {
		return F(fma32(float32(a), float32(b), float32(c)))
	}
	return c + F(a*b)
}
