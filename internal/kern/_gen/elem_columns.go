package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// emitColumns emits kernels on rows of n elements, stride apart, with a range or a grid
// for each column.
func emitColumns() {
	emitColumnExtent()
	emitColumnsKeep(8)
	emitColumnsKeep(16)
	emitLSQRow()
}

// columnTail returns the lanes of the columns behind element i that exist.
func (k *elemKernel) columnTail() OpmaskVirtual {
	left, all, m := GP64(), GP32(), K()
	MOVQ(k.n, left)
	SUBQ(k.i, left)
	MOVL(U32(1<<16-1), all)
	BZHIL(left.As32(), all, all)
	KMOVW(all, m)
	return m
}

// emitColumnExtent keeps the extremes of four vectors of columns in registers, then those
// of one.
func emitColumnExtent() {
	k := beginElem("columnExtentAVX512", "func(lo, hi, x *float32, n, rows, stride int) uint32",
		"columnExtentAVX512 takes rows into the extremes of their columns. The result is 0 if all are finite; else it has not taken in all columns.")
	k.lanes = 16
	lo, hi, x, rows, stride := ptr("lo"), ptr("hi"), ptr("x"), ptr("rows"), ptr("stride")
	SHLQ(Imm(2), stride)
	XORQ(k.i, k.i)
	at, row, end, bits := GP64(), GP64(), GP64(), GP32()
	strip := func(vectors int, tail Op) {
		id := newLabel()
		var least, most []VecVirtual
		get := func(m Mem) VecVirtual {
			v := ZMM()
			if tail == nil {
				VMOVUPS(m, v)
			} else {
				VMOVUPS_Z(m, tail, v)
			}
			return v
		}
		for u := range vectors {
			least, most = append(least, get(k.at(lo, u))), append(most, get(k.at(hi, u)))
		}
		bad := ZMM()
		VPXORD(bad, bad, bad)
		LEAQ(Mem{Base: x, Index: k.i, Scale: 4}, at)
		MOVQ(rows, row)
		Label("rows" + id)
		for u := range vectors {
			v := get(Mem{Base: at, Disp: 64 * u})
			VMINPS(least[u], v, least[u])
			VMAXPS(most[u], v, most[u])
			VSUBPS(v, v, v)
			VORPS(v, bad, bad)
		}
		ADDQ(stride, at)
		DECQ(row)
		JNZ(LabelRef("rows" + id))
		m := K()
		VCMPPS(Imm(cmpUNORD), bad, bad, m)
		KMOVW(m, bits)
		TESTL(bits, bits)
		JNZ(LabelRef("out"))
		for u := range vectors {
			if tail == nil {
				VMOVUPS(least[u], k.at(lo, u))
				VMOVUPS(most[u], k.at(hi, u))
				continue
			}
			VMOVUPS(least[u], tail, k.at(lo, u))
			VMOVUPS(most[u], tail, k.at(hi, u))
		}
	}
	Label("four")
	LEAQ(Mem{Base: k.i, Disp: 64}, end)
	CMPQ(end, k.n)
	JA(LabelRef("one"))
	strip(4, nil)
	ADDQ(Imm(64), k.i)
	JMP(LabelRef("four"))
	Label("one")
	XORL(bits, bits)
	CMPQ(k.i, k.n)
	JAE(LabelRef("out"))
	strip(1, k.columnTail())
	ADDQ(Imm(16), k.i)
	JMP(LabelRef("one"))
	Label("out")
	Store(bits, ReturnIndex(0))
	endElem()
}

// columnsKernel is the frame of FakeQuantizeColumns: the pointers move from row to row,
// those of the grids stay.
type columnsKernel struct {
	*elemKernel
	dst, x, codes, mask, scale, lo, hi GPVirtual
	magic, one                         VecVirtual
}

// emitColumnsKeep emits FakeQuantizeColumns for vectors of so many lanes; with eight, n
// is a multiple of them. The division leaves time for everything else.
func emitColumnsKeep(lanes int) {
	name := map[int]string{8: "fakeQuantColumnsAVX2", 16: "fakeQuantColumnsAVX512"}[lanes]
	k := columnsKernel{elemKernel: beginElem(name, "func(dst, x *float32, n, rows, stride int, scale, lo, hi *float32, codes *int8, mask *uint8, maskStride int)",
		name+" is FakeQuantizeColumns.")}
	k.lanes = lanes
	k.dst, k.x, k.codes, k.mask = ptr("dst"), ptr("x"), ptr("codes"), ptr("mask")
	k.scale, k.lo, k.hi = ptr("scale"), ptr("lo"), ptr("hi")
	rows := ptr("rows")
	k.magic, k.one = k.vector(), k.vector()
	VBROADCASTSS(roundMagic().AsX(), k.magic)
	VBROADCASTSS(bits32(0x3f800000).AsX(), k.one)
	end := GP64()
	Label("row")
	XORQ(k.i, k.i)
	Label("vector")
	LEAQ(Mem{Base: k.i, Disp: lanes}, end)
	CMPQ(end, k.n)
	JA(LabelRef("tail"))
	k.columns(nil)
	MOVQ(end, k.i)
	JMP(LabelRef("vector"))
	Label("tail")
	if lanes == 16 {
		CMPQ(k.i, k.n)
		JE(LabelRef("next"))
		k.columns(k.columnTail())
		Label("next")
	}
	step := GP64()
	Load(Param("stride"), step)
	LEAQ(Mem{Base: k.dst, Index: step, Scale: 4}, k.dst)
	LEAQ(Mem{Base: k.x, Index: step, Scale: 4}, k.x)
	ADDQ(step, k.codes)
	Load(Param("maskStride"), step)
	ADDQ(step, k.mask)
	DECQ(rows)
	JNZ(LabelRef("row"))
	endElem()
}

