package kern

// What each elementary function and its derivative are: the definitions, of which the
// assembly is a copy.

import "math"

// fnPair is a function and its gradient in float64, both rounded to float32 by the caller.
// The settings are those that Func.settings made for the one or the other.
type fnPair struct {
	f func(x float64, p *fnSettings) float64
	d func(x, dy float64, p *fnSettings) float64
}

var fnList = [fnCount]fnPair{
	FnExp:      single(expOf, expOf),
	FnExpm1:    single(expm1Of, expOf),
	FnLog:      singleOf(logOf, logSlope),
	FnLog2:     singleOf(log2Of, log2Slope),
	FnLog1p:    singleOf(log1pOf, log1pSlope),
	FnSigmoid:  single(sigmoidOf, sigmoidSlope),
	FnTanh:     single(tanhOf, tanhSlope),
	FnErf:      single(erfOf, erfSlope),
	FnGELU:     single(geluOf, geluSlope),
	FnGELUTanh: single(geluTanhOf, geluTanhSlope),
	FnSiLU:     single(siluOf, siluSlope),
	FnHardSigmoid: {
		func(x float64, p *fnSettings) float64 { return atMost(atLeast(math.FMA(x, p[0], p[1]), 0), 1) },
		func(x, dy float64, p *fnSettings) float64 {
			if v := math.FMA(x, p[0], p[1]); v > 0 && v < 1 {
				return dy * p[0]
			}
			return 0
		}},
	FnHardSwish: {
		func(x float64, _ *fnSettings) float64 {
			return float64(atLeast(x, fnLeast)*atMost(atLeast(x+3, 0), 6)) * fnSixth
		},
		func(x, dy float64, _ *fnSettings) float64 {
			switch {
			case x <= -3:
				return 0
			case x >= 3:
				return dy
			}
			return dy * math.FMA(x, fnThird, 0.5)
		}},
	FnSoftplus: single(softplusOf, sigmoidOf),
	FnELU:      eluPair,
	FnSqrt:     singleOf(rootOf, rootSlope),
	FnInvSqrt:  singleOf(invRootOf, invRootSlope),
	FnInv:      singleOf(invOf, invSlope),
	FnPow: {
		fnPowOf,
		func(x, dy float64, p *fnSettings) float64 { return dy * (fnPowOf(x, p) * p[3]) }},
	fnPowNear: powPair,
	FnSquare: {
		func(x float64, _ *fnSettings) float64 { return x * x },
		func(x, dy float64, _ *fnSettings) float64 { return dy * (x + x) }},
	FnCube: {
		func(x float64, _ *fnSettings) float64 { return x * x * x },
		func(x, dy float64, _ *fnSettings) float64 { return dy * (x * x * 3) }},
	FnNeg: {
		func(x float64, _ *fnSettings) float64 { return -x },
		func(_, dy float64, _ *fnSettings) float64 { return -dy }},
	FnAbs: {
		func(x float64, _ *fnSettings) float64 { return math.Abs(x) },
		func(x, dy float64, _ *fnSettings) float64 { return dy * signOf(x) }},
	FnSign:  {func(x float64, _ *fnSettings) float64 { return signOf(x) }, fnFlat},
	FnCeil:  {func(x float64, _ *fnSettings) float64 { return math.Ceil(x) }, fnFlat},
	FnFloor: {func(x float64, _ *fnSettings) float64 { return math.Floor(x) }, fnFlat},
	FnSin:   sinPair,
	FnCos:   cosPair,
}

// fnFlat is the gradient of steps.
func fnFlat(_, dy float64, _ *fnSettings) float64 { return dy * 0 }

// signOf is -1, 0 or 1; NaN stays NaN.
func signOf(x float64) float64 {
	switch {
	case x > 0:
		return 1
	case x < 0:
		return -1
	}
	return x
}
