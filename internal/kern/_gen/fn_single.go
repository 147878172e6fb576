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

// pieces is the polynomial of interval at%8 of a table, at t.
func (f *fnVec) pieces(name string, t, at vec) vec {
	rows := tablesOf(name)
	d := f.sub(t, f.table(rows[0], at))
	p := f.table(rows[1], at)
	for _, row := range rows[2 : len(rows)-1] {
		f.muladd(p, d, f.table(row, at))
	}
	last := f.table(rows[len(rows)-1], at)
	if line := name + "Line"; hasConst(line) {
		last = f.fma(f.table(line, at), d, last)
	}
	return f.muladd(p, d, last)
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

// normalSingle returns the table's polynomial at t = min(|x|, singleTailMax), and s and n of
// exp(-t²/2) = (1+s)·2^n.
func (f *fnVec) normalSingle(x vec, name string) (p, s, n vec) {
	t := f.most(f.and(x, fnAt("singleAbs", 0)), "singleTailMax")
	p = f.pieces(name, t, f.interval("singleTail", t))
	n = f.fma(f.mul(t, t), fnAt("singleHalfLog2E", 0), f.c("singleShift"))
	whole := f.sub(n, fnAt("singleShift", 0))
	r := f.fma(t, t, f.mul(whole, fnAt("singleTwoLn2", 0)))
	r = f.fma(whole, fnAt("singleTwoLn2Low", 0), r)
	q := f.poly("singleHalfExpPoly", r)
	return p, f.muladd(q, f.mul(r, r), f.mul(r, fnAt("singleMinusHalf", 0))), n
}

var geluSingle = fnKernel{"GELU", []string{"singleTailMax", "singleMinusZero"}, 0, func(f *fnVec, x vec) vec {
	p, s, n := f.normalSingle(x, "singleGELU")
	return f.fnma(f.upSingle(p, s, n), fnAt("singleDown", 0), f.least(x, "singleMinusZero"))
}, func(f *fnVec, x, dy vec) vec {
	p, s, n := f.normalSingle(x, "singleGELUSlope")
	return f.mul(dy, f.upper(f.mul(f.upSingle(p, s, n), fnAt("singleDown", 0)), x))
}}
