package kern

// What is the gradient of a convolution with respect to its weights?

import (
	"runtime"

	"github.com/goqat/goqat/internal/par"
)

// imageChunk is the number of images whose weight gradients are summed in one
// buffer. It is part of the result: sums go over images within a chunk in
// order, then over chunks in order.
const imageChunk = 8

// laneTaps is the largest number of taps that are summed by lanes.
const laneTaps = 64

// laneSteps is the number of vectors after which the sums of the lanes are cut.
const laneSteps = 64

// byLanes says in which of two orders the pixels of an image are summed for the
// gradient of the weights. By lanes, sixteen sums run side by side, which needs no
// transpose of the gradient of the output; that pays when few taps share it and
// an image has many vectors. Otherwise pixels are summed one after the other.
func (c *Conv) byLanes() bool {
	vectors := ceilDiv(c.pixels(), vecLanes)
	return c.taps() <= laneTaps && 2*c.taps() < 7*vectors || c.taps() <= 9 && c.cg() == 1
}

// ConvBackwardWeight writes the gradient with respect to the weights. The sum
// over the batch goes over chunks of eight images, in order, and within a
// chunk over the images, in order. Within an image it goes over the output
// pixels in one of three ways, which the geometry decides:
//
//   - row by row; in float32 the sum is a chain of fused multiply-adds, cut every KC
//     pixels, and the chains are added to the chunk's sum in order;
//   - for few taps, in sixteen lanes: the pixels are cut into vectors (pixVec), pixel l
//     of each belongs to lane l, and each lane is such a chain, cut every laneSteps vectors.
//     At the end of the chunk lanes l and l+8 are added, then l and l+4, and so on;
//   - for depthwise windows of 5×5 and 7×7 with strides of 1 or 2, in sixteen lanes, too:
//     the columns of the output are cut into groups of sixteen, the last may have fewer. For
//     each group a lane is a chain down the rows of its column, which is added to the lane's
//     sum, group by group. At the end of the chunk lanes are added as above.
func ConvBackwardWeight[F Float](c *Conv, dw, x, dy []F) {
	if dw, ok := any(dw).([]float32); ok && fastConv() {
		convBackwardWeightFast(c, dw, any(x).([]float32), any(dy).([]float32))
		return
	}
	convBackwardWeight(c, dw, x, dy)
}

// convBackwardWeight is the portable ConvBackwardWeight.
func convBackwardWeight[F Float](c *Conv, dw, x, dy []F) {
	if emulated[F]() {
		convBackwardWeightPacked[F, float64](c, dw, x, dy)
	} else {
		convBackwardWeightPacked[F, F](c, dw, x, dy)
	}
}

// convBackwardWeightPacked is convBackwardWeight with the factors packed as P.
func convBackwardWeightPacked[F, P Float](c *Conv, dw, x, dy []F) {
	p := newConvPlan(c)
	defer p.release()
	sumChunks(c, dw, func(sum []F, from, to int) {
		clear(sum)
		switch {
		case c.byColumns():
			columnChunk[F, P](p, sum, x, dy, from, to)
		case c.byLanes():
			laneChunk[F, P](p, sum, x, dy, from, to)
		default:
			weightChunk[F, P](p, sum, x, dy, from, to)
		}
	})
}

// sumChunks calls fn for every chunk of images [from, to) with a buffer for its
// sums and adds these to dw, chunk by chunk.
func sumChunks[F Float](c *Conv, dw []F, fn func(sum []F, from, to int)) {
	size := c.K * c.taps()
	chunks := ceilDiv(c.N, imageChunk)
	wave := min(chunks, 2*runtime.GOMAXPROCS(0)) // bounds the memory, not the result
	sums := borrow[F](wave * size)
	defer giveBack(sums)
	clear(dw[:size])
	for first := 0; first < chunks; first += wave {
		count := min(wave, chunks-first)
		par.For(count, 1, func(lo, hi int) {
			for i := lo; i < hi; i++ {
				from := (first + i) * imageChunk
				fn((*sums)[i*size:][:size], from, min(from+imageChunk, c.N))
			}
		})
		for i := range count {
			for j, v := range (*sums)[i*size:][:size] {
				dw[j] += v
			}
		}
	}
}

