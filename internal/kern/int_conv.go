package kern

// How is a convolution of codes run?

import (
	"runtime"
	"sync"
	"unsafe"

	"github.com/goqat/goqat/internal/par"
)

// intScratch is the memory of one goroutine inside an integer product.
type intScratch struct {
	image, row, panel, spare []uint32
	bytes, codes, rows       []uint8
	acc                      [tileMaxRows * panelCols]int32
	mid                      [tileMaxRows * panelCols]float32
	real                     []float32
	sums                     []int32
	tile                     tileArgs
	epi                      intEpi
	pack                     intPackArgs
	depth                    intDepth
	deep                     intRows
}

var intScratches = sync.Pool{New: func() any { return new(intScratch) }}

// put gives the scratch back without the pointers that it holds.
func (s *intScratch) put() {
	s.tile, s.epi, s.pack, s.depth, s.deep = tileArgs{}, intEpi{}, intPackArgs{}, intDepth{}, intRows{}
	intScratches.Put(s)
}

// plane returns the codes of x, made in the scratch where x is real numbers.
func (s *intScratch) plane(x IntX) []uint8 {
	if x.Codes != nil {
		return x.Codes
	}
	s.bytes = grow(s.bytes, len(x.Values))
	Quantize(s.bytes, x.Values, x.Grid)
	return s.bytes
}

// maxStride bounds the table of a plan's phases; longer strides serve nobody.
const maxStride = 64

// intGrain is the number of products that are worth a goroutine's while in a loop over
// images: some microseconds at the level in use.
func intGrain() int {
	if level >= LevelVNNI {
		return 1 << 20
	}
	return 256 << 10
}

// splitGrains is how much more work a part of one image must be: it is packed before all
// parts can begin, and its halves come from two processors' caches and go to them.
const splitGrains = 4

// Conv writes the convolution of x [N,C,H,W] into y [N,K,OH,OW]; c has the weights'
// geometry that p was set up with. Padding is the real number 0. A bias is nil or
// has K elements. No sum may exceed 2^31 in magnitude; x is on the grid of the
// set-up. At most threads goroutines take part, GOMAXPROCS with 0.
func (p *IntProduct) Conv(threads int, c *Conv, y IntY, x IntX, bias []float32) {
	f := p.current()
	if f == nil || c.Stride[0] > maxStride || c.Stride[1] > maxStride {
		p.portableConv(threads, c, y, x, bias)
		return
	}
	r := &intConvRun{p: p, f: f, c: c, x: x, y: y, bias: bias, a: f.data}
	if bias == nil {
		r.bias = p.none
	}
	if len(f.half) > 0 {
		s := intScratches.Get().(*intScratch)
		defer s.put()
		s.spare = grow(s.spare, len(f.half)/2)
		r.a = f.words(s.spare, 0, len(s.spare))
	}
	if r.byRows() {
		r.runRows(threads)
		return
	}
	if r.depthwise() {
		r.runDepthwise(threads)
		return
	}
	r.plan = p.planFor(c, f)
	r.run(threads)
}

// intConvRun is one convolution in the vector form.
type intConvRun struct {
	p    *IntProduct
	f    *intForm
	plan *intPlan
	c    *Conv
	x    IntX
	y    IntY
	bias []float32
	a    []uint32 // the weights
}

// run computes images and groups side by side, or parts of them where there are
// too few. It changes no result: no sum is cut.
func (r *intConvRun) run(threads int) {
	units := r.c.N * r.c.Groups
	work := r.c.kg() * r.c.taps() * r.c.pixels() // of one unit
	if threads < 1 {
		threads = runtime.GOMAXPROCS(0)
	}
	if parts := min(2*threads, units*work/(splitGrains*intGrain())); threads > 1 && units < parts {
		r.runParts(threads, units, ceilDiv(parts, units))
		return
	}
	par.ForN(threads, units, intGrain()/work, func(lo, hi int) {
		s := intScratches.Get().(*intScratch)
		defer s.put()
		s.image = grow(s.image, r.plan.words)
		fillWords(s.image, r.padding())
		for u := lo; u < hi; u++ {
			r.pack(s, s.image, u)
			r.tiles(s, s.image, u, 0, len(r.plan.vecs))
		}
	})
}

// runParts packs all images first and cuts each into parts of its outputs then.
func (r *intConvRun) runParts(threads, units, parts int) {
	all := intScratches.Get().(*intScratch)
	defer all.put()
	words, vecs := r.plan.words, len(r.plan.vecs)
	all.image = grow(all.image, units*words)
	par.ForN(threads, units, 1, func(lo, hi int) {
		s := intScratches.Get().(*intScratch)
		defer s.put()
		for u := lo; u < hi; u++ {
			fillWords(all.image[u*words:][:words], r.padding())
			r.pack(s, all.image[u*words:][:words], u)
		}
	})
	pairs := ceilDiv(vecs, 2)
	parts = min(parts, pairs)
	par.ForN(threads, units*parts, 1, func(lo, hi int) {
		s := intScratches.Get().(*intScratch)
		defer s.put()
		for i := lo; i < hi; i++ {
			u, part := i/parts, i%parts
			from, to := part*pairs/parts, (part+1)*pairs/parts
			r.tiles(s, all.image[u*words:][:words], u, 2*from, min(2*to, vecs))
		}
	})
}

