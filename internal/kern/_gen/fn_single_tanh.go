package main

// Tanh and its gradient in float32: a copy of kern's fn_single_tanh.go.

func init() { fnSingles["Tanh"] = struct{ forward, backward string }{"singleTanh", ""} }

var tanhSingle = fnKernel{"Tanh", []string{"singleTanhMax", "singleExpMax"}, 0, func(f *fnVec, x vec) vec {
	t := f.most(f.and(x, fnAt("singleAbs", 0)), "singleTanhMax")
	return f.xor(f.pieces("singleTanh", t, f.interval("singleTanh", t)), f.and(x, fnAt("singleMinusZero", 0)))
}, func(f *fnVec, x, dy vec) vec {
	return f.mul(dy, f.bell(f.add(x, x), "singleTanhDown"))
}}
