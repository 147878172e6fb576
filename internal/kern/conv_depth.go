package kern

import (
	"unsafe"

	"github.com/goqat/goqat/internal/par"
)

//go:generate go -C _gen run . -set depth -out ../depth_amd64.s -stubs ../depth_stubs_amd64.go

// Depthwise convolutions with one output channel for each input channel, and gradients of
// their inputs: blocks of output rows, each of which shares the rows of the input that it
// meets. Vectors lie along the rows. With stride 1 the input is read where it lies, with masks
// for what the padding takes of its columns and a row of zeros for its rows; with stride 2,
// and without masks, in a padded copy whose even and odd columns lie apart.
// The sums are those of the other ways, bit for bit.

// depthBlock is the output rows of a block.
const depthBlock = 7

// depthArgs goes through planes. The assembly reads the fields by their offsets.
type depthArgs struct {
	x    unsafe.Pointer
	zero unsafe.Pointer // a row of zeros
	rows *int           // bytes from x to each row that a window meets; negative: the row of zeros
	step int            // bytes in rows from one output row to the next

	off     *int           // bytes from a row to where each tap meets the first output column
	masks   unsafe.Pointer // AVX-512: [vectors][8]uint16, those of the taps, the last the outputs'; else [vectors][8]int32
	w       unsafe.Pointer // [taps]
	bias    unsafe.Pointer // nil, or one float32 that is added last
	out     unsafe.Pointer
	ldo     int // bytes between rows of out
	oh      int
	vectors int // in a row of out
	planes  int // at least 1

	stepX, stepW, stepOut, stepBias int

	_ [5]int // of the assembly
}

// depthKey is what a plan depends on.
type depthKey struct {
	conv     Conv // with N and channels 0
	backward bool
	inPlace  bool
}

// depthPlan is a convolution, or a gradient, of one plane. It is read-only once made.
type depthPlan struct {
	backward bool
	inH, inW int        // of a plane that is read
	pad      *padLayout // nil if it is read where it lies
	passes   []depthPass
	stride   [2]int // of the passes' pixels in the output: {1, 1} with one pass
	outH     int
	outW     int
}

// depthPass computes a grid of outputs.
type depthPass struct {
	y0, x0 int // the output that its first one is
	oh, ow int
	r, s   int   // rows and columns of taps
	tap    []int // places of the taps in the kernel
	stride int   // of the rows of windows
	rows   []int
	off    []int
	masks  [][8]uint16
	lanes  [][8]int32
}

// byDepth says that this way computes the convolution and the gradient of its input.
func (c *Conv) byDepth() bool {
	return level >= LevelAVX2 && (c.R == 3 || c.R == 5 || c.R == 7) && c.square()
}

// square says that the convolution has one channel in a group and a small square window,
// strides 1 or 2, and rows that are not too long.
func (c *Conv) square() bool {
	return c.cg() == 1 && c.kg() == 1 && c.R == c.S && c.R <= 7 && c.Dilation == [2]int{1, 1} &&
		c.Stride[0] == c.Stride[1] && c.Stride[0] <= 2 && max(c.W, c.OW)+c.Pad[1]+c.Pad[3] <= zeroColumns
}

// zeroColumns is the longest row for which zeros are at hand.
const zeroColumns = 4 << 10

var zeroRow [zeroColumns + 4*vecLanes]float32

var depthPlans planCache[depthKey, depthPlan]

func (c *Conv) depthPlan(backward bool) *depthPlan {
	key := depthKey{*c, backward, level >= LevelAVX512 && (backward || c.Stride[0] == 1)}
	key.conv.N, key.conv.C, key.conv.K, key.conv.Groups = 0, 0, 0, 0
	return depthPlans.get(key, newDepthPlan)
}

func newDepthPlan(key depthKey) *depthPlan {
	c := &key.conv
	p := &depthPlan{inH: c.H, inW: c.W, stride: [2]int{1, 1}, outH: c.OH, outW: c.OW, backward: key.backward}
	if key.backward {
		p.forPhases(c)
	} else {
		pass := depthPass{oh: c.OH, ow: c.OW, r: c.R, s: c.S, stride: c.Stride[0]}
		for i := range c.R * c.S {
			pass.tap = append(pass.tap, i)
		}
		p.passes = []depthPass{pass}
	}
	pads := c.Pad
	if key.backward {
		top, bottom := tapReach(c.H, c.OH, c.R, c.Stride[0], 1, c.Pad[0])
		left, right := tapReach(c.W, c.OW, c.S, c.Stride[1], 1, c.Pad[1])
		pads = [4]int{max(0, top), max(0, left), max(0, bottom), max(0, right)}
	}
	if !key.inPlace {
		steps := [2]int{1, 1}
		if !key.backward {
			steps[1] = c.Stride[1]
		}
		l := newPadLayout(1, p.inH, p.inW, pads, steps, func(phase []int) { clear(phase) })
		p.pad = &l
	}
	for i := range p.passes {
		p.place(&p.passes[i], c)
	}
	return p
}

