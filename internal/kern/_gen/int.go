package main

import (
	"github.com/mmcloughlin/avo/attr"
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// The kernels of integer products beside the tiles: packing, epilogues, products
// with a vector, depthwise convolutions and elementwise work on codes. All need
// AVX-512 F, BW, DQ and VL; those that multiply bytes need VNNI.

func init() {
	sets["int"] = func() {
		laneOrder = GLOBL("intLanes", attr.RODATA|attr.NOPTR)
		for i, v := range []U8{0, 4, 1, 5, 2, 6, 3, 7} {
			DATA(i, v)
		}
		emitPack4("intPack4", func(v []VecVirtual, zero VecVirtual) VecVirtual {
			for i := 1; i < 4; i++ {
				VPSLLD(U8(8*i), v[i], v[i])
			}
			VPTERNLOGD(U8(0xfe), v[1], v[2], v[0]) // or of all three
			VPORD(v[3], v[0], v[0])
			return v[0]
		}, 4)
		emitPack4("intPack2", func(v []VecVirtual, zero VecVirtual) VecVirtual {
			VPSUBD(zero, v[0], v[0])
			VPSUBD(zero, v[1], v[1])
			VPSLLD(U8(16), v[1], v[1])
			VPBLENDMWodd(v[0], v[1], v[0])
			return v[0]
		}, 2)
		emitPackSplit()
		emitUnhalve()
		emitNarrow()
		emitIntExtent()
		for _, codes := range []bool{false, true} {
			emitEpilogue(codes, false)
			emitEpilogue(codes, true)
			emitEpilogueAVX2(codes, false)
			emitEpilogueAVX2(codes, true)
		}
		emitVector()
		emitFew()
		emitDepthwise()
		emitPack2AVX2()
		emitMaxPool2()
		emitSumBytes()
		emitCopyBytes()
	}
}

// VPBLENDMWodd takes the even 16-bit words of a and the odd ones of b.
func VPBLENDMWodd(a, b, dst Op) {
	k, m := K(), GP32()
	MOVL(U32(0xaaaaaaaa), m)
	KMOVD(m, k)
	VMOVDQU16(b, k, dst) // dst is a
	_ = a
}

// arg is a field of a kernel's arguments, loaded.
func arg(args GPVirtual, at int) GPVirtual {
	r := GP64()
	MOVQ(Mem{Base: args, Disp: at}, r)
	return r
}

// start begins a kernel whose only parameter points to its arguments.
func start(name string) GPVirtual {
	TEXT(name, NOSPLIT, "func(t *byte)")
	Pragma("noescape")
	return Load(Param("t"), GP64()).(GPVirtual)
}

func done() {
	VZEROUPPER()
	RET()
}

// Offsets of the fields of kern.intPackArgs.
const (
	packSrc, packSrcStride, packDst, packDstStride = 0, 32, 40, 48
	packFull, packRows, packOdd, packZero          = 56, 64, 72, 80
	packTail, packTailEven, packTailOdd            = 84, 88, 90
)

// emitPack4 interleaves the bytes of rows of some planes: combine makes the dwords
// of sixteen columns.
func emitPack4(name string, combine func(v []VecVirtual, zero VecVirtual) VecVirtual, planes int) {
	args := start(name)
	src := make([]GPVirtual, planes)
	for i := range src {
		src[i] = arg(args, packSrc+8*i)
	}
	dst, rows, at, n, to := arg(args, packDst), arg(args, packRows), GP64(), GP64(), GP64()
	zero, tail := ZMM(), K()
	VPBROADCASTD(Mem{Base: args, Disp: packZero}, zero)
	KMOVW(Mem{Base: args, Disp: packTail}, tail)
	body := func(load func(m Mem, z VecVirtual), store func(z VecVirtual)) {
		v := make([]VecVirtual, planes)
		for i := range v {
			v[i] = ZMM()
			load(Mem{Base: src[i], Index: at, Scale: 1}, v[i])
		}
		store(combine(v, zero))
	}
	Label("row")
	XORQ(at, at)
	MOVQ(dst, to)
	MOVQ(Mem{Base: args, Disp: packFull}, n)
	TESTQ(n, n)
	JZ(LabelRef("tail"))
	Label("full")
	body(func(m Mem, z VecVirtual) { VPMOVZXBD(m, z) }, func(z VecVirtual) { VMOVDQU32(z, Mem{Base: to}) })
	ADDQ(U8(16), at)
	ADDQ(U8(64), to)
	DECQ(n)
	JNZ(LabelRef("full"))
	Label("tail")
	KTESTW(tail, tail)
	JZ(LabelRef("next"))
	body(func(m Mem, z VecVirtual) { VPMOVZXBD_Z(m, tail, z) }, func(z VecVirtual) { VMOVDQU32(z, tail, Mem{Base: to}) })
	Label("next")
	for _, s := range src {
		ADDQ(Mem{Base: args, Disp: packSrcStride}, s)
	}
	ADDQ(Mem{Base: args, Disp: packDstStride}, dst)
	DECQ(rows)
	JNZ(LabelRef("row"))
	done()
}

// emitPackSplit is intPack4 for stride two: even columns go to one place, odd
// columns to another.
func emitPackSplit() {
	args := start("intPackSplit")
	src := make([]GPVirtual, 4)
	for i := range src {
		src[i] = arg(args, packSrc+8*i)
	}
	even, odd, rows, at, n, to := arg(args, packDst), arg(args, packOdd), arg(args, packRows), GP64(), GP64(), GP64()
	tail, tailEven, tailOdd, low := K(), K(), K(), ZMM()
	KMOVD(Mem{Base: args, Disp: packTail}, tail)
	KMOVW(Mem{Base: args, Disp: packTailEven}, tailEven)
	KMOVW(Mem{Base: args, Disp: packTailOdd}, tailOdd)
	mask := GP32()
	MOVL(U32(0xff), mask)
	VPBROADCASTD(mask, low)
	body := func(load func(m Mem, y VecVirtual), store func(e, o VecVirtual)) {
		e, o := ZMM(), ZMM()
		for i := range 4 {
			y, w, x := YMM(), ZMM(), ZMM()
			load(Mem{Base: src[i], Index: at, Scale: 1}, y)
			VPMOVZXWD(y, w)
			VPANDD(low, w, x)
			if i == 0 {
				VMOVDQA32(x, e)
				VPSRLD(U8(8), w, o)
				continue
			}
			VPSLLD(U8(8*i), x, x)
			VPORD(x, e, e)
			if i > 1 {
				VPANDND(w, low, w)
				VPSLLD(U8(8*i-8), w, w)
			} else {
				VPANDND(w, low, w)
			}
			VPORD(w, o, o)
		}
		store(e, o)
	}
	Label("row")
	XORQ(at, at)
	XORQ(to, to)
	MOVQ(Mem{Base: args, Disp: packFull}, n)
	TESTQ(n, n)
	JZ(LabelRef("tail"))
	Label("full")
	body(func(m Mem, y VecVirtual) { VMOVDQU8(m, y) }, func(e, o VecVirtual) {
		VMOVDQU32(e, Mem{Base: even, Index: to, Scale: 1})
		VMOVDQU32(o, Mem{Base: odd, Index: to, Scale: 1})
	})
	ADDQ(U8(32), at)
	ADDQ(U8(64), to)
	DECQ(n)
	JNZ(LabelRef("full"))
	Label("tail")
	KTESTD(tail, tail)
	JZ(LabelRef("next"))
	body(func(m Mem, y VecVirtual) { VMOVDQU8_Z(m, tail, y) }, func(e, o VecVirtual) {
		VMOVDQU32(e, tailEven, Mem{Base: even, Index: to, Scale: 1})
		VMOVDQU32(o, tailOdd, Mem{Base: odd, Index: to, Scale: 1})
	})
	Label("next")
	for _, s := range src {
		ADDQ(Mem{Base: args, Disp: packSrcStride}, s)
	}
	ADDQ(Mem{Base: args, Disp: packDstStride}, even)
	ADDQ(Mem{Base: args, Disp: packDstStride}, odd)
	DECQ(rows)
	JNZ(LabelRef("row"))
	done()
}

// emitUnhalve turns n times 32 bytes into 64 bytes: low nibbles, then high ones,
// with their signs.
func emitUnhalve() {
	TEXT("intUnhalve", NOSPLIT, "func(dst, src *byte, n int)")
	Pragma("noescape")
	dst, src := Load(Param("dst"), GP64()).(GPVirtual), Load(Param("src"), GP64()).(GPVirtual)
	n := Load(Param("n"), GP64()).(GPVirtual)
	low, sign, c := ZMM(), ZMM(), GP32()
	MOVL(U32(0x0f0f0f0f), c)
	VPBROADCASTD(c, low)
	MOVL(U32(0x08080808), c)
	VPBROADCASTD(c, sign)
	Label("loop")
	y, h := YMM(), YMM()
	VMOVDQU(Mem{Base: src}, y)
	VPSRLW(U8(4), y, h)
	z := ZMM()
	VINSERTI64X4(U8(1), h, y.AsZ(), z)
	VPANDD(low, z, z)
	VPXORD(sign, z, z)
	VPSUBB(sign, z, z)
	VMOVDQU32(z, Mem{Base: dst})
	ADDQ(U8(32), src)
	ADDQ(U8(64), dst)
	DECQ(n)
	JNZ(LabelRef("loop"))
	done()
}

// emitNarrow writes the low bytes of n times 32 words, then of a masked rest.
func emitNarrow() {
	TEXT("intNarrow", NOSPLIT, "func(dst *byte, src *int16, n int, tail uint32)")
	Pragma("noescape")
	dst, src := Load(Param("dst"), GP64()).(GPVirtual), Load(Param("src"), GP64()).(GPVirtual)
	n, t := Load(Param("n"), GP64()).(GPVirtual), Load(Param("tail"), GP32()).(GPVirtual)
	k, z := K(), ZMM()
	KMOVD(t, k)
	TESTQ(n, n)
	JZ(LabelRef("tail"))
	Label("loop")
	VMOVDQU16(Mem{Base: src}, z)
	VPMOVWB(z, Mem{Base: dst})
	ADDQ(U8(64), src)
	ADDQ(U8(32), dst)
	DECQ(n)
	JNZ(LabelRef("loop"))
	Label("tail")
	TESTL(t, t)
	JZ(LabelRef("end"))
	VMOVDQU16_Z(Mem{Base: src}, k, z)
	y := YMM()
	VPMOVWB(z, y)
	VMOVDQU8(y, k, Mem{Base: dst})
	Label("end")
	done()
}

// emitIntExtent finds the least and the greatest of n times 32 words, 32 of each.
func emitIntExtent() {
	TEXT("intExtent", NOSPLIT, "func(lo, hi, x *int16, n int)")
	Pragma("noescape")
	lo, hi := Load(Param("lo"), GP64()).(GPVirtual), Load(Param("hi"), GP64()).(GPVirtual)
	x, n := Load(Param("x"), GP64()).(GPVirtual), Load(Param("n"), GP64()).(GPVirtual)
	a, b, z := ZMM(), ZMM(), ZMM()
	VMOVDQU16(Mem{Base: x}, a)
	VMOVDQU16(a, b)
	Label("loop")
	VMOVDQU16(Mem{Base: x}, z)
	VPMINSW(z, a, a)
	VPMAXSW(z, b, b)
	ADDQ(U8(64), x)
	DECQ(n)
	JNZ(LabelRef("loop"))
	VMOVDQU16(a, Mem{Base: lo})
	VMOVDQU16(b, Mem{Base: hi})
	done()
}
