package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

func emitQuant() {
	emitFakeQuant("fakeQuantAVX2", "", 8, func(v, m Op) { VMOVUPS(v, m) })
	const past = " It writes past the caches; dst is a multiple of a vector."
	emitFakeQuant("fakeQuantStreamAVX2", past, 8, func(v, m Op) { VMOVNTPS(v, m) })
	emitFakeQuant("fakeQuantStreamAVX512", past, 16, func(v, m Op) { VMOVNTPS(v, m) })

	k := beginElem("steAVX2", "func(dx, x, dy *float32, n int, k *float32)", "steAVX2 is STE.")
	dx, x, dy, c := ptr("dx"), ptr("x"), ptr("dy"), ptr("k")
	from, to := bcast(c, kFrom), bcast(c, kTo)
	k.loop(4, func(u int) {
		v, m := load(k.at(x, u)), YMM()
		VCMPPS(Imm(cmpGE), from, v, m)
		VCMPPS(Imm(cmpLE), to, v, v)
		VANDPS(v, m, m)
		VANDPS(k.at(dy, u), m, m)
		VMOVUPS(m, k.at(dx, u))
	})
	endElem()
	emitFakeQuantKeep()
	emitClearUnset()
	emitQuantRows()
	emitLSQ()
}

// emitFakeQuantKeep emits the form that keeps codes and a bit for each element. The
// division leaves time for both, and for fetching what lies behind x: the next group.
func emitFakeQuantKeep() {
	k := beginKeep("fakeQuantKeepAVX2")
	g, from, to := loadGrid(k.params), bcast(k.params, kFrom), bcast(k.params, kTo)
	k.loop2(2, func() { k.avx2(g, from, to, 2) }, func() { k.avx2(g, from, to, 1) })
	endElem()

	k = beginKeep("fakeQuantKeepAVX512")
	k.lanes = 16
	g, from, to = loadGrid512(k.params), ZMM(), ZMM()
	VBROADCASTSS(Mem{Base: k.params, Disp: kFrom}, from)
	VBROADCASTSS(Mem{Base: k.params, Disp: kTo}, to)
	k.loop2(2, func() { k.avx512(g, from, to, 2) }, func() { k.avx512(g, from, to, 1) })
	endElem()
}

// emitClearUnset takes n words of 64 bits, the last bits of which may lie behind x if they
// are set.
func emitClearUnset() {
	k := beginElem("clearUnsetAVX512", "func(x *float32, mask *uint8, n int)", "clearUnsetAVX512 is ClearUnset for n times 64 bits.")
	x, mask, word, zero, m := ptr("x"), ptr("mask"), GP64(), ZMM(), K()
	VPXORD(zero, zero, zero)
	Label("word")
	MOVQ(Mem{Base: mask}, word)
	NOTQ(word)
	TESTQ(word, word)
	JZ(LabelRef("next"))
	for u := range 4 {
		KMOVW(word.As32(), m)
		VMOVUPS(zero, m, Mem{Base: x, Disp: 64 * u})
		SHRQ(Imm(16), word)
	}
	Label("next")
	ADDQ(Imm(8), mask)
	ADDQ(U32(256), x)
	DECQ(k.n)
	JNZ(LabelRef("word"))
	endElem()
}

// keepKernel is the frame of a form of FakeQuantizeKeep.
type keepKernel struct {
	*elemKernel
	dst, x, next, params, codes, mask GPVirtual
}

func beginKeep(name string) keepKernel {
	k := keepKernel{elemKernel: beginElem(name, "func(dst, x *float32, n int, k *float32, codes *int8, mask *uint8)", name+" is FakeQuantizeKeep.")}
	k.dst, k.x, k.params, k.codes, k.mask, k.next = ptr("dst"), ptr("x"), ptr("k"), ptr("codes"), ptr("mask"), GP64()
	LEAQ(Mem{Base: k.x, Index: k.n, Scale: 4}, k.next)
	return k
}

func (k keepKernel) avx2(g gridVecs, from, to VecVirtual, vectors int) {
	PREFETCHT0(k.at(k.next, 0))
	for u := range vectors {
		v, m, t, bits := load(k.at(k.x, u)), YMM(), YMM(), GP32()
		VCMPPS(Imm(cmpLE), to, v, m)
		VCMPPS(Imm(cmpGE), from, v, t)
		VANDPS(t, m, m)
		VMOVMSKPS(m, bits)
		MOVB(bits.As8(), Mem{Base: k.mask, Disp: u})
		g.steps(v)
		VCVTPS2DQ(v, t)
		VMULPS(g.scale, v, v)
		VMOVUPS(v, k.at(k.dst, u))
		high := YMM()
		VEXTRACTI128(Imm(1), t, high.AsX())
		VPACKSSDW(high.AsX(), t.AsX(), t.AsX())
		VPACKSSWB(t.AsX(), t.AsX(), t.AsX())
		VMOVQ(t.AsX(), Mem{Base: k.codes, Index: k.i, Scale: 1, Disp: 8 * u})
	}
	ADDQ(Imm(uint64(vectors)), k.mask)
}

