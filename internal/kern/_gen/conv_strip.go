package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// strip is the state of a kernel that computes pairs of vectors while it is emitted.
type strip struct {
	args, vecs    GPVirtual
	b             [4]GPVirtual // bases of the two segments of each vector
	mask          [4]OpmaskVirtual
	acc           [][2]VecVirtual
	k, w, offB, i GPVirtual
	off           GPVirtual
	x             VecVirtual
	v             [2]VecVirtual
}

// emitStrip emits the kernel of rows rows of packed weights over a list of pairs of
// vectors. Most vectors are one run of pixels; the others cost masked loads, which
// take turns of the units that multiply.
func emitStrip(rows int) {
	s := &strip{args: convStart(fmt.Sprintf("convStripx%d", rows)), x: ZMM(), v: [2]VecVirtual{ZMM(), ZMM()}}
	for i := range s.b {
		s.b[i], s.mask[i] = GP64(), K()
	}
	for range rows {
		s.acc = append(s.acc, [2]VecVirtual{ZMM(), ZMM()})
	}
	s.w, s.off, s.i = GP64(), GP64(), GP64()
	s.k, s.offB, s.vecs = convField(s.args, stripK), convField(s.args, stripOffB), convField(s.args, stripVecs)
	LEAQ(Mem{Base: s.offB, Index: s.k, Scale: 8}, s.offB) // the steps run from -k to 0
	NEGQ(s.k)
	Label("pair")
	for i := range s.b {
		MOVQ(Mem{Base: s.vecs, Disp: vecSize*(i/2) + vecOff0 + 8*(i%2)}, s.b[i])
		ADDQ(Mem{Base: s.args, Disp: stripBase}, s.b[i])
	}
	for i := range s.acc {
		VPXORD(s.acc[i][0], s.acc[i][0], s.acc[i][0])
		VPXORD(s.acc[i][1], s.acc[i][1], s.acc[i][1])
	}
	s.prefetch()
	MOVQ(Mem{Base: s.args, Disp: stripW}, s.w)
	MOVQ(s.k, s.i)
	s.ifSegments(0, "merge0")
	s.ifSegments(1, "merge1")
	s.loop("plain", [2]loading{loadPlain, loadPlain})
	Label("store")
	s.store("whole", false)
	Label("next")
	ADDQ(Imm(2*vecSize), s.vecs)
	DECQ(Mem{Base: s.args, Disp: stripN})
	JNZ(LabelRef("pair"))
	convEnd()
	s.others()
}

// prefetch asks for lines of what will be needed later.
func (s *strip) prefetch() {
	n, p := GP64(), GP64()
	MOVQ(Mem{Base: s.args, Disp: stripLines}, n)
	TESTQ(n, n)
	JZ(LabelRef("ready"))
	MOVQ(Mem{Base: s.args, Disp: stripAhead}, p)
	Label("line")
	PREFETCHT1(Mem{Base: p})
	ADDQ(Imm(64), p)
	DECQ(n)
	JNZ(LabelRef("line"))
	MOVQ(p, Mem{Base: s.args, Disp: stripAhead})
	Label("ready")
}

// emitFetch emits the kernel that asks for the cache lines of rows.
func emitFetch() {
	args := convStart("convFetch")
	p, lines, stride, rows := convField(args, 0), convField(args, 8), convField(args, 16), convField(args, 24)
	at, n := GP64(), GP64()
	Label("row")
	MOVQ(p, at)
	MOVQ(lines, n)
	Label("line")
	PREFETCHT1(Mem{Base: at})
	ADDQ(Imm(64), at)
	DECQ(n)
	JNZ(LabelRef("line"))
	ADDQ(stride, p)
	DECQ(rows)
	JNZ(LabelRef("row"))
	RET()
}

// ifSegments jumps when vector v is not one run of all lanes.
func (s *strip) ifSegments(v int, label string) {
	CMPL(Mem{Base: s.vecs, Disp: vecSize*v + vecMask0}, U32(0xffff))
	JNE(LabelRef(label))
}

