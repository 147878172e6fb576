package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// Byte offsets of the fields of kern.finishConst.
const (
	kLo, kHi, kZero                  = 0, 4, 8
	kScale, kQlo, kQhi, kQlo1, kQhi1 = 12, 16, 20, 24, 28
	kTop, kFrom, kTo                 = 32, 36, 40
	kAnyLo, kAnyHi                   = 64, 96 // a vector each
)

// gridVecs are a grid's numbers in all lanes: the scale and the first and last code.
type gridVecs struct{ scale, lo, hi, magic VecVirtual }

func loadGrid(k GPVirtual) gridVecs {
	return gridVecs{bcast(k, kScale), bcast(k, kQlo), bcast(k, kTop), roundMagic()}
}

// steps turns v into kern.steps(v, scale, lo, hi). The order of the operands makes NaN
// the lower limit.
func (g gridVecs) steps(v VecVirtual) {
	VDIVPS(g.scale, v, v)
	VMAXPS(g.lo, v, v)
	VMINPS(v, g.hi, v)
	VADDPS(g.magic, v, v)
	VSUBPS(g.magic, v, v)
}

// finishVecs are kern.finishConst in registers.
type finishVecs struct {
	k            GPVirtual
	lo, hi, zero VecVirtual
	from, to     VecVirtual
	quant        bool // there is a grid
	g            gridVecs
}

func loadFinish(k GPVirtual, quant bool) finishVecs {
	f := finishVecs{k: k, lo: bcast(k, kLo), quant: quant}
	if quant {
		f.g, f.from, f.to = loadGrid(k), bcast(k, kFrom), bcast(k, kTo)
	} else {
		f.hi, f.zero = bcast(k, kHi), bcast(k, kZero)
	}
	return f
}

// apply turns v into the stored value and stores the bits of eight elements.
func (f finishVecs) apply(v VecVirtual, tail *VecVirtual, mask, j GPVirtual) {
	f.storeBits(f.value(v), tail, mask, j)
}

// value turns v into the stored value and returns the lanes whose gradient passes.
func (f finishVecs) value(v VecVirtual) VecVirtual {
	m, t := YMM(), YMM()
	if f.quant {
		VCMPPS(Imm(cmpGE), f.from, v, m)
		VCMPPS(Imm(cmpLE), f.to, v, t)
		VANDPS(t, m, m)
		VMAXPS(v, f.lo, v) // NaN stays
		f.g.steps(v)
		VMULPS(f.g.scale, v, v)
		return m
	}
	VCMPPS(Imm(cmpGT), f.lo, v, m)
	VORPS(Mem{Base: f.k, Disp: kAnyLo}, m, m)
	VCMPPS(Imm(cmpLT), f.hi, v, t)
	VORPS(Mem{Base: f.k, Disp: kAnyHi}, t, t)
	VANDPS(t, m, m)
	VMAXPS(v, f.lo, v) // NaN stays, and so does -0,
	VADDPS(f.zero, v, v)
	VMINPS(v, f.hi, v)
	return m
}

func (f finishVecs) storeBits(m VecVirtual, tail *VecVirtual, mask, j GPVirtual) {
	id := newLabel()
	TESTQ(mask, mask)
	JZ(LabelRef("nomask" + id))
	if tail != nil {
		VANDPS(*tail, m, m)
	}
	b := GP32()
	VMOVMSKPS(m, b)
	MOVB(b.As8(), Mem{Base: mask, Index: j, Scale: 1})
	Label("nomask" + id)
	INCQ(j)
}

// emitFused emits the forms of the finishing pass: the activation alone, and with a grid.
func emitFused() {
	for _, form := range []string{"", "Add", "Plane", "Row"} {
		emitFinish("finish"+form+"AVX2", form, false)
		emitFinish("finish"+form+"QuantAVX2", form, true)
	}
}

// finishArgs are the parameters of the forms.
var finishArgs = map[string]string{
	"":      "dst, x *float32, n, planes int, k *float32, mask *uint8",
	"Add":   "dst, x, y *float32, n, planes int, k *float32, mask *uint8",
	"Plane": "dst, x *float32, n, planes int, k *float32, mask *uint8, k1, k2 *float32",
	"Row":   "dst, x *float32, n int, k *float32, mask *uint8, k1, k2 *float32",
}

// emitFinish emits a form: of x, of x + y, or of x*k1 + k2 with k1 and k2 for each
// plane of n elements or for each element.
func emitFinish(name, form string, quant bool) {
	k := beginElem(name, "func("+finishArgs[form]+")", name+" finishes n elements of each plane; mask may be nil.")
	dst, x, mask, j := ptr("dst"), ptr("x"), ptr("mask"), GP64()
	moving := []GPVirtual{dst, x}
	f := loadFinish(ptr("k"), quant)
	XORQ(j, j)
	var start func()
	value := func(v VecVirtual, tail *VecVirtual) {}
	switch form {
	case "Add":
		y := ptr("y")
		moving = append(moving, y)
		value = func(v VecVirtual, tail *VecVirtual) { VADDPS(get(k.at(y, 0), tail), v, v) }
	case "Plane":
		k1, k2 := planeFactor("k1"), planeFactor("k2")
		start = func() { k1.next(); k2.next() }
		value = func(v VecVirtual, _ *VecVirtual) {
			VMULPS(k1.v, v, v)
			VADDPS(k2.v, v, v)
		}
	case "Row":
		k1, k2 := ptr("k1"), ptr("k2")
		value = func(v VecVirtual, tail *VecVirtual) {
			VMULPS(get(k.at(k1, 0), tail), v, v)
			VADDPS(get(k.at(k2, 0), tail), v, v)
		}
	}
	pass := func() {
		k.loopTail(func(tail *VecVirtual) {
			v := get(k.at(x, 0), tail)
			value(v, tail)
			f.apply(v, tail, mask, j)
			put(v, k.at(dst, 0), tail)
		})
	}
	if form == "Row" {
		pass()
	} else {
		k.planes(moving, start, pass)
	}
	endElem()
}

// factor is a parameter with one number for each plane.
type factor struct {
	p GPVirtual
	v VecVirtual
}

func planeFactor(name string) factor { return factor{ptr(name), YMM()} }

// next loads the number of the next plane.
func (f factor) next() {
	VBROADCASTSS(Mem{Base: f.p}, f.v)
	ADDQ(Imm(4), f.p)
}

// paramVec loads a float32 parameter into all lanes.
func paramVec(name string) VecVirtual {
	v := YMM()
	VBROADCASTSS(paramMem(name), v)
	return v
}

func paramMem(name string) Mem {
	b, err := Param(name).Resolve()
	if err != nil {
		panic(err)
	}
	return b.Addr
}
