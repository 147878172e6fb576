package kern

// How is one input plane convolved without a padded copy?

import (
	"runtime"
	"unsafe"

	"github.com/goqat/goqat/internal/par"
)

// Convolutions of one input plane by 3×3 taps that keep its size, such as the first
// layer of a network for grey images. A vector is sixteen neighbouring pixels of the plane,
// whatever rows they lie in, and what a tap meets are neighbours as well: the plane needs no
// padded copy, but lanes whose tap lies in the padding are masked. The sums are those of
// the other ways, bit for bit.

// planeVec are the lanes of a vector whose taps lie in the plane.
type planeVec struct {
	rows   [3]planeRow
	inside uint32 // 1: only the taps to the left and right may lie outside, alike in all three rows
	_      uint32
}

// planeRow are the lanes of the taps of a row of the kernel, and those that have a pixel.
type planeRow struct {
	taps   [laneCols]uint16
	pixels uint16
}

// planePlan has the vectors of a plane.
type planePlan struct {
	vecs []planeVec  // of pixels 16*i on; the last one may have lanes without a pixel
	tail [2]planeVec // of the last 32 pixels
	rows []planeRow  // [3][len(vecs)], those of vecs
}

var planePlans planCache[[2]int, planePlan] // by height and width

func newPlanePlan(size [2]int) *planePlan {
	p := &planePlan{}
	pixels := size[0] * size[1]
	for first := 0; first < pixels; first += vecLanes {
		p.vecs = append(p.vecs, newPlaneVec(size, first))
	}
	for i := range 3 {
		for _, v := range p.vecs {
			p.rows = append(p.rows, v.rows[i])
		}
	}
	for i := range p.tail {
		p.tail[i] = newPlaneVec(size, pixels-(2-i)*vecLanes)
	}
	return p
}

func newPlaneVec(size [2]int, first int) (v planeVec) {
	h, w := size[0], size[1]
	v.inside = 1
	for r := range v.rows {
		row := &v.rows[r]
		for l := range vecLanes {
			at := first + l
			if at < 0 || at >= h*w {
				continue
			}
			row.pixels |= 1 << l
			for s := range row.taps {
				if y, x := at/w+r-1, at%w+s-1; y >= 0 && y < h && x >= 0 && x < w {
					row.taps[s] |= 1 << l
				}
			}
		}
		if row.taps[1] != fullMask {
			v.inside = 0
		}
	}
	return v
}

// planar says that the convolution is of this kind and that the level has the kernels.
func (c *Conv) planar() bool {
	return level >= LevelAVX512 && c.cg() == 1 && c.R == 3 && c.S == 3 && c.Pad == [4]int{1, 1, 1, 1} &&
		c.Stride == [2]int{1, 1} && c.Dilation == [2]int{1, 1}
}

const (
	// planeRows is the number of output channels of a group from which blocks of rows pay.
	planeRows = 8
	// planePixels is the number of pixels from which the last pair of vectors of a plane,
	// which may overlap the one before, does not matter.
	planePixels = 128
	// planeLimit bounds the products, in vectors, of a call of a kernel.
	planeLimit = 64 << 10
)

// planeBlocks is how many blocks of six, five and four rows make up rows rows, at least 8.
func planeBlocks(rows int) (n [3]int) {
	count := ceilDiv(rows, 6)
	size, more := rows/count, rows%count // more blocks have a row more
	n[6-size] = count - more
	if more > 0 {
		n[5-size] = more
	}
	return n
}

// planeArgs computes pairs of vectors for blocks of rows of weights. Blocks are packed
// [9][rows of the block], those of six first. The assembly changes x, vecs and c.
type planeArgs struct {
	x      unsafe.Pointer // the plane at the first pixel; behind it comes the next pair
	vecs   *planeVec      // [2*n]
	n      int            // pairs
	row    int            // bytes of a row of the plane
	w      unsafe.Pointer
	bias   unsafe.Pointer // nil, or one float32 per row, added last
	c      unsafe.Pointer // row 0 of C at the first pixel
	ldc    int            // bytes from one row of C to the next
	blocks [3]int
}

