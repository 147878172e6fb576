package main

import (
	"github.com/mmcloughlin/avo/attr"
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// Offsets of the fields of kern.pairArgs.
const (
	pairA, pairB, pairOut, pairFull            = 0, 8, 16, 24
	pairTail, pairZA, pairZB, pairSA, pairSB   = 32, 36, 40, 44, 48
	pairZero, pairLo, pairHi, pairStep, pairQl = 52, 56, 60, 64, 68
	pairQh                                     = 72
)

// emitPairs emits the kernels that take two numbers, both of codes or the second one the
// same throughout, and make a code of their sum or product.
func emitPairs() {
	laneOrder = GLOBL("codesLanes", attr.RODATA|attr.NOPTR)
	for i, v := range []U8{0, 4, 1, 5, 2, 6, 3, 7} {
		DATA(i, v)
	}
	for _, fn := range []struct {
		name string
		op   func(m, x, y Op)
	}{{"Add", func(m, x, y Op) { VADDPS(m, x, y) }}, {"Mul", func(m, x, y Op) { VMULPS(m, x, y) }}} {
		for _, one := range []bool{false, true} {
			name := map[bool]string{false: "pair", true: "one"}[one] + fn.name
			emitPair(name+"AVX512", one, fn.op)
			emitPairAVX2(name+"AVX2", one, fn.op)
		}
	}
}

// emitPair takes full times 16 codes and those of a mask.
func emitPair(name string, one bool, op func(m, x, y Op)) {
	args := start(name)
	e := &epilogue{args: args, codes: true}
	var za, zb, sa, sb VecVirtual
	for _, c := range []struct {
		z  *VecVirtual
		at int
	}{{&za, pairZA}, {&zb, pairZB}, {&sa, pairSA}, {&sb, pairSB}, {&e.zero, pairZero}, {&e.lo, pairLo}, {&e.hi, pairHi},
		{&e.step, pairStep}, {&e.qlo, pairQl}, {&e.qhi, pairQh}} {
		*c.z = ZMM()
		VPBROADCASTD(Mem{Base: args, Disp: c.at}, *c.z)
	}
	a, b, out, n := arg(args, pairA), arg(args, pairB), arg(args, pairOut), arg(args, pairFull)
	e.mask[0] = K()
	KMOVW(Mem{Base: args, Disp: pairTail}, e.mask[0])
	number := func(p GPVirtual, zero, scale VecVirtual, load func(m Mem, z VecVirtual)) VecVirtual {
		x := ZMM()
		load(Mem{Base: p}, x)
		VPSUBD(zero, x, x)
		VCVTDQ2PS(x, x)
		VMULPS(scale, x, x)
		return x
	}
	result := func(load func(m Mem, z VecVirtual)) VecVirtual {
		x, y := number(a, za, sa, load), sb
		if !one {
			y = number(b, zb, sb, load)
		}
		op(y, x, x)
		e.clip(x)
		e.round(x)
		return x
	}
	TESTQ(n, n)
	JZ(LabelRef("tail"))
	Label("full")
	VPMOVDB(result(func(m Mem, z VecVirtual) { VPMOVZXBD(m, z) }), Mem{Base: out})
	for _, p := range []GPVirtual{a, b, out} {
		if p != b || !one {
			ADDQ(U8(16), p)
		}
	}
	DECQ(n)
	JNZ(LabelRef("full"))
	Label("tail")
	KTESTW(e.mask[0], e.mask[0])
	JZ(LabelRef("end"))
	VPMOVDB(result(func(m Mem, z VecVirtual) { VPMOVZXBD_Z(m, e.mask[0], z) }), e.mask[0], Mem{Base: out})
	Label("end")
	done()
}

// emitPairAVX2 takes full times 32 codes.
func emitPairAVX2(name string, one bool, op func(m, x, y Op)) {
	args := start(name)
	a, b, out, n := arg(args, pairA), arg(args, pairB), arg(args, pairOut), arg(args, pairFull)
	var za, zb, sa, sb VecVirtual
	for _, c := range []struct {
		y  *VecVirtual
		at int
	}{{&za, pairZA}, {&zb, pairZB}, {&sa, pairSA}, {&sb, pairSB}} {
		*c.y = YMM()
		VBROADCASTSS(Mem{Base: args, Disp: c.at}, *c.y)
	}
	t := YMM() // constants that come from memory each time
	constant := func(at int) VecVirtual {
		VBROADCASTSS(Mem{Base: args, Disp: at}, t)
		return t
	}
	Label("loop")
	var y [4]VecVirtual
	for v := range y {
		y[v] = YMM()
		VPMOVZXBD(Mem{Base: a, Disp: 8 * v}, y[v])
		VPSUBD(za, y[v], y[v])
		VCVTDQ2PS(y[v], y[v])
		VMULPS(sa, y[v], y[v])
		x := sb
		if !one {
			x = YMM()
			VPMOVZXBD(Mem{Base: b, Disp: 8 * v}, x)
			VPSUBD(zb, x, x)
			VCVTDQ2PS(x, x)
			VMULPS(sb, x, x)
		}
		op(x, y[v], y[v])
		VMAXPS(y[v], constant(pairLo), y[v])
		VMINPS(y[v], constant(pairHi), y[v])
		VDIVPS(constant(pairStep), y[v], y[v])
		VMAXPS(constant(pairQl), y[v], y[v])
		VMINPS(constant(pairQh), y[v], y[v])
		VCVTPS2DQ(y[v], y[v])
		VPADDD(constant(pairZero), y[v], y[v])
	}
	storeBytesAVX2(y, out)
	for _, p := range []GPVirtual{a, b, out} {
		if p != b || !one {
			ADDQ(U8(32), p)
		}
	}
	DECQ(n)
	JNZ(LabelRef("loop"))
	done()
}
