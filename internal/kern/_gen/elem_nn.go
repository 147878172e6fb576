package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

func emitElementwise() {
	ops := []struct {
		name string
		do   func(a, b, to Op) // a op b, in the assembler's order b, a
	}{
		{"add", func(a, b, to Op) { VADDPS(b, a, to) }},
		{"sub", func(a, b, to Op) { VSUBPS(b, a, to) }},
		{"mul", func(a, b, to Op) { VMULPS(b, a, to) }},
	}
	for _, o := range ops {
		k := beginElem(o.name+"AVX2", "func(dst, a, b *float32, n int)", o.name+"AVX2 writes a "+o.name+" b.")
		dst, a, b := ptr("dst"), ptr("a"), ptr("b")
		k.loop(4, func(u int) {
			v := load(k.at(a, u))
			o.do(v, k.at(b, u), v)
			VMOVUPS(v, k.at(dst, u))
		})
		endElem()

		k = beginElem(o.name+"OneAVX2", "func(dst, a *float32, n int, b float32)", o.name+"OneAVX2 writes a "+o.name+" b for one b.")
		dst, a = ptr("dst"), ptr("a")
		one := paramVec("b")
		k.loop(4, func(u int) {
			v := load(k.at(a, u))
			o.do(v, one, v)
			VMOVUPS(v, k.at(dst, u))
		})
		endElem()
	}
	emitOneSub()
	emitPassing()
	emitLeaky()
}

func emitOneSub() {
	k := beginElem("oneSubAVX2", "func(dst, b *float32, n int, a float32)", "oneSubAVX2 writes a - b for one a.")
	dst, b, one := ptr("dst"), ptr("b"), paramVec("a")
	k.loop(4, func(u int) {
		v := YMM()
		VSUBPS(k.at(b, u), one, v)
		VMOVUPS(v, k.at(dst, u))
	})
	endElem()
}

// emitPassing: dy where x lies between the limits of kern.finishConst, else 0.
func emitPassing() {
	k := beginElem("passAVX2", "func(dx, x, dy *float32, n int, k *float32)", "passAVX2 writes dy where x lies strictly inside the limits, else 0.")
	dx, x, dy, p := ptr("dx"), ptr("x"), ptr("dy"), ptr("k")
	lo, hi, anyLo, anyHi := bcast(p, kLo), bcast(p, kHi), bcast(p, kAnyLo), bcast(p, kAnyHi)
	k.loop(2, func(u int) {
		v, m, t := load(k.at(x, u)), YMM(), YMM()
		VCMPPS(Imm(cmpGT), lo, v, m)
		VORPS(anyLo, m, m)
		VCMPPS(Imm(cmpLT), hi, v, t)
		VORPS(anyHi, t, t)
		VANDPS(t, m, m)
		VANDPS(k.at(dy, u), m, m)
		VMOVUPS(m, k.at(dx, u))
	})
	endElem()
}

func emitLeaky() {
	k := beginElem("leakyAVX2", "func(dst, x *float32, n int, alpha float32)", "leakyAVX2 writes x, times alpha where it is negative.")
	dst, x, alpha, zero := ptr("dst"), ptr("x"), paramVec("alpha"), zeroVec()
	k.loop(2, func(u int) {
		v, m, t := load(k.at(x, u)), YMM(), YMM()
		VCMPPS(Imm(cmpLT), zero, v, m)
		VMULPS(alpha, v, t)
		VBLENDVPS(m, t, v, v)
		VMOVUPS(v, k.at(dst, u))
	})
	endElem()

	k = beginElem("leakyBackAVX2", "func(dx, x, dy *float32, n int, alpha float32)", "leakyBackAVX2 writes dy, times alpha where x is not positive.")
	dx, x, dy := ptr("dx"), ptr("x"), ptr("dy")
	alpha, zero = paramVec("alpha"), zeroVec()
	k.loop(2, func(u int) {
		v, d, t := load(k.at(x, u)), load(k.at(dy, u)), YMM()
		VCMPPS(Imm(cmpGT), zero, v, v)
		VMULPS(alpha, d, t)
		VBLENDVPS(v, d, t, d)
		VMOVUPS(d, k.at(dx, u))
	})
	endElem()
}

// emitSolvers emits the updates of kern.AdamStep and kern.SGDStep.
func emitSolvers() {
	emitAdam("adamAVX2", 8)
	emitAdam("adamAVX512", 16)
	for _, nesterov := range []bool{false, true} {
		emitSGD(nesterov)
	}
}

// emitAdam emits a form with vectors of so many lanes; n is a multiple of them.
func emitAdam(name string, lanes int) {
	e := beginElem(name, "func(w, grad, m, v *float32, n int, k *float32)", name+" is AdamStep.")
	e.lanes = lanes
	w, g, m, v, p := ptr("w"), ptr("grad"), ptr("m"), ptr("v"), ptr("k")
	var f [8]VecVirtual
	for i := range f {
		f[i] = e.vector()
		VBROADCASTSS(Mem{Base: p, Disp: 4 * i}, f[i])
	}
	c1, b2, c2, step, root, eps, l2, shrink := f[0], f[1], f[2], f[3], f[4], f[5], f[6], f[7]
	e.loop(1, func(int) {
		x, d, t, a, b := e.vector(), e.vector(), e.vector(), e.vector(), e.vector()
		VMULPS(e.at(w, 0), shrink, x)
		VMULPS(l2, x, d)
		VADDPS(e.at(g, 0), d, d)
		VMOVUPS(e.at(m, 0), a)
		VSUBPS(a, d, t)
		VMULPS(c1, t, t)
		VADDPS(t, a, a)
		VMOVUPS(a, e.at(m, 0))
		VMULPS(c2, d, t)
		VMULPS(d, t, t)
		VMULPS(e.at(v, 0), b2, b)
		VADDPS(t, b, b)
		VMOVUPS(b, e.at(v, 0))
		VSQRTPS(b, b)
		VDIVPS(root, b, b)
		VADDPS(eps, b, b)
		VMULPS(step, a, a)
		VDIVPS(b, a, a)
		VSUBPS(a, x, x)
		VMOVUPS(x, e.at(w, 0))
	})
	endElem()
}

func emitSGD(nesterov bool) {
	name := "sgdAVX2"
	if nesterov {
		name = "sgdNesterovAVX2"
	}
	k := beginElem(name, "func(w, grad, v *float32, n int, lr, mom, wd float32)", name+" is SGDStep.")
	w, g, v := ptr("w"), ptr("grad"), ptr("v")
	lr, mom, wd := paramVec("lr"), paramVec("mom"), paramVec("wd")
	k.loop(1, func(int) {
		x, d, u := load(k.at(w, 0)), YMM(), YMM()
		VMULPS(wd, x, d)
		VADDPS(k.at(g, 0), d, d)
		VMULPS(k.at(v, 0), mom, u)
		VADDPS(d, u, u)
		VMOVUPS(u, k.at(v, 0))
		if nesterov {
			VMULPS(mom, u, u)
			VADDPS(u, d, u)
		}
		VMULPS(lr, u, u)
		VSUBPS(u, x, x)
		VMOVUPS(x, k.at(w, 0))
	})
	endElem()
}