func (a *planeArgs) goPlane() {
	vecs := unsafe.Slice(a.vecs, 2*a.n)
	for j := range vecs {
		at, row := 0, 0 // of the weights and the rows of C
		for i, count := range a.blocks {
			rows := 6 - i
			for r := range count * rows {
				out := unsafe.Slice((*float32)(unsafe.Add(a.c, (row+r)*a.ldc+64*j)), vecLanes)
				for l := range out {
					var sum float32
					for t := range nineTaps {
						var x float32
						if vecs[j].rows[t/3].taps[t%3]>>l&1 != 0 {
							x = *(*float32)(unsafe.Add(a.x, 64*j+4*l+(t/3-1)*a.row+4*(t%3-1)))
						}
						sum = fma32(*(*float32)(unsafe.Add(a.w, 4*(at+r/rows*rows*nineTaps+t*rows+r%rows))), x, sum)
					}
					if a.bias != nil {
						sum += *(*float32)(unsafe.Add(a.bias, 4*(row+r)))
					}
					out[l] = sum
				}
			}
			row += count * rows
			at += nineTaps * count * rows
		}
	}
}

// forwardByPlane says that planeForward is to compute the output.
func (c *Conv) forwardByPlane() bool {
	return c.planar() && c.kg() >= planeRows && c.H*c.W >= planePixels
}

// planeRun is one call of planeForward.
type planeRun struct {
	*Conv
	p            *planePlan
	out, x, bias []float32
	packed       []float32 // weights of all groups
	blocks       [3]int
}

// planeForward cuts the pairs of vectors of each image and group into parts.
func planeForward(c *Conv, out, x, w, bias []float32) {
	packed := borrow[float32](len(w))
	defer giveBack(packed)
	r := planeRun{Conv: c, p: planePlans.get([2]int{c.H, c.W}, newPlanePlan), out: out, x: x, bias: bias, packed: *packed, blocks: planeBlocks(c.kg())}
	size := c.kg() * nineTaps
	for g := range c.Groups {
		packPlane(r.packed[g*size:], w[g*size:], r.blocks)
	}
	pairs := ceilDiv(c.pixels(), 2*vecLanes)
	units, parts := c.N*c.Groups, 1
	if procs := runtime.GOMAXPROCS(0); procs > 1 && units < 4*procs {
		parts = min(ceilDiv(4*procs, max(1, units)), pairs/2) // the last pair may overlap the one before
	}
	par.For(units*parts, max(1, gemmGrain*parts/(size*c.pixels())), func(lo, hi int) {
		for i := lo; i < hi; i++ {
			part := i % parts
			r.pairs(i/parts, part*pairs/parts, (part+1)*pairs/parts)
		}
	})
}

// pairs computes pairs [from, to) of a unit: an image and a group.
func (r *planeRun) pairs(unit, from, to int) {
	const pair = 2 * vecLanes
	kg, pixels, g := r.kg(), r.pixels(), unit%r.Groups
	a := planeArgs{row: 4 * r.W, ldc: 4 * pixels, w: unsafe.Pointer(&r.packed[g*kg*nineTaps]), blocks: r.blocks}
	if r.bias != nil {
		a.bias = unsafe.Pointer(&r.bias[g*kg])
	}
	x, out := r.x[unit*pixels:], r.out[unit*kg*pixels:]
	limit := max(1, planeLimit/(2*nineTaps*kg))
	for whole := min(to, pixels/pair); from < whole; from += limit {
		a.x, a.c = unsafe.Pointer(&x[from*pair]), unsafe.Pointer(&out[from*pair])
		a.vecs, a.n = &r.p.vecs[2*from], min(limit, whole-from)
		a.run()
	}
	if to*pair > pixels {
		a.x, a.c = unsafe.Pointer(&x[pixels-pair]), unsafe.Pointer(&out[pixels-pair])
		a.vecs, a.n = &r.p.tail[0], 1
		a.run()
	}
}

// packPlane packs the weights [rows][9] of a group for planeArgs.
func packPlane(dst, w []float32, blocks [3]int) {
	for i, count := range blocks {
		rows := 6 - i
		for range count {
			for k := range rows * nineTaps {
				dst[k] = w[k%rows*nineTaps+k/rows]
			}
			dst, w = dst[rows*nineTaps:], w[rows*nineTaps:]
		}
	}
}

// planeLaneArgs is laneArgs for blocks of rows and for all nine taps. Sums lie in the order in
// which they are made: [blocks][3][rows of a block][3][16]float32.
type planeLaneArgs struct {
	n      int            // vectors of the plane
	masks  *planeRow      // [3][n]
	x      unsafe.Pointer // the plane
	stepX  int            // bytes of a row of it
	dy     unsafe.Pointer // row i starts i*step bytes further
	step   int
	sum    unsafe.Pointer
	ahead  unsafe.Pointer // what to bring into the cache meanwhile: dy of the next block
	blocks int            // at least 1
	add    int            // 1: add to sum; 0: write it

	// Set by lanes: the bytes by which dy and x go back behind a row of taps, and masks
	// behind a block.
	back [2]int
}