func (k keepKernel) avx512(g gridVecs, from, to VecVirtual, vectors int) {
	for u := range vectors {
		PREFETCHT0(k.at(k.next, u))
		v, t, m := ZMM(), ZMM(), K()
		VMOVUPS(k.at(k.x, u), v)
		VCMPPS(Imm(cmpLE), to, v, m)
		VCMPPS(Imm(cmpGE), from, v, m, m)
		KMOVW(m, Mem{Base: k.mask, Disp: 2 * u})
		g.steps(v)
		VCVTPS2DQ(v, t)
		VMULPS(g.scale, v, v)
		VMOVUPS(v, k.at(k.dst, u))
		VPMOVDB(t, Mem{Base: k.codes, Index: k.i, Scale: 1, Disp: 16 * u})
	}
	ADDQ(Imm(uint64(2*vectors)), k.mask)
}

// emitFakeQuant emits a form with vectors of so many lanes; n is a multiple of them.
func emitFakeQuant(name, doc string, lanes int, store func(v, m Op)) {
	k := beginElem(name, "func(dst, x *float32, n int, k *float32)", name+" is FakeQuantize."+doc)
	dst, x, kp := ptr("dst"), ptr("x"), ptr("k")
	k.lanes = lanes
	var g gridVecs
	if lanes == 16 {
		g = loadGrid512(kp)
	} else {
		g = loadGrid(kp)
	}
	k.loop(4, func(u int) {
		v := k.vector()
		if doc != "" {
			PREFETCHNTA(k.at(x, u).Offset(aheadStream))
		}
		VMOVUPS(k.at(x, u), v)
		g.steps(v)
		VMULPS(g.scale, v, v)
		store(v, k.at(dst, u))
	})
	if doc != "" {
		SFENCE() // other processors see these stores no later than those behind
	}
	endElem()
}

// aheadStream is how many bytes ahead a streaming kernel reads.
const aheadStream = 640

// loadGrid512 is loadGrid for vectors of sixteen.
func loadGrid512(k GPVirtual) gridVecs {
	all := func(off int) VecVirtual {
		v := ZMM()
		VBROADCASTSS(Mem{Base: k, Disp: off}, v)
		return v
	}
	magic := ZMM()
	VBROADCASTSS(roundMagic().AsX(), magic)
	return gridVecs{all(kScale), all(kQlo), all(kTop), magic}
}

// emitQuantRows emits the forms in which every element has its own scale and limits.
func emitQuantRows() {
	row := func(k *elemKernel) (at func(name string, u int) Mem) {
		p := map[string]GPVirtual{"scale": ptr("scale"), "lo": ptr("lo"), "hi": ptr("hi")}
		return func(name string, u int) Mem { return k.at(p[name], u) }
	}
	k := beginElem("fakeQuantRowAVX2", "func(dst, x *float32, n int, scale, lo, hi *float32)", "fakeQuantRowAVX2 is FakeQuantize with a grid for each element.")
	dst, x := ptr("dst"), ptr("x")
	at, magic := row(k), roundMagic()
	k.loop(2, func(u int) {
		v, s := load(k.at(x, u)), load(at("scale", u))
		gridVecs{s, load(at("lo", u)), load(at("hi", u)), magic}.steps(v)
		VMULPS(s, v, v)
		VMOVUPS(v, k.at(dst, u))
	})
	endElem()

	k = beginElem("steRowAVX2", "func(dx, x, dy *float32, n int, scale, lo, hi *float32)", "steRowAVX2 is STE with a grid for each element.")
	dx, x, dy := ptr("dx"), ptr("x"), ptr("dy")
	at, magic = row(k), roundMagic()
	one := bits32(0x3f800000)
	k.loop(1, func(u int) {
		v := load(k.at(x, u))
		lo, hi, lo1, hi1 := load(at("lo", u)), load(at("hi", u)), YMM(), YMM()
		VSUBPS(one, lo, lo1)
		VADDPS(one, hi, hi1)
		gridVecs{load(at("scale", u)), lo1, hi1, magic}.steps(v)
		VCMPPS(Imm(cmpGE), lo, v, lo)
		VCMPPS(Imm(cmpLE), hi, v, v)
		VANDPS(lo, v, v)
		VANDPS(k.at(dy, u), v, v)
		VMOVUPS(v, k.at(dx, u))
	})
	endElem()
}

