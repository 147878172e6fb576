package kern

import (
	"math"
	"os"
	"strconv"
	"testing"

	"github.com/goqat/goqat/internal/par"
)

// fnCases are the functions with settings that their kernels must take.
var fnCases = []Func{
	{Fn: FnExp}, {Fn: FnExpm1}, {Fn: FnLog}, {Fn: FnLog2}, {Fn: FnLog1p}, {Fn: FnSigmoid}, {Fn: FnTanh}, {Fn: FnErf},
	{Fn: FnGELU}, {Fn: FnGELUTanh}, {Fn: FnSiLU}, {FnHardSigmoid, 0.2, 0.5}, {FnHardSigmoid, 1. / 6, 0.5}, {Fn: FnHardSwish},
	{Fn: FnSoftplus}, {FnELU, 1, 1}, {FnELU, 1.6732632423543772, 1.0507009873554805}, {Fn: FnSqrt}, {Fn: FnInvSqrt}, {Fn: FnInv},
	{Fn: FnPow, A: 0.75}, {Fn: FnPow, A: -0.5}, {Fn: FnPow, A: 4}, {Fn: FnPow, A: 5}, {Fn: FnPow, A: -3}, {Fn: FnPow, A: 0}, {Fn: FnPow, A: 1. / 3}, {Fn: FnPow, A: -12.5},
	{Fn: FnPow, A: 0.01}, {Fn: FnPow, A: 17}, {Fn: FnPow, A: 1.0005},
	{Fn: FnPow, A: 2}, {Fn: FnSquare}, {Fn: FnCube}, {Fn: FnNeg}, {Fn: FnAbs}, {Fn: FnSign}, {Fn: FnCeil}, {Fn: FnFloor},
	{Fn: FnSin}, {Fn: FnCos}, {FnClip, 0, math.Inf(1)}, {FnClip, -1, 6}, {Fn: FnLeaky, A: 0.1}, {Fn: FnIdentity},
}

// fnSingleUlps bounds the error of the functions that are computed in float32: half a unit for
// the sum or product at the end, half for the factor of exp, half for the polynomial, all of
// which count up to one and a half times as much in what comes of them, and less than half for
// the inner sums.
const fnSingleUlps = 2

// fnUlps bounds the error of a function and of its gradient in units in the last place. Half
// a unit is the rounding; the polynomials add 2^-27 at most, an eighth of a unit; a square
// root that is rounded first adds 0.71 to what is computed from it, 1/√x above all, where a
// result has the fewest digits.
func fnUlps(f Fn) (value, grad float64) {
	switch f {
	case FnSqrt:
		return 0.5, 1.5
	case FnInvSqrt, FnInv:
		return 1.5, 1.5
	case FnExp, FnExpm1, FnELU: // in float32
		return fnSingleUlps, fnSingleUlps
	case FnGELU, FnPow, FnSin, FnCos, FnErf, FnLog, FnLog2, FnLog1p: // in float32
		return fnSingleUlps, fnSingleUlps
	case FnSigmoid, FnTanh, FnSiLU, FnSoftplus, FnGELUTanh: // in float32 too
		return fnSingleUlps, fnSingleUlps
	case FnLeaky:
		return 1, 0.7 // the slope is rounded to float32
	}
	return 0.7, 0.7
}

// gradSlack is what the gradients with a zero of their own may be off besides, with
// dy = 1: the error of their summands, of which none is above 1/2 where they cancel. Half a
// unit of 1/2 is 2^-25 in float32, as GELU and SiLU compute; the others compute in float64 and keep
// the bound of one rounding of the small result.
func gradSlack(fn Fn) float64 {
	if fn == FnGELU || fn == FnGELUTanh || fn == FnSiLU {
		return 0x1p-25
	}
	return 0x1p-27
}

func hasZero(f Fn) bool { return f == FnGELU || f == FnGELUTanh || f == FnSiLU || f == FnHardSwish }

// ulpsOff is how far got is from want in units in the last place of want's float32.
func ulpsOff(got float32, want float64) float64 {
	switch {
	case want != want || got != got:
		if want != want && got != got {
			return 0
		}
		return math.Inf(1)
	case float32(want) == got: // also infinities
		return 0
	case got-got != 0:
		return math.Inf(1)
	}
	_, e := math.Frexp(want)
	return math.Abs(float64(got)-want) / math.Ldexp(1, max(e-24, -149))
}

