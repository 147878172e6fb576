package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// tiles512 are the kinds with 512-bit vectors and lane masks.
func tiles512() []tile {
	return []tile{
		{
			name: "tileF32", float: true,
			step: func(a, b, acc Op) { VFMADD231PS(a, b, acc) },
			bcst: func(a Mem, b, acc Op) { VFMADD231PS_BCST(a, b, acc) },
		},
		{ // four unsigned bytes of B times four signed bytes of A
			name: "tileU8S8",
			step: func(a, b, acc Op) { VPDPBUSD(a, b, acc) },
			bcst: func(a Mem, b, acc Op) { VPDPBUSD_BCST(a, b, acc) },
		},
		{ // four signed bytes of B times four unsigned bytes of A
			name: "tileS8U8",
			step: func(a, b, acc Op) { VPDPBUSD(b, a, acc) },
		},
		{ // two 16-bit numbers each
			name: "tileS16VNNI",
			step: func(a, b, acc Op) { VPDPWSSD(a, b, acc) },
			bcst: func(a Mem, b, acc Op) { VPDPWSSD_BCST(a, b, acc) },
		},
		{
			name: "tileS16",
			step: func(a, b, acc Op) {
				t := ZMM()
				VPMADDWD(a, b, t)
				VPADDD(t, acc, acc)
			},
		},
	}
}

// tile512 is the state of one kernel while it is emitted.
type tile512 struct {
	tile
	rows, vectors int
	mask          [4]OpmaskVirtual // of the two segments of each vector
	acc           [][]VecVirtual
}

func emitTile512(k tile, rows, vectors int) {
	TEXT(fmt.Sprintf("%sx%dx%d", k.name, rows, vectors), NOSPLIT, "func(t *byte)")
	Pragma("noescape")
	t := &tile512{tile: k, rows: rows, vectors: vectors}
	args := Load(Param("t"), GP64()).(GPVirtual)
	for i := range 2 * vectors {
		t.mask[i] = K()
		KMOVW(Mem{Base: args, Disp: argMask + 2*i}, t.mask[i])
	}
	t.acc = make([][]VecVirtual, rows)
	for i := range t.acc {
		for range vectors {
			z := ZMM()
			VPXORD(z, z, z)
			t.acc[i] = append(t.acc[i], z)
		}
	}
	t.products(args)
	args = Load(Param("t"), GP64()).(GPVirtual) // its register was needed
	t.store(args)
	VZEROUPPER()
	RET()
}

// lowTile is the number of rows up to which loads take longer than products, so
// that it pays to have a loop without second segments.
const lowTile = 3

func (t *tile512) products(args GPVirtual) {
	a := newRowsOfA(args, t.rows)
	b := make([]GPVirtual, 2*t.vectors)
	for i := range b {
		b[i] = GP64()
		MOVQ(Mem{Base: args, Disp: argB + 8*i}, b[i])
	}
	if t.rows <= lowTile {
		KORTESTW(t.mask[1], t.mask[2*t.vectors-1])
		JNE(LabelRef("segments"))
		stepsAt("simple", args, a, func(offB GPVirtual) { t.step1(a, b, offB, false) })
		JMP(LabelRef("done"))
		Label("segments")
	}
	steps(args, a, func(offB GPVirtual) { t.step1(a, b, offB, true) })
	if t.rows <= lowTile {
		Label("done")
	}
}

// step1 emits one step of the loop over k.
func (t *tile512) step1(a *rowsOfA, b []GPVirtual, offB GPVirtual, segments bool) {
	v := make([]VecVirtual, t.vectors)
	for i := range v {
		v[i] = ZMM()
		VMOVUPS_Z(Mem{Base: b[2*i], Index: offB, Scale: 1}, t.mask[2*i], v[i])
		if segments {
			VMOVUPS(Mem{Base: b[2*i+1], Index: offB, Scale: 1}, t.mask[2*i+1], v[i])
		}
	}
	for i := range t.rows {
		if t.vectors == 1 && t.bcst != nil {
			t.bcst(a.row(i), v[0], t.acc[i][0])
			continue
		}
		x := ZMM()
		if t.float {
			VBROADCASTSS(a.row(i), x)
		} else {
			VPBROADCASTD(a.row(i), x)
		}
		for j := range v {
			t.step(x, v[j], t.acc[i][j])
		}
	}
}

// store adds C and the bias when asked to and writes the lanes of both segments.
func (t *tile512) store(args GPVirtual) {
	for j := range t.vectors {
		KORW(t.mask[2*j], t.mask[2*j+1], t.mask[2*j])
	}
	whenAdd(args, func() {
		eachRow(args, t.rows, func(i int, c Mem) {
			for j, z := range t.acc[i] {
				if t.float {
					VADDPS(c.Offset(64*j), z, t.mask[2*j], z)
				} else {
					VPADDD(c.Offset(64*j), z, t.mask[2*j], z)
				}
			}
		})
	})
	if t.float {
		whenBias(args, func(bias GPVirtual) {
			for i := range t.rows {
				for _, z := range t.acc[i] {
					VADDPS_BCST(Mem{Base: bias, Disp: 4 * i}, z, z)
				}
			}
		})
	}
	eachRow(args, t.rows, func(i int, c Mem) {
		for j, z := range t.acc[i] {
			VMOVUPS(z, t.mask[2*j], c.Offset(64*j))
		}
	})
}
