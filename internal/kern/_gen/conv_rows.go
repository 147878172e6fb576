package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// emitPairsAVX2 emits a loop over planes, rows and the whole groups of sixteen dwords
// of c in a row.
func emitPairsAVX2(name string, move func(a, b, c GPVirtual)) {
	convStart(name)
	Label("plane")
	args := Load(Param("t"), GP64()).(GPVirtual)
	a, b, c := convField(args, rowA), convField(args, rowB), convField(args, rowC)
	rows, full := convField(args, rowRows), convField(args, rowFull)
	ra, rb, rc, n := GP64(), GP64(), GP64(), GP64()
	Label("row")
	MOVQ(a, ra)
	MOVQ(b, rb)
	MOVQ(c, rc)
	MOVQ(full, n)
	Label("vector")
	move(ra, rb, rc)
	ADDQ(Imm(32), ra)
	ADDQ(Imm(32), rb)
	ADDQ(Imm(64), rc)
	DECQ(n)
	JNZ(LabelRef("vector"))
	ADDQ(Mem{Base: args, Disp: rowStepA}, a)
	ADDQ(Mem{Base: args, Disp: rowStepB}, b)
	ADDQ(Mem{Base: args, Disp: rowStepC}, c)
	DECQ(rows)
	JNZ(LabelRef("row"))
	nextPlane(rowPlanes, [][2]int{{rowA, rowA2}, {rowB, rowB2}, {rowC, rowC2}})
	convEnd()
}

func splitPair(a, b, c GPVirtual) {
	lo, hi, even, odd := YMM(), YMM(), YMM(), YMM()
	VMOVUPS(Mem{Base: c}, lo)
	VMOVUPS(Mem{Base: c, Disp: 32}, hi)
	VSHUFPS(Imm(0x88), hi, lo, even) // 0 2 8 10 | 4 6 12 14
	VSHUFPS(Imm(0xdd), hi, lo, odd)
	VPERMQ(Imm(0xd8), even, even)
	VPERMQ(Imm(0xd8), odd, odd)
	VMOVUPS(even, Mem{Base: a})
	VMOVUPS(odd, Mem{Base: b})
}

func mergePair(a, b, c GPVirtual) {
	even, odd, lo, hi, t := YMM(), YMM(), YMM(), YMM(), YMM()
	VMOVUPS(Mem{Base: a}, even)
	VMOVUPS(Mem{Base: b}, odd)
	VUNPCKLPS(odd, even, lo) // 0 1 2 3 | 8 9 10 11
	VUNPCKHPS(odd, even, hi) // 4 5 6 7 | 12 13 14 15
	VPERM2F128(Imm(0x20), hi, lo, t)
	VPERM2F128(Imm(0x31), hi, lo, hi)
	VMOVUPS(t, Mem{Base: c})
	VMOVUPS(hi, Mem{Base: c, Disp: 32})
}

// rowRegs are the pointers of a kernel that moves rows: a and b advance by one
// vector where c advances by vectors ones.
type rowRegs struct {
	a, b, c GPVirtual
	table   [2]VecVirtual
	mask    []OpmaskVirtual // of the last vectors: a, b, then those of c; nil for whole vectors
}

// emitRows emits a loop over rows and, within a row, over whole groups of vectors
// and one masked group.
func emitRows(name string, vectors int, move func(r *rowRegs)) {
	args := convStart(name)
	last := make([]OpmaskVirtual, 4)
	for i := range last {
		last[i] = K()
		KMOVW(Mem{Base: args, Disp: rowMasks + 2*i}, last[i])
	}
	Label("plane")
	args = Load(Param("t"), GP64()).(GPVirtual)
	a, b, c := convField(args, rowA), convField(args, rowB), convField(args, rowC)
	stepA, stepB, stepC := convField(args, rowStepA), convField(args, rowStepB), convField(args, rowStepC)
	rows, full := convField(args, rowRows), convField(args, rowFull)
	r := &rowRegs{a: GP64(), b: GP64(), c: GP64()}
	if vectors == 2 {
		table := convField(args, rowTable)
		for i := range r.table {
			r.table[i] = ZMM()
			VMOVDQU32(Mem{Base: table, Disp: 64 * i}, r.table[i])
		}
	}
	Label("row")
	MOVQ(a, r.a)
	MOVQ(b, r.b)
	MOVQ(c, r.c)
	n := GP64()
	MOVQ(full, n)
	TESTQ(n, n)
	JZ(LabelRef("last"))
	Label("vector")
	r.mask = nil
	move(r)
	ADDQ(Imm(64), r.a)
	ADDQ(Imm(64), r.b)
	ADDQ(Imm(uint64(64*vectors)), r.c)
	DECQ(n)
	JNZ(LabelRef("vector"))
	Label("last")
	KTESTW(last[0], last[0])
	JZ(LabelRef("next"))
	r.mask = last
	move(r)
	Label("next")
	ADDQ(stepA, a)
	ADDQ(stepB, b)
	ADDQ(stepC, c)
	DECQ(rows)
	JNZ(LabelRef("row"))
	nextPlane(rowPlanes, [][2]int{{rowA, rowA2}, {rowB, rowB2}, {rowC, rowC2}})
	convEnd()
}

