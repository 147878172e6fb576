package kern

// The same functions in float64, for checks of gradients. They never ship, so they may use
// package math, whose bits differ between processors.

import "math"

// fnPair64 is a function and its derivative in float64.
type fnPair64 struct{ f, d func(x float64) float64 }

func sigmoid64(x float64) float64 {
	if x >= 0 {
		return 1 / (1 + math.Exp(-x))
	}
	e := math.Exp(x)
	return e / (1 + e)
}

func phi64(x float64) float64 { return 0.5 * math.Erfc(-x/math.Sqrt2) }

// step64 makes a pair of which the derivative is 0.
func step64(f func(float64) float64) fnPair64 {
	return fnPair64{f, func(float64) float64 { return 0 }}
}

// fn64 returns the pair of a function that is not one of limits.
func fn64(f Func) fnPair64 {
	switch f.Fn {
	case FnHardSigmoid:
		v := func(x float64) float64 { return math.FMA(x, f.A, f.B) }
		return fnPair64{func(x float64) float64 { return atMost(atLeast(v(x), 0), 1) }, func(x float64) float64 {
			if v(x) > 0 && v(x) < 1 {
				return f.A
			}
			return 0
		}}
	case FnELU:
		return fnPair64{func(x float64) float64 {
			if x > 0 {
				return f.B * x
			}
			return f.B * f.A * math.Expm1(x)
		}, func(x float64) float64 {
			if x > 0 {
				return f.B
			}
			return f.B * f.A * math.Exp(x)
		}}
	case FnPow:
		return fnPair64{func(x float64) float64 { return math.Pow(x, f.A) }, func(x float64) float64 { return f.A * math.Pow(x, f.A-1) }}
	}
	return fnList64[f.Fn]
}

var fnList64 = [fnCount]fnPair64{
	FnExp:     {math.Exp, math.Exp},
	FnExpm1:   {math.Expm1, math.Exp},
	FnLog:     {math.Log, func(x float64) float64 { return 1 / x }},
	FnLog2:    {math.Log2, func(x float64) float64 { return 1 / (x * math.Ln2) }},
	FnLog1p:   {math.Log1p, func(x float64) float64 { return 1 / (1 + x) }},
	FnSigmoid: {sigmoid64, func(x float64) float64 { return sigmoid64(x) * sigmoid64(-x) }},
	FnTanh:    {math.Tanh, func(x float64) float64 { return 4 * sigmoid64(2*x) * sigmoid64(-2*x) }},
	FnErf:     {math.Erf, func(x float64) float64 { return 2 / math.SqrtPi * math.Exp(-x*x) }},
	FnGELU: {func(x float64) float64 { return atLeast(x, -40) * phi64(x) }, func(x float64) float64 {
		x = within(x, 40)
		return phi64(x) + x*math.Exp(-x*x/2)/(math.Sqrt2*math.SqrtPi)
	}},
	FnGELUTanh: {func(x float64) float64 {
		x = atLeast(x, -40)
		return x * sigmoid64(x*(fnTanhOne+fnTanhThree*x*x))
	}, func(x float64) float64 {
		x = within(x, 40)
		u := x * (fnTanhOne + fnTanhThree*x*x)
		return sigmoid64(u) * (1 + x*(fnTanhOne+fnTanhNine*x*x)*sigmoid64(-u))
	}},
	FnSiLU: {func(x float64) float64 { return atLeast(x, -800) * sigmoid64(x) }, func(x float64) float64 {
		x = within(x, 800)
		return sigmoid64(x) * (1 + x*sigmoid64(-x))
	}},
	FnHardSwish: {func(x float64) float64 { return atLeast(x, fnLeast) * atMost(atLeast(x+3, 0), 6) / 6 }, func(x float64) float64 {
		switch {
		case x <= -3:
			return 0
		case x >= 3:
			return 1
		}
		return x/3 + 0.5
	}},
	FnSoftplus: {func(x float64) float64 { return atLeast(x, 0) + math.Log1p(math.Exp(-math.Abs(x))) }, sigmoid64},
	FnSqrt:     {math.Sqrt, func(x float64) float64 { return 0.5 / math.Sqrt(x) }},
	FnInvSqrt:  {func(x float64) float64 { return 1 / math.Sqrt(x) }, func(x float64) float64 { return -0.5 / (x * math.Sqrt(x)) }},
	FnInv:      {func(x float64) float64 { return 1 / x }, func(x float64) float64 { return -1 / (x * x) }},
	FnSquare:   {func(x float64) float64 { return x * x }, func(x float64) float64 { return 2 * x }},
	FnCube:     {func(x float64) float64 { return x * x * x }, func(x float64) float64 { return 3 * x * x }},
	FnNeg:      {func(x float64) float64 { return -x }, func(float64) float64 { return -1 }},
	FnAbs:      {math.Abs, signOf},
	FnSign:     step64(signOf),
	FnCeil:     step64(math.Ceil),
	FnFloor:    step64(math.Floor),
	FnSin:      {math.Sin, math.Cos},
	FnCos:      {math.Cos, func(x float64) float64 { return -math.Sin(x) }},
}
