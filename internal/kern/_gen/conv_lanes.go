package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// emitLanes9 emits the kernel that adds, lane by lane, the products of a plane of
// dy and of nine columns of x.
func emitLanes9() {
	convStart("convLanes9")
	Label("plane")
	args := Load(Param("t"), GP64()).(GPVirtual)
	off := nineOffsets(args, nineOffB)
	vecs, n := convField(args, nineVecs), convField(args, nineN)
	at, second := GP64(), GP64()
	var acc [nine]VecVirtual
	for i := range acc {
		acc[i] = ZMM()
		VPXORD(acc[i], acc[i], acc[i])
	}
	d, x, m0, m1 := ZMM(), ZMM(), K(), K()
	next := func() {
		ADDQ(Imm(vecSize), vecs)
		DECQ(n)
		JNZ(LabelRef("vector"))
	}
	Label("vector")
	MOVL(Mem{Base: vecs, Disp: vecMask0}, at.As32())
	CMPL(at.As32(), U32(0xffff)) // one run of sixteen
	JNE(LabelRef("masked"))
	MOVQ(Mem{Base: args, Disp: nineDY}, at)
	MOVQ(Mem{Base: vecs, Disp: vecFirst}, second)
	VMOVUPS(Mem{Base: at, Index: second, Scale: 4}, d)
	MOVQ(Mem{Base: vecs, Disp: vecOff0}, at)
	ADDQ(Mem{Base: args, Disp: nineX}, at)
	for i := range off {
		VFMADD231PS(Mem{Base: at, Index: off[i], Scale: 1}, d, acc[i])
	}
	next()
	JMP(LabelRef("sum"))
	Label("masked")
	MOVQ(Mem{Base: args, Disp: nineDY}, at)
	MOVQ(Mem{Base: vecs, Disp: vecFirst}, second)
	KMOVW(Mem{Base: vecs, Disp: vecMask0}, m0)
	KMOVW(Mem{Base: vecs, Disp: vecMask1}, m1)
	KORW(m0, m1, m1)
	VMOVUPS_Z(Mem{Base: at, Index: second, Scale: 4}, m1, d)
	nineMasked(vecs, at, second, m0, m1, func() {
		ADDQ(Mem{Base: args, Disp: nineX}, at)
		ADDQ(Mem{Base: args, Disp: nineX}, second)
	})
	for i := range off {
		VMOVUPS_Z(Mem{Base: at, Index: off[i], Scale: 1}, m0, x)
		VMOVUPS(Mem{Base: second, Index: off[i], Scale: 1}, m1, x)
		VFMADD231PS(x, d, acc[i])
	}
	next()
	Label("sum")
	sum := convField(args, nineSum)
	for i, z := range acc {
		VADDPS(Mem{Base: sum, Disp: 64 * i}, z, z)
		VMOVUPS(z, Mem{Base: sum, Disp: 64 * i})
	}
	nextPlane(ninePlanes, [][2]int{{nineX, nineStepX}, {nineDY, nineStepDY}, {nineSum, nineStepSum}})
	convEnd()
}

