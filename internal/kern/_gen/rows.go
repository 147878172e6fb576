package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// Set rows: kernels on rows of n elements that lie behind one another, for any n above 0,
// in AVX2 and AVX-512. Element i of a row belongs to lane i%16 of its sums.
func init() {
	sets["rows"] = func() {
		emitQuotients()
		emitNormStats()
		emitNormMeans()
		emitSums64()
		for _, lanes := range []int{8, 16} {
			emitRowMoments(lanes)
			emitRowDot(lanes)
			emitRowMax(lanes)
			emitNormRows(lanes)
			emitNormDots(lanes)
			emitNormBack(lanes)
			emitSoftmaxBack(lanes)
		}
	}
}

// rowKernel is the frame of a kernel on rows: two vectors of eight or one of sixteen
// elements at a time.
type rowKernel struct {
	*elemKernel
	rows GPVirtual
}

func beginRows(name string, lanes int, params, doc string) *rowKernel {
	name += map[int]string{8: "AVX2", 16: "AVX512"}[lanes]
	k := beginElem(name, "func("+params+")", name+" "+doc)
	k.lanes = lanes
	return &rowKernel{elemKernel: k, rows: ptr("rows")}
}

// part is one vector of a row: u is its number among those of sixteen elements, and ends
// says where its last element is, if that is not the vector's.
type part struct {
	u    int
	ends *rowEnd
}

// rowEnd are the lanes that exist: an address of a mask, or a mask register.
type rowEnd struct {
	at GPVirtual
	k  OpmaskVirtual
}

// mask loads the lanes that exist of a vector of eight.
func (p part) mask() VecVirtual {
	m := YMM()
	VMOVUPS(Mem{Base: p.ends.at, Disp: 32}, m)
	return m
}

// get loads a part of a row, with 0 in lanes that do not exist.
func (k *rowKernel) get(p GPVirtual, at part) VecVirtual {
	v, m := k.vector(), k.at(p, at.u)
	switch {
	case at.ends == nil:
		VMOVUPS(m, v)
	case k.lanes == 16:
		VMOVUPS_Z(m, at.ends.k, v)
	default:
		VMASKMOVPS(m, at.mask(), v)
	}
	return v
}

// put stores a part of a row.
func (k *rowKernel) put(v VecVirtual, p GPVirtual, at part) {
	m := k.at(p, at.u)
	switch {
	case at.ends == nil:
		VMOVUPS(v, m)
	case k.lanes == 16:
		VMOVUPS(v, at.ends.k, m)
	default:
		VMASKMOVPS(v, at.mask(), m)
	}
}

// only clears the lanes of v that do not exist.
func (k *rowKernel) only(v VecVirtual, at part) {
	switch {
	case at.ends == nil:
	case k.lanes == 16:
		VMOVUPS_Z(v, at.ends.k, v)
	default:
		VANDPS(at.mask(), v, v)
	}
}

// each calls body for the parts of a row.
func (k *rowKernel) each(body func(at part)) {
	id, end := newLabel(), GP64()
	all := func() {
		for u := range 16 / k.lanes {
			body(part{u: u})
		}
	}
	XORQ(k.i, k.i)
	Label("part" + id)
	LEAQ(Mem{Base: k.i, Disp: 16}, end)
	CMPQ(end, k.n)
	JA(LabelRef("end" + id))
	all()
	MOVQ(end, k.i)
	JMP(LabelRef("part" + id))
	Label("end" + id)
	CMPQ(k.i, k.n)
	JE(LabelRef("done" + id))
	for u := range 16 / k.lanes {
		left := GP64()
		MOVQ(k.n, left)
		SUBQ(k.i, left)
		e := &rowEnd{}
		if k.lanes == 16 {
			all := GP32()
			e.k = K()
			MOVL(U32(1<<16-1), all)
			BZHIL(left.As32(), all, all)
			KMOVW(all, e.k)
		} else {
			if u > 0 {
				SUBQ(Imm(8), left)
				JLE(LabelRef("done" + id))
			}
			limit := GP64()
			MOVQ(U32(8), limit)
			CMPQ(left, limit)
			CMOVQGT(limit, left)
			LEAQ(tailTable(), limit)
			SHLQ(Imm(2), left)
			SUBQ(left, limit)
			e.at = limit
		}
		body(part{u: u, ends: e})
	}
	Label("done" + id)
}

