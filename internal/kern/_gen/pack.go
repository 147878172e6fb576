package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

func init() {
	sets["pack"] = func() {
		emitTranspose8()
		emitCopyRows("copyRows64", 2)
		emitCopyRows("copyRows128", 4)
		emitCopyLanes()
	}
}

// emitTranspose8 emits the transposition of 8 rows of blocks·8 dwords.
func emitTranspose8() {
	TEXT("transpose8", NOSPLIT, "func(dst *byte, dstStride int, src *byte, srcStride int, blocks int)")
	Pragma("noescape")
	Doc("transpose8 writes the transpose of 8 rows of 8·blocks dwords: dword (c, r) of dst is dword (r, c) of src. Strides are in bytes; blocks is at least 1.")
	dst := Load(Param("dst"), GP64()).(GPVirtual)
	ds := Load(Param("dstStride"), GP64()).(GPVirtual)
	src := Load(Param("src"), GP64()).(GPVirtual)
	ss := Load(Param("srcStride"), GP64()).(GPVirtual)
	n := Load(Param("blocks"), GP64()).(GPVirtual)
	in, out := newEightRows(ss), newEightRows(ds)
	Label("block")
	in.from(src)
	out.from(dst)
	// Row r and row r+4 share a register, so that only shuffles within 128 bits
	// remain: l[i] holds columns 0 to 3, h[i] columns 4 to 7.
	var l, h [4]VecVirtual
	for i := range 4 {
		l[i], h[i] = YMM(), YMM()
		VMOVUPS(in.row(i, 0), l[i].AsX())
		VINSERTF128(Imm(1), in.row(i+4, 0), l[i], l[i])
		VMOVUPS(in.row(i, 16), h[i].AsX())
		VINSERTF128(Imm(1), in.row(i+4, 16), h[i], h[i])
	}
	for i, y := range transpose4(l) {
		VMOVUPS(y, out.row(i, 0))
	}
	for i, y := range transpose4(h) {
		VMOVUPS(y, out.row(i+4, 0))
	}
	ADDQ(Imm(32), src)
	LEAQ(Mem{Base: dst, Index: ds, Scale: 8}, dst)
	DECQ(n)
	JNZ(LabelRef("block"))
	VZEROUPPER()
	RET()
}

// transpose4 transposes the 4×4 dwords in each half of four registers.
func transpose4(r [4]VecVirtual) (out [4]VecVirtual) {
	for i := range out {
		out[i] = YMM()
	}
	a, b, c, d := YMM(), YMM(), YMM(), YMM()
	VUNPCKLPS(r[1], r[0], a) // 00 10 01 11
	VUNPCKHPS(r[1], r[0], b)
	VUNPCKLPS(r[3], r[2], c)
	VUNPCKHPS(r[3], r[2], d)
	VUNPCKLPD(c, a, out[0])
	VUNPCKHPD(c, a, out[1])
	VUNPCKLPD(d, b, out[2])
	VUNPCKHPD(d, b, out[3])
	return out
}

// eightRows addresses eight rows through two bases and scaled strides.
type eightRows struct{ p, p4, s, s3 GPVirtual }

func newEightRows(stride GPVirtual) *eightRows {
	e := &eightRows{s: stride, s3: GP64(), p4: GP64()}
	LEAQ(Mem{Base: stride, Index: stride, Scale: 2}, e.s3)
	return e
}

func (e *eightRows) from(p GPVirtual) {
	e.p = p
	LEAQ(Mem{Base: p, Index: e.s, Scale: 4}, e.p4)
}

func (e *eightRows) row(i, disp int) Mem {
	m := Mem{Base: e.p, Disp: disp}
	if i >= 4 {
		m.Base = e.p4
	}
	switch i % 4 {
	case 1, 2:
		m.Index, m.Scale = e.s, uint8(i%4)
	case 3:
		m.Index, m.Scale = e.s3, 1
	}
	return m
}

// emitCopyRows emits a copy of rows of as many 32-byte vectors.
func emitCopyRows(name string, vectors int) {
	TEXT(name, NOSPLIT, "func(dst *byte, dstStride int, src *byte, srcStride int, rows int)")
	Pragma("noescape")
	Doc(name + " copies rows of so many bytes. Strides are in bytes; rows is at least 1.")
	dst := Load(Param("dst"), GP64()).(GPVirtual)
	ds := Load(Param("dstStride"), GP64()).(GPVirtual)
	src := Load(Param("src"), GP64()).(GPVirtual)
	ss := Load(Param("srcStride"), GP64()).(GPVirtual)
	n := Load(Param("rows"), GP64()).(GPVirtual)
	Label("row")
	y := make([]VecVirtual, vectors)
	for i := range y {
		y[i] = YMM()
		VMOVUPS(Mem{Base: src, Disp: 32 * i}, y[i])
	}
	for i := range y {
		VMOVUPS(y[i], Mem{Base: dst, Disp: 32 * i})
	}
	ADDQ(ss, src)
	ADDQ(ds, dst)
	DECQ(n)
	JNZ(LabelRef("row"))
	VZEROUPPER()
	RET()
}

// emitCopyLanes emits a copy of rows of up to sixteen dwords.
func emitCopyLanes() {
	TEXT("copyLanes", NOSPLIT, "func(dst *byte, dstStride int, src *byte, srcStride int, rows int, mask int)")
	Pragma("noescape")
	Doc("copyLanes copies the dwords of a mask of rows of up to sixteen. Strides are in bytes; rows is at least 1.")
	dst := Load(Param("dst"), GP64()).(GPVirtual)
	ds := Load(Param("dstStride"), GP64()).(GPVirtual)
	src := Load(Param("src"), GP64()).(GPVirtual)
	ss := Load(Param("srcStride"), GP64()).(GPVirtual)
	n := Load(Param("rows"), GP64()).(GPVirtual)
	mask := Load(Param("mask"), GP64()).(GPVirtual)
	m, z := K(), ZMM()
	KMOVW(mask.As32(), m)
	Label("row")
	VMOVUPS_Z(Mem{Base: src}, m, z)
	VMOVUPS(z, m, Mem{Base: dst})
	ADDQ(ss, src)
	ADDQ(ds, dst)
	DECQ(n)
	JNZ(LabelRef("row"))
	VZEROUPPER()
	RET()
}
