package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// Offsets of the fields of kern.intPool.
const (
	poolDst, poolSrc, poolWidth, poolDstWidth = 0, 8, 16, 24
	poolFull, poolRows, poolIn, poolOut       = 32, 40, 48, 56
)

// emitMaxPool2 takes the maxima of windows of two by two bytes with stride two,
// row by row: full times 64 bytes of two rows become 32 bytes, then a masked rest.
func emitMaxPool2() {
	args := start("intMaxPool2")
	dst, a, b := arg(args, poolDst), arg(args, poolSrc), GP64()
	rows, width, n, from, to := arg(args, poolRows), arg(args, poolWidth), GP64(), GP64(), GP64()
	in, out := K(), K()
	KMOVQ(Mem{Base: args, Disp: poolIn}, in)
	KMOVD(Mem{Base: args, Disp: poolOut}, out)
	maxima := func(load func(m Mem, z VecVirtual)) VecVirtual {
		z, y, h, r := ZMM(), ZMM(), ZMM(), YMM()
		load(Mem{Base: a, Index: from, Scale: 1}, z)
		load(Mem{Base: b, Index: from, Scale: 1}, y)
		VPMAXUB(y, z, z)
		VPSRLW(U8(8), z, h)
		VPMAXUB(h, z, z)
		VPMOVWB(z, r)
		return r
	}
	Label("row")
	LEAQ(Mem{Base: a, Index: width, Scale: 1}, b)
	XORQ(from, from)
	XORQ(to, to)
	MOVQ(Mem{Base: args, Disp: poolFull}, n)
	TESTQ(n, n)
	JZ(LabelRef("tail"))
	Label("full")
	VMOVDQU8(maxima(func(m Mem, z VecVirtual) { VMOVDQU8(m, z) }), Mem{Base: dst, Index: to, Scale: 1})
	ADDQ(U8(64), from)
	ADDQ(U8(32), to)
	DECQ(n)
	JNZ(LabelRef("full"))
	Label("tail")
	KTESTD(out, out)
	JZ(LabelRef("next"))
	VMOVDQU8(maxima(func(m Mem, z VecVirtual) { VMOVDQU8_Z(m, in, z) }), out, Mem{Base: dst, Index: to, Scale: 1})
	Label("next")
	LEAQ(Mem{Base: a, Index: width, Scale: 2}, a)
	ADDQ(Mem{Base: args, Disp: poolDstWidth}, dst)
	DECQ(rows)
	JNZ(LabelRef("row"))
	done()
}

// emitSumBytes adds up n times 64 bytes.
func emitSumBytes() {
	TEXT("intSumBytes", NOSPLIT, "func(x *byte, n int) uint64")
	Pragma("noescape")
	x, n := Load(Param("x"), GP64()).(GPVirtual), Load(Param("n"), GP64()).(GPVirtual)
	sum, none := ZMM(), ZMM()
	VPXORD(sum, sum, sum)
	VPXORD(none, none, none)
	Label("loop")
	z := ZMM()
	VPSADBW(Mem{Base: x}, none, z)
	VPADDQ(z, sum, sum)
	ADDQ(U8(64), x)
	DECQ(n)
	JNZ(LabelRef("loop"))
	y := YMM()
	VEXTRACTI64X4(U8(1), sum, y)
	VPADDQ(y, sum.AsY(), y)
	w := XMM()
	VEXTRACTI128(U8(1), y, w)
	VPADDQ(w, y.AsX(), w)
	v := XMM()
	VPSHUFD(U8(0xee), w, v)
	VPADDQ(v, w, w)
	r := GP64()
	VMOVQ(w, r)
	Store(r, ReturnIndex(0))
	done()
}

// emitCopyBytes copies rows of full times 64 bytes and a masked rest.
func emitCopyBytes() {
	TEXT("intCopyBytes", NOSPLIT, "func(dst *byte, dstStride int, src *byte, srcStride, rows, full int, tail uint64)")
	Pragma("noescape")
	dst, dstStride := Load(Param("dst"), GP64()).(GPVirtual), Load(Param("dstStride"), GP64()).(GPVirtual)
	src, srcStride := Load(Param("src"), GP64()).(GPVirtual), Load(Param("srcStride"), GP64()).(GPVirtual)
	rows, full := Load(Param("rows"), GP64()).(GPVirtual), Load(Param("full"), GP64()).(GPVirtual)
	k, z, n, at := K(), ZMM(), GP64(), GP64()
	KMOVQ(Load(Param("tail"), GP64()), k)
	Label("row")
	XORQ(at, at)
	MOVQ(full, n)
	TESTQ(n, n)
	JZ(LabelRef("tail"))
	Label("loop")
	VMOVDQU8(Mem{Base: src, Index: at, Scale: 1}, z)
	VMOVDQU8(z, Mem{Base: dst, Index: at, Scale: 1})
	ADDQ(U8(64), at)
	DECQ(n)
	JNZ(LabelRef("loop"))
	Label("tail")
	VMOVDQU8_Z(Mem{Base: src, Index: at, Scale: 1}, k, z)
	VMOVDQU8(z, k, Mem{Base: dst, Index: at, Scale: 1})
	ADDQ(srcStride, src)
	ADDQ(dstStride, dst)
	DECQ(rows)
	JNZ(LabelRef("row"))
	done()
}