// all calls row for every row; pointers move to the next one, by n elements, behind it.
func (k *rowKernel) all(pointers []GPVirtual, row func()) {
	Label("row")
	row()
	for _, p := range pointers {
		LEAQ(Mem{Base: p, Index: k.n, Scale: 4}, p)
	}
	DECQ(k.rows)
	JNZ(LabelRef("row"))
	endElem()
}

// next loads the number at offset off of p, which belongs to the row, into all lanes.
func (k *rowKernel) number(p GPVirtual, off int) VecVirtual {
	v := k.vector()
	VBROADCASTSS(Mem{Base: p, Disp: off}, v)
	return v
}

// sums16 are sixteen running float64 sums.
type sums16 []VecVirtual

func (k *rowKernel) sums() sums16 {
	s := make(sums16, 32/k.lanes)
	for i := range s {
		s[i] = k.vector()
	}
	return s
}

func (s sums16) clear() {
	for _, v := range s {
		if v.Size() == 64 {
			VPXORQ(v, v, v)
		} else {
			VXORPS(v, v, v)
		}
	}
}

// half converts half h of v to float64.
func (k *rowKernel) half(v VecVirtual, h int) VecVirtual {
	w := k.vector()
	if k.lanes == 16 {
		if h == 0 {
			VCVTPS2PD(v.AsY(), w)
			return w
		}
		VEXTRACTF32X8(Imm(1), v, w.AsY())
		VCVTPS2PD(w.AsY(), w)
		return w
	}
	if h == 0 {
		VCVTPS2PD(v.AsX(), w)
		return w
	}
	VEXTRACTF128(Imm(1), v, w.AsX())
	VCVTPS2PD(w.AsX(), w)
	return w
}

// total adds the lanes as kern.laneTotal does and stores the sum at m.
func (k *rowKernel) total(s sums16, m Mem) {
	t := YMM()
	if k.lanes == 16 {
		VADDPD(s[1], s[0], s[0])
		VEXTRACTF64X4(Imm(1), s[0], t)
	} else {
		VADDPD(s[2], s[0], s[0])
		VADDPD(s[3], s[1], s[1])
		VMOVAPD(s[1], t)
	}
	y := s[0].AsY().(VecVirtual)
	VADDPD(t, y, y)
	VEXTRACTF128(Imm(1), y, t.AsX())
	VADDPD(t.AsX(), y.AsX(), y.AsX())
	VPERMILPD(Imm(1), y.AsX(), t.AsX())
	VADDSD(t.AsX(), y.AsX(), y.AsX())
	VMOVSD(y.AsX(), m)
}

func emitRowMoments(lanes int) {
	k := beginRows("rowMoments", lanes, "x *float32, n, rows int, out *float64", "writes the sum and the sum of squares of each row.")
	x, out := ptr("x"), ptr("out")
	a, b := k.sums(), k.sums()
	k.all([]GPVirtual{x}, func() {
		a.clear()
		b.clear()
		k.each(func(at part) {
			v := k.get(x, at)
			for h := range 2 {
				w := k.half(v, h)
				VADDPD(w, a[2*at.u+h], a[2*at.u+h])
				VFMADD231PD(w, w, b[2*at.u+h]) // exact squares
			}
		})
		k.total(a, Mem{Base: out})
		k.total(b, Mem{Base: out, Disp: 8})
		ADDQ(Imm(16), out)
	})
}

func emitRowDot(lanes int) {
	k := beginRows("rowDot", lanes, "x, y *float32, n, rows int, out *float64", "writes the sum of x*y of each row.")
	x, y, out := ptr("x"), ptr("y"), ptr("out")
	a := k.sums()
	k.all([]GPVirtual{x, y}, func() {
		a.clear()
		k.each(func(at part) {
			v, w := k.get(x, at), k.get(y, at)
			for h := range 2 {
				VFMADD231PD(k.half(v, h), k.half(w, h), a[2*at.u+h]) // exact products
			}
		})
		k.total(a, Mem{Base: out})
		ADDQ(Imm(8), out)
	})
}

