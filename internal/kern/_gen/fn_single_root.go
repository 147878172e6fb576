package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/reg"
)

// Roots, inverses and their gradients in float32: a copy of kern's fn_single_root.go.

func init() {
	singleFamily("root",
		number("singleInvRootLeast", "a number to the power -1.5 is +Inf as float32 below it", 0x1p-100),
		number("singleInvRootLow", "its root", 0x1p-50),
		number("singleOneHalf", "1.5", 1.5),
		number("singleMost", "the largest finite number", 0x1.fffffep127),
	)
	for _, name := range []string{"Sqrt", "InvSqrt", "Inv"} {
		fnSingles[name] = fnSingles["Log"]
	}
}

// rootSingle is √x.
func (f *fnVec) rootSingle(x vec) vec {
	return f.each(func(i int) VecVirtual {
		v := f.reg()
		VSQRTPS(x[i], v)
		return v
	})
}

// unlessZero is d+0, or d+1 where dy is 0.
func (f *fnVec) unlessZero(d, dy vec) vec {
	return f.add(d, f.keep(f.cmp(cmpEQ, dy, fnAt("singleMinusZero", 0)), f.c("singleOne")))
}

var sqrtSingle = fnKernel{"Sqrt", nil, 0, func(f *fnVec, x vec) vec { return f.rootSingle(x) }, func(f *fnVec, x, dy vec) vec {
	s := f.rootSingle(x)
	return f.div(dy, f.unlessZero(f.add(s, s), dy))
}}

var invSqrtSingle = fnKernel{"InvSqrt", nil, 0, func(f *fnVec, x vec) vec {
	return f.div(f.c("singleOne"), f.rootSingle(x))
}, func(f *fnVec, x, dy vec) vec {
	s := f.least(f.rootSingle(x), "singleInvRootLow")
	r := f.div(f.c("singleOne"), f.unlessZero(s, dy))
	x = f.most(f.least(x, "singleInvRootLeast"), "singleMost")
	h := f.mul(x, r)
	e := f.fnma(f.rest(x, r, h), r, f.fnma(h, r, f.c("singleOne")))
	c := f.mul(r, r)
	rest := f.fma(c, f.mul(e, fnAt("singleOneHalf", 0)), f.rest(r, r, c))
	r = f.mul(r, fnAt("singleMinusHalf", 0))
	return f.mul(dy, f.fma(r, c, f.mul(r, rest)))
}}

var invSingle = fnKernel{"Inv", nil, 0, func(f *fnVec, x vec) vec { return f.div(f.c("singleOne"), x) }, func(f *fnVec, x, dy vec) vec {
	return f.div(f.div(f.xor(dy, fnAt("singleMinusZero", 0)), x), x)
}}
