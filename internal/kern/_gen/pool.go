package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// Offsets of the fields of kern.maxArgs, kern.tapArgs and kern.spreadArgs.
const (
	maxX, maxRow, maxWidth, maxTaps, maxStep = 0, 8, 16, 24, 32
	maxBuf, maxFrom, maxCols, maxStride      = 40, 48, 56, 64
	maxDst, maxOW, maxOH, maxPitch           = 72, 80, 88, 96

	tapX, tapRow, tapOff, tapN        = 0, 8, 16, 24
	tapOut, tapDout, tapOW, tapOH     = 32, 40, 48, 56
	tapWhich, tapD, tapPitch, tapNaN  = 64, 72, 80, 88
	tapCount, tapRows                 = 96, 104
	spreadWhich, spreadD, spreadPitch = 0, 8, 16
	spreadOff, spreadTap, spreadN     = 24, 32, 40
	spreadDst, spreadStep             = 48, 56
	spreadCols, spreadRows            = 64, 72
)

// Set pool: pooling with any window and stride.
func init() {
	sets["pool"] = func() {
		emitPoolMax("poolMaxAVX2")
		emitPoolMaxBytes()
		emitPoolFirst()
		emitPoolSpread("poolSpreadAVX2", true)
		emitPoolSpread("poolSpreadAllAVX2", false)
		emitPoolMean()
		emitPoolShare()
	}
}

// forRows emits a loop over the rows that the field at disp counts; next moves the pointers.
func forRows(args GPVirtual, disp int, body, next func()) {
	id, n := newLabel(), convField(args, disp)
	Label("rows" + id)
	body()
	next()
	DECQ(n)
	JNZ(LabelRef("rows" + id))
}

// forColumns emits a loop over n columns in vectors of eight. Body gets the lanes that exist
// for the last columns where n is no multiple of eight, else nil.
func forColumns(i, n GPVirtual, body func(tail *VecVirtual)) {
	id, end := newLabel(), GP64()
	XORQ(i, i)
	Label("columns" + id)
	LEAQ(Mem{Base: i, Disp: 8}, end)
	CMPQ(end, n)
	JA(LabelRef("rest" + id))
	body(nil)
	ADDQ(Imm(8), i)
	JMP(LabelRef("columns" + id))
	Label("rest" + id)
	MOVQ(n, end)
	SUBQ(i, end)
	JZ(LabelRef("end" + id))
	m := tailMask(end)
	body(&m)
	Label("end" + id)
}

// emitPoolMax: the rows of each window become one in buf, then its columns one. Around the
// row buf holds the lowest number.
func emitPoolMax(name string) {
	args := convStart(name)
	x, dst, i, n := convField(args, maxX), convField(args, maxDst), GP64(), GP64()
	row, count, at := convField(args, maxRow), GP64(), GP64()
	ones := YMM()
	VPCMPEQD(ones, ones, ones)
	index := YMM()
	VPBROADCASTD(Mem{Base: args, Disp: maxStride}, index)
	VPMULLD(iota8(), index, index)
	forRows(args, maxOH, func() {
		buf := convField(args, maxBuf)
		MOVQ(Mem{Base: args, Disp: maxWidth}, n)
		forColumns(i, n, func(tail *VecVirtual) {
			id := newLabel()
			LEAQ(Mem{Base: x, Index: i, Scale: 4}, at)
			v := get(Mem{Base: at}, tail)
			MOVQ(Mem{Base: args, Disp: maxTaps}, count)
			Label("tap" + id)
			DECQ(count)
			JZ(LabelRef("taps" + id))
			ADDQ(row, at)
			VMOVAPS(maxOf(v, get(Mem{Base: at}, tail)), v)
			JMP(LabelRef("tap" + id))
			Label("taps" + id)
			put(v, Mem{Base: buf, Index: i, Scale: 4}, tail)
		})
		MOVQ(Mem{Base: args, Disp: maxOW}, n)
		kinds := []struct {
			label string
			run   func(at, count GPVirtual) VecVirtual
		}{
			{"one", func(at, count GPVirtual) VecVirtual { return alongOne(at, count, i) }},
			{"two", func(at, count GPVirtual) VecVirtual { return alongTwo(at, count, i) }},
			{"any", func(at, count GPVirtual) VecVirtual {
				s := convField(args, maxStride)
				IMULQ(i, s)
				LEAQ(Mem{Base: at, Index: s, Scale: 4}, at)
				return alongAny(at, count, index, ones)
			}},
		}
		stride := convField(args, maxStride)
		CMPQ(stride, Imm(2))
		JE(LabelRef("two"))
		JA(LabelRef("any"))
		for _, k := range kinds {
			Label(k.label)
			forColumns(i, n, func(tail *VecVirtual) {
				MOVQ(Mem{Base: args, Disp: maxFrom}, at)
				MOVQ(Mem{Base: args, Disp: maxCols}, count)
				put(k.run(at, count), Mem{Base: dst, Index: i, Scale: 4}, tail)
			})
			JMP(LabelRef("next"))
		}
		Label("next")
	}, func() {
		ADDQ(Mem{Base: args, Disp: maxStep}, x)
		LEAQ(Mem{Base: dst, Index: n, Scale: 4}, dst)
	})
	convEnd()
}

