package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// Set batchnorm: the algebra per channel of batch normalisations, in float64, on n channels,
// a multiple of four; and the totals of lanes.
func init() {
	sets["batchnorm"] = func() {
		emitBatchMoments()
		emitBatchForward()
		emitBatchBackward()
		emitBatchFold()
		emitLaneTotals()
	}
}

// Offsets of the fields of kern.batchArgs.
const (
	batchMean = 8 * iota
	batchVariance
	batchInv
	batchSums
	batchF
	batchGamma
	batchBeta
	batchBias
	batchRunMean
	batchRunVariance
	batchK1
	batchK2
	batchDGamma
	batchDBeta
	batchDF
	batchQ
	batchR
	batchN
	batchEps
	batchMomentum
	batchUnbiased
)

// batchKernel is the frame of a kernel on batchArgs.
type batchKernel struct {
	*elemKernel
	args GPVirtual
}

func beginBatch(name, doc string) *batchKernel {
	k := beginElem(name, "func(args *byte, n int)", name+" "+doc)
	return &batchKernel{k, ptr("args")}
}

// of is the place of four channels of a vector with elements of size bytes.
func (k *batchKernel) of(field, size int) Mem {
	p := GP64()
	MOVQ(Mem{Base: k.args, Disp: field}, p)
	return Mem{Base: p, Index: k.i, Scale: uint8(size)}
}

// number is a float64 of the arguments in all lanes.
func (k *batchKernel) number(field int) VecVirtual {
	v := YMM()
	VBROADCASTSD(Mem{Base: k.args, Disp: field}, v)
	return v
}

// get64 and get32 load four channels as float64.
func (k *batchKernel) get64(field int) VecVirtual {
	v := YMM()
	VMOVUPD(k.of(field, 8), v)
	return v
}

func (k *batchKernel) get32(field int) VecVirtual {
	v := YMM()
	VCVTPS2PD(k.of(field, 4), v)
	return v
}

// put32 stores float64 as float32 and leaves these in the lower half of v.
func (k *batchKernel) put32(v VecVirtual, field int) {
	VCVTPD2PSY(v, v.AsX())
	VMOVUPS(v.AsX(), k.of(field, 4))
}

// channels repeats body for every four channels.
func (k *elemKernel) channels(body func()) {
	XORQ(k.i, k.i)
	Label("four")
	body()
	ADDQ(Imm(4), k.i)
	CMPQ(k.i, k.n)
	JB(LabelRef("four"))
	endElem()
}

// constant64 is a float64 in all lanes.
func constant64(x float64) VecVirtual {
	v, bits := YMM(), GP64()
	MOVQ(U64(math.Float64bits(x)), bits)
	VMOVQ(bits, v.AsX())
	VBROADCASTSD(v.AsX(), v)
	return v
}

// do64 are operations on new registers.
func do64(op func(...Op), a, b Op) VecVirtual {
	v := YMM()
	op(b, a, v)
	return v
}

func mul64(a, b Op) VecVirtual { return do64(VMULPD, a, b) }
func div64(a, b Op) VecVirtual { return do64(VDIVPD, a, b) }
func sub64(a, b Op) VecVirtual { return do64(VSUBPD, a, b) }
func add64(a, b Op) VecVirtual { return do64(VADDPD, a, b) }

// statsBytes is the size of a kern.Stats, whose first numbers are the two sums.
const statsBytes = 40

func emitBatchMoments() {
	k := beginElem("batchMomentsAVX2", "func(mean, variance *float64, st *byte, n int, count float64)",
		"batchMomentsAVX2 turns the sums of n channels into mean and variance.")
	mean, variance, st := ptr("mean"), ptr("variance"), ptr("st")
	count, zero := double("count"), zeroVec()
	k.channels(func() {
		a, b := YMM(), YMM() // channels 0 and 2, 1 and 3
		for i, v := range []VecVirtual{a, b} {
			VMOVUPD(Mem{Base: st, Disp: statsBytes * i}, v.AsX())
			VINSERTF128(Imm(1), Mem{Base: st, Disp: statsBytes * (i + 2)}, v, v)
		}
		m, s := YMM(), YMM()
		VUNPCKLPD(b, a, m)
		VUNPCKHPD(b, a, s)
		m, s = div64(m, count), div64(s, count)
		VMOVUPD(m, Mem{Base: mean, Index: k.i, Scale: 8})
		VMULPD(m, m, m)
		VSUBPD(m, s, s)
		VMAXPD(s, zero, s) // NaN stays, and so does -0
		VADDPD(zero, s, s)
		VMOVUPD(s, Mem{Base: variance, Index: k.i, Scale: 8})
		ADDQ(U32(4*statsBytes), st)
	})
}