// emitLanes emits the kernel that adds, lane by lane, the products of rows rows of
// dy and of three columns of x.
func emitLanes(rows int) {
	args := convStart(fmt.Sprintf("convLanesx%d", rows))
	n, vecs, step := convField(args, laneN), convField(args, laneVecs), convField(args, laneStep)
	var x [laneCols]GPVirtual
	for j := range x {
		x[j] = convField(args, laneX+8*j)
	}
	dy := convField(args, laneDY)
	d := newRowsBy(step, rows)
	acc := make([][laneCols]VecVirtual, rows)
	for i := range acc {
		for j := range acc[i] {
			acc[i][j] = ZMM()
			VPXORD(acc[i][j], acc[i][j], acc[i][j])
		}
	}
	off := GP64()
	var v [laneCols]VecVirtual
	for j := range v {
		v[j] = ZMM()
	}
	Label("vector")
	MOVL(Mem{Base: vecs, Disp: vecMask0}, off.As32())
	CMPL(off.As32(), U32(0xffff)) // one run of sixteen
	JNE(LabelRef("masked"))
	MOVQ(Mem{Base: vecs, Disp: vecOff0}, off)
	for j := range v {
		VMOVUPS(Mem{Base: x[j], Index: off, Scale: 1}, v[j])
	}
	laneProducts(vecs, dy, off, d, acc, v, nil)
	Label("next")
	ADDQ(Imm(vecSize), vecs)
	DECQ(n)
	JNZ(LabelRef("vector"))
	JMP(LabelRef("sum"))
	Label("masked")
	m0, m1 := K(), K()
	KMOVW(Mem{Base: vecs, Disp: vecMask0}, m0)
	KMOVW(Mem{Base: vecs, Disp: vecMask1}, m1)
	second := func() {
		MOVQ(Mem{Base: vecs, Disp: vecOff1}, off)
		for j := range v {
			VMOVUPS(Mem{Base: x[j], Index: off, Scale: 1}, m1, v[j])
		}
	}
	MOVQ(Mem{Base: vecs, Disp: vecOff0}, off)
	KORTESTW(m0, m1)
	JCC(LabelRef("part"))
	for j := range v { // two runs: what the first load finds behind the first is replaced
		VMOVUPS(Mem{Base: x[j], Index: off, Scale: 1}, v[j])
	}
	second()
	laneProducts(vecs, dy, off, d, acc, v, nil)
	JMP(LabelRef("next"))
	Label("part")
	for j := range v {
		VMOVUPS_Z(Mem{Base: x[j], Index: off, Scale: 1}, m0, v[j])
	}
	second()
	KORW(m0, m1, m0)
	laneProducts(vecs, dy, off, d, acc, v, m0)
	JMP(LabelRef("next"))
	Label("sum")
	args = Load(Param("t"), GP64()).(GPVirtual)
	sum, sumStep := convField(args, laneSum), convField(args, laneSumStep)
	for i := range acc {
		for j, z := range acc[i] {
			VADDPS(Mem{Base: sum, Disp: 64 * j}, z, z)
			VMOVUPS(z, Mem{Base: sum, Disp: 64 * j})
		}
		if i < rows-1 {
			ADDQ(sumStep, sum)
		}
	}
	convEnd()
}

// laneProducts adds the products of one vector; mask is nil for a whole one.
func laneProducts(vecs, dy, off GPVirtual, d *rowsBy, acc [][laneCols]VecVirtual, v [laneCols]VecVirtual, mask Op) {
	MOVQ(Mem{Base: vecs, Disp: vecFirst}, off)
	LEAQ(Mem{Base: dy, Index: off, Scale: 4}, off)
	for i := range acc {
		e := ZMM()
		if mask == nil {
			VMOVUPS(d.row(off, i), e)
		} else {
			VMOVUPS_Z(d.row(off, i), mask, e)
		}
		for j := range v {
			VFMADD231PS(e, v[j], acc[i][j])
		}
	}
}

// emitLanesAVX2 is emitLanes for one row, in halves of eight lanes.
func emitLanesAVX2() {
	args := convStart("convLanesAVX2")
	n, vecs, dy := convField(args, laneN), convField(args, laneVecs), convField(args, laneDY)
	var x [laneCols]GPVirtual
	for j := range x {
		x[j] = convField(args, laneX+8*j)
	}
	var acc [2][laneCols]VecVirtual
	for h := range acc {
		for j := range acc[h] {
			acc[h][j] = YMM()
			VPXOR(acc[h][j], acc[h][j], acc[h][j])
		}
	}
	o0, o1, first, bits := GP64(), GP64(), GP64(), convField(args, laneBits)
	Label("vector")
	MOVQ(Mem{Base: vecs, Disp: vecOff0}, o0)
	MOVQ(Mem{Base: vecs, Disp: vecFirst}, first)
	CMPL(Mem{Base: vecs, Disp: vecMask0}, U32(0xffff)) // one run of sixteen
	JNE(LabelRef("masked"))
	for h := range acc {
		d := YMM()
		VMOVUPS(Mem{Base: dy, Index: first, Scale: 4, Disp: 32 * h}, d)
		for j := range x {
			VFMADD231PS(Mem{Base: x[j], Index: o0, Scale: 1, Disp: 32 * h}, d, acc[h][j])
		}
	}
	Label("next")
	ADDQ(Imm(vecSize), vecs)
	DECQ(n)
	JNZ(LabelRef("vector"))
	JMP(LabelRef("sum"))
	Label("masked")
	MOVQ(Mem{Base: vecs, Disp: vecOff1}, o1)
	m0, m1, t, d, v := YMM(), YMM(), YMM(), YMM(), YMM()
	for h := range acc {
		halfMask(vecs, bits, 0, h, m0)
		halfMask(vecs, bits, 1, h, m1)
		VPOR(m0, m1, t)
		VMASKMOVPS(Mem{Base: dy, Index: first, Scale: 4, Disp: 32 * h}, t, d)
		for j := range x {
			VMASKMOVPS(Mem{Base: x[j], Index: o0, Scale: 1, Disp: 32 * h}, m0, v)
			VMASKMOVPS(Mem{Base: x[j], Index: o1, Scale: 1, Disp: 32 * h}, m1, t)
			VORPS(t, v, v)
			VFMADD231PS(v, d, acc[h][j])
		}
	}
	JMP(LabelRef("next"))
	Label("sum")
	sum := convField(args, laneSum)
	for h := range acc {
		for j, y := range acc[h] {
			VADDPS(Mem{Base: sum, Disp: 64*j + 32*h}, y, y)
			VMOVUPS(y, Mem{Base: sum, Disp: 64*j + 32*h})
		}
	}
	convEnd()
}

