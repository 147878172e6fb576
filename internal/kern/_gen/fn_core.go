package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// The building blocks of kern's func_core.go.

// expParts returns s and q of exp(z) = s + s·q. It replaces z.
func (f *fnVec) expParts(z vec) (s, q vec) {
	t := f.fma(z, fnAt("fnLog2E", 0), f.c("fnShift"))
	n := f.sub(t, fnAt("fnShift", 0))
	r := f.fnma(n, fnAt("fnLn2", 0), z)
	q = f.mul(f.poly("fnExpPoly", r), r)
	return f.power(t), q
}

// exp replaces z.
func (f *fnVec) exp(z vec) vec {
	s, q := f.expParts(z)
	return f.muladd(q, s, s)
}

// clamp limits x to a range of which lo is the name with Min, hi with Max.
func (f *fnVec) clamp(x vec, name string) vec {
	return f.most(f.least(x, name+"Min"), name+"Max")
}

// logParts returns e and f of x = 2^e·(1+f), √½ <= 1+f < √2, for x > 0.
func (f *fnVec) logParts(x vec) (e, m vec) {
	u := f.plus(x, fnAt("fnLogBase", 0))
	w := f.each(func(i int) VecVirtual {
		v := f.reg()
		VPSRLQ(Imm(52), u[i], v)
		return v
	})
	e = f.sub(f.or(w, fnAt("fnLogWord", 0)), fnAt("fnLogBias", 0))
	m = f.plus(f.and(u, fnAt("fnLogLow", 0)), fnAt("fnLogHalf", 0))
	return e, f.sub(m, fnAt("fnOne", 0))
}

// pow is x to the power of params[0]. params[1] is the sign's bit where that is odd, params[2]
// all bits where it is not whole; elsewhere they are 0.
func (f *fnVec) pow(x vec) vec {
	a := f.and(x, fnAt("fnAbs", 0))
	e, m := f.logParts(a)
	l := f.muladd(f.poly("fnLog2Poly", m), m, e)
	l = f.pick(f.cmp(cmpEQ, a, f.zero()), fnAt("negInf", 0), l)
	l = f.pick(f.cmp(cmpNLT, a, fnAt("inf", 0)), a, l)
	z := f.clamp(f.mul(l, f.param(0)), "fnPow")
	t := f.add(z, fnAt("fnShift", 0))
	n := f.sub(t, fnAt("fnShift", 0))
	r := f.mul(f.sub(z, n), fnAt("fnLn2", 0))
	q := f.mul(f.poly("fnExpPoly", r), r)
	s := f.power(t)
	y := f.xor(f.muladd(q, s, s), f.and(x, f.param(1)))
	return f.pick(f.cmp(cmpLT, x, f.zero()), f.or(y, f.param(2)), y)
}
