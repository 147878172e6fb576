package main

// GELU and its gradient in float32: a copy of kern's fn_single_gelu.go.

// normalPlace returns min(|x|, singleTailMax) and the number of its interval in the tables.
func (f *fnVec) normalPlace(x vec) (t, at vec) {
	t = f.most(f.and(x, fnAt("singleAbs", 0)), "singleTailMax")
	return t, f.interval("singleTail", t)
}

// normalExp returns s and what has n of exp(-t²/2) = (1+s)·2^n.
func (f *fnVec) normalExp(t vec) (s, n vec) {
	n = f.fma(f.mul(t, t), fnAt("singleHalfLog2E", 0), f.c("singleShift"))
	whole := f.sub(n, fnAt("singleShift", 0))
	r := f.fma(t, t, f.mul(whole, fnAt("singleTwoLn2", 0)))
	r = f.fma(whole, fnAt("singleTwoLn2Low", 0), r)
	q := f.poly("singleHalfExpPoly", r)
	return f.muladd(q, f.mul(r, r), f.mul(r, fnAt("singleMinusHalf", 0))), n
}

var geluSingle = fnKernel{"GELU", []string{"singleTailMax", "singleMinusZero"}, 0, func(f *fnVec, x vec) vec {
	t, at := f.normalPlace(x)
	s, n := f.normalExp(t)
	p, low := f.piecesTwo("singleGELU", t, at)
	return f.fnma(f.upTwo(p, low, s, n), fnAt("singleDown", 0), f.least(x, "singleMinusZero"))
}, func(f *fnVec, x, dy vec) vec {
	t, at := f.normalPlace(x)
	p := f.pieces("singleGELUSlope", t, at)
	s, n := f.normalExp(t)
	return f.mul(dy, f.upper(f.mul(f.upSingle(p, s, n), fnAt("singleDown", 0)), x))
}}
