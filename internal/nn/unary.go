package nn

import (
	"math"

	"github.com/goqat/goqat/internal/par"
)

// unaryFn is a function and its derivative, both in float64. The derivative
// gets the input x and the output y.
type unaryFn struct {
	f func(x float64) float64
	d func(x, y float64) float64
}

func flat(_, _ float64) float64 { return 0 }

// unaryFns lists the functions. relu, clip and leaky_relu have settings or
// loops of their own.
var unaryFns = map[string]unaryFn{
	"relu":       {},
	"clip":       {},
	"leaky_relu": {},
	"sigmoid":    {sigmoid, func(x, _ float64) float64 { return float64(sigmoid(x) * sigmoid(-x)) }},
	"tanh":       {math.Tanh, func(_, y float64) float64 { return 1 - float64(y*y) }},
	"exp":        {math.Exp, func(_, y float64) float64 { return y }},
	"log":        {math.Log, func(x, _ float64) float64 { return 1 / x }},
	"log2":       {math.Log2, func(x, _ float64) float64 { return 1 / float64(x*math.Ln2) }},
	"neg":        {func(x float64) float64 { return -x }, func(_, _ float64) float64 { return -1 }},
	"abs":        {math.Abs, func(x, _ float64) float64 { return sign(x) }},
	"sign":       {sign, flat},
	"ceil":       {math.Ceil, flat},
	"floor":      {math.Floor, flat},
	"sin":        {math.Sin, func(x, _ float64) float64 { return math.Cos(x) }},
	"cos":        {math.Cos, func(x, _ float64) float64 { return -math.Sin(x) }},
	"square":     {func(x float64) float64 { return x * x }, func(x, _ float64) float64 { return 2 * x }},
	"sqrt":       {math.Sqrt, func(_, y float64) float64 { return 0.5 / y }},
	"cube":       {func(x float64) float64 { return x * x * x }, func(x, _ float64) float64 { return 3 * x * x }},
	"inv":        {func(x float64) float64 { return 1 / x }, func(x, _ float64) float64 { return -1 / float64(x*x) }},
	"inv_sqrt":   {func(x float64) float64 { return 1 / math.Sqrt(x) }, func(x, _ float64) float64 { return -0.5 / float64(x*math.Sqrt(x)) }},
	"log1p":      {math.Log1p, func(x, _ float64) float64 { return 1 / (1 + x) }},
	"expm1":      {math.Expm1, func(_, y float64) float64 { return y + 1 }},
	"softplus":   {softplus, func(x, _ float64) float64 { return sigmoid(x) }},
	"erf":        {math.Erf, func(x, _ float64) float64 { return 2 / math.Sqrt(math.Pi) * math.Exp(-x*x) }},
}

// sigmoid is 1/(1+exp(-x)), written so that exp never overflows.
func sigmoid(x float64) float64 {
	if x >= 0 {
		return 1 / (1 + math.Exp(-x))
	}
	e := math.Exp(x)
	return e / (1 + e)
}

// softplus is log(1+exp(x)) without overflow.
func softplus(x float64) float64 {
	if x > 0 {
		return x + math.Log1p(math.Exp(-x))
	}
	return math.Log1p(math.Exp(x))
}

// sign is -1, 0 or 1; NaN stays NaN.
func sign(x float64) float64 {
	switch {
	case x > 0:
		return 1
	case x < 0:
		return -1
	}
	return x
}

func unaryForward[F Float](o Unary, y, x []F) {
	par.For(len(x), elementGrain, func(lo, hi int) { unaryRun(o, y[lo:hi], x[lo:hi]) })
}

// unaryRun keeps NaN in every function.
func unaryRun[F Float](o Unary, y, x []F) {
	y = y[:len(x)]
	switch o.Fn {
	case "relu":
		for i, v := range x {
			y[i] = max(v, 0)
		}
	case "clip":
		lo, hi := F(o.Min), F(o.Max)
		for i, v := range x {
			y[i] = min(max(v, lo), hi)
		}
	case "leaky_relu":
		alpha := F(o.Alpha)
		for i, v := range x {
			if v < 0 {
				v *= alpha
			}
			y[i] = v
		}
	default:
		f := unaryFns[o.Fn].f
		for i, v := range x {
			y[i] = F(f(float64(v)))
		}
	}
}

func unaryBackward[F Float](o Unary, dx, x, y, dy []F) {
	par.For(len(x), elementGrain, func(lo, hi int) {
		unaryGrad(o, dx[lo:hi], x[lo:hi], y[lo:hi], dy[lo:hi])
	})
}

// unaryGrad picks from a table of two where a branch would be a coin toss: the
// signs of activations are not predictable, and a product with 0 would turn an
// infinite gradient into NaN.
func unaryGrad[F Float](o Unary, dx, x, y, dy []F) {
	dx, y, dy = dx[:len(x)], y[:len(x)], dy[:len(x)]
	switch o.Fn {
	case "relu":
		for i, v := range x {
			pass := 0
			if v > 0 {
				pass = 1
			}
			dx[i] = [2]F{0, dy[i]}[pass]
		}
	case "clip":
		lo, hi := F(o.Min), F(o.Max)
		for i, v := range x {
			above, below := 0, 0
			if v > lo {
				above = 1
			}
			if v < hi {
				below = 1
			}
			dx[i] = [2]F{0, dy[i]}[above&below]
		}
	case "leaky_relu":
		alpha := F(o.Alpha)
		for i, v := range x {
			if v > 0 {
				dx[i] = dy[i]
			} else {
				dx[i] = alpha * dy[i]
			}
		}
	default:
		d := unaryFns[o.Fn].d
		for i, v := range x {
			dx[i] = F(float64(dy[i]) * d(float64(v), float64(y[i])))
		}
	}
}
