package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// Offsets of the fields of kern.intEpi.
const (
	epiRows, epiAcc, epiPrev, epiSub, epiScale = 0, 8, 16, 24, 32
	epiBias, epiOut, epiLDO, epiInc            = 40, 48, 64, 72
	epiMask, epiZero, epiLo, epiHi             = 80, 84, 88, 92
	epiStep, epiQlo, epiQhi, epiClip           = 96, 100, 104, 112
)

// emitEpilogue turns tiles of sums into numbers or codes. Scales and biases belong
// to rows (convolutions) or to columns (matrix products).
func emitEpilogue(codes, columns bool) {
	name := "intEpiValues"
	if codes {
		name = "intEpiCodes"
	}
	if columns {
		name += "Columns"
	}
	args := start(name)
	e := newEpilogue(args, codes)
	rows, acc, prev := arg(args, epiRows), arg(args, epiAcc), arg(args, epiPrev)
	sub, scale, bias := arg(args, epiSub), arg(args, epiScale), arg(args, epiBias)
	out := [2]GPVirtual{arg(args, epiOut), arg(args, epiOut+8)}
	var col [2][3]VecVirtual
	if columns {
		for v := range col {
			for i, p := range []GPVirtual{sub, scale, bias} {
				col[v][i] = ZMM()
				VMOVUPS_Z(Mem{Base: p, Disp: 64 * v}, e.mask[v], col[v][i])
			}
		}
	}
	Label("row")
	for v := range 2 {
		if v == 1 {
			KTESTW(e.mask[1], e.mask[1])
			JZ(LabelRef("next"))
		}
		z := ZMM()
		VMOVDQU32(Mem{Base: acc, Disp: 64 * v}, z)
		if columns {
			VPSUBD(col[v][0], z, z)
			VCVTDQ2PS(z, z)
			VMULPS(col[v][1], z, z)
		} else {
			VPSUBD_BCST(Mem{Base: sub}, z, z)
			VCVTDQ2PS(z, z)
			VMULPS_BCST(Mem{Base: scale}, z, z)
		}
		TESTQ(prev, prev)
		first := []string{"first0", "first1"}[v]
		JZ(LabelRef(first))
		VADDPS(Mem{Base: prev, Disp: 64 * v}, z, z)
		Label(first)
		if columns {
			VADDPS(col[v][2], z, z)
		} else {
			VADDPS_BCST(Mem{Base: bias}, z, z)
		}
		e.store(z, v, Mem{Base: out[v]})
	}
	Label("next")
	ADDQ(U8(64), acc)
	ADDQ(U8(64), acc)
	TESTQ(prev, prev)
	JZ(LabelRef("step"))
	ADDQ(U8(64), prev)
	ADDQ(U8(64), prev)
	Label("step")
	for _, o := range out {
		ADDQ(Mem{Base: args, Disp: epiLDO}, o)
	}
	if !columns {
		for _, p := range []GPVirtual{sub, scale, bias} {
			ADDQ(Mem{Base: args, Disp: epiInc}, p)
		}
	}
	DECQ(rows)
	JNZ(LabelRef("row"))
	done()
}

// newEpilogue loads masks and constants.
func newEpilogue(args GPVirtual, codes bool) *epilogue {
	e := &epilogue{args: args, codes: codes}
	for i := range e.mask {
		e.mask[i] = K()
		KMOVW(Mem{Base: args, Disp: epiMask + 2*i}, e.mask[i])
	}
	if !codes {
		return e
	}
	for _, c := range []struct {
		z  *VecVirtual
		at int
	}{{&e.zero, epiZero}, {&e.lo, epiLo}, {&e.hi, epiHi}, {&e.step, epiStep}, {&e.qlo, epiQlo}, {&e.qhi, epiQhi}} {
		*c.z = ZMM()
		VPBROADCASTD(Mem{Base: args, Disp: c.at}, *c.z)
	}
	return e
}

type epilogue struct {
	args  GPVirtual
	codes bool
	mask  [2]OpmaskVirtual

	zero, lo, hi, step, qlo, qhi VecVirtual
}

// store writes a vector of numbers, or of their codes.
func (e *epilogue) store(z VecVirtual, v int, out Mem) { e.storeAs(z, fmt.Sprint(v), v, out) }

// storeAs is store with a label of the given name.
func (e *epilogue) storeAs(z VecVirtual, name string, v int, out Mem) {
	if !e.codes {
		VMOVUPS(z, e.mask[v], out)
		return
	}
	plain := "plain" + name
	CMPQ(Mem{Base: e.args, Disp: epiClip}, Imm(0))
	JEQ(LabelRef(plain))
	e.clip(z)
	Label(plain)
	e.round(z)
	VPMOVDB(z, e.mask[v], out)
}

// clip applies the activation. The order of operands of the minima and maxima
// decides what becomes of NaN: here it stays.
func (e *epilogue) clip(z VecVirtual) {
	VMAXPS(z, e.lo, z)
	VMINPS(z, e.hi, z)
}