// long says that the tests look at every float32.
var long = os.Getenv("GOQAT_LONG") != ""

// stepOfFloats is the number of float32 of which tests look at one: a dense sample or, if they
// are long, all of them. Portable code takes ten times as long, and has the bits of assembly.
func stepOfFloats() uint64 {
	switch {
	case !long:
		return 24001
	case cpuLevel() == LevelGeneric:
		return 61
	}
	return 1
}

// eachFloat calls fn in parallel for stretches of float32 in the order of their bits.
func eachFloat(fn func(x []float32)) {
	const block = 1 << 16
	step := stepOfFloats()
	count := 1<<32/step + 1
	par.For(int(count/block)+1, 1, func(lo, hi int) {
		x := make([]float32, 0, block)
		for b := lo; b < hi; b++ {
			x = x[:0]
			for i := uint64(b) * block; i < uint64(b+1)*block && i < count; i++ {
				x = append(x, math.Float32frombits(uint32(min(i*step, math.MaxUint32))))
			}
			fn(x)
		}
	})
}

// TestFnUlps compares with float64.
func TestFnUlps(t *testing.T) {
	done := map[Fn]bool{}
	for _, f := range fnCases {
		if long && (done[f.Fn] || f.Fn == FnIdentity || f.Fn > FnPow && f.Fn != FnSin && f.Fn != FnCos) {
			continue // a minute each: one of a kind, and none that is exact by its making
		}
		done[f.Fn] = true
		t.Run(f.name(), func(t *testing.T) {
			t.Parallel()
			value, grad := fnUlps(f.Fn)
			eachFloat(func(x []float32) {
				n := len(x)
				y, d, ones := make([]float32, n), make([]float32, n), make([]float32, n)
				y64, d64 := make([]float64, n), make([]float64, n)
				for i := range ones {
					ones[i] = 1
				}
				Eval(f, y, x)
				EvalGrad(f, d, x, ones)
				f64, grad64 := in64(f)
				reference(f64, y64, x, stepOfFloats() == 1)
				reference(grad64, d64, x, stepOfFloats() == 1)
				for i, v := range x {
					if float32(y64[i]) != y[i] {
						if e := ulpsOff(y[i], y64[i]); e > value && ulpsOff(y[i], f64(float64(v))) > value {
							t.Errorf("%v(%g) = %g, want %g: off by %.2f", f, v, y[i], y64[i], e)
							return
						}
					}
					if float32(d64[i]) != d[i] {
						want := d64[i]
						if ulpsOff(d[i], want) > grad {
							want = grad64(float64(v))
						}
						if e := ulpsOff(d[i], want); e > grad && !(hasZero(f.Fn) && math.Abs(float64(d[i])-want) <= gradSlack(f.Fn)) {
							t.Errorf("%v'(%g) = %g, want %g: off by %.2f", f, v, d[i], want, e)
							return
						}
					}
				}
			})
		})
	}
}

// in64 is a function and its derivative in float64.
func in64(f Func) (value, grad func(float64) float64) {
	x, y, one := make([]float64, 1), make([]float64, 1), []float64{1}
	if p := f.plain(); p.Fn < FnClip && !(p.Fn == FnPow && p.A == 0) && p.Fn != FnIdentity {
		do := fn64(p)
		return do.f, do.d
	}
	return func(v float64) float64 { x[0] = v; Eval(f, y, x); return y[0] },
		func(v float64) float64 { x[0] = v; EvalGrad(f, y, x, one); return y[0] }
}

// name tells the cases of one function apart.
func (f Func) name() string { return f.Fn.String() + " " + ftoa(f.A) + " " + ftoa(f.B) }

func ftoa(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }

// fnTurnUlps is what functions computed in float32 may turn by, in units in the last place. Where next
// numbers are far less than a unit of the result apart, one of two of its summands may fall by a unit
// while the other does not rise: SiLU around its least value, softplus around 0, powers where another entry
// of their tables begins. In the forms of GELU next to their least value there are two such factors.
func fnTurnUlps(fn Fn) float64 {
	switch fn {
	case FnGELU, FnGELUTanh:
		return 2
	case FnSiLU, FnSoftplus, FnPow:
		return 1
	}
	return 0
}

