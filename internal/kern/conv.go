package kern

// What is a convolution, and in what order are its sums?

import (
	"runtime"

	"github.com/goqat/goqat/internal/par"
)

// Conv is the geometry of a 2-D cross-correlation: x [N,C,H,W], weights
// [K,C/Groups,R,S], output [N,K,OH,OW], all row-major. Pad is top, left,
// bottom, right. Callers have checked that the numbers fit each other.
type Conv struct {
	N, C, H, W, K, R, S, OH, OW, Groups int
	Stride, Dilation                    [2]int
	Pad                                 [4]int
}

func (c *Conv) cg() int     { return c.C / c.Groups }
func (c *Conv) kg() int     { return c.K / c.Groups }
func (c *Conv) taps() int   { return c.cg() * c.R * c.S }
func (c *Conv) pixels() int { return c.OH * c.OW }

// thin says that row loops beat packed tiles in portable code: few products per
// output, in one chain, and fewer output channels per group than a tile has rows.
func (c *Conv) thin() bool { return c.cg() == 1 && c.kg() < tileRows && c.R*c.S <= KC }

// convPlan turns a convolution into matrix products: the column of output
// pixel p holds, for each tap k (channel, row, column of the kernel), the
// element pix[p]+off[k] of the padded image of one group.
type convPlan struct {
	*Conv
	ph, pw   int // size of a padded plane
	pad      bool
	off, pix []int
	tables   [2]*[]int // the borrowed buffers behind off and pix
}

func newConvPlan(c *Conv) *convPlan {
	p := &convPlan{Conv: c, ph: c.H + c.Pad[0] + c.Pad[2], pw: c.W + c.Pad[1] + c.Pad[3], pad: c.Pad != [4]int{}}
	p.tables = [2]*[]int{borrow[int](c.taps()), borrow[int](c.pixels())}
	p.off, p.pix = *p.tables[0], *p.tables[1]
	for i := range p.off {
		ch, r, s := i/(c.R*c.S), i/c.S%c.R, i%c.S
		p.off[i] = (ch*p.ph+r*c.Dilation[0])*p.pw + s*c.Dilation[1]
	}
	for i := range p.pix {
		p.pix[i] = i/c.OW*c.Stride[0]*p.pw + i%c.OW*c.Stride[1]
	}
	return p
}

// release gives the plan's tables back; the plan is useless after it.
func (p *convPlan) release() {
	giveBack(p.tables[0])
	giveBack(p.tables[1])
}

// planes is the number of elements of one group's padded image.
func (p *convPlan) planes() int { return p.cg() * p.ph * p.pw }

// image returns the padded image n of group g: a part of x when there is no
// padding, else a copy in buf, which has planes() elements.
func image[T any](p *convPlan, x, buf []T, n, g int) []T {
	size := p.cg() * p.H * p.W
	src := x[(n*p.Groups+g)*size:][:size]
	if !p.pad {
		return src
	}
	clear(buf)
	for ch := range p.cg() {
		for y := range p.H {
			copy(buf[(ch*p.ph+y+p.Pad[0])*p.pw+p.Pad[1]:][:p.W], src[(ch*p.H+y)*p.W:])
		}
	}
	return buf
}

// parts says into how many ranges of output pixels each of units images is cut
// so that all processors have work. It changes no result: no sum is cut.
func (p *convPlan) parts(units int) int {
	return max(1, min(runtime.GOMAXPROCS(0)*2/units, p.pixels()/64))
}

// ConvForward writes the convolution of x and w into out. Each output is one sum
// over the taps (channel, row, column of the kernel) in ascending order, padding
// included as zeros; in float32 the sum is cut every KC taps, as Gemm cuts it. A
// bias is nil or has K elements and is added last.
func ConvForward[F Float](c *Conv, out, x, w, bias []F) {
	if out, ok := any(out).([]float32); ok && fastConv() {
		convForwardFast(c, out, any(x).([]float32), any(w).([]float32), any(bias).([]float32))
		return
	}
	convForward(c, out, x, w, bias)
}

// convForward is the portable ConvForward.
func convForward[F Float](c *Conv, out, x, w, bias []F) {
	if emulated[F]() {
		convForwardPacked[F, float64](c, out, x, w, bias)
	} else {
		convForwardPacked[F, F](c, out, x, w, bias)
	}
}

