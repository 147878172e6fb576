package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
)

// Sine and cosine in float32: a copy of kern's fn_single_trig.go.

// shiftLeft is of the bits.
func (f *fnVec) shiftLeft(v vec, bits uint64) vec {
	w := f.regs()
	for i := range v {
		VPSLLD(Imm(bits), v[i], w[i])
	}
	return w
}

// putOdd replaces v by yes where the whole number t is odd.
func (f *fnVec) putOdd(t, yes, v vec) {
	if !f.wide() {
		for i, odd := range f.shiftLeft(t, 31) {
			VBLENDVPS(odd, yes[i], v[i], v[i])
		}
		return
	}
	for i := range v {
		odd := K()
		VPTESTMD_BCST(fnAt("singleUnit", 0), t[i], odd)
		VMOVAPS(yes[i], odd, v[i])
	}
}

// sine is the sine of x + quarters·π/2, |x| <= singleTurnMax.
func (f *fnVec) sine(x vec, quarters int) vec {
	t := f.fma(x, fnAt("singleTwoOverPi", 0), f.c("singleWhole"))
	n := f.sub(t, fnAt("singleWhole", 0))
	r := f.copy(x)
	for i := range fnLen("singleHalfPi") {
		r = f.fnma(n, fnAt("singleHalfPi", i), r)
	}
	if quarters > 0 {
		t = f.plus(t, fnAt([]string{1: "singleUnit", 2: "singleUnitTwo"}[quarters], 0))
	}
	r2 := f.mul(r, r)
	sin := f.muladd(f.mul(f.poly("singleSinPoly", r2), r2), r, r)
	cos := f.poly("singleCosPoly", r2)
	f.putOdd(t, cos, sin)
	return f.flip(sin, f.shiftLeft(t, 30), fnAt("singleMinusZero", 0))
}

var sinSingle = fnKernel{"Sin", nil, 0,
	func(f *fnVec, x vec) vec { return f.sine(x, 0) },
	func(f *fnVec, x, dy vec) vec { return f.mul(dy, f.sine(x, 1)) }}

var cosSingle = fnKernel{"Cos", nil, 0,
	func(f *fnVec, x vec) vec { return f.sine(x, 1) },
	func(f *fnVec, x, dy vec) vec { return f.mul(dy, f.sine(x, 2)) }}
