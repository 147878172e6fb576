package main

import (
	"fmt"
	"math"

	"github.com/goqat/goqat/internal/kern"
)

// functions are the elementary functions and their gradients on numbers that stay in the
// first cache. Each element counts once.
func functions() []kernel {
	const n, calls = 2048, 32
	x, d := floats(n), floats(n)
	for i := range x {
		x[i] = 4*x[i] + 4.5 // 0.5 to 8.5: in the domain of all of them
	}
	rate := func(name string, call func(y []float32)) kernel {
		return kernel{name, noPeak, func() float64 {
			return everywhere(func() float64 {
				y := make([]float32, n)
				for range calls {
					call(y)
				}
				return n * calls
			})
		}}
	}
	all := []kernel{rate("copy", func(y []float32) { copy(y, x) })}
	for _, f := range []kern.Func{
		{Fn: kern.FnExp}, {Fn: kern.FnExpm1}, {Fn: kern.FnLog}, {Fn: kern.FnLog2}, {Fn: kern.FnLog1p}, {Fn: kern.FnSigmoid},
		{Fn: kern.FnTanh}, {Fn: kern.FnErf}, {Fn: kern.FnGELU}, {Fn: kern.FnGELUTanh}, {Fn: kern.FnSiLU},
		{Fn: kern.FnHardSigmoid, A: 0.2, B: 0.5}, {Fn: kern.FnHardSwish}, {Fn: kern.FnSoftplus}, {Fn: kern.FnELU, A: 1, B: 1},
		{Fn: kern.FnSqrt}, {Fn: kern.FnInvSqrt}, {Fn: kern.FnInv}, {Fn: kern.FnPow, A: 0.75}, {Fn: kern.FnSquare}, {Fn: kern.FnCube},
		{Fn: kern.FnSin}, {Fn: kern.FnClip, B: math.Inf(1)}, {Fn: kern.FnLeaky, A: 0.1},
	} {
		all = append(all,
			rate(f.Fn.String(), func(y []float32) { kern.Eval(f, y, x) }),
			rate(fmt.Sprintf("gradient of %v", f.Fn), func(y []float32) { kern.EvalGrad(f, y, x, d) }))
	}
	return append(all, rate("exponentials of a softmax and their sum", func(y []float32) { kern.ExpSum(y, x, 9) }))
}