// lanes adds the products of blocks of rows rows.
func (s *planeLaneArgs) lanes(rows int) {
	s.back = [2]int{4 * vecLanes * s.n, laneCols * s.n * int(unsafe.Sizeof(planeRow{}))}
	s.run(rows)
}

func (s *planeLaneArgs) goLanes(rows int) {
	masks := unsafe.Slice(s.masks, laneCols*s.n)
	sums := unsafe.Slice((*[vecLanes]float32)(s.sum), s.blocks*rows*nineTaps)
	for i := range sums {
		tap, row, col := i%laneCols, i/laneCols%rows, i/laneCols/rows%laneCols
		row += i / laneCols / rows / laneCols * rows
		for l := range sums[i] {
			var chain float32
			for k := range s.n {
				m := &masks[col*s.n+k]
				var d, x float32
				if m.pixels>>l&1 != 0 {
					d = *(*float32)(unsafe.Add(s.dy, row*s.step+64*k+4*l))
				}
				if m.taps[tap]>>l&1 != 0 {
					x = *(*float32)(unsafe.Add(s.x, (col-1)*s.stepX+64*k+4*l+4*(tap-1)))
				}
				chain = fma32(d, x, chain)
			}
			if s.add == 0 {
				sums[i][l] = 0
			}
			sums[i][l] += chain
		}
	}
}

// lanesByPlane says that planePart is to sum the gradient of the weights by lanes: all vectors
// of p are full but the last, and few enough for a chain.
func (c *Conv) lanesByPlane(p *tapPlan) bool {
	vecs := p.passes[0].vecs
	return c.planar() && len(vecs) <= laneSteps && vecs[len(vecs)-1].first == (len(vecs)-1)*vecLanes
}

// planePart is laneRun.part without padded copies. A part is some blocks of rows of dy.
func (r *laneRun) planePart(sum []float32, from, to, g, part int) {
	p, pixels, size := r.plane, r.pixels(), r.planeBlock()
	blocks := ceilDiv(r.kg(), size)
	first, end := part*blocks/r.parts*size, min((part+1)*blocks/r.parts*size, r.kg())
	sums := (end - first) * nineTaps
	lanes := borrow[float32](sums * vecLanes)
	defer giveBack(lanes)
	s := planeLaneArgs{n: len(p.vecs), masks: &p.rows[0], stepX: 4 * r.W, step: 4 * pixels}
	for n := from; n < to; n++ {
		s.x = unsafe.Pointer(&r.x[(n*r.Groups+g)*pixels])
		dy := r.dy[(n*r.K+g*r.kg())*pixels:]
		for row := first; row < end; {
			rows := min(size, end-row)
			s.blocks = min((end-row)/rows, max(1, planeLimit/(nineTaps*rows*s.n)))
			s.dy, s.sum = unsafe.Pointer(&dy[row*pixels]), unsafe.Pointer(&(*lanes)[(row-first)*nineTaps*vecLanes])
			if s.ahead = s.dy; (row+rows)*pixels < len(dy) {
				s.ahead = unsafe.Pointer(&dy[(row+rows)*pixels]) // the next block, or image
			}
			s.lanes(rows)
			row += s.blocks * rows
		}
		s.add = 1
	}
	addAllLanes(sum[(g*r.kg()+first)*nineTaps:][:sums], *lanes)
}

// planeOrder writes sums in the order of planeLaneArgs, group by group, to their places in dw.
func (r *laneRun) planeOrder(dw, sums []float32) {
	kg, size := r.kg(), r.planeBlock()
	for row := 0; row < r.K; {
		rows := min(size, kg-row%kg)
		block := dw[row*nineTaps:][:rows*nineTaps]
		for col := 0; col < nineTaps; col += laneCols {
			for i := col; i < len(block); i += nineTaps {
				sums = sums[copy(block[i:i+laneCols], sums):]
			}
		}
		row += rows
	}
}

// planeBlock is the number of rows of dy of a block of planePart.
func (r *laneRun) planeBlock() int { return evenRows(r.kg(), r.laneRows()) }
