package kern

// How are images of codes packed? Padding with zero points is here.

import "unsafe"

// pack lays out the image of unit u, an image and a group, as the plan says. The
// padding is there already.
func (r *intConvRun) pack(s *intScratch, img []uint32, u int) {
	c, p := r.c, r.plan
	size := c.cg() * c.H * c.W
	src := s.plane(r.x.at(u*size, size))
	for plane := range p.planes {
		if r.f.wide {
			r.packWide(s, img, src[plane*c.H*c.W:][:c.H*c.W], plane)
			continue
		}
		l := r.f.kind.lanes()
		first, n := p.channels[plane][0], p.channels[plane][1]
		a := &s.pack
		for i := range l {
			// Missing channels have weights 0: any codes will do.
			a.src[i] = unsafe.Pointer(&src[(first+min(i, n-1))*c.H*c.W])
		}
		a.srcStride = c.W
		r.packRows(s, img, plane, c.W, c.Pad[1])
	}
}

// packWide packs one channel: each dword holds neighbours along the padded row.
func (r *intConvRun) packWide(s *intScratch, img []uint32, src []uint8, plane int) {
	c, p := r.c, r.plan
	stride := p.padded + 4
	s.rows = grow(s.rows, c.H*stride+4)
	if p.padded > c.W {
		fillBytes(s.rows, uint8(r.x.Grid.ZeroPoint))
	}
	copyBytes(s.rows[c.Pad[1]:], stride, src, c.W, c.H, c.W)
	a := &s.pack
	for i := range r.f.kind.lanes() {
		a.src[i] = unsafe.Pointer(&s.rows[i])
	}
	a.srcStride = stride
	r.packRows(s, img, plane, p.padded, 0)
}

// packRows packs the rows of a plane whose first rows are set: n columns, the first
// of which belongs at column left of the padded plane.
func (r *intConvRun) packRows(s *intScratch, img []uint32, plane, n, left int) {
	c, p, a := r.c, r.plan, &s.pack
	src, srcStride := a.src, a.srcStride
	sy, sx := p.stride[0], p.stride[1]
	a.zero = r.x.Grid.ZeroPoint
	place := func(phase, y, x int) unsafe.Pointer {
		return unsafe.Pointer(&img[((plane*p.phases+phase)*p.h+y)*p.w+x])
	}
	for py := range sy {
		y := ((py-c.Pad[0])%sy + sy) % sy // the first row of the image in this phase
		if y >= c.H {
			continue
		}
		for i := range a.src {
			if src[i] != nil {
				a.src[i] = unsafe.Add(src[i], y*srcStride)
			}
		}
		a.srcStride, a.dstStride, a.rows = sy*srcStride, 4*p.w, ceilDiv(c.H-y, sy)
		y = (y + c.Pad[0]) / sy
		switch {
		case sx == 1:
			if ph := p.phase[py]; ph >= 0 {
				a.dst = place(ph, y, left)
				a.run(r.f.kind.lanes(), n)
			}
		case sx == 2 && r.f.kind == formBytes && level >= LevelAVX512:
			s.spare = grow(s.spare, p.h*p.w+slackWords)
			out := [2]unsafe.Pointer{unsafe.Pointer(&s.spare[0]), unsafe.Pointer(&s.spare[0])}
			for i := range out {
				if ph := p.phase[py*sx+(left+i)%2]; ph >= 0 && i < n {
					out[i] = place(ph, y, (left+i)/2)
				}
			}
			a.dst, a.odd = out[0], out[1]
			a.split(n)
		default:
			r.packSlow(s, img, plane, n, left, py, y)
		}
	}
	a.src, a.srcStride = src, srcStride
}

// packSlow packs rows with a stride that has no kernel.
func (r *intConvRun) packSlow(s *intScratch, img []uint32, plane, n, left, py, y int) {
	p, a := r.plan, &s.pack
	rows, sx := a.rows, p.stride[1]
	s.row = grow(s.row, rows*n)
	a.dst, a.dstStride = unsafe.Pointer(&s.row[0]), 4*n
	a.run(r.f.kind.lanes(), n)
	for px := range sx {
		ph := p.phase[py*sx+px]
		if ph < 0 {
			continue
		}
		first := ((px-left)%sx + sx) % sx
		for i := range rows {
			to := ((plane*p.phases+ph)*p.h+y+i)*p.w + (first+left)/sx
			for x := first; x < n; x += sx {
				img[to] = s.row[i*n+x]
				to++
			}
		}
	}
}

// run interleaves n columns of all rows.
func (a *intPackArgs) run(l, n int) {
	a.full, a.tail = n/tileLanes, 1<<(n%tileLanes)-1
	if a.fast(l, false) {
		return
	}
	done := 0
	if l == 2 {
		done = a.pairs(n)
	}
	for y := range a.rows {
		dst := unsafe.Slice((*uint32)(unsafe.Add(a.dst, y*a.dstStride)), n)
		var src [4][]uint8
		for i := range l {
			src[i] = unsafe.Slice((*uint8)(unsafe.Add(a.src[i], y*a.srcStride)), n)
		}
		if l == 2 {
			z := uint16(a.zero)
			for i := done; i < n; i++ {
				dst[i] = uint32(uint16(src[0][i])-z) | uint32(uint16(src[1][i])-z)<<16
			}
			continue
		}
		for i := range dst {
			dst[i] = uint32(src[0][i]) | uint32(src[1][i])<<8 | uint32(src[2][i])<<16 | uint32(src[3][i])<<24
		}
	}
}

// split interleaves n columns of all rows, even and odd ones apart.
func (a *intPackArgs) split(n int) {
	rest := n % (2 * tileLanes)
	a.full, a.tail = n/(2*tileLanes), 1<<rest-1
	a.tailEven, a.tailOdd = columnMask(0, (rest+1)/2), columnMask(0, rest/2)
	a.fast(4, true)
}

// copyBytes copies rows of n bytes from one stride to another.
func copyBytes(dst []uint8, dstStride int, src []uint8, srcStride, rows, n int) {
	if copyBytesFast(dst, dstStride, src, srcStride, rows, n) {
		return
	}
	for y := range rows {
		copy(dst[y*dstStride:][:n], src[y*srcStride:])
	}
}
