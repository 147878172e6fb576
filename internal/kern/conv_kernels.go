package kern

// Which small kernels stand around the tiles of a convolution?

import "unsafe"

//go:generate go -C _gen run . -set conv -out ../conv_amd64.s -stubs ../conv_stubs_amd64.go

// The small kernels around the tiles of a convolution: what moves rows of dwords,
// packs panels, runs a single row of weights over an image, and sums by lanes. The
// methods called goX are portable and say what the assembly computes, bit for bit.

// rowArgs moves rows of cols dwords; steps are bytes from one row to the next. It
// goes through planes, too, which lie planeA, planeB and planeC bytes apart. The
// assembly changes the pointers.
type rowArgs struct {
	a, b, c             unsafe.Pointer
	stepA, stepB, stepC int
	rows                int
	full                int            // whole vectors (or pairs) in a row; set by masks
	table               unsafe.Pointer // [2][16]uint32, the permutations of a pair
	mask                [4]uint16      // of the rest of a row: a, b, and the two vectors of c
	planes              int            // at least 1

	planeA, planeB, planeC int
}

// eachRow calls fn with the operands of each row.
func (r *rowArgs) eachRow(fn func(a, b, c unsafe.Pointer)) {
	for p := range r.planes {
		for i := range r.rows {
			fn(unsafe.Add(r.a, p*r.planeA+i*r.stepA), unsafe.Add(r.b, p*r.planeB+i*r.stepB), unsafe.Add(r.c, p*r.planeC+i*r.stepC))
		}
	}
}

var (
	splitTable = pairTable(func(i int) uint32 { return uint32(2 * i % 32) }, 1)
	mergeTable = pairTable(func(i int) uint32 { return uint32(i/2 + i%2*16) }, 16)
)

// pairTable fills both tables: i counts lanes from 0 in the first and from 0 or 16 in the
// second, which for the split is the first shifted by one dword.
func pairTable(at func(i int) uint32, second int) (t [2][vecLanes]uint32) {
	for i := range t[0] {
		t[0][i] = at(i)
		if second == 1 {
			t[1][i] = at(i) + 1
		} else {
			t[1][i] = at(i + second)
		}
	}
	return t
}

// dwords views n dwords at p.
func dwords(p unsafe.Pointer, n int) []uint32 { return unsafe.Slice((*uint32)(p), n) }

// goCopy writes rows of c to a.
func (r *rowArgs) goCopy(cols int) {
	r.eachRow(func(a, _, c unsafe.Pointer) { copy(dwords(a, cols), dwords(c, cols)) })
}

// goSplit writes the even dwords of rows of c to a and the odd ones to b.
func (r *rowArgs) goSplit(cols int) {
	r.eachRow(func(a, b, c unsafe.Pointer) {
		even, odd := dwords(a, (cols+1)/2), dwords(b, cols/2)
		for j, v := range dwords(c, cols) {
			if j%2 == 0 {
				even[j/2] = v
			} else {
				odd[j/2] = v
			}
		}
	})
}

// goMerge writes rows of a to the even dwords of c and rows of b to the odd ones.
func (r *rowArgs) goMerge(cols int) {
	r.eachRow(func(a, b, c unsafe.Pointer) {
		even, odd, dst := dwords(a, (cols+1)/2), dwords(b, cols/2), dwords(c, cols)
		for j := range dst {
			if j%2 == 0 {
				dst[j] = even[j/2]
			} else {
				dst[j] = odd[j/2]
			}
		}
	})
}

// masks sets full and mask for rows of cols dwords of c, moved one vector or two
// at a time.
func (r *rowArgs) masks(cols, vectors int) {
	r.full = cols / (vectors * vecLanes)
	rest := cols % (vectors * vecLanes)
	r.mask = [4]uint16{columnMask(0, rest)}
	if vectors == 2 {
		r.mask = [4]uint16{columnMask(0, (rest+1)/2), columnMask(0, rest/2), columnMask(0, rest), columnMask(1, rest)}
	}
}

// stripArgs is rows of packed weights over a list of pairs of vectors, with C written
// as tiles write it (see tileArgs). The first vector of a pair is full, and the second
// one's pixels follow. The assembly changes n and ahead.
type stripArgs struct {
	k    int            // steps, 1 to KC
	w    unsafe.Pointer // [k][rows]float32
	offB *int           // [k], bytes
	vecs *pixVec
	n    int            // pairs
	base unsafe.Pointer // of the vectors' places
	c    unsafe.Pointer // C of pixel 0
	ldc  int            // bytes from one row of C to the next
	bias unsafe.Pointer // nil, or one float32 per row, added last
	add  int            // 1: C += sum, 0: C = sum

	ahead unsafe.Pointer // what to bring into the cache while computing
	lines int            // and how many cache lines of it per pair, all inside it
}

func (s *stripArgs) goStrip(rows int) {
	t := tileArgs{k: s.k, a: s.w, rs: 4, offA: packedSteps(rows), offB: s.offB, ldc: s.ldc, bias: s.bias, add: s.add}
	vecs := unsafe.Slice(s.vecs, 2*s.n)
	for i := 0; i < len(vecs); i += 2 {
		t.setVector(0, &vecs[i], s.base)
		t.setVector(1, &vecs[i+1], s.base)
		t.c = unsafe.Add(s.c, 4*vecs[i].first)
		tileGo(tileFloat, rows, 2, &t)
	}
}

// sweepArgs is one row of k weights over a list of vectors: each pixel of c is one
// chain over the steps, plus the bias. It goes through planes with weights, biases
// and outputs of their own; steps are in bytes. The assembly changes the pointers.
type sweepArgs struct {
	k      int
	w      unsafe.Pointer // [k] float32
	b      unsafe.Pointer
	offB   *int // [k], bytes
	vecs   *pixVec
	n      int
	c      unsafe.Pointer
	bias   unsafe.Pointer // one float32, or nil with stepBias 0
	planes int            // at least 1

	stepW, stepB, stepC, stepBias int

	bits unsafe.Pointer // laneBits, for AVX2
}

