package kern

// Which elementary functions there are, and how a slice is run through one.

//go:generate go -C _gen run . -set fn -out ../fn_amd64.s -stubs ../fn_stubs_amd64.go

import (
	"fmt"
	"math"
)

// Fn names an elementary function of one number.
type Fn uint8

// The functions. Of float32 they are computed with fused multiply-adds, with the same bits on
// every level and processor: in float32, where the error is below 2 units in the last place (roots
// and inverses: 1/2, of 1/√x 1.5), or, cheap functions and powers with |A| below 2^-10 or above 16, in
// float64, rounded once. NaN stays NaN and results beyond float32 are ±Inf or, below, denormal or 0.
// Where the limits at ±Inf exist they are the values there: SiLU(-Inf) is -0, not NaN.
//
// Gradients are dy·f'(x), computed from x and dy alone. Where the derivative has a zero
// besides those of f (GELU, SiLU, HardSwish) the error counts in units of its summands. A
// derivative that is beyond float32 is ±Inf whatever dy; of √x and 1/√x, a dy of 0 stays 0 there.
const (
	FnIdentity    Fn = iota
	FnExp            // e^x
	FnExpm1          // e^x - 1
	FnLog            // natural; NaN below 0, -Inf at 0
	FnLog2           // to base 2, exact at powers of two
	FnLog1p          // log(1+x)
	FnSigmoid        // 1/(1+e^-x)
	FnTanh           // odd to the bit
	FnErf            // the error function, odd to the bit
	FnGELU           // x·Φ(x), Φ the normal distribution (Hendrycks and Gimpel 2016)
	FnGELUTanh       // x·sigmoid(2·√(2/π)·(x + 0.044715·x³)), of the same paper
	FnSiLU           // x·sigmoid(x) (Elfwing et al. 2017)
	FnHardSigmoid    // A·x + B limited to [0, 1]
	FnHardSwish      // x times x+3 limited to [0, 6], over 6 (Howard et al. 2019)
	FnSoftplus       // log(1+e^x)
	FnELU            // B·x where x > 0, else B·A·(e^x - 1): ELU (Clevert et al. 2015) with B = 1, SELU
	FnSqrt           // rounded exactly
	FnInvSqrt        // 1/√x, of the root rounded to float32
	FnInv            // 1/x, rounded exactly
	FnPow            // x to the power A, as IEEE 754's pow: NaN for x < 0 unless A is whole
	FnSquare         // x²
	FnCube           // x³
	FnNeg            // -x
	FnAbs            // the derivative at 0 is 0
	FnSign           // -1, 0 or 1
	FnCeil           //
	FnFloor          //
	FnSin            // of any finite x, up to 2^17 in vectors
	FnCos            //
	FnClip           // limited to [A, B]; the derivative is 1 strictly inside. ReLU is [0, +Inf]
	FnLeaky          // x, times A where x < 0; the derivative at 0 is A
	fnPowNear        // FnPow in float32, see powNear
	fnCount
)

// fnNames are the names in the order of the constants.
var fnNames = [fnCount]string{"identity", "exp", "expm1", "log", "log2", "log1p", "sigmoid", "tanh", "erf", "gelu",
	"gelu_tanh", "silu", "hard_sigmoid", "hard_swish", "softplus", "elu", "sqrt", "inv_sqrt", "inv", "pow", "square",
	"cube", "neg", "abs", "sign", "ceil", "floor", "sin", "cos", "clip", "leaky_relu", "pow"}

// String returns the name.
func (f Fn) String() string {
	if f >= fnCount {
		return fmt.Sprintf("Fn(%d)", uint8(f))
	}
	return fnNames[f]
}

// Func is an elementary function with its settings A and B, which only those functions
// have whose comments name them.
type Func struct {
	Fn   Fn
	A, B float64
}

// plain returns an equal function that is cheaper or exact: powers have names.
func (f Func) plain() Func {
	if f.Fn != FnPow {
		return f
	}
	switch f.A {
	case 1:
		return Func{Fn: FnIdentity}
	case 2:
		return Func{Fn: FnSquare}
	case 3:
		return Func{Fn: FnCube}
	case -1:
		return Func{Fn: FnInv}
	}
	return f
}