// iota8 is 0 to 7.
func iota8() VecVirtual {
	v := YMM()
	at := GLOBL("poolIota", RODATA|NOPTR)
	for i := range 8 {
		DATA(4*i, U32(i))
	}
	VMOVDQU(at, v)
	return v
}

// alongOne returns the maxima of eight windows of count neighbours with stride 1.
func alongOne(at, count, i GPVirtual) VecVirtual {
	id := newLabel()
	LEAQ(Mem{Base: at, Index: i, Scale: 4}, at)
	v := load(Mem{Base: at})
	Label("along" + id)
	DECQ(count)
	JZ(LabelRef("all" + id))
	ADDQ(Imm(4), at)
	VMOVAPS(maxOf(v, load(Mem{Base: at})), v)
	JMP(LabelRef("along" + id))
	Label("all" + id)
	return v
}

// alongTwo does so with stride 2: neighbours come in pairs.
func alongTwo(at, count, i GPVirtual) VecVirtual {
	id := newLabel()
	LEAQ(Mem{Base: at, Index: i, Scale: 8}, at)
	v, even, odd := YMM(), YMM(), YMM()
	pair := func(even VecVirtual) {
		a, b := load(Mem{Base: at}), load(Mem{Base: at, Disp: 32})
		VSHUFPS(Imm(0x88), b, a, even) // lanes 0 1 4 5 | 2 3 6 7
		VSHUFPS(Imm(0xdd), b, a, odd)
	}
	pair(v)
	JMP(LabelRef("second" + id))
	Label("pair" + id)
	ADDQ(Imm(8), at)
	pair(even)
	VMOVAPS(maxOf(v, even), v)
	Label("second" + id)
	DECQ(count)
	JZ(LabelRef("all" + id))
	VMOVAPS(maxOf(v, odd), v)
	DECQ(count)
	JNZ(LabelRef("pair" + id))
	Label("all" + id)
	VPERMPD(Imm(0xd8), v, v)
	return v
}

// alongAny does so with the stride of index.
func alongAny(at, count GPVirtual, index, ones VecVirtual) VecVirtual {
	id := newLabel()
	gather := func(v VecVirtual) {
		m := YMM()
		VMOVAPS(ones, m)
		VGATHERDPS(m, Mem{Base: at, Index: index, Scale: 4}, v)
	}
	v, w := YMM(), YMM()
	gather(v)
	Label("along" + id)
	DECQ(count)
	JZ(LabelRef("all" + id))
	ADDQ(Imm(4), at)
	gather(w)
	VMOVAPS(maxOf(v, w), v)
	JMP(LabelRef("along" + id))
	Label("all" + id)
	return v
}

