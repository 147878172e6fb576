package kern

// How is it cut the other way, with output channels as rows?

import (
	"sync"
	"unsafe"
)

// This is the other way to cut the gradient of the weights into tiles: rows are output
// channels, whose gradients are read where they lie, and lanes are input channels, which
// lie side by side in a padded image. The image needs no other copy, and with few
// channels a tile takes two taps.

// swapPlan says where the tiles find the input. The padded image is [panels][ph][pw][width].
type swapPlan struct {
	width     int // lanes of a panel: input channels, one or two vectors
	panels    int
	ph, pw    int
	top, left int
	place     []int // bytes from a panel's start to each pixel's place
	tapAt     []int // bytes to add for each tap
	pads      sync.Pool
}

var swapPlans planCache[Conv, swapPlan]

func newSwapPlan(c Conv) *swapPlan {
	p := &swapPlan{width: 2 * vecLanes, top: c.Pad[0], left: c.Pad[1]}
	if c.cg() <= vecLanes {
		p.width = vecLanes
	}
	p.panels = ceilDiv(c.cg(), p.width)
	p.ph, p.pw = c.H+c.Pad[0]+c.Pad[2], c.W+c.Pad[1]+c.Pad[3]
	for i := range c.pixels() {
		p.place = append(p.place, 4*p.width*(i/c.OW*c.Stride[0]*p.pw+i%c.OW*c.Stride[1]))
	}
	for i := range c.R * c.S {
		p.tapAt = append(p.tapAt, 4*p.width*(i/c.S*c.Dilation[0]*p.pw+i%c.S*c.Dilation[1]))
	}
	return p
}

// swaps says that few lanes stay empty when input channels are the lanes, that there is
// no more to transpose than otherwise, and in rows that are long enough.
func (c *Conv) swaps() bool {
	up := func(n int) int { return ceilDiv(n, vecLanes) * vecLanes }
	return c.R*c.S > 1 && c.W >= 8 && c.cg() > 8 && up(c.cg())*c.kg() <= up(c.kg())*c.cg() && c.cg()*c.H*c.W <= c.kg()*c.pixels()
}

// swapRun is one call of swapWeights. Sums lie as [groups][panels][kg][taps][width].
type swapRun struct {
	*Conv
	p     *swapPlan
	x, dy []float32
	rows  int // of a tile
	parts int // of the rows of a group, each a goroutine's work
}

func swapWeights(c *Conv, dw, x, dy []float32) {
	key := *c
	key.N = 0
	r := swapRun{Conv: c, p: swapPlans.get(key, newSwapPlan), x: x, dy: dy}
	limit, _ := tileShape()
	if c.pixels()*4%4096 == 0 { // rows share few sets of the first-level cache
		limit = min(limit, laneRows)
	}
	r.rows = evenRows(c.kg(), limit)
	panel := c.kg() * c.R * c.S * r.p.width
	size := c.Groups * r.p.panels * panel
	total := borrow[float32](size)
	defer giveBack(total)
	overChunks(c.N, c.Groups, size, *total, func(split int) int {
		r.parts = min(split, ceilDiv(c.kg(), r.rows))
		return r.parts
	}, r.part)
	for i := range c.Groups * c.kg() {
		for p := range r.p.panels {
			at := (i/c.kg()*r.p.panels+p)*panel + i%c.kg()*c.R*c.S*r.p.width
			transpose(unsafe.Pointer(&dw[i*c.taps()+p*r.p.width*c.R*c.S]), 4*c.R*c.S, unsafe.Pointer(&(*total)[at]), 4*r.p.width,
				c.R*c.S, min(r.p.width, c.cg()-p*r.p.width))
		}
	}
}

// part adds the products of images [from, to) and of one part of the rows of a group.
func (r *swapRun) part(sum []float32, from, to, g, part int) {
	p := r.p
	pad := padFrom(&p.pads, p.panels*p.ph*p.pw*p.width)
	defer p.pads.Put(pad)
	tiles := ceilDiv(r.kg(), r.rows)
	first, last := part*tiles/r.parts*r.rows, min(r.kg(), (part+1)*tiles/r.parts*r.rows)
	for n := from; n < to; n++ {
		r.fill(*pad, r.x[(n*r.Groups+g)*r.cg()*r.H*r.W:])
		next := r.next(n+1, g, first, last)
		for k := 0; k < r.pixels(); k += KC {
			t := tileArgs{k: min(KC, r.pixels()-k), rs: 4 * r.pixels(), offA: &ramps[0][0], offB: &p.place[k], ldc: 4 * p.width * len(p.tapAt), add: 1}
			for row := first; row < last; row += r.rows {
				t.a = unsafe.Pointer(&r.dy[(n*r.K+g*r.kg()+row)*r.pixels()+k])
				for panel := range p.panels {
					r.products(&t, &next, (*pad)[panel*p.ph*p.pw*p.width:], sum[((g*p.panels+panel)*r.kg()+row)*len(p.tapAt)*p.width:], panel, min(r.rows, last-row))
				}
			}
		}
	}
}

// next is what image n needs of x and of dy.
func (r *swapRun) next(n, g, first, last int) ahead {
	if n >= r.N {
		return ahead{}
	}
	plane := r.H * r.W
	x := r.x[(n*r.Groups+g)*r.cg()*plane:][:r.cg()*plane]
	dy := r.dy[(n*r.K+g*r.kg()+first)*r.pixels():][:(last-first)*r.pixels()]
	tiles := ceilDiv(last-first, r.rows) * ceilDiv(r.pixels(), KC)
	return newAhead(x, dy, tiles*r.p.panels*ceilDiv(len(r.p.tapAt)*r.p.width, 2*vecLanes))
}

// products adds the products of some rows with the channels of a panel at all taps.
func (r *swapRun) products(t *tileArgs, next *ahead, pad, sum []float32, panel, rows int) {
	p := r.p
	for i := 0; i < len(p.tapAt); i++ {
		base := unsafe.Pointer(&pad[0])
		t.c = unsafe.Pointer(&sum[i*p.width])
		vectors := t.setColumns(unsafe.Add(base, p.tapAt[i]), min(p.width, r.cg()-panel*p.width))
		if p.width == vecLanes && i+1 < len(p.tapAt) {
			i++
			vectors = 2
			t.b[2], t.m[2] = unsafe.Add(base, p.tapAt[i]), t.m[0]
		}
		runTile(tileFloat, rows, vectors, t)
		next.step()
	}
}

// fill writes an image's channels side by side to their padded places.
func (r *swapRun) fill(pad, x []float32) {
	p := r.p
	for panel := range p.panels {
		channels := min(p.width, r.cg()-panel*p.width)
		for y := range r.H {
			at := ((panel*p.ph+y+p.top)*p.pw + p.left) * p.width
			transpose(unsafe.Pointer(&pad[at]), 4*p.width, unsafe.Pointer(&x[(panel*p.width*r.H+y)*r.W]), 4*r.H*r.W, channels, r.W)
		}
	}
}