// emitRowMax: a NaN may win or not, so that rows with one have no use for it.
func emitRowMax(lanes int) {
	k := beginRows("rowMax", lanes, "x *float32, n, rows int, out *float32", "writes the largest element of each row without NaN.")
	x, out := ptr("x"), ptr("out")
	low := k.vector()
	g := GP32()
	MOVL(U32(0xff800000), g) // -Inf
	VMOVD(g, low.AsX())
	VBROADCASTSS(low.AsX(), low)
	top := k.vector()
	k.all([]GPVirtual{x}, func() {
		VMOVAPS(low, top)
		k.each(func(at part) {
			v := k.get(x, at)
			switch {
			case at.ends == nil:
				VMAXPS(top, v, top)
			case k.lanes == 16:
				VMAXPS(top, v, at.ends.k, top)
			default:
				VBLENDVPS(at.mask(), v, low, v)
				VMAXPS(top, v, top)
			}
		})
		t, y := YMM(), top.AsY().(VecVirtual)
		if lanes == 16 {
			VEXTRACTF32X8(Imm(1), top, t)
			VMAXPS(t, y, y)
		}
		VEXTRACTF128(Imm(1), y, t.AsX())
		VMAXPS(t.AsX(), y.AsX(), y.AsX())
		VPERMILPS(Imm(0x4e), y.AsX(), t.AsX())
		VMAXPS(t.AsX(), y.AsX(), y.AsX())
		VPERMILPS(Imm(0xb1), y.AsX(), t.AsX())
		VMAXPS(t.AsX(), y.AsX(), y.AsX())
		VMOVSS(y.AsX(), Mem{Base: out})
		ADDQ(Imm(4), out)
	})
}

// normalised replaces v by (v - mean)*rstd of its row.
func (k *rowKernel) normalised(v, mean, rstd VecVirtual) {
	VSUBPS(mean, v, v)
	VMULPS(rstd, v, v)
}

func emitNormRows(lanes int) {
	k := beginRows("normRows", lanes, "dst, x *float32, n, rows int, gamma, beta, stats *float32", "writes ((x-mean)*rstd)*gamma + beta; stats holds mean and rstd of each row.")
	dst, x, gamma, beta, stats := ptr("dst"), ptr("x"), ptr("gamma"), ptr("beta"), ptr("stats")
	k.all([]GPVirtual{dst, x}, func() {
		mean, rstd := k.number(stats, 0), k.number(stats, 4)
		ADDQ(Imm(8), stats)
		k.each(func(at part) {
			v := k.get(x, at)
			k.normalised(v, mean, rstd)
			VMULPS(k.get(gamma, at), v, v)
			VADDPS(k.get(beta, at), v, v)
			k.put(v, dst, at)
		})
	})
}

// emitNormDots: the columns' sums have room for whole vectors of sixteen.
func emitNormDots(lanes int) {
	k := beginRows("normDots", lanes, "dy, x *float32, n, rows int, gamma, stats *float32, dgamma, dbeta, out *float64",
		"adds dy*xhat and dy to dgamma and dbeta and writes the sums of g = dy*gamma and g*xhat of each row, xhat = (x-mean)*rstd.")
	dy, x, gamma, stats := ptr("dy"), ptr("x"), ptr("gamma"), ptr("stats")
	dgamma, dbeta, out := ptr("dgamma"), ptr("dbeta"), ptr("out")
	a, b := k.sums(), k.sums()
	k.all([]GPVirtual{dy, x}, func() {
		mean, rstd := k.number(stats, 0), k.number(stats, 4)
		ADDQ(Imm(8), stats)
		a.clear()
		b.clear()
		k.each(func(at part) {
			v := k.get(x, at)
			k.normalised(v, mean, rstd)
			k.only(v, at)
			d := k.get(dy, at)
			var xhat [2]VecVirtual
			column := func(p GPVirtual, h int) Mem {
				return Mem{Base: p, Index: k.i, Scale: 8, Disp: 8*k.lanes*at.u + 4*k.lanes*h}
			}
			for h := range 2 {
				xhat[h] = k.half(v, h)
				w, t := k.half(d, h), k.vector()
				VMOVUPD(column(dgamma, h), t)
				VFMADD231PD(w, xhat[h], t) // exact products, here and below
				VMOVUPD(t, column(dgamma, h))
				VADDPD(column(dbeta, h), w, w)
				VMOVUPD(w, column(dbeta, h))
			}
			VMULPS(k.get(gamma, at), d, d)
			for h := range 2 {
				w := k.half(d, h)
				VADDPD(w, a[2*at.u+h], a[2*at.u+h])
				VFMADD231PD(w, xhat[h], b[2*at.u+h])
			}
		})
		k.total(a, Mem{Base: out})
		k.total(b, Mem{Base: out, Disp: 8})
		ADDQ(Imm(16), out)
	})
}