// TestFnMonotonic: where a function rises or falls, so do its float32.
func TestFnMonotonic(t *testing.T) {
	type stretch struct {
		f        Func
		from, to float64
		falls    bool
	}
	inf := math.Inf(1)
	for _, s := range []stretch{
		{Func{Fn: FnExp}, -inf, inf, false}, {Func{Fn: FnExpm1}, -inf, inf, false}, {Func{Fn: FnLog}, 0, inf, false},
		{Func{Fn: FnLog2}, 0, inf, false}, {Func{Fn: FnLog1p}, -1, inf, false}, {Func{Fn: FnSigmoid}, -inf, inf, false},
		{Func{Fn: FnTanh}, -inf, inf, false}, {Func{Fn: FnErf}, -inf, inf, false}, {Func{Fn: FnSoftplus}, -inf, inf, false},
		{Func{Fn: FnGELU}, -inf, -0.7518, true}, {Func{Fn: FnGELU}, -0.7517, inf, false},
		{Func{Fn: FnGELUTanh}, -inf, -0.7525, true}, {Func{Fn: FnGELUTanh}, -0.7524, inf, false},
		{Func{Fn: FnSiLU}, -inf, -1.2785, true}, {Func{Fn: FnSiLU}, -1.2784, inf, false},
		{Func{Fn: FnHardSwish}, -inf, -1.5, true}, {Func{Fn: FnHardSwish}, -1.5, inf, false},
		{Func{FnHardSigmoid, 0.2, 0.5}, -inf, inf, false}, {Func{FnELU, 1, 1}, -inf, inf, false},
		{Func{Fn: FnSqrt}, 0, inf, false}, {Func{Fn: FnInvSqrt}, 0, inf, true}, {Func{Fn: FnInv}, 0x1p-140, inf, true},
		{Func{Fn: FnPow, A: 0.75}, 0, inf, false}, {Func{Fn: FnPow, A: -3}, 0x1p-140, inf, true}, {Func{Fn: FnPow, A: 5}, -inf, inf, false},
		{Func{Fn: FnCube}, -inf, inf, false}, {Func{Fn: FnSquare}, 0, inf, false},
	} {
		t.Run(s.f.name(), func(t *testing.T) {
			t.Parallel()
			eachFloat(func(x []float32) { // x holds floats of one sign in most blocks
				y := make([]float32, len(x))
				Eval(s.f, y, x)
				for i := 1; i < len(x); i++ {
					a, b, ya, yb := float64(x[i-1]), float64(x[i]), y[i-1], y[i]
					if a > b { // negative ones fall with their bits
						a, b, ya, yb = b, a, yb, ya
					}
					if !(a >= s.from && b <= s.to) {
						continue
					}
					if s.falls {
						ya, yb = yb, ya
					}
					if !(ya <= yb || ulpsOff(ya, float64(yb)) <= fnTurnUlps(s.f.Fn)) {
						t.Errorf("%v: %g at %g and %g at %g", s.f, y[i-1], x[i-1], y[i], x[i])
						return
					}
				}
			})
		})
	}
}

