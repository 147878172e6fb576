package main

import (
	"math"
	"slices"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
)

func wordSingle(name, doc string, u uint32) fnConst {
	return fnConst{name: name, doc: doc, v: []float64{float64(math.Float32frombits(u))}, bits: true}
}

// singleConsts are the constants of the functions that are computed in float32, all of which
// are exact in float32. Tables have eight entries, one for each interval.
var singleConsts = slices.Concat(
	of("",
		number("singleShift", "1.5·2^23 + 127 + 64: a sum with it is rounded to a whole number n, and its low bits are the exponent of 2^(n+64)", 3<<22+127+64),
		number("singleDown", "2^-64", 0x1p-64),
	),
	of("gelu",
		number("singleHalfLog2E", "-1/(2·ln 2)", -math.Log2E/2),
		number("singleTwoLn2", "2·ln 2 with 16 digits: its product with a whole number below 2^8 is exact", 2*0x1.62e4000000000p-1),
		number("singleTwoLn2Low", "2·ln 2 - singleTwoLn2", 2*0x1.7f7d1c0000000p-20),
		polynomial("singleHalfExpPoly", "(exp(-r/2)-1+r/2)/r² for |r| <= ln 2, error of exp 2^-28.2",
			2.1591713e-05, -0.00026152236, 0.0026042683, -0.020833151, 0.124999985,
		),
	),
	of("",
		number("singleMinusHalf", "-1/2", -.5),
	),
	of("gelu",
		number("singleTailMax", "GELU is 0 or x as float32 beyond", 14.6),
		number("singleTailStep", "t times it plus singleTailFrom reaches, from interval to interval of the tables, the next power of two or half-way there", 1.5409314632415771),
	),
	of("",
		number("singleTailFrom", "see singleTailStep", 1.5),
		number("singleOne", "1", 1),
		wordSingle("singleSign", "the sign's bit", 1<<31),
	),
	of("gelu",
		polynomial("singleGELUMid", "middles of eight intervals of 0 <= t <= 14.6; entry 7 is of the first, 0 of the second",
			0.51622456, 1.2914267, 2.2835972, 3.5733366, 5.5322385, 8.112928, 11.985051, 0.0),
		polynomial("singleGELU7", "coefficients of power 7 of t·Φ(-t)·exp(t²/2) on those intervals, error 2^-26.7",
			0.0018105343, 0.0003439032, 4.4018438e-05, 3.935283e-06, 2.390647e-07, 1.22460895e-08, 5.226211e-10, 0.0070360927),
		polynomial("singleGELU6", "coefficients of power 6 of t·Φ(-t)·exp(t²/2) on those intervals",
			-0.0067462106, -0.0011350939, -0.00015923215, -1.7823919e-05, -1.3716499e-06, -9.644344e-08, -5.7509904e-09, -0.025246236),
		polynomial("singleGELU5", "coefficients of power 5 of t·Φ(-t)·exp(t²/2) on those intervals",
			0.017824724, 0.003338551, 0.00053385994, 7.5049735e-05, 7.1665995e-06, 7.065688e-07, 5.5751755e-08, 0.062226392),
		polynomial("singleGELU4", "coefficients of power 4 of t·Φ(-t)·exp(t²/2) on those intervals",
			-0.04203796, -0.009179624, -0.0017714557, -0.0003094792, -3.9414994e-05, -5.237741e-06, -5.833252e-07, -0.13295268),
		polynomial("singleGELU3", "coefficients of power 3 of t·Φ(-t)·exp(t²/2) on those intervals",
			0.088543445, 0.022830607, 0.0053827534, 0.0011856147, 0.00020383365, 3.685427e-05, 5.8393202e-06, 0.2499987),
		polynomial("singleGELU2", "coefficients of power 2 of t·Φ(-t)·exp(t²/2) on those intervals",
			-0.16036774, -0.0496541, -0.014539254, -0.0041063293, -0.00096425874, -0.00023997242, -5.4242777e-05, -0.39894226),
		polynomial("singleGELU1", "coefficients of power 1 of t·Φ(-t)·exp(t²/2) on those intervals",
			0.23227796, 0.088411264, 0.032899283, 0.012153388, 0.0039638313, 0.0013716207, 0.00044505886, 0.5),
		polynomial("singleGELU0", "coefficients of power 0 of t·Φ(-t)·exp(t²/2) on those intervals",
			0.17862062, 0.29219985, 0.3468388, 0.3731219, 0.3870136, 0.39313838, 0.396221, 0.0),
		polynomial("singleGELUSlopeMid", "other middles, of the same intervals",
			0.5134773, 1.2971592, 2.280439, 3.5622609, 5.503857, 8.109035, 11.986954, 0.15956798),
		polynomial("singleGELUSlope7", "coefficients of power 7 of (Φ(-t)-t·φ(t))·exp(t²/2) on those intervals, error 2^-28.3",
			-0.0007183782, -0.00013383292, -2.4565457e-05, -2.3058894e-06, -2.0807991e-07, 6.324733e-09, -7.630648e-10, 0.006994848),
		polynomial("singleGELUSlope6", "coefficients of power 6 of (Φ(-t)-t·φ(t))·exp(t²/2) on those intervals",
			0.0029066983, 0.0005529138, 9.350144e-05, 1.3057487e-05, 1.3266837e-06, 1.1970123e-07, 9.954405e-09, 0.007390198),
		polynomial("singleGELUSlope5", "coefficients of power 5 of (Φ(-t)-t·φ(t))·exp(t²/2) on those intervals",
			-0.008455285, -0.0018229128, -0.00035474735, -6.2969746e-05, -8.069595e-06, -1.1134658e-06, -1.1741389e-07, -0.018890897),
		polynomial("singleGELUSlope4", "coefficients of power 4 of (Φ(-t)-t·φ(t))·exp(t²/2) on those intervals",
			0.02225544, 0.0056555546, 0.0013504747, 0.00029977845, 5.2007523e-05, 9.235352e-06, 1.4571096e-06, 0.04476004),
		polynomial("singleGELUSlope3", "coefficients of power 3 of (Φ(-t)-t·φ(t))·exp(t²/2) on those intervals",
			-0.053700324, -0.016420687, -0.00486373, -0.0013819264, -0.00032729201, -8.007769e-05, -1.806589e-05, -0.09908581),
		polynomial("singleGELUSlope2", "coefficients of power 2 of (Φ(-t)-t·φ(t))·exp(t²/2) on those intervals",
			0.11658053, 0.043922096, 0.016495679, 0.0061223996, 0.002009551, 0.0006867448, 0.00022242601, 0.19490293),
		polynomial("singleGELUSlope1", "coefficients of power 1 of (Φ(-t)-t·φ(t))·exp(t²/2) on those intervals",
			-0.61990327, -0.5051795, -0.4511498, -0.4248978, -0.41098422, -0.40475154, -0.4016627, -0.7273229),
		polynomial("singleGELUSlope0", "coefficients of power 0 of (Φ(-t)-t·φ(t))·exp(t²/2) on those intervals",
			0.14177175, -0.29184082, -0.7577161, -1.3164314, -2.125425, -3.1865559, -4.749048, 0.3785463),
	),
)

