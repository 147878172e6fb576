package kern

// Sigmoid and its gradient in float32, and the parts of which the functions with a sigmoid in
// them are made.

import "math"

// growSingle returns s and 2^(n-64) of exp(v) = (1+s)·2^n, for 0 <= v <= singleExpMax.
func growSingle(v float32) (s, scale float32) {
	t := fuse(v, singleLog2E, singleGrowShift)
	n := t - singleGrowShift
	r := fuse(-n, singleGrowLn2Low, fuse(-n, singleGrowLn2, v))
	return fuse(hornerSingle(singleExpPoly[:], r), float32(r*r), r), math.Float32frombits(math.Float32bits(t) << 23)
}

// onePlusExp is (1+exp(|x|))·2^-64, rounded once: where 1+2^n is no float32, what that lacks
// comes with s.
func onePlusExp(x float32) float32 {
	s, scale := growSingle(limitSingle(absSingle(x), singleExpMax))
	one := scale + singleDown
	return one + fuse(s, scale, singleDown-(one-scale))
}

// sigmoidOf is m = 1/(1+exp(|x|)) or 1 - m.
func sigmoidOf(x float32) float32 { return upperSingle(singleDown/onePlusExp(x), x) }

// sigmoidSlope is the derivative of sigmoid.
func sigmoidSlope(x float32) float32 { return sigmoidBell(x, singleDown) }

// sigmoidBell is m·(1-m) and m times what the division lost, for the m of sigmoidOf, times 2^64
// and the scale.
func sigmoidBell(x, scale float32) float32 {
	d := onePlusExp(x)
	m := 1 / d
	rest := fuse(-m, singleDown, fuse(-d, m, 1))
	m = float32(m * scale)
	return fuse(rest, m, m)
}
