package kern

// Logarithms in float32, see fn_single.go.

import "math"

// hornerSingle is the polynomial p, the highest power first, at v.
func hornerSingle(p []float32, v float32) float32 {
	s := p[0]
	for _, c := range p[1:] {
		s = fuse(s, v, c)
	}
	return s
}

// logPartsSingle returns e and m of x = 2^e·(1+m), √½ <= 1+m < √2, for positive, normal x, where
// base has the bits of √½. For other x they are some numbers.
func logPartsSingle(x float32, base uint32) (e, m float32) {
	u := math.Float32bits(x) - base
	return float32(int32(u) >> 23), math.Float32frombits(u&singleLogLow+singleLogHalf) - 1
}

// logPartsAny is logPartsSingle for positive x, also below the normal numbers.
func logPartsAny(x float32) (e, m float32) {
	if x < singleLeastNormal {
		return logPartsSingle(x*singleLogUp, singleLogLowHalf)
	}
	return logPartsSingle(x, singleLogHalf)
}

// logEndsSingle is y, the logarithm of v, or what it is where v is not finite and positive.
func logEndsSingle(y, v float32) float32 {
	switch {
	case v == 0:
		return float32(math.Inf(-1))
	case v < 0:
		return float32(math.NaN())
	case !(v <= math.MaxFloat32):
		return v
	}
	return y
}

// logOf is log(x). What is added to e·ln 2 and to m rounds less than those: the sums are ordered by size.
func logOf(x float32) float32 {
	e, m := logPartsAny(x)
	t := fuse(hornerSingle(singleLogPoly[:], m), float32(m*m), m)
	return logEndsSingle(fuse(e, singleLn2, t), x)
}

// log2Of is log2(x).
func log2Of(x float32) float32 {
	e, m := logPartsAny(x)
	t := float32(hornerSingle(singleLog2Poly[:], m) * float32(m*m))
	t = fuse(m, singleLog2E, fuse(m, singleLog2ELow, t))
	return logEndsSingle(e+t, x)
}

// log1pOf is log(1+x). The sum is split into what float32 holds and the exact rest (Knuth's TwoSum).
func log1pOf(x float32) float32 {
	w := x + 1
	b := w - 1
	low := float32(x-b) + float32(1-float32(w-b))
	e, m := logPartsSingle(w, singleLogHalf)
	t := fuse(hornerSingle(singleLogPoly[:], m), float32(m*m), low/w)
	return logEndsSingle(fuse(e, singleLn2, m+t), w)
}

// Derivatives: two roundings.

func logSlope(x, dy float32) float32   { return dy / x }
func log2Slope(x, dy float32) float32  { return float32(dy/x) * singleLog2E }
func log1pSlope(x, dy float32) float32 { return dy / float32(x+1) }