// emitPoolMaxBytes is emitPoolMax for codes and strides 1 and 2. Counts of columns are in
// bytes; what lies around the rows in buf is 0. Rows are short: all are written to buf before
// the first is read again, which would have to wait.
func emitPoolMaxBytes() {
	args := convStart("poolMaxBytes")
	x, dst, i, n, end := convField(args, maxX), convField(args, maxDst), GP64(), GP64(), GP64()
	row, count, at := convField(args, maxRow), GP64(), GP64()
	forBytes := func(lanes int, body func(m OpmaskVirtual)) {
		id, m := newLabel(), K()
		XORQ(i, i)
		KXNORQ(m, m, m)
		Label("bytes" + id)
		LEAQ(Mem{Base: i, Disp: lanes}, end)
		CMPQ(end, n)
		JBE(LabelRef("full" + id))
		MOVQ(n, end) // 64 - what is left: bits to drop
		SUBQ(i, end)
		JZ(LabelRef("end" + id))
		bits := GP64()
		XORQ(bits, bits)
		BTSQ(end, bits)
		DECQ(bits)
		KMOVQ(bits, m)
		Label("full" + id)
		body(m)
		ADDQ(Imm(uint64(lanes)), i)
		CMPQ(i, n)
		JB(LabelRef("bytes" + id))
		Label("end" + id)
	}
	buf, v, w := convField(args, maxBuf), ZMM(), ZMM()
	MOVQ(Mem{Base: args, Disp: maxWidth}, n)
	forRows(args, maxOH, func() {
		forBytes(64, func(m OpmaskVirtual) {
			id := newLabel()
			LEAQ(Mem{Base: x, Index: i, Scale: 1}, at)
			VMOVDQU8_Z(Mem{Base: at}, m, v)
			MOVQ(Mem{Base: args, Disp: maxTaps}, count)
			Label("tap" + id)
			DECQ(count)
			JZ(LabelRef("taps" + id))
			ADDQ(row, at)
			VMOVDQU8_Z(Mem{Base: at}, m, w)
			VPMAXUB(w, v, v)
			JMP(LabelRef("tap" + id))
			Label("taps" + id)
			VMOVDQU8(v, m, Mem{Base: buf, Index: i, Scale: 1})
		})
	}, func() {
		ADDQ(Mem{Base: args, Disp: maxStep}, x)
		ADDQ(Mem{Base: args, Disp: maxPitch}, buf)
	})
	from := convField(args, maxFrom)
	MOVQ(Mem{Base: args, Disp: maxOW}, n)
	forRows(args, maxOH, func() {
		stride := convField(args, maxStride)
		CMPQ(stride, Imm(2))
		JE(LabelRef("two"))
		forBytes(64, func(m OpmaskVirtual) {
			id := newLabel()
			MOVQ(from, at)
			MOVQ(Mem{Base: args, Disp: maxCols}, count)
			ADDQ(i, at)
			VMOVDQU8(Mem{Base: at}, v)
			Label("along" + id)
			DECQ(count)
			JZ(LabelRef("all" + id))
			INCQ(at)
			VPMAXUB(Mem{Base: at}, v, v)
			JMP(LabelRef("along" + id))
			Label("all" + id)
			VMOVDQU8(v, m, Mem{Base: dst, Index: i, Scale: 1})
		})
		JMP(LabelRef("next"))
		Label("two")
		forBytes(32, func(m OpmaskVirtual) {
			id := newLabel()
			MOVQ(from, at)
			MOVQ(Mem{Base: args, Disp: maxCols}, count)
			LEAQ(Mem{Base: at, Index: i, Scale: 2}, at)
			VMOVDQU8(Mem{Base: at}, w)
			VMOVDQA64(w, v)
			JMP(LabelRef("second" + id))
			Label("pair" + id)
			ADDQ(Imm(2), at)
			VMOVDQU8(Mem{Base: at}, w)
			VPMAXUB(w, v, v)
			Label("second" + id)
			DECQ(count)
			JZ(LabelRef("all" + id))
			VPSRLW(Imm(8), w, w)
			VPMAXUB(w, v, v)
			DECQ(count)
			JNZ(LabelRef("pair" + id))
			Label("all" + id)
			y := YMM()
			VPMOVWB(v, y) // low bytes; odd columns of another window lie in the high ones
			VMOVDQU8(y, m, Mem{Base: dst, Index: i, Scale: 1})
		})
		Label("next")
	}, func() {
		ADDQ(Mem{Base: args, Disp: maxPitch}, from)
		ADDQ(n, dst)
	})
	convEnd()
}

