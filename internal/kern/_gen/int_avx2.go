package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// laneOrder is what storeBytesAVX2 undoes.
var laneOrder Mem

// emitEpilogueAVX2 is emitEpilogue without masks: all 32 columns are computed and go
// to out[0], 32 numbers or codes per row.
func emitEpilogueAVX2(codes, columns bool) {
	name := "intEpiValues"
	if codes {
		name = "intEpiCodes"
	}
	if columns {
		name += "Columns"
	}
	args := start(name + "AVX2")
	rows, acc, prev := arg(args, epiRows), arg(args, epiAcc), arg(args, epiPrev)
	sub, scale, bias := arg(args, epiSub), arg(args, epiScale), arg(args, epiBias)
	out := arg(args, epiOut)
	operand := func(p GPVirtual, v int) VecVirtual {
		y := YMM()
		if columns {
			VMOVUPS(Mem{Base: p, Disp: 32 * v}, y)
		} else {
			VBROADCASTSS(Mem{Base: p}, y)
		}
		return y
	}
	constant := func(at int) VecVirtual {
		y := YMM()
		VBROADCASTSS(Mem{Base: args, Disp: at}, y)
		return y
	}
	Label("row")
	var y [4]VecVirtual
	for v := range y {
		y[v] = YMM()
		VMOVDQU(Mem{Base: acc, Disp: 32 * v}, y[v])
		VPSUBD(operand(sub, v), y[v], y[v])
		VCVTDQ2PS(y[v], y[v])
		VMULPS(operand(scale, v), y[v], y[v])
	}
	TESTQ(prev, prev)
	JZ(LabelRef("first"))
	for v := range y {
		VADDPS(Mem{Base: prev, Disp: 32 * v}, y[v], y[v])
	}
	ADDQ(U8(64), prev)
	ADDQ(U8(64), prev)
	Label("first")
	for v := range y {
		VADDPS(operand(bias, v), y[v], y[v])
		if !codes {
			VMOVUPS(y[v], Mem{Base: out, Disp: 32 * v})
			continue
		}
		VMAXPS(y[v], constant(epiLo), y[v]) // NaN stays
		VMINPS(y[v], constant(epiHi), y[v])
		VDIVPS(constant(epiStep), y[v], y[v])
		VMAXPS(constant(epiQlo), y[v], y[v]) // NaN becomes the lowest
		VMINPS(constant(epiQhi), y[v], y[v])
		VCVTPS2DQ(y[v], y[v])
		VPADDD(constant(epiZero), y[v], y[v])
	}
	if codes {
		storeBytesAVX2(y, out)
		ADDQ(U8(32), out)
	} else {
		ADDQ(U8(64), out)
		ADDQ(U8(64), out)
	}
	ADDQ(U8(64), acc)
	ADDQ(U8(64), acc)
	if !columns {
		for _, p := range []GPVirtual{sub, scale, bias} {
			ADDQ(Mem{Base: args, Disp: epiInc}, p)
		}
	}
	DECQ(rows)
	JNZ(LabelRef("row"))
	done()
}

// storeBytesAVX2 narrows 32 dwords of 0 to 255 to bytes in order: packing works in
// halves of vectors, which a permutation of dwords undoes.
func storeBytesAVX2(y [4]VecVirtual, out GPVirtual) {
	VPACKUSDW(y[1], y[0], y[0])
	VPACKUSDW(y[3], y[2], y[2])
	VPACKUSWB(y[2], y[0], y[0])
	p := YMM()
	VPMOVZXBD(laneOrder, p)
	VPERMD(y[0], p, y[0])
	VMOVDQU(y[0], Mem{Base: out})
}

// emitPack2AVX2 is intPack2 for full times eight columns.
func emitPack2AVX2() {
	args := start("intPack2AVX2")
	a, b, dst, rows := arg(args, packSrc), arg(args, packSrc+8), arg(args, packDst), arg(args, packRows)
	at, n := GP64(), GP64()
	zero := YMM()
	VPBROADCASTD(Mem{Base: args, Disp: packZero}, zero)
	Label("row")
	XORQ(at, at)
	MOVQ(Mem{Base: args, Disp: packFull}, n)
	Label("loop")
	x, y := YMM(), YMM()
	VPMOVZXBD(Mem{Base: a, Index: at, Scale: 1}, x)
	VPMOVZXBD(Mem{Base: b, Index: at, Scale: 1}, y)
	VPSUBD(zero, x, x)
	VPSUBD(zero, y, y)
	VPSLLD(U8(16), y, y)
	VPBLENDW(U8(0xaa), y, x, x)
	VMOVDQU(x, Mem{Base: dst, Index: at, Scale: 4})
	ADDQ(U8(8), at)
	DECQ(n)
	JNZ(LabelRef("loop"))
	ADDQ(Mem{Base: args, Disp: packSrcStride}, a)
	ADDQ(Mem{Base: args, Disp: packSrcStride}, b)
	ADDQ(Mem{Base: args, Disp: packDstStride}, dst)
	DECQ(rows)
	JNZ(LabelRef("row"))
	done()
}