// round makes codes of numbers; NaN becomes the lowest.
func (e *epilogue) round(z VecVirtual) {
	VDIVPS(e.step, z, z)
	VMAXPS(e.qlo, z, z)
	VMINPS(e.qhi, z, z)
	VCVTPS2DQ(z, z)
	VPADDD(e.zero, z, z)
}

// emitVector multiplies a row of unsigned bytes with a panel of 32 columns.
func emitVector() {
	TEXT("intVector", NOSPLIT, "func(c, x, w *byte, k int)")
	Pragma("noescape")
	c, x := Load(Param("c"), GP64()).(GPVirtual), Load(Param("x"), GP64()).(GPVirtual)
	w, n := Load(Param("w"), GP64()).(GPVirtual), Load(Param("k"), GP64()).(GPVirtual)
	const unroll = 4
	var acc [unroll][2]VecVirtual
	for i := range acc {
		for v := range 2 {
			acc[i][v] = ZMM()
			VPXORD(acc[i][v], acc[i][v], acc[i][v])
		}
	}
	one := func(i int) {
		z := ZMM()
		VPBROADCASTD(Mem{Base: x, Disp: 4 * i}, z)
		for v := range 2 {
			VPDPBUSD(Mem{Base: w, Disp: 128*i + 64*v}, z, acc[i][v])
		}
	}
	SUBQ(U8(unroll), n)
	JB(LabelRef("rest"))
	Label("four")
	for i := range acc {
		one(i)
	}
	ADDQ(U8(4*unroll), x)
	ADDQ(U32(128*unroll), w)
	SUBQ(U8(unroll), n)
	JAE(LabelRef("four"))
	Label("rest")
	ADDQ(U8(unroll), n)
	JZ(LabelRef("sum"))
	Label("one")
	one(0)
	ADDQ(U8(4), x)
	ADDQ(U32(128), w)
	DECQ(n)
	JNZ(LabelRef("one"))
	Label("sum")
	for v := range 2 {
		VPADDD(acc[1][v], acc[0][v], acc[0][v])
		VPADDD(acc[3][v], acc[2][v], acc[2][v])
		VPADDD(acc[2][v], acc[0][v], acc[0][v])
		VMOVDQU32(acc[0][v], Mem{Base: c, Disp: 64 * v})
	}
	done()
}

// Offsets of the fields of kern.intDepth.
const (
	depthSteps, depthSrc, depthSrcStride, depthOff, depthW = 0, 8, 16, 24, 32
	depthPerm, depthShuf, depthCol                         = 40, 48, 56
	depthFull, depthRows, depthAcc, depthTail, depthRest   = 64, 72, 80, 88, 96
)

// emitDepthwise sums the taps of one channel. Each step takes four neighbours of
// each of sixteen outputs from 64 bytes of a row: one permutation of dwords and one
// of bytes put them in place.
func emitDepthwise() {
	args := start("intDepthwise")
	src, w, off := arg(args, depthSrc), arg(args, depthW), arg(args, depthOff)
	steps, rows, acc := arg(args, depthSteps), arg(args, depthRows), arg(args, depthAcc)
	perm, shuf, tail, p := ZMM(), ZMM(), K(), GP64()
	VMOVDQU32(Mem{Base: arg(args, depthPerm)}, perm)
	VMOVDQU32(Mem{Base: arg(args, depthShuf)}, shuf)
	KMOVW(Mem{Base: args, Disp: depthTail}, tail)
	at, n, s := GP64(), GP64(), GP64()
	sums := func(name string) VecVirtual {
		z := ZMM()
		VPXORD(z, z, z)
		XORQ(s, s)
		Label(name)
		MOVQ(Mem{Base: off, Index: s, Scale: 8}, p)
		ADDQ(at, p)
		x := ZMM()
		VPERMD(Mem{Base: src, Index: p, Scale: 1}, perm, x)
		VPSHUFB(shuf, x, x)
		VPDPBUSD_BCST(Mem{Base: w, Index: s, Scale: 4}, x, z)
		INCQ(s)
		CMPQ(s, steps)
		JNE(LabelRef(name))
		return z
	}
	Label("row")
	XORQ(at, at)
	MOVQ(Mem{Base: args, Disp: depthFull}, n)
	TESTQ(n, n)
	JZ(LabelRef("tail"))
	Label("full")
	VMOVDQU32(sums("step"), Mem{Base: acc})
	ADDQ(U8(64), acc)
	ADDQ(Mem{Base: args, Disp: depthCol}, at)
	DECQ(n)
	JNZ(LabelRef("full"))
	Label("tail")
	KTESTW(tail, tail)
	JZ(LabelRef("next"))
	VMOVDQU32(sums("last"), tail, Mem{Base: acc})
	ADDQ(Mem{Base: args, Disp: depthRest}, acc)
	Label("next")
	ADDQ(Mem{Base: args, Disp: depthSrcStride}, src)
	DECQ(rows)
	JNZ(LabelRef("row"))
	done()
}
