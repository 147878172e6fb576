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
//	4     log2(0^a)
//	5     the factor
func powSettings(a, factor float64) fnSettings {
	mask, odd := ^uint32(0), uint32(0)
	if powInvalid(a) == 0 {
		mask = ^singleSign
	}
	if math.Float64bits(powSign(a)) != 0 {
		odd = singleSign
	}
	high, low := twoParts(a)
	return singleSettings(high, low, mask, odd, math.Float32bits(float32(math.Inf(-1)*a)), math.Float32bits(float32(factor)))
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

// powParts returns q, r and n of |x|^a = 2^n·(1+q·r), where v is |x|. The logarithm and its product with a are
// sums of two float32, for the product's whole part takes eight digits.
func powParts(v float32, p *fnSettings) (q, r, n float32) {
	u, h := math.Float32bits(v), float32(0)
	if v < singleLeastNormal {
		u, h = math.Float32bits(v*singleLogUp), singleMinus24
	}
	i := u >> 20 & 7
	h = float32(int32(u)>>23) + h + singlePowH[i]
	d := math.Float32frombits(u&singleLogLow|math.Float32bits(singleOne)) - singlePowMid[i]
	g := float32(d * singlePowK[i])
	low := fuse(hornerSingle(singlePowPoly[:], g), float32(g*g), singlePowL[i]) + fuse(d, singlePowK[i], -g)
	s := h + g
	low += float32(h-s) + g
	a := p.single(0)
	z := float32(s * a)
	zl := fuse(s, p.single(1), fuse(low, a, fuse(s, a, -z)))
	switch {
	case v == 0:
		z = p.single(4)
	case v < 0:
		z = float32(math.NaN())
	case !(v <= math.MaxFloat32):
		z = v * a
	}
	z = limitSingle(-limitSingle(-z, singlePowMax), singlePowMax)
	n = float32(z+singleWhole) - singleWhole
	r = float32(z-n) + zl
	return hornerSingle(singleExp2Poly[:], r), r, n
}

// powSigned gives y = |x|^a the sign of x^a.
func powSigned(y, x float32, p *fnSettings) float32 {
	return math.Float32frombits(math.Float32bits(y) ^ math.Float32bits(x)&p.bits(3))
}

// powOf is x^a.
func powOf(x float32, p *fnSettings) float32 {
	q, r, n := powParts(math.Float32frombits(math.Float32bits(x)&p.bits(2)), p)
	return powSigned(scaleSingle(fuse(q, r, singleOne), n), x, p)
}

// powSlope is x^a times the factor.
func powSlope(x float32, p *fnSettings) float32 {
	q, r, n := powParts(math.Float32frombits(math.Float32bits(x)&p.bits(2)), p)
	return powSigned(scaleSingle(fuse(float32(q*r), p.single(5), p.single(5)), n), x, p)
}

var powPair = fnPair{
	func(x float64, p *fnSettings) float64 { return float64(powOf(float32(x), p)) },
	func(x, dy float64, p *fnSettings) float64 { return float64(float32(dy) * powSlope(float32(x), p)) },
}
