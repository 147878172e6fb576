package kern

// How are few input channels the lanes of the gradient of the weights?

import "unsafe"

// laneRun is one call of laneWeights. Columns are taps, in groups of laneCols.
type laneRun struct {
	*Conv
	p     *tapPlan
	plane *planePlan // nil unless planePart sums
	x, dy []float32
	parts int // of the groups of columns, or of the rows of dy, each a goroutine's work
}

func laneWeights(c *Conv, dw, x, dy []float32) {
	r := laneRun{Conv: c, p: planFor(planShape{conv: *c, planes: c.cg(), images: 1}), x: x, dy: dy}
	size := c.K * c.taps()
	if c.cg() == 1 && c.kg() == 1 && c.taps() == nineTaps {
		blocks := ceilDiv(c.Groups, r.p.block)
		overChunks(c.N, blocks, size, dw[:size], func(int) int { return 1 }, r.block)
		return
	}
	if c.lanesByPlane(r.p) {
		r.plane = planePlans.get([2]int{c.H, c.W}, newPlanePlan)
		total := borrow[float32](size)
		defer giveBack(total)
		r.overChunks(*total, ceilDiv(c.kg(), r.planeBlock()), r.planePart)
		r.planeOrder(dw[:size], *total)
		return
	}
	r.overChunks(dw[:size], r.groups(), r.part)
}

// overChunks is overChunks for groups that may be cut into so many parts.
func (r *laneRun) overChunks(total []float32, parts int, part func(sum []float32, from, to, g, part int)) {
	overChunks(r.N, r.Groups, len(total), total, func(split int) int {
		r.parts = min(split, parts)
		return r.parts
	}, part)
}

// groups is the number of groups of columns.
func (r *laneRun) groups() int { return ceilDiv(r.taps(), laneCols) }

// part adds the products of images [from, to) and of one part of the columns of a group.
func (r *laneRun) part(sum []float32, from, to, g, part int) {
	first, last := part*r.groups()/r.parts, (part+1)*r.groups()/r.parts
	var pad *[]float32
	if !r.p.direct {
		pad = r.p.borrowPad()
		defer r.p.pads.Put(pad)
	}
	width := (last - first) * laneCols * vecLanes
	lanes := borrow[float32](r.kg() * width)
	defer giveBack(lanes)
	clear(*lanes)
	for n := from; n < to; n++ {
		plane := r.p.h * r.p.w
		src := r.x[(n*r.Groups+g)*r.cg()*plane:][:r.cg()*plane]
		base := unsafe.Pointer(&src[0])
		if pad != nil {
			r.p.fillPlanes(*pad, src, r.cg())
			base = unsafe.Pointer(&(*pad)[0])
		}
		r.image(*lanes, base, r.dy[(n*r.K+g*r.kg())*r.pixels():], first, last)
	}
	for i := range r.kg() {
		row := sum[(g*r.kg()+i)*r.taps():][:r.taps()]
		addAllLanes(row[first*laneCols:min(last*laneCols, len(row))], (*lanes)[i*width:])
	}
}

// laneRows is the number of rows that a kernel gets: fewer when rows lie a page
// apart, so that all have room in the few sets of the first-level cache that they share.
func (r *laneRun) laneRows() int {
	if r.pixels()*4%4096 == 0 {
		return laneRows / 2
	}
	return laneRows
}

// image adds the products of one image and of column groups [first, last).
func (r *laneRun) image(lanes []float32, base unsafe.Pointer, dy []float32, first, last int) {
	pass := &r.p.passes[0]
	width := (last - first) * laneCols * vecLanes
	a := laneArgs{step: 4 * r.pixels(), sumStep: 4 * width}
	n := evenRows(r.kg(), r.laneRows())
	for row := 0; row < r.kg(); row += n {
		a.dy = unsafe.Pointer(&dy[row*r.pixels()])
		for i := 0; i < len(pass.vecs); i += laneSteps {
			a.vecs, a.n = &pass.vecs[i], min(laneSteps, len(pass.vecs)-i)
			for j := first; j < last; j++ {
				for k := range a.x {
					a.x[k] = unsafe.Add(base, pass.offB[min(j*laneCols+k, r.taps()-1)])
				}
				a.sum = unsafe.Pointer(&lanes[row*width+(j-first)*laneCols*vecLanes])
				a.lanes(min(n, r.kg()-row))
			}
		}
	}
}

// block adds the products of images [from, to) and of one block of the planes of a
// 3×3 depthwise convolution.
func (r *laneRun) block(sum []float32, from, to, block, _ int) {
	first := block * r.p.block
	planes := min(r.p.block, r.Groups-first)
	var pad *[]float32
	if !r.p.direct {
		pad = r.p.borrowPad()
		defer r.p.pads.Put(pad)
	}
	const width = nineTaps * vecLanes
	lanes := borrow[float32](planes * width)
	defer giveBack(lanes)
	clear(*lanes)
	pass, plane := &r.p.passes[0], r.p.h*r.p.w
	a := nineArgs{offB: &pass.offB[0], stepX: 4 * r.p.plane, stepDY: 4 * r.pixels(), stepSum: 4 * width}
	for n := from; n < to; n++ {
		src := r.x[(n*r.Groups+first)*plane:][:planes*plane]
		x := src
		if pad != nil {
			r.p.fillPlanes(*pad, src, planes)
			x = *pad
		}
		for i := 0; i < len(pass.vecs); i += laneSteps {
			v := &pass.vecs[i]
			a.vecs, a.n = v, min(laneSteps, len(pass.vecs)-i)
			limit := max(1, sweepLimit/(nineTaps*a.n))
			for p := 0; p < planes; p += limit {
				a.planes = min(limit, planes-p)
				a.x, a.dy = unsafe.Pointer(&x[p*r.p.plane]), unsafe.Pointer(&r.dy[(n*r.Groups+first+p)*r.pixels()])
				a.sum = unsafe.Pointer(&(*lanes)[p*width])
				a.lanes()
			}
		}
	}
	addAllLanes(sum[first*nineTaps:][:planes*nineTaps], *lanes)
}
