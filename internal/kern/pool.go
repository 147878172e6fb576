package kern

// What does pooling compute?

import (
	"math"

	"github.com/goqat/goqat/internal/par"
)

// Pool is the geometry of a pooling over [Planes,H,W] into [Planes,OH,OW].
// Every window holds at least one element of the image.
type Pool struct {
	Planes, H, W, OH, OW int
	Kernel, Stride       [2]int
	Pad                  [4]int // top, left, bottom, right
	ExcludePad           bool   // an average divides by the elements inside the image
}

// window returns the part of an output's window that lies inside the image.
func (p *Pool) window(oy, ox int) (y0, y1, x0, x1 int) {
	y, x := oy*p.Stride[0]-p.Pad[0], ox*p.Stride[1]-p.Pad[1]
	return max(y, 0), min(y+p.Kernel[0], p.H), max(x, 0), min(x+p.Kernel[1], p.W)
}

// count is the divisor of an average.
func (p *Pool) count(y0, y1, x0, x1 int) int {
	if p.ExcludePad {
		return (y1 - y0) * (x1 - x0)
	}
	return p.Kernel[0] * p.Kernel[1]
}

// planes calls fn for ranges of planes, in parallel: work is the number of elements
// that one plane costs.
func (p *Pool) planes(work int, fn func(lo, hi int)) {
	par.For(p.Planes, max(1, elemChunk/max(1, work)), fn)
}

// each calls fn for every output, in parallel over planes and in order within
// one: plane is the index of the plane's first input, o the output's index.
func (p *Pool) each(fn func(plane, o, y0, y1, x0, x1 int)) {
	p.planes(p.OH*p.OW*p.Kernel[0]*p.Kernel[1], func(lo, hi int) {
		for i := lo; i < hi; i++ {
			o := i * p.OH * p.OW
			for oy := range p.OH {
				for ox := range p.OW {
					y0, y1, x0, x1 := p.window(oy, ox)
					fn(i*p.H*p.W, o, y0, y1, x0, x1)
					o++
				}
			}
		}
	})
}

// two says that windows are 2×2 side by side and all inside the image, the usual case,
// which has loops of its own.
func (p *Pool) two() bool {
	return p.Kernel == [2]int{2, 2} && p.Stride == p.Kernel && p.Pad == [4]int{} && 2*p.OH <= p.H && 2*p.OW <= p.W
}

// stacks calls fn in parallel for planes of 2×2 windows: in and o are the indices of the
// first input and output, and q is the pooling of that part. Planes without a row left over
// stand on one another like one high plane.
func (p *Pool) stacks(fn func(q *Pool, in, o int)) {
	p.planes(p.H*p.W, func(lo, hi int) {
		q, step := *p, 1
		if p.H == 2*p.OH {
			step = hi - lo
		}
		q.H, q.OH, q.Planes = step*p.H, step*p.OH, 1
		for i := lo; i < hi; i += step {
			fn(&q, i*p.H*p.W, i*p.OH*p.OW)
		}
	})
}

// whole says that the only window is the image.
func (p *Pool) whole() bool {
	return p.OH == 1 && p.OW == 1 && p.Kernel == [2]int{p.H, p.W} && p.Pad == [4]int{}
}

// MaxPool writes the largest element of each window; a NaN wins.
func MaxPool[F Float](p *Pool, out, x []F) {
	if p.two() {
		p.stacks(func(q *Pool, in, o int) { maxPool2(q, out[o:][:q.OH*q.OW], x[in:][:q.H*q.W]) })
		return
	}
	work := p.H*p.W + p.OH*p.OW*p.Kernel[1]
	if x, ok := any(x).([]float32); ok && level >= LevelAVX2 {
		m := p.newMaxPlan(maxSlack, false)
		p.planes(work, func(lo, hi int) {
			buf := borrow[float32](m.size)
			defer giveBack(buf)
			fill(*buf, float32(math.Inf(-1)))
			for i := lo; i < hi; i++ {
				m.plane(any(out).([]float32)[i*p.OH*p.OW:][:p.OH*p.OW], x[i*p.H*p.W:][:p.H*p.W], *buf)
			}
		})
		return
	}
	p.planes(work, func(lo, hi int) {
		buf := borrow[F](p.W)
		defer giveBack(buf)
		for i := lo; i < hi; i++ {
			maxPlane(p, out[i*p.OH*p.OW:][:p.OH*p.OW], x[i*p.H*p.W:][:p.H*p.W], *buf)
		}
	})
}

// maxPool2 writes the maxima of the 2×2 windows of one plane.
func maxPool2[F Float](p *Pool, out, x []F) {
	if maxPool2Fast(p, out, x) {
		return
	}
	for oy := range p.OH {
		r0, r1 := x[2*oy*p.W:][:p.W], x[(2*oy+1)*p.W:][:p.W]
		dst := out[oy*p.OW:][:p.OW]
		for i := range dst {
			a, b := r0[2*i:][:2], r1[2*i:][:2]
			dst[i] = max(a[0], a[1], b[0], b[1])
		}
	}
}

// maxPlane pools one plane: first the rows of a window into one, then along it.
func maxPlane[F Float](p *Pool, out, x, row []F) {
	for oy := range p.OH {
		y0, y1, _, _ := p.window(oy, 0)
		copy(row, x[y0*p.W:][:p.W])
		for y := y0 + 1; y < y1; y++ {
			maxInto(row, x[y*p.W:][:p.W])
		}
		dst := out[oy*p.OW:][:p.OW]
		for ox := range dst {
			_, _, x0, x1 := p.window(oy, ox)
			m := row[x0]
			for _, v := range row[x0+1 : x1] {
				m = max(m, v)
			}
			dst[ox] = m
		}
	}
}

