package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// GELU's form with tanh, and its gradient, in float32: a copy of kern's fn_single_gate.go.

// gatePlace returns min(|x|, singleGateMax) and the number of its interval in the tables.
func (f *fnVec) gatePlace(x vec) (t, at vec) {
	t = f.most(f.and(x, fnAt("singleAbs", 0)), "singleGateMax")
	at = f.fma(t, fnAt("singleGateStep", 0), f.c("singleOne"))
	return t, f.each(func(i int) VecVirtual {
		v := f.reg()
		VPSRLD(Imm(22), at[i], v)
		return v
	})
}

// gateExp returns s and what has n of 2^-v = (1+s)·2^n.
func (f *fnVec) gateExp(t vec) (s, n vec) {
	h := f.mul(t, t)
	g := f.fma(h, fnAt("singleGateThree", 0), f.c("singleGateOne"))
	low := f.fma(h, fnAt("singleGateThree", 0), f.sub(f.c("singleGateOne"), g))
	low = f.fma(f.rest(t, t, h), fnAt("singleGateThree", 0), low)
	n = f.fnma(g, t, f.c("singleShift"))
	r := f.fma(low, t, f.fma(g, t, f.sub(n, fnAt("singleShift", 0))))
	return f.mul(f.poly("singleExp2NegPoly", r), r), n
}

var geluTanhSingle = fnKernel{"GELUTanh", []string{"singleGateMax", "singleMinusZero"}, 0, func(f *fnVec, x vec) vec {
	t, at := f.gatePlace(x)
	s, n := f.gateExp(t)
	p, low := f.piecesTwo("singleGate", t, at)
	return f.fnma(f.upTwo(p, low, s, n), fnAt("singleDown", 0), f.least(x, "singleMinusZero"))
}, func(f *fnVec, x, dy vec) vec {
	t, at := f.gatePlace(x)
	p := f.pieces("singleGateSlope", t, at)
	s, n := f.gateExp(t)
	return f.mul(dy, f.upper(f.mul(f.upSingle(p, s, n), fnAt("singleDown", 0)), x))
}}