// emitPoolFirst finds the first tap of each window that equals its maximum and copies the
// gradient beside it. It goes on over NaN but says that there was one.
func emitPoolFirst() {
	args := convStart("poolFirstAVX2")
	x, out, dout := convField(args, tapX), convField(args, tapOut), convField(args, tapDout)
	which, d, off, ow := convField(args, tapWhich), convField(args, tapD), convField(args, tapOff), convField(args, tapOW)
	i, k, at, o := GP64(), GP64(), GP64(), GP64()
	ones, nan := YMM(), YMM()
	VPCMPEQD(ones, ones, ones)
	VPXOR(nan, nan, nan)
	forRows(args, tapOH, func() {
		forColumns(i, ow, func(tail *VecVirtual) {
			id := newLabel()
			m, first, tap, e := get(Mem{Base: out, Index: i, Scale: 4}, tail), YMM(), YMM(), YMM()
			VCMPPS(Imm(cmpUNORD), m, m, e)
			VPOR(e, nan, nan)
			MOVQ(Mem{Base: args, Disp: tapN}, k)
			VMOVDQA(ones, first)
			VMOVD(k.As32(), tap.AsX())
			VPBROADCASTD(tap.AsX(), tap)
			LEAQ(Mem{Base: x, Index: i, Scale: 4}, at)
			Label("tap" + id) // from the last to the first
			DECQ(k)
			VPADDD(ones, tap, tap)
			MOVQ(Mem{Base: off, Index: k, Scale: 8}, o)
			VCMPPS(Imm(cmpEQ), Mem{Base: at, Index: o, Scale: 1}, m, e)
			VBLENDVPS(e, tap, first, first)
			TESTQ(k, k)
			JNZ(LabelRef("tap" + id))
			put(first, Mem{Base: which, Index: i, Scale: 4}, tail)
			put(get(Mem{Base: dout, Index: i, Scale: 4}, tail), Mem{Base: d, Index: i, Scale: 4}, tail)
		})
	}, func() {
		ADDQ(Mem{Base: args, Disp: tapRow}, x)
		LEAQ(Mem{Base: out, Index: ow, Scale: 4}, out)
		LEAQ(Mem{Base: dout, Index: ow, Scale: 4}, dout)
		ADDQ(Mem{Base: args, Disp: tapPitch}, which)
		ADDQ(Mem{Base: args, Disp: tapPitch}, d)
	})
	bits := GP32()
	VMOVMSKPS(nan, bits)
	MOVL(bits, Mem{Base: args, Disp: tapNaN})
	convEnd()
}

// emitPoolSpread adds up what elements get from their windows: the gradient of each, if its
// tap is the element's, or of all.
func emitPoolSpread(name string, pick bool) {
	args := convStart(name)
	d, dst := convField(args, spreadD), convField(args, spreadDst)
	var which GPVirtual
	if pick {
		which = convField(args, spreadWhich)
		SUBQ(d, which) // their distance
	}
	taps, off, cols := convField(args, spreadTap), convField(args, spreadOff), convField(args, spreadCols)
	i, k, at := GP64(), GP64(), GP64()
	sum, v := YMM(), YMM()
	forRows(args, spreadRows, func() {
		forColumns(i, cols, func(tail *VecVirtual) {
			id := newLabel()
			VXORPS(sum, sum, sum)
			XORQ(k, k)
			Label("tap" + id)
			MOVQ(Mem{Base: off, Index: k, Scale: 8}, at)
			ADDQ(d, at)
			LEAQ(Mem{Base: at, Index: i, Scale: 4}, at)
			if pick {
				VPBROADCASTD(Mem{Base: taps, Index: k, Scale: 8}, v)
				VPCMPEQD(Mem{Base: at, Index: which, Scale: 1}, v, v)
				VPAND(Mem{Base: at}, v, v)
				VADDPS(v, sum, sum)
			} else {
				VADDPS(Mem{Base: at}, sum, sum)
			}
			INCQ(k)
			CMPQ(k, Mem{Base: args, Disp: spreadN})
			JB(LabelRef("tap" + id))
			put(sum, Mem{Base: dst, Index: i, Scale: 4}, tail)
		})
	}, func() {
		ADDQ(Mem{Base: args, Disp: spreadPitch}, d)
		ADDQ(Mem{Base: args, Disp: spreadStep}, dst)
	})
	convEnd()
}

