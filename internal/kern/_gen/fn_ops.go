package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// fnVec emits operations on bundles of vectors: of float64, four lanes with AVX2 and eight with
// AVX-512, or, for the functions of fn_single.go, of float32, of which twice as many fit. The
// vectors of a bundle are independent: each operation is emitted for all of them in turn, so
// that one waits for its result while the others compute. Results go to new registers unless a
// comment says that they replace an operand. The kernels spell the portable functions in kern's
// fn_core.go, fn_list.go and fn_single.go operation by operation, so that their bits agree.
type fnVec struct {
	lanes, width int
	single       bool
	limits       map[string]VecVirtual // constants that stay in registers
	tables       map[string]VecVirtual // tables that stay in registers, with AVX-512
	params       [4]VecVirtual         // settings of the function, of float64
	p            Register              // address of those of float32
	labels       int                   // number of the last label
}

// vec is a bundle, masks the lanes for which something holds.
type (
	vec   []VecVirtual
	masks []Register
)

// wide says that the vectors are those of AVX-512.
func (f *fnVec) wide() bool { return f.single && f.lanes == 16 || !f.single && f.lanes == 8 }

func (f *fnVec) reg() VecVirtual {
	if f.wide() {
		return ZMM()
	}
	return YMM()
}

// each makes a bundle.
func (f *fnVec) each(one func(i int) VecVirtual) vec {
	v := make(vec, f.width)
	for i := range v {
		v[i] = one(i)
	}
	return v
}

func (f *fnVec) regs() vec { return f.each(func(int) VecVirtual { return f.reg() }) }

// same is one register as a bundle, to be read only.
func (f *fnVec) same(r VecVirtual) vec { return f.each(func(int) VecVirtual { return r }) }

// nth is vector i of a bundle, or the constant in memory that all share.
func nth(v any, i int) Op {
	if b, ok := v.(vec); ok {
		return b[i]
	}
	return v.(Mem)
}

// c loads a constant.
func (f *fnVec) c(name string) vec {
	return f.each(func(int) VecVirtual {
		v := f.reg()
		switch {
		case f.wide() && f.single:
			VBROADCASTSS(fnAt(name, 0), v)
		case f.wide():
			VBROADCASTSD(fnAt(name, 0), v)
		default:
			VMOVUPD(fnAt(name, 0), v)
		}
		return v
	})
}

func (f *fnVec) copy(v vec) vec {
	return f.each(func(i int) VecVirtual {
		w := f.reg()
		VMOVAPD(v[i], w)
		return w
	})
}

// form is an instruction that takes a constant as a whole vector in memory with AVX2, and as
// one number with AVX-512: vectors of 64 bytes would lie across two lines of the cache. The
// second pair is of float32.
type form struct{ vector, number, single, oneSingle func(...Op) }

func (f *fnVec) do(o form, b any) func(...Op) {
	_, number := b.(Mem)
	number = number && f.wide()
	switch {
	case f.single && number:
		return o.oneSingle
	case f.single:
		return o.single
	case number:
		return o.number
	}
	return o.vector
}

// op applies an instruction to a and b, which may be memory: a op b.
func (f *fnVec) op(o form, a vec, b any) vec {
	do := f.do(o, b)
	return f.each(func(i int) VecVirtual {
		v := f.reg()
		do(nth(b, i), a[i], v)
		return v
	})
}

func (f *fnVec) add(a vec, b any) vec {
	return f.op(form{VADDPD, VADDPD_BCST, VADDPS, VADDPS_BCST}, a, b)
}
func (f *fnVec) sub(a vec, b any) vec {
	return f.op(form{VSUBPD, VSUBPD_BCST, VSUBPS, VSUBPS_BCST}, a, b)
}
func (f *fnVec) mul(a vec, b any) vec {
	return f.op(form{VMULPD, VMULPD_BCST, VMULPS, VMULPS_BCST}, a, b)
}
func (f *fnVec) div(a vec, b any) vec {
	return f.op(form{VDIVPD, VDIVPD_BCST, VDIVPS, VDIVPS_BCST}, a, b)
}
func (f *fnVec) and(a vec, b any) vec {
	return f.op(form{VANDPD, VANDPD_BCST, VANDPS, VANDPS_BCST}, a, b)
}
func (f *fnVec) or(a vec, b any) vec { return f.op(form{VORPD, VORPD_BCST, VORPS, VORPS_BCST}, a, b) }
func (f *fnVec) xor(a vec, b any) vec {
	return f.op(form{VXORPD, VXORPD_BCST, VXORPS, VXORPS_BCST}, a, b)
}

// plus and minus are of the bits as whole numbers.
func (f *fnVec) plus(a vec, b any) vec {
	return f.op(form{VPADDQ, VPADDQ_BCST, VPADDD, VPADDD_BCST}, a, b)
}
func (f *fnVec) minus(a vec, b any) vec {
	return f.op(form{VPSUBQ, VPSUBQ_BCST, VPSUBD, VPSUBD_BCST}, a, b)
}

// most is min(v, limit) and least max(v, limit), which keep NaN: the instructions return
// the second operand then, so that the limit is in a register.
func (f *fnVec) most(v vec, limit string) vec {
	return f.op(form{VMINPD, VMINPD_BCST, VMINPS, VMINPS_BCST}, f.limit(limit), v)
}
func (f *fnVec) least(v vec, limit string) vec {
	return f.op(form{VMAXPD, VMAXPD_BCST, VMAXPS, VMAXPS_BCST}, f.limit(limit), v)
}

func (f *fnVec) limit(name string) vec {
	if v, ok := f.limits[name]; ok {
		return f.same(v)
	}
	return f.c(name)
}

