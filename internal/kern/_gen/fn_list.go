package main

// fnKernels are the functions of kern's fn_list.go, in its order. Those that the list there has
// beyond these run on other kernels or in portable code.
var fnKernels = []fnKernel{
	expSingle, expm1Single,
	logSingle, log2Single, log1pSingle,
	sigmoidSingle,
	tanhSingle,
	erfSingle,
	geluSingle,
	geluTanhSingle,
	siluSingle,
	{"HardSigmoid", []string{"fnZero", "fnOne"}, 2, func(f *fnVec, x vec) vec {
		v := f.fma(x, f.param(0), f.copy(f.param(1)))
		return f.most(f.least(v, "fnZero"), "fnOne")
	}, func(f *fnVec, x, dy vec) vec {
		v := f.fma(x, f.param(0), f.copy(f.param(1)))
		inside := f.both(f.cmp(cmpGT, v, f.limit("fnZero")), f.cmp(cmpLT, v, f.limit("fnOne")))
		return f.keep(inside, f.mul(dy, f.param(0)))
	}},
	{"HardSwish", []string{"fnZero", "fnSix", "fnLeast"}, 0, func(f *fnVec, x vec) vec {
		g := f.most(f.least(f.add(x, fnAt("fnThree", 0)), "fnZero"), "fnSix")
		return f.mul(f.mul(f.least(x, "fnLeast"), g), fnAt("fnSixth", 0))
	}, func(f *fnVec, x, dy vec) vec {
		d := f.fma(x, fnAt("fnThird", 0), f.c("fnHalf"))
		d = f.pick(f.cmp(cmpGE, x, fnAt("fnThree", 0)), fnAt("fnOne", 0), d)
		return f.keep(f.cmp(cmpNLE, x, fnAt("fnMinusThree", 0)), f.mul(dy, d))
	}},
	softplusSingle,
	eluSingle,
	sqrtSingle, invSqrtSingle, invSingle,
	powSingle,
	sinSingle, cosSingle,
	{"Pow", []string{"fnPowMin", "fnPowMax"}, 4, func(f *fnVec, x vec) vec {
		return f.pow(x)
	}, func(f *fnVec, x, dy vec) vec {
		return f.mul(dy, f.mul(f.pow(x), f.param(3)))
	}},
	{"Cube", nil, 0, func(f *fnVec, x vec) vec {
		return f.mul(f.mul(x, x), x)
	}, func(f *fnVec, x, dy vec) vec {
		return f.mul(dy, f.mul(f.mul(x, x), fnAt("fnThree", 0)))
	}},
	{"Neg", nil, 0, func(f *fnVec, x vec) vec { return f.xor(x, fnAt("fnSign", 0)) },
		func(f *fnVec, _, dy vec) vec { return f.xor(dy, fnAt("fnSign", 0)) }},
	{"Square", nil, 0, func(f *fnVec, x vec) vec { return f.mul(x, x) }, func(f *fnVec, x, dy vec) vec {
		return f.mul(dy, f.add(x, x))
	}},
}
