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
		calls := "// convStrip calls the kernel of rows rows.\nfunc convStrip(rows int, t *byte) {\n\tswitch rows {\n"
		for rows := 1; rows <= tileRows; rows++ {
			emitStrip(rows)
			calls += fmt.Sprintf("\tcase %d:\n\t\tconvStripx%d(t)\n", rows, rows)
		}
		calls += "\tdefault:\n\t\tpanic(\"kern: no such kernel\")\n\t}\n}\n\n// convLanes calls the kernel of rows rows.\nfunc convLanes(rows int, t *byte) {\n\tswitch rows {\n"
		for rows := 1; rows <= laneRows; rows++ {
			emitLanes(rows)
			calls += fmt.Sprintf("\tcase %d:\n\t\tconvLanesx%d(t)\n", rows, rows)
		}
		calls += "\tdefault:\n\t\tpanic(\"kern: no such kernel\")\n\t}\n}\n\n// convPlaneLanes calls the kernel of rows rows.\nfunc convPlaneLanes(rows int, t *byte) {\n\tswitch rows {\n"
		for rows := 1; rows <= laneRows; rows++ {
			emitPlaneLanes(rows)
			calls += fmt.Sprintf("\tcase %d:\n\t\tconvPlaneLanesx%d(t)\n", rows, rows)
		}
		emitPlane()
		extra["conv_calls_amd64.go"] = calls + "\tdefault:\n\t\tpanic(\"kern: no such kernel\")\n\t}\n}\n"
		emitLanesAVX2()
		emitPanel512()
		emitPanelAVX2()
	}
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
