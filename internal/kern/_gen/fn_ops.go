package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// fnVec emits operations on vectors of float64: four lanes with AVX2, eight with AVX-512.
// Results go to new registers unless a comment says that they replace an operand. The
// kernels spell the portable functions in kern's func_core.go and func_list.go operation by
// operation, so that their bits agree.
type fnVec struct {
	lanes  int
	limits map[string]VecVirtual // constants that stay in registers
	params [4]VecVirtual         // settings of the function
}

func (f *fnVec) reg() VecVirtual {
	if f.lanes == 8 {
		return ZMM()
	}
	return YMM()
}

// c loads a constant.
func (f *fnVec) c(name string, i int) VecVirtual {
	v := f.reg()
	VMOVUPD(fnAt(name, i), v)
	return v
}

func (f *fnVec) copy(v VecVirtual) VecVirtual {
	w := f.reg()
	VMOVAPD(v, w)
	return w
}

// op applies an instruction to a and b, which may be memory: a op b.
func (f *fnVec) op(do func(...Op), a VecVirtual, b Op) VecVirtual {
	v := f.reg()
	do(b, a, v)
	return v
}

func (f *fnVec) add(a VecVirtual, b Op) VecVirtual { return f.op(VADDPD, a, b) }
func (f *fnVec) sub(a VecVirtual, b Op) VecVirtual { return f.op(VSUBPD, a, b) }
func (f *fnVec) mul(a VecVirtual, b Op) VecVirtual { return f.op(VMULPD, a, b) }
func (f *fnVec) div(a VecVirtual, b Op) VecVirtual { return f.op(VDIVPD, a, b) }
func (f *fnVec) and(a VecVirtual, b Op) VecVirtual { return f.op(VANDPD, a, b) }
func (f *fnVec) or(a VecVirtual, b Op) VecVirtual  { return f.op(VORPD, a, b) }
func (f *fnVec) xor(a VecVirtual, b Op) VecVirtual { return f.op(VXORPD, a, b) }

// most is min(v, limit) and least max(v, limit), which keep NaN: the instructions return
// the second operand then, so that the limit is in a register.
func (f *fnVec) most(v VecVirtual, limit string) VecVirtual  { return f.op(VMINPD, f.limit(limit), v) }
func (f *fnVec) least(v VecVirtual, limit string) VecVirtual { return f.op(VMAXPD, f.limit(limit), v) }

func (f *fnVec) limit(name string) VecVirtual {
	if v, ok := f.limits[name]; ok {
		return v
	}
	return f.c(name, 0)
}

// fma is a·b + c, in place of c.
func (f *fnVec) fma(a VecVirtual, b Op, c VecVirtual) VecVirtual {
	VFMADD231PD(b, a, c)
	return c
}

// fnma is c - a·b, in place of c.
func (f *fnVec) fnma(a VecVirtual, b Op, c VecVirtual) VecVirtual {
	VFNMADD231PD(b, a, c)
	return c
}

// muladd is a·b + c, in place of a.
func (f *fnVec) muladd(a, b VecVirtual, c Op) VecVirtual {
	VFMADD213PD(c, b, a)
	return a
}

// poly is the polynomial at v.
func (f *fnVec) poly(name string, v VecVirtual) VecVirtual {
	p := f.c(name, 0)
	for i := 1; i < fnLen(name); i++ {
		f.muladd(p, v, fnAt(name, i))
	}
	return p
}

// cmp compares with a predicate of VCMPPS: a op b.
func (f *fnVec) cmp(predicate uint64, a VecVirtual, b Op) Register {
	if f.lanes == 8 {
		m := K()
		VCMPPD(Imm(predicate), b, a, m)
		return m
	}
	m := YMM()
	VCMPPD(Imm(predicate), b, a, m)
	return m
}

// pick is yes where the mask says so, else no.
func (f *fnVec) pick(mask Register, yes Op, no VecVirtual) VecVirtual {
	v := f.reg()
	if f.lanes == 8 {
		VBLENDMPD(yes, no, mask, v)
	} else {
		VBLENDVPD(mask, yes, no, v)
	}
	return v
}

// keep is v where the mask says so, else 0.
func (f *fnVec) keep(mask Register, v VecVirtual) VecVirtual {
	w := f.reg()
	if f.lanes == 8 {
		VMOVAPD_Z(v, mask, w)
	} else {
		VANDPD(mask, v, w)
	}
	return w
}

// both is the lanes of two masks.
func (f *fnVec) both(a, b Register) Register {
	if f.lanes == 8 {
		m := K()
		KANDB(a, b, m)
		return m
	}
	m := YMM()
	VANDPD(a, b, m)
	return m
}

func (f *fnVec) zero() VecVirtual {
	v := f.reg()
	VXORPD(v, v, v)
	return v
}

// upper is 1 - m where x >= 0, else m.
func (f *fnVec) upper(m, x VecVirtual) VecVirtual {
	mask, one := f.cmp(cmpGE, x, f.zero()), f.c("fnOne", 0)
	if f.lanes == 4 {
		return f.pick(mask, f.sub(one, m), m)
	}
	v := f.copy(m)
	VSUBPD(m, one, mask, v)
	return v
}

// root is the square root of x, which holds float32, rounded to float32.
func (f *fnVec) root(x VecVirtual) VecVirtual {
	v := f.reg()
	if f.lanes == 8 {
		y := YMM()
		VCVTPD2PS(x, y)
		VSQRTPS(y, y)
		VCVTPS2PD(y, v)
		return v
	}
	y := XMM()
	VCVTPD2PSY(x, y)
	VSQRTPS(y, y)
	VCVTPS2PD(y, v)
	return v
}

// load converts the float32 at m; store converts and writes them.
func (f *fnVec) load(m Mem) VecVirtual {
	v := f.reg()
	VCVTPS2PD(m, v)
	return v
}

func (f *fnVec) store(v VecVirtual, m Mem) {
	if f.lanes == 8 {
		y := YMM()
		VCVTPD2PS(v, y)
		VMOVUPS(y, m)
		return
	}
	x := XMM()
	VCVTPD2PSY(v, x)
	VMOVUPS(x, m)
}
