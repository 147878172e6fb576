package kern

import (
	"math"
	"testing"
)

// TestFnTurns: next to multiples of π/2, where most digits of the argument cancel, and on both sides
// of the end of float32, the errors stay what they are elsewhere.
func TestFnTurns(t *testing.T) {
	var x []float32
	for n := 1.0; n*math.Pi/2 < float64(singleTurnMax); n += 3 {
		v := float32(n * math.Pi / 2)
		x = append(x, math.Nextafter32(v, 0), v, -math.Nextafter32(v, math.MaxFloat32))
	}
	x = append(x, singleTurnMax, -singleTurnMax, math.Nextafter32(singleTurnMax, math.MaxFloat32))
	y := make([]float32, len(x))
	for _, fn := range []Fn{FnSin, FnCos} {
		Eval(Func{Fn: fn}, y, x)
		want := fn64(Func{Fn: fn}).f
		for i, v := range x {
			if e := ulpsOff(y[i], want(float64(v))); e > fnSingleUlps {
				t.Errorf("%v(%v) = %v, want %v: off by %.2f", fn, v, y[i], want(float64(v)), e)
			}
		}
	}
}

// TestFnTurnStretch: a result does not depend on the elements beside it, of which one may be too
// large for float32.
func TestFnTurnStretch(t *testing.T) {
	x, y := make([]float32, 2*turnStretch+5), make([]float32, 1)
	for i := range x {
		x[i] = float32(i)*0.37 - 200
	}
	x[3], x[2*turnStretch], x[2*turnStretch+1] = 1e30, float32(math.Inf(1)), float32(math.NaN())
	for _, l := range []Level{LevelGeneric, LevelAVX2, LevelAVX512} {
		defer SetLevel(SetLevel(l))
		all, grad := make([]float32, len(x)), make([]float32, len(x))
		Eval(Func{Fn: FnSin}, all, x)
		EvalGrad(Func{Fn: FnCos}, grad, x, x)
		for i, v := range x {
			Eval(Func{Fn: FnSin}, y, x[i:i+1])
			if y[0] != all[i] && (y[0] == y[0] || all[i] == all[i]) {
				t.Errorf("%v: sin(%v) = %v, alone %v", l, v, all[i], y[0])
			}
			EvalGrad(Func{Fn: FnCos}, y, x[i:i+1], x[i:i+1])
			if y[0] != grad[i] && (y[0] == y[0] || grad[i] == grad[i]) {
				t.Errorf("%v: gradient of cos(%v) = %v, alone %v", l, v, grad[i], y[0])
			}
		}
	}
}
