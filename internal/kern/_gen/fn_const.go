package main

import (
	"fmt"
	"math"
	"strings"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
)

// fnConst is a constant, or a polynomial's coefficients from the highest power down, that
// portable code and assembly share. The polynomials are minimax fits in relative error
// (Remez's exchange; Lawson's weights for the quotient).
type fnConst struct {
	name, doc string
	v         []float64
	bits      bool   // portable code wants the bits
	family    string // of those in float32: whose fn_single file needs it first; empty: of many
}

func word(name, doc string, u uint64) fnConst {
	return fnConst{name: name, doc: doc, v: []float64{math.Float64frombits(u)}, bits: true}
}

func number(name, doc string, v float64) fnConst {
	return fnConst{name: name, doc: doc, v: []float64{v}}
}

func polynomial(name, doc string, v ...float64) fnConst {
	return fnConst{name: name, doc: doc, v: v}
}

var fnConsts = []fnConst{
	number("fnLog2E", "1/ln 2", math.Log2E),
	number("fnShift", "1.5·2^52 + 1023: a sum with it is rounded to a whole number n, and its low bits are the exponent of 2^n", 3<<51+1023),
	number("fnLn2", "ln 2", math.Ln2),
	polynomial("fnExpPoly", "(exp(r)-1)/r for |r| <= ln2/2, error 2^-32.0",
		0.00019841356813545544, 0.0013941039988570887, 0.008333402781297149,
		0.04166635392725651, 0.16666666249612005, 0.5000000046807571,
		1.0000000000312683,
	),
	word("fnLogBase", "bits that bring, added to those of x > 0, the exponent of x/√½, biased by 1024, to the top", 1024<<52-0x3fe6a09e667f3bcd),
	word("fnLogLow", "mask of the bits below the exponent", 1<<52-1),
	word("fnLogHalf", "√½", 0x3fe6a09e667f3bcd),
	word("fnLogWord", "2^52 as bits, which hold a smaller whole number", 0x4330000000000000),
	number("fnLogBias", "2^52 + 1024", 1<<52+1024),
	polynomial("fnLog2Poly", "log2(1+f)/f for √½ <= 1+f <= √2, error 2^-35.8",
		0.07737061973563013, -0.14283951737408043, 0.14474842384512715,
		-0.14315641253456346, 0.15876979760242038, -0.1803006056972717,
		0.20617536011833115, -0.2404531654183854, 0.2885372934419931,
		-0.3606736748308193, 0.48089836139589115, -0.7213475208687412,
		1.442695040868705,
	),
	number("fnTanhOne", "2·√(2/π), of GELU's form with tanh (Hendrycks and Gimpel 2016)", 2*math.Sqrt2/math.SqrtPi),
	number("fnTanhThree", "2·√(2/π)·0.044715", 2*math.Sqrt2/math.SqrtPi*0.044715),
	number("fnTanhNine", "3·fnTanhThree", 3*2*math.Sqrt2/math.SqrtPi*0.044715),
	number("fnSixth", "1/6", 1./6),
	number("fnThird", "1/3", 1./3),
	number("fnHalf", "1/2", .5),
	number("fnMinusHalf", "-1/2", -.5),
	number("fnZero", "0", 0),
	number("fnOne", "1", 1),
	number("fnTwo", "2", 2),
	number("fnMinusTwo", "-2", -2),
	number("fnThree", "3", 3),
	number("fnMinusThree", "-3", -3),
	number("fnFour", "4", 4),
	number("fnSix", "6", 6),
	word("fnAbs", "mask of all bits but the sign", 1<<63-1),
	word("fnSign", "the sign's bit", 1<<63),
	number("fnExpMax", "exp of it is +Inf and exp of its negative 0 as float32", 110),
	number("fnExpMin", "-fnExpMax", -110),
	number("fnPowMax", "2 to its power is +Inf, and to its negative 0, as float32", 160),
	number("fnPowMin", "-fnPowMax", -160),
	number("fnLeast", "the smallest finite float32", -math.MaxFloat32),
}

// fnWords are constants of the assembly alone: -Inf, +Inf and NaN cannot be Go constants.
var fnWords = []fnConst{
	number("inf", "", math.Inf(1)),
	number("negInf", "", math.Inf(-1)),
	word("nan", "", 0x7ff8000000000001),
}

// fnLane is the number of copies of a constant in memory: a vector of AVX2.
const fnLane = 4

var (
	fnTable Mem
	fnIndex = map[string]int{}
)

// emitConsts writes the table of constants, each as a whole vector, and fn_const.go.
func emitConsts() {
	fnTable = GLOBL("fnConst", RODATA|NOPTR)
	at := 0
	for _, c := range append(append([]fnConst{}, fnConsts...), fnWords...) {
		fnIndex[c.name] = at
		for _, v := range c.v {
			for l := range fnLane {
				DATA(8*(at*fnLane+l), U64(math.Float64bits(v)))
			}
			at++
		}
	}
	extra["fn_const.go"] = "// The constants of the elementary functions, which portable code and assembly share.\n" +
		"// Polynomials hold the coefficient of the highest power first.\n\n" +
		goConsts(fnConsts, math.Float64bits)
}

// goConsts declares constants in Go, in the type of which bits takes numbers.
func goConsts[F float32 | float64, U uint32 | uint64](consts []fnConst, bits func(F) U) string {
	var b strings.Builder
	for _, c := range consts {
		fmt.Fprintf(&b, "// %s: %s.\n", c.name, c.doc)
		switch first := F(c.v[0]); {
		case len(c.v) > 1:
			fmt.Fprintf(&b, "var %s = [%d]%T{", c.name, len(c.v), first)
			for i, v := range c.v {
				if i%4 == 0 {
					b.WriteString("\n")
				}
				fmt.Fprintf(&b, "%v, ", F(v))
			}
			b.WriteString("\n}\n\n")
		case c.bits:
			fmt.Fprintf(&b, "const %s %T = %#x\n\n", c.name, bits(first), bits(first))
		default:
			fmt.Fprintf(&b, "const %s %T = %x\n\n", c.name, first, first)
		}
	}
	return b.String()
}

// fnAt is coefficient i of a constant, a whole vector in memory.
func fnAt(name string, i int) Mem {
	if at, ok := singleIndex[name]; ok {
		return singleTable.Offset(4 * singleLane * (at + i))
	}
	at, ok := fnIndex[name]
	if !ok {
		panic("no constant " + name)
	}
	return fnTable.Offset(8 * fnLane * (at + i))
}

// fnLen is the number of a polynomial's coefficients.
func fnLen(name string) int {
	for _, c := range append(append([]fnConst{}, fnConsts...), singleConsts...) {
		if c.name == name {
			return len(c.v)
		}
	}
	panic("no constant " + name)
}