func (f *fnVec) param(i int) vec { return f.same(f.params[i]) }

// fma is a·b + c, in place of c.
func (f *fnVec) fma(a vec, b any, c vec) vec {
	do := f.do(form{VFMADD231PD, VFMADD231PD_BCST, VFMADD231PS, VFMADD231PS_BCST}, b)
	for i := range c {
		do(nth(b, i), a[i], c[i])
	}
	return c
}

// fnma is c - a·b, in place of c.
func (f *fnVec) fnma(a vec, b any, c vec) vec {
	do := f.do(form{VFNMADD231PD, VFNMADD231PD_BCST, VFNMADD231PS, VFNMADD231PS_BCST}, b)
	for i := range c {
		do(nth(b, i), a[i], c[i])
	}
	return c
}

// muladd is a·b + c, in place of a.
func (f *fnVec) muladd(a, b vec, c any) vec {
	do := f.do(form{VFMADD213PD, VFMADD213PD_BCST, VFMADD213PS, VFMADD213PS_BCST}, c)
	for i := range a {
		do(nth(c, i), b[i], a[i])
	}
	return a
}

// poly is the polynomial at v.
func (f *fnVec) poly(name string, v vec) vec {
	p := f.c(name)
	for i := 1; i < fnLen(name); i++ {
		f.muladd(p, v, fnAt(name, i))
	}
	return p
}

// table is entry at%8 of a table of float32.
func (f *fnVec) table(name string, at vec) vec {
	return f.each(func(i int) VecVirtual {
		v := f.reg()
		if f.wide() {
			VPERMPS(f.tables[name], at[i], v)
		} else {
			VPERMPS(fnAt(name, 0), at[i], v)
		}
		return v
	})
}

// power is 2 to the power of which the low bits of t are the exponent.
func (f *fnVec) power(t vec) vec {
	return f.each(func(i int) VecVirtual {
		s := f.reg()
		if f.single {
			VPSLLD(Imm(23), t[i], s)
		} else {
			VPSLLQ(Imm(52), t[i], s)
		}
		return s
	})
}

// cmp compares with a predicate of VCMPPS: a op b.
func (f *fnVec) cmp(predicate uint64, a vec, b any) masks {
	m := make(masks, f.width)
	for i := range m {
		if f.wide() {
			k := K()
			f.do(form{VCMPPD, VCMPPD_BCST, VCMPPS, VCMPPS_BCST}, b)(Imm(predicate), nth(b, i), a[i], k)
			m[i] = k
			continue
		}
		y := YMM()
		f.do(form{vector: VCMPPD, single: VCMPPS}, b)(Imm(predicate), nth(b, i), a[i], y)
		m[i] = y
	}
	return m
}

// pick is yes where the mask says so, else no.
func (f *fnVec) pick(m masks, yes any, no vec) vec {
	return f.each(func(i int) VecVirtual {
		v := f.reg()
		if f.wide() {
			f.do(form{VBLENDMPD, VBLENDMPD_BCST, VBLENDMPS, VBLENDMPS_BCST}, yes)(nth(yes, i), no[i], m[i], v)
		} else {
			blend := VBLENDVPD
			if f.single {
				blend = VBLENDVPS
			}
			blend(m[i], nth(yes, i), no[i], v)
		}
		return v
	})
}

// keep is v where the mask says so, else 0.
func (f *fnVec) keep(m masks, v vec) vec {
	return f.each(func(i int) VecVirtual {
		w := f.reg()
		if f.wide() {
			if f.single {
				VMOVAPS_Z(v[i], m[i], w)
			} else {
				VMOVAPD_Z(v[i], m[i], w)
			}
		} else {
			VANDPD(m[i], v[i], w)
		}
		return w
	})
}

// both is the lanes of two masks.
func (f *fnVec) both(a, b masks) masks {
	m := make(masks, f.width)
	for i := range m {
		if f.wide() {
			k := K()
			KANDB(a[i], b[i], k)
			m[i] = k
			continue
		}
		y := YMM()
		VANDPD(a[i], b[i], y)
		m[i] = y
	}
	return m
}

func (f *fnVec) zero() vec {
	return f.each(func(int) VecVirtual {
		v := f.reg()
		VXORPD(v, v, v)
		return v
	})
}

// upper is 1 - m where x >= 0, else m, of float32.
func (f *fnVec) upper(m, x vec) vec {
	k, one := f.cmp(cmpGE, x, f.zero()), f.c("singleOne")
	if !f.wide() {
		return f.pick(k, f.sub(one, m), m)
	}
	v := f.copy(m)
	for i := range v {
		VSUBPS(m[i], one[i], k[i], v[i])
	}
	return v
}

// narrow rounds to float32.
func (f *fnVec) narrow(v VecVirtual) VecVirtual {
	if f.lanes == 8 {
		y := YMM()
		VCVTPD2PS(v, y)
		return y
	}
	x := XMM()
	VCVTPD2PSY(v, x)
	return x
}

// behind is the memory of vector i of a bundle of float32.
func (f *fnVec) behind(m Mem, i int) Mem { return m.Offset(4 * f.lanes * i) }

// load converts the float32 at m if it must; store converts and writes them.
func (f *fnVec) load(m Mem) vec {
	return f.each(func(i int) VecVirtual {
		v := f.reg()
		if f.single {
			VMOVUPS(f.behind(m, i), v)
			return v
		}
		VCVTPS2PD(f.behind(m, i), v)
		return v
	})
}

func (f *fnVec) store(v vec, m Mem) {
	for i := range v {
		if f.single {
			VMOVUPS(v[i], f.behind(m, i))
		} else {
			VMOVUPS(f.narrow(v[i]), f.behind(m, i))
		}
	}
}