// emitLSQ adds to eight lanes of each sum.
func emitLSQ() {
	k := beginElem("lsqAVX2", "func(dx, x, dy *float32, n int, k *float32, lanes *float64)", "lsqAVX2 is LSQ; sums go to eight lanes each.")
	dx, x, dy, lanes := ptr("dx"), ptr("x"), ptr("dy"), ptr("lanes")
	kp := ptr("k")
	scale, magic := bcast(kp, kScale), roundMagic()
	VCVTPS2PD(scale.AsX(), scale)
	ds, dz := loadLanes(lanes, 0, 2), loadLanes(lanes, 128, 2)
	k.loop(1, func(int) {
		x0 := k.at(x, 0)
		r := load(x0)
		// There are not enough registers to keep the limits in.
		gridVecs{bcast(kp, kScale), bcast(kp, kQlo1), bcast(kp, kQhi1), magic}.steps(r)
		in, c := YMM(), YMM()
		VMAXPS(bcast(kp, kQlo), r, c)
		VMINPS(c, bcast(kp, kQhi), c)
		VCMPPS(Imm(cmpEQ), c, r, in)
		d := load(k.at(dy, 0))
		// Halves in turn keep the number of registers low.
		for h := range 2 {
			r64, v64, c64, d64, m64 := half(r, h), YMM(), half(c, h), half(d, h), YMM()
			VCVTPS2PD(x0.Offset(16*h), v64)
			VDIVPD(scale, v64, v64)
			VSUBPD(v64, r64, r64)
			if h == 0 {
				VPMOVSXDQ(in.AsX(), m64)
			} else {
				VEXTRACTI128(Imm(1), in, m64.AsX())
				VPMOVSXDQ(m64.AsX(), m64)
			}
			VBLENDVPD(m64, r64, c64, c64)
			VMULPD(d64, c64, c64)
			VADDPD(c64, ds[h], ds[h])
			VMULPD(scale, d64, d64)
			VANDNPD(d64, m64, d64)
			VSUBPD(d64, dz[h], dz[h])
		}
		VANDPS(d, in, in)
		VMOVUPS(in, k.at(dx, 0))
	})
	ds.store(lanes, 0, 2)
	dz.store(lanes, 128, 2)
	endElem()
}

// half converts four of the eight float32 of v.
func half(v VecVirtual, h int) VecVirtual {
	w := YMM()
	if h == 0 {
		VCVTPS2PD(v.AsX(), w)
		return w
	}
	VEXTRACTF128(Imm(1), v, w.AsX())
	VCVTPS2PD(w.AsX(), w)
	return w
}

// codeType is a storage type of codes.
type codeType struct {
	name, goType string
	size         int
	unsigned     bool
}

var codeTypes = []codeType{{"I8", "int8", 1, false}, {"U8", "uint8", 1, true}, {"I16", "int16", 2, false}, {"I32", "int32", 4, false}}

func emitCodes() {
	for _, c := range codeTypes {
		emitQuantize(c)
		emitDequantize(c)
	}
}

// dword loads an int32 parameter into all lanes.
func dword(name string) VecVirtual {
	g, v := Load(Param(name), GP32()), YMM()
	VMOVD(g, v.AsX())
	VPBROADCASTD(v.AsX(), v)
	return v
}

func emitQuantize(c codeType) {
	name := "quantize" + c.name + "AVX2"
	k := beginElem(name, "func(dst *"+c.goType+", x *float32, n int, k *float32, zero int32)", name+" is Quantize.")
	dst, x := ptr("dst"), ptr("x")
	g, zero := loadGrid(ptr("k")), dword("zero")
	k.loop(2, func(u int) {
		v := load(k.at(x, u))
		g.steps(v)
		VCVTPS2DQ(v, v)
		VPADDD(zero, v, v)
		to := Mem{Base: dst, Index: k.i, Scale: uint8(c.size), Disp: 8 * u * c.size}
		if c.size == 4 {
			VMOVDQU(v, to)
			return
		}
		t := YMM()
		VEXTRACTI128(Imm(1), v, t.AsX())
		VPACKSSDW(t.AsX(), v.AsX(), v.AsX())
		switch {
		case c.size == 2:
			VMOVDQU(v.AsX(), to)
			return
		case c.unsigned:
			VPACKUSWB(v.AsX(), v.AsX(), v.AsX())
		default:
			VPACKSSWB(v.AsX(), v.AsX(), v.AsX())
		}
		VMOVQ(v.AsX(), to)
	})
	endElem()
}

func emitDequantize(c codeType) {
	name := "dequantize" + c.name + "AVX2"
	k := beginElem(name, "func(dst *float32, q *"+c.goType+", n int, scale float32, zero int32)", name+" is Dequantize.")
	dst, q := ptr("dst"), ptr("q")
	scale, zero := paramVec("scale"), dword("zero")
	k.loop(1, func(int) {
		v, from := YMM(), Mem{Base: q, Index: k.i, Scale: uint8(c.size)}
		switch {
		case c.size == 4:
			VMOVDQU(from, v)
		case c.size == 2:
			VPMOVSXWD(from, v)
		case c.unsigned:
			VPMOVZXBD(from, v)
		default:
			VPMOVSXBD(from, v)
		}
		VPSUBD(zero, v, v)
		VCVTDQ2PS(v, v)
		VMULPS(scale, v, v)
		VMOVUPS(v, k.at(dst, 0))
	})
	endElem()
}
