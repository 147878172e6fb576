package kern

// How is a float convolution cut into tiles?

import (
	"runtime"

	"github.com/goqat/goqat/internal/par"
)

// The fast float32 convolutions: output pixels in vectors, output channels in rows of
// tiles. The gradient of the input is such a convolution, too (see backwardPlan).

// fastConv says whether the level in use has the kernels.
func fastConv() bool { return level >= LevelAVX2 }

// convRun is one call. In and out are tensors [n][groups][planes][pixels].
type convRun struct {
	p         *tapPlan
	n, groups int
	in, out   []float32
	w         []float32 // of all groups
	rs        int       // bytes between the rows of weights of a group
	bias      []float32
	single    bool       // few rows: they run one by one, without tiles
	channels  bool       // output channels are the lanes
	packed    *[]float32 // the weights in the order of tiles, unless single
	part      int        // rows of a tile, fewer at the end
}

func convForwardFast(c *Conv, out, x, w, bias []float32) {
	if c.forwardByPlane() {
		planeForward(c, out, x, w, bias)
		return
	}
	if c.byDepth() {
		depthForward(c, out, x, w, bias)
		return
	}
	r := convRun{n: c.N, groups: c.Groups, in: x, out: out, w: w, rs: 4 * c.taps(), bias: bias}
	r.run(c, c.cg(), c.kg(), c.pixels(), false)
}

func convBackwardDataFast(c *Conv, dx, w, dy []float32) {
	if c.byDepth() {
		depthBackwardData(c, dx, w, dy)
		return
	}
	r := convRun{n: c.N, groups: c.Groups, in: dy, out: dx, w: w, rs: 4 * c.R * c.S}
	r.run(c, c.kg(), c.cg(), c.H*c.W, true)
}

// singleRows is the number of rows from which tiles are faster than row by row.
const singleRows = 3

func (r *convRun) run(c *Conv, planes, rows, pixels int, backward bool) {
	if len(r.out) == 0 || r.n == 0 {
		return
	}
	r.single = rows < singleRows && planes*c.R*c.S <= KC
	width := c.OW
	if backward {
		width = c.W
	}
	images := 1
	if r.channels = c.byChannel(planes, rows, width); !r.single && !r.channels {
		images = imagesFor(r.n, len(r.in)/r.n/r.groups, pixels)
	}
	r.p = planFor(planShape{conv: *c, planes: planes, images: images, backward: backward})
	if !r.single {
		r.packWeights()
		defer giveBack(r.packed)
	}
	units := ceilDiv(r.n, images) * ceilDiv(r.groups, r.block())
	work := r.block() * images * rows * pixels * max(1, planes*c.R*c.S/(c.Stride[0]*c.Stride[1]))
	procs := runtime.GOMAXPROCS(0)
	switch {
	case units*work < 2*gemmGrain:
		r.alone(units, units)
	case units >= 4*procs || procs == 1:
		r.alone(units, max(1, gemmGrain/work, units/(8*procs)))
	default:
		r.together(units, procs)
	}
}

// imagesFor returns how many images of so many input and output pixels share vectors,
// so that few pairs of lanes stay empty.
func imagesFor(n, in, out int) int {
	images := 1
	for used := func(i int) int { return 100 * i * out / (ceilDiv(i*out, 2*vecLanes) * 2 * vecLanes) }; used(images) < 99; {
		if 8*images > n || images == 16 || images*in > sharedInput && used(images) >= 95 {
			break
		}
		images *= 2
	}
	return images
}

// sharedInput is the input up to which images share vectors only to fill pairs.
const sharedInput = 16 << 10

// alone gives each unit (some images of one group) to one goroutine.
func (r *convRun) alone(units, grain int) {
	par.For(units, grain, func(lo, hi int) {
		w := r.newWork()
		defer w.release()
		for u := lo; u < hi; u++ {
			w.setUnit(u)
			w.fill(0, r.p.planes*w.count)
			if u+1 < units && r.copiesLong() {
				w.lookAhead(u + 1)
			}
			for i := range r.p.passes {
				w.pass(i, 0, w.parts(i))
			}
			w.merge()
		}
	})
}

// copiesLong says that units copy their input and compute on it for long enough to bring
// the next one's into the cache meanwhile.
func (r *convRun) copiesLong() bool {
	return !r.single && !r.p.direct && r.p.weights*r.p.rows >= 2*KC
}

// together shares the few units there are: goroutines take planes to pad, then
// vectors to compute, then planes to merge.
func (r *convRun) together(units, procs int) {
	work := make([]*convWork, units)
	for u := range work {
		work[u] = r.newWork()
		defer work[u].release()
		work[u].setUnit(u)
	}
	share := ceilDiv(2*procs, units)
	if !r.p.direct {
		planes := r.p.planes * r.block()
		grain := ceilDiv(planes, share)
		parts := ceilDiv(planes, grain)
		par.For(units*parts, 1, func(lo, hi int) {
			for i := lo; i < hi; i++ {
				w, first := work[i/parts], i%parts*grain
				if last := min(first+grain, r.p.planes*w.count); first < last {
					w.fill(first, last)
				}
			}
		})
	}
	passes := len(r.p.passes)
	par.For(units*passes*share, 1, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			w := work[i/share/passes].share()
			pass, part := i/share%passes, i%share
			parts := w.parts(pass)
			w.pass(pass, part*parts/share, (part+1)*parts/share)
			w.releaseShare()
		}
	})
	par.For(units, 1, func(lo, hi int) {
		for u := lo; u < hi; u++ {
			work[u].merge()
		}
	})
}
