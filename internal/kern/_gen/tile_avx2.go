package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// tilesAVX2 are the kinds with 256-bit vectors: sixteen columns, no masks.
func tilesAVX2() []tile {
	return []tile{
		{
			name: "tileF32AVX2", float: true,
			step: func(a, b, acc Op) { VFMADD231PS(a, b, acc) },
		},
		{
			name: "tileS16AVX2",
			step: func(a, b, acc Op) {
				t := YMM()
				VPMADDWD(a, b, t)
				VPADDD(t, acc, acc)
			},
		},
	}
}

func emitTileAVX2(k tile, rows int) {
	TEXT(fmt.Sprintf("%sx%d", k.name, rows), NOSPLIT, "func(t *byte)")
	Pragma("noescape")
	args := Load(Param("t"), GP64()).(GPVirtual)
	acc := make([][2]VecVirtual, rows)
	for i := range acc {
		acc[i] = [2]VecVirtual{YMM(), YMM()}
		VPXOR(acc[i][0], acc[i][0], acc[i][0])
		VPXOR(acc[i][1], acc[i][1], acc[i][1])
	}
	a, b := newRowsOfA(args, rows), GP64()
	MOVQ(Mem{Base: args, Disp: argB}, b)
	steps(args, a, func(offB GPVirtual) {
		v := [2]VecVirtual{YMM(), YMM()}
		for j := range v {
			VMOVUPS(Mem{Base: b, Index: offB, Scale: 1, Disp: 32 * j}, v[j])
		}
		for i := range rows {
			x := YMM()
			VBROADCASTSS(a.row(i), x)
			for j := range v {
				k.step(x, v[j], acc[i][j])
			}
		}
	})
	storeAVX2(k, args, acc)
	VZEROUPPER()
	RET()
}

func storeAVX2(k tile, args GPVirtual, acc [][2]VecVirtual) {
	whenAdd(args, func() {
		eachRow(args, len(acc), func(i int, c Mem) {
			for j, y := range acc[i] {
				if k.float {
					VADDPS(c.Offset(32*j), y, y)
				} else {
					VPADDD(c.Offset(32*j), y, y)
				}
			}
		})
	})
	if k.float {
		whenBias(args, func(bias GPVirtual) {
			for i := range acc {
				x := YMM()
				VBROADCASTSS(Mem{Base: bias, Disp: 4 * i}, x)
				for _, y := range acc[i] {
					VADDPS(x, y, y)
				}
			}
		})
	}
	eachRow(args, len(acc), func(i int, c Mem) {
		for j, y := range acc[i] {
			VMOVUPS(y, c.Offset(32*j))
		}
	})
}
