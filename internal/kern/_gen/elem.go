package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// Set elem: elementwise kernels in AVX2 on vectors of eight float32. They take n, a
// positive number of elements: a multiple of 8, but any number where the kernel uses
// loopTail. Slices are passed by their first element.
func init() {
	sets["elem"] = func() {
		emitFused()
		emitSums()
		emitSums512()
		emitBackward()
		emitQuant()
		emitColumns()
		emitCodes()
		emitElementwise()
		emitPool()
		emitSolvers()
	}
}

// Predicates of VCMPPS.
const (
	cmpEQ    = 0x00 // equal, ordered
	cmpUNORD = 0x03 // one is NaN
	cmpLT    = 0x11 // below, ordered
	cmpLE    = 0x12 // at most, ordered
	cmpGE    = 0x1d // at least, ordered
	cmpGT    = 0x1e // above, ordered
)

// elemKernel is the frame of one kernel: pointers by name, and the loop's index.
type elemKernel struct {
	i, n  GPVirtual
	lanes int // of a vector
}

// beginElem starts a function and loads n.
func beginElem(name, signature, doc string) *elemKernel {
	TEXT(name, NOSPLIT, signature)
	Doc(doc)
	Pragma("noescape")
	return &elemKernel{i: GP64(), n: Load(Param("n"), GP64()).(GPVirtual), lanes: 8}
}

func endElem() {
	VZEROUPPER()
	RET()
}

func ptr(name string) GPVirtual { return Load(Param(name), GP64()).(GPVirtual) }

// at is vector u behind element i of p.
func (k *elemKernel) at(p GPVirtual, u int) Mem {
	return Mem{Base: p, Index: k.i, Scale: 4, Disp: 4 * k.lanes * u}
}

// vector returns a vector register of the kernel's size.
func (k *elemKernel) vector() VecVirtual {
	if k.lanes == 16 {
		return ZMM()
	}
	return YMM()
}

// loop calls body for unroll vectors at a time, then one at a time.
func (k *elemKernel) loop(unroll int, body func(u int)) {
	k.loop2(unroll, func() {
		for u := range unroll {
			body(u)
		}
	}, func() { body(0) })
}

// loop2 is loop with bodies of their own for unroll vectors and for one.
func (k *elemKernel) loop2(unroll int, many, one func()) {
	id := newLabel()
	XORQ(k.i, k.i)
	end := GP64()
	if unroll > 1 {
		Label("main" + id)
		LEAQ(Mem{Base: k.i, Disp: k.lanes * unroll}, end)
		CMPQ(end, k.n)
		JA(LabelRef("rest" + id))
		many()
		MOVQ(end, k.i)
		JMP(LabelRef("main" + id))
	}
	Label("rest" + id)
	CMPQ(k.i, k.n)
	JAE(LabelRef("done" + id))
	one()
	ADDQ(Imm(uint64(k.lanes)), k.i)
	JMP(LabelRef("rest" + id))
	Label("done" + id)
}

// loopTail calls body for every vector, two in a round. n need not be a multiple of 8:
// for the last elements body gets the lanes that exist, before that nil.
func (k *elemKernel) loopTail(body func(tail *VecVirtual)) {
	id, end := newLabel(), GP64()
	XORQ(k.i, k.i)
	Label("pair" + id)
	LEAQ(Mem{Base: k.i, Disp: 16}, end)
	CMPQ(end, k.n)
	JA(LabelRef("vector" + id))
	for range 2 {
		body(nil)
		ADDQ(Imm(8), k.i)
	}
	JMP(LabelRef("pair" + id))
	Label("vector" + id)
	LEAQ(Mem{Base: k.i, Disp: 8}, end)
	CMPQ(end, k.n)
	JA(LabelRef("tail" + id))
	body(nil)
	MOVQ(end, k.i)
	Label("tail" + id)
	CMPQ(k.i, k.n)
	JE(LabelRef("done" + id))
	m := k.left(0)
	body(&m)
	Label("done" + id)
}

// planes repeats a pass over n elements for as many planes as the parameter says: start
// runs before each, and the pointers move to the next behind it.
func (k *elemKernel) planes(pointers []GPVirtual, start, pass func()) {
	count := Load(Param("planes"), GP64()).(GPVirtual)
	Label("plane")
	if start != nil {
		start()
	}
	pass()
	for _, p := range pointers {
		LEAQ(Mem{Base: p, Index: k.n, Scale: 4}, p)
	}
	DECQ(count)
	JNZ(LabelRef("plane"))
}

// left returns the lanes of vector u behind element i that exist.
func (k *elemKernel) left(u int) VecVirtual {
	count := GP64()
	MOVQ(k.n, count)
	SUBQ(k.i, count)
	if u > 0 {
		SUBQ(Imm(uint64(8*u)), count)
	}
	return tailMask(count)
}

// get loads the vector at m, only the lanes of tail if it is not nil; put stores it.
func get(m Mem, tail *VecVirtual) VecVirtual {
	if tail == nil {
		return load(m)
	}
	v := YMM()
	VMASKMOVPS(m, *tail, v)
	return v
}

func put(v VecVirtual, m Mem, tail *VecVirtual) {
	if tail == nil {
		VMOVUPS(v, m)
		return
	}
	VMASKMOVPS(v, *tail, m)
}

// tailTable is eight lanes of ones, then eight of zeros.
func tailTable() Mem {
	if !tailDone {
		tailAt, tailDone = GLOBL("elemTail", RODATA|NOPTR), true
		for i := range 16 {
			DATA(4*i, U32([]uint32{^uint32(0), 0}[i/8]))
		}
	}
	return tailAt
}

var (
	tailAt   Mem
	tailDone bool
)

// tailMask returns the first count lanes; count is limited to 0..8 and overwritten.
func tailMask(count GPVirtual) VecVirtual {
	limit, v := GP64(), YMM()
	XORQ(limit, limit)
	CMPQ(count, limit)
	CMOVQLT(limit, count)
	MOVQ(U32(8), limit)
	CMPQ(count, limit)
	CMOVQGT(limit, count)
	LEAQ(tailTable(), limit)
	SHLQ(Imm(2), count)
	SUBQ(count, limit)
	VMOVUPS(Mem{Base: limit, Disp: 32}, v)
	return v
}

var labels int

func newLabel() string {
	labels++
	s := ""
	for v := labels; v > 0; v /= 10 {
		s = string(rune('0'+v%10)) + s
	}
	return s
}

// bcast loads the float32 at byte offset off of p into all lanes.
func bcast(p GPVirtual, off int) VecVirtual {
	v := YMM()
	VBROADCASTSS(Mem{Base: p, Disp: off}, v)
	return v
}

// bits32 is a constant in all lanes.
func bits32(b uint32) VecVirtual {
	g, v := GP32(), YMM()
	MOVL(U32(b), g)
	VMOVD(g, v.AsX())
	VPBROADCASTD(v.AsX(), v)
	return v
}

func zeroVec() VecVirtual {
	v := YMM()
	VXORPS(v, v, v)
	return v
}

// roundMagic is kern.roundMagic.
func roundMagic() VecVirtual { return bits32(math.Float32bits(12582912)) }

func load(m Mem) VecVirtual {
	v := YMM()
	VMOVUPS(m, v)
	return v
}
