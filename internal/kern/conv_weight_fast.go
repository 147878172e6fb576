package kern

// How is the gradient of the weights cut into tiles?

import (
	"runtime"
	"sync"
	"unsafe"

	"github.com/goqat/goqat/internal/par"
)

func convBackwardWeightFast(c *Conv, dw, x, dy []float32) {
	if c.K*c.taps() == 0 {
		return
	}
	if c.byColumns() {
		depthWeights(c, dw, x, dy)
		return
	}
	if c.byLanes() {
		laneWeights(c, dw, x, dy)
		return
	}
	if c.swaps() {
		swapWeights(c, dw, x, dy)
		return
	}
	tileWeights(c, dw, x, dy)
}

// weightPlan cuts the gradient of the weights of a group into products: rows of
// padded input (read dword by dword) × pixels by pixels × output channels.
type weightPlan struct {
	padLayout
	direct bool
	place  []int // bytes from an image's start to each pixel's place
	blocks []weightBlock
	rows   int // rows of a block: all input channels at one tap, or all columns of a kernel row
	step   int // bytes between the rows in the image
	taps   int // rows of sums between two rows of a block
	pads   sync.Pool
}

type weightBlock struct {
	at  int // bytes to add to the pixels' places
	tap int // the first row's tap, counted through channels
}

var weightPlans planCache[Conv, weightPlan]

func newWeightPlan(c Conv) *weightPlan {
	p := &weightPlan{}
	p.padLayout = newPadLayout(c.cg(), c.H, c.W, c.Pad, [2]int{1, 1}, func(phase []int) { phase[0] = 0 })
	p.direct = p.tight() && p.plane*4%2048 != 0
	if p.tight() && !p.direct { // rows would share few sets of the first-level cache
		p.plane += vecLanes
		p.size = p.planes * p.plane
	}
	for i := range c.pixels() {
		p.place = append(p.place, 4*(i/c.OW*c.Stride[0]*p.pw+i%c.OW*c.Stride[1]))
	}
	if c.S > c.cg() {
		p.rows, p.step, p.taps = c.S, 4*c.Dilation[1], 1
		for i := range c.cg() * c.R {
			p.blocks = append(p.blocks, weightBlock{4 * (i/c.R*p.plane + i%c.R*c.Dilation[0]*p.pw), i * c.S})
		}
		return p
	}
	p.rows, p.step, p.taps = c.cg(), 4*p.plane, c.R*c.S
	for i := range c.R * c.S {
		p.blocks = append(p.blocks, weightBlock{4 * (i/c.S*c.Dilation[0]*p.pw + i%c.S*c.Dilation[1]), i})
	}
	return p
}

// weightRun is one call of tileWeights. Sums lie as [groups][panels][taps][lanes].
type weightRun struct {
	*Conv
	p             *weightPlan
	x, dy         []float32
	lanes, panels int
	parts         int // of the blocks of all panels of a group, each a goroutine's work
}

func tileWeights(c *Conv, dw, x, dy []float32) {
	key := *c
	key.N = 0
	r := weightRun{Conv: c, p: weightPlans.get(key, newWeightPlan), x: x, dy: dy, lanes: panelLanes()}
	if c.kg() <= vecLanes {
		r.lanes = vecLanes
	}
	r.panels = ceilDiv(c.kg(), r.lanes)
	size := c.Groups * r.panels * c.taps() * r.lanes
	total := borrow[float32](size)
	defer giveBack(total)
	overChunks(c.N, c.Groups, size, *total, func(split int) int {
		r.parts = min(split, r.panels*len(r.p.blocks))
		return r.parts
	}, r.part)
	for i := range c.Groups * r.panels {
		g, k := i/r.panels, i%r.panels*r.lanes
		transpose(unsafe.Pointer(&dw[(g*c.kg()+k)*c.taps()]), 4*c.taps(), unsafe.Pointer(&(*total)[i*c.taps()*r.lanes]), 4*r.lanes,
			c.taps(), min(r.lanes, c.kg()-k))
	}
}

// chunkSums bounds the sums of chunks that are kept at a time: 16 MiB.
const chunkSums = 4 << 20