func emitBatchForward() {
	k := beginBatch("batchForwardAVX2", "is BatchNormForward.")
	eps, momentum, unbiased, one := k.number(batchEps), k.number(batchMomentum), k.number(batchUnbiased), constant64(1)
	k.channels(func() {
		move := func(to VecVirtual, field int) {
			old := k.get32(field)
			step := mul64(momentum, sub64(to, old))
			VCVTPD2PSY(step, step.AsX())
			VADDPS(k.of(field, 4), step.AsX(), step.AsX())
			VMOVUPS(step.AsX(), k.of(field, 4))
		}
		f, mean := k.get32(batchF), k.get64(batchMean)
		move(add64(div64(mean, f), k.get32(batchBias)), batchRunMean)
		variance := div64(k.get64(batchVariance), mul64(f, f))
		inv := add64(variance, eps)
		VSQRTPD(inv, inv)
		VDIVPD(inv, one, inv)
		VMOVUPD(inv, k.of(batchInv, 8))
		move(mul64(variance, unbiased), batchRunVariance)
		k1 := div64(mul64(k.get32(batchGamma), inv), f)
		k.put32(k1, batchK1)
		VCVTPS2PD(k1.AsX(), k1)
		k.put32(sub64(k.get32(batchBeta), mul64(mean, k1)), batchK2)
	})
}

func emitBatchBackward() {
	k := beginBatch("batchBackwardAVX2", "is BatchNormBackward, but for the gradient of the bias.")
	sums := GP64()
	MOVQ(Mem{Base: k.args, Disp: batchSums}, sums)
	eps, n, sign := k.number(batchEps), k.number(batchN), constant64(math.Copysign(0, -1))
	k.channels(func() {
		a, b, d, dx := YMM(), YMM(), YMM(), YMM()
		for i, v := range []VecVirtual{a, b} {
			VMOVUPD(Mem{Base: sums, Disp: 16 * i}, v.AsX())
			VINSERTF128(Imm(1), Mem{Base: sums, Disp: 16 * (i + 2)}, v, v)
		}
		VUNPCKLPD(b, a, d)
		VUNPCKHPD(b, a, dx)
		ADDQ(Imm(64), sums)
		mean, inv, f := k.get64(batchMean), k.get64(batchInv), k.get32(batchF)
		centred := sub64(dx, mul64(mean, d))
		gi := mul64(k.get32(batchGamma), inv)
		df := YMM()
		VXORPD(sign, gi, df)
		df = mul64(div64(df, mul64(f, f)), centred)
		k.put32(mul64(df, mul64(mul64(eps, inv), inv)), batchDF)
		t, slope := div64(inv, f), div64(gi, f)
		k.put32(mul64(centred, t), batchDGamma)
		VXORPD(sign, slope, slope)
		q := div64(mul64(mul64(mul64(slope, t), t), centred), n)
		k.put32(q, batchQ)
		VCVTPS2PD(q.AsX(), q)
		k.put32(sub64(div64(mul64(slope, d), n), mul64(q, mean)), batchR)
		k.put32(d, batchDBeta)
	})
}

func emitBatchFold() {
	k := beginElem("batchFoldAVX2", "func(f *float32, slope *float64, gamma, variance *float32, n int, eps, floor float64)",
		"batchFoldAVX2 is BatchFold.")
	f, slope, gamma, variance := ptr("f"), ptr("slope"), ptr("gamma"), ptr("variance")
	eps, floor, sign, one := double("eps"), double("floor"), constant64(math.Copysign(0, -1)), constant64(1)
	k.channels(func() {
		root, v, low, edge := YMM(), YMM(), YMM(), YMM()
		VCVTPS2PD(Mem{Base: variance, Index: k.i, Scale: 4}, root)
		VADDPD(eps, root, root)
		VSQRTPD(root, root)
		VCVTPS2PD(Mem{Base: gamma, Index: k.i, Scale: 4}, v)
		VDIVPD(root, v, v)
		VDIVPD(root, one, root)
		VANDNPD(v, sign, low) // without its sign
		VCMPPD(Imm(cmpLT), floor, low, low)
		VANDPD(sign, v, edge)
		VORPD(floor, edge, edge)
		VBLENDVPD(low, edge, v, v)
		VANDNPD(root, low, root)
		VMOVUPD(root, Mem{Base: slope, Index: k.i, Scale: 8})
		VCVTPD2PSY(v, v.AsX())
		VMOVUPS(v.AsX(), Mem{Base: f, Index: k.i, Scale: 4})
	})
}

// lanesBytes is the size of a kern.lanes: sixteen float64 of sums a, sixteen of b.
const lanesBytes = 256

func emitLaneTotals() {
	k := beginElem("laneTotalsAVX2", "func(sums, l *float64, n int)",
		"laneTotalsAVX2 writes the totals of n pairs of lanes, any number above 0.")
	sums, l := ptr("sums"), ptr("l")
	Label("pair")
	total := func(disp int) VecVirtual {
		at := func(i int) Mem { return Mem{Base: l, Disp: disp + 8*i} }
		u, v := YMM(), YMM()
		VMOVUPD(at(0), u)
		VMOVUPD(at(4), v)
		VADDPD(at(8), u, u)
		VADDPD(at(12), v, v)
		VADDPD(v, u, u)
		VEXTRACTF128(Imm(1), u, v.AsX())
		VADDPD(v.AsX(), u.AsX(), u.AsX()) // 0 and 2, 1 and 3
		return u
	}
	a, b, lo := total(0), total(128), YMM()
	VUNPCKLPD(b.AsX(), a.AsX(), lo.AsX())
	VUNPCKHPD(b.AsX(), a.AsX(), a.AsX())
	VADDPD(a.AsX(), lo.AsX(), lo.AsX())
	VMOVUPD(lo.AsX(), Mem{Base: sums})
	ADDQ(U32(lanesBytes), l)
	ADDQ(Imm(16), sums)
	DECQ(k.n)
	JNZ(LabelRef("pair"))
	endElem()
}
