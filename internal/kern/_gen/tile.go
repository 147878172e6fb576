package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// Offsets of the fields of kern.tileArgs.
const (
	argK, argA, argRS, argOffA = 0, 8, 16, 24
	argB, argOffB, argMask     = 32, 64, 72
	argC, argLDC               = 80, 88
	argBias, argAdd            = 96, 104
)

// tileRows and tileRowsAVX2 are the heights that have a kernel: with two vectors
// per row they are the most whose sums fit the vector registers.
const (
	tileRows     = 14
	tileRowsAVX2 = 6
)

// tile is one kind of micro kernel: how it multiplies and adds.
type tile struct {
	name  string
	float bool
	// step adds a·b to acc; a is a register with one value in all lanes.
	step func(a, b, acc Op)
	// bcst is step with the value in memory, nil when there is no such form.
	bcst func(a Mem, b, acc Op)
}

func init() {
	sets["tile"] = func() {
		calls := ""
		for _, k := range tiles512() {
			calls += calls512(k)
			for vectors := 1; vectors <= 2; vectors++ {
				for rows := 1; rows <= tileRows; rows++ {
					emitTile512(k, rows, vectors)
				}
			}
		}
		for _, k := range tilesAVX2() {
			calls += callsAVX2(k)
			for rows := 1; rows <= tileRowsAVX2; rows++ {
				emitTileAVX2(k, rows)
			}
		}
		extra["tile_calls_amd64.go"] = calls
	}
}

// calls512 is the Go function that picks the kernel by its size. A switch lets
// the compiler see that the arguments do not escape, which a table would not.
func calls512(k tile) string {
	s := fmt.Sprintf("// %s calls the kernel of rows rows and one or two vectors.\nfunc %s(rows, vectors int, t *byte) {\n\tswitch vectors<<4 | rows {\n", k.name, k.name)
	for vectors := 1; vectors <= 2; vectors++ {
		for rows := 1; rows <= tileRows; rows++ {
			s += fmt.Sprintf("\tcase %#x:\n\t\t%sx%dx%d(t)\n", vectors<<4|rows, k.name, rows, vectors)
		}
	}
	return s + "\tdefault:\n\t\tpanic(\"kern: no such tile\")\n\t}\n}\n\n"
}

func callsAVX2(k tile) string {
	s := fmt.Sprintf("// %s calls the kernel of rows rows.\nfunc %s(rows int, t *byte) {\n\tswitch rows {\n", k.name, k.name)
	for rows := 1; rows <= tileRowsAVX2; rows++ {
		s += fmt.Sprintf("\tcase %d:\n\t\t%sx%d(t)\n", rows, k.name, rows)
	}
	return s + "\tdefault:\n\t\tpanic(\"kern: no such tile\")\n\t}\n}\n\n"
}

// rowsOfA finds the element of each row of A with few registers: the strides
// 1, 3 and 5 times rs and two bases reach 14 rows through scaled indices.
type rowsOfA struct {
	base, base7, p0, p1 GPVirtual
	rs, rs3, rs5        GPVirtual
	rows                int
}

func newRowsOfA(args GPVirtual, rows int) *rowsOfA {
	r := &rowsOfA{rows: rows, base: GP64(), p0: GP64()}
	MOVQ(Mem{Base: args, Disp: argA}, r.base)
	if rows > 1 {
		r.rs = GP64()
		MOVQ(Mem{Base: args, Disp: argRS}, r.rs)
	}
	if rows > 3 {
		r.rs3 = GP64()
		LEAQ(Mem{Base: r.rs, Index: r.rs, Scale: 2}, r.rs3)
	}
	if rows > 5 {
		r.rs5 = GP64()
		LEAQ(Mem{Base: r.rs, Index: r.rs, Scale: 4}, r.rs5)
	}
	if rows > 7 {
		r.base7, r.p1 = GP64(), GP64()
		LEAQ(Mem{Base: r.base, Index: r.rs, Scale: 1}, r.base7)
		LEAQ(Mem{Base: r.base7, Index: r.rs3, Scale: 2}, r.base7)
	}
	return r
}

// at moves to the step whose byte offset is at off.
func (r *rowsOfA) at(off Mem) {
	MOVQ(off, r.p0)
	if r.rows > 7 {
		LEAQ(Mem{Base: r.base7, Index: r.p0, Scale: 1}, r.p1)
	}
	ADDQ(r.base, r.p0)
}

// row is the element of row i.
func (r *rowsOfA) row(i int) Mem {
	switch i {
	case 0:
		return Mem{Base: r.p0}
	case 1, 2, 4, 8:
		return Mem{Base: r.p0, Index: r.rs, Scale: uint8(i)}
	case 3, 6, 12:
		return Mem{Base: r.p0, Index: r.rs3, Scale: uint8(i / 3)}
	case 5, 10:
		return Mem{Base: r.p0, Index: r.rs5, Scale: uint8(i / 5)}
	case 7:
		return Mem{Base: r.p1}
	case 9, 11:
		return Mem{Base: r.p1, Index: r.rs, Scale: uint8(i - 7)}
	}
	return Mem{Base: r.p1, Index: r.rs3, Scale: 2} // 13
}

// steps emits the loop over k: body gets the register with the offset of B.
func steps(args GPVirtual, a *rowsOfA, body func(offB GPVirtual)) { stepsAt("step", args, a, body) }

// stepsAt is steps with another label, for a second loop in a function.
func stepsAt(label string, args GPVirtual, a *rowsOfA, body func(offB GPVirtual)) {
	ta, tb, n, offB := GP64(), GP64(), GP64(), GP64()
	MOVQ(Mem{Base: args, Disp: argK}, n)
	MOVQ(Mem{Base: args, Disp: argOffA}, ta)
	MOVQ(Mem{Base: args, Disp: argOffB}, tb)
	LEAQ(Mem{Base: ta, Index: n, Scale: 8}, ta) // n runs from -k to 0
	LEAQ(Mem{Base: tb, Index: n, Scale: 8}, tb)
	NEGQ(n)
	Label(label)
	MOVQ(Mem{Base: tb, Index: n, Scale: 8}, offB)
	a.at(Mem{Base: ta, Index: n, Scale: 8})
	body(offB)
	INCQ(n)
	JNZ(LabelRef(label))
}

// eachRow walks c down the rows of C.
func eachRow(args GPVirtual, rows int, fn func(i int, c Mem)) {
	c, ldc := GP64(), GP64()
	MOVQ(Mem{Base: args, Disp: argC}, c)
	MOVQ(Mem{Base: args, Disp: argLDC}, ldc)
	for i := range rows {
		fn(i, Mem{Base: c})
		if i < rows-1 {
			ADDQ(ldc, c)
		}
	}
}

// whenAdd emits what happens only when C += result is asked for.
func whenAdd(args GPVirtual, fn func()) {
	CMPQ(Mem{Base: args, Disp: argAdd}, Imm(0))
	JEQ(LabelRef("bias"))
	fn()
	Label("bias")
}

// whenBias emits what happens only when there is a bias; it gets its address.
func whenBias(args GPVirtual, fn func(bias GPVirtual)) {
	bias := GP64()
	MOVQ(Mem{Base: args, Disp: argBias}, bias)
	TESTQ(bias, bias)
	JEQ(LabelRef("store"))
	fn(bias)
	Label("store")
}