// emitPoolMean: sums in float64, tap by tap, divided by the counts of the columns times that
// of the row.
func emitPoolMean() {
	args := convStart("poolMeanAVX2")
	x, out, off, ow := convField(args, tapX), convField(args, tapOut), convField(args, tapOff), convField(args, tapOW)
	count, rows := convField(args, tapCount), convField(args, tapRows)
	i, k, at, o, n := GP64(), GP64(), GP64(), GP64(), convField(args, tapN)
	r := YMM()
	forRows(args, tapOH, func() {
		VBROADCASTSD(Mem{Base: rows}, r)
		forColumns(i, ow, func(tail *VecVirtual) {
			id := newLabel()
			s, v, c := [2]VecVirtual{YMM(), YMM()}, YMM(), YMM()
			VXORPD(s[0], s[0], s[0])
			VXORPD(s[1], s[1], s[1])
			LEAQ(Mem{Base: x, Index: i, Scale: 4}, at)
			XORQ(k, k)
			Label("tap" + id)
			MOVQ(Mem{Base: off, Index: k, Scale: 8}, o)
			for h := range s {
				VCVTPS2PD(Mem{Base: at, Index: o, Scale: 1, Disp: 16 * h}, v)
				VADDPD(v, s[h], s[h])
			}
			INCQ(k)
			CMPQ(k, n)
			JB(LabelRef("tap" + id))
			for h := range s {
				VMULPD(Mem{Base: count, Index: i, Scale: 8, Disp: 32 * h}, r, c)
				VDIVPD(c, s[h], s[h])
				VCVTPD2PSY(s[h], s[h].AsX())
			}
			VINSERTF128(Imm(1), s[1].AsX(), s[0], s[0])
			put(s[0], Mem{Base: out, Index: i, Scale: 4}, tail)
		})
		ADDQ(Imm(8), rows)
	}, func() {
		ADDQ(Mem{Base: args, Disp: tapRow}, x)
		LEAQ(Mem{Base: out, Index: ow, Scale: 4}, out)
	})
	convEnd()
}

// emitPoolShare writes the gradients divided by the counts, as emitPoolFirst copies them.
func emitPoolShare() {
	args := convStart("poolShareAVX2")
	dout, d, ow := convField(args, tapDout), convField(args, tapD), convField(args, tapOW)
	count, rows, i := convField(args, tapCount), convField(args, tapRows), GP64()
	r, c, e := YMM(), YMM(), YMM()
	forRows(args, tapOH, func() {
		VBROADCASTSD(Mem{Base: rows}, r)
		forColumns(i, ow, func(tail *VecVirtual) {
			v := get(Mem{Base: dout, Index: i, Scale: 4}, tail)
			VMULPD(Mem{Base: count, Index: i, Scale: 8}, r, c)
			VMULPD(Mem{Base: count, Index: i, Scale: 8, Disp: 32}, r, e)
			VCVTPD2PSY(c, c.AsX())
			VCVTPD2PSY(e, e.AsX())
			VINSERTF128(Imm(1), e.AsX(), c, c)
			VDIVPS(c, v, v)
			put(v, Mem{Base: d, Index: i, Scale: 4}, tail)
		})
		ADDQ(Imm(8), rows)
	}, func() {
		LEAQ(Mem{Base: dout, Index: ow, Scale: 4}, dout)
		ADDQ(Mem{Base: args, Disp: tapPitch}, d)
	})
	convEnd()
}
