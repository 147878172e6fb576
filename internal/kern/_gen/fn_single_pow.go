package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
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

// unlessNormal jumps if one of the numbers is not positive, finite and normal. Without AVX-512 it
// returns, in their signs, which are: unlessSmall jumps.
func (f *fnVec) unlessNormal(v vec, label string) (normal vec) {
	w := f.minus(v, fnAt("singleLeastBits", 0))
	if !f.wide() {
		limit := f.c("singleNormalBits")[0]
		return f.each(func(i int) VecVirtual {
			m := f.reg()
			VPCMPGTD(w[i], limit, m)
			VANDNPS(m, w[i], m)
			return m
		})
	}
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
	return nil
}

// unlessSmall jumps unless all numbers are normal and |z| is so small that 2^z is normal, without AVX-512.
func (f *fnVec) unlessSmall(z, normal vec, label string) {
	small, bits := f.cmp(cmpLT, f.and(z, fnAt("singleAbs", 0)), fnAt("singlePowNormal", 0)), GP32()
	for i, m := range normal {
		VANDPS(small[i], m, m)
		if i > 0 {
			VANDPS(normal[0], m, normal[0])
		}
	}
	VMOVMSKPS(normal[0], bits)
	CMPL(bits, Imm(1<<f.lanes-1))
	JNE(LabelRef(label))
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

// scale replaces y by y·2^n, where t has n, see singleWhole. Without AVX-512 n is at most 320.
func (f *fnVec) scale(y, n, t vec) vec {
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
		VPADDD(fnAt("singleOne", 0), half, half)
		VMULPS(half, y[i], y[i])
		VMULPS(all, y[i], y[i])
	}
	return y
}

// scaleNormal is scale where y and the result are normal.
func (f *fnVec) scaleNormal(y, n, t vec) vec {
	if f.wide() {
		return f.scale(y, n, t)
	}
	return f.plus(y, f.power(t))
}

// powOf is v to the power, for positive, finite and normal v; in the careful form for all. Without AVX-512
// the other one jumps to the label unless all numbers and results are normal.
func (f *fnVec) powOf(v vec, grad, careful bool, normal vec, label string) vec {
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
	g := f.muladd(f.mantissa(u), f.table("singlePowK", at), fnAt("singleMinusOne", 0))
	low := f.muladd(f.poly("singlePowPoly", g), f.mul(g, g), f.table("singlePowL", at))
	z := f.mul(h, f.setting(0))
	t := f.fma(g, f.setting(6), f.copy(z))
	if !careful && !f.wide() {
		f.unlessSmall(t, normal, label)
	}
	t = f.add(t, fnAt("singleWhole", 0))
	n := f.sub(t, fnAt("singleWhole", 0))
	low = f.fma(low, f.setting(0), f.fma(h, f.setting(1), f.rest(h, f.setting(0), z)))
	low = f.fma(g, f.setting(7), low)
	r := f.add(f.fma(g, f.setting(6), f.sub(z, n)), low)
	q := f.poly("singleExp2Poly", r)
	if grad {
		factor := f.all(5)
		q = f.muladd(f.mul(q, r), factor, factor)
	} else {
		q = f.muladd(q, r, fnAt("singleOne", 0))
	}
	if !careful {
		return f.scaleNormal(q, n, t)
	}
	n = f.most(f.least(n, "singlePowMin"), "singlePowMax")
	return f.powEnds(f.scale(q, n, f.add(n, fnAt("singleWhole", 0))), v)
}

// powEnds replaces y, a power of v, by what it is where v is not finite and positive.
func (f *fnVec) powEnds(y, v vec) vec {
	zero := f.all(4)
	f.put(f.cmp(cmpEQ, v, fnAt("singleMinusZero", 0)), zero, y)
	f.put(f.cmp(cmpLT, v, fnAt("singleMinusZero", 0)), fnAt("singleNaN", 0), y)
	f.put(f.cmp(cmpEQ, v, fnAt("singleInf", 0)), f.div(f.c("singleOne"), zero), y)
	f.put(f.cmp(cmpUNORD, v, v), v, y)
	return y
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
	result(f.powOf(v, grad, false, f.unlessNormal(v, careful), careful))
	JMP(LabelRef(done))
	Label(careful)
	result(f.powOf(v, grad, true, nil, ""))
	Label(done)
	return f.flip(y, x, f.setting(3))
}

var powSingle = fnKernel{"PowNear", nil, 6, func(f *fnVec, x vec) vec {
	return f.powSingle(x, false)
}, func(f *fnVec, x, dy vec) vec { return f.mul(dy, f.powSingle(x, true)) }}
