package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// GELU's form with tanh, and its gradient, in float32: a copy of kern's fn_single_gate.go.

// gateTail is the table's function of min(|x|, singleGateMax) times 2^-v, times 2^64.
func (f *fnVec) gateTail(x vec, name string) vec {
	t := f.most(f.and(x, fnAt("singleAbs", 0)), "singleGateMax")
	at := f.fma(t, fnAt("singleGateStep", 0), f.c("singleOne"))
	p := f.pieces(name, t, f.each(func(i int) VecVirtual {
		v := f.reg()
		VPSRLD(Imm(22), at[i], v)
		return v
	}))
	h := f.mul(t, t)
	g := f.fma(h, fnAt("singleGateThree", 0), f.c("singleGateOne"))
	low := f.fma(h, fnAt("singleGateThree", 0), f.sub(f.c("singleGateOne"), g))
	low = f.fma(f.rest(t, t, h), fnAt("singleGateThree", 0), low)
	n := f.fnma(g, t, f.c("singleShift"))
	r := f.fma(low, t, f.fma(g, t, f.sub(n, fnAt("singleShift", 0))))
	return f.upSingle(p, f.mul(f.poly("singleExp2NegPoly", r), r), n)
}

var geluTanhSingle = fnKernel{"GELUTanh", []string{"singleGateMax", "singleMinusZero"}, 0, func(f *fnVec, x vec) vec {
	return f.fnma(f.gateTail(x, "singleGate"), fnAt("singleDown", 0), f.least(x, "singleMinusZero"))
}, func(f *fnVec, x, dy vec) vec {
	return f.mul(dy, f.upper(f.mul(f.gateTail(x, "singleGateSlope"), fnAt("singleDown", 0)), x))
}}
