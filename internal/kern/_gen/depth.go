package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// Offsets of the fields of kern.depthArgs.
const (
	depX, depZero, depRows, depStep    = 0, 8, 16, 24
	depOff, depMasks, depW, depBias    = 32, 40, 48, 56
	depOut, depLDO, depOH, depVectors  = 64, 72, 80, 88
	depPlanes, depStepX, depStepW      = 96, 104, 112
	depStepOut, depStepBias            = 120, 128
	depAt, depTable, depTo, depColumns = 136, 144, 152, 160
	depMask                            = 168
)

// depthBlock is kern.depthBlock: the output rows of a block.
const depthBlock = 7

// depthShapes are the rows and columns of kernels by stride. Those of stride 1 have the parts
// of kernels that the phases of a gradient with stride 2 meet, too.
var depthShapes = [3][][2]int{
	1: {{1, 1}, {1, 2}, {2, 1}, {2, 2}, {2, 3}, {3, 2}, {3, 3}, {3, 4}, {4, 3}, {4, 4}, {5, 5}, {7, 7}},
	2: {{3, 3}, {5, 5}, {7, 7}},
}

// Set depth: depthwise convolutions, row by row of a plane.
func init() {
	sets["depth"] = func() {
		text := ""
		for _, k := range []struct {
			level         string
			lanes, blocks int
		}{{"512", 16, 1}, {"Pairs512", 16, 2}, {"AVX2", 8, 1}} {
			text += fmt.Sprintf("// depth%[1]s calls the kernel of a shape and a stride.\nfunc depth%[1]s(r, s, stride int, t *byte) {\n\tswitch [3]int{r, s, stride} {\n", k.level)
			for stride := 1; stride <= 2; stride++ {
				for _, d := range depthShapes[stride] {
					if k.blocks > 1 && d[0]*d[1] < 9 {
						continue
					}
					name := fmt.Sprintf("depth%dx%dx%d%s", d[0], d[1], stride, k.level)
					emitDepth(name, d[0], d[1], stride, k.lanes, k.blocks)
					text += fmt.Sprintf("\tcase [3]int{%d, %d, %d}:\n\t\t%s(t)\n", d[0], d[1], stride, name)
				}
			}
			text += "\tdefault:\n\t\tpanic(\"kern: no such kernel\")\n\t}\n}\n\n"
		}
		for _, lanes := range []int{16, 8} {
			level := map[int]string{16: "512", 8: "AVX2"}[lanes]
			text += fmt.Sprintf("// depthWeight%[1]s calls the kernel of a size.\nfunc depthWeight%[1]s(size int, t *byte) {\n\tswitch size {\n", level)
			for _, size := range []int{5, 7} {
				name := fmt.Sprintf("depthWeight%dx%s", size, level)
				emitDepthWeight(name, size, lanes)
				text += fmt.Sprintf("\tcase %d:\n\t\t%s(t)\n", size, name)
			}
			text += "\tdefault:\n\t\tpanic(\"kern: no such kernel\")\n\t}\n}\n\n"
		}
		extra["depth_calls_amd64.go"] = text + emitIntRows()
	}
}

