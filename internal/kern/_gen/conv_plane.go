package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// Offsets of the fields of kern.planeArgs, kern.planeVec and kern.planeLaneArgs.
const (
	planeX, planeVecs, planeN, planeRow    = 0, 8, 16, 24
	planeW, planeBias, planeC, planeLDC    = 32, 40, 48, 56
	planeBlocks                            = 64 // of six, five and four rows
	planeInside, planeVecSize              = 24, 32
	planeLaneN, planeLaneMasks, planeLaneX = 0, 8, 16
	planeLaneStepX, planeLaneDY            = 24, 32
	planeLaneStep, planeLaneTo             = 40, 48
	planeLaneAhead, planeLaneBlocks        = 56, 64
	planeLaneAdd                           = 72
	planeLaneBack                          = 80 // behind a row of taps: of dy, x; behind a block: of masks
)

// emitPlane emits the kernel that computes pairs of vectors of pixels for blocks of rows
// of weights. The 18 vectors that the nine taps of a pair meet stay in registers for all
// rows: each is loaded once, although most cross a cache line.
func emitPlane() {
	args := convStart("convPlane")
	x, vecs, row := convField(args, planeX), convField(args, planeVecs), convField(args, planeRow)
	SUBQ(row, x)
	var in [nine][2]VecVirtual
	for t := range in {
		in[t] = [2]VecVirtual{ZMM(), ZMM()}
	}
	acc := make([][2]VecVirtual, 6)
	for i := range acc {
		acc[i] = [2]VecVirtual{ZMM(), ZMM()}
	}
	tap := func(v, t int) Mem {
		at := Mem{Base: x, Disp: 64*v + 4*(t%3) - 4}
		if t >= 3 {
			at.Index, at.Scale = row, uint8(t/3)
		}
		return at
	}
	mask := func(v, t int) Mem { return Mem{Base: vecs, Disp: planeVecSize*v + t/3*8 + t%3*2} }
	Label("pair")
	for v := range 2 {
		Label(fmt.Sprint("vector", v))
		CMPL(Mem{Base: vecs, Disp: planeVecSize*v + planeInside}, Imm(0))
		JEQ(LabelRef(fmt.Sprint("edge", v)))
		left, right := K(), K()
		KMOVW(mask(v, 3), left)
		KMOVW(mask(v, 5), right)
		for t := range in {
			switch t % 3 {
			case 0:
				VMOVUPS_Z(tap(v, t), left, in[t][v])
			case 1:
				VMOVUPS(tap(v, t), in[t][v])
			default:
				VMOVUPS_Z(tap(v, t), right, in[t][v])
			}
		}
	}
	Label("loaded")
	w, bias, c, n := convField(args, planeW), convField(args, planeBias), convField(args, planeC), GP64()
	ldc := convField(args, planeLDC)
	for i, rows := range []int{6, 5, 4} {
		MOVQ(Mem{Base: args, Disp: planeBlocks + 8*i}, n)
		TESTQ(n, n)
		JZ(LabelRef(fmt.Sprint("no", rows)))
		Label(fmt.Sprint("block", rows))
		planeBlock(acc[:rows], in, w, bias, c, ldc)
		DECQ(n)
		JNZ(LabelRef(fmt.Sprint("block", rows)))
		Label(fmt.Sprint("no", rows))
	}
	DECQ(Mem{Base: args, Disp: planeN})
	JZ(LabelRef("end"))
	ADDQ(Imm(128), x)
	ADDQ(Imm(2*planeVecSize), vecs)
	ADDQ(Imm(128), Mem{Base: args, Disp: planeC})
	JMP(LabelRef("pair"))
	Label("end")
	convEnd()
	for v := range 2 {
		Label(fmt.Sprint("edge", v))
		for t := range in {
			m := K()
			KMOVW(mask(v, t), m)
			VMOVUPS_Z(tap(v, t), m, in[t][v])
		}
		JMP(LabelRef([]string{"vector1", "loaded"}[v]))
	}
}

