package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// maxOf is Go's max: NaN wins, and +0 is above -0. It overwrites neither operand.
func maxOf(a, b VecVirtual) VecVirtual {
	x, y := YMM(), YMM()
	VMAXPS(a, b, x)
	VMAXPS(b, a, y)
	VANDPS(y, x, x) // differs only for zeros and NaN
	VCMPPS(Imm(cmpUNORD), a, b, y)
	VORPS(y, x, x)
	return x
}

// emitPool emits pooling of 2×2 windows side by side, for some rows of outputs.
func emitPool() {
	k := beginElem("maxAVX2", "func(dst, x *float32, n int)", "maxAVX2 writes the maximum of dst and x into dst.")
	dst, x := ptr("dst"), ptr("x")
	k.loop(1, func(int) { VMOVUPS(maxOf(load(k.at(dst, 0)), load(k.at(x, 0))), k.at(dst, 0)) })
	endElem()
	emitPool2()
	emitPool2Back()
	emitActPool()
}

// pool2 walks over pairs of input rows, w elements each, and over the ow outputs of
// each pair.
type pool2 struct {
	i, ow, oh, rowBytes GPVirtual
}

func newPool2() *pool2 {
	p := &pool2{i: GP64(), ow: Load(Param("ow"), GP64()).(GPVirtual), oh: Load(Param("oh"), GP64()).(GPVirtual), rowBytes: Load(Param("w"), GP64()).(GPVirtual)}
	SHLQ(Imm(2), p.rowBytes)
	return p
}

// masks of the last vector: 16 inputs and 8 outputs.
func (p *pool2) masks() [3]VecVirtual {
	var m [3]VecVirtual
	for n, spec := range [][2]int{{2, 0}, {2, -8}, {1, 0}} {
		c := GP64()
		MOVQ(p.ow, c)
		ANDQ(Imm(7), c)
		if spec[0] == 2 {
			SHLQ(Imm(1), c)
		}
		if spec[1] != 0 {
			SUBQ(Imm(8), c)
		}
		m[n] = tailMask(c)
	}
	return m
}

// rows calls body for every vector of outputs and next behind each row. The last vector
// of a row overlaps the one before. Rows with fewer than eight outputs have one vector,
// and body gets the lanes that exist; it may read and, if spill is set, write the others,
// too, since the rows that follow are written later.
func (p *pool2) rows(body func(m *[3]VecVirtual, spill bool), next func()) {
	m, end, spill := p.masks(), GP64(), ptr("spill")
	Label("row")
	XORQ(p.i, p.i)
	CMPQ(p.ow, Imm(8))
	JB(LabelRef("short"))
	Label("vector")
	body(nil, false)
	ADDQ(Imm(8), p.i)
	CMPQ(p.i, p.ow)
	JE(LabelRef("next"))
	LEAQ(Mem{Base: p.ow, Disp: -8}, end)
	CMPQ(p.i, end)
	CMOVQGT(end, p.i)
	JMP(LabelRef("vector"))
	Label("short")
	TESTQ(spill, spill)
	JZ(LabelRef("masked"))
	body(&m, true)
	JMP(LabelRef("next"))
	Label("masked")
	body(&m, false)
	Label("next")
	next()
	DECQ(p.oh)
	JNZ(LabelRef("row"))
}

// mem is vector u of the inputs' row at base, or (u = 2) of the outputs'.
func (p *pool2) mem(base GPVirtual, u int) Mem {
	if u == 2 {
		return Mem{Base: base, Index: p.i, Scale: 4}
	}
	return Mem{Base: base, Index: p.i, Scale: 8, Disp: 32 * u}
}

func (p *pool2) get(base GPVirtual, u int, m *[3]VecVirtual) VecVirtual {
	if m == nil {
		return get(p.mem(base, u), nil)
	}
	return get(p.mem(base, u), &m[u])
}

func (p *pool2) put(v VecVirtual, base GPVirtual, u int, m *[3]VecVirtual) {
	if m == nil {
		put(v, p.mem(base, u), nil)
		return
	}
	put(v, p.mem(base, u), &m[u])
}

func beginPool(name, signature, doc string) {
	TEXT(name, NOSPLIT, signature)
	Doc(doc)
	Pragma("noescape")
}

