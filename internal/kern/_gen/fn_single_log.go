package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// Logarithms in float32: a copy of kern's fn_single_log.go.

// shiftRight is of the bits as whole numbers with a sign.
func (f *fnVec) shiftRight(v vec, bits uint64) vec {
	return f.each(func(i int) VecVirtual {
		w := f.reg()
		VPSRAD(Imm(bits), v[i], w)
		return w
	})
}

// fromInt converts whole numbers to float32.
func (f *fnVec) fromInt(v vec) vec {
	return f.each(func(i int) VecVirtual {
		w := f.reg()
		VCVTDQ2PS(v[i], w)
		return w
	})
}

// put replaces v by yes where the mask says so. Of [fnVec.pick], which writes a register of its own,
// the allocator believes that it read that before.
func (f *fnVec) put(m masks, yes any, v vec) {
	for i := range v {
		if f.wide() {
			f.do(form{single: VBLENDMPS, oneSingle: VBLENDMPS_BCST}, yes)(nth(yes, i), v[i], m[i], v[i])
		} else {
			VBLENDVPS(m[i], nth(yes, i), v[i], v[i])
		}
	}
}

// logPartsSingle returns e and m of x = 2^e·(1+m), √½ <= 1+m < √2, where base has the bits of √½.
func (f *fnVec) logPartsSingle(x vec, base any) (e, m vec) {
	u := f.minus(x, base)
	e = f.fromInt(f.shiftRight(u, 23))
	m = f.plus(f.and(u, fnAt("singleLogLow", 0)), fnAt("singleLogHalf", 0))
	return e, f.sub(m, fnAt("singleOne", 0))
}

// logPartsAny is logPartsSingle for positive x, also below the normal numbers.
func (f *fnVec) logPartsAny(x vec) (e, m vec) {
	low := f.cmp(cmpLT, x, fnAt("singleLeastNormal", 0))
	base, up := f.c("singleLogHalf"), f.copy(x)
	f.put(low, fnAt("singleLogLowHalf", 0), base)
	f.put(low, f.mul(x, fnAt("singleLogUp", 0)), up)
	return f.logPartsSingle(up, base)
}

// logEndsSingle replaces y, the logarithm of v where it is finite and positive, by what it is
// elsewhere.
func (f *fnVec) logEndsSingle(y, v vec) vec {
	f.put(f.cmp(cmpEQ, v, fnAt("singleMinusZero", 0)), fnAt("singleMinusInf", 0), y)
	f.put(f.cmp(cmpLT, v, fnAt("singleMinusZero", 0)), fnAt("singleNaN", 0), y)
	f.put(f.cmp(cmpNLT, v, fnAt("singleInf", 0)), v, y)
	return y
}

var logSingle = fnKernel{"Log", nil, 0, func(f *fnVec, x vec) vec {
	e, m := f.logPartsAny(x)
	t := f.muladd(f.poly("singleLogPoly", m), f.mul(m, m), m)
	return f.logEndsSingle(f.fma(e, fnAt("singleLn2", 0), t), x)
}, func(f *fnVec, x, dy vec) vec { return f.div(dy, x) }}

var log2Single = fnKernel{"Log2", nil, 0, func(f *fnVec, x vec) vec {
	e, m := f.logPartsAny(x)
	t := f.mul(f.poly("singleLog2Poly", m), f.mul(m, m))
	t = f.fma(m, fnAt("singleLog2ELow", 0), t)
	t = f.fma(m, fnAt("singleLog2E", 0), t)
	return f.logEndsSingle(f.add(e, t), x)
}, func(f *fnVec, x, dy vec) vec { return f.mul(f.div(dy, x), fnAt("singleLog2E", 0)) }}

var log1pSingle = fnKernel{"Log1p", nil, 0, func(f *fnVec, x vec) vec {
	w := f.add(x, fnAt("singleOne", 0))
	b := f.sub(w, fnAt("singleOne", 0))
	low := f.add(f.sub(x, b), f.sub(f.c("singleOne"), f.sub(w, b)))
	e, m := f.logPartsSingle(w, fnAt("singleLogHalf", 0))
	t := f.muladd(f.poly("singleLogPoly", m), f.mul(m, m), f.div(low, w))
	return f.logEndsSingle(f.fma(e, fnAt("singleLn2", 0), f.add(m, t)), w)
}, func(f *fnVec, x, dy vec) vec { return f.div(dy, f.add(x, fnAt("singleOne", 0))) }}
