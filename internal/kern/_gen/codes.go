package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

func init() {
	sets["codes"] = func() {
		emitMapVBMI()
		emitMapAVX2()
		emitTransposeBytes()
		emitQuantizeRow()
		emitPairs()
		emitWiden()
	}
}

// emitMapVBMI looks up bytes in a table of 256: two permutations of 128 entries each, of
// which the highest bit of the byte chooses one.
func emitMapVBMI() {
	TEXT("mapCodesVBMI", NOSPLIT, "func(dst, x, table *uint8, full int, tail uint64)")
	Doc("mapCodesVBMI is MapCodes for full times 64 bytes and those of the mask tail.")
	Pragma("noescape")
	dst, x, table, n := ptr("dst"), ptr("x"), ptr("table"), ptr("full")
	var t [4]VecVirtual
	for i := range t {
		t[i] = ZMM()
		VMOVDQU8(Mem{Base: table, Disp: 64 * i}, t[i])
	}
	tail := K()
	KMOVQ(Load(Param("tail"), GP64()), tail)
	look := func(load func(z VecVirtual)) VecVirtual {
		low, high, k := ZMM(), ZMM(), K()
		load(low)
		VPMOVB2M(low, k)
		VMOVDQA64(low, high)
		VPERMI2B(t[1], t[0], low)
		VPERMI2B(t[3], t[2], high)
		VMOVDQU8(high, k, low)
		return low
	}
	TESTQ(n, n)
	JZ(LabelRef("tail"))
	Label("loop")
	VMOVDQU8(look(func(z VecVirtual) { VMOVDQU8(Mem{Base: x}, z) }), Mem{Base: dst})
	ADDQ(Imm(64), x)
	ADDQ(Imm(64), dst)
	DECQ(n)
	JNZ(LabelRef("loop"))
	Label("tail")
	KTESTQ(tail, tail)
	JZ(LabelRef("end"))
	VMOVDQU8(look(func(z VecVirtual) { VMOVDQU8_Z(Mem{Base: x}, tail, z) }), tail, Mem{Base: dst})
	Label("end")
	endElem()
}

// emitMapAVX2 looks up bytes in sixteen parts of the table. A shuffle takes the low four
// bits of an index and gives 0 where its highest bit is set: with 0x70 added, which
// saturates, that is so for all indices but 0 to 15.
func emitMapAVX2() {
	TEXT("mapCodesAVX2", NOSPLIT, "func(dst, x, table *uint8, n int)")
	Doc("mapCodesAVX2 is MapCodes for n times 64 bytes.")
	Pragma("noescape")
	dst, x, table, n := ptr("dst"), ptr("x"), ptr("table"), ptr("n")
	all := func(v uint32) VecVirtual {
		g, y := GP32(), YMM()
		MOVL(U32(v), g)
		VMOVD(g, y.AsX())
		VPBROADCASTD(y.AsX(), y)
		return y
	}
	window, part := all(0x70707070), all(0x10101010)
	Label("loop")
	var at, sum [2]VecVirtual
	for u := range at {
		at[u], sum[u] = YMM(), YMM()
		VMOVDQU(Mem{Base: x, Disp: 32 * u}, at[u])
		VPXOR(sum[u], sum[u], sum[u])
	}
	for i := range 16 {
		t := YMM()
		VBROADCASTI128(Mem{Base: table, Disp: 16 * i}, t)
		for u := range at {
			k := YMM()
			VPADDUSB(window, at[u], k)
			VPSHUFB(k, t, k)
			VPOR(k, sum[u], sum[u])
			if i < 15 {
				VPSUBB(part, at[u], at[u])
			}
		}
	}
	for u := range at {
		VMOVDQU(sum[u], Mem{Base: dst, Disp: 32 * u})
	}
	ADDQ(Imm(64), x)
	ADDQ(Imm(64), dst)
	DECQ(n)
	JNZ(LabelRef("loop"))
	endElem()
}

// emitTransposeBytes transposes blocks of 16 rows of 8 bytes. Putting rows i and i+8 side
// by side, byte by byte, moves the highest bit of the row's number behind the bits of the
// column's; four such steps exchange the two.
func emitTransposeBytes() {
	TEXT("transposeBytesAVX2", NOSPLIT, "func(dst *uint8, dstStride int, src *uint8, srcStride, n int)")
	Doc("transposeBytesAVX2 transposes 16 rows of n times 8 bytes.")
	Pragma("noescape")
	dst, dstStride, src, srcStride, n := ptr("dst"), ptr("dstStride"), ptr("src"), ptr("srcStride"), ptr("n")
	low, high := GP64(), GP64()
	Label("loop")
	MOVQ(src, low)
	LEAQ(Mem{Base: src, Index: srcStride, Scale: 8}, high)
	var v [8]VecVirtual
	for i := range v {
		a, b := XMM(), XMM()
		VMOVQ(Mem{Base: low}, a)
		VMOVQ(Mem{Base: high}, b)
		VPUNPCKLBW(b, a, a)
		v[i] = a
		if i < 7 {
			ADDQ(srcStride, low)
			ADDQ(srcStride, high)
		}
	}
	for range 3 {
		var w [8]VecVirtual
		for i := range 4 {
			w[2*i] = XMM()
			VPUNPCKLBW(v[i+4], v[i], w[2*i])
			VPUNPCKHBW(v[i+4], v[i], v[i])
			w[2*i+1] = v[i]
		}
		v = w
	}
	for i := range v {
		VMOVDQU(v[i], Mem{Base: dst})
		ADDQ(dstStride, dst)
	}
	ADDQ(Imm(8), src)
	DECQ(n)
	JNZ(LabelRef("loop"))
	endElem()
}

// emitQuantizeRow rounds numbers to codes of a byte with a grid for each.
func emitQuantizeRow() {
	k := beginElem("quantizeRowAVX2", "func(dst *int8, x *float32, n int, scale, lo, hi *float32)", "quantizeRowAVX2 is QuantizeRow.")
	dst, x, scale, lo, hi := ptr("dst"), ptr("x"), ptr("scale"), ptr("lo"), ptr("hi")
	magic := roundMagic()
	k.loop(1, func(int) {
		v := load(k.at(x, 0))
		gridVecs{load(k.at(scale, 0)), load(k.at(lo, 0)), load(k.at(hi, 0)), magic}.steps(v)
		VCVTPS2DQ(v, v)
		t := YMM()
		VEXTRACTI128(Imm(1), v, t.AsX())
		VPACKSSDW(t.AsX(), v.AsX(), v.AsX())
		VPACKSSWB(v.AsX(), v.AsX(), v.AsX())
		VMOVQ(v.AsX(), Mem{Base: dst, Index: k.i, Scale: 1})
	})
	endElem()
}

// emitWiden takes n codes, a multiple of sixteen.
func emitWiden() {
	TEXT("widenAVX2", NOSPLIT, "func(dst *int16, codes *uint8, n int, zero int16)")
	Doc("widenAVX2 writes codes less the zero point as 16-bit numbers.")
	Pragma("noescape")
	dst, codes, n, i := ptr("dst"), ptr("codes"), ptr("n"), GP64()
	zero := YMM()
	VPBROADCASTW(paramMem("zero"), zero)
	XORQ(i, i)
	Label("widen")
	v := YMM()
	VPMOVZXBW(Mem{Base: codes, Index: i, Scale: 1}, v)
	VPSUBW(zero, v, v)
	VMOVDQU(v, Mem{Base: dst, Index: i, Scale: 2})
	ADDQ(Imm(16), i)
	CMPQ(i, n)
	JB(LabelRef("widen"))
	endElem()
}