// emitDepth emits a kernel that walks over planes, blocks of output rows and vectors of
// columns. Each row of the input is read once for all output rows of a block that it meets.
// Few of them meet its first and last rows, whose sums would wait for each other: two blocks
// side by side keep the multipliers busy.
func emitDepth(name string, rows, cols, stride, lanes, blocks int) {
	args := convStart(name)
	vector := func() VecVirtual {
		if lanes == 16 {
			return ZMM()
		}
		return YMM()
	}
	acc := make([]VecVirtual, depthBlock*blocks)
	for i := range acc {
		acc[i] = vector()
	}
	x, spare := vector(), vector()
	kept := min(rows*cols, 2*lanes-len(acc)-2)
	weights := make([]VecVirtual, kept)
	for i := range weights {
		weights[i] = vector()
	}
	move := func(field, reg int) { // between fields, by a register
		r := GP64()
		MOVQ(Mem{Base: args, Disp: field}, r)
		MOVQ(r, Mem{Base: args, Disp: reg})
	}
	Label("plane")
	args = Load(Param("t"), GP64()).(GPVirtual)
	w := convField(args, depW)
	for i, v := range weights {
		VBROADCASTSS(Mem{Base: w, Disp: 4 * i}, v)
	}
	offs := convField(args, depOff)
	off := make([]GPVirtual, cols)
	for i := range off {
		off[i] = convField(offs, 8*i)
	}
	MOVQ(U32(0), Mem{Base: args, Disp: depAt})
	Label("block")
	{ // where the block's input and output begin
		at, r := convField(args, depAt), GP64()
		MOVQ(at, r)
		IMULQ(Mem{Base: args, Disp: depStep}, r)
		ADDQ(Mem{Base: args, Disp: depRows}, r)
		MOVQ(r, Mem{Base: args, Disp: depTable})
		IMULQ(Mem{Base: args, Disp: depLDO}, at)
		ADDQ(Mem{Base: args, Disp: depOut}, at)
		MOVQ(at, Mem{Base: args, Disp: depTo})
	}
	move(depVectors, depColumns)
	move(depMasks, depMask)
	in, zero, table := convField(args, depX), convField(args, depZero), convField(args, depTable)
	Label("vector")
	masks := make([]OpmaskVirtual, cols)
	if lanes == 16 {
		m := convField(args, depMask)
		for i := range masks {
			masks[i] = K()
			KMOVW(Mem{Base: m, Disp: 2 * i}, masks[i])
		}
	}
	for _, a := range acc {
		VXORPS(a.AsY(), a.AsY(), a.AsY())
	}
	entry, at := GP64(), []GPVirtual{GP64(), GP64()}[:blocks]
	for i := range (depthBlock-1)*stride + rows {
		for b, at := range at {
			MOVQ(Mem{Base: table, Disp: 8 * (i + b*depthBlock*stride)}, entry)
			LEAQ(Mem{Base: in, Index: entry, Scale: 1}, at)
			TESTQ(entry, entry)
			CMOVQLT(zero, at)
		}
		for s := range cols {
			for b, at := range at {
				m, x := Mem{Base: at, Index: off[s], Scale: 1}, []VecVirtual{x, spare}[b]
				if lanes == 16 {
					VMOVUPS_Z(m, masks[s], x)
				} else {
					VMOVUPS(m, x)
				}
				for o, sum := range acc[b*depthBlock:][:depthBlock] {
					r := i - o*stride
					if r < 0 || r >= rows {
						continue
					}
					k := r*cols + s
					switch {
					case k < kept:
						VFMADD231PS(weights[k], x, sum)
					case lanes == 16:
						VFMADD231PS_BCST(Mem{Base: w, Disp: 4 * k}, x, sum)
					default:
						VBROADCASTSS(Mem{Base: w, Disp: 4 * k}, spare)
						VFMADD231PS(spare, x, sum)
					}
				}
			}
		}
	}
	bias := convField(args, depBias)
	TESTQ(bias, bias)
	JZ(LabelRef("store"))
	VBROADCASTSS(Mem{Base: bias}, x)
	for _, a := range acc {
		VADDPS(x, a, a)
	}
	Label("store")
	depthStore(args, acc, lanes)
	ADDQ(Imm(uint64(4*lanes)), in)
	ADDQ(Imm(uint64(4*lanes)), zero)
	ADDQ(Imm(uint64(4*lanes)), Mem{Base: args, Disp: depTo})
	ADDQ(Imm(map[int]uint64{16: 16, 8: 32}[lanes]), Mem{Base: args, Disp: depMask})
	DECQ(Mem{Base: args, Disp: depColumns})
	JNZ(LabelRef("vector"))
	{ // the last block overlaps the one before
		last, next, now := convField(args, depOH), GP64(), convField(args, depAt)
		SUBQ(Imm(uint64(len(acc))), last)
		CMPQ(now, last)
		JGE(LabelRef("next"))
		LEAQ(Mem{Base: now, Disp: len(acc)}, next)
		CMPQ(next, last)
		CMOVQGT(last, next)
		MOVQ(next, Mem{Base: args, Disp: depAt})
		JMP(LabelRef("block"))
	}
	Label("next")
	nextPlane(depPlanes, [][2]int{{depX, depStepX}, {depW, depStepW}, {depOut, depStepOut}, {depBias, depStepBias}})
	convEnd()
}

// depthStore writes the rows of a block that exist.
func depthStore(args GPVirtual, acc []VecVirtual, lanes int) {
	mask := convField(args, depMask)
	var m Op
	if lanes == 16 {
		k := K()
		KMOVW(Mem{Base: mask, Disp: 14}, k)
		m = k
	} else {
		y := YMM()
		VMOVUPS(Mem{Base: mask}, y)
		m = y
	}
	to, left := convField(args, depTo), convField(args, depOH)
	for i, a := range acc {
		if lanes == 16 {
			VMOVUPS(a, m, Mem{Base: to})
		} else {
			VMASKMOVPS(a, m, Mem{Base: to})
		}
		if i == len(acc)-1 {
			break
		}
		ADDQ(Mem{Base: args, Disp: depLDO}, to)
		DECQ(left)
		JZ(LabelRef("stored"))
	}
	Label("stored")
}

