package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
)

// Powers in float32: a copy of kern's fn_single_pow.go, which says what the settings are.

// setting is number i of the settings of a function in float32.
func (f *fnVec) setting(i int) any {
	m := Mem{Base: f.p, Disp: 4 * i}
	if f.wide() {
		return m
	}
	v := f.reg()
	VBROADCASTSS(m, v)
	return f.same(v)
}

// unlessNormal jumps if one of the numbers is not positive, finite and normal.
func (f *fnVec) unlessNormal(v vec, label string) {
	w := f.minus(v, fnAt("singleLeastBits", 0))
	if f.wide() {
		all := K()
		for i := range w {
			k := all
			if i > 0 {
				k = K()
			}
			VPCMPUD_BCST(Imm(1), fnAt("singleNormalBits", 0), w[i], k)
			if i > 0 {
				KANDW(k, all, all)
			}
		}
		KORTESTW(all, all)
		JCC(LabelRef(label))
		return
	}
	limit, bits := f.c("singleNormalBits")[0], GP32()
	for i := range w {
		m := f.reg()
		VPCMPGTD(w[i], limit, m)
		VANDNPS(m, w[i], m)
		VMOVMSKPS(m, bits)
		CMPL(bits, Imm(1<<f.lanes-1))
		JNE(LabelRef(label))
	}
}

// mantissa is the bits of m of x = 2^e·m, 1 <= m < 2, for normal x.
func (f *fnVec) mantissa(x vec) vec {
	if !f.wide() {
		return f.or(f.and(x, fnAt("singleLogLow", 0)), fnAt("singleOne", 0))
	}
	m, low := f.copy(x), f.c("singleLogLow")
	for i := range m {
		VPTERNLOGD_BCST(Imm(0xea), fnAt("singleOne", 0), low[i], m[i]) // m&low | one
	}
	return m
}

// flip gives y another sign where x and the mask have the sign's bit. It replaces y.
func (f *fnVec) flip(y, x vec, mask any) vec {
	if !f.wide() {
		return f.xor(y, f.and(x, mask))
	}
	for i := range y {
		VPTERNLOGD_BCST(Imm(0x78), nth(mask, i), x[i], y[i]) // y ^ x&mask
	}
	return y
}

// scale replaces y by y·2^n, where t has n, see singleWhole. Without AVX-512 n is at most 320, and a NaN
// stays one if the numbers are not normal.
func (f *fnVec) scale(y, n, t vec, normal bool) vec {
	if f.wide() {
		for i := range y {
			VSCALEFPS(n[i], y[i], y[i])
		}
		return y
	}
	for i := range y {
		all, half := f.reg(), f.reg()
		VPSLLD(Imm(22), t[i], half)
		VPSLLD(Imm(23), t[i], all)
		VANDPS(fnAt("singleExponent", 0), half, half)
		VPSUBD(half, all, all)
		VPADDD(fnAt("singleOne", 0), all, all)
		if normal {
			VPADDD(half, y[i], y[i])
		} else {
			VPADDD(fnAt("singleOne", 0), half, half)
			VMULPS(half, y[i], y[i])
		}
		VMULPS(all, y[i], y[i])
	}
	return y
}

// powNormal is |x| to the power, where v is |x|; in the careful form also of numbers that are not
// finite, positive and normal.
func (f *fnVec) powNormal(v vec, grad, careful bool) vec {
	u, shift := v, vec(nil)
	if careful {
		low := f.cmp(cmpLT, v, fnAt("singleLeastNormal", 0))
		u = f.copy(v)
		f.put(low, f.mul(v, fnAt("singleLogUp", 0)), u)
		shift = f.keep(low, f.c("singleMinus24"))
	}
	at := f.shiftRight(u, 20)
	h := f.fromInt(f.shiftRight(u, 23))
	if careful {
		h = f.add(h, shift)
	}
	h = f.add(h, f.table("singlePowH", at))
	d := f.sub(f.mantissa(u), f.table("singlePowMid", at))
	k := f.table("singlePowK", at)
	g := f.mul(d, k)
	d = f.rest(d, k, g)
	low := f.muladd(f.poly("singlePowPoly", g), f.mul(g, g), f.table("singlePowL", at))
	low = f.add(low, d)
	s := f.add(h, g)
	low = f.add(low, f.add(f.sub(h, s), g))
	z := f.mul(s, f.setting(0))
	zl := f.rest(s, f.setting(0), z)
	zl = f.fma(low, f.setting(0), zl)
	zl = f.fma(s, f.setting(1), zl)
	if careful {
		f.put(f.cmp(cmpEQ, v, fnAt("singleMinusZero", 0)), f.setting(4), z)
		f.put(f.cmp(cmpLT, v, fnAt("singleMinusZero", 0)), fnAt("singleNaN", 0), z)
		f.put(f.cmp(cmpNLT, v, fnAt("singleInf", 0)), f.mul(v, f.setting(0)), z)
	}
	if careful || !f.wide() { // else it is small enough
		z = f.most(f.least(z, "singlePowMin"), "singlePowMax")
	}
	t := f.add(z, fnAt("singleWhole", 0))
	n := f.sub(t, fnAt("singleWhole", 0))
	r := f.add(f.sub(z, n), zl)
	q := f.poly("singleExp2Poly", r)
	if !grad {
		return f.scale(f.muladd(q, r, fnAt("singleOne", 0)), n, t, !careful)
	}
	factor := f.all(5)
	return f.scale(f.muladd(f.mul(q, r), factor, factor), n, t, !careful)
}

// rest is what rounding took from ab, the product of a and b.
func (f *fnVec) rest(a vec, b any, ab vec) vec {
	r := f.copy(ab)
	do := f.do(form{single: VFMSUB231PS, oneSingle: VFMSUB231PS_BCST}, b)
	for i := range r {
		do(nth(b, i), a[i], r[i])
	}
	return r
}

// powSingle is x to the power.
func (f *fnVec) powSingle(x vec, grad bool) vec {
	f.labels++
	careful, done := fmt.Sprintf("careful%d", f.labels), fmt.Sprintf("done%d", f.labels)
	v := f.and(x, f.setting(2))
	y := f.regs()
	result := func(r vec) {
		for i := range y {
			VMOVAPS(r[i], y[i])
		}
	}
	f.unlessNormal(v, careful)
	result(f.powNormal(v, grad, false))
	JMP(LabelRef(done))
	Label(careful)
	result(f.powNormal(v, grad, true))
	Label(done)
	return f.flip(y, x, f.setting(3))
}

var powSingle = fnKernel{"PowNear", nil, 6, func(f *fnVec, x vec) vec {
	return f.powSingle(x, false)
}, func(f *fnVec, x, dy vec) vec { return f.mul(dy, f.powSingle(x, true)) }}
