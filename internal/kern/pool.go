package kern

import "github.com/goqat/goqat/internal/par"

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

// each calls fn for every output, in parallel over planes and in order within
// one: plane is the index of the plane's first input, o the output's index.
func (p *Pool) each(fn func(plane, o, y0, y1, x0, x1 int)) {
	work := max(1, p.OH*p.OW*p.Kernel[0]*p.Kernel[1])
	par.For(p.Planes, max(1, gemmGrain/4/work), func(lo, hi int) {
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

// two says that windows are 2×2 and all inside the image, the usual case, which
// has its own loops.
func (p *Pool) two() bool { return p.Kernel == [2]int{2, 2} && p.Pad == [4]int{} }

// rows calls fn for every row of outputs of an unpadded pooling, in parallel over
// planes: in is the index of the row's first input, o of its first output.
func (p *Pool) rows(fn func(in, o int)) {
	par.For(p.Planes, max(1, gemmGrain/16/(p.OH*p.OW)), func(lo, hi int) {
		for i := lo; i < hi; i++ {
			for oy := range p.OH {
				fn((i*p.H+oy*p.Stride[0])*p.W, (i*p.OH+oy)*p.OW)
			}
		}
	})
}

// MaxPool writes the largest element of each window; a NaN wins.
func MaxPool[F Float](p *Pool, out, x []F) {
	if p.two() {
		p.rows(func(in, o int) {
			r0, r1 := x[in:in+p.W], x[in+p.W:in+2*p.W]
			dst := out[o:][:p.OW]
			for i := range dst {
				a, b := r0[i*p.Stride[1]:][:2], r1[i*p.Stride[1]:][:2]
				dst[i] = max(a[0], a[1], b[0], b[1])
			}
		})
		return
	}
	p.each(func(plane, o, y0, y1, x0, x1 int) {
		m := x[plane+y0*p.W+x0]
		for y := y0; y < y1; y++ {
			for _, v := range x[plane+y*p.W+x0 : plane+y*p.W+x1] {
				m = max(m, v)
			}
		}
		out[o] = m
	})
}

// MaxPoolBackward writes the gradient: each window's goes to its first element,
// row-major, that equals the output (or is NaN as the output is).
func MaxPoolBackward[F Float](p *Pool, dx, x, out, dout []F) {
	clear(dx)
	if p.two() {
		p.rows(func(in, o int) {
			for i := range p.OW {
				at := in + i*p.Stride[1]
				dx[at+firstOfFour(x[at:][:2], x[at+p.W:][:2], out[o+i], p.W)] += dout[o+i]
			}
		})
		return
	}
	p.each(func(plane, o, y0, y1, x0, x1 int) {
		m := out[o]
		for y := y0; y < y1; y++ {
			for at := plane + y*p.W + x0; at < plane+y*p.W+x1; at++ {
				if v := x[at]; v == m || v != v && m != m {
					dx[at] += dout[o]
					return
				}
			}
		}
	})
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
// divided by the count and rounded once.
func AvgPool[F Float](p *Pool, out, x []F) {
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
	clear(dx)
	p.each(func(plane, o, y0, y1, x0, x1 int) {
		d := dout[o] / F(p.count(y0, y1, x0, x1))
		for y := y0; y < y1; y++ {
			row := dx[plane+y*p.W+x0 : plane+y*p.W+x1]
			for i := range row {
				row[i] += d
			}
		}
	})
}

// IntAvgPool averages centred codes: float32(float32(sum)·scale) / float32(count).
// The sum is exact; its magnitude must stay below 2^31.
func IntAvgPool(p *Pool, out []float32, x []int16, scale float32) {
	p.each(func(plane, o, y0, y1, x0, x1 int) {
		var s int32
		for y := y0; y < y1; y++ {
			for _, v := range x[plane+y*p.W+x0 : plane+y*p.W+x1] {
				s += int32(v)
			}
		}
		out[o] = float32(float32(s)*scale) / float32(p.count(y0, y1, x0, x1))
	})
}