// emitDepthWeight emits the gradient of a kernel of size×size taps, summed by lanes: for each
// vector of columns the chains of some rows of taps down the rows of the gradient of the
// output, which are then added to the lanes' sums. W has the sums, out is what is read.
func emitDepthWeight(name string, size, lanes int) {
	args := convStart(name)
	vector := func() VecVirtual {
		if lanes == 16 {
			return ZMM()
		}
		return YMM()
	}
	groups := map[[2]int][]int{{5, 16}: {5}, {7, 16}: {3, 2, 2}}[[2]int{size, lanes}]
	if groups == nil { // a row of taps at a time
		for range size {
			groups = append(groups, 1)
		}
	}
	move := func(field, reg int) {
		r := GP64()
		MOVQ(Mem{Base: args, Disp: field}, r)
		MOVQ(r, Mem{Base: args, Disp: reg})
	}
	d, x := vector(), vector()
	all := make([]VecVirtual, groups[0]*size)
	for i := range all {
		all[i] = vector()
	}
	Label("plane")
	args = Load(Param("t"), GP64()).(GPVirtual)
	offs := convField(args, depOff)
	off := make([]GPVirtual, size)
	for i := range off {
		off[i] = convField(offs, 8*i)
	}
	in, zero := convField(args, depX), convField(args, depZero)
	move(depOut, depTo)
	move(depVectors, depColumns)
	move(depMasks, depMask)
	if lanes == 8 { // the halves of the lanes take turns
		MOVQ(U32(0), Mem{Base: args, Disp: depAt})
	}
	Label("vector")
	masks := make([]OpmaskVirtual, size)
	var tail Op
	{
		m := convField(args, depMask)
		if lanes == 16 {
			for i := range masks {
				masks[i] = K()
				KMOVW(Mem{Base: m, Disp: 2 * i}, masks[i])
			}
		} else {
			y := YMM()
			VMOVUPS(Mem{Base: m}, y)
			tail = y
		}
	}
	first := 0
	for g, rows := range groups {
		acc := all[:rows*size]
		for _, a := range acc {
			if lanes == 16 {
				VPXORD(a, a, a)
			} else {
				VXORPS(a, a, a)
			}
		}
		table, dy, entry, at := convField(args, depRows), convField(args, depTo), GP64(), GP64()
		move(depOH, depTable)
		row := fmt.Sprintf("row%d", g)
		Label(row)
		if lanes == 16 {
			m, k := convField(args, depMask), masks[size-1] // which has to serve twice
			KMOVW(Mem{Base: m, Disp: 14}, k)
			VMOVUPS_Z(Mem{Base: dy}, k, d)
			KMOVW(Mem{Base: m, Disp: 2 * (size - 1)}, k)
		} else {
			VMASKMOVPS(Mem{Base: dy}, tail, d)
		}
		for r := range rows {
			MOVQ(Mem{Base: table, Disp: 8 * (first + r)}, entry)
			LEAQ(Mem{Base: in, Index: entry, Scale: 1}, at)
			TESTQ(entry, entry)
			CMOVQLT(zero, at)
			for s := range size {
				m := Mem{Base: at, Index: off[s], Scale: 1}
				if lanes == 16 {
					VMOVUPS_Z(m, masks[s], x)
					VFMADD231PS(x, d, acc[r*size+s])
				} else {
					VMASKMOVPS(m, tail, x)
					VFMADD231PS(x, d, acc[r*size+s])
				}
			}
		}
		ADDQ(Mem{Base: args, Disp: depLDO}, dy)
		ADDQ(Mem{Base: args, Disp: depStep}, table)
		DECQ(Mem{Base: args, Disp: depTable})
		JNZ(LabelRef(row))
		sum := convField(args, depW)
		if lanes == 8 {
			ADDQ(Mem{Base: args, Disp: depAt}, sum)
		}
		for i, a := range acc {
			m := Mem{Base: sum, Disp: 64 * (first*size + i)}
			VADDPS(m, a, a)
			VMOVUPS(a, m)
		}
		first += rows
	}
	ADDQ(Imm(uint64(4*lanes)), in)
	ADDQ(Imm(uint64(4*lanes)), zero)
	ADDQ(Imm(uint64(4*lanes)), Mem{Base: args, Disp: depTo})
	ADDQ(Imm(map[int]uint64{16: 16, 8: 32}[lanes]), Mem{Base: args, Disp: depMask})
	if lanes == 8 {
		r := convField(args, depAt)
		XORQ(Imm(32), r)
		MOVQ(r, Mem{Base: args, Disp: depAt})
	}
	DECQ(Mem{Base: args, Disp: depColumns})
	JNZ(LabelRef("vector"))
	nextPlane(depPlanes, [][2]int{{depX, depStepX}, {depW, depStepW}, {depOut, depStepOut}})
	convEnd()
}