// planeBlock emits the products of one block of rows and moves the pointers behind it.
func planeBlock(acc [][2]VecVirtual, in [nine][2]VecVirtual, w, bias, c, ldc GPVirtual) {
	rows := len(acc)
	for i := range acc {
		VPXORD(acc[i][0], acc[i][0], acc[i][0])
		VPXORD(acc[i][1], acc[i][1], acc[i][1])
	}
	for t := range in {
		for i := range acc {
			s := ZMM()
			VBROADCASTSS(Mem{Base: w, Disp: 4 * (t*rows + i)}, s)
			VFMADD231PS(s, in[t][0], acc[i][0])
			VFMADD231PS(s, in[t][1], acc[i][1])
		}
	}
	ADDQ(U32(uint32(4*nine*rows)), w)
	TESTQ(bias, bias)
	JZ(LabelRef(fmt.Sprint("store", rows)))
	for i := range acc {
		VADDPS_BCST(Mem{Base: bias, Disp: 4 * i}, acc[i][0], acc[i][0])
		VADDPS_BCST(Mem{Base: bias, Disp: 4 * i}, acc[i][1], acc[i][1])
	}
	ADDQ(Imm(uint64(4*rows)), bias)
	Label(fmt.Sprint("store", rows))
	for i := range acc {
		VMOVUPS(acc[i][0], Mem{Base: c})
		VMOVUPS(acc[i][1], Mem{Base: c, Disp: 64})
		ADDQ(ldc, c)
	}
}

// emitPlaneLanes emits the kernel that adds, lane by lane, the products of blocks of rows
// rows of dy and of the nine taps, one row of taps after the other. What changes stays in
// registers, and each row of taps has a loop of its own, which the processor foresees better.
func emitPlaneLanes(rows int) {
	args := convStart(fmt.Sprintf("convPlaneLanesx%d", rows))
	k := &planeLanes{masks: convField(args, planeLaneMasks), x: convField(args, planeLaneX), dy: convField(args, planeLaneDY)}
	k.ahead, k.n, k.whole = convField(args, planeLaneAhead), GP64(), GP32()
	sum, blocks := convField(args, planeLaneTo), convField(args, planeLaneBlocks)
	SUBQ(Mem{Base: args, Disp: planeLaneStepX}, k.x)
	k.d = newRowsBy(convField(args, planeLaneStep), rows)
	k.acc = make([][laneCols]VecVirtual, rows)
	for i := range k.acc {
		k.acc[i] = [laneCols]VecVirtual{ZMM(), ZMM(), ZMM()}
	}
	k.v = [laneCols]VecVirtual{ZMM(), ZMM(), ZMM()}
	Label("block")
	for i, lines := range []int{0, (rows + 1) / 2, (rows + 1) / 2} { // the first one waits for dy itself, the others fetch the next block
		args = Load(Param("t"), GP64()).(GPVirtual)
		MOVQ(Mem{Base: args, Disp: planeLaneN}, k.n)
		k.loop(fmt.Sprint("taps", i), lines)
		args = Load(Param("t"), GP64()).(GPVirtual)
		k.addTo(sum, 64*laneCols*rows*i, Mem{Base: args, Disp: planeLaneAdd}, fmt.Sprint("sum", i))
		SUBQ(Mem{Base: args, Disp: planeLaneBack}, k.dy)
		SUBQ(Mem{Base: args, Disp: planeLaneBack}, k.x)
		ADDQ(Mem{Base: args, Disp: planeLaneStepX}, k.x)
	}
	ADDQ(U32(uint32(64*laneCols*laneCols*rows)), sum)
	SUBQ(Mem{Base: args, Disp: planeLaneBack + 8}, k.masks)
	for range laneCols {
		SUBQ(Mem{Base: args, Disp: planeLaneStepX}, k.x)
	}
	for range rows {
		ADDQ(Mem{Base: args, Disp: planeLaneStep}, k.dy)
	}
	DECQ(blocks)
	JNZ(LabelRef("block"))
	convEnd()
	for i := range laneCols {
		k.edge(fmt.Sprint("taps", i))
	}
}