// forPhases makes the passes of a gradient: a phase of the stride meets every other tap.
func (p *depthPlan) forPhases(c *Conv) {
	p.inH, p.inW, p.outH, p.outW, p.stride = c.OH, c.OW, c.H, c.W, c.Stride
	for y0 := range min(c.Stride[0], c.H) {
		for x0 := range min(c.Stride[1], c.W) {
			pass := depthPass{y0: y0, x0: x0, oh: ceilDiv(c.H-y0, c.Stride[0]), ow: ceilDiv(c.W-x0, c.Stride[1]), stride: 1}
			for i := range c.R * c.S {
				_, okY := tapSource(y0, i/c.S, c.Stride[0], 1, c.Pad[0])
				_, okX := tapSource(x0, i%c.S, c.Stride[1], 1, c.Pad[1])
				if okY && okX {
					pass.tap = append(pass.tap, i)
				}
			}
			for i := range pass.tap {
				if pass.tap[i]/c.S == pass.tap[0]/c.S {
					pass.s = i + 1
				}
			}
			pass.r = len(pass.tap) / max(1, pass.s)
			p.passes = append(p.passes, pass)
		}
	}
}

// place says where a pass reads: in a gradient the last row of outputs comes first, so that
// later taps lie in later rows of the table.
func (p *depthPlan) place(pass *depthPass, c *Conv) {
	count := (max(pass.oh, depthBlock)-1)*pass.stride + pass.r
	for i := range count {
		y := i - c.Pad[0]
		if p.backward && pass.r > 0 {
			first, _ := tapSource(pass.y0, pass.tap[0]/c.S, c.Stride[0], 1, c.Pad[0])
			y = first + pass.oh - 1 - i
		}
		switch {
		case p.pad != nil: // rows that are in no window, for outputs of a block that are not written, may be any
			at, _ := p.pad.row(max(-p.pad.top, min(y, p.pad.ph-1-p.pad.top)))
			pass.rows = append(pass.rows, 4*at)
		case y < 0 || y >= p.inH:
			pass.rows = append(pass.rows, -1)
		default:
			pass.rows = append(pass.rows, 4*y*p.inW)
		}
	}
	columns := make([]int, pass.s) // of the input that the first output column meets
	for s := range columns {
		if columns[s] = s - c.Pad[1]; p.backward {
			columns[s], _ = tapSource(pass.x0, pass.tap[s]%c.S, c.Stride[1], 1, c.Pad[1])
		}
		at := columns[s]
		if p.pad != nil {
			_, phases := p.pad.row(0)
			x := at + p.pad.left
			at = phases[x%p.pad.steps[1]] + x/p.pad.steps[1]
		}
		pass.off = append(pass.off, 4*at)
	}
	for j := 0; j < pass.ow; j += vecLanes {
		var m [8]uint16
		m[7] = columnMask(0, pass.ow-j)
		for s, at := range columns {
			for l := range min(vecLanes, pass.ow-j) {
				if x := at + (j+l)*p.readStride(c); p.pad != nil || x >= 0 && x < p.inW {
					m[s] |= 1 << l
				}
			}
		}
		pass.masks = append(pass.masks, m)
	}
	for j := 0; j < pass.ow; j += 8 {
		pass.lanes = append(pass.lanes, runMasks[min(8, pass.ow-j)])
	}
}

// readStride is the columns of the input between those of two outputs.
func (p *depthPlan) readStride(c *Conv) int {
	if p.backward {
		return 1
	}
	return c.Stride[1]
}

// depthRun is one call: in and out are tensors [planes][pixels], of channels planes an image.
type depthRun struct {
	*depthPlan
	in, out, w, bias []float32
	channels, taps   int
	weights          []float32 // of passes that do not meet all taps, pass by pass; else w
}

func depthForward(c *Conv, out, x, w, bias []float32) {
	r := depthRun{depthPlan: c.depthPlan(false), in: x, out: out, w: w, bias: bias, channels: c.C, taps: c.taps()}
	r.run(c)
}