// TestFnSpecial: the answers at the ends.
func TestFnSpecial(t *testing.T) {
	inf, nan, zero := float32(math.Inf(1)), float32(math.NaN()), float32(0)
	tests := []struct {
		f    Func
		x, y []float32
	}{
		{Func{Fn: FnExp}, []float32{inf, -inf, 89, -104, -103.9, 0}, []float32{inf, 0, inf, 0, 1e-45, 1}},
		{Func{Fn: FnExpm1}, []float32{inf, -inf, -zero, 1e-30}, []float32{inf, -1, -zero, 1e-30}},
		{Func{Fn: FnLog}, []float32{inf, 0, -zero, -1, -inf, 1}, []float32{inf, -inf, -inf, nan, nan, 0}},
		{Func{Fn: FnLog2}, []float32{8, 0x1p-149, 0x1p127, inf, 0, -zero, -1, -inf}, []float32{3, -149, 127, inf, -inf, -inf, nan, nan}},
		{Func{Fn: FnLog1p}, []float32{-1, -2, inf, 1e-40, 0, -inf, math.MaxFloat32}, []float32{-inf, nan, inf, 1e-40, 0, nan, 128 * math.Ln2}},
		{Func{Fn: FnSigmoid}, []float32{inf, -inf, 0, 200, -200}, []float32{1, 0, 0.5, 1, 0}},
		{Func{Fn: FnTanh}, []float32{inf, -inf, 20, -20, 1e-40}, []float32{1, -1, 1, -1, 1e-40}},
		{Func{Fn: FnErf}, []float32{inf, -inf, 4, -4}, []float32{1, -1, 1, -1}},
		{Func{Fn: FnGELU}, []float32{inf, -inf, 100, -100, 1e-40}, []float32{inf, 0, 100, 0, 5e-41}},
		{Func{Fn: FnGELUTanh}, []float32{inf, -inf, 100, -100}, []float32{inf, 0, 100, 0}},
		{Func{Fn: FnSiLU}, []float32{inf, -inf, 200, -200}, []float32{inf, 0, 200, 0}},
		{Func{Fn: FnHardSwish}, []float32{inf, -inf, 3, -3, 6}, []float32{inf, 0, 3, 0, 6}},
		{Func{Fn: FnSoftplus}, []float32{inf, -inf, 200, -200}, []float32{inf, 0, 200, 0}},
		{Func{FnELU, 2, 1}, []float32{inf, -inf, 3}, []float32{inf, -2, 3}},
		{Func{Fn: FnSqrt}, []float32{inf, 0, -1, 1e-45}, []float32{inf, 0, nan, float32(math.Sqrt(0x1p-149))}},
		{Func{Fn: FnInvSqrt}, []float32{inf, 0, -1}, []float32{0, inf, nan}},
		{Func{Fn: FnPow, A: 0.75}, []float32{inf, 0, -1, 1}, []float32{inf, 0, nan, 1}},
		{Func{Fn: FnPow, A: -3}, []float32{inf, 0, -2}, []float32{0, inf, -0.125}},
		{Func{Fn: FnPow, A: 4}, []float32{inf, 0, -2, -inf}, []float32{inf, 0, 16, inf}},
		{Func{Fn: FnPow, A: 5}, []float32{inf, 0, -2, -inf, 1, -1, 0x1p-30}, []float32{inf, 0, -32, -inf, 1, -1, 0}},
		{Func{Fn: FnPow, A: -0.5}, []float32{inf, 0, -zero, -4, 4, 0x1p-148}, []float32{0, inf, inf, nan, 0.5, 0x1p74}},
		{Func{Fn: FnPow, A: 20}, []float32{inf, 0, -2, -inf, 1, -1}, []float32{inf, 0, 0x1p20, inf, 1, 1}},
		{Func{Fn: FnSin}, []float32{0, 1e-40, -1e-40, inf, -inf, 1e30}, []float32{0, 1e-40, -1e-40, nan, nan, float32(math.Sin(float64(float32(1e30))))}},
		{Func{Fn: FnCos}, []float32{0, -zero, inf, math.MaxFloat32}, []float32{1, 1, nan, float32(math.Cos(math.MaxFloat32))}},
		{Func{Fn: FnPow}, []float32{inf, nan, 0}, []float32{1, 1, 1}},
	}
	for _, l := range []Level{LevelGeneric, LevelAVX2, LevelAVX512} {
		defer SetLevel(SetLevel(l))
		for _, tt := range tests {
			y, d := make([]float32, len(tt.x)), make([]float32, 3)
			Eval(tt.f, y, tt.x)
			for i := range y {
				if y[i] != tt.y[i] && !(y[i] != y[i] && tt.y[i] != tt.y[i]) {
					t.Errorf("%v: %v(%v) = %v, want %v", l, tt.f, tt.x[i], y[i], tt.y[i])
				}
			}
			if tt.f.Fn == FnPow && tt.f.A == 0 {
				continue
			}
			Eval(tt.f, d, []float32{nan, nan, nan})
			if d[0] == d[0] || d[2] == d[2] {
				t.Errorf("%v: %v of NaN is %v", l, tt.f, d)
			}
		}
	}
}

