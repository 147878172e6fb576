package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// The sums of elem_sums.go on vectors of sixteen: eight lanes in each register, and masks
// as they lie in memory.

// pair512 are sixteen running float64 sums.
type pair512 [2]VecVirtual

func loadPair512(p GPVirtual, off int) (l pair512) {
	for i := range l {
		l[i] = ZMM()
		VMOVUPD(Mem{Base: p, Disp: off + 64*i}, l[i])
	}
	return l
}

func (l pair512) store(p GPVirtual, off int) {
	for i := range l {
		VMOVUPD(l[i], Mem{Base: p, Disp: off + 64*i})
	}
}

// rows512 calls part for every sixteen elements of every plane, with the lanes of the
// first and the second eight to take, or nil for all: those of the mask, if there is
// one, and of the end of a plane. k.n need not be a multiple of 16.
func (k *elemKernel) rows512(pointers []GPVirtual, mask, maskStride GPVirtual, part func(lanes *[2]OpmaskVirtual)) {
	end, left := GP64(), GP64()
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
	j := GP64()
	XORQ(j, j)
	Label("pair")
	LEAQ(Mem{Base: k.i, Disp: 16}, end)
	CMPQ(end, k.n)
	JA(LabelRef("tail"))
	for _, p := range ahead { // the processor does not see the next plane coming
		PREFETCHT0(k.at(p, 0))
	}
	if mask != nil {
		lanes := [2]OpmaskVirtual{K(), K()}
		for u := range lanes {
			KMOVB(Mem{Base: mask, Index: j, Scale: 1, Disp: u}, lanes[u])
		}
		part(&lanes)
		ADDQ(Imm(2), j)
	} else {
		part(nil)
	}
	MOVQ(end, k.i)
	JMP(LabelRef("pair"))
	Label("tail")
	MOVQ(k.n, left)
	SUBQ(k.i, left)
	JZ(LabelRef("done"))
	k.tail512(left, mask, j, part)
	Label("done")
	for i, p := range pointers {
		MOVQ(ahead[i], p)
	}
	if mask != nil {
		ADDQ(maskStride, mask)
	}
	DECQ(planes)
	JNZ(LabelRef("plane"))
}

// tail512 calls part for the last left elements, fewer than sixteen.
func (k *elemKernel) tail512(left, mask, j GPVirtual, part func(lanes *[2]OpmaskVirtual)) {
	all, b := GP32(), GP32()
	MOVL(U32(1<<16-1), all)
	BZHIL(left.As32(), all, all)
	lanes := [2]OpmaskVirtual{K(), K()}
	for u := range lanes {
		if mask == nil {
			KMOVB(all, lanes[u])
			SHRL(Imm(8), all)
			continue
		}
		id := newLabel()
		XORL(b, b)
		if u > 0 { // the second byte may not exist
			CMPQ(left, Imm(8))
			JLE(LabelRef("short" + id))
		}
		MOVBLZX(Mem{Base: mask, Index: j, Scale: 1, Disp: u}, b)
		Label("short" + id)
		ANDL(all, b)
		KMOVB(b, lanes[u])
		SHRL(Imm(8), all)
	}
	part(&lanes)
}

// wide loads eight float32 as float64, 0 where lanes says no.
func wide(m Mem, lanes *[2]OpmaskVirtual, u int) VecVirtual {
	v := ZMM()
	if lanes == nil {
		VCVTPS2PD(m, v)
	} else {
		VCVTPS2PD_Z(m, lanes[u], v)
	}
	return v
}

func emitSums512() {
	emitExtent512()
	k := beginElem("statsAVX512", "func(x *float32, n, planes, stride int, lanes *float64, out *float32) uint32", "statsAVX512 is statsAVX2.")
	x, lanes, out := ptr("x"), ptr("lanes"), ptr("out")
	a, b := loadPair512(lanes, 0), loadPair512(lanes, 128)
	e := newExtent()
	k.rows512([]GPVirtual{x}, nil, nil, func(lanes *[2]OpmaskVirtual) {
		for u := range 2 {
			v := wide(k.at(x, u), lanes, u)
			VADDPD(v, a[u], a[u])
			VFMADD231PD(v, v, b[u]) // the product is exact, so it fuses without a difference
			f, t := YMM(), YMM()
			if lanes == nil {
				VMOVUPS(k.at(x, u), f)
				VMINPS(e.lo, f, e.lo)
				VMAXPS(e.hi, f, e.hi)
			} else {
				VMOVUPS_Z(k.at(x, u), lanes[u], f)
				VMINPS(e.lo, f, lanes[u], e.lo)
				VMAXPS(e.hi, f, lanes[u], e.hi)
			}
			VSUBPS(f, f, t)
			VORPS(t, e.bad, e.bad)
		}
	})
	a.store(lanes, 0)
	b.store(lanes, 128)
	e.store(out)
	endElem()
	for _, product := range []bool{false, true} {
		for _, masked := range []bool{false, true} {
			emitSum512(product, masked)
		}
	}
}

