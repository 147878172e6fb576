package kern

// What does one goroutine need for its part of a convolution? Padding is here.

import (
	"sync"
	"unsafe"
)

// convWork is what one goroutine needs for one unit of a convRun: some images of
// one group.
type convWork struct {
	*convRun
	group       int            // the unit's first group
	count       int            // and how many there are: p.block, or fewer at the end
	first       int            // the unit's first image
	images      int            // and how many there are
	base        unsafe.Pointer // the padded images, or the place in the input itself
	pad         *[]float32     // nil when the input is used in place
	grid        *[]float32     // the passes' outputs when they have to be merged
	panel, tile *[]float32
	runs        []panelRun
	weights     *[]float32
	ahead       []float32 // what is left of the next unit's input to bring into the cache
	lines       int       // cache lines of it per pair of vectors, or tile
}

// convWorks keeps works with the memory of their runs.
var convWorks = sync.Pool{New: func() any { return new(convWork) }}

func (r *convRun) newWork() *convWork {
	w := convWorks.Get().(*convWork)
	*w = convWork{convRun: r, runs: w.runs[:0]}
	if !r.p.direct {
		w.pad = r.p.borrowPad()
	}
	if r.p.merges() {
		w.grid = borrow[float32](r.p.images * r.p.rows * r.p.block * r.p.outH * r.p.outW)
	}
	w.borrowBuffers()
	return w
}

// panelSlack is what packing may write behind the last row of a panel.
const panelSlack = vecLanes

func (w *convWork) borrowBuffers() {
	w.panel = borrow[float32](KC*2*vecLanes + panelSlack)
	w.tile = borrow[float32](w.p.rows * 2 * vecLanes)
	w.weights = borrow[float32](w.block() * w.p.rows * KC)
}

func (w *convWork) releaseShare() {
	giveBack(w.panel)
	giveBack(w.tile)
	giveBack(w.weights)
	*w = convWork{runs: clearRuns(w.runs)} // keep no pointer into the tensors
	convWorks.Put(w)
}

func clearRuns(runs []panelRun) []panelRun {
	clear(runs[:cap(runs)])
	return runs[:0]
}

// share returns a copy for another goroutine that works on the same unit.
func (w *convWork) share() *convWork {
	s := convWorks.Get().(*convWork)
	runs := s.runs
	*s = *w
	s.runs = runs
	s.borrowBuffers()
	return s
}

func (w *convWork) release() {
	if w.pad != nil {
		w.p.pads.Put(w.pad)
	}
	if w.grid != nil {
		giveBack(w.grid)
	}
	w.releaseShare()
}

// merges says that the passes write grids of their own.
func (p *tapPlan) merges() bool { return p.stride != [2]int{1, 1} }

// borrowPad returns padded images whose borders are 0. Only their insides are
// ever written, so that they stay so.
func (p *tapPlan) borrowPad() *[]float32 {
	return padFrom(&p.pads, max(p.images*p.size, p.block*p.plane))
}

func padFrom(pool *sync.Pool, n int) *[]float32 {
	if b, ok := pool.Get().(*[]float32); ok {
		return b
	}
	b := make([]float32, n)
	return &b
}

// block is the number of groups of a unit.
func (r *convRun) block() int {
	if r.single {
		return r.p.block
	}
	return 1
}

func (w *convWork) setUnit(u int) {
	blocks := ceilDiv(w.groups, w.block())
	w.group = u % blocks * w.block()
	w.count = min(w.block(), w.groups-w.group)
	w.first = u / blocks * w.p.images
	w.images = min(w.p.images, w.n-w.first)
	if w.p.direct {
		w.base = unsafe.Pointer(&w.in[w.inAt(0)])
	} else {
		w.base = unsafe.Pointer(&(*w.pad)[0])
	}
}

// inAt is the element of in where image i of the unit starts.
func (w *convWork) inAt(i int) int {
	return ((w.first+i)*w.groups + w.group) * w.p.planes * w.p.h * w.p.w
}

// lookAhead makes strips and tiles bring the input of unit u, which comes next, into the cache.
// To copy it from memory takes long otherwise, and nothing is multiplied meanwhile.
func (w *convWork) lookAhead(u int) {
	size := w.p.planes * w.p.h * w.p.w
	from := (u/w.groups*w.p.images*w.groups + u%w.groups) * size
	if w.groups == 1 {
		size *= w.p.images
	}
	w.ahead = nil
	if size > aheadLimit {
		return
	}
	w.ahead = w.in[from:min(len(w.in), from+size)]
	if w.channels {
		w.lines = ceilDiv(len(w.ahead), cacheLine*w.channelTiles())
		return
	}
	pairs := 0 // of all passes and chains
	for i := range w.p.passes {
		pairs += len(w.p.passes[i].vecs) / 2 * ceilDiv(len(w.p.passes[i].offB), KC)
	}
	w.lines = ceilDiv(len(w.ahead), cacheLine*max(1, pairs*ceilDiv(w.p.rows, w.part)))
}

// fetchAhead takes the lines of n pairs, or tiles, of what is ahead; lines is 0 when there is nothing left.
func (w *convWork) fetchAhead(n int) (p unsafe.Pointer, lines int) {
	size := n * w.lines * cacheLine
	if size == 0 || len(w.ahead) <= size {
		return nil, 0
	}
	p = unsafe.Pointer(&w.ahead[0])
	w.ahead = w.ahead[size:]
	return p, w.lines
}