// others emits the loops for pairs with a vector of two runs or with lanes in none.
func (s *strip) others() {
	Label("merge0")
	s.loadMasks(0)
	s.ifSegments(1, "both")
	s.loop("first", [2]loading{loadMerge, loadPlain})
	JMP(LabelRef("store"))
	Label("both")
	s.loadMasks(1)
	s.loop("both", [2]loading{loadMerge, loadMerge})
	JMP(LabelRef("store"))
	Label("merge1")
	KXNORW(s.mask[0], s.mask[0], s.mask[0])
	KXORW(s.mask[1], s.mask[1], s.mask[1])
	s.loadMasks(1)
	s.loop("second", [2]loading{loadPlain, loadMerge})
	JMP(LabelRef("store"))
	Label("masked")
	for i := range s.mask {
		KMOVW(Mem{Base: s.vecs, Disp: vecSize*(i/2) + vecMask0 + 2*(i%2)}, s.mask[i])
	}
	s.loop("masked", [2]loading{loadMasked, loadMasked})
	KORW(s.mask[0], s.mask[1], s.mask[0])
	KORW(s.mask[2], s.mask[3], s.mask[2])
	s.store("part", true)
	JMP(LabelRef("next"))
}

// loadMasks loads the masks of vector v and leaves when some lanes are in neither.
func (s *strip) loadMasks(v int) {
	for i := 2 * v; i < 2*v+2; i++ {
		KMOVW(Mem{Base: s.vecs, Disp: vecSize*v + vecMask0 + 2*(i%2)}, s.mask[i])
	}
	KORTESTW(s.mask[2*v], s.mask[2*v+1])
	JCC(LabelRef("masked"))
}

func (s *strip) loop(label string, how [2]loading) {
	Label(label + "step")
	MOVQ(Mem{Base: s.offB, Index: s.i, Scale: 8}, s.off)
	for j, l := range how {
		first, second := Mem{Base: s.b[2*j], Index: s.off, Scale: 1}, Mem{Base: s.b[2*j+1], Index: s.off, Scale: 1}
		if l == loadMasked {
			VMOVUPS_Z(first, s.mask[2*j], s.v[j])
		} else {
			VMOVUPS(first, s.v[j])
		}
		if l != loadPlain {
			VMOVUPS(second, s.mask[2*j+1], s.v[j])
		}
	}
	for i := range s.acc {
		VBROADCASTSS(Mem{Base: s.w, Disp: 4 * i}, s.x)
		VFMADD231PS(s.x, s.v[0], s.acc[i][0])
		VFMADD231PS(s.x, s.v[1], s.acc[i][1])
	}
	ADDQ(Imm(uint64(4*len(s.acc))), s.w)
	INCQ(s.i)
	JNZ(LabelRef(label + "step"))
}

// place returns where row 0 of C starts for the pair.
func (s *strip) place() GPVirtual {
	c, at := GP64(), GP64()
	MOVQ(Mem{Base: s.vecs, Disp: vecFirst}, at)
	MOVQ(Mem{Base: s.args, Disp: stripC}, c)
	LEAQ(Mem{Base: c, Index: at, Scale: 4}, c)
	return c
}

// store adds C and the bias when asked to and writes all lanes or those of the masks.
func (s *strip) store(label string, masked bool) {
	c, at, bias := s.place(), GP64(), GP64()
	CMPQ(Mem{Base: s.args, Disp: stripAdd}, Imm(0))
	JEQ(LabelRef(label + "bias"))
	MOVQ(c, at)
	s.rowsOf(at, func(i, j int) {
		if masked {
			VADDPS(Mem{Base: at, Disp: 64 * j}, s.acc[i][j], s.mask[2*j], s.acc[i][j])
		} else {
			VADDPS(Mem{Base: at, Disp: 64 * j}, s.acc[i][j], s.acc[i][j])
		}
	})
	Label(label + "bias")
	MOVQ(Mem{Base: s.args, Disp: stripBias}, bias)
	TESTQ(bias, bias)
	JEQ(LabelRef(label + "write"))
	for i := range s.acc {
		for _, z := range s.acc[i] {
			VADDPS_BCST(Mem{Base: bias, Disp: 4 * i}, z, z)
		}
	}
	Label(label + "write")
	s.rowsOf(c, func(i, j int) {
		if masked {
			VMOVUPS(s.acc[i][j], s.mask[2*j], Mem{Base: c, Disp: 64 * j})
		} else {
			VMOVUPS(s.acc[i][j], Mem{Base: c, Disp: 64 * j})
		}
	})
}

// rowsOf walks at down the rows of C and calls fn for both vectors of each.
func (s *strip) rowsOf(at GPVirtual, fn func(i, j int)) {
	for i := range s.acc {
		fn(i, 0)
		fn(i, 1)
		if i < len(s.acc)-1 {
			ADDQ(Mem{Base: s.args, Disp: stripLDC}, at)
		}
	}
}