// planeLanes is the state of a kernel that sums by lanes while it is emitted.
type planeLanes struct {
	masks, x, dy, ahead, n GPVirtual
	whole                  Register
	d                      *rowsBy
	acc                    [][laneCols]VecVirtual
	v                      [laneCols]VecVirtual
}

// loop emits the loop over the vectors of a row of taps, which fetches lines cache lines for
// each.
func (k *planeLanes) loop(name string, lines int) {
	for i := range k.acc {
		for _, z := range k.acc[i] {
			VPXORD(z, z, z)
		}
	}
	Label(name)
	left, right := K(), K()
	KMOVW(Mem{Base: k.masks}, left)
	KMOVW(Mem{Base: k.masks, Disp: 4}, right)
	VMOVUPS_Z(Mem{Base: k.x, Disp: -4}, left, k.v[0])
	VMOVUPS_Z(Mem{Base: k.x, Disp: 4}, right, k.v[2])
	MOVWLZX(Mem{Base: k.masks, Disp: 2}, k.whole)
	CMPL(k.whole, U32(0xffff))
	JNE(LabelRef(name + "edge"))
	VMOVUPS(Mem{Base: k.x}, k.v[1])
	k.products(nil)
	Label(name + "next")
	for i := range lines {
		PREFETCHT0(Mem{Base: k.ahead, Disp: 64 * i})
	}
	if lines > 0 {
		ADDQ(U32(uint32(64*lines)), k.ahead)
	}
	ADDQ(Imm(64), k.x)
	ADDQ(Imm(64), k.dy)
	ADDQ(Imm(8), k.masks)
	DECQ(k.n)
	JNZ(LabelRef(name))
}

// addTo writes the chains to the sums at sum + disp, or adds them when add is not 0. Chains are
// added to 0, too: one may be -0.
func (k *planeLanes) addTo(sum GPVirtual, disp int, add Mem, name string) {
	each := func(fn func(z VecVirtual, at Mem)) {
		for i := range k.acc {
			for j, z := range k.acc[i] {
				fn(z, Mem{Base: sum, Disp: disp + 64*(i*laneCols+j)})
			}
		}
	}
	CMPQ(add, Imm(0))
	JNE(LabelRef(name))
	VPXORD(k.v[0], k.v[0], k.v[0])
	each(func(z VecVirtual, at Mem) {
		VADDPS(k.v[0], z, z)
		VMOVUPS(z, at)
	})
	JMP(LabelRef(name + "done"))
	Label(name)
	each(func(z VecVirtual, at Mem) {
		VADDPS(at, z, z)
		VMOVUPS(z, at)
	})
	Label(name + "done")
}

// edge emits what the loop does with a vector whose middle tap lies partly outside.
func (k *planeLanes) edge(name string) {
	Label(name + "edge")
	middle, pixels := K(), K()
	KMOVW(Mem{Base: k.masks, Disp: 2}, middle)
	VMOVUPS_Z(Mem{Base: k.x}, middle, k.v[1])
	KMOVW(Mem{Base: k.masks, Disp: 6}, pixels)
	k.products(pixels)
	JMP(LabelRef(name + "next"))
}

// products adds the products of one vector, or of the pixels of a mask.
func (k *planeLanes) products(mask Op) {
	for i := range k.acc {
		e := ZMM()
		if mask == nil {
			VMOVUPS(k.d.row(k.dy, i), e)
		} else {
			VMOVUPS_Z(k.d.row(k.dy, i), mask, e)
		}
		for j := range k.v {
			VFMADD231PS(e, k.v[j], k.acc[i][j])
		}
	}
}