// weightChunk adds the weight gradients of images [from, to) to sum.
func weightChunk[F, P Float](p *convPlan, sum, x, dy []F, from, to int) {
	taps, pixels, kg := p.taps(), p.pixels(), p.kg()
	buf := newImages[F, P](p)
	defer buf.giveBack()
	tiles := ceilDiv(kg, tileRows)
	rows, cols := borrow[[tileRows]P](tiles*pixels), borrow[[tileCols]P](2*pixels)
	defer giveBack(rows)
	defer giveBack(cols)
	for n := from; n < to; n++ {
		for g := range p.Groups {
			img, low := buf.image(p, x, n, g)
			dst := sum[g*kg*taps:][:kg*taps]
			view := RowMajor(dy[(n*p.K+g*kg)*pixels:][:kg*pixels], pixels, false)
			for t := range tiles {
				packRows((*rows)[t*pixels:][:pixels], view, t*tileRows, kg)
			}
			normal := neverSubnormal(low, lowestPacked[P](*rows))
			for k := 0; k < taps; k += 2 * tileCols {
				b0, b1 := (*cols)[:pixels], [][tileCols]P(nil)
				gather(b0, img, p.pix, p.off[k], p.off[min(k+1, taps-1)])
				if k+tileCols < taps {
					b1 = (*cols)[pixels:]
					gather(b1, img, p.pix, p.off[k+2], p.off[min(k+3, taps-1)])
				}
				for t := range tiles {
					var acc [2][tileRows][tileCols]F
					i0 := t * tileRows
					loadTile(&acc[0], dst, taps, i0, k, kg, taps)
					loadTile(&acc[1], dst, taps, i0, k+tileCols, kg, taps)
					dotTiles(&acc, (*rows)[t*pixels:][:pixels], b0, b1, normal, true)
					storeTiles(dst, taps, i0, k, kg, taps, &acc, false)
				}
			}
		}
	}
}

// laneChunk adds the weight gradients of images [from, to) to sum, by lanes.
func laneChunk[F, P Float](p *convPlan, sum, x, dy []F, from, to int) {
	taps, pixels, kg := p.taps(), p.pixels(), p.kg()
	vecs := planFor(planShape{conv: *p.Conv, planes: p.cg(), images: 1}).passes[0].vecs
	size := len(vecs) * vecLanes
	buf, sums := newImages[F, P](p), borrow[F](kg*taps*vecLanes)
	defer buf.giveBack()
	defer giveBack(sums)
	rows, col := borrow[P](kg*size), borrow[P](size)
	defer giveBack(rows)
	defer giveBack(col)
	for g := range p.Groups {
		clear(*sums)
		for n := from; n < to; n++ {
			img, low := buf.image(p, x, n, g)
			src := dy[(n*p.K+g*kg)*pixels:][:kg*pixels]
			for k := range kg {
				laneRow((*rows)[k*size:][:size], vecs, src[k*pixels:])
			}
			normal := true
			if emulated[F]() {
				normal = neverSubnormal(low, lowest(src))
			}
			for t := range taps {
				laneColumn(*col, vecs, img[p.off[t]:], p.pix)
				for k := range kg {
					dotLanes((*[vecLanes]F)((*sums)[(k*taps+t)*vecLanes:]), (*rows)[k*size:][:size], *col, normal)
				}
			}
		}
		for i := range kg * taps {
			sum[g*kg*taps+i] = addLanes((*sums)[i*vecLanes:])
		}
	}
}

// laneRow writes an image of the gradient of the output to dst, vector by vector; lanes
// without a pixel become 0.
func laneRow[F, P Float](dst []P, vecs []pixVec, dy []F) {
	for i := range vecs {
		v, lanes := &vecs[i], dst[i*vecLanes:][:vecLanes]
		for l, e := range dy[v.first:][:v.n] {
			lanes[l] = P(e)
		}
		clear(lanes[v.n:])
	}
}

// laneColumn does so for the elements of the image that a tap meets.
func laneColumn[P Float](dst []P, vecs []pixVec, x []P, pix []int) {
	for i := range vecs {
		v, lanes := &vecs[i], dst[i*vecLanes:][:vecLanes]
		for l, at := range pix[v.first:][:v.n] {
			lanes[l] = x[at]
		}
		clear(lanes[v.n:])
	}
}

// dotLanes adds the chains of the products of d and x to the sums of the lanes.
func dotLanes[F, P Float](sum *[vecLanes]F, d, x []P, normal bool) {
	for j := 0; j < len(d); j += laneSteps * vecLanes {
		end := min(j+laneSteps*vecLanes, len(d))
		var s [vecLanes]F
		chainLanes(&s, d[j:end], x[j:end], normal)
		for l, v := range s {
			sum[l] += v
		}
	}
}

// chainLanes writes the chains of the lanes to s, from +0.
func chainLanes[F, P Float](s *[vecLanes]F, d, x []P, normal bool) {
	if s32, ok := any(s).(*[vecLanes]float32); ok {
		if d32, ok := any(d).([]float32); ok {
			fusedLanes(s32, d32, any(x).([]float32))
			return
		}
		const half = vecLanes / 2
		e, f := any(d).([]float64), any(x).([]float64)
		if normal && exactLanes((*[half]float32)(s32[:]), e, f) && exactLanes((*[half]float32)(s32[half:]), e[min(half, len(e)):], f[min(half, len(f)):]) {
			return
		}
	}
	*s = [vecLanes]F{}
	for i, e := range d {
		s[i%vecLanes] = madd(F(e), F(x[i]), s[i%vecLanes])
	}
}

// addLanes sums sixteen lanes in halves.
func addLanes[F Float](s []F) F {
	var t [vecLanes / 2]F
	for l := range t {
		t[l] = s[l] + s[l+8]
	}
	for n := 4; n > 0; n /= 2 {
		for l := range n {
			t[l] += t[l+n]
		}
	}
	return t[0]
}
