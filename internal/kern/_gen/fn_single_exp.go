package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
)

// Exponentials and ELU in float32: a copy of kern's fn_single_exp.go.

func init() {
	singleFamily("exp",
		number("singleExpMin", "-singleExpMax", -110),
		number("singleExpm1Min", "exp of it is nothing beside 1", -18),
		number("singleExpm1Low", "-singleExpm1Min", 18),
		number("singleExpm1Max", "exp of it is +Inf as float32", 89),
		number("singleHalfShift", "1.5·2^23 + 126: a sum with it is rounded to a whole number n, and its low bits are the exponent of 2^(n-1)", 3<<22+126),
		wordSingle("singleOneOver", "bits that give, less those of 2^n, 2^-n, or 0 for 2^127", 254<<23),
		number("singleMinusLn2Low", "-singleGrowLn2Low", -0x1.7f7d1cp-20),
	)
	for _, name := range []string{"Exp", "Expm1", "ELU"} {
		fnSingles[name] = fnSingles["Log"]
	}
}

// expSingle returns s, n and what has n for [fnVec.scale] of exp(x) = (1+s)·2^n. It replaces x.
func (f *fnVec) expSingle(x vec) (s, n, t vec) {
	t = f.fma(x, fnAt("singleLog2E", 0), f.c("singleWhole"))
	n = f.sub(t, fnAt("singleWhole", 0))
	r := f.fnma(n, fnAt("singleGrowLn2Low", 0), f.fnma(n, fnAt("singleGrowLn2", 0), x))
	return f.muladd(f.poly("singleExpPoly", r), f.mul(r, r), r), n, t
}

// exp is exp(x).
func (f *fnVec) expOf(x vec) vec {
	s, n, t := f.expSingle(f.clamp(x, "singleExp"))
	return f.scale(f.add(s, fnAt("singleOne", 0)), n, t)
}

// expm1Of is exp(x) - 1.
func (f *fnVec) expm1Of(x vec) vec {
	x = f.clamp(x, "singleExpm1")
	t := f.fma(x, fnAt("singleLog2E", 0), f.c("singleHalfShift"))
	n := f.sub(t, fnAt("singleHalfShift", 0))
	half := f.power(t)
	c := f.fma(f.minus(f.c("singleOneOver"), half), fnAt("singleMinusHalf", 0), f.c("singleOne"))
	r, low := f.fnma(n, fnAt("singleGrowLn2", 0), x), f.mul(n, fnAt("singleMinusLn2Low", 0))
	v := f.add(r, low)
	q := f.muladd(f.poly("singleExpPoly", v), f.mul(v, v), low)
	a := f.add(c, r)
	w := f.add(a, f.add(q, f.add(f.sub(c, a), r)))
	return f.mul(f.add(w, w), half)
}

// all is setting i in registers.
func (f *fnVec) all(i int) vec {
	s := f.setting(i)
	if m, ok := s.(Mem); ok {
		v := f.reg()
		VBROADCASTSS(m, v)
		return f.same(v)
	}
	return s.(vec)
}

var expSingle = fnKernel{"Exp", []string{"singleExpMin", "singleExpMax"}, 0, func(f *fnVec, x vec) vec {
	return f.expOf(x)
}, func(f *fnVec, x, dy vec) vec { return f.mul(dy, f.expOf(x)) }}

var expm1Single = fnKernel{"Expm1", []string{"singleExpm1Min", "singleExpm1Max", "singleExpMin", "singleExpMax"}, 0, func(f *fnVec, x vec) vec {
	return f.expm1Of(x)
}, func(f *fnVec, x, dy vec) vec { return f.mul(dy, f.expOf(x)) }}

var eluSingle = fnKernel{"ELU", []string{"singleExpm1Min", "singleExpm1Max", "singleExpMin", "singleExpMax"}, 3, func(f *fnVec, x vec) vec {
	y := f.expm1Of(x)
	y = f.fma(y, f.setting(0), f.mul(y, f.setting(1)))
	f.put(f.cmp(cmpGT, x, fnAt("singleMinusZero", 0)), f.mul(x, f.setting(2)), y)
	return y
}, func(f *fnVec, x, dy vec) vec {
	s, n, t := f.expSingle(f.clamp(x, "singleExp"))
	y := f.add(f.fma(s, f.setting(0), f.fma(s, f.setting(1), f.copy(f.all(1)))), f.setting(0))
	y = f.scale(y, n, t)
	f.put(f.cmp(cmpGT, x, fnAt("singleMinusZero", 0)), f.setting(2), y)
	return f.mul(dy, y)
}}