func depthBackwardData(c *Conv, dx, w, dy []float32) {
	r := depthRun{depthPlan: c.depthPlan(true), in: dy, out: dx, w: w, channels: c.C, taps: c.taps()}
	r.run(c)
}

func (r *depthRun) run(c *Conv) {
	planes := c.N * c.C
	if len(r.out) == 0 {
		return
	}
	r.weights = r.w
	if len(r.passes) > 1 {
		packed := borrow[float32](r.taps * r.channels)
		defer giveBack(packed)
		r.weights = *packed
		r.pack()
	}
	work := r.outH * r.outW * max(2, r.taps/(r.stride[0]*r.stride[1]))
	par.For(planes, max(1, gemmGrain/work), func(lo, hi int) {
		w := depthWork{depthRun: r}
		if r.pad != nil {
			w.pad = borrow[float32](r.pad.size + padSlack)
			clear(*w.pad)
			defer giveBack(w.pad)
		}
		if len(r.passes) > 1 {
			w.grid = borrow[float32](r.outH * r.outW)
			defer giveBack(w.grid)
		}
		for lo < hi { // the planes of an image are neighbours in all operands
			n := min(hi-lo, r.channels-lo%r.channels)
			w.planes(lo, n)
			lo += n
		}
	})
}

// pack gathers the weights of each pass: [passes][channels][taps].
func (r *depthRun) pack() {
	at := 0
	for i := range r.passes {
		tap := r.passes[i].tap
		for ch := range r.channels {
			for _, t := range tap {
				r.weights[at] = r.w[ch*r.taps+t]
				at++
			}
		}
	}
}

// depthWork is one goroutine's.
type depthWork struct {
	*depthRun
	pad, grid *[]float32
}

// depthLimit bounds the products, in vectors, of a call.
const depthLimit = 64 << 10

// planes computes n planes of one image from plane u on.
func (w *depthWork) planes(u, n int) {
	limit := 1
	if w.pad == nil && w.grid == nil {
		limit = max(1, depthLimit/(w.outH*ceilDiv(w.outW, vecLanes)*w.taps))
	}
	for ; n > 0; n -= limit {
		at, packed := 0, 0
		for i := range w.passes {
			pass := &w.passes[i]
			dst := w.out[u*w.outH*w.outW:]
			if w.grid != nil {
				dst = (*w.grid)[at:]
			}
			w.pass(pass, dst, w.weights[packed:], u, min(n, limit), i == 0)
			packed += w.channels * len(pass.tap)
			at += pass.oh * pass.ow
		}
		if w.grid != nil {
			w.merge(w.out[u*w.outH*w.outW:][:w.outH*w.outW], *w.grid)
		}
		u += limit
	}
}

// pass computes one pass of n planes from plane u on; weights are those of the pass. The
// first pass of a plane copies it where it is not read in place.
func (w *depthWork) pass(pass *depthPass, dst, weights []float32, u, n int, first bool) {
	size, pixels, ch := w.inH*w.inW, pass.oh*pass.ow, u%w.channels
	if len(pass.tap) == 0 {
		clear(dst[:pixels])
		return
	}
	a := depthArgs{x: unsafe.Pointer(&w.in[u*size]), zero: unsafe.Pointer(&zeroRow[2*vecLanes]), rows: &pass.rows[0], step: 8 * pass.stride,
		off: &pass.off[0], w: unsafe.Pointer(&weights[ch*len(pass.tap)]), out: unsafe.Pointer(&dst[0]), ldo: 4 * pass.ow,
		oh: pass.oh, planes: n, stepX: 4 * size, stepW: 4 * len(pass.tap), stepOut: 4 * pixels}
	if w.pad != nil {
		if first {
			w.depthPlan.pad.fillPlanes(*w.pad, w.in[u*size:][:size], 1)
		}
		a.x = unsafe.Pointer(&(*w.pad)[0])
	}
	if w.backward { // from the last row to the first
		a.out, a.ldo = unsafe.Pointer(&dst[(pass.oh-1)*pass.ow]), -a.ldo
	}
	if w.bias != nil {
		a.bias, a.stepBias = unsafe.Pointer(&w.bias[ch]), 4
	}
	a.run(pass)
}

// merge writes the grids of the passes to their places.
func (p *depthPlan) merge(out, grid []float32) {
	mergePhases(out, grid, p.outH, p.outW, p.stride)
}
