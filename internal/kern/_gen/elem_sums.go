package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// lanes64 are sixteen running float64 sums in four registers.
type lanes64 [4]VecVirtual

func loadLanes(p GPVirtual, off, vectors int) (l lanes64) {
	for i := range vectors {
		l[i] = load(Mem{Base: p, Disp: off + 32*i})
	}
	return l
}

func (l lanes64) store(p GPVirtual, off, vectors int) {
	for i := range vectors {
		VMOVUPS(l[i], Mem{Base: p, Disp: off + 32*i})
	}
}

// halves64 converts a vector of eight float32 in memory.
func halves64(m Mem) (lo, hi VecVirtual) {
	lo, hi = YMM(), YMM()
	VCVTPS2PD(m, lo)
	VCVTPS2PD(m.Offset(16), hi)
	return lo, hi
}

// split64 converts a register; it overwrites nothing.
func split64(v VecVirtual) (lo, hi VecVirtual) {
	lo, hi = YMM(), YMM()
	VCVTPS2PD(v.AsX(), lo)
	VEXTRACTF128(Imm(1), v, hi.AsX())
	VCVTPS2PD(hi.AsX(), hi)
	return lo, hi
}

func emitSums() {
	emitStats()
	for _, x := range []bool{false, true} {
		emitMaskedSum(x)
	}
	emitExtent("extentAVX2", "x", func(k *elemKernel, u int, p []GPVirtual) VecVirtual { return load(k.at(p[0], u)) })
	emitExtent("addExtentAVX2", "x, y", func(k *elemKernel, u int, p []GPVirtual) VecVirtual {
		v := load(k.at(p[0], u))
		VADDPS(k.at(p[1], u), v, v)
		return v
	})
	emitExtentRow()
	emitAddTo64()
}

// extentVecs are the running extremes and a vector that is NaN once something was not
// finite.
type extentVecs struct{ lo, hi, bad VecVirtual }

func newExtent() extentVecs {
	e := extentVecs{bits32(0x7f7fffff), bits32(0xff7fffff), zeroVec()}
	return e
}

func (e extentVecs) take(v VecVirtual, tail *VecVirtual) {
	t := YMM()
	if tail == nil {
		VMINPS(e.lo, v, e.lo)
		VMAXPS(e.hi, v, e.hi)
	} else { // lanes that do not exist keep what they have
		VBLENDVPS(*tail, v, e.lo, t)
		VMINPS(e.lo, t, e.lo)
		VBLENDVPS(*tail, v, e.hi, t)
		VMAXPS(e.hi, t, e.hi)
	}
	VSUBPS(v, v, t)
	VORPS(t, e.bad, e.bad)
}

// store reduces to out[0], out[1] and the result bad.
func (e extentVecs) store(out GPVirtual) {
	fold := func(v VecVirtual, op func(a, b, c Op), off int) {
		t := XMM()
		VEXTRACTF128(Imm(1), v, t)
		op(t, v.AsX(), v.AsX())
		VPERMILPS(Imm(0x4e), v.AsX(), t)
		op(t, v.AsX(), v.AsX())
		VPERMILPS(Imm(0xb1), v.AsX(), t)
		op(t, v.AsX(), v.AsX())
		VMOVSS(v.AsX(), Mem{Base: out, Disp: off})
	}
	fold(e.lo, func(a, b, c Op) { VMINPS(a, b, c) }, 0)
	fold(e.hi, func(a, b, c Op) { VMAXPS(a, b, c) }, 4)
	VCMPPS(Imm(cmpUNORD), e.bad, e.bad, e.bad)
	b := GP32()
	VMOVMSKPS(e.bad, b)
	Store(b, ReturnIndex(0))
}

