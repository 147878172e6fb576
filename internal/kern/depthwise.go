package kern

// What do depthwise convolutions compute?

import (
	"unsafe"

	"github.com/goqat/goqat/internal/par"
)

// Depthwise convolutions (one input channel per group) have too few products
// per output for packing to pay: portable code takes some neighbouring pixels of a
// row at a time instead. The order of each sum is the one of the packed path:
// kernel rows, then columns.

func depthwiseForward[F, P Float](p *convPlan, out, x, w, bias []F) {
	pixels, kg, taps := p.pixels(), p.kg(), p.taps()
	weights := borrow[P](p.K * taps)
	defer giveBack(weights)
	widen(*weights, w[:p.K*taps])
	low := lowest(w[:p.K*taps])
	par.For(p.N*p.Groups, p.planeGrain(), func(lo, hi int) {
		buf := newImages[F, P](p)
		defer buf.giveBack()
		for u := lo; u < hi; u++ {
			n, g := u/p.Groups, u%p.Groups
			img, lowImg := buf.image(p, x, n, g)
			for k := g * kg; k < (g+1)*kg; k++ {
				dst := out[(n*p.K+k)*pixels:][:pixels]
				depthwisePlane(p, dst, img, (*weights)[k*taps:][:taps], neverSubnormal(low, lowImg))
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

// three says that a kernel is 3×3 with neighbouring columns, which has its own loop
// for integers.
func (p *convPlan) three() bool { return p.R == 3 && p.S == 3 && p.Dilation[1] == 1 }

// runPixels is the number of neighbouring pixels whose sums run side by side.
const runPixels = 8

// pixelRun is up to runPixels neighbouring pixels of a row: pixel i < n meets the
// elements at+i*stride+off of the image.
type pixelRun struct {
	at, stride, n int
	off           []int
}

// depthwisePlane sums the taps p.off of one plane; w has their weights. normal is what
// neverSubnormal says of them and the image.
func depthwisePlane[F, P Float](p *convPlan, out []F, img, w []P, normal bool) {
	r := pixelRun{stride: p.Stride[1], off: p.off}
	for y := range p.OH {
		for i := 0; i < p.OW; i += runPixels {
			r.at, r.n = y*p.Stride[0]*p.pw+i*r.stride, min(runPixels, p.OW-i)
			var s [runPixels]F
			chainRun(&s, &r, img, w, normal)
			copy(out[y*p.OW+i:][:r.n], s[:])
		}
	}
}

// elements returns what the pixels meet at offset o; the last pixel fills the rest
// of the run. buf has room for a copy, which is made unless they lie side by side.
func elements[P Float](r *pixelRun, img []P, o int, buf *[runPixels]P) *[runPixels]P {
	if r.stride == 1 && r.n == runPixels {
		return (*[runPixels]P)(img[r.at+o:])
	}
	for i := range buf {
		buf[i] = img[r.at+o+min(i, r.n-1)*r.stride]
	}
	return buf
}

// chainRun writes the sums of the pixels of a run to s.
func chainRun[F, P Float](s *[runPixels]F, r *pixelRun, img, w []P, normal bool) {
	if s32, ok := any(s).(*[runPixels]float32); ok {
		if img32, ok := any(img).([]float32); ok {
			fusedRun(s32, r, img32, any(w).([]float32))
			return
		}
		if normal && exactRun(s32, r, any(img).([]float64), any(w).([]float64)) {
			return
		}
	}
	for i := range r.n {
		var sum F
		for k, o := range r.off {
			sum = madd(F(w[k]), F(img[r.at+o+i*r.stride]), sum)
		}
		s[i] = sum
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
