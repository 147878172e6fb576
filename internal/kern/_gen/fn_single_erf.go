package main

// The error function in float32: a copy of kern's fn_single_erf.go.

var erfSingle = fnKernel{"Erf", []string{"singleErfMax", "singleErfSlopeMax"}, 0, func(f *fnVec, x vec) vec {
	t := f.most(f.and(x, fnAt("singleAbs", 0)), "singleErfMax")
	at := f.fma(t, fnAt("singleErfStep", 0), f.c("singleErfFrom"))
	return f.xor(f.pieces("singleErf", t, at), f.and(x, fnAt("singleMinusZero", 0)))
}, func(f *fnVec, x, dy vec) vec {
	t := f.most(f.and(x, fnAt("singleAbs", 0)), "singleErfSlopeMax")
	n := f.fma(f.mul(t, t), fnAt("singleMinusLog2E", 0), f.c("singleShift"))
	whole := f.sub(n, fnAt("singleShift", 0))
	r := f.fma(t, t, f.mul(whole, fnAt("singleLn2High", 0)))
	r = f.fma(whole, fnAt("singleLn2Low", 0), r)
	q := f.poly("singleExpNegPoly", r)
	q = f.sub(f.mul(q, f.mul(r, r)), r)
	e := f.fma(q, fnAt("singleErfSlope", 0), f.c("singleErfSlopeLow"))
	e = f.mul(f.add(e, fnAt("singleErfSlope", 0)), f.power(n))
	return f.mul(dy, f.mul(e, fnAt("singleDown", 0)))
}}
