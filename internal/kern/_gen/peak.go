package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// peakSums is the number of independent sums, enough to hide any latency.
const peakSums = 12

func init() {
	sets["peak"] = func() {
		emitPeak("peakFMA512", ZMM, func(a, b, acc Op) { VFMADD231PS(a, b, acc) })
		emitPeak("peakFMA256", YMM, func(a, b, acc Op) { VFMADD231PS(a, b, acc) })
		emitPeak("peakInt8VNNI", ZMM, func(a, b, acc Op) { VPDPBUSD(a, b, acc) })
	}
}

// emitPeak emits a loop of multiply-adds on registers alone.
func emitPeak(name string, vector func() VecVirtual, step func(a, b, acc Op)) {
	TEXT(name, NOSPLIT, "func(steps int)")
	Doc(fmt.Sprintf("%s runs steps times %d multiply-adds of vectors; steps is at least 1.", name, peakSums))
	n := Load(Param("steps"), GP64())
	v := make([]VecVirtual, peakSums+2)
	for i := range v {
		v[i] = vector()
		if v[i].Size() == 64 {
			VPXORD(v[i], v[i], v[i])
		} else {
			VPXOR(v[i], v[i], v[i])
		}
	}
	Label("step")
	for i := range peakSums {
		step(v[peakSums], v[peakSums+1], v[i])
	}
	DECQ(n)
	JNZ(LabelRef("step"))
	VZEROUPPER()
	RET()
}