// padding is the dword that stands for four or two zeros.
func (r *intConvRun) padding() uint32 {
	if r.f.kind == formBytes {
		return uint32(r.x.Grid.ZeroPoint) * 0x01010101
	}
	return 0
}

func fillWords(dst []uint32, v uint32) {
	const first = 64
	for i := range min(first, len(dst)) {
		dst[i] = v
	}
	for n := first; n < len(dst); n *= 2 {
		copy(dst[n:], dst[:n])
	}
}

// tileKind is the kind of tile for weights as rows.
func (f *intForm) tileKind() tileKind {
	if f.kind == formBytes {
		return tileUintB
	}
	return tileInt16
}

// stepTables are offsets of steps in bytes: one dword apart and one panel row apart.
var stepTables = func() (t struct{ dword, panel [KC]int }) {
	for i := range KC {
		t.dword[i], t.panel[i] = 4*i, 4*panelCols*i
	}
	return t
}()

// tiles computes the outputs of vectors [v0, v1) of unit u, an image and a group.
func (r *intConvRun) tiles(s *intScratch, img []uint32, u, v0, v1 int) {
	kg := r.c.kg()
	s.tile = tileArgs{rs: 4 * r.f.stride, c: unsafe.Pointer(&s.acc), ldc: 4 * panelCols}
	s.epi = intEpi{acc: unsafe.Pointer(&s.acc), inc: 4}
	s.epi.setGrid(&r.y)
	limit, _ := tileShape()
	part := evenRows(kg, limit)
	for v := v0; v < v1; v += 2 {
		vecs := r.plan.vecs[v:min(v+2, v1)]
		offB := r.columns(s, img, vecs)
		if r.few() {
			r.allRows(s, vecs, offB, u)
			continue
		}
		for row := 0; row < kg; row += part {
			r.tile(s, vecs, offB, u, row, min(part, kg-row))
		}
	}
}

// columns points the tile to the dwords of some vectors and returns the offsets of
// the steps. Without masks they are copied to a panel first.
func (r *intConvRun) columns(s *intScratch, img []uint32, vecs []intVec) []int {
	t := &s.tile
	if level < LevelAVX512 {
		s.panel = grow(s.panel, panelCols*r.f.steps)
		for i := range vecs {
			r.panel(s.panel[tileLanes*i:], img, &vecs[i])
			t.b[2*i], t.m[2*i] = unsafe.Pointer(&s.panel[tileLanes*i]), fullMask
		}
		return nil
	}
	for i, v := range vecs {
		first := min(v.first, v.n)
		base := unsafe.Pointer(&img[v.at])
		t.b[2*i], t.m[2*i] = base, columnMask(0, first)
		t.b[2*i+1], t.m[2*i+1] = base, columnMask(0, v.n)&^t.m[2*i]
		if v.n > first {
			t.b[2*i+1] = unsafe.Add(base, r.plan.gap)
		}
	}
	return r.plan.off
}

// panel copies the dwords of a vector, a row of a panel per step.
func (r *intConvRun) panel(dst, img []uint32, v *intVec) {
	first := min(v.first, v.n)
	for k, off := range r.plan.off {
		d, at := dst[panelCols*k:][:tileLanes], v.at+off/4
		// The image has slack behind it; what lies in no row counts nowhere.
		*(*[tileLanes]uint32)(d) = *(*[tileLanes]uint32)(img[at:])
		if v.n > first {
			copy(d[first:v.n], img[at+first+r.plan.gap/4:])
		}
	}
}

// tile computes rows channels, from row on, of some vectors.
func (r *intConvRun) tile(s *intScratch, vecs []intVec, offB []int, u, row, rows int) {
	ch := u%r.c.Groups*r.c.kg() + row
	e := &s.epi
	e.rows, e.prev = rows, nil
	for b := range r.p.d.Blocks {
		r.sums(s, len(vecs), offB, ch, rows, r.f.from[b], r.f.from[b+1])
		at := b*wide(r.p.n) + ch
		e.sub, e.scale = unsafe.Pointer(&r.f.sub[at]), unsafe.Pointer(&r.p.scale[at])
		if b < r.p.d.Blocks-1 {
			e.bias = unsafe.Pointer(&r.p.none[ch])
			e.toMid(s)
		}
	}
	e.bias = unsafe.Pointer(&r.bias[ch])
	r.mask(e, vecs)
	s.end(&r.y, r.at(vecs, u, ch), vecs[0].n, r.c.pixels(), false)
}

// fewSteps is the most steps that the kernel for few steps takes, and fewRows what
// bounds the time of one call.
const (
	fewSteps = 9
	fewRows  = 512
)

