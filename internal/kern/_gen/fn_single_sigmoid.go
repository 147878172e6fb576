package main

// Sigmoid and its gradient in float32: a copy of kern's fn_single_sigmoid.go.

func init() {
	singleFamily("sigmoid",
		number("singleGrowLn2", "ln 2 with 15 digits: its product with a whole number below 2^9 is exact", 0x1.62e4p-1),
		number("singleGrowLn2Low", "ln 2 - singleGrowLn2", 0x1.7f7d1cp-20),
		number("singleGrowShift", "1.5·2^23 + 127 - 64: a sum with it is rounded to a whole number n, and its low bits are the exponent of 2^(n-64)", 3<<22+127-64),
		polynomial("singleExpPoly", "(exp(r)-1-r)/r² for |r| <= ln2/2, error of exp 2^-28.2",
			0.0013818697, 0.008368716, 0.041668292, 0.16666521, 0.49999994),
		number("singleExpMax", "exp of its negative, and it times that, are 0 as float32", 110),
	)
	fnSingles["Sigmoid"] = struct{ forward, backward string }{}
}

// growSingle returns s and 2^(n-64) of exp(v) = (1+s)·2^n. It replaces v.
func (f *fnVec) growSingle(v vec) (s, scale vec) {
	t := f.fma(v, fnAt("singleLog2E", 0), f.c("singleGrowShift"))
	n := f.sub(t, fnAt("singleGrowShift", 0))
	r := f.fnma(n, fnAt("singleGrowLn2Low", 0), f.fnma(n, fnAt("singleGrowLn2", 0), v))
	return f.muladd(f.poly("singleExpPoly", r), f.mul(r, r), r), f.power(t)
}

// onePlusExp is (1+exp(min(|x|, singleExpMax)))·2^-64.
func (f *fnVec) onePlusExp(x vec) vec {
	s, scale := f.growSingle(f.most(f.and(x, fnAt("singleAbs", 0)), "singleExpMax"))
	one := f.add(scale, fnAt("singleDown", 0))
	rest := f.sub(f.limit("singleDown"), f.sub(one, scale))
	return f.add(one, f.muladd(s, scale, rest))
}

// bell is the derivative of sigmoid, times 2^64 and the scale.
func (f *fnVec) bell(x vec, scale string) vec {
	d := f.onePlusExp(x)
	m := f.div(f.c("singleOne"), d)
	rest := f.fnma(m, fnAt("singleDown", 0), f.fnma(d, m, f.c("singleOne")))
	m = f.mul(m, fnAt(scale, 0))
	return f.muladd(rest, m, m)
}

var sigmoidSingle = fnKernel{"Sigmoid", []string{"singleExpMax", "singleDown"}, 0, func(f *fnVec, x vec) vec {
	return f.upper(f.div(f.limit("singleDown"), f.onePlusExp(x)), x)
}, func(f *fnVec, x, dy vec) vec {
	return f.mul(dy, f.bell(x, "singleDown"))
}}
