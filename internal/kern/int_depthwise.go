package kern

// How is a depthwise convolution of codes run?

import (
	"unsafe"

	"github.com/goqat/goqat/internal/par"
)

// depthwise says that the kernel for one input channel serves: groups of one
// channel with few outputs, neighbouring columns and a stride that 64 bytes reach.
func (r *intConvRun) depthwise() bool {
	c := r.c
	return r.f.kind == formBytes && r.f.wide && level >= LevelVNNI &&
		c.cg() == 1 && c.kg() < 4 && c.Stride[1] <= 4
}

// depthTables are the permutations of the depthwise kernel by stride: four lanes of
// four outputs take the dwords from stride·lane on, and output i of a lane the four
// bytes from stride·i on.
var depthTables = func() (t [5]struct {
	perm [16]int32
	shuf [64]uint8
}) {
	for sx := 1; sx <= 4; sx++ {
		for i := range 16 {
			t[sx].perm[i] = int32(sx*(i/4) + i%4)
		}
		for i := range 64 {
			t[sx].shuf[i] = uint8(sx*(i%16/4) + i%4)
		}
	}
	return t
}()

// runDepthwise computes channel by channel.
func (r *intConvRun) runDepthwise(threads int) {
	c := r.c
	work := c.kg() * c.taps() * c.pixels()
	off := r.depthOffsets()
	par.ForN(threads, c.N*c.C, intGrain()/2/work, func(lo, hi int) {
		s := intScratches.Get().(*intScratch)
		defer s.put()
		_, _, size := r.depthPlane()
		s.rows = grow(s.rows, size)
		fillBytes(s.rows, uint8(r.x.Grid.ZeroPoint))
		s.sums = grow(s.sums, ceilDiv(c.pixels(), panelCols)*panelCols+tileLanes)
		for u := lo; u < hi; u++ {
			r.depthPack(s, u)
			for k := range c.kg() {
				r.depthChannel(s, off, u, u%c.C*c.kg()+k)
			}
		}
	})
}

// depthPlane returns the height, width and size in bytes of a padded plane; loads
// of 64 bytes may begin at any of its elements.
func (r *intConvRun) depthPlane() (h, w, size int) {
	c := r.c
	h, w = c.H+c.Pad[0]+c.Pad[2], c.W+c.Pad[1]+c.Pad[3]
	return h, w, h*w + 64*(c.Stride[1]+1)
}

// depthOffsets are the offsets of the steps in a padded plane.
func (r *intConvRun) depthOffsets() []int {
	_, w, _ := r.depthPlane()
	off := make([]int, r.f.steps)
	for i := range off {
		term := int(r.f.lane[4*i])
		off[i] = term/r.c.S*r.c.Dilation[0]*w + term%r.c.S
	}
	return off
}

// depthPack copies a plane into its padding.
func (r *intConvRun) depthPack(s *intScratch, u int) {
	c := r.c
	_, w, _ := r.depthPlane()
	src := s.plane(r.x.at(u*c.H*c.W, c.H*c.W))
	copyBytes(s.rows[c.Pad[0]*w+c.Pad[1]:], w, src, c.W, c.H, c.W)
}

// depthChannel computes output channel ch of unit u, an image and an input channel.
func (r *intConvRun) depthChannel(s *intScratch, off []int, u, ch int) {
	c, d := r.c, &s.depth
	_, w, _ := r.depthPlane()
	t := &depthTables[c.Stride[1]]
	rest := c.OW % tileLanes
	*d = intDepth{steps: r.f.steps, src: unsafe.Pointer(&s.rows[0]), srcStride: c.Stride[0] * w, off: &off[0],
		w: unsafe.Pointer(&r.a[ch*r.f.stride]), perm: unsafe.Pointer(&t.perm), shuf: unsafe.Pointer(&t.shuf),
		col: tileLanes * c.Stride[1], full: c.OW / tileLanes, rows: c.OH, acc: unsafe.Pointer(&s.sums[0]),
		tail: columnMask(0, rest), rest: 4 * rest}
	d.run()
	r.depthOut(s, u/c.C, ch)
}

// depthOut runs the epilogue over all outputs of a channel.
func (r *intConvRun) depthOut(s *intScratch, n, ch int) {
	pixels := r.c.pixels()
	e := &s.epi
	*e = intEpi{acc: unsafe.Pointer(&s.sums[0]), sub: unsafe.Pointer(&r.f.sub[ch]), scale: unsafe.Pointer(&r.p.scale[ch]),
		bias: unsafe.Pointer(&r.bias[ch])}
	e.setGrid(&r.y)
	full := pixels / panelCols
	e.rows, e.mask = full, [2]uint16{fullMask, fullMask}
	at := (n*r.c.K + ch) * pixels
	if full > 0 {
		s.end(&r.y, at, tileLanes, panelCols, false)
	}
	if rest := pixels - full*panelCols; rest > 0 {
		e.rows, e.mask = 1, [2]uint16{columnMask(0, rest), columnMask(1, rest)}
		e.acc = unsafe.Pointer(&s.sums[full*panelCols])
		s.end(&r.y, at+full*panelCols, tileLanes, panelCols, false)
	}
}

func fillBytes(dst []uint8, v uint8) {
	const first = 64
	for i := range min(first, len(dst)) {
		dst[i] = v
	}
	for n := first; n < len(dst); n *= 2 {
		copy(dst[n:], dst[:n])
	}
}
