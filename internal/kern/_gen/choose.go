package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// Set choose: comparisons and choices, on n elements, a multiple of 8, and extremes of rows
// of any length.
func init() {
	sets["choose"] = func() {
		emitCompare()
		emitSelect()
		emitLimitOne()
		emitRowFind()
		emitGiveOnce()
		for _, lanes := range []int{8, 16} {
			emitRowExtreme(lanes, "rowLargest", "largest", VMAXPS, 0xff800000)
			emitRowExtreme(lanes, "rowSmallest", "smallest", VMINPS, 0x7f800000)
		}
	}
}

// cmpNEQ is the predicate of VCMPPS for not equal, true with NaN.
const cmpNEQ = 0x04

func one32() VecVirtual { return bits32(0x3f800000) }

func emitCompare() {
	for _, c := range []struct {
		name string
		code int
		two  bool
	}{
		{"less", cmpLT, true}, {"lessEqual", cmpLE, true}, {"equal", cmpEQ, true}, {"notEqual", cmpNEQ, true},
		{"greater", cmpGT, false}, {"greaterEqual", cmpGE, false},
	} {
		if c.two {
			k := beginElem(c.name+"AVX2", "func(dst, a, b *float32, n int)", c.name+"AVX2 writes 1 where a is in this relation to b, else 0.")
			dst, a, b, one := ptr("dst"), ptr("a"), ptr("b"), one32()
			k.loop(2, func(u int) {
				v := load(k.at(a, u))
				VCMPPS(Imm(uint64(c.code)), k.at(b, u), v, v)
				VANDPS(one, v, v)
				VMOVUPS(v, k.at(dst, u))
			})
			endElem()
		}
		k := beginElem(c.name+"OneAVX2", "func(dst, a *float32, n int, b float32)", c.name+"OneAVX2 writes 1 where a is in this relation to one b, else 0.")
		dst, a, b, one := ptr("dst"), ptr("a"), paramVec("b"), one32()
		k.loop(2, func(u int) {
			v := load(k.at(a, u))
			VCMPPS(Imm(uint64(c.code)), b, v, v)
			VANDPS(one, v, v)
			VMOVUPS(v, k.at(dst, u))
		})
		endElem()
	}
}

func emitSelect() {
	for _, s := range []struct {
		name   string
		da, db bool
	}{{"select", true, true}, {"selectRightOne", true, false}, {"selectLeftOne", false, true}, {"selectOnes", false, false}} {
		k := beginElem(s.name+"AVX2", "func(dst, cond, a, b *float32, n int)", s.name+"AVX2 writes a where cond is not 0, else b.")
		dst, cond, a, b, zero := ptr("dst"), ptr("cond"), ptr("a"), ptr("b"), zeroVec()
		side := func(p GPVirtual, moves bool) func(u int) VecVirtual {
			if moves {
				return func(u int) VecVirtual { return load(k.at(p, u)) }
			}
			v := bcast(p, 0)
			return func(int) VecVirtual { return v }
		}
		left, right := side(a, s.da), side(b, s.db)
		k.loop(2, func(u int) {
			m := load(k.at(cond, u))
			VCMPPS(Imm(cmpNEQ), zero, m, m)
			x, y, v := left(u), right(u), YMM()
			VBLENDVPS(m, x, y, v)
			VMOVUPS(v, k.at(dst, u))
		})
		endElem()
	}
}

// emitLimitOne emits smaller and larger of emitQuotients for one b.
func emitLimitOne() {
	k := beginElem("smallerOneAVX2", "func(dst, a *float32, n int, b float32)", "smallerOneAVX2 writes Go's min of a and one b.")
	dst, a, b := ptr("dst"), ptr("a"), paramVec("b")
	k.loop(2, func(u int) {
		x, v := load(k.at(a, u)), YMM()
		VMINPS(x, b, v)
		VMINPS(b, x, x)
		VORPS(x, v, v)
		VMOVUPS(v, k.at(dst, u))
	})
	endElem()
	k = beginElem("largerOneAVX2", "func(dst, a *float32, n int, b float32)", "largerOneAVX2 writes Go's max of a and one b.")
	dst, a, b = ptr("dst"), ptr("a"), paramVec("b")
	k.loop(2, func(u int) {
		x, v, nan := load(k.at(a, u)), YMM(), YMM()
		VCMPPS(Imm(cmpUNORD), x, b, nan)
		VMAXPS(x, b, v)
		VMAXPS(b, x, x)
		VANDPS(x, v, v)
		VORPS(nan, v, v)
		VMOVUPS(v, k.at(dst, u))
	})
	endElem()
}

