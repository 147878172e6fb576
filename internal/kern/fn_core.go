package kern

// What the elementary functions are made of: operations on float64, each of which has the
// same result on every processor. The assembly repeats them one by one.

import "math"

// horner is the polynomial p, the highest power first, at v.
func horner(p []float64, v float64) float64 {
	s := p[0]
	for _, c := range p[1:] {
		s = math.FMA(s, v, c)
	}
	return s
}

// atMost and atLeast limit v and keep NaN.
func atMost(v, limit float64) float64 {
	if v > limit {
		return limit
	}
	return v
}

func atLeast(v, limit float64) float64 {
	if v < limit {
		return limit
	}
	return v
}

func within(v, limit float64) float64 { return atMost(atLeast(v, -limit), limit) }

// expParts returns s and q with exp(z) = s + s·q, where s is a power of two: |z| is at most
// fnExpMax.
func expParts(z float64) (s, q float64) {
	t := math.FMA(z, fnLog2E, fnShift)
	n := t - fnShift
	r := math.FMA(-n, fnLn2, z)
	p := math.FMA(fnExpPoly[0], r, fnExpPoly[1])
	p = math.FMA(p, r, fnExpPoly[2])
	p = math.FMA(p, r, fnExpPoly[3])
	p = math.FMA(p, r, fnExpPoly[4])
	p = math.FMA(p, r, fnExpPoly[5])
	p = math.FMA(p, r, fnExpPoly[6])
	return math.Float64frombits(math.Float64bits(t) << 52), p * r
}

// fnExp is exp(z).
func fnExp(z float64) float64 {
	s, q := expParts(z)
	return math.FMA(q, s, s)
}

// logParts returns e and f of x = 2^e·(1+f), √½ <= 1+f < √2, for x > 0. For other x they are
// some numbers.
func logParts(x float64) (e, f float64) {
	u := math.Float64bits(x) + fnLogBase
	e = math.Float64frombits(u>>52|fnLogWord) - fnLogBias
	return e, math.Float64frombits(u&fnLogLow+fnLogHalf) - 1
}

// logEnds is y, the logarithm of v, or what it is where v is not finite and positive.
func logEnds(y, v float64) float64 {
	switch {
	case v == 0:
		return math.Inf(-1)
	case v < 0:
		return math.NaN()
	case !(v < math.Inf(1)):
		return v
	}
	return y
}

// fnPowOf is x^p[0]; see fnSettings.
func fnPowOf(x float64, p *fnSettings) float64 {
	a := math.Abs(x)
	e, f := logParts(a)
	l := math.FMA(horner(fnLog2Poly[:], f), f, e)
	if a == 0 {
		l = math.Inf(-1)
	} else if !(a < math.Inf(1)) {
		l = a
	}
	z := within(float64(l*p[0]), fnPowMax)
	t := z + fnShift
	r := (z - (t - fnShift)) * fnLn2
	s := math.Float64frombits(math.Float64bits(t) << 52)
	y := math.FMA(float64(horner(fnExpPoly[:], r)*r), s, s)
	u := math.Float64bits(y) ^ math.Float64bits(x)&math.Float64bits(p[1])
	if x < 0 {
		u |= math.Float64bits(p[2])
	}
	return math.Float64frombits(u)
}
