package nn

import (
	"maps"
	"math"
	"slices"

	"github.com/goqat/goqat/internal/kern"
	"github.com/goqat/goqat/internal/par"
)

// Unary is an elementwise function of one input.
type Unary struct {
	// Fn is relu, clip (to [Min, Max]), leaky_relu (slope Alpha for x < 0), elu (Alpha),
	// selu, sigmoid, hard_sigmoid (Alpha·x + Beta limited to [0, 1]), silu, hard_swish, gelu,
	// gelu_tanh, tanh, softplus, exp, expm1, log, log2, log1p, erf, neg, abs, sign, ceil,
	// floor, sin, cos, square, cube, sqrt, inv or inv_sqrt: see [kern.Fn].
	Fn    string  `json:"fn"`
	Alpha float64 `json:"alpha,omitempty"`
	Beta  float64 `json:"beta,omitempty"`
	Min   float64 `json:"min,omitempty"`
	Max   float64 `json:"max,omitempty"`
}

func (u Unary) Kind() string { return u.Fn }

// seluAlpha and seluScale are the settings of selu (Klambauer et al. 2017).
const (
	seluAlpha = 1.6732632423543772848170429916717
	seluScale = 1.0507009873554804934193349852946
)

// unaryFns lists the functions by name: what package kern computes for them.
var unaryFns = map[string]func(o Unary) kern.Func{
	"relu":         func(Unary) kern.Func { return kern.Func{Fn: kern.FnClip, B: math.Inf(1)} },
	"clip":         func(o Unary) kern.Func { return kern.Func{Fn: kern.FnClip, A: o.Min, B: o.Max} },
	"leaky_relu":   func(o Unary) kern.Func { return kern.Func{Fn: kern.FnLeaky, A: o.Alpha} },
	"elu":          func(o Unary) kern.Func { return kern.Func{Fn: kern.FnELU, A: o.Alpha, B: 1} },
	"selu":         func(Unary) kern.Func { return kern.Func{Fn: kern.FnELU, A: seluAlpha, B: seluScale} },
	"hard_sigmoid": func(o Unary) kern.Func { return kern.Func{Fn: kern.FnHardSigmoid, A: o.Alpha, B: o.Beta} },
	"hard_swish":   plainFn(kern.FnHardSwish),
	"silu":         plainFn(kern.FnSiLU),
	"gelu":         plainFn(kern.FnGELU),
	"gelu_tanh":    plainFn(kern.FnGELUTanh),
	"sigmoid":      plainFn(kern.FnSigmoid),
	"tanh":         plainFn(kern.FnTanh),
	"softplus":     plainFn(kern.FnSoftplus),
	"erf":          plainFn(kern.FnErf),
	"exp":          plainFn(kern.FnExp),
	"expm1":        plainFn(kern.FnExpm1),
	"log":          plainFn(kern.FnLog),
	"log2":         plainFn(kern.FnLog2),
	"log1p":        plainFn(kern.FnLog1p),
	"neg":          plainFn(kern.FnNeg),
	"abs":          plainFn(kern.FnAbs),
	"sign":         plainFn(kern.FnSign),
	"ceil":         plainFn(kern.FnCeil),
	"floor":        plainFn(kern.FnFloor),
	"sin":          plainFn(kern.FnSin),
	"cos":          plainFn(kern.FnCos),
	"square":       plainFn(kern.FnSquare),
	"cube":         plainFn(kern.FnCube),
	"sqrt":         plainFn(kern.FnSqrt),
	"inv":          plainFn(kern.FnInv),
	"inv_sqrt":     plainFn(kern.FnInvSqrt),
}

func plainFn(fn kern.Fn) func(Unary) kern.Func {
	return func(Unary) kern.Func { return kern.Func{Fn: fn} }
}

// UnaryNames returns the names of all functions of a [Unary], sorted.
func UnaryNames() []string { return slices.Sorted(maps.Keys(unaryFns)) }

// Func returns what package kern computes for o. An unknown function is the identity;
// [OutShape] refuses it.
func (o Unary) Func() kern.Func {
	fn, ok := unaryFns[o.Fn]
	if !ok {
		return kern.Func{Fn: kern.FnIdentity}
	}
	return fn(o)
}

// unaryGrain is the number of elements that are worth a goroutine: some ten microseconds.
const unaryGrain = elementGrain / 2

func unaryForward[F Float](o Unary, y, x []F) {
	f := o.Func()
	if len(x) <= unaryGrain {
		kern.Eval(f, y, x)
		return
	}
	par.For(len(x), unaryGrain, func(lo, hi int) { kern.Eval(f, y[lo:hi], x[lo:hi]) })
}

// unaryBackward needs no output: every gradient is a function of x and dy.
func unaryBackward[F Float](o Unary, dx, x, _, dy []F) {
	f := o.Func()
	if len(x) <= unaryGrain {
		kern.EvalGrad(f, dx, x, dy)
		return
	}
	par.For(len(x), unaryGrain, func(lo, hi int) { kern.EvalGrad(f, dx[lo:hi], x[lo:hi], dy[lo:hi]) })
}

func checkUnary(o Unary) error {
	if _, ok := unaryFns[o.Fn]; !ok {
		return settingsErr(o, "unknown function %q", o.Fn)
	}
	for _, v := range []float64{o.Alpha, o.Beta, o.Min, o.Max} {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return settingsErr(o, "alpha %v, beta %v, min %v and max %v must be finite: leave a side of a clip open with ±math.MaxFloat32", o.Alpha, o.Beta, o.Min, o.Max)
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
	act := Traits{Elementwise: true, Quantized: true, Activation: true, IgnoresOutput: true}
	plain := Traits{Elementwise: true, IgnoresOutput: true}
	switch t := &act; o.Fn {
	case "relu":
		t.Clips, t.Limits = true, Interval{0, math.Inf(1)}
		t.NonNegative, t.Homogeneous = true, true
		return *t
	case "clip":
		t.Clips, t.Limits = true, Interval{o.Min, o.Max}
		t.NonNegative = o.Min >= 0
		return *t
	case "leaky_relu":
		t.Homogeneous = true
		return *t
	case "silu", "gelu", "gelu_tanh", "hard_swish", "elu", "selu":
		return *t
	case "sigmoid":
		t.NonNegative, t.Fixed = true, Interval{0, 1}
		return *t
	case "tanh":
		t.Fixed = Interval{-1, 1}
		return *t
	case "softplus", "hard_sigmoid": // which reaches 1, unlike sigmoid
		t.NonNegative = true
		return *t
	case "exp", "abs", "square", "sqrt":
		plain.NonNegative = true
	case "log", "log2":
		plain.Logarithm = true
	}
	return plain
}
