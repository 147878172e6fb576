package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// emitSweep emits the kernel of one row of weights over a list of vectors.
func emitSweep() {
	convStart("convSweep")
	Label("plane")
	args := Load(Param("t"), GP64()).(GPVirtual)
	k, w, b, offB := convField(args, sweepK), convField(args, sweepW), convField(args, sweepB), convField(args, sweepOffB)
	vecs, n, c := convField(args, sweepVecs), convField(args, sweepN), convField(args, sweepC)
	LEAQ(Mem{Base: offB, Index: k, Scale: 8}, offB) // the steps run from -k to 0
	LEAQ(Mem{Base: w, Index: k, Scale: 4}, w)
	NEGQ(k)
	bias, has := sweepBias(args)
	Label("vector")
	m0, m1 := K(), K()
	KMOVW(Mem{Base: vecs, Disp: vecMask0}, m0)
	KMOVW(Mem{Base: vecs, Disp: vecMask1}, m1)
	b0, b1, i, off := convField(vecs, vecOff0), convField(vecs, vecOff1), GP64(), GP64()
	ADDQ(b, b0)
	ADDQ(b, b1)
	acc, x := ZMM(), ZMM()
	VPXORD(acc, acc, acc)
	MOVQ(k, i)
	Label("step")
	MOVQ(Mem{Base: offB, Index: i, Scale: 8}, off)
	VMOVUPS_Z(Mem{Base: b0, Index: off, Scale: 1}, m0, x)
	VMOVUPS(Mem{Base: b1, Index: off, Scale: 1}, m1, x)
	VFMADD231PS_BCST(Mem{Base: w, Index: i, Scale: 4}, x, acc)
	INCQ(i)
	JNZ(LabelRef("step"))
	VADDPS(bias, acc, has, acc)
	KORW(m0, m1, m0)
	MOVQ(Mem{Base: vecs, Disp: vecFirst}, off)
	VMOVUPS(acc, m0, Mem{Base: c, Index: off, Scale: 4})
	ADDQ(Imm(vecSize), vecs)
	DECQ(n)
	JNZ(LabelRef("vector"))
	sweepNext()
	convEnd()
}

// sweepBias returns the plane's bias and the mask with which it is added: with all
// lanes or, when there is no bias, with none, because adding 0 would change -0.
func sweepBias(args GPVirtual) (bias VecVirtual, has OpmaskVirtual) {
	bias, has = ZMM(), K()
	p := convField(args, sweepBia)
	KXORW(has, has, has)
	TESTQ(p, p)
	JZ(LabelRef("nobias"))
	KXNORW(has, has, has)
	VBROADCASTSS(Mem{Base: p}, bias)
	Label("nobias")
	return bias, has
}

func sweepNext() {
	nextPlane(sweepPlanes, [][2]int{{sweepW, sweepStepW}, {sweepB, sweepStepB}, {sweepC, sweepStepC}, {sweepBia, sweepStepBia}})
}

// nineOffsets loads the offsets of nine taps.
func nineOffsets(args GPVirtual, disp int) (off [nine]GPVirtual) {
	table := convField(args, disp)
	for i := range off {
		off[i] = convField(table, 8*i)
	}
	return off
}

// emitSweep9 is emitSweep for nine steps, whose weights and offsets stay in registers.
func emitSweep9() {
	convStart("convSweep9")
	Label("plane")
	args := Load(Param("t"), GP64()).(GPVirtual)
	off, w := nineOffsets(args, sweepOffB), convField(args, sweepW)
	var z [nine]VecVirtual
	for i := range z {
		z[i] = ZMM()
		VBROADCASTSS(Mem{Base: w, Disp: 4 * i}, z[i])
	}
	bias, has := sweepBias(args)
	vecs, n := convField(args, sweepVecs), convField(args, sweepN)
	at, second := GP64(), GP64()
	acc, x, m0, m1 := ZMM(), ZMM(), K(), K()
	store := func(mask Op) {
		VADDPS(bias, acc, has, acc)
		MOVQ(Mem{Base: vecs, Disp: vecFirst}, at)
		SHLQ(Imm(2), at)
		ADDQ(Mem{Base: args, Disp: sweepC}, at)
		if mask == nil {
			VMOVUPS(acc, Mem{Base: at})
		} else {
			VMOVUPS(acc, mask, Mem{Base: at})
		}
		ADDQ(Imm(vecSize), vecs)
		DECQ(n)
		JNZ(LabelRef("vector"))
		JMP(LabelRef("end"))
	}
	Label("vector")
	VPXORD(acc, acc, acc)
	MOVL(Mem{Base: vecs, Disp: vecMask0}, at.As32())
	CMPL(at.As32(), U32(0xffff)) // one run of sixteen
	JNE(LabelRef("masked"))
	MOVQ(Mem{Base: vecs, Disp: vecOff0}, at)
	ADDQ(Mem{Base: args, Disp: sweepB}, at)
	for i := range off {
		VFMADD231PS(Mem{Base: at, Index: off[i], Scale: 1}, z[i], acc)
	}
	store(nil)
	Label("masked")
	nineMasked(vecs, at, second, m0, m1, func() {
		ADDQ(Mem{Base: args, Disp: sweepB}, at)
		ADDQ(Mem{Base: args, Disp: sweepB}, second)
	})
	for i := range off {
		VMOVUPS_Z(Mem{Base: at, Index: off[i], Scale: 1}, m0, x)
		VMOVUPS(Mem{Base: second, Index: off[i], Scale: 1}, m1, x)
		VFMADD231PS(x, z[i], acc)
	}
	KORW(m0, m1, m0)
	store(m0)
	Label("end")
	sweepNext()
	convEnd()
}

