package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// emitActPool emits the finishing pass with the pooling behind it, and the gradient of
// both. A vector of eight windows has 4 bytes of picks: the lanes of the first row of
// inputs, then those of the second. With rounding it takes more than AVX2's sixteen registers.
func emitActPool() {
	emitFinishPool("finishPool2AVX2", false)
	emitFinishPool("finishPool2QuantAVX512", true)
	emitPickBack()
}

func emitFinishPool(name string, quant bool) {
	beginPool(name, "func(dst, x *float32, ow, oh, w, spill int, k *float32, picks *uint8)", name+" is actPool2; picks may be nil.")
	p, dst, r0, r1, picks := newPool2(), ptr("dst"), ptr("x"), GP64(), ptr("picks")
	f, largest := loadFinish(ptr("k"), quant), maxOf
	if quant {
		largest = maxOfRounded
	}
	LEAQ(Mem{Base: r0, Index: p.rowBytes, Scale: 1}, r1)
	p.rows(func(m *[3]VecVirtual, spill bool) {
		limit := m
		if spill {
			limit = nil
		}
		var y [4]VecVirtual
		var pass [4]GPVirtual
		for i, r := range []GPVirtual{r0, r0, r1, r1} {
			y[i], pass[i] = p.get(r, i%2, limit), GP32()
			VMOVMSKPS(f.value(y[i]), pass[i])
		}
		v := maxOfFour(y, largest)
		p.put(v, dst, 2, limit)
		id := newLabel()
		TESTQ(picks, picks)
		JZ(LabelRef("nopicks" + id))
		for i, e := range firstEqual(y, v, !quant) {
			if m != nil {
				VANDPS(m[i%2], e, e)
			}
			b := GP32()
			VMOVMSKPS(e, b)
			ANDL(pass[i], b)
			MOVB(b.As8(), Mem{Base: picks, Disp: i})
		}
		ADDQ(Imm(4), picks)
		Label("nopicks" + id)
	}, func() {
		LEAQ(Mem{Base: dst, Index: p.ow, Scale: 4}, dst)
		LEAQ(Mem{Base: r0, Index: p.rowBytes, Scale: 2}, r0)
		LEAQ(Mem{Base: r1, Index: p.rowBytes, Scale: 2}, r1)
	})
	endElem()
}

// maxOfFour returns the maxima of eight windows: the first row's vectors, then the second's.
func maxOfFour(y [4]VecVirtual, max func(a, b VecVirtual) VecVirtual) VecVirtual {
	a, b := max(y[0], y[2]), max(y[1], y[3])
	even, odd := YMM(), YMM()
	VSHUFPS(Imm(0x88), b, a, even)
	VSHUFPS(Imm(0xdd), b, a, odd)
	v := max(even, odd)
	VPERMPD(Imm(0xd8), v, v)
	return v
}

// maxOfRounded is maxOf of numbers on a grid, among which are no NaN and no -0.
func maxOfRounded(a, b VecVirtual) VecVirtual {
	v := YMM()
	VMAXPS(a, b, v)
	return v
}

// firstEqual turns the vectors of eight windows into masks of the first element of each
// window that equals its maximum or, if there may be NaN, is NaN as it is.
func firstEqual(y [4]VecVirtual, top VecVirtual, nan bool) [4]VecVirtual {
	for u, index := range doubleIndex() {
		m := YMM()
		VPERMPS(top, index, m)
		for _, v := range []VecVirtual{y[u], y[u+2]} {
			if !nan {
				VCMPPS(Imm(cmpEQ), m, v, v)
				continue
			}
			e, isNaN := YMM(), YMM()
			VCMPPS(Imm(cmpEQ), m, v, e)
			VCMPPS(Imm(cmpUNORD), v, v, v)
			VCMPPS(Imm(cmpUNORD), m, m, isNaN)
			VANDPS(isNaN, v, v)
			VORPS(e, v, v)
		}
		has := YMM() // the window has one in its first row
		VPSHUFD(Imm(0xb1), y[u], has)
		VORPS(y[u], has, has)
		firstOfPair(y[u])
		firstOfPair(y[u+2])
		VANDNPS(y[u+2], has, y[u+2])
	}
	return y
}

// firstOfPair clears odd lanes whose even neighbour is set.
func firstOfPair(e VecVirtual) {
	s := YMM()
	VPSLLQ(Imm(32), e, s)
	VANDNPS(e, s, e)
}

func emitPickBack() {
	beginPool("pickPool2AVX2", "func(dx, dout *float32, ow, oh, w, spill int, picks *uint8)", "pickPool2AVX2 writes the gradient of finishPool2AVX2, without elements that no window covers.")
	p, dx, dout, picks := newPool2(), ptr("dx"), ptr("dout"), ptr("picks")
	zero, bv, dup := zeroVec(), bitVec(), doubleIndex()
	d1 := GP64()
	p.rows(func(mask *[3]VecVirtual, spill bool) {
		LEAQ(Mem{Base: dx, Index: p.rowBytes, Scale: 1}, d1)
		limit := mask
		if spill { // lanes without a window have no picks: what spills is 0
			limit = nil
		}
		d := p.get(dout, 2, limit)
		VADDPS(zero, d, d) // a sum that starts at 0 never ends at -0
		var lows [2]VecVirtual
		for u := range 2 {
			v, m := YMM(), YMM()
			VPERMPS(d, dup[u], v)
			spread(Mem{Base: picks, Disp: u}, bv, m)
			VANDPS(v, m, m)
			p.put(m, dx, u, limit)
			lows[u] = YMM()
			spread(Mem{Base: picks, Disp: u + 2}, bv, lows[u])
			VANDPS(v, lows[u], lows[u])
		}
		for u := range 2 { // behind both vectors of the first row, which may spill into this one
			p.put(lows[u], d1, u, limit)
		}
		ADDQ(Imm(4), picks)
	}, func() {
		LEAQ(Mem{Base: dout, Index: p.ow, Scale: 4}, dout)
		LEAQ(Mem{Base: dx, Index: p.rowBytes, Scale: 2}, dx)
	})
	endElem()
}
