package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// fewSteps is the most steps whose columns fit the registers beside the epilogue.
const fewSteps = 9

// emitFew makes the kernels for sums of few steps: the columns of all steps stay in
// registers, and every row of weights goes from its products to its results at once.
// They read the arguments of a tile (but for C) and of an epilogue.
func emitFew() {
	calls := ""
	for _, codes := range []bool{false, true} {
		name := map[bool]string{false: "intFewValues", true: "intFewCodes"}[codes]
		calls += fmt.Sprintf("// %s calls the kernel of so many steps.\nfunc %s(steps int, t, e *byte) {\n\tswitch steps {\n", name, name)
		for n := 1; n <= fewSteps; n++ {
			emitFewSteps(fmt.Sprintf("%s%d", name, n), n, codes)
			calls += fmt.Sprintf("\tcase %d:\n\t\t%s%d(t, e)\n", n, name, n)
		}
		calls += "\tdefault:\n\t\tpanic(\"kern: too many steps\")\n\t}\n}\n\n"
	}
	extra["int_calls_amd64.go"] = calls[:len(calls)-1]
}

func emitFewSteps(name string, n int, codes bool) {
	TEXT(name, NOSPLIT, "func(t, e *byte)")
	Pragma("noescape")
	t, args := Load(Param("t"), GP64()).(GPVirtual), Load(Param("e"), GP64()).(GPVirtual)
	b := fewColumns(t, n)
	a, rs := arg(t, argA), arg(t, argRS)
	e := newEpilogue(args, codes)
	rows := arg(args, epiRows)
	sub, scale, bias := arg(args, epiSub), arg(args, epiScale), arg(args, epiBias)
	out := [2]GPVirtual{arg(args, epiOut), arg(args, epiOut+8)}
	Label("row")
	for v := range out {
		if v == 1 {
			KTESTW(e.mask[1], e.mask[1])
			JZ(LabelRef("next"))
		}
		z := ZMM()
		VPXORD(z, z, z)
		for s := range n {
			VPDPBUSD_BCST(Mem{Base: a, Disp: 4 * s}, b[s][v], z)
		}
		VPSUBD_BCST(Mem{Base: sub}, z, z)
		VCVTDQ2PS(z, z)
		VMULPS_BCST(Mem{Base: scale}, z, z)
		VADDPS_BCST(Mem{Base: bias}, z, z)
		e.store(z, v, Mem{Base: out[v]})
	}
	Label("next")
	ADDQ(rs, a)
	for _, o := range out {
		ADDQ(Mem{Base: args, Disp: epiLDO}, o)
	}
	for _, p := range []GPVirtual{sub, scale, bias} {
		ADDQ(U8(4), p)
	}
	DECQ(rows)
	JNZ(LabelRef("row"))
	done()
}

// fewColumns loads both vectors of every step.
func fewColumns(t GPVirtual, n int) [][2]VecVirtual {
	base, mask, off, offB := make([]GPVirtual, 4), make([]OpmaskVirtual, 4), GP64(), arg(t, argOffB)
	for i := range base {
		base[i], mask[i] = arg(t, argB+8*i), K()
		KMOVW(Mem{Base: t, Disp: argMask + 2*i}, mask[i])
	}
	b := make([][2]VecVirtual, n)
	for s := range b {
		MOVQ(Mem{Base: offB, Disp: 8 * s}, off)
		for v := range 2 {
			b[s][v] = ZMM()
			VMOVUPS_Z(Mem{Base: base[2*v], Index: off, Scale: 1}, mask[2*v], b[s][v])
			VMOVUPS(Mem{Base: base[2*v+1], Index: off, Scale: 1}, mask[2*v+1], b[s][v])
		}
	}
	return b
}
