package kern

// How are integer products computed in portable Go?

import "github.com/goqat/goqat/internal/par"

// The portable integer products work on centred codes (int16). One 64-bit
// multiplication does two products: a pair of rows is packed as a0 + a1·2^32, and
// the sum of (a0 + a1·2^32)·b over k is S0 + S1·2^32. Both sums come back
// exactly as long as each has a magnitude below 2^31; what happens on the way,
// modulo 2^64, does not matter.

// tile computes four channels, from ch on, times two columns. a and b are packed
// over all terms. Channels past the last are computed with the last one's scale
// and dropped by the caller.
func (d *Dequant) tile(y *[tileRows][tileCols]float32, a [][2]int64, b [][tileCols]int32, ch, channels int) {
	for blk := range d.Blocks {
		lo, hi := d.span(blk, len(a))
		var acc [tileRows][tileCols]int32
		intTile(&acc, a[lo:hi], b[lo:hi])
		for i := range acc {
			s := d.scale(min(ch+i, channels-1), blk)
			for j, v := range acc[i] {
				t := float32(float32(v) * s)
				if blk > 0 {
					t += y[i][j]
				}
				y[i][j] = t
			}
		}
	}
	if d.Bias == nil {
		return
	}
	for i := range y {
		v := d.Bias[min(ch+i, channels-1)]
		y[i][0] += v
		y[i][1] += v
	}
}

// intTile computes the exact sums of two packed row pairs with two packed columns.
func intTile(acc *[tileRows][tileCols]int32, a [][2]int64, b [][tileCols]int32) {
	var s00, s01, s10, s11 int64
	b = b[:len(a)]
	for i := range a {
		x, y := &a[i], &b[i]
		y0, y1 := int64(y[0]), int64(y[1])
		x0, x1 := x[0], x[1]
		s00 += x0 * y0
		s01 += x0 * y1
		s10 += x1 * y0
		s11 += x1 * y1
	}
	acc[0][0], acc[1][0] = split(s00)
	acc[0][1], acc[1][1] = split(s01)
	acc[2][0], acc[3][0] = split(s10)
	acc[2][1], acc[3][1] = split(s11)
}

// split undoes the pairing: the low half carries a borrow into the high one.
func split(s int64) (lo, hi int32) {
	lo = int32(s)
	return lo, int32((s - int64(lo)) >> 32)
}

// packPairs packs rows i0 to i0+3 of an m-row matrix as two pairs, k-major; rows
// past m are 0.
func packPairs(dst [][2]int64, a Matrix[int16], i0, m int) {
	clear(dst)
	for r := range min(tileRows, m-i0) {
		shift := r % 2 * 32
		for k := range dst {
			dst[k][r/2] += int64(a.Data[(i0+r)*a.Row+k*a.Col]) << shift
		}
	}
}

// intGemm writes the dequantized product of codes x (m×k) and w (k×n) into out,
// m×n row-major. Channels are the n columns of w. All block sums must stay below
// 2^31 in magnitude.
func intGemm(threads, m, n, k int, x, w Matrix[int16], out []float32, d Dequant) {
	tiles, panels := ceilDiv(n, tileRows), ceilDiv(m, tileCols)
	wp, xp := borrow[[2]int64](tiles*k), borrow[[tileCols]int32](panels*k)
	defer giveBack(wp)
	defer giveBack(xp)
	grain := max(1, packGrain/max(k, 1))
	channels := Matrix[int16]{w.Data, w.Col, w.Row} // channels become rows
	par.ForN(threads, tiles, grain, func(lo, hi int) {
		for t := lo; t < hi; t++ {
			packPairs((*wp)[t*k:][:k], channels, t*tileRows, n)
		}
	})
	par.ForN(threads, panels, grain, func(lo, hi int) {
		for p := lo; p < hi; p++ {
			packCodes((*xp)[p*k:][:k], x, p*tileCols, m)
		}
	})
	par.ForN(threads, ceilDiv(tiles, blockTiles)*ceilDiv(panels, blockPanels), 1, func(lo, hi int) {
		for u := lo; u < hi; u++ {
			t0, p0 := u%ceilDiv(tiles, blockTiles)*blockTiles, u/ceilDiv(tiles, blockTiles)*blockPanels
			for t := t0; t < min(t0+blockTiles, tiles); t++ {
				for p := p0; p < min(p0+blockPanels, panels); p++ {
					var y [tileRows][tileCols]float32
					d.tile(&y, (*wp)[t*k:][:k], (*xp)[p*k:][:k], t*tileRows, n)
					for j := range min(tileCols, m-p*tileCols) {
						dst := out[(p*tileCols+j)*n+t*tileRows:]
						for i := range min(tileRows, n-t*tileRows) {
							dst[i] = y[i][j]
						}
					}
				}
			}
		}
	})
}

// packCodes gathers rows i0 and i0+1 of an m-row matrix, k-major; past m repeats.
func packCodes(dst [][tileCols]int32, x Matrix[int16], i0, m int) {
	for c := range tileCols {
		at := min(i0+c, m-1) * x.Row
		for k := range dst {
			dst[k][c] = int32(x.Data[at])
			at += x.Col
		}
	}
}

