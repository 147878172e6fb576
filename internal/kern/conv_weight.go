package kern

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
// pixels in one of two ways, which the geometry decides:
//
//   - row by row; in float32 the sum is a chain of fused multiply-adds, cut every KC
//     pixels, and the chains are added to the chunk's sum in order;
//   - for few taps, in sixteen lanes: the pixels are cut into vectors (pixVec), pixel l
//     of each belongs to lane l, and each lane is such a chain, cut every laneSteps vectors.
//     At the end of the chunk lanes l and l+8 are added, then l and l+4, and so on.
func ConvBackwardWeight[F Float](c *Conv, dw, x, dy []F) {
	if dw, ok := any(dw).([]float32); ok && fastConv() {
		convBackwardWeightFast(c, dw, any(x).([]float32), any(dy).([]float32))
		return
	}
	convBackwardWeight(c, dw, x, dy)
}

// convBackwardWeight is the portable ConvBackwardWeight.
func convBackwardWeight[F Float](c *Conv, dw, x, dy []F) {
	p := newConvPlan(c)
	defer p.release()
	sumChunks(c, dw, func(sum []F, from, to int) {
		clear(sum)
		if c.byLanes() {
			laneChunk(p, sum, x, dy, from, to)
		} else {
			weightChunk(p, sum, x, dy, from, to)
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
func weightChunk[F Float](p *convPlan, sum, x, dy []F, from, to int) {
	taps, pixels, kg := p.taps(), p.pixels(), p.kg()
	pad := borrow[F](p.planes())
	defer giveBack(pad)
	tiles := ceilDiv(kg, tileRows)
	rows, col := borrow[[tileRows]F](tiles*pixels), borrow[[tileCols]F](pixels)
	defer giveBack(rows)
	defer giveBack(col)
	for n := from; n < to; n++ {
		for g := range p.Groups {
			img := image(p, x, *pad, n, g)
			dst := sum[g*kg*taps:][:kg*taps]
			view := RowMajor(dy[(n*p.K+g*kg)*pixels:][:kg*pixels], pixels, false)
			for t := range tiles {
				packRows((*rows)[t*pixels:][:pixels], view, t*tileRows, kg)
			}
			for k := 0; k < taps; k += tileCols {
				gather(*col, img, p.pix, p.off[k], p.off[min(k+1, taps-1)])
				for t := range tiles {
					for j := 0; j < pixels; j += KC {
						end := min(j+KC, pixels)
						var acc [tileRows][tileCols]F
						dotTile(&acc, (*rows)[t*pixels+j:][:end-j], (*col)[j:end])
						storeTile(dst, taps, t*tileRows, k, kg, taps, &acc, true)
					}
				}
			}
		}
	}
}

// laneChunk adds the weight gradients of images [from, to) to sum, by lanes.
func laneChunk[F Float](p *convPlan, sum, x, dy []F, from, to int) {
	taps, pixels, kg := p.taps(), p.pixels(), p.kg()
	pad, lanes := borrow[F](p.planes()), borrow[F](kg*taps*vecLanes)
	defer giveBack(pad)
	defer giveBack(lanes)
	vecs := planFor(planShape{conv: *p.Conv, planes: p.cg(), images: 1}).passes[0].vecs
	for g := range p.Groups {
		clear(*lanes)
		for n := from; n < to; n++ {
			img := image(p, x, *pad, n, g)
			for i := range kg * taps {
				d := dy[(n*p.K+g*kg+i/taps)*pixels:][:pixels]
				for j := 0; j < len(vecs); j += laneSteps {
					s := laneDot(vecs[j:min(j+laneSteps, len(vecs))], d, img[p.off[i%taps]:], p.pix)
					for l := range s {
						(*lanes)[i*vecLanes+l] += s[l]
					}
				}
			}
		}
		for i := range kg * taps {
			sum[g*kg*taps+i] = addLanes((*lanes)[i*vecLanes:])
		}
	}
}

// laneDot returns the chains of the products of dy and x over some vectors of pixels.
func laneDot[F Float](vecs []pixVec, dy, x []F, pix []int) (s [vecLanes]F) {
	for i := range vecs {
		v := &vecs[i]
		d, at := dy[v.first:][:v.n], pix[v.first:][:v.n]
		for l, e := range d {
			s[l] = madd(e, x[at[l]], s[l])
		}
		for l := v.n; l < vecLanes; l++ {
			s[l] += 0 // as adding 0·0 does: -0 becomes +0
		}
	}
	return s
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