func emitPool2() {
	beginPool("maxPool2AVX2", "func(dst, x *float32, ow, oh, w, spill int)", "maxPool2AVX2 writes oh rows of ow maxima of 2x2 windows; x has rows of w elements.")
	p, dst, r0, r1 := newPool2(), ptr("dst"), ptr("x"), GP64()
	LEAQ(Mem{Base: r0, Index: p.rowBytes, Scale: 1}, r1)
	p.rows(func(m *[3]VecVirtual, spill bool) {
		if spill {
			m = nil
		}
		p.put(maxOfFour([4]VecVirtual{p.get(r0, 0, m), p.get(r0, 1, m), p.get(r1, 0, m), p.get(r1, 1, m)}, maxOf), dst, 2, m)
	}, func() {
		LEAQ(Mem{Base: dst, Index: p.ow, Scale: 4}, dst)
		LEAQ(Mem{Base: r0, Index: p.rowBytes, Scale: 2}, r0)
		LEAQ(Mem{Base: r1, Index: p.rowBytes, Scale: 2}, r1)
	})
	endElem()
}

// emitPool2Back: of each window the first element that equals the maximum (or is NaN as
// it is) gets the gradient, the others 0.
func emitPool2Back() {
	beginPool("maxPool2BackAVX2", "func(dx, x, out, dout *float32, ow, oh, w, spill int)", "maxPool2BackAVX2 writes the gradient of maxPool2AVX2, without elements that no window covers.")
	p, dx, x, out, dout := newPool2(), ptr("dx"), ptr("x"), ptr("out"), ptr("dout")
	zero := zeroVec()
	dup := doubleIndex()
	equal := func(x, m, nan VecVirtual) VecVirtual {
		e := YMM()
		VCMPPS(Imm(cmpEQ), m, x, e)
		VCMPPS(Imm(cmpUNORD), x, x, x)
		VANDPS(nan, x, x)
		VORPS(x, e, e)
		return e
	}
	first := func(e VecVirtual) VecVirtual {
		s := YMM()
		VPSLLQ(Imm(32), e, s)
		VANDNPS(e, s, s) // not s, and e
		return s
	}
	p.rows(func(mask *[3]VecVirtual, spill bool) {
		// The second rows lie rowBytes behind the first.
		x1, d1 := GP64(), GP64()
		LEAQ(Mem{Base: x, Index: p.rowBytes, Scale: 1}, x1)
		LEAQ(Mem{Base: dx, Index: p.rowBytes, Scale: 1}, d1)
		limit := mask
		if spill {
			limit = nil
		}
		var lows [2]VecVirtual
		for u := range 2 {
			m, d, nan := p.get(out, 2, limit), p.get(dout, 2, limit), YMM()
			VPERMPS(m, dup[u], m)
			VPERMPS(d, dup[u], d)
			if spill { // what spills is 0
				VANDPS(mask[u], d, d)
			}
			VADDPS(zero, d, d) // a sum that starts at 0 never ends at -0
			VCMPPS(Imm(cmpUNORD), m, m, nan)
			top := equal(p.get(x, u, limit), m, nan)
			has := YMM()
			VPSHUFD(Imm(0xb1), top, has)
			VORPS(top, has, has)
			low := first(equal(p.get(x1, u, limit), m, nan))
			VANDNPS(low, has, low)
			top = first(top)
			VANDPS(d, top, top)
			VANDPS(d, low, low)
			p.put(top, dx, u, limit)
			lows[u] = low
		}
		for u := range 2 { // behind both vectors of the first row, which may spill into this one
			p.put(lows[u], d1, u, limit)
		}
	}, func() {
		LEAQ(Mem{Base: out, Index: p.ow, Scale: 4}, out)
		LEAQ(Mem{Base: dout, Index: p.ow, Scale: 4}, dout)
		LEAQ(Mem{Base: x, Index: p.rowBytes, Scale: 2}, x)
		LEAQ(Mem{Base: dx, Index: p.rowBytes, Scale: 2}, dx)
	})
	endElem()
}

// doubleIndex are the permutations that double lanes 0-3 and 4-7.
func doubleIndex() [2]VecVirtual {
	if !doubleDone {
		doubleAt, doubleDone = GLOBL("elemDouble", RODATA|NOPTR), true
		for i := range 16 {
			DATA(4*i, U32(i/2))
		}
	}
	return [2]VecVirtual{load(doubleAt), load(doubleAt.Offset(32))}
}

var (
	doubleAt   Mem
	doubleDone bool
)