// convForwardPacked is convForward with the factors packed as P.
func convForwardPacked[F, P Float](c *Conv, out, x, w, bias []F) {
	p := newConvPlan(c)
	defer p.release()
	if p.thin() {
		depthwiseForward[F, P](p, out, x, w, bias)
		return
	}
	taps, tiles := c.taps(), ceilDiv(c.kg(), tileRows)
	packed := borrow[[tileRows]P](c.Groups * tiles * taps)
	defer giveBack(packed)
	for g := range c.Groups {
		wg := RowMajor(w[g*c.kg()*taps:], taps, false)
		for t := range tiles {
			packRows((*packed)[(g*tiles+t)*taps:][:taps], wg, t*tileRows, c.kg())
		}
	}
	low := lowestPacked[P](*packed)
	units := c.N * c.Groups
	parts := p.parts(units)
	par.For(units*parts, 1, func(lo, hi int) {
		buf := newImages[F, P](p)
		defer buf.giveBack()
		for u := lo; u < hi; u++ {
			n, g, part := u/parts/c.Groups, u/parts%c.Groups, u%parts
			img, lowImg := buf.image(p, x, n, g)
			wg := (*packed)[g*tiles*taps:][:tiles*taps]
			first := n*c.K + g*c.kg()
			var b []F
			if bias != nil {
				b = bias[g*c.kg():][:c.kg()]
			}
			from, to := part*p.pixels()/parts, (part+1)*p.pixels()/parts
			convPixels(p, out[first*p.pixels():][:c.kg()*p.pixels()], img, wg, b, from, to, neverSubnormal(low, lowImg))
		}
	})
}

// pixelBlock is the number of output pixels whose columns are gathered at once:
// small enough for the first-level cache, large enough to use each weight often.
const pixelBlock = 16

// convPixels computes output pixels [from, to) of one image and group; normal is what
// neverSubnormal says of the image and the weights.
func convPixels[F, P Float](p *convPlan, out []F, img []P, wg [][tileRows]P, bias []F, from, to int, normal bool) {
	taps, pixels, kg := p.taps(), p.pixels(), p.kg()
	cols := borrow[[tileCols]P](taps * pixelBlock / tileCols)
	defer giveBack(cols)
	for p0 := from; p0 < to; p0 += pixelBlock {
		end := min(p0+pixelBlock, to)
		for j := p0; j < end; j += tileCols {
			gather((*cols)[(j-p0)/tileCols*taps:][:taps], img, p.off, p.pix[j], p.pix[min(j+1, end-1)])
		}
		for k := 0; k < kg; k += tileRows {
			a := wg[k/tileRows*taps:][:taps]
			for j := p0; j < end; j += 2 * tileCols {
				b0, b1 := (*cols)[(j-p0)/tileCols*taps:][:taps], [][tileCols]P(nil)
				if j+tileCols < end {
					b1 = (*cols)[((j-p0)/tileCols+1)*taps:][:taps]
				}
				var acc [2][tileRows][tileCols]F
				dotTiles(&acc, a, b0, b1, normal, false)
				if bias != nil {
					for i := range min(tileRows, kg-k) {
						for t := range acc {
							acc[t][i][0] += bias[k+i]
							acc[t][i][1] += bias[k+i]
						}
					}
				}
				storeTiles(out, pixels, k, j, kg, end, &acc, false)
			}
		}
	}
}

// images holds a padded image and, when factors are packed as another type, its copy.
type images[F, P Float] struct {
	pad  *[]F
	wide *[]P // nil if P is F
}

func newImages[F, P Float](p *convPlan) *images[F, P] {
	buf := &images[F, P]{pad: borrow[F](p.planes())}
	if _, ok := any(buf.pad).(*[]P); !ok {
		buf.wide = borrow[P](p.planes())
	}
	return buf
}

func (buf *images[F, P]) giveBack() {
	giveBack(buf.pad)
	if buf.wide != nil {
		giveBack(buf.wide)
	}
}

// image returns the padded image n of group g as P and, where it matters, what
// lowest says of it.
func (buf *images[F, P]) image(p *convPlan, x []F, n, g int) (img []P, low int) {
	src := image(p, x, *buf.pad, n, g)
	if buf.wide == nil {
		return any(src).([]P), 0
	}
	widen(*buf.wide, src)
	return *buf.wide, lowest(src)
}

// widen converts src.
func widen[F, P Float](dst []P, src []F) {
	dst = dst[:len(src)]
	for i, v := range src {
		dst[i] = P(v)
	}
}

// gather reads the taps of two output pixels that start at p0 and p1.
func gather[T any](dst [][tileCols]T, img []T, off []int, p0, p1 int) {
	off = off[:len(dst)]
	x0, x1 := img[p0:], img[p1:]
	for k, o := range off {
		dst[k] = [tileCols]T{x0[o], x1[o]}
	}
}
