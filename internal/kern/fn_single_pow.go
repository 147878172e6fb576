package kern

// Powers in float32, see fn_single.go, for exponents of moderate size.

import "math"

// powNear says that an exponent, and the factor of a derivative, is one for float32. The product of the exponent
// with the error of the logarithm, 2^-31, is that of the result; and the factor does not bring into the
// range of float32 what singlePowMax is beyond.
func powNear(a float64) bool { return math.Abs(a) >= 0x1p-10 && math.Abs(a) <= 16 }

// powSettings prepares x^a, times factor, for powOf. Two float32 make a setting:
//
//	0, 1  a in two parts
//	2     mask that takes the sign of x where a is whole
//	3     mask that keeps it where a is odd
//	4     0^a times the factor
//	5     the factor
//	6, 7  a/ln 2 in two parts
func powSettings(a, factor float64) fnSettings {
	mask, odd := ^uint32(0), uint32(0)
	if powInvalid(a) == 0 {
		mask = ^singleSign
	}
	if math.Float64bits(powSign(a)) != 0 {
		odd = singleSign
	}
	high, low := twoParts(a)
	natural, naturalLow := twoParts(a * math.Log2E)
	zero := 0.
	if a < 0 {
		zero = math.Inf(1)
	}
	return singleSettings(high, low, mask, odd, math.Float32bits(float32(zero*factor)), math.Float32bits(float32(factor)),
		natural, naturalLow)
}

// twoParts are the bits of two float32 of which v is the sum.
func twoParts(v float64) (high, low uint32) {
	h := float32(v)
	return math.Float32bits(h), math.Float32bits(float32(v - float64(h)))
}

// singleSettings makes settings of the bits of float32.
func singleSettings(bits ...uint32) (p fnSettings) {
	for i, u := range bits {
		p[i/2] = math.Float64frombits(math.Float64bits(p[i/2]) | uint64(u)<<(32*(i&1)))
	}
	return p
}

// bits and single are a setting of a function in float32.
func (p *fnSettings) bits(i int) uint32 { return uint32(math.Float64bits(p[i/2]) >> (32 * (i & 1))) }

func (p *fnSettings) single(i int) float32 { return math.Float32frombits(p.bits(i)) }

// scaleSingle is y·2^n, for a whole n of at most singlePowMax: two exact steps, of which the second
// is rounded if it is below the normal numbers.
func scaleSingle(y, n float32) float32 {
	return float32(float64(y) * math.Float64frombits(uint64(1023+int64(int32(n)))<<52))
}

// powParts returns q, r and n of v^a = 2^n·(1+q·r), for positive, finite v. log2(v) is h + g/ln 2 and less:
// h·a is in two parts, for the whole number in it takes eight digits.
func powParts(v float32, p *fnSettings) (q, r, n float32) {
	u, h := math.Float32bits(v), float32(0)
	if v < singleLeastNormal {
		u, h = math.Float32bits(v*singleLogUp), singleMinus24
	}
	i := u >> 20 & 7
	h = float32(int32(u)>>23) + h + singlePowH[i]
	g := fuse(math.Float32frombits(u&singleLogLow|math.Float32bits(singleOne)), singlePowK[i], singleMinusOne)
	low := fuse(hornerSingle(singlePowPoly[:], g), float32(g*g), singlePowL[i])
	a, natural := p.single(0), p.single(6)
	z := float32(h * a)
	n = float32(fuse(g, natural, z)+singleWhole) - singleWhole
	low = fuse(low, a, fuse(h, p.single(1), fuse(h, a, -z)))
	low = fuse(g, p.single(7), low)
	r = fuse(g, natural, z-n) + low
	n = limitSingle(-limitSingle(-n, singlePowMax), singlePowMax)
	return hornerSingle(singleExp2Poly[:], r), r, n
}

// powEnds is y = v^a times the factor, or what it is where v is not finite and positive.
func powEnds(y, v float32, p *fnSettings) float32 {
	switch {
	case v == 0:
		return p.single(4)
	case v < 0:
		return float32(math.NaN())
	case v > math.MaxFloat32:
		return 1 / p.single(4)
	case v != v:
		return v
	}
	return y
}

// powSigned gives y = |x|^a the sign of x^a.
func powSigned(y, x float32, p *fnSettings) float32 {
	return math.Float32frombits(math.Float32bits(y) ^ math.Float32bits(x)&p.bits(3))
}

// powOf is x^a.
func powOf(x float32, p *fnSettings) float32 {
	v := math.Float32frombits(math.Float32bits(x) & p.bits(2))
	q, r, n := powParts(v, p)
	return powSigned(powEnds(scaleSingle(fuse(q, r, singleOne), n), v, p), x, p)
}

// powSlope is x^a times the factor.
func powSlope(x float32, p *fnSettings) float32 {
	v := math.Float32frombits(math.Float32bits(x) & p.bits(2))
	q, r, n := powParts(v, p)
	return powSigned(powEnds(scaleSingle(fuse(float32(q*r), p.single(5), p.single(5)), n), v, p), x, p)
}

var powPair = fnPair{
	func(x float64, p *fnSettings) float64 { return float64(powOf(float32(x), p)) },
	func(x, dy float64, p *fnSettings) float64 { return float64(float32(dy) * powSlope(float32(x), p)) },
}
