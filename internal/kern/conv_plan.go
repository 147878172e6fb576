package kern

// Where do tiles find the operands of a convolution, and which tiles are chosen?

import "sync"

// This file says where the tile kernels find the operands of a convolution. It
// counts in dwords of four bytes, which may hold one float32 or a bundle of narrower
// numbers of neighbouring channels; a plane is the dwords of one channel or bundle.
//
// A convolution is a product rows × steps by steps × pixels. A step is one plane
// and one tap of the kernel; a pixel is one output pixel. The input is copied
// into a padded image in which the dword of step k for pixel p lies at
//
//	place(p) + offB[k]/4
//
// and so that neighbouring pixels of an output row are neighbours in memory for
// every step, whatever the stride: a padded plane is cut into phases (the dwords
// whose row and column leave the same remainders when divided by the stride).

// planShape is what a plan depends on. Plans are shared between calls.
type planShape struct {
	conv     Conv // with N = 0
	planes   int  // dword planes of one group of the input: cg for float32, or kg when backward
	images   int  // images whose pixels share vectors; see tapPlan.images
	backward bool // the gradient of the input instead of the output
}

// tapPlan is one convolution, or one gradient of its input, of one group. It is
// read-only once made.
type tapPlan struct {
	padLayout
	images   int  // images that lie behind each other, size dwords apart, and share vectors
	block    int  // groups of one input and one output plane that a unit may take at once; else 1
	direct   bool // x needs no copy: the layout is that of the input itself
	backward bool
	rows     int       // output channels of a group (input channels when backward)
	outH     int       // rows of an output plane
	outW     int       // columns of an output plane
	passes   []tapPass // one, or one per phase of the gradient
	weights  int       // weights of a row in all passes
	stride   [2]int    // of the passes' pixels in the output: {1, 1} with one pass
	pads     sync.Pool // of []float32: padded images whose borders are 0
}

// padLayout is the padded image of one group.
type padLayout struct {
	planes    int
	h, w      int    // an input plane
	top, left int    // rows above it and columns left of it
	steps     [2]int // strides that cut a plane into phases
	ph, pw    int    // rows and columns of a phase
	phase     []int  // dwords before phase (y mod steps[0])*steps[1] + x mod steps[1]; -1: not used
	plane     int    // dwords of a padded plane with all its phases
	size      int    // dwords from one image to the next
}

// row says where row y of an input plane lies within the padded plane: element x
// is the dword at + phases[(x+left) mod steps[1]] + (x+left)/steps[1], or has no
// place when that phase is -1. y may lie in the padding: -top to h+bottom-1.
func (l *padLayout) row(y int) (at int, phases []int) {
	y += l.top
	return y / l.steps[0] * l.pw, l.phase[y%l.steps[0]*l.steps[1]:][:l.steps[1]]
}

// tapPass computes a grid of output pixels.
type tapPass struct {
	y0, x0  int      // the output pixel of grid pixel (0, 0)
	oh, ow  int      // the grid
	offA    []int    // bytes from a row of weights [planes][R][S] (dwords) to the weight of each step
	offB    []int    // bytes from a pixel's place to the input of each step
	vecs    []pixVec // the pixels of all images of the plan, in order
	filled  bool     // the vectors are full enough to use them as they are
	weights int      // weights of a row in the passes before
}

// pixels is the number of pixels of the grid.
func (p *tapPass) pixels() int { return p.oh * p.ow }

// pixVec is a vector of up to 16 neighbouring pixels, in at most two runs of
// neighbouring dwords. Lanes mask[0] load from place off[0], lanes mask[1] from off[1]
// (bytes; off[1] is already shifted, so that lane l is l dwords from there).
type pixVec struct {
	first int // of pixels counted through the plan's images
	n     int
	off   [2]int
	mask  [2]uint16
}

// planCache keeps plans by shape. maxPlans bounds what programs with ever new shapes
// keep. It is safe for concurrent use.
type planCache[K comparable, P any] struct {
	sync.RWMutex
	m map[K]*P
}

