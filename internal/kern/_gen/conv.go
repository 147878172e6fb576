package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// Offsets of the fields of kern.rowArgs, kern.sweepArgs, kern.laneArgs,
// kern.panelArgs and of the types that they point to.
const (
	rowA, rowB, rowC             = 0, 8, 16
	rowStepA, rowStepB, rowStepC = 24, 32, 40
	rowRows, rowFull, rowTable   = 48, 56, 64
	rowMasks                     = 72
	rowPlanes, rowA2, rowB2      = 80, 88, 96
	rowC2                        = 104

	sweepK, sweepW, sweepB, sweepOffB   = 0, 8, 16, 24
	sweepVecs, sweepN, sweepC, sweepBia = 32, 40, 48, 56
	sweepPlanes, sweepStepW             = 64, 72
	sweepStepB, sweepStepC              = 80, 88
	sweepStepBia, sweepBits             = 96, 104

	nineN, nineVecs, nineX, nineOffB         = 0, 8, 16, 24
	nineDY, nineSum, ninePlanes              = 32, 40, 48
	nineStepX, nineStepDY, nineStepSum, nine = 56, 64, 72, 9

	laneN, laneVecs, laneX, laneDY = 0, 8, 16, 40
	laneStep, laneSum, laneSumStep = 48, 56, 64
	laneBits                       = 72

	stripK, stripW, stripOffB, stripVecs = 0, 8, 16, 24
	stripN, stripBase, stripC, stripLDC  = 32, 40, 48, 56
	stripBias, stripAdd                  = 64, 72
	stripAhead, stripLines               = 80, 88

	panelK, panelOffB, panelDst, panelRow = 0, 8, 16, 24
	panelRuns, panelN                     = 32, 40

	vecN = 8

	vecFirst, vecOff0, vecOff1, vecMask0, vecMask1, vecSize = 0, 16, 24, 32, 34, 40

	runSrc, runDst, runMask, runMasks, runSize = 0, 8, 16, 24, 32
)

// laneRows and laneCols are the size of the largest kernel that sums by lanes.
const laneRows, laneCols = 8, 3

func init() {
	sets["conv"] = func() {
		emitRows("convRowsCopy", 1, rowCopy)
		emitRows("convRowsSplit", 2, rowSplit)
		emitRows("convRowsMerge", 2, rowMerge)
		emitPairsAVX2("convRowsSplitAVX2", splitPair)
		emitPairsAVX2("convRowsMergeAVX2", mergePair)
		emitSweep()
		emitSweep9()
		emitSweepAVX2()
		emitLanes9()
		emitAddLanes()
		emitAddLanes16()
		emitFetch()
		calls := byRows("convStrip", tileRows, emitStrip) + "\n" + byRows("convLanes", laneRows, emitLanes) + "\n" +
			byRows("convPlaneLanes", laneRows, emitPlaneLanes)
		emitPlane()
		extra["conv_calls_amd64.go"] = calls
		emitLanesAVX2()
		emitPanel512()
		emitPanelAVX2()
	}
}

// byRows emits the kernels name + "x1" to name + "x" + most and returns the Go function that
// calls the one of so many rows.
func byRows(name string, most int, emit func(rows int)) string {
	calls := fmt.Sprintf("// %[1]s calls the kernel of rows rows.\nfunc %[1]s(rows int, t *byte) {\n\tswitch rows {\n", name)
	for rows := 1; rows <= most; rows++ {
		emit(rows)
		calls += fmt.Sprintf("\tcase %d:\n\t\t%sx%d(t)\n", rows, name, rows)
	}
	return calls + "\tdefault:\n\t\tpanic(\"kern: no such kernel\")\n\t}\n}\n"
}

func convField(args GPVirtual, disp int) GPVirtual {
	r := GP64()
	MOVQ(Mem{Base: args, Disp: disp}, r)
	return r
}

func convStart(name string) GPVirtual {
	TEXT(name, NOSPLIT, "func(t *byte)")
	Pragma("noescape")
	return Load(Param("t"), GP64()).(GPVirtual)
}

func convEnd() {
	VZEROUPPER()
	RET()
}