// fill copies planes [from, to) of the unit's images to their padded places.
func (w *convWork) fill(from, to int) {
	if w.p.direct {
		return
	}
	plane := w.p.h * w.p.w
	for i := range w.images {
		src := w.in[w.inAt(i)+from*plane:][:(to-from)*plane]
		w.p.fillPlanes((*w.pad)[i*w.p.size+from*w.p.plane:], src, to-from)
	}
}

// fillPlanes copies planes to their padded places, row by row of each phase.
func (l *padLayout) fillPlanes(dst, src []float32, planes int) {
	for y := range min(l.steps[0], l.h) {
		r := rowArgs{c: unsafe.Pointer(&src[y*l.w]), rows: ceilDiv(l.h-y, l.steps[0])}
		r.stepA, r.stepC = 4*l.pw, 4*l.w*l.steps[0]
		r.planes, r.planeA, r.planeC = planes, 4*l.plane, 4*l.h*l.w
		at, phases := l.row(y)
		if l.steps[1] > 2 {
			for p := range planes {
				l.deal(dst[p*l.plane+at:], src[(p*l.h+y)*l.w:], phases, r.rows)
			}
			continue
		}
		a, b := phases[l.left%l.steps[1]], phases[(l.left+1)%l.steps[1]]
		if a >= 0 {
			r.a = unsafe.Pointer(&dst[at+a+l.left/l.steps[1]])
		}
		switch {
		case l.steps[1] == 1 && a >= 0:
			r.copyRows(l.w)
			continue
		case a < 0 && b < 0:
			continue
		case b >= 0 && l.w > 1:
			r.b, r.stepB, r.planeB = unsafe.Pointer(&dst[at+b+(l.left+1)/2]), 4*l.pw, 4*l.plane
		}
		l.split(&r)
	}
}

// split splits rows into phases. What belongs to an unused phase goes to waste.
func (l *padLayout) split(r *rowArgs) {
	if r.a != nil && r.b != nil {
		r.splitRows(l.w)
		return
	}
	waste := borrow[float32](l.w)
	defer giveBack(waste)
	if p := unsafe.Pointer(&(*waste)[0]); r.a == nil {
		r.a, r.stepA, r.planeA = p, 0, 0
	} else {
		r.b, r.stepB, r.planeB = p, 0, 0
	}
	r.splitRows(l.w)
}

// merge writes the grids of the passes to their places in the output.
func (w *convWork) merge() {
	if !w.p.merges() {
		return
	}
	size := w.p.outH * w.p.outW
	planes := w.p.rows * w.count
	for i := range w.images {
		out := w.out[((w.first+i)*w.groups+w.group)*w.p.rows*size:][:planes*size]
		for k := 0; k < len(w.p.passes); k += min(w.p.stride[1], w.p.outW) {
			w.mergeRows(out, k, i, planes)
		}
	}
}

// mergeRows merges the passes of one phase of rows, from pass k on, for the planes of
// image i.
func (w *convWork) mergeRows(out []float32, k, i, planes int) {
	width, pass := w.p.outW, &w.p.passes[k]
	r := rowArgs{c: unsafe.Pointer(&out[pass.y0*width]), rows: pass.oh, stepC: 4 * width * w.p.stride[0]}
	r.planes, r.planeC = planes, 4*width*w.p.outH
	at, image := w.gridOf(k)
	r.a, r.stepA, r.planeA = unsafe.Pointer(&(*w.grid)[at+i*image]), 4*pass.ow, 4*pass.pixels()
	switch {
	case w.p.stride[1] == 1 || width == 1:
		r.a, r.stepA, r.planeA, r.c, r.stepC, r.planeC = r.c, r.stepC, r.planeC, r.a, r.stepA, r.planeA
		r.copyRows(pass.ow)
	case w.p.stride[1] == 2:
		other := &w.p.passes[k+1]
		at, image = w.gridOf(k + 1)
		r.b, r.stepB, r.planeB = unsafe.Pointer(&(*w.grid)[at+i*image]), 4*other.ow, 4*other.pixels()
		r.mergeRows(width)
	default:
		for x := range min(w.p.stride[1], width) {
			w.spread(out, k+x, i, planes)
		}
	}
}

// spread writes the grid of pass k to its places, for the planes of image i.
func (w *convWork) spread(out []float32, k, i, planes int) {
	p := &w.p.passes[k]
	at, image := w.gridOf(k)
	for j, v := range (*w.grid)[at+i*image:][:planes*p.pixels()] {
		plane, j := j/p.pixels(), j%p.pixels()
		out[(plane*w.p.outH+p.y0+j/p.ow*w.p.stride[0])*w.p.outW+p.x0+j%p.ow*w.p.stride[1]] = v
	}
}

// gridOf returns where the grid of pass k starts and the elements of one of its images.
func (w *convWork) gridOf(k int) (at, image int) {
	rows := w.p.rows * w.block()
	for i := range k {
		at += w.p.images * rows * w.p.passes[i].pixels()
	}
	return at, rows * w.p.passes[k].pixels()
}