func emitExtent(name, args string, value func(k *elemKernel, u int, p []GPVirtual) VecVirtual) {
	k := beginElem(name, "func("+args+" *float32, n int, out *float32) uint32", name+" writes the smallest and largest value; the result is 0 if all are finite.")
	p := []GPVirtual{ptr("x")}
	if args != "x" {
		p = append(p, ptr("y"))
	}
	out := ptr("out")
	even, odd := newExtent(), newExtent()
	k.loop2(2, func() {
		even.take(value(k, 0, p), nil)
		odd.take(value(k, 1, p), nil)
	}, func() { even.take(value(k, 0, p), nil) })
	VMINPS(odd.lo, even.lo, even.lo)
	VMAXPS(odd.hi, even.hi, even.hi)
	VORPS(odd.bad, even.bad, even.bad)
	even.store(out)
	endElem()
}

// emitExtentRow keeps extremes for each column.
func emitExtentRow() {
	k := beginElem("extentRowAVX2", "func(lo, hi, x *float32, n int)", "extentRowAVX2 takes x into lo and hi, element by element.")
	lo, hi, x := ptr("lo"), ptr("hi"), ptr("x")
	k.loop(2, func(u int) {
		v, t := load(k.at(x, u)), YMM()
		VMOVUPS(k.at(lo, u), t)
		VMINPS(t, v, t)
		VMOVUPS(t, k.at(lo, u))
		VMOVUPS(k.at(hi, u), t)
		VMAXPS(t, v, t)
		VMOVUPS(t, k.at(hi, u))
	})
	endElem()
}

func emitStats() {
	k := beginElem("statsAVX2", "func(x *float32, n, planes, stride int, lanes *float64, out *float32) uint32", "statsAVX2 adds planes of n elements, stride elements apart, and their squares to the lanes and writes the extremes as extentAVX2 does.")
	x, lanes, out := ptr("x"), ptr("lanes"), ptr("out")
	a, b := loadLanes(lanes, 0, 4), loadLanes(lanes, 128, 4)
	e := newExtent()
	part := func(u int, tail *VecVirtual) {
		v := get(k.at(x, u), tail)
		e.take(v, tail)
		lo, hi := split64(v)
		VADDPD(lo, a[2*u], a[2*u])
		VFMADD231PD(lo, lo, b[2*u]) // the product is exact, so it fuses without a difference
		VADDPD(hi, a[2*u+1], a[2*u+1])
		VFMADD231PD(hi, hi, b[2*u+1])
	}
	k.pairs([]GPVirtual{x}, GP64(), part, nil, nil)
	a.store(lanes, 0, 4)
	b.store(lanes, 128, 4)
	e.store(out)
	endElem()
}

// pairs calls part for the two vectors of every sixteen elements of every plane, and next
// behind them. n need not be a multiple of 16; the last vectors are cut, and left is the
// number of their elements. Behind each plane the pointers move on and again is called.
func (k *elemKernel) pairs(pointers []GPVirtual, left GPVirtual, part func(u int, tail *VecVirtual), next, again func()) {
	end := GP64()
	planes, stride := ptr("planes"), ptr("stride")
	ahead := make([]GPVirtual, len(pointers))
	for i := range ahead {
		ahead[i] = GP64()
	}
	Label("plane")
	XORQ(k.i, k.i)
	for i, p := range pointers {
		LEAQ(Mem{Base: p, Index: stride, Scale: 4}, ahead[i])
	}
	Label("pair")
	LEAQ(Mem{Base: k.i, Disp: 16}, end)
	CMPQ(end, k.n)
	JA(LabelRef("tail"))
	for _, p := range ahead { // the processor does not see the next plane coming
		PREFETCHT0(k.at(p, 0))
	}
	part(0, nil)
	part(1, nil)
	if next != nil {
		next()
	}
	MOVQ(end, k.i)
	JMP(LabelRef("pair"))
	Label("tail")
	MOVQ(k.n, left)
	SUBQ(k.i, left)
	JZ(LabelRef("done"))
	for u := range 2 {
		count := GP64()
		MOVQ(left, count)
		SUBQ(Imm(uint64(8*u)), count)
		m := tailMask(count)
		part(u, &m)
	}
	Label("done")
	for i, p := range pointers {
		MOVQ(ahead[i], p)
	}
	if again != nil {
		again()
	}
	DECQ(planes)
	JNZ(LabelRef("plane"))
}