// nineMasked loads the masks and the places of a vector of two runs.
func nineMasked(vecs, at, second GPVirtual, m0, m1 Op, base func()) {
	KMOVW(Mem{Base: vecs, Disp: vecMask0}, m0)
	KMOVW(Mem{Base: vecs, Disp: vecMask1}, m1)
	MOVQ(Mem{Base: vecs, Disp: vecOff0}, at)
	MOVQ(Mem{Base: vecs, Disp: vecOff1}, second)
	base()
}

// halfMask makes the AVX2 mask of one half of the lanes of a run.
func halfMask(vecs, bits GPVirtual, run, half int, m VecVirtual) {
	word := GP32()
	MOVWLZX(Mem{Base: vecs, Disp: vecMask0 + 2*run}, word)
	VMOVD(word, m.AsX())
	VPBROADCASTD(m.AsX(), m)
	VPAND(Mem{Base: bits, Disp: 32 * half}, m, m)
	VPCMPEQD(Mem{Base: bits, Disp: 32 * half}, m, m)
}

// emitSweepAVX2 is emitSweep in halves of eight lanes.
func emitSweepAVX2() {
	convStart("convSweepAVX2")
	Label("plane")
	args := Load(Param("t"), GP64()).(GPVirtual)
	k, w, b, offB := convField(args, sweepK), convField(args, sweepW), convField(args, sweepB), convField(args, sweepOffB)
	vecs, n := convField(args, sweepVecs), convField(args, sweepN)
	LEAQ(Mem{Base: offB, Index: k, Scale: 8}, offB) // the steps run from -k to 0
	LEAQ(Mem{Base: w, Index: k, Scale: 4}, w)
	NEGQ(k)
	Label("vector")
	b0, b1, i, off := convField(vecs, vecOff0), convField(vecs, vecOff1), GP64(), GP64()
	ADDQ(b, b0)
	ADDQ(b, b1)
	acc, z, x, t := [2]VecVirtual{YMM(), YMM()}, YMM(), YMM(), YMM()
	m := [2][2]VecVirtual{{YMM(), YMM()}, {YMM(), YMM()}}
	for h := range acc {
		VXORPS(acc[h], acc[h], acc[h])
	}
	MOVQ(k, i)
	CMPL(Mem{Base: vecs, Disp: vecMask0}, U32(0xffff)) // one run of sixteen
	JNE(LabelRef("masked"))
	Label("step")
	MOVQ(Mem{Base: offB, Index: i, Scale: 8}, off)
	VBROADCASTSS(Mem{Base: w, Index: i, Scale: 4}, z)
	for h := range acc {
		VFMADD231PS(Mem{Base: b0, Index: off, Scale: 1, Disp: 32 * h}, z, acc[h])
	}
	INCQ(i)
	JNZ(LabelRef("step"))
	sweepBiasAVX2(args, "whole", acc, z)
	c := sweepPlace(args, vecs, off)
	Label("store")
	for h := range acc {
		VMOVUPS(acc[h], c.Offset(32*h))
	}
	JMP(LabelRef("next"))
	Label("masked")
	bits := convField(args, sweepBits)
	for h := range acc {
		halfMask(vecs, bits, 0, h, m[0][h])
		halfMask(vecs, bits, 1, h, m[1][h])
	}
	Label("maskedstep")
	MOVQ(Mem{Base: offB, Index: i, Scale: 8}, off)
	VBROADCASTSS(Mem{Base: w, Index: i, Scale: 4}, z)
	for h := range acc {
		VMASKMOVPS(Mem{Base: b0, Index: off, Scale: 1, Disp: 32 * h}, m[0][h], x)
		VMASKMOVPS(Mem{Base: b1, Index: off, Scale: 1, Disp: 32 * h}, m[1][h], t)
		VORPS(t, x, x)
		VFMADD231PS(x, z, acc[h])
	}
	INCQ(i)
	JNZ(LabelRef("maskedstep"))
	sweepBiasAVX2(args, "part", acc, z)
	c = sweepPlace(args, vecs, off)
	CMPQ(Mem{Base: vecs, Disp: vecN}, Imm(16)) // masked stores are slow
	JEQ(LabelRef("store"))
	for h := range acc {
		VPOR(m[0][h], m[1][h], x)
		VMASKMOVPS(acc[h], x, c.Offset(32*h))
	}
	Label("next")
	ADDQ(Imm(vecSize), vecs)
	DECQ(n)
	JNZ(LabelRef("vector"))
	sweepNext()
	convEnd()
}

func sweepBiasAVX2(args GPVirtual, label string, acc [2]VecVirtual, z VecVirtual) {
	p := convField(args, sweepBia)
	TESTQ(p, p)
	JZ(LabelRef(label))
	VBROADCASTSS(Mem{Base: p}, z)
	for h := range acc {
		VADDPS(z, acc[h], acc[h])
	}
	Label(label)
}

// sweepPlace puts the place of a vector's output into at.
func sweepPlace(args, vecs, at GPVirtual) Mem {
	MOVQ(Mem{Base: vecs, Disp: vecFirst}, at)
	SHLQ(Imm(2), at)
	ADDQ(Mem{Base: args, Disp: sweepC}, at)
	return Mem{Base: at}
}
