package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// Offsets of the fields of kern.intRows.
const (
	inrX, inrPad, inrRows, inrStep      = 0, 8, 16, 24
	inrVecs, inrVectors, inrCol, inrW   = 32, 40, 48, 56
	inrPerm, inrShuf, inrOut, inrLDO    = 64, 72, 80, 88
	inrOH, inrSub, inrScale, inrBias    = 96, 104, 112, 120
	inrPlanes, inrStepX, inrStepW       = 128, 136, 144
	inrStepOut, inrStepCh, inrOutVec    = 152, 160, 168
	inrAt, inrTable, inrTo, inrColumns  = 176, 184, 192, 200
	inrVec, inrLeft                     = 208, 216
	inrVecBytes, inrVecOuts, inrVecSize = 0, 8, 16
)

// emitIntRows makes the kernels of depthwise convolutions on bytes: blocks of output rows, as
// emitDepth. A row of 64 bytes is loaded once; a permutation of dwords and one of bytes put
// four neighbours of each of sixteen outputs in place, for all output rows that meet the row.
func emitIntRows() string {
	calls := ""
	for _, codes := range []bool{false, true} {
		kind := map[bool]string{false: "Values", true: "Codes"}[codes]
		calls += fmt.Sprintf("// intRows%[1]s calls the kernel of a size and a stride.\nfunc intRows%[1]s(size, stride int, t, e *byte) {\n\tswitch [2]int{size, stride} {\n", kind)
		for _, size := range []int{3, 5, 7} {
			for stride := 1; stride <= 2; stride++ {
				name := fmt.Sprintf("intRows%dx%d%s", size, stride, kind)
				emitIntRowsOf(name, size, stride, codes)
				calls += fmt.Sprintf("\tcase [2]int{%d, %d}:\n\t\t%s(t, e)\n", size, stride, name)
			}
		}
		calls += "\tdefault:\n\t\tpanic(\"kern: no such kernel\")\n\t}\n}\n\n"
	}
	return calls
}

