package kern

import (
	"unsafe"

	"github.com/goqat/goqat/internal/par"
)

// Depthwise convolutions of bytes with one output channel for each input channel and windows
// of 3×3, 5×5 or 7×7: blocks of output rows share the rows of the input that they meet, which
// are read where they lie, and sums go to their results without being stored.

// intRows goes through planes. The assembly reads the fields by their offsets.
type intRows struct {
	x       unsafe.Pointer
	pad     unsafe.Pointer // 64 bytes that stand for 0
	rows    *int           // bytes from x to each row that a window meets; negative: a row of padding
	step    int            // bytes in rows from one output row to the next
	vecs    *intRowVec
	vectors int // of 16 outputs in a row
	col     int // bytes of the input from one to the next
	w       unsafe.Pointer
	perm    unsafe.Pointer // for each four columns of a window 16 int32: dwords of 64 bytes
	shuf    unsafe.Pointer // 64 bytes: bytes of 16
	out     unsafe.Pointer
	ldo     int // bytes between rows of out
	oh      int

	sub, scale, bias                     unsafe.Pointer // of the first plane's channel
	planes                               int            // at least 1
	stepX, stepW, stepOut, stepCh, stepV int            // bytes from one plane to the next; stepV: from 16 outputs to the next

	_    [5]int // of the assembly
	left int    // columns of padding before a row
}

// intRowVec are the columns of 16 outputs.
type intRowVec struct {
	bytes uint64 // of the 64 from the first one's window on that lie in the image
	outs  uint16 // outputs that exist
}

// intRowPlan is what planes of a convolution share. It is read-only once made.
type intRowPlan struct {
	rows []int
	vecs []intRowVec
	perm [2][tileLanes]int32
}

var intRowPlans planCache[Conv, intRowPlan]

func newIntRowPlan(c Conv) *intRowPlan {
	p := &intRowPlan{}
	for i := range (max(c.OH, depthBlock)-1)*c.Stride[0] + c.R {
		y := i - c.Pad[0]
		if y < 0 || y >= c.H {
			p.rows = append(p.rows, -1)
		} else {
			p.rows = append(p.rows, y*c.W)
		}
	}
	for j := 0; j < c.OW; j += tileLanes {
		v := intRowVec{outs: columnMask(0, c.OW-j)}
		for b := range 64 {
			if x := j*c.Stride[1] - c.Pad[1] + b; x >= 0 && x < c.W {
				v.bytes |= 1 << b
			}
		}
		p.vecs = append(p.vecs, v)
	}
	for g := range p.perm {
		for i, v := range depthTables[c.Stride[1]].perm {
			p.perm[g][i] = v + int32(g)
		}
	}
	return p
}

// byRows says that the kernels of intRows compute a depthwise convolution.
func (r *intConvRun) byRows() bool {
	return r.depthwise() && (r.c.R == 3 || r.c.R == 5 || r.c.R == 7) && r.c.square() && r.p.d.Blocks == 1
}

// intRowBytes is about how many codes are made of numbers at a time.
const intRowBytes = 16 << 10

// runRows computes plane by plane.
func (r *intConvRun) runRows(threads int) {
	c := r.c
	key := *c
	key.N, key.C, key.K, key.Groups = 0, 0, 0, 0
	plan := intRowPlans.get(key, newIntRowPlan)
	size, pixels, element := c.H*c.W, c.pixels(), 1
	numbers := r.y.Codes == nil || r.y.applies() // the kernel's results
	if numbers {
		element = 4
	}
	limit := max(1, min(depthLimit/(c.OH*len(plan.vecs)*c.R*ceilDiv(c.S, 4)), intRowBytes/size))
	par.ForN(threads, c.N*c.C, max(1, intGrain()/2/(c.taps()*pixels)), func(lo, hi int) {
		s := intScratches.Get().(*intScratch)
		defer s.put()
		s.rows = grow(s.rows, 64)
		fillBytes(s.rows, uint8(r.x.Grid.ZeroPoint))
		s.epi = intEpi{}
		s.epi.setGrid(&r.y)
		for u, n := lo, 0; u < hi; u += n {
			ch := u % c.C
			n = min(limit, hi-u, c.C-ch)
			src := s.plane(r.x.at(u*size, n*size))
			s.deep = intRows{x: unsafe.Pointer(&src[0]), pad: unsafe.Pointer(&s.rows[0]), rows: &plan.rows[0], step: 8 * c.Stride[0],
				vecs: &plan.vecs[0], vectors: len(plan.vecs), col: tileLanes * c.Stride[1], left: c.Pad[1],
				w: unsafe.Pointer(&r.a[ch*r.f.stride]), perm: unsafe.Pointer(&plan.perm), shuf: unsafe.Pointer(&depthTables[c.Stride[1]].shuf),
				ldo: c.OW * element, oh: c.OH, planes: n, stepX: size, stepW: 4 * r.f.stride, stepOut: pixels * element, stepCh: 4, stepV: tileLanes * element,
				sub: unsafe.Pointer(&r.f.sub[ch]), scale: unsafe.Pointer(&r.p.scale[ch]), bias: unsafe.Pointer(&r.bias[ch])}
			switch {
			case r.y.applies():
				s.real = grow(s.real, n*pixels)
				s.deep.out = unsafe.Pointer(&s.real[0])
			case numbers:
				s.deep.out = unsafe.Pointer(&r.y.Values[u*pixels])
			default:
				s.deep.out = unsafe.Pointer(&r.y.Codes[u*pixels])
			}
			s.deep.run(c, &s.epi, !numbers)
			if r.y.applies() {
				r.y.finish(r.y.Codes[u*pixels:][:n*pixels], s.real)
			}
		}
	})
}