// emitAddLanes emits the kernel that sums sixteen lanes in halves.
func emitAddLanes() {
	args := convStart("convAddLanes")
	dst, src, n := convField(args, 0), convField(args, 8), convField(args, 16)
	Label("sum")
	y, x, t := YMM(), XMM(), XMM()
	VMOVUPS(Mem{Base: src}, y)
	VADDPS(Mem{Base: src, Disp: 32}, y, y)
	VEXTRACTF128(Imm(1), y, t)
	VADDPS(t, y.AsX(), x)
	VMOVHLPS(x, x, t)
	VADDPS(t, x, x)
	VMOVSHDUP(x, t)
	VADDSS(t, x, x)
	VMOVSS(x, Mem{Base: dst})
	ADDQ(Imm(64), src)
	ADDQ(Imm(4), dst)
	DECQ(n)
	JNZ(LabelRef("sum"))
	convEnd()
}

// emitAddLanes16 is emitAddLanes for sixteen sums at a time: each halving puts two vectors
// into one, and the last one leaves the sums in columns of four.
func emitAddLanes16() {
	args := convStart("convAddLanes16")
	dst, src, n := convField(args, 0), convField(args, 8), convField(args, 16)
	order := ZMM()
	VMOVDQU32(Mem{Base: convField(args, 24)}, order)
	Label("sums")
	var v []VecVirtual
	for i := range 8 {
		a, b, at := ZMM(), ZMM(), Mem{Base: src, Disp: 128*i + 64}
		VMOVUPS(Mem{Base: src, Disp: 128 * i}, a)
		VSHUFF64X2(Imm(0x44), at, a, b)
		VSHUFF64X2(Imm(0xee), at, a, a)
		VADDPS(a, b, b)
		v = append(v, b)
	}
	halve := func(low, high func(a, b, to VecVirtual)) {
		for i := range len(v) / 2 {
			a, b, t := v[2*i], v[2*i+1], ZMM()
			low(a, b, t)
			high(a, b, a)
			VADDPS(a, t, t)
			v[i] = t
		}
		v = v[:len(v)/2]
	}
	halve(func(a, b, to VecVirtual) { VSHUFF64X2(Imm(0x88), b, a, to) }, func(a, b, to VecVirtual) { VSHUFF64X2(Imm(0xdd), b, a, to) })
	halve(func(a, b, to VecVirtual) { VUNPCKLPD(b, a, to) }, func(a, b, to VecVirtual) { VUNPCKHPD(b, a, to) })
	halve(func(a, b, to VecVirtual) { VSHUFPS(Imm(0x88), b, a, to) }, func(a, b, to VecVirtual) { VSHUFPS(Imm(0xdd), b, a, to) })
	VPERMPS(v[0], order, v[0])
	VMOVUPS(v[0], Mem{Base: dst})
	ADDQ(U32(16*64), src)
	ADDQ(Imm(64), dst)
	DECQ(n)
	JNZ(LabelRef("sums"))
	convEnd()
}

// rowsBy finds up to eight rows that lie step bytes apart.
type rowsBy struct{ s1, s3, s5, s7 GPVirtual }

func newRowsBy(step GPVirtual, rows int) *rowsBy {
	r := &rowsBy{s1: step}
	for _, e := range []struct {
		rows  int
		reg   *GPVirtual
		from  *GPVirtual
		scale uint8
	}{{3, &r.s3, &r.s1, 2}, {5, &r.s5, &r.s1, 4}, {7, &r.s7, &r.s3, 2}} {
		if rows > e.rows {
			*e.reg = GP64()
			LEAQ(Mem{Base: step, Index: *e.from, Scale: e.scale}, *e.reg)
		}
	}
	return r
}

func (r *rowsBy) row(p GPVirtual, i int) Mem {
	switch i {
	case 0:
		return Mem{Base: p}
	case 1, 2, 4:
		return Mem{Base: p, Index: r.s1, Scale: uint8(i)}
	case 3, 6:
		return Mem{Base: p, Index: r.s3, Scale: uint8(i / 3)}
	case 5:
		return Mem{Base: p, Index: r.s5, Scale: 1}
	}
	return Mem{Base: p, Index: r.s7, Scale: 1}
}