const maxPlans = 512

func (c *planCache[K, P]) get(key K, build func(K) *P) *P {
	c.RLock()
	p := c.m[key]
	c.RUnlock()
	if p != nil {
		return p
	}
	p = build(key)
	c.Lock()
	defer c.Unlock()
	if c.m == nil || len(c.m) >= maxPlans {
		c.m = map[K]*P{}
	}
	c.m[key] = p
	return p
}

var tapPlans planCache[planShape, tapPlan]

// planFor returns the plan of a shape.
func planFor(s planShape) *tapPlan {
	s.conv.N = 0
	if s.backward {
		return tapPlans.get(s, backwardPlan)
	}
	return tapPlans.get(s, forwardPlan)
}

// forwardPlan: steps are ordered by plane, then kernel row, then kernel column.
func forwardPlan(s planShape) *tapPlan {
	c := &s.conv
	p := &tapPlan{rows: c.kg(), outH: c.OH, outW: c.OW, images: s.images, stride: [2]int{1, 1}}
	p.padLayout = newPadLayout(s.planes, c.H, c.W, c.Pad, c.Stride, func(phase []int) {
		for i := range c.R * c.S {
			phase[i/c.S*c.Dilation[0]%c.Stride[0]*c.Stride[1]+i%c.S*c.Dilation[1]%c.Stride[1]] = 0
		}
	})
	pass := tapPass{oh: c.OH, ow: c.OW}
	for plane := range s.planes {
		for i := range c.R * c.S {
			at, phases := p.row(i/c.S*c.Dilation[0] - p.top)
			x := i % c.S * c.Dilation[1]
			pass.offB = append(pass.offB, 4*(plane*p.plane+at+phases[x%c.Stride[1]]+x/c.Stride[1]))
			pass.offA = append(pass.offA, 4*len(pass.offA))
		}
	}
	p.direct = p.tight()
	p.addPass(pass, c.Groups)
	return p
}

// backwardPlan sees the gradient of the input as convolutions of the padded
// gradient of the output, one for each phase of the stride. Steps are ordered by
// output channel, then kernel row, then kernel column; only taps of the pass's phase
// take part.
func backwardPlan(s planShape) *tapPlan {
	c := &s.conv
	p := &tapPlan{backward: true, rows: c.cg(), outH: c.H, outW: c.W, images: s.images, stride: c.Stride}
	top, bottom := tapReach(c.H, c.OH, c.R, c.Stride[0], c.Dilation[0], c.Pad[0])
	left, right := tapReach(c.W, c.OW, c.S, c.Stride[1], c.Dilation[1], c.Pad[1])
	pad := [4]int{top, left, bottom, right}
	p.padLayout = newPadLayout(s.planes, c.OH, c.OW, pad, [2]int{1, 1}, func(phase []int) { phase[0] = 0 })
	p.direct = p.tight()
	for y0 := range min(c.Stride[0], c.H) {
		for x0 := range min(c.Stride[1], c.W) {
			pass := tapPass{y0: y0, x0: x0, oh: ceilDiv(c.H-y0, c.Stride[0]), ow: ceilDiv(c.W-x0, c.Stride[1])}
			for plane := range s.planes {
				for i := range c.R * c.S {
					y, okY := tapSource(y0, i/c.S, c.Stride[0], c.Dilation[0], c.Pad[0])
					x, okX := tapSource(x0, i%c.S, c.Stride[1], c.Dilation[1], c.Pad[1])
					if okY && okX {
						pass.offB = append(pass.offB, 4*(plane*p.plane+(y+top)*p.pw+x+left))
						pass.offA = append(pass.offA, 4*(plane*c.taps()+i))
					}
				}
			}
			p.addPass(pass, c.Groups)
		}
	}
	return p
}