// maxInto writes max(dst, x) into dst.
func maxInto[F Float](dst, x []F) {
	x = x[:len(dst)]
	for i := maxIntoFast(dst, x); i < len(dst); i++ {
		dst[i] = max(dst[i], x[i])
	}
}

// MaxPoolBackward writes the gradient: each window's goes to its first element,
// row-major, that equals the output (or is NaN as the output is). out is what MaxPool
// wrote for x.
func MaxPoolBackward[F Float](p *Pool, dx, x, out, dout []F) {
	if p.two() {
		p.stacks(func(q *Pool, in, o int) {
			ni, no := q.H*q.W, q.OH*q.OW
			maxPool2Backward(q, dx[in:][:ni], x[in:][:ni], out[o:][:no], dout[o:][:no])
		})
		return
	}
	other := func(i int) {
		in, o := i*p.H*p.W, i*p.OH*p.OW
		ni, no := p.H*p.W, p.OH*p.OW
		maxPlaneBackward(p, dx[in:][:ni], x[in:][:ni], out[o:][:no], dout[o:][:no])
	}
	if x, ok := any(x).([]float32); ok && p.tapped() {
		p.maxBack(any(dx).([]float32), x, any(out).([]float32), any(dout).([]float32), other)
		return
	}
	p.planes(p.OH*p.OW*p.Kernel[0]*p.Kernel[1], func(lo, hi int) {
		for i := lo; i < hi; i++ {
			other(i)
		}
	})
}

// maxPlaneBackward writes the gradient of one plane.
func maxPlaneBackward[F Float](p *Pool, dx, x, out, dout []F) {
	clear(dx)
	for o, m := range out {
		if at := firstMax(p, x, m, o); at >= 0 {
			dx[at] += dout[o]
		}
	}
}

// firstMax returns the first element of a plane in the window of output o that is the maximum m,
// or -1.
func firstMax[F Float](p *Pool, x []F, m F, o int) int {
	y0, y1, x0, x1 := p.window(o/p.OW, o%p.OW)
	for y := y0; y < y1; y++ {
		for i, v := range x[y*p.W+x0 : y*p.W+x1] {
			if v == m || v != v && m != m {
				return y*p.W + x0 + i
			}
		}
	}
	return -1
}

// maxPool2Backward writes one plane: windows that do not overlap need no clearing but of
// what no window covers.
func maxPool2Backward[F Float](p *Pool, dx, x, out, dout []F) {
	w := p.W
	if p.W != 2*p.OW || p.H != 2*p.OH {
		clear(dx)
	}
	if maxPool2BackFast(p, dx, x, out, dout) {
		return
	}
	clear(dx)
	for oy := range p.OH {
		at := 2 * oy * w
		for i := oy * p.OW; i < (oy+1)*p.OW; i++ {
			dx[at+firstOfFour(x[at:][:2], x[at+w:][:2], out[i], w)] += dout[i]
			at += 2
		}
	}
}

// firstOfFour returns where the maximum m first stands in a 2×2 window with rows
// a and b, w elements apart. It assigns from the last to the first, so that
// the compiler needs no branches.
func firstOfFour[F Float](a, b []F, m F, w int) int {
	at := w + 1
	if m != m {
		for i, v := range []F{b[0], a[1], a[0]} {
			if v != v {
				at = []int{w, 1, 0}[i]
			}
		}
		return at
	}
	if b[0] == m {
		at = w
	}
	if a[1] == m {
		at = 1
	}
	if a[0] == m {
		at = 0
	}
	return at
}

// AvgPool writes the average of each window: a float64 sum in row-major order,
// divided by the count and rounded once. Where the window is the image the sum runs in
// the lanes of [ChannelStats].
func AvgPool[F Float](p *Pool, out, x []F) {
	if n := p.H * p.W; p.whole() {
		p.planes(n, func(lo, hi int) {
			for i := lo; i < hi; i++ {
				out[i] = F(LaneSum(x[i*n:][:n]) / float64(n))
			}
		})
		return
	}
	if x, ok := any(x).([]float32); ok && p.tapped() {
		p.averageTaps(any(out).([]float32), x)
		return
	}
	p.each(func(plane, o, y0, y1, x0, x1 int) {
		var s float64
		for y := y0; y < y1; y++ {
			for _, v := range x[plane+y*p.W+x0 : plane+y*p.W+x1] {
				s += float64(v)
			}
		}
		out[o] = F(s / float64(p.count(y0, y1, x0, x1)))
	})
}

// AvgPoolBackward writes the gradient: every element gets dout / count of each
// window that it is in, added in the order of the outputs.
func AvgPoolBackward[F Float](p *Pool, dx, dout []F) {
	if n := p.H * p.W; p.whole() {
		p.planes(n, func(lo, hi int) {
			for i := lo; i < hi; i++ {
				fill(dx[i*n:][:n], dout[i]/F(n)+0) // as if added to 0
			}
		})
		return
	}
	if dx, ok := any(dx).([]float32); ok && p.tapped() {
		p.averageBack(dx, any(dout).([]float32))
		return
	}
	p.each(func(plane, o, y0, y1, x0, x1 int) {
		if o%(p.OH*p.OW) == 0 {
			clear(dx[plane:][:p.H*p.W])
		}
		d := dout[o] / F(p.count(y0, y1, x0, x1))
		for y := y0; y < y1; y++ {
			row := dx[plane+y*p.W+x0 : plane+y*p.W+x1]
			AddOne(row, row, d)
		}
	})
}

// fill sets every element of dst, which is not empty, to v.
func fill[F Float](dst []F, v F) {
	dst[0] = v
	for n := 1; n < len(dst); n *= 2 {
		copy(dst[n:], dst[:n])
	}
}
