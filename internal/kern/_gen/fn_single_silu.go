package main

// SiLU and its gradient in float32: a copy of kern's fn_single_silu.go.

// lowerHalf is m = 1/(1+exp(v)), times 2^64, and what sum and division lost.
func (f *fnVec) lowerHalf(s, scale vec) (m, lost vec) {
	d := f.fma(s, scale, f.add(scale, fnAt("singleDown", 0)))
	rest := f.muladd(s, scale, f.add(f.sub(scale, d), fnAt("singleDown", 0)))
	m = f.div(f.limit("singleOne"), d)
	return m, f.fnma(rest, m, f.fnma(d, m, f.c("singleOne")))
}

func init() { fnSingles["SiLU"] = fnSingles["Log"] }

// siluParts returns t = min(|x|, singleExpMax) and the m of lowerHalf at t.
func (f *fnVec) siluParts(x vec) (t, m, lost vec) {
	t = f.most(f.and(x, fnAt("singleAbs", 0)), "singleExpMax")
	m, lost = f.lowerHalf(f.growSingle(f.copy(t)))
	return t, m, lost
}

var siluSingle = fnKernel{"SiLU", []string{"singleExpMax", "singleOne", "singleMinusZero"}, 0, func(f *fnVec, x vec) vec {
	t, m, lost := f.siluParts(x)
	w := f.fma(t, m, f.mul(t, f.mul(m, lost)))
	return f.fnma(w, fnAt("singleDown", 0), f.least(x, "singleMinusZero"))
}, func(f *fnVec, x, dy vec) vec {
	t, m, lost := f.siluParts(x)
	z := f.fma(t, f.mul(m, fnAt("singleDown", 0)), f.sub(f.limit("singleOne"), t))
	y := f.fma(m, z, f.mul(m, f.mul(lost, z)))
	return f.mul(dy, f.upper(f.mul(y, fnAt("singleDown", 0)), x))
}}