// emitRowFind stops at the first vector with an element that is v or NaN.
func emitRowFind() {
	TEXT("rowFindAVX2", NOSPLIT, "func(x *float32, n int, v float32) int")
	Doc("rowFindAVX2 returns how many elements, whole vectors, come before the first that has v or NaN.")
	Pragma("noescape")
	k := &elemKernel{i: GP64(), n: Load(Param("n"), GP64()).(GPVirtual), lanes: 8}
	x, v := ptr("x"), paramVec("v")
	XORQ(k.i, k.i)
	Label("find")
	CMPQ(k.i, k.n)
	JAE(LabelRef("found"))
	w, nan, bits := load(k.at(x, 0)), YMM(), GP32()
	VCMPPS(Imm(cmpUNORD), w, w, nan)
	VCMPPS(Imm(cmpEQ), v, w, w)
	VORPS(nan, w, w)
	VMOVMSKPS(w, bits)
	TESTL(bits, bits)
	JNE(LabelRef("found"))
	ADDQ(Imm(8), k.i)
	JMP(LabelRef("find"))
	Label("found")
	VZEROUPPER()
	Store(k.i, ReturnIndex(0))
	RET()
}

func emitGiveOnce() {
	k := beginElem("giveOnceAVX2", "func(dx, left, x, top *float32, n int)", "giveOnceAVX2 moves left to dx where x is top or NaN, else writes 0.")
	dx, left, x, top := ptr("dx"), ptr("left"), ptr("x"), ptr("top")
	k.loop(2, func(u int) {
		v, nan, l := load(k.at(x, u)), YMM(), load(k.at(left, u))
		VCMPPS(Imm(cmpUNORD), v, v, nan)
		VCMPPS(Imm(cmpEQ), k.at(top, u), v, v)
		VORPS(nan, v, v)
		VANDPS(l, v, nan)
		VMOVUPS(nan, k.at(dx, u))
		VANDNPS(l, v, v)
		VMOVUPS(v, k.at(left, u))
	})
	endElem()
}

// emitRowExtreme: the instruction gives its second operand, the running extreme, where the
// element is NaN; a mask remembers those, and a NaN is written in the end. Adding 0 takes the
// sign off a zero.
func emitRowExtreme(lanes int, name, what string, best func(...Op), start uint32) {
	k := beginRows(name, lanes, "x *float32, n, rows int, out *float32", "writes the "+what+" element of each row, NaN if there is one, +0 for a zero.")
	x, out := ptr("x"), ptr("out")
	none, top := k.vector(), k.vector()
	g := GP32()
	MOVL(U32(start), g)
	VMOVD(g, none.AsX())
	VBROADCASTSS(none.AsX(), none)
	nans, found := YMM(), K() // of one of the two kinds of vectors each
	k.all([]GPVirtual{x}, func() {
		VMOVAPS(none, top)
		if lanes == 16 {
			KXORW(found, found, found)
		} else {
			VXORPS(nans, nans, nans)
		}
		k.each(func(at part) {
			v := k.get(x, at)
			switch {
			case at.ends == nil:
			case lanes == 16:
				VBLENDMPS(v, none, at.ends.k, v)
			default:
				VBLENDVPS(at.mask(), v, none, v)
			}
			best(top, v, top)
			if lanes == 16 {
				m := K()
				VCMPPS(Imm(cmpUNORD), v, v, m)
				KORW(m, found, found)
			} else {
				VCMPPS(Imm(cmpUNORD), v, v, v)
				VORPS(v, nans, nans)
			}
		})
		t, y := YMM(), top.AsY().(VecVirtual)
		if lanes == 16 {
			VEXTRACTF32X8(Imm(1), top, t)
			best(t, y, y)
		}
		VEXTRACTF128(Imm(1), y, t.AsX())
		best(t.AsX(), y.AsX(), y.AsX())
		VPERMILPS(Imm(0x4e), y.AsX(), t.AsX())
		best(t.AsX(), y.AsX(), y.AsX())
		VPERMILPS(Imm(0xb1), y.AsX(), t.AsX())
		best(t.AsX(), y.AsX(), y.AsX())
		VXORPS(t.AsX(), t.AsX(), t.AsX())
		VADDSS(t.AsX(), y.AsX(), y.AsX())
		bits, id := GP32(), newLabel()
		VMOVD(y.AsX(), bits)
		if lanes == 16 {
			KORTESTW(found, found)
			JEQ(LabelRef("store" + id))
		} else {
			seen := GP32()
			VMOVMSKPS(nans, seen)
			TESTL(seen, seen)
			JEQ(LabelRef("store" + id))
		}
		MOVL(U32(0x7fc00000), bits)
		Label("store" + id)
		MOVL(bits, Mem{Base: out})
		ADDQ(Imm(4), out)
	})
}
