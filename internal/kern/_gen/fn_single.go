package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// The functions that are computed in float32: a copy of kern's fn_single.go.

// fnSingles are their names, with the tables of the function and of its gradient: what the
// names of their rows begin with.
var fnSingles = map[string]struct{ forward, backward string }{
	"GELU": {"singleGELU", "singleGELUSlope"},
	"Erf":  {"singleErf", ""},
	"Sin":  {}, "Cos": {},
	"PowNear": {"singlePow", "singlePow"},
	"Log":     {}, "Log2": {}, "Log1p": {},
}

func hasConst(name string) bool { _, ok := singleIndex[name]; return ok }

// tablesOf are the names of a table's rows: the middles, then the coefficients.
func tablesOf(name string) []string {
	var t []string
	if name == "" {
		return nil
	}
	for _, c := range singleConsts {
		if len(c.name) == len(name)+1 && c.name[:len(name)] == name || c.name == name+"Mid" {
			t = append(t, c.name)
		}
	}
	return t
}

// upSingle is a·(1+s)·2^(n+64) with the n of t, in place of s.
func (f *fnVec) upSingle(a, s, t vec) vec {
	return f.mul(f.muladd(s, a, a), f.power(t))
}

// upTwo is upSingle of a + low.
func (f *fnVec) upTwo(a, low, s, t vec) vec {
	return f.mul(f.add(f.muladd(s, a, low), a), f.power(t))
}

// terms returns p, d and c of the polynomial of interval at%8 of a table, at t: p·d + c.
func (f *fnVec) terms(name string, t, at vec) (p, d, c vec) {
	rows := tablesOf(name)
	d = f.sub(t, f.table(rows[0], at))
	p = f.table(rows[1], at)
	for _, row := range rows[2 : len(rows)-1] {
		f.muladd(p, d, f.table(row, at))
	}
	c = f.table(rows[len(rows)-1], at)
	if line := name + "Line"; hasConst(line) {
		c = f.fma(f.table(line, at), d, c)
	}
	return p, d, c
}

// pieces is the polynomial of interval at%8 of a table, at t, and piecesTwo what rounding takes from
// it, too.
func (f *fnVec) pieces(name string, t, at vec) vec {
	p, d, c := f.terms(name, t, at)
	return f.muladd(p, d, c)
}

func (f *fnVec) piecesTwo(name string, t, at vec) (y, low vec) {
	p, d, c := f.terms(name, t, at)
	y = f.fma(p, d, f.copy(c))
	return y, f.muladd(p, d, f.sub(c, y))
}

// interval is the interval in a table of t, of which the step's constant is the name with Step.
func (f *fnVec) interval(name string, t vec) vec {
	at := f.fma(t, fnAt(name+"Step", 0), f.c("singleTailFrom"))
	return f.each(func(i int) VecVirtual {
		v := f.reg()
		VPSRLD(Imm(22), at[i], v)
		return v
	})
}