// emitSum512 adds where a bit is set, or everywhere.
func emitSum512(product, masked bool) {
	name, args, doc, where := "sum", "dy", "dy", ""
	if masked {
		name, where = "maskedSum", " where the bit is set"
	}
	if product {
		name, args, doc = name+"s", "dy, x", "dy (and dy*x)"
	}
	args += " *float32, n, planes, stride int, lanes *float64"
	if masked {
		args += ", mask *uint8, maskStride int"
	}
	k := beginElem(name+"AVX512", "func("+args+")", name+"AVX512 adds planes of "+doc+", stride elements apart, to the lanes"+where+".")
	dy, lanes := ptr("dy"), ptr("lanes")
	moving := []GPVirtual{dy}
	var x, mask, maskStride GPVirtual
	a, b := loadPair512(lanes, 0), pair512{}
	if product {
		x = ptr("x")
		moving = append(moving, x)
		b = loadPair512(lanes, 128)
	}
	if masked {
		mask, maskStride = ptr("mask"), ptr("maskStride")
	}
	k.rows512(moving, mask, maskStride, func(lanes *[2]OpmaskVirtual) {
		for u := range 2 {
			d := wide(k.at(dy, u), lanes, u)
			VADDPD(d, a[u], a[u])
			if product {
				VFMADD231PD(d, wide(k.at(x, u), lanes, u), b[u]) // exact products, as above
			}
		}
	})
	a.store(lanes, 0)
	if product {
		b.store(lanes, 128)
	}
	endElem()
}

// emitExtent512 emits extentAVX512, whose n is a multiple of 16.
func emitExtent512() {
	k := beginElem("extentAVX512", "func(x *float32, n int, out *float32) uint32", "extentAVX512 is extentAVX2.")
	k.lanes = 16
	x, out, t := ptr("x"), ptr("out"), ZMM()
	var all [4]extentVecs // apart, since each step has to wait for the one before
	for i := range all {
		e := &all[i]
		e.lo, e.hi, e.bad = ZMM(), ZMM(), ZMM()
		if i > 0 {
			VMOVAPS(all[0].lo, e.lo)
			VMOVAPS(all[0].hi, e.hi)
			VMOVAPS(all[0].bad, e.bad)
			continue
		}
		VBROADCASTSS(bits32(0x7f7fffff).AsX(), e.lo)
		VBROADCASTSS(bits32(0xff7fffff).AsX(), e.hi)
		VPXORD(e.bad, e.bad, e.bad)
	}
	k.loop(4, func(u int) {
		v, e := ZMM(), all[u]
		VMOVUPS(k.at(x, u), v)
		VMINPS(e.lo, v, e.lo)
		VMAXPS(e.hi, v, e.hi)
		VSUBPS(v, v, v)
		VORPS(v, e.bad, e.bad)
	})
	join := func(a, b extentVecs) {
		VMINPS(b.lo, a.lo, a.lo)
		VMAXPS(b.hi, a.hi, a.hi)
		VORPS(b.bad, a.bad, a.bad)
	}
	join(all[0], all[1])
	join(all[2], all[3])
	join(all[0], all[2])
	y := func(v VecVirtual) VecVirtual { return v.AsY().(VecVirtual) }
	low := extentVecs{y(all[0].lo), y(all[0].hi), y(all[0].bad)}
	for _, v := range []struct {
		from, to VecVirtual
		op       func(a, b, c Op)
	}{
		{all[0].lo, low.lo, func(a, b, c Op) { VMINPS(a, b, c) }},
		{all[0].hi, low.hi, func(a, b, c Op) { VMAXPS(a, b, c) }},
		{all[0].bad, low.bad, func(a, b, c Op) { VORPS(a, b, c) }},
	} {
		VEXTRACTF64X4(Imm(1), v.from, t.AsY())
		v.op(t.AsY(), v.to, v.to)
	}
	low.store(out)
	endElem()
}