// nextPlane goes on with the next plane while there is one: it adds to fields of the
// arguments their steps (field, step). After the last plane it leaves them
// alone, because a pointer must not leave the memory that it stands for.
func nextPlane(planes int, fields [][2]int) {
	args, r := Load(Param("t"), GP64()).(GPVirtual), GP64()
	DECQ(Mem{Base: args, Disp: planes})
	JZ(LabelRef("done"))
	for _, f := range fields {
		MOVQ(Mem{Base: args, Disp: f[1]}, r)
		ADDQ(r, Mem{Base: args, Disp: f[0]})
	}
	JMP(LabelRef("plane"))
	Label("done")
}

// load and store move a vector, or its lanes of mask m when there are masks.
func (r *rowRegs) load(p GPVirtual, disp, m int) VecVirtual {
	z := ZMM()
	if r.mask == nil {
		VMOVUPS(Mem{Base: p, Disp: disp}, z)
	} else {
		VMOVUPS_Z(Mem{Base: p, Disp: disp}, r.mask[m], z)
	}
	return z
}

func (r *rowRegs) store(z VecVirtual, p GPVirtual, disp, m int) {
	if r.mask == nil {
		VMOVUPS(z, Mem{Base: p, Disp: disp})
	} else {
		VMOVUPS(z, r.mask[m], Mem{Base: p, Disp: disp})
	}
}

func rowCopy(r *rowRegs) { r.store(r.load(r.c, 0, 0), r.a, 0, 0) }

// rowSplit writes the even dwords of c to a and the odd ones to b.
func rowSplit(r *rowRegs) {
	lo, hi := r.load(r.c, 0, 2), r.load(r.c, 64, 3)
	odd := ZMM()
	VMOVDQA32(lo, odd)
	VPERMT2PS(hi, r.table[0], lo)
	VPERMT2PS(hi, r.table[1], odd)
	r.store(lo, r.a, 0, 0)
	r.store(odd, r.b, 0, 1)
}

// rowMerge undoes rowSplit.
func rowMerge(r *rowRegs) {
	even, odd := r.load(r.a, 0, 0), r.load(r.b, 0, 1)
	hi := ZMM()
	VMOVDQA32(even, hi)
	VPERMT2PS(odd, r.table[0], even)
	VPERMT2PS(odd, r.table[1], hi)
	r.store(even, r.c, 0, 2)
	r.store(hi, r.c, 64, 3)
}

// panelLoop emits the loops over steps and runs; move copies one run.
func panelLoop(name string, move func(run, src, dst GPVirtual)) {
	args := convStart(name)
	k, offB, dst, row := convField(args, panelK), convField(args, panelOffB), convField(args, panelDst), convField(args, panelRow)
	runs, count := convField(args, panelRuns), convField(args, panelN)
	run, n, off, src, to := GP64(), GP64(), GP64(), GP64(), GP64()
	Label("step")
	MOVQ(Mem{Base: offB}, off)
	MOVQ(runs, run)
	MOVQ(count, n)
	Label("run")
	MOVQ(Mem{Base: run, Disp: runSrc}, src)
	MOVQ(Mem{Base: run, Disp: runDst}, to)
	ADDQ(off, src)
	ADDQ(dst, to)
	move(run, src, to)
	ADDQ(Imm(runSize), run)
	DECQ(n)
	JNZ(LabelRef("run"))
	ADDQ(Imm(8), offB)
	ADDQ(row, dst)
	DECQ(k)
	JNZ(LabelRef("step"))
	convEnd()
}

func emitPanel512() {
	panelLoop("convPanel512", func(run, src, dst GPVirtual) {
		m, z := K(), ZMM()
		KMOVW(Mem{Base: run, Disp: runMask}, m)
		VMOVUPS_Z(Mem{Base: src}, m, z)
		VMOVUPS(z, Mem{Base: dst})
	})
}

func emitPanelAVX2() {
	panelLoop("convPanelAVX2", func(run, src, dst GPVirtual) {
		p, m, y := GP64(), YMM(), YMM()
		MOVQ(Mem{Base: run, Disp: runMasks}, p)
		VMOVUPS(Mem{Base: p}, m)
		VMASKMOVPS(Mem{Base: src}, m, y)
		VMOVUPS(y, Mem{Base: dst})
	})
}