func emitNormBack(lanes int) {
	k := beginRows("normBack", lanes, "dx, dy, x *float32, n, rows int, gamma, stats, means *float32",
		"writes ((dy*gamma - m1) - xhat*m2)*rstd; means holds m1 and m2 of each row.")
	dx, dy, x, gamma, stats, means := ptr("dx"), ptr("dy"), ptr("x"), ptr("gamma"), ptr("stats"), ptr("means")
	k.all([]GPVirtual{dx, dy, x}, func() {
		mean, rstd := k.number(stats, 0), k.number(stats, 4)
		m1, m2 := k.number(means, 0), k.number(means, 4)
		ADDQ(Imm(8), stats)
		ADDQ(Imm(8), means)
		k.each(func(at part) {
			v, d := k.get(x, at), k.get(dy, at)
			k.normalised(v, mean, rstd)
			VMULPS(k.get(gamma, at), d, d)
			VSUBPS(m1, d, d)
			VMULPS(m2, v, v)
			VSUBPS(v, d, d)
			VMULPS(rstd, d, d)
			k.put(d, dx, at)
		})
	})
}

func emitSoftmaxBack(lanes int) {
	k := beginRows("softmaxBack", lanes, "dx, y, dy *float32, n, rows int, sums *float32", "writes (dy-s)*y; sums holds s of each row.")
	dx, y, dy, sums := ptr("dx"), ptr("y"), ptr("dy"), ptr("sums")
	k.all([]GPVirtual{dx, y, dy}, func() {
		s := k.number(sums, 0)
		ADDQ(Imm(4), sums)
		k.each(func(at part) {
			d := k.get(dy, at)
			VSUBPS(s, d, d)
			VMULPS(k.get(y, at), d, d)
			k.put(d, dx, at)
		})
	})
}

// emitQuotients emits what elementwise kernels with two operands there are beside those of
// set elem, on n elements, a multiple of 8.
func emitQuotients() {
	two := func(name, doc string, do func(a, b VecVirtual) VecVirtual) {
		k := beginElem(name+"AVX2", "func(dst, a, b *float32, n int)", name+"AVX2 writes "+doc+".")
		dst, a, b := ptr("dst"), ptr("a"), ptr("b")
		k.loop(2, func(u int) { VMOVUPS(do(load(k.at(a, u)), load(k.at(b, u))), k.at(dst, u)) })
		endElem()
	}
	two("div", "a / b", func(a, b VecVirtual) VecVirtual {
		VDIVPS(b, a, a)
		return a
	})
	// The instructions give the second operand for two zeros and for a NaN: together, both
	// orders show what Go's functions give.
	two("smaller", "Go's min of a and b", func(a, b VecVirtual) VecVirtual {
		v := YMM()
		VMINPS(a, b, v)
		VMINPS(b, a, a)
		VORPS(a, v, v)
		return v
	})
	two("larger", "Go's max of a and b", func(a, b VecVirtual) VecVirtual {
		v, nan := YMM(), YMM()
		VCMPPS(Imm(cmpUNORD), a, b, nan)
		VMAXPS(a, b, v)
		VMAXPS(b, a, a)
		VANDPS(a, v, v)
		VORPS(nan, v, v)
		return v
	})

	k := beginElem("divOneAVX2", "func(dst, a *float32, n int, b float32)", "divOneAVX2 writes a / b for one b.")
	dst, a, one := ptr("dst"), ptr("a"), paramVec("b")
	k.loop(2, func(u int) {
		v := load(k.at(a, u))
		VDIVPS(one, v, v)
		VMOVUPS(v, k.at(dst, u))
	})
	endElem()
	k = beginElem("oneDivAVX2", "func(dst, b *float32, n int, a float32)", "oneDivAVX2 writes a / b for one a.")
	dst, b, one := ptr("dst"), ptr("b"), paramVec("a")
	k.loop(2, func(u int) {
		v := YMM()
		VDIVPS(k.at(b, u), one, v)
		VMOVUPS(v, k.at(dst, u))
	})
	endElem()
}

// double loads a float64 parameter, or 64 bits, into all lanes.
func double(name string) VecVirtual {
	v := YMM()
	VBROADCASTSD(paramMem(name), v)
	return v
}