func (s *sweepArgs) goSweep() {
	offB, vecs := unsafe.Slice(s.offB, s.k), unsafe.Slice(s.vecs, s.n)
	for p := range s.planes {
		w := unsafe.Slice((*float32)(unsafe.Add(s.w, p*s.stepW)), s.k)
		for i := range vecs {
			v := &vecs[i]
			for l := range v.n {
				b := unsafe.Add(s.b, p*s.stepB+v.lane(l))
				var sum float32
				for k, e := range w {
					sum = fma32(e, *(*float32)(unsafe.Add(b, offB[k])), sum)
				}
				if s.bias != nil {
					sum += *(*float32)(unsafe.Add(s.bias, p*s.stepBias))
				}
				*(*float32)(unsafe.Add(s.c, p*s.stepC+4*(v.first+l))) = sum
			}
		}
	}
}

// lane is the place of lane l in bytes.
func (v *pixVec) lane(l int) int {
	if v.mask[1]>>l&1 != 0 {
		return v.off[1] + 4*l
	}
	return v.off[0] + 4*l
}

const (
	laneRows = 8 // the most rows of one kernel
	laneCols = 3
)

// laneArgs sums by lanes: to lane l of sum row i, column j, is added the chain over
// the vectors of dy(row i, lane l)·x(column j, lane l). Lanes without a pixel count as 0.
type laneArgs struct {
	n       int
	vecs    *pixVec
	x       [laneCols]unsafe.Pointer
	dy      unsafe.Pointer // row i starts i*step bytes further
	step    int
	sum     unsafe.Pointer // [laneCols][16]float32 for each row
	sumStep int            // bytes between rows of sum
	bits    unsafe.Pointer // laneBits, for AVX2
}

// laneBits are the lanes as bits.
var laneBits = func() (bits [vecLanes]uint32) {
	for l := range bits {
		bits[l] = 1 << l
	}
	return bits
}()

func (s *laneArgs) goLanes(rows int) {
	vecs := unsafe.Slice(s.vecs, s.n)
	for i := range rows {
		for j, x := range s.x {
			sum := (*[vecLanes]float32)(unsafe.Add(s.sum, i*s.sumStep+64*j))
			for l := range sum {
				var chain float32
				for k := range vecs {
					v := &vecs[k]
					if l >= v.n {
						chain += 0
						continue
					}
					d := *(*float32)(unsafe.Add(s.dy, i*s.step+4*(v.first+l)))
					chain = fma32(d, *(*float32)(unsafe.Add(x, v.lane(l))), chain)
				}
				sum[l] += chain
			}
		}
	}
}

// nineTaps is the number of taps that have kernels of their own for depthwise
// convolutions: those of 3×3.
const nineTaps = 9

// nineArgs is laneArgs for one row and nine columns, and goes through planes.
// Steps are in bytes. The assembly changes the pointers.
type nineArgs struct {
	n      int
	vecs   *pixVec
	x      unsafe.Pointer
	offB   *int // [9], bytes from x to each column
	dy     unsafe.Pointer
	sum    unsafe.Pointer // [9][16]float32
	planes int            // at least 1

	stepX, stepDY, stepSum int
}

func (s *nineArgs) byThree() {
	off := unsafe.Slice(s.offB, nineTaps)
	for p := range s.planes {
		x := unsafe.Add(s.x, p*s.stepX)
		a := laneArgs{n: s.n, vecs: s.vecs, dy: unsafe.Add(s.dy, p*s.stepDY)}
		for j := 0; j < nineTaps; j += laneCols {
			a.x = [laneCols]unsafe.Pointer{unsafe.Add(x, off[j]), unsafe.Add(x, off[j+1]), unsafe.Add(x, off[j+2])}
			a.sum = unsafe.Add(s.sum, p*s.stepSum+4*vecLanes*j)
			a.lanes(1)
		}
	}
}

// goAddLanes writes the sum of each sixteen lanes of src to dst.
func goAddLanes(dst, src []float32) {
	for i := range dst {
		dst[i] = addLanes(src[i*vecLanes:])
	}
}

// panelArgs packs an operand of tiles: for each step, runs of neighbouring dwords
// become one row of the panel. A run is written as a whole vector, so runs must come in
// the order of their places, and what lies behind the last one is overwritten, too.
type panelArgs struct {
	k    int
	offB *int // [k], bytes
	dst  unsafe.Pointer
	row  int // bytes from one row of the panel to the next
	runs *panelRun
	n    int
}

// panelRun is up to 16 dwords, on AVX2 up to 8.
type panelRun struct {
	src   unsafe.Pointer
	dst   int // bytes from the start of a row
	mask  uint16
	masks *[8]int32 // the mask for AVX2
}

func (p *panelArgs) goPanel(lanes int) {
	for k, off := range unsafe.Slice(p.offB, p.k) {
		for _, r := range unsafe.Slice(p.runs, p.n) {
			dst := dwords(unsafe.Add(p.dst, k*p.row+r.dst), lanes)
			for l := range dst {
				dst[l] = 0
				if r.mask>>l&1 != 0 {
					dst[l] = *(*uint32)(unsafe.Add(r.src, off+4*l))
				}
			}
		}
	}
}

// runMasks are the AVX2 masks of runs of 0 to 8 dwords.
var runMasks = func() (m [9][8]int32) {
	for n := range m {
		for l := range n {
			m[n][l] = -1
		}
	}
	return m
}()
