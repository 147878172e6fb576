package nn

import (
	"math"

	"github.com/goqat/goqat/internal/kern"
	"github.com/goqat/goqat/internal/par"
)

// Unary is an elementwise function of one input.
type Unary struct {
	// Fn is relu, clip (to [Min, Max]), leaky_relu (slope Alpha for x < 0), sigmoid,
	// tanh, exp, log, log2, neg, abs, sign, ceil, floor, sin, cos, square, sqrt,
	// cube, inv, inv_sqrt, log1p, expm1, softplus or erf.
	Fn    string  `json:"fn"`
	Alpha float64 `json:"alpha,omitempty"`
	Min   float64 `json:"min,omitempty"`
	Max   float64 `json:"max,omitempty"`
}

func (u Unary) Kind() string { return u.Fn }

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

// limits returns the range of the activations that only limit values, and whether o
// is one.
func limits[F Float](o Unary) (lo, hi F, ok bool) {
	switch o.Fn {
	case "relu":
		return 0, F(math.Inf(1)), true
	case "clip":
		return F(o.Min), F(o.Max), true
	}
	return 0, 0, false
}

// unaryRun keeps NaN in every function.
func unaryRun[F Float](o Unary, y, x []F) {
	if lo, hi, ok := limits[F](o); ok {
		kern.Activate(y, x, lo, hi)
		return
	}
	if o.Fn == "leaky_relu" {
		kern.Leaky(y, x, F(o.Alpha))
		return
	}
	f := unaryFns[o.Fn].f
	y = y[:len(x)]
	for i, v := range x {
		y[i] = F(f(float64(v)))
	}
}

func unaryBackward[F Float](o Unary, dx, x, y, dy []F) {
	par.For(len(x), elementGrain, func(lo, hi int) {
		unaryGrad(o, dx[lo:hi], x[lo:hi], y[lo:hi], dy[lo:hi])
	})
}

func unaryGrad[F Float](o Unary, dx, x, y, dy []F) {
	if lo, hi, ok := limits[F](o); ok {
		kern.ActivateBackward(dx, x, dy, lo, hi)
		return
	}
	if o.Fn == "leaky_relu" {
		kern.LeakyBackward(dx, x, dy, F(o.Alpha))
		return
	}
	d := unaryFns[o.Fn].d
	dx, y, dy = dx[:len(x)], y[:len(x)], dy[:len(x)]
	for i, v := range x {
		dx[i] = F(float64(dy[i]) * d(float64(v), float64(y[i])))
	}
}

func checkUnary(o Unary) error {
	if _, ok := unaryFns[o.Fn]; !ok {
		return settingsErr(o, "unknown function %q", o.Fn)
	}
	for _, v := range []float64{o.Alpha, o.Min, o.Max} {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return settingsErr(o, "alpha %v, min %v and max %v must be finite: leave a side of a clip open with ±math.MaxFloat32", o.Alpha, o.Min, o.Max)
		}
	}
	if o.Fn == "clip" && o.Min > o.Max {
		return settingsErr(o, "min %v is above max %v", o.Min, o.Max)
	}
	return nil
}

func init() {
	var kinds []string
	for fn := range unaryFns {
		kinds = append(kinds, fn)
	}
	register(family[Unary]{
		kinds: kinds, inputs: [2]int{1, 1},
		check:  checkUnary,
		traits: unaryTraits,
		f32:    unaryPasses[float32](), f64: unaryPasses[float64](),
	})
}

func unaryPasses[F Float]() passes[Unary, F] {
	return passes[Unary, F]{
		forward: func(o Unary, out Tensor[F], in []Tensor[F]) error {
			unaryForward(o, out.Data, in[0].Data)
			return nil
		},
		backward: func(o Unary, grads, in []Tensor[F], out, dout Tensor[F]) error {
			unaryBackward(o, grads[0].Data, in[0].Data, out.Data, dout.Data)
			return nil
		},
	}
}

// unaryTraits says what each function is. What is not said of one is not known.
func unaryTraits(o Unary) Traits {
	act := Traits{Elementwise: true, Quantized: true, Activation: true}
	plain := Traits{Elementwise: true}
	switch t := &act; o.Fn {
	case "relu":
		t.Clips, t.Limits = true, Interval{0, math.Inf(1)}
		t.NonNegative, t.Homogeneous, t.IgnoresOutput = true, true, true
		return *t
	case "clip":
		t.Clips, t.Limits = true, Interval{o.Min, o.Max}
		t.NonNegative, t.IgnoresOutput = o.Min >= 0, true
		return *t
	case "leaky_relu":
		t.Homogeneous, t.IgnoresOutput = true, true
		return *t
	case "sigmoid":
		t.NonNegative, t.Fixed = true, Interval{0, 1}
		return *t
	case "tanh":
		t.Fixed = Interval{-1, 1}
		return *t
	case "softplus":
		t.NonNegative = true
		return *t
	case "exp", "abs", "square", "sqrt":
		plain.NonNegative = true
	}
	return plain
}