// tapSource returns the index, along one axis, of the output whose tap reads
// input i; ok is false when the stride leaves no such output. The index may
// lie outside the output.
func tapSource(i, tap, stride, dilation, pad int) (at int, ok bool) {
	at = i + pad - tap*dilation
	return at / stride, at%stride == 0
}

// tapReach is how far, along one axis, the taps of all inputs reach before the
// first and behind the last output.
func tapReach(in, out, taps, stride, dilation, pad int) (before, behind int) {
	for i := range min(stride, in) {
		for t := range taps {
			if at, ok := tapSource(i, t, stride, dilation, pad); ok {
				before = max(before, -at)
				behind = max(behind, at+ceilDiv(in-i, stride)-out)
			}
		}
	}
	return before, behind
}

// newPadLayout makes the layout of planes of h×w dwords; use sets the phases that are
// used to 0.
func newPadLayout(planes, h, w int, pad [4]int, steps [2]int, use func(phase []int)) padLayout {
	l := padLayout{planes: planes, h: h, w: w, top: pad[0], left: pad[1], steps: steps}
	l.ph, l.pw = ceilDiv(h+pad[0]+pad[2], steps[0]), ceilDiv(w+pad[1]+pad[3], steps[1])
	l.phase = make([]int, steps[0]*steps[1])
	for i := range l.phase {
		l.phase[i] = -1
	}
	use(l.phase)
	for i, v := range l.phase {
		if v == 0 {
			l.phase[i] = l.plane
			l.plane += l.ph * l.pw
		}
	}
	if l.plane*4%1024 == 0 && !l.tight() { // planes would share few sets of the first-level cache
		l.plane += vecLanes
	}
	l.size = planes * l.plane
	return l
}

// tight says that a padded plane is a plane of the tensor itself.
func (l *padLayout) tight() bool { return l.ph == l.h && l.pw == l.w && l.steps == [2]int{1, 1} }

// fullEnough is the share of lanes in use, in percent, from which vectors of two
// runs beat packing the operand.
const fullEnough = 75

func (p *tapPlan) addPass(pass tapPass, groups int) {
	if p.direct {
		p.size = groups * p.planes * p.plane // the groups of an image lie between its planes
	}
	p.block = 1
	if p.planes == 1 && p.rows == 1 {
		p.block = min(groups, max(1, blockDwords/max(1, p.plane, p.outH*p.outW)))
	}
	pass.vecs = p.vectors(&pass)
	lanes := len(pass.vecs) * vecLanes
	pass.filled = p.images*pass.pixels()*100 >= lanes*fullEnough
	pass.weights = p.weights
	p.weights += len(pass.offA)
	p.passes = append(p.passes, pass)
}

// blockDwords is about how much of the input of depthwise convolutions is padded at once.
const blockDwords = 8 << 10

const vecLanes = 16

// vectors cuts the pixels into vectors, each as long as two runs allow.
func (p *tapPlan) vectors(pass *tapPass) []pixVec {
	var vecs []pixVec
	pixels := pass.pixels()
	total := p.images * pixels
	for first := 0; first < total; {
		v := pixVec{first: first}
		for run := 0; run < 2 && v.n < vecLanes && first+v.n < total; run++ {
			at := p.place(pass, first+v.n)
			n := 1
			for v.n+n < vecLanes && first+v.n+n < total && p.place(pass, first+v.n+n) == at+n {
				n++
			}
			v.off[run] = 4 * (at - v.n)
			v.mask[run] = uint16((1<<n - 1) << v.n)
			v.n += n
		}
		if v.mask[1] == 0 {
			v.off[1] = v.off[0]
		}
		vecs = append(vecs, v)
		first += v.n
	}
	return vecs
}

// place is the dword of pixel i, counted through the plan's images, at offset 0.
func (p *tapPlan) place(pass *tapPass, i int) int {
	img, i := i/pass.pixels(), i%pass.pixels()
	return img*p.size + i/pass.ow*p.pw + i%pass.ow
}
