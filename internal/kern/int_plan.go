package kern

// Where do integer tiles find their operands?

import "sync"

// intPlan lays out the image of one group for tiles whose columns are output
// pixels: planes of dwords with their padding, split by stride so that the dwords
// of neighbouring outputs are neighbours.
//
//	dword(plane, phase, y, x) = ((plane·phases + phase)·h + y)·w + x
//
// where phase (py, px) holds rows y·stride+py and columns x·stride+px of the padded
// plane; only phases that some tap reads exist.
type intPlan struct {
	imageH, imageW, outH, outW int
	pad, stride                [2]int // rows, columns

	planes, phases int
	channels       [][2]int // of each plane: the first and how many
	phase          []int    // [py·stride+px]: index of a phase, -1 where it is not read
	h, w           int
	padded         int      // columns of a padded row
	words          int      // dwords of all planes, and slack
	off            []int    // bytes from an output's place to the dword of each step
	vecs           []intVec // cover all outputs in order
	gap            int      // bytes that a row of dwords has more than a row of outputs
}

// intVec is a vector of at most 16 neighbouring outputs in at most two rows.
type intVec struct {
	pixel, n int // first output, number of outputs
	first    int // how many lie in the first row
	at       int // place of the first output, in dwords
}

// slackWords keeps vectors that reach beyond the last plane inside the buffer.
const slackWords = 64

// intPlanKey is what a plan depends on.
type intPlanKey struct {
	conv          Conv // with N and K 0
	kind          formKind
	blocks, block int
}

// intPlans keeps plans for products that are set up again and again, as in training.
var intPlans struct {
	sync.Mutex
	plans map[intPlanKey]*intPlan
}

// maxIntPlans bounds the memory of plans.
const maxIntPlans = 256

// planFor finds or makes the plan of a convolution with p's weights.
func (p *IntProduct) planFor(c *Conv, f *intForm) *intPlan {
	if plan := f.plan.Load(); plan != nil && plan.fits(c) {
		return plan
	}
	key := intPlanKey{*c, f.kind, p.d.Blocks, p.d.Block}
	key.conv.N, key.conv.K = 0, 0
	m := &intPlans
	m.Lock()
	defer m.Unlock()
	plan := m.plans[key]
	if plan == nil {
		if len(m.plans) >= maxIntPlans || m.plans == nil {
			m.plans = make(map[intPlanKey]*intPlan)
		}
		plan = newIntPlan(c, f)
		m.plans[key] = plan
	}
	f.plan.Store(plan)
	return plan
}

func newIntPlan(c *Conv, f *intForm) *intPlan {
	sy, sx := c.Stride[0], c.Stride[1]
	p := &intPlan{imageH: c.H, imageW: c.W, outH: c.OH, outW: c.OW, pad: [2]int{c.Pad[0], c.Pad[1]}, stride: c.Stride}
	p.padded = c.W + c.Pad[1] + c.Pad[3]
	p.h, p.w = ceilDiv(c.H+c.Pad[0]+c.Pad[2], sy), ceilDiv(p.padded, sx)
	p.phase = make([]int, sy*sx)
	for i := range p.phase {
		p.phase[i] = -1
	}
	l := f.kind.lanes()
	for s := range f.steps { // steps that lie in one plane have the same channel
		_, _, ph := p.tap(c, int(f.lane[s*l]))
		if p.phase[ph] < 0 {
			p.phase[ph] = p.phases
			p.phases++
		}
	}
	p.off = make([]int, f.steps)
	last := -1
	for s := range p.off {
		term := int(f.lane[s*l])
		if ch := term / (c.R * c.S); ch != last {
			last = ch
			p.planes++
			p.channels = append(p.channels, [2]int{ch, f.channels(s)})
		}
		y, x, ph := p.tap(c, term)
		p.off[s] = 4 * ((((p.planes-1)*p.phases+p.phase[ph])*p.h+y)*p.w + x)
	}
	p.words = p.planes*p.phases*p.h*p.w + slackWords
	p.gap = 4 * (p.w - p.outW)
	for j := 0; j < c.OH*c.OW; {
		x := j % c.OW
		v := intVec{pixel: j, first: min(tileLanes, c.OW-x), at: j/c.OW*p.w + x}
		v.n = min(tileLanes, v.first+c.OW, c.OH*c.OW-j)
		p.vecs = append(p.vecs, v)
		j += v.n
	}
	return p
}

// tap returns the place in a phase and the phase of a term.
func (p *intPlan) tap(c *Conv, term int) (y, x, phase int) {
	r, s := term/c.S%c.R*c.Dilation[0], term%c.S*c.Dilation[1]
	sy, sx := p.stride[0], p.stride[1]
	return r / sy, s / sx, r%sy*sx + s%sx
}

// channels is the number of channels in the dwords of step s.
func (f *intForm) channels(s int) int {
	n, l := 1, f.kind.lanes()
	for !f.wide && n < l && f.lane[s*l+n] >= 0 {
		n++
	}
	return n
}

// fits says whether the plan was made for images like those of c.
func (p *intPlan) fits(c *Conv) bool {
	return p.imageH == c.H && p.imageW == c.W && p.outH == c.OH && p.outW == c.OW &&
		p.pad == [2]int{c.Pad[0], c.Pad[1]} && p.stride == c.Stride && p.padded == c.W+c.Pad[1]+c.Pad[3]
}