// TestFnGradientsAtEnds: the gradients of roots and inverses where the derivative is infinite, 0 or none.
func TestFnGradientsAtEnds(t *testing.T) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	minus := float32(math.Copysign(0, -1))
	x := []float32{0, 0, minus, minus, inf, -1, nan, 1e-45, 1e-30, 1e-30, 1e30, 1e38}
	dy := []float32{2, 0, -2, 0, 2, 1, 0, 1, 0, 1, 1, 1}
	for _, tt := range []struct {
		fn   Fn
		want []float32
	}{
		{FnSqrt, []float32{inf, 0, -inf, 0, 0, nan, nan, 0x1p73 * math.Sqrt2, 0, 5e14, 5e-16, 5e-20}},
		{FnInvSqrt, []float32{-inf, 0, inf, 0, 0, nan, nan, -inf, 0, -inf, 0, 0}},
		{FnInv, []float32{-inf, nan, inf, nan, 0, -1, nan, -inf, 0, -inf, 0, 0}},
	} {
		for _, l := range []Level{LevelGeneric, LevelAVX2, LevelAVX512} {
			old := SetLevel(l)
			got := make([]float32, len(x))
			EvalGrad(Func{Fn: tt.fn}, got, x, dy)
			SetLevel(old)
			for i, want := range tt.want {
				if e := ulpsOff(got[i], float64(want)); e > fnSingleUlps {
					t.Errorf("%v: gradient of %v at %v with %v is %v, want %v", l, tt.fn, x[i], dy[i], got[i], want)
				}
			}
		}
	}
}

// TestFnOdd: tanh and erf of -x are those of x, negated.
func TestFnOdd(t *testing.T) {
	eachFloat(func(x []float32) {
		minus, y, z := make([]float32, len(x)), make([]float32, len(x)), make([]float32, len(x))
		for i, v := range x {
			minus[i] = -v
		}
		for _, fn := range []Fn{FnTanh, FnErf} {
			Eval(Func{Fn: fn}, y, x)
			Eval(Func{Fn: fn}, z, minus)
			for i := range y {
				if y[i] != -z[i] && y[i] == y[i] {
					t.Errorf("%v(%g) = %g, of the negative %g", fn, x[i], y[i], z[i])
					return
				}
			}
		}
	})
}

// fnStep is the half-width of a difference quotient in float64, and fnTolerance what its
// error may be relative to the derivatives' size: the cubic term, 2^-26 times a third
// derivative of at most some 100 near the points.
const (
	fnStep      = 0x1p-13
	fnTolerance = 1e-5
)

// TestFnGradients compares derivatives with difference quotients.
func TestFnGradients(t *testing.T) {
	points := []float64{-5.3, -2.1, -1.2, -0.4, 0.3, 0.9, 1.7, 2.6, 4.4}
	for _, f := range fnCases {
		for _, p := range points {
			switch f.Fn {
			case FnLog, FnLog2, FnSqrt, FnInvSqrt:
				p = math.Abs(p)
			case FnLog1p:
				p = math.Abs(p) - 0.2
			case FnPow:
				p = math.Abs(p) + 0.1
			}
			y, d, d32 := make([]float64, 2), make([]float64, 1), make([]float32, 1)
			Eval(f, y, []float64{p - fnStep, p + fnStep})
			want := (y[1] - y[0]) / (2 * fnStep)
			EvalGrad(f, d, []float64{p}, []float64{3})
			EvalGrad(f, d32, []float32{float32(p)}, []float32{3})
			for _, got := range []float64{d[0] / 3, float64(d32[0]) / 3} {
				if math.Abs(got-want) > fnTolerance*max(1, math.Abs(want)) {
					t.Errorf("%v'(%g) = %g, the difference quotient is %g", f, p, got, want)
				}
			}
		}
	}
}

// TestExpSum: the order of the sum is that of the lanes, and nil changes nothing.
func TestExpSum(t *testing.T) {
	for _, n := range []int{0, 1, 15, 16, 17, 100, 1000, elemChunk + 5} {
		x, e, want := make([]float32, n), make([]float32, n), make([]float32, n)
		for i := range x {
			x[i] = float32(math.Sin(float64(i))) * 20
		}
		var first float64
		for i, l := range []Level{LevelGeneric, LevelAVX2, LevelAVX512} {
			old := SetLevel(l)
			sum := ExpSum(e, x, 20)
			if again := ExpSum(nil, x, 20); sum != again {
				t.Errorf("%d elements at %v: sum %v, without results %v", n, l, sum, again)
			}
			SetLevel(old)
			if i == 0 {
				first = sum
				copy(want, e)
			}
			if sum != first {
				t.Errorf("%d elements at %v: sum %v, want %v", n, l, sum, first)
			}
			var plain float64
			for i, v := range e {
				plain += float64(v)
				if v != want[i] {
					t.Errorf("%d elements at %v: exponential %d is %v, want %v", n, l, i, v, want[i])
				}
			}
			if math.Abs(plain-sum) > 1e-6*sum {
				t.Errorf("%d elements at %v: sum %v, of the rounded ones %v", n, l, sum, plain)
			}
		}
	}
}