// of says which family constants are of.
func of(family string, consts ...fnConst) []fnConst {
	for i := range consts {
		consts[i].family = family
	}
	return consts
}

// singleFamily enters the constants of a family.
func singleFamily(family string, consts ...fnConst) {
	singleConsts = append(singleConsts, of(family, consts...)...)
}

// singleWords are constants of the assembly alone: -0 and NaN cannot be Go constants.
var singleWords = []fnConst{
	wordSingle("singleMinusZero", "", 1<<31),
	wordSingle("singleAbs", "", 1<<31-1),
}

// singleLane is the number of copies of a constant in memory: a vector of AVX2.
const singleLane = 8

var (
	singleTable Mem
	singleIndex = map[string]int{}
)

// isTable tells tables from polynomials.
func (c fnConst) isTable() bool { return len(c.v) == singleLane }

// emitSingleConsts writes the table of constants, and in Go a file for each family.
func emitSingleConsts() {
	singleTable = GLOBL("fnSingle", RODATA|NOPTR)
	at := 0
	for _, c := range append(append([]fnConst{}, singleConsts...), singleWords...) {
		singleIndex[c.name] = at
		for i, v := range c.v {
			for l := range singleLane {
				if c.isTable() {
					v = c.v[l]
				}
				u := math.Float32bits(float32(v))
				if c.name == "singleAbs" { // a NaN, which may change on its way through float64
					u = 1<<31 - 1
				}
				DATA(4*(at*singleLane+l), U32(u))
			}
			at++
			if c.isTable() && i == 0 {
				break
			}
		}
	}
	families := map[string][]fnConst{}
	for _, c := range singleConsts {
		families[c.family] = append(families[c.family], c)
	}
	for family, consts := range families {
		name, text := "fn_single_const.go", "// The constants of many of the functions that are computed in float32.\n\n"
		if family != "" {
			name = "fn_single_" + family + "_const.go"
			text = "// The constants of fn_single_" + family + ".go; others may use them, too.\n\n"
		}
		extra[name] = text + goConsts(consts, math.Float32bits)
	}
}
