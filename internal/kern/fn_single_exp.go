package kern

// Exponentials and ELU in float32, see fn_single.go.

import "math"

// expSingle returns s and n of exp(x) = (1+s)·2^n, for |x| <= singleExpMax.
func expSingle(x float32) (s, n float32) {
	n = fuse(x, singleLog2E, singleWhole) - singleWhole
	r := fuse(-n, singleGrowLn2Low, fuse(-n, singleGrowLn2, x))
	return fuse(hornerSingle(singleExpPoly[:], r), float32(r*r), r), n
}

// expOf is exp(x).
func expOf(x float32) float32 {
	s, n := expSingle(limitSingle(-limitSingle(-x, singleExpMax), singleExpMax))
	return scaleSingle(s+1, n)
}

// expm1Of is exp(x) - 1 = 2^n·(1 - 2^-n + r + q), r + q = exp(r) - 1: the sum of the first three, of
// which digits may cancel, is exact in two parts.
func expm1Of(x float32) float32 {
	x = limitSingle(-limitSingle(-x, singleExpm1Low), singleExpm1Max)
	t := fuse(x, singleLog2E, singleHalfShift)
	n := t - singleHalfShift
	half := math.Float32bits(t) << 23 // of 2^(n-1)
	c := fuse(math.Float32frombits(singleOneOver-half), singleMinusHalf, 1)
	r, low := fuse(-n, singleGrowLn2, x), float32(n*singleMinusLn2Low)
	v := r + low
	q := fuse(hornerSingle(singleExpPoly[:], v), float32(v*v), low)
	a := c + r
	w := a + (q + float32(float32(c-a)+r))
	return float32((w + w) * math.Float32frombits(half))
}

// eluSettings prepares ELU with the factor a below 0 and b above:
//
//	0, 1  a in two parts
//	2     b
func eluSettings(a, b float64) fnSettings {
	high, low := twoParts(a)
	return singleSettings(high, low, math.Float32bits(float32(b)))
}

// eluOf is b·x where x > 0, else a·(exp(x)-1).
func eluOf(x float32, p *fnSettings) float32 {
	if x > 0 {
		return x * p.single(2)
	}
	y := expm1Of(x)
	return fuse(y, p.single(0), float32(y*p.single(1)))
}

// eluSlope is b or a·exp(x).
func eluSlope(x float32, p *fnSettings) float32 {
	if x > 0 {
		return p.single(2)
	}
	s, n := expSingle(-limitSingle(-x, singleExpMax))
	a, low := p.single(0), p.single(1)
	return scaleSingle(fuse(s, a, fuse(s, low, low))+a, n)
}

var eluPair = fnPair{
	func(x float64, p *fnSettings) float64 { return float64(eluOf(float32(x), p)) },
	func(x, dy float64, p *fnSettings) float64 { return float64(float32(dy) * eluSlope(float32(x), p)) },
}