// chunkWave is the number of chunks that run side by side: all of them where memory allows,
// because then each goroutine gets the images that it had in the layers before.
func chunkWave(chunks, size, procs int) int {
	if procs == 1 {
		return min(chunks, 2)
	}
	return min(chunks, max(2*procs, chunkSums/size))
}

// overChunks calls fn for each part of each group of each chunk of images, with
// the chunk's zeroed sums, and writes the sum over the chunks, in order, to total.
// parts says how many parts a group is cut into when that many are wanted.
func overChunks(n, groups, size int, total []float32, parts func(split int) int, fn func(sum []float32, from, to, group, part int)) {
	procs := runtime.GOMAXPROCS(0)
	chunks := ceilDiv(n, imageChunk)
	wave := chunkWave(chunks, size, procs)
	split := 1
	if procs > 1 {
		split = ceilDiv(2*procs, max(1, wave*groups))
	}
	split = parts(split)
	sums := borrow[float32](wave * size)
	defer giveBack(sums)
	clear(total)
	for first := 0; first < chunks; first += wave {
		count := min(wave, chunks-first)
		par.For(count, 1, func(lo, hi int) { clear((*sums)[lo*size : hi*size]) })
		par.For(count*groups*split, 1, func(lo, hi int) {
			for u := lo; u < hi; u++ {
				chunk, g := u/split/groups, u/split%groups
				from := (first + chunk) * imageChunk
				fn((*sums)[chunk*size:][:size], from, min(from+imageChunk, n), g, u%split)
			}
		})
		par.For(size, 8*KC, func(lo, hi int) {
			for i := range count {
				Add(total[lo:hi], total[lo:hi], (*sums)[i*size+lo:i*size+hi])
			}
		})
	}
}

// part adds the products of images [from, to) and of one part of the blocks of
// a group's panels.
func (r *weightRun) part(sum []float32, from, to, g, part int) {
	p, pixels := r.p, r.pixels()
	var pad *[]float32
	if !p.direct {
		pad = padFrom(&p.pads, p.size)
		defer p.pads.Put(pad)
	}
	packed := borrow[float32](pixels * r.lanes)
	defer giveBack(packed)
	all := r.panels * len(p.blocks)
	first, last := part*all/r.parts, (part+1)*all/r.parts
	t := &tileArgs{rs: p.step, ldc: 4 * r.lanes * p.taps, add: 1}
	for n := from; n < to; n++ {
		src := r.x[(n*r.Groups+g)*p.planes*p.h*p.w:][:p.planes*p.h*p.w]
		base := unsafe.Pointer(&src[0])
		if pad != nil {
			p.fillPlanes(*pad, src, p.planes)
			base = unsafe.Pointer(&(*pad)[0])
		}
		for i := first; i < last; {
			panel := i / len(p.blocks)
			end := min(last, (panel+1)*len(p.blocks))
			k := panel * r.lanes
			cols := min(r.lanes, r.kg()-k)
			transpose(unsafe.Pointer(&(*packed)[0]), 4*r.lanes, unsafe.Pointer(&r.dy[(n*r.K+g*r.kg()+k)*pixels]), 4*pixels, cols, pixels)
			t.c = unsafe.Pointer(&sum[(g*r.panels+panel)*r.taps()*r.lanes])
			r.blocks(t, base, *packed, cols, p.blocks[i-panel*len(p.blocks):end-panel*len(p.blocks)])
			i = end
		}
	}
}

// blocks adds the products of some blocks with a packed panel of the gradient.
func (r *weightRun) blocks(t *tileArgs, base unsafe.Pointer, packed []float32, cols int, blocks []weightBlock) {
	limit, _ := tileShape()
	n, c := evenRows(r.p.rows, limit), t.c
	for k := 0; k < r.pixels(); k += KC {
		t.k = min(KC, r.pixels()-k)
		t.offA, t.offB = &r.p.place[k], &panelSteps[r.lanes/vecLanes-1][0]
		vectors := t.setColumns(unsafe.Pointer(&packed[k*r.lanes]), cols)
		for _, b := range blocks {
			for row := 0; row < r.p.rows; row += n {
				t.a = unsafe.Add(base, b.at+row*r.p.step)
				t.c = unsafe.Add(c, 4*r.lanes*(b.tap+row*r.p.taps))
				runTile(tileFloat, min(n, r.p.rows-row), vectors, t)
			}
		}
	}
}