// Eval writes f(x) element by element. dst and x have the same length and may be one
// slice. It runs in the caller's goroutine. float64 uses package math and is meant for
// checks of gradients: its bits may depend on the processor.
func Eval[F Float](f Func, dst, x []F) {
	f, dst = f.plain(), dst[:len(x)]
	switch f.Fn {
	case FnClip:
		Activate(dst, x, F(f.A), F(f.B))
		return
	case FnLeaky:
		Leaky(dst, x, F(f.A))
		return
	case FnIdentity:
		copy(dst, x)
		return
	case FnPow:
		if f.A == 0 { // also of NaN
			for i := range dst {
				dst[i] = 1
			}
			return
		}
	}
	if x32, ok := any(x).([]float32); ok {
		eval32(f, any(dst).([]float32), x32)
		return
	}
	do := fn64(f)
	for i, v := range x {
		dst[i] = F(do.f(float64(v)))
	}
}

// EvalGrad writes dy·f'(x) element by element. All have the same length; dx may be x or dy.
// It runs in the caller's goroutine.
func EvalGrad[F Float](f Func, dx, x, dy []F) {
	f, dx, dy = f.plain(), dx[:len(x)], dy[:len(x)]
	switch f.Fn {
	case FnClip:
		ActivateBackward(dx, x, dy, F(f.A), F(f.B))
		return
	case FnLeaky:
		LeakyBackward(dx, x, dy, F(f.A))
		return
	case FnIdentity:
		copy(dx, dy)
		return
	case FnPow:
		if f.A == 0 {
			clear(dx)
			return
		}
	}
	if x32, ok := any(x).([]float32); ok {
		grad32(f, any(dx).([]float32), x32, any(dy).([]float32))
		return
	}
	do := fn64(f)
	for i, v := range x {
		dx[i] = F(float64(dy[i]) * do.d(float64(v)))
	}
}

func eval32(f Func, dst, x []float32) {
	f.Fn = f.form(false)
	p := f.settings(false)
	do := fnList[f.Fn].f
	stretches(f.Fn, x, func(lo, hi int, vectors bool) {
		if vectors {
			lo += evalFast(f.Fn, dst[lo:hi], x[lo:hi], &p)
		}
		for i := lo; i < hi; i++ {
			dst[i] = float32(do(float64(x[i]), &p))
		}
	})
}

func grad32(f Func, dx, x, dy []float32) {
	f.Fn = f.form(true)
	p := f.settings(true)
	do := fnList[f.Fn].d
	stretches(f.Fn, x, func(lo, hi int, vectors bool) {
		if vectors {
			lo += gradFast(f.Fn, dx[lo:hi], x[lo:hi], dy[lo:hi], &p)
		}
		for i := lo; i < hi; i++ {
			dx[i] = float32(do(float64(x[i]), float64(dy[i]), &p))
		}
	})
}

// power is the exponent of a power or of its derivative, and the factor before it.
func (f Func) power(grad bool) (a, factor float64) {
	if grad {
		return f.A - 1, f.A
	}
	return f.A, 1
}

// form is the form of the function in which float32 are computed.
func (f Func) form(grad bool) Fn {
	if a, factor := f.power(grad); f.Fn == FnPow && powNear(a) && powNear(factor) {
		return fnPowNear
	}
	return f.Fn
}

// fnSettings are what portable code and assembly get.
type fnSettings [4]float64

// settings prepares those of f, or of its gradient.
func (f Func) settings(grad bool) fnSettings {
	switch f.Fn {
	case FnHardSigmoid:
		return fnSettings{f.A, f.B}
	case FnELU:
		return eluSettings(f.A*f.B, f.B)
	case FnPow:
		a, factor := f.power(grad)
		return fnSettings{a, powSign(a), powInvalid(a), factor}
	case fnPowNear:
		return powSettings(f.power(grad))
	}
	return fnSettings{}
}

// powSign is the sign's bit where x^a of x < 0 is negative: where a is odd.
func powSign(a float64) float64 {
	if math.Abs(math.Mod(a, 2)) == 1 {
		return math.Float64frombits(fnSign)
	}
	return 0
}

// powInvalid is all bits where x^a of x < 0 is no number: where a is not whole.
func powInvalid(a float64) float64 {
	if a != math.Trunc(a) {
		return math.Float64frombits(math.MaxUint64)
	}
	return 0
}
