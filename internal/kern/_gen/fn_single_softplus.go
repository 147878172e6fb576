package main

// Softplus and its gradient in float32: a copy of kern's fn_single_softplus.go.

func init() {
	singleFamily("softplus",
		number("singleSoftplusStep", "e times it plus singleTailFrom reaches, from interval to interval of the table, the next power of two or half-way there, at most below 24", 22.499998),
		polynomial("singleSoftplusMid", "middles of eight intervals of e; entry 7 is of the first",
			0.044448134, 0.08887874, 0.15556423, 0.24452741, 0.3776073, 0.55509514, 1.0, 0.0),
		polynomial("singleSoftplusLine", "added to the coefficients of power 1 of the same, without rounding their sum",
			0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0),
		polynomial("singleSoftplus6", "coefficients of power 6 of log(1+e) on those intervals, error 2^-28.3",
			-3.2500272, 0.65465575, 0.057957843, 0.033216525, -0.022244211, -0.012823578, -0.0029010614, -0.16244543),
		polynomial("singleSoftplus5", "coefficients of power 5 of log(1+e) on those intervals, error 2^-28.3",
			0.022199579, 0.20442307, 0.11763304, 0.08504227, 0.041618444, 0.020912461, 0.0070207915, 0.20002197),
		polynomial("singleSoftplus4", "coefficients of power 4 of log(1+e) on those intervals, error 2^-28.3",
			-0.20815068, -0.17829908, -0.14052528, -0.10441021, -0.06943432, -0.042737674, -0.015138224, -0.2500015),
		polynomial("singleSoftplus3", "coefficients of power 3 of log(1+e) on those intervals, error 2^-28.3",
			0.2926478, 0.25814503, 0.21597071, 0.17288361, 0.1274861, 0.08864675, 0.041776836, 0.33333334),
		polynomial("singleSoftplus2", "coefficients of power 2 of log(1+e) on those intervals, error 2^-28.3",
			-0.4583492, -0.4217071, -0.37443948, -0.32282037, -0.26346266, -0.20675504, -0.12498949, -0.5),
		polynomial("singleSoftplus1", "coefficients of power 1 of log(1+e) on those intervals, error 2^-28.3",
			0.9574434, 0.9183759, 0.86537814, 0.8035179, 0.7258963, 0.64304745, 0.50000036, 0.0),
		polynomial("singleSoftplus0", "coefficients of power 0 of log(1+e) on those intervals, error 2^-28.3",
			0.043488644, 0.08514849, 0.14458874, 0.21875587, 0.32034814, 0.44153672, 0.6931472, 0.0),
	)
	fnSingles["Softplus"] = struct{ forward, backward string }{"singleSoftplus", ""}
}

// shrinkSingle is exp(v) for v <= 0. It replaces v.
func (f *fnVec) shrinkSingle(v vec) vec {
	t := f.fma(v, fnAt("singleLog2E", 0), f.c("singleShift"))
	n := f.sub(t, fnAt("singleShift", 0))
	r := f.fnma(n, fnAt("singleGrowLn2Low", 0), f.fnma(n, fnAt("singleGrowLn2", 0), v))
	s := f.muladd(f.poly("singleExpPoly", r), f.mul(r, r), r)
	one := f.limit("singleOne")
	return f.mul(f.mul(f.muladd(s, one, one), f.power(t)), fnAt("singleDown", 0))
}

var softplusSingle = fnKernel{"Softplus", []string{"singleExpMax", "singleOne", "singleDown", "singleMinusZero"}, 0, func(f *fnVec, x vec) vec {
	e := f.shrinkSingle(f.or(f.most(f.and(x, fnAt("singleAbs", 0)), "singleExpMax"), fnAt("singleSign", 0)))
	return f.add(f.pieces("singleSoftplus", e, f.interval("singleSoftplus", e)), f.least(x, "singleMinusZero"))
}, func(f *fnVec, x, dy vec) vec {
	return f.mul(dy, f.upper(f.div(f.limit("singleDown"), f.onePlusExp(x)), x))
}}
