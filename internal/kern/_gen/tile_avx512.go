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
	merge         bool // vectors of two segments are common
	ahead         bool // B is worth prefetching
}

func emitTile512(k tile, rows, vectors int) {
	TEXT(fmt.Sprintf("%sx%dx%d", k.name, rows, vectors), NOSPLIT, "func(t *byte)")
	Pragma("noescape")
	t := &tile512{tile: k, rows: rows, vectors: vectors, merge: k.float || k.name == "tileU8S8"}
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

// loading is how a kernel loads the vectors of B. Masked loads take a turn of the units
// that multiply; plain ones do not.
type loading int

const (
	loadMasked loading = iota // each segment with its mask
	loadMerge                 // all lanes from the first segment, then those of the second
	loadPlain                 // all lanes are in the first segment
)

// products emits the loops over the steps, one for each way of loading that occurs,
// and the choice between them.
func (t *tile512) products(args GPVirtual) {
	a := newRowsOfA(args, t.rows)
	b := make([]GPVirtual, 2*t.vectors)
	for i := range b {
		b[i] = convField(args, argB+8*i)
	}
	for v := range t.vectors {
		KORTESTW(t.mask[2*v], t.mask[2*v+1])
		JCC(LabelRef("masked"))
	}
	loop := func(label string, l loading) {
		stepsAt(label+"step", args, a, func(offB GPVirtual) { t.step1(a, b, offB, l) })
	}
	if t.merge {
		KORTESTW(t.mask[1], t.mask[2*t.vectors-1])
		JNE(LabelRef("merge"))
	} else {
		KORTESTW(t.mask[1], t.mask[2*t.vectors-1])
		JNE(LabelRef("masked"))
	}
	loop("plain", loadPlain)
	JMP(LabelRef("summed"))
	if t.merge {
		Label("merge")
		loop("merge", loadMerge)
		JMP(LabelRef("summed"))
	}
	Label("masked")
	loop("masked", loadMasked)
	Label("summed")
}

// load emits the load of vector i of B.
func (t *tile512) load(i int, b []GPVirtual, offB GPVirtual, l loading) VecVirtual {
	z := ZMM()
	first, second := Mem{Base: b[2*i], Index: offB, Scale: 1}, Mem{Base: b[2*i+1], Index: offB, Scale: 1}
	if l == loadMasked {
		VMOVUPS_Z(first, t.mask[2*i], z)
	} else {
		VMOVUPS(first, z)
	}
	if l != loadPlain {
		VMOVUPS(second, t.mask[2*i+1], z)
	}
	if t.ahead {
		PREFETCHT0(Mem{Base: b[2*i], Index: offB, Scale: 1, Disp: 128})
	}
	return z
}

// step1 emits one step of the loop over k.
func (t *tile512) step1(a *rowsOfA, b []GPVirtual, offB GPVirtual, l loading) {
	v := make([]VecVirtual, t.vectors)
	for i := range v {
		v[i] = t.load(i, b, offB, l)
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