// intConv writes the dequantized convolution of codes into out. Padding is the
// centred code 0, the real number 0. Blocks cut the taps: d.Block is in taps,
// a whole number of input channels times R·S. Block sums must stay below 2^31.
func intConv(threads int, c *Conv, out []float32, x, w []int16, d Dequant) {
	p := newConvPlan(c)
	defer p.release()
	taps, tiles, kg := c.taps(), ceilDiv(c.kg(), tileRows), c.kg()
	packed := borrow[[2]int64](c.Groups * tiles * taps)
	defer giveBack(packed)
	if !c.thin() {
		for g := range c.Groups {
			wg := RowMajor(w[g*kg*taps:], taps, false)
			for t := range tiles {
				packPairs((*packed)[(g*tiles+t)*taps:][:taps], wg, t*tileRows, kg)
			}
		}
	}
	units, grain := c.N*c.Groups, 1
	parts := p.parts(units)
	if c.thin() {
		parts, grain = 1, p.planeGrain()
	}
	par.ForN(threads, units*parts, grain, func(lo, hi int) {
		pad := borrow[int16](p.planes())
		defer giveBack(pad)
		for u := lo; u < hi; u++ {
			n, g, part := u/parts/c.Groups, u/parts%c.Groups, u%parts
			img := image(p, x, *pad, n, g)
			first := n*c.K + g*kg
			dst := out[first*p.pixels():][:kg*p.pixels()]
			if c.thin() {
				intThin(p, dst, img, w[g*kg*taps:], &d, g*kg)
				continue
			}
			wg := (*packed)[g*tiles*taps:][:tiles*taps]
			intPixels(p, dst, img, wg, &d, g*kg, part*p.pixels()/parts, (part+1)*p.pixels()/parts)
		}
	})
}

// intPixels computes output pixels [from, to) of one image and of the group whose
// first output channel is ch.
func intPixels(p *convPlan, out []float32, img []int16, wg [][2]int64, d *Dequant, ch, from, to int) {
	taps, pixels, kg := p.taps(), p.pixels(), p.kg()
	cols := borrow[[tileCols]int32](taps * pixelBlock / tileCols)
	defer giveBack(cols)
	for p0 := from; p0 < to; p0 += pixelBlock {
		end := min(p0+pixelBlock, to)
		for j := p0; j < end; j += tileCols {
			gatherCodes((*cols)[(j-p0)/tileCols*taps:][:taps], img, p.off, p.pix[j], p.pix[min(j+1, end-1)])
		}
		for k := 0; k < kg; k += tileRows {
			a := wg[k/tileRows*taps:][:taps]
			for j := p0; j < end; j += tileCols {
				var y [tileRows][tileCols]float32
				d.tile(&y, a, (*cols)[(j-p0)/tileCols*taps:][:taps], ch+k, ch+kg)
				storeTile(out, pixels, k, j, kg, end, &y, false)
			}
		}
	}
}

func gatherCodes(dst [][tileCols]int32, img []int16, off []int, p0, p1 int) {
	off = off[:len(dst)]
	x0, x1 := img[p0:], img[p1:]
	for k, o := range off {
		dst[k] = [tileCols]int32{int32(x0[o]), int32(x1[o])}
	}
}

// intThin is the depthwise case. Its one input channel is one block.
func intThin(p *convPlan, out []float32, img, w []int16, d *Dequant, ch int) {
	taps, pixels := p.taps(), p.pixels()
	row := borrow[int32](p.OW)
	defer giveBack(row)
	for k := range p.kg() {
		s := d.scale(ch+k, 0)
		for y := range p.OH {
			intRow(p, *row, img[y*p.Stride[0]*p.pw:], w[k*taps:][:taps])
			dst := out[k*pixels+y*p.OW:][:p.OW]
			for i, v := range *row {
				dst[i] = float32(float32(v) * s)
			}
			if d.Bias != nil {
				b := d.Bias[ch+k]
				for i := range dst {
					dst[i] += b
				}
			}
		}
	}
}

// intRow sums the taps of one output row; img starts at the row's first input.
func intRow(p *convPlan, row []int32, img, w []int16) {
	if p.three() {
		d := p.Dilation[0] * p.pw
		intRow3(row, img, img[d:], img[2*d:], w, p.Stride[1])
		return
	}
	clear(row)
	for k, o := range p.off {
		src, v, at := img[o:], int32(w[k]), 0
		for i := range row {
			row[i] += v * int32(src[at])
			at += p.Stride[1]
		}
	}
}

// intRow3 is intRow for a 3×3 kernel; r0 to r2 are the input rows.
func intRow3(dst []int32, r0, r1, r2, w []int16, stride int) {
	w = w[:9]
	w0, w1, w2 := int32(w[0]), int32(w[1]), int32(w[2])
	w3, w4, w5 := int32(w[3]), int32(w[4]), int32(w[5])
	w6, w7, w8 := int32(w[6]), int32(w[7]), int32(w[8])
	for i := range dst {
		at := i * stride
		a, b, c := r0[at:at+3], r1[at:at+3], r2[at:at+3]
		s := w0*int32(a[0]) + w1*int32(a[1]) + w2*int32(a[2])
		s += w3*int32(b[0]) + w4*int32(b[1]) + w5*int32(b[2])
		dst[i] = s + w6*int32(c[0]) + w7*int32(c[1]) + w8*int32(c[2])
	}
}