// columns does one vector of columns of a row. An element passes if one step of slack on
// each side does not change its code.
func (k columnsKernel) columns(tail Op) {
	get := func(p GPVirtual) VecVirtual {
		v := k.vector()
		if tail == nil {
			VMOVUPS(k.at(p, 0), v)
		} else {
			VMOVUPS_Z(k.at(p, 0), tail, v)
		}
		return v
	}
	scale, lo, hi := get(k.scale), get(k.lo), get(k.hi)
	v, wide := get(k.x), k.vector()
	VDIVPS(scale, v, v)
	VSUBPS(k.one, lo, wide)
	VMAXPS(wide, v, wide)
	VMAXPS(lo, v, v)
	VMINPS(v, hi, v)
	VADDPS(k.one, hi, hi)
	VMINPS(wide, hi, wide)
	for _, t := range []VecVirtual{v, wide} {
		VADDPS(k.magic, t, t)
		VSUBPS(k.magic, t, t)
	}
	at := GP64()
	MOVQ(k.i, at)
	SHRQ(Imm(3), at)
	to, bits, codes := Mem{Base: k.mask, Index: at, Scale: 1}, GP32(), Mem{Base: k.codes, Index: k.i, Scale: 1}
	if k.lanes == 8 {
		VCMPPS(Imm(cmpEQ), v, wide, wide)
		VMOVMSKPS(wide, bits)
		MOVB(bits.As8(), to)
		VCVTPS2DQ(v, wide)
		VMULPS(scale, v, v)
		VMOVUPS(v, k.at(k.dst, 0))
		VEXTRACTI128(Imm(1), wide, hi.AsX())
		VPACKSSDW(hi.AsX(), wide.AsX(), wide.AsX())
		VPACKSSWB(wide.AsX(), wide.AsX(), wide.AsX())
		VMOVQ(wide.AsX(), codes)
		return
	}
	m := K()
	VCMPPS(Imm(cmpEQ), v, wide, m)
	VCVTPS2DQ(v, wide)
	VMULPS(scale, v, v)
	if tail == nil {
		KMOVW(m, to)
		VMOVUPS(v, k.at(k.dst, 0))
		VPMOVDB(wide, codes)
		return
	}
	none := K() // lanes that do not exist pass
	KNOTW(tail, none)
	KORW(none, m, m)
	KMOVW(m, to)
	VMOVUPS(v, tail, k.at(k.dst, 0))
	VPMOVDB(wide, tail, codes)
}

// emitLSQRow is emitLSQ with a grid and sums for each element.
func emitLSQRow() {
	k := beginElem("lsqRowAVX2", "func(dx, x, dy *float32, n int, scale, lo, hi *float32, ds, dz *float64)", "lsqRowAVX2 is LSQRow.")
	dx, x, dy, scale, lo, hi := ptr("dx"), ptr("x"), ptr("dy"), ptr("scale"), ptr("lo"), ptr("hi")
	sums := []GPVirtual{ptr("ds"), ptr("dz")}
	magic, one := roundMagic(), bits32(0x3f800000)
	k.loop(1, func(int) {
		r, low, high := load(k.at(x, 0)), load(k.at(lo, 0)), load(k.at(hi, 0))
		low1, high1 := YMM(), YMM()
		VSUBPS(one, low, low1)
		VADDPS(one, high, high1)
		gridVecs{load(k.at(scale, 0)), low1, high1, magic}.steps(r)
		in, c := YMM(), YMM()
		VMAXPS(low, r, c)
		VMINPS(c, high, c)
		VCMPPS(Imm(cmpEQ), c, r, in)
		d := load(k.at(dy, 0))
		for h := range 2 {
			r64, v64, s64, c64, d64, m64 := half(r, h), YMM(), YMM(), half(c, h), half(d, h), YMM()
			VCVTPS2PD(k.at(x, 0).Offset(16*h), v64)
			VCVTPS2PD(k.at(scale, 0).Offset(16*h), s64)
			VDIVPD(s64, v64, v64)
			VSUBPD(v64, r64, r64)
			if h == 0 {
				VPMOVSXDQ(in.AsX(), m64)
			} else {
				VEXTRACTI128(Imm(1), in, m64.AsX())
				VPMOVSXDQ(m64.AsX(), m64)
			}
			VBLENDVPD(m64, r64, c64, c64)
			VMULPD(d64, c64, c64)
			at := func(i int) Mem { return Mem{Base: sums[i], Index: k.i, Scale: 8, Disp: 32 * h} }
			VADDPD(at(0), c64, c64)
			VMOVUPD(c64, at(0))
			VMULPD(s64, d64, d64)
			VANDNPD(d64, m64, d64)
			VMOVUPD(at(1), c64)
			VSUBPD(d64, c64, c64)
			VMOVUPD(c64, at(1))
		}
		VANDPS(d, in, in)
		VMOVUPS(in, k.at(dx, 0))
	})
	endElem()
}