// bitVec is 1<<lane in each lane: masks are spread by testing these bits.
func bitVec() VecVirtual {
	if !bitsDone {
		m := GLOBL("elemBits", RODATA|NOPTR)
		for i := range 8 {
			DATA(4*i, U32(1<<i))
		}
		bitsAt, bitsDone = m, true
	}
	return load(bitsAt)
}

var (
	bitsAt   Mem
	bitsDone bool
)

// spread writes all ones to the lanes of v whose bit is set in the mask byte at m.
func spread(m Mem, bits, v VecVirtual) {
	VPBROADCASTB(m, v)
	VPAND(bits, v, v)
	VPCMPEQD(bits, v, v)
}

// emitMaskedSum adds where a bit is set; mask may be nil.
func emitMaskedSum(product bool) {
	name, args := "maskedSumAVX2", "dy *float32, n, planes, stride int, lanes *float64, mask *uint8, maskStride int"
	if product {
		name, args = "maskedSumsAVX2", "dy, x *float32, n, planes, stride int, lanes *float64, mask *uint8, maskStride int"
	}
	k := beginElem(name, "func("+args+")", name+" adds planes of dy (and dy*x), stride elements apart, to the lanes where the bit is set; mask may be nil.")
	dy, lanes, mask := ptr("dy"), ptr("lanes"), ptr("mask")
	var x GPVirtual
	if product {
		x = ptr("x")
	}
	bv, m, left := bitVec(), bits32(^uint32(0)), GP64()
	a, b := loadLanes(lanes, 0, 4), lanes64{}
	if product {
		b = loadLanes(lanes, 128, 4)
	}
	j := GP64()
	XORQ(j, j)
	part := func(u int, tail *VecVirtual) {
		id := newLabel()
		TESTQ(mask, mask)
		JZ(LabelRef("nomask" + id))
		if tail != nil { // the second byte of a tail may not exist
			CMPQ(left, Imm(uint64(8*u)))
			JLE(LabelRef("nomask" + id))
		}
		spread(Mem{Base: mask, Index: j, Scale: 1, Disp: u}, bv, m)
		Label("nomask" + id)
		d := get(k.at(dy, u), tail)
		VANDPS(m, d, d)
		lo, hi := split64(d)
		VADDPD(lo, a[2*u], a[2*u])
		VADDPD(hi, a[2*u+1], a[2*u+1])
		if product {
			v := get(k.at(x, u), tail)
			VANDPS(m, v, v)
			vlo, vhi := split64(v)
			VFMADD231PD(lo, vlo, b[2*u]) // exact products, as in statsAVX2
			VFMADD231PD(hi, vhi, b[2*u+1])
		}
	}
	moving := []GPVirtual{dy}
	if product {
		moving = append(moving, x)
	}
	k.pairs(moving, left, part, func() { ADDQ(Imm(2), j) }, func() {
		XORQ(j, j)
		id := newLabel()
		TESTQ(mask, mask)
		JZ(LabelRef("nomask" + id))
		ADDQ(paramMem("maskStride"), mask)
		Label("nomask" + id)
	})
	a.store(lanes, 0, 4)
	if product {
		b.store(lanes, 128, 4)
	}
	endElem()
}

func emitAddTo64() {
	k := beginElem("addTo64AVX2", "func(sums *float64, x *float32, n int)", "addTo64AVX2 adds x to sums.")
	sums, x := ptr("sums"), ptr("x")
	k.loop(1, func(int) {
		lo, hi := halves64(k.at(x, 0))
		to := Mem{Base: sums, Index: k.i, Scale: 8}
		VADDPD(to, lo, lo)
		VMOVUPD(lo, to)
		VADDPD(to.Offset(32), hi, hi)
		VMOVUPD(hi, to.Offset(32))
	})
	endElem()
}