// few says that sums are so short that storing them would cost more than they do.
func (r *intConvRun) few() bool {
	return r.f.kind == formBytes && r.f.steps <= fewSteps && r.p.d.Blocks == 1
}

// allRows computes all channels of a group for some vectors of short sums.
func (r *intConvRun) allRows(s *intScratch, vecs []intVec, offB []int, u int) {
	t, e := &s.tile, &s.epi
	t.offB = &offB[0]
	if len(vecs) == 1 {
		t.m[2], t.m[3] = 0, 0
	}
	kg, most := r.c.kg(), fewRows
	if r.y.applies() {
		most = fnRows
	}
	for row := 0; row < kg; row += most {
		ch := u%r.c.Groups*kg + row
		t.a = unsafe.Pointer(&r.a[ch*r.f.stride])
		e.rows = min(most, kg-row)
		e.sub, e.scale, e.bias = unsafe.Pointer(&r.f.sub[ch]), unsafe.Pointer(&r.p.scale[ch]), unsafe.Pointer(&r.bias[ch])
		r.mask(e, vecs)
		e.place(&r.y, r.at(vecs, u, ch), vecs[0].n, r.c.pixels())
		if r.y.applies() {
			s.apply(&r.y, func() { e.few(false, t, r.f.steps) })
			continue
		}
		e.few(r.y.Codes != nil, t, r.f.steps)
	}
}

// at is the place of the first output of some vectors, in channel ch.
func (r *intConvRun) at(vecs []intVec, u, ch int) int {
	return (u/r.c.Groups*r.c.K+ch)*r.c.pixels() + vecs[0].pixel
}

// mask sets the outputs that some vectors have.
func (r *intConvRun) mask(e *intEpi, vecs []intVec) {
	e.mask[0], e.mask[1] = columnMask(0, vecs[0].n), 0
	if len(vecs) > 1 {
		e.mask[1] = columnMask(0, vecs[1].n)
	}
}

// sums computes steps [from, to) of a tile.
func (r *intConvRun) sums(s *intScratch, vectors int, offB []int, ch, rows, from, to int) {
	t := &s.tile
	t.add, t.offA = 0, &stepTables.dword[0]
	for k := from; k < to; k += KC {
		t.k, t.a = min(KC, to-k), unsafe.Pointer(&r.a[ch*r.f.stride+k])
		if offB != nil {
			t.offB = &offB[k]
		} else {
			t.b[0], t.offB = unsafe.Pointer(&s.panel[panelCols*k]), &stepTables.panel[0]
			t.b[2] = unsafe.Add(t.b[0], 4*tileLanes)
		}
		runTile(r.f.tileKind(), rows, vectors, t)
		t.add = 1
	}
}

// toMid scales the sums of a block that is not the last: numbers for the next one.
func (e *intEpi) toMid(s *intScratch) {
	out, ldo, mask := e.out, e.ldo, e.mask
	e.out = [2]unsafe.Pointer{unsafe.Pointer(&s.mid), unsafe.Pointer(&s.mid[tileLanes])}
	e.ldo, e.mask = 4*panelCols, [2]uint16{fullMask, fullMask}
	e.run(false, e.inc == 0)
	e.prev = unsafe.Pointer(&s.mid)
	e.out, e.ldo, e.mask = out, ldo, mask
}

// place points the epilogue to element at of y, with rows ld elements apart. The
// second vector's columns begin after first ones, where y has any.
func (e *intEpi) place(y *IntY, at, first, ld int) {
	if y.Codes != nil {
		e.ldo, e.out[0] = ld, unsafe.Pointer(&y.Codes[at])
		if at += first; at < len(y.Codes) {
			e.out[1] = unsafe.Pointer(&y.Codes[at])
		}
		return
	}
	e.ldo, e.out[0] = 4*ld, unsafe.Pointer(&y.Values[at])
	if at += first; at < len(y.Values) {
		e.out[1] = unsafe.Pointer(&y.Values[at])
	}
}

// portableConv is the definition: centred codes, the sums of intConv, one rounding.
func (p *IntProduct) portableConv(threads int, c *Conv, y IntY, x IntX, bias []float32) {
	p.portable(y, x, c.N*c.C*c.H*c.W, c.N*c.K*c.pixels(), bias, func(out []float32, x, w []int16, d Dequant) {
		intConv(threads, c, out, x, w, d)
	})
}

// portable runs sums on centred operands and rounds the result where it is codes.
func (p *IntProduct) portable(y IntY, x IntX, inputs, outputs int, bias []float32, sums func(out []float32, x, w []int16, d Dequant)) {
	xs, ws := borrow[int16](inputs), borrow[int16](p.count)
	defer giveBack(xs)
	defer giveBack(ws)
	x.centred(*xs)
	p.fill(*ws)
	d := p.d
	d.Bias = bias
	if y.Codes == nil {
		sums(y.Values, *xs, *ws, d)
		return
	}
	out := borrow[float32](outputs)
	defer giveBack(out)
	sums(*out, *xs, *ws, d)
	y.put(*out)
}