func emitIntRowsOf(name string, size, stride int, codes bool) {
	TEXT(name, NOSPLIT, "func(t, e *byte)")
	Pragma("noescape")
	args := Load(Param("t"), GP64()).(GPVirtual)
	e := newEpilogue(Load(Param("e"), GP64()).(GPVirtual), codes)
	groups := (size + 3) / 4
	var acc [depthBlock]VecVirtual
	for i := range acc {
		acc[i] = ZMM()
	}
	// Weights that find no register beside the epilogue's come from memory.
	weights, perm := make([]VecVirtual, min(10, size*groups)), make([]VecVirtual, groups)
	for i := range weights {
		weights[i] = ZMM()
	}
	tables := arg(args, inrPerm)
	for i := range perm {
		perm[i] = ZMM()
		VMOVDQU32(Mem{Base: tables, Disp: 64 * i}, perm[i])
	}
	shuf, pad, row, x := ZMM(), ZMM(), ZMM(), ZMM()
	VMOVDQU32(Mem{Base: arg(args, inrShuf)}, shuf)
	VMOVDQU32(Mem{Base: arg(args, inrPad)}, pad)
	move := func(field, to int) {
		r := arg(args, field)
		MOVQ(r, Mem{Base: args, Disp: to})
	}
	Label("plane")
	w := arg(args, inrW)
	for i, v := range weights {
		VPBROADCASTD(Mem{Base: w, Disp: 4 * i}, v)
	}
	sub, scale, bias := arg(args, inrSub), arg(args, inrScale), arg(args, inrBias)
	MOVQ(U32(0), Mem{Base: args, Disp: inrAt})
	Label("block")
	{
		at, r := arg(args, inrAt), GP64()
		MOVQ(at, r)
		IMULQ(Mem{Base: args, Disp: inrStep}, r)
		ADDQ(Mem{Base: args, Disp: inrRows}, r)
		MOVQ(r, Mem{Base: args, Disp: inrTable})
		IMULQ(Mem{Base: args, Disp: inrLDO}, at)
		ADDQ(Mem{Base: args, Disp: inrOut}, at)
		MOVQ(at, Mem{Base: args, Disp: inrTo})
	}
	move(inrVectors, inrColumns)
	move(inrVecs, inrVec)
	in, table, vec := arg(args, inrX), arg(args, inrTable), GP64()
	SUBQ(Mem{Base: args, Disp: inrLeft}, in)
	Label("vector")
	bytes := K()
	MOVQ(Mem{Base: args, Disp: inrVec}, vec)
	KMOVQ(Mem{Base: vec, Disp: inrVecBytes}, bytes)
	for _, a := range acc {
		VPXORD(a, a, a)
	}
	entry := GP64()
	for i := range (depthBlock-1)*stride + size {
		// A row outside the image is all padding.
		MOVQ(Mem{Base: table, Disp: 8 * i}, entry)
		VMOVDQA64(pad, row)
		TESTQ(entry, entry)
		skip := fmt.Sprintf("pad%d", i)
		JS(LabelRef(skip))
		VMOVDQU8(Mem{Base: in, Index: entry, Scale: 1}, bytes, row)
		Label(skip)
		for g := range perm {
			VPERMD(row, perm[g], x)
			VPSHUFB(shuf, x, x)
			for o := range acc {
				if r := i - o*stride; r >= 0 && r < size {
					if k := r*groups + g; k < len(weights) {
						VPDPBUSD(weights[k], x, acc[o])
					} else {
						VPDPBUSD_BCST(Mem{Base: w, Disp: 4 * k}, x, acc[o])
					}
				}
			}
		}
	}
	to, left, outs := arg(args, inrTo), arg(args, inrOH), K()
	MOVQ(Mem{Base: args, Disp: inrVec}, vec)
	KMOVW(Mem{Base: vec, Disp: inrVecOuts}, outs)
	for i, z := range acc {
		VPSUBD_BCST(Mem{Base: sub}, z, z)
		VCVTDQ2PS(z, z)
		VMULPS_BCST(Mem{Base: scale}, z, z)
		VADDPS_BCST(Mem{Base: bias}, z, z)
		e.mask[0] = outs
		e.storeAs(z, fmt.Sprint(i), 0, Mem{Base: to})
		if i == len(acc)-1 {
			break
		}
		ADDQ(Mem{Base: args, Disp: inrLDO}, to)
		DECQ(left)
		JZ(LabelRef("stored"))
	}
	Label("stored")
	ADDQ(Mem{Base: args, Disp: inrCol}, in)
	MOVQ(Mem{Base: args, Disp: inrOutVec}, to)
	ADDQ(to, Mem{Base: args, Disp: inrTo})
	ADDQ(Imm(inrVecSize), Mem{Base: args, Disp: inrVec})
	DECQ(Mem{Base: args, Disp: inrColumns})
	JNZ(LabelRef("vector"))
	{ // the last block overlaps the one before
		last, next, now := arg(args, inrOH), GP64(), arg(args, inrAt)
		SUBQ(Imm(depthBlock), last)
		CMPQ(now, last)
		JGE(LabelRef("next"))
		LEAQ(Mem{Base: now, Disp: depthBlock}, next)
		CMPQ(next, last)
		CMOVQGT(last, next)
		MOVQ(next, Mem{Base: args, Disp: inrAt})
		JMP(LabelRef("block"))
	}
	Label("next")
	DECQ(Mem{Base: args, Disp: inrPlanes})
	JZ(LabelRef("done"))
	step := GP64()
	for _, f := range [][2]int{{inrX, inrStepX}, {inrW, inrStepW}, {inrOut, inrStepOut}, {inrSub, inrStepCh}, {inrScale, inrStepCh}, {inrBias, inrStepCh}} {
		MOVQ(Mem{Base: args, Disp: f[1]}, step)
		ADDQ(step, Mem{Base: args, Disp: f[0]})
	}
	JMP(LabelRef("plane"))
	Label("done")
	done()
}
