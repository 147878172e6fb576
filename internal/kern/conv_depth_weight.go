package kern

import "unsafe"

// Gradients of the weights of depthwise convolutions with windows of 5×5 and 7×7. They are
// summed down the columns, which the order of the sums fixes for all levels: an image's
// columns are cut into groups of sixteen, of which each lane takes one.

// byColumns says in which order the pixels of an image are summed; see [ConvBackwardWeight].
func (c *Conv) byColumns() bool { return (c.R == 5 || c.R == 7) && c.square() }

// columnVecs are the vectors of each group of columns, from the first row to the last.
func (c *Conv) columnVecs() (groups [][]pixVec) {
	for x := 0; x < c.OW; x += vecLanes {
		var vecs []pixVec
		for y := range c.OH {
			vecs = append(vecs, pixVec{first: y*c.OW + x, n: min(vecLanes, c.OW-x)})
		}
		groups = append(groups, vecs)
	}
	return groups
}

// columnChunk adds the weight gradients of images [from, to) to sum, by columns.
func columnChunk[F, P Float](p *convPlan, sum, x, dy []F, from, to int) {
	taps, pixels := p.taps(), p.pixels()
	groups := p.columnVecs()
	buf, sums := newImages[F, P](p), borrow[F](taps*vecLanes)
	defer buf.giveBack()
	defer giveBack(sums)
	d, col := borrow[P](p.OH*vecLanes), borrow[P](p.OH*vecLanes)
	defer giveBack(d)
	defer giveBack(col)
	for ch := range p.Groups {
		clear(*sums)
		for n := from; n < to; n++ {
			img, low := buf.image(p, x, n, ch)
			src := dy[(n*p.K+ch)*pixels:][:pixels]
			normal := true
			if emulated[F]() {
				normal = neverSubnormal(low, lowest(src))
			}
			for _, vecs := range groups {
				laneRow(*d, vecs, src)
				for t := range taps {
					laneColumn(*col, vecs, img[p.off[t]:], p.pix)
					var s [vecLanes]F
					chainLanes(&s, *d, *col, normal)
					for l, v := range s {
						(*sums)[t*vecLanes+l] += v
					}
				}
			}
		}
		for t := range taps {
			sum[ch*taps+t] = addLanes((*sums)[t*vecLanes:])
		}
	}
}

// depthSums is about how many sums of lanes a goroutine keeps at a time: they stay in the
// first-level cache.
const depthSums = 4 << 10

// depthWeights is ConvBackwardWeight by columns.
func depthWeights(c *Conv, dw, x, dy []float32) {
	p, taps := c.depthPlan(false), c.taps()
	planes := max(1, depthSums/(taps*vecLanes))
	overChunks(c.N, ceilDiv(c.C, planes), c.K*taps, dw[:c.K*taps], func(int) int { return 1 },
		func(sum []float32, from, to, block, _ int) {
			first := block * planes
			p.weights(c, sum[first*taps:], x, dy, from, to, first, min(planes, c.C-first))
		})
}

// weights writes the sums over images [from, to) of count planes from plane first on.
func (p *depthPlan) weights(c *Conv, dw, x, dy []float32, from, to, first, count int) {
	size, pixels, taps, pass := c.H*c.W, c.pixels(), c.taps(), &p.passes[0]
	lanes := borrow[float32](count * taps * vecLanes)
	defer giveBack(lanes)
	clear(*lanes)
	a := depthArgs{zero: unsafe.Pointer(&zeroRow[2*vecLanes]), rows: &pass.rows[0], step: 8 * pass.stride, off: &pass.off[0],
		ldo: 4 * c.OW, oh: c.OH, stepX: 4 * size, stepW: 4 * taps * vecLanes, stepOut: 4 * pixels}
	limit := max(1, depthLimit/(c.OH*ceilDiv(c.OW, vecLanes)*taps))
	var pad *[]float32
	if p.pad != nil {
		limit, pad = 1, borrow[float32](p.pad.size+padSlack)
		defer giveBack(pad)
		clear(*pad)
	}
	for n := from; n < to; n++ {
		for ch := 0; ch < count; ch += limit {
			plane := n*c.C + first + ch
			a.planes = min(limit, count-ch)
			a.x, a.out, a.w = unsafe.Pointer(&x[plane*size]), unsafe.Pointer(&dy[plane*pixels]), unsafe.Pointer(&(*lanes)[ch*taps*vecLanes])
			if pad != nil {
				p.pad.fillPlanes(*pad, x[plane*size:][:size], 1)
				a.x = unsafe.Pointer(&(*pad)[0])
			}
			a.weights(pass)
		}
	}
	addAllLanes(dw[:count*taps], *lanes)
}