// emitNormStats turns sums of four rows at a time into mean and 1/sqrt(variance + eps), as
// kern.Norm says.
func emitNormStats() {
	k := beginElem("normStatsAVX2", "func(sums *float64, n int, stats *float32, width, eps float64, means uint64)",
		"normStatsAVX2 writes mean and rstd of n rows, a multiple of four.")
	sums, stats := ptr("sums"), ptr("stats")
	width, eps, keep := double("width"), double("eps"), double("means")
	zero, one, bits := zeroVec(), YMM(), GP64()
	MOVQ(U64(0x3ff0000000000000), bits)
	VMOVQ(bits, one.AsX())
	VBROADCASTSD(one.AsX(), one)
	k.fours(func() {
		a, b, mean, v := YMM(), YMM(), YMM(), YMM()
		VMOVUPD(Mem{Base: sums}, a)
		VMOVUPD(Mem{Base: sums, Disp: 32}, b)
		VDIVPD(width, a, a)
		VDIVPD(width, b, b)
		VUNPCKLPD(b, a, mean) // rows 0, 2, 1, 3
		VUNPCKHPD(b, a, v)
		VANDPD(keep, mean, mean)
		VMULPD(mean, mean, a)
		VSUBPD(a, v, v)
		VMAXPD(v, zero, v) // NaN stays
		VADDPD(eps, v, v)
		VSQRTPD(v, v)
		VDIVPD(v, one, v)
		VUNPCKLPD(v, mean, a)
		VUNPCKHPD(v, mean, b)
		VCVTPD2PSY(a, a.AsX())
		VCVTPD2PSY(b, b.AsX())
		VMOVUPS(a.AsX(), Mem{Base: stats})
		VMOVUPS(b.AsX(), Mem{Base: stats, Disp: 16})
	}, sums, stats)
}

func emitNormMeans() {
	k := beginElem("normMeansAVX2", "func(sums *float64, n int, out *float32, width float64, means uint64)",
		"normMeansAVX2 divides the sums of n rows, a multiple of four, the first of each row only where means are kept.")
	sums, out := ptr("sums"), ptr("out")
	width, keep, all := double("width"), double("means"), YMM()
	VPCMPEQD(all, all, all)
	VUNPCKLPD(all, keep, keep)
	k.fours(func() {
		for u := range 2 {
			a := YMM()
			VMOVUPD(Mem{Base: sums, Disp: 32 * u}, a)
			VDIVPD(width, a, a)
			VANDPD(keep, a, a)
			VCVTPD2PSY(a, a.AsX())
			VMOVUPS(a.AsX(), Mem{Base: out, Disp: 16 * u})
		}
	}, sums, out)
}

// fours repeats body for every four rows: eight float64 at the first pointer, eight float32 at
// the second.
func (k *elemKernel) fours(body func(), from, to GPVirtual) {
	Label("four")
	body()
	ADDQ(Imm(64), from)
	ADDQ(Imm(32), to)
	SUBQ(Imm(4), k.n)
	JNZ(LabelRef("four"))
	endElem()
}

// emitSums64 emits loops over n float64 sums, a multiple of four.
func emitSums64() {
	at := func(k *elemKernel, p GPVirtual, size int) Mem { return Mem{Base: p, Index: k.i, Scale: uint8(size)} }
	loop := func(k *elemKernel, body func()) {
		XORQ(k.i, k.i)
		Label("sums")
		body()
		ADDQ(Imm(4), k.i)
		CMPQ(k.i, k.n)
		JB(LabelRef("sums"))
		endElem()
	}
	k := beginElem("roundSumsAVX2", "func(dst *float32, sums *float64, n int, div float64)", "roundSumsAVX2 writes sums / div, rounded.")
	dst, from, div := ptr("dst"), ptr("sums"), double("div")
	loop(k, func() {
		v := YMM()
		VMOVUPD(at(k, from, 8), v)
		VDIVPD(div, v, v)
		VCVTPD2PSY(v, v.AsX())
		VMOVUPS(v.AsX(), at(k, dst, 4))
	})
	k = beginElem("addProductsAVX2", "func(sums *float64, a, b *float32, n int)", "addProductsAVX2 adds a * b to sums.")
	sums, a, b := ptr("sums"), ptr("a"), ptr("b")
	loop(k, func() {
		u, v, w := YMM(), YMM(), YMM()
		VCVTPS2PD(at(k, a, 4), u)
		VCVTPS2PD(at(k, b, 4), v)
		VMOVUPD(at(k, sums, 8), w)
		VFMADD231PD(u, v, w) // exact products
		VMOVUPD(w, at(k, sums, 8))
	})
	k = beginElem("addSumsAVX2", "func(sums, x *float64, n int)", "addSumsAVX2 adds x to sums.")
	sums, x := ptr("sums"), ptr("x")
	loop(k, func() {
		v := YMM()
		VMOVUPD(at(k, sums, 8), v)
		VADDPD(at(k, x, 8), v, v)
		VMOVUPD(v, at(k, sums, 8))
	})
}
