package kern

import (
	"math"
	"math/rand/v2"
	"testing"
)

// doubleUlps bounds the difference to package math in units in the last place of float64:
// both have errors of about one, and three are claimed.
const doubleUlps = 4

// ulps64 is the distance of got from want in units in the last place of want.
func ulps64(got, want float64) float64 {
	if got == want || got != got && want != want {
		return 0
	}
	_, e := math.Frexp(want)
	return math.Abs(got-want) / math.Ldexp(1, max(e-53, -1074))
}

func TestDouble(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 200000 {
		x := r.NormFloat64() * math.Exp(r.NormFloat64()*2)
		if e := ulps64(ExpOf(x), math.Exp(x)); e > doubleUlps {
			t.Fatalf("ExpOf(%v) = %v, want %v: off by %v", x, ExpOf(x), math.Exp(x), e)
		}
		for _, v := range []float64{math.Abs(x), 1 + x*1e-3, math.Exp(x * 10)} {
			if v < 0x1p-1022 {
				continue // package math's assembly is wrong below
			}
			if e := ulps64(LogOf(v), math.Log(v)); e > doubleUlps {
				t.Fatalf("LogOf(%v) = %v, want %v: off by %v", v, LogOf(v), math.Log(v), e)
			}
		}
		if got, want := CosOf(x), math.Cos(x); math.Abs(got-want) > 0x1p-50*(1+math.Abs(x)) {
			t.Fatalf("CosOf(%v) = %v, want %v", x, got, want)
		}
		a, b := math.Abs(x)+0.01, r.NormFloat64()*5
		got, want := PowOf(a, b), math.Pow(a, b)
		if e := ulps64(got, want); e > doubleUlps+4*math.Abs(b*math.Log(a))+math.Abs(b) { // package math multiplies |b| times
			t.Fatalf("PowOf(%v, %v) = %v, want %v: off by %v", a, b, got, want, e)
		}
	}
}

// TestDoubleSpecial: the ends are those of package math, which has IEEE 754's.
func TestDoubleSpecial(t *testing.T) {
	inf, nan, zero := math.Inf(1), math.NaN(), math.Copysign(0, -1)
	ends := []float64{0, zero, 1, -1, 2, -2, 3, -3, 0.5, -0.5, 1e308, 5e-324, -5e-324, 1e-310, 710, -745, -800, 1000, inf, -inf, nan, 101, -101}
	same := func(got, want float64) bool {
		return got == want && math.Signbit(got) == math.Signbit(want) || got != got && want != want || ulps64(got, want) < 800
	}
	for _, x := range ends {
		if got, want := ExpOf(x), math.Exp(x); !same(got, want) {
			t.Errorf("ExpOf(%v) = %v, want %v", x, got, want)
		}
		want := math.Log(x)
		if x > 0 && x < 0x1p-1022 { // package math's assembly knows no denormal numbers
			want = math.Log(x*0x1p60) - 60*math.Ln2
		}
		if got := LogOf(x); !same(got, want) {
			t.Errorf("LogOf(%v) = %v, want %v", x, got, want)
		}
		for _, y := range ends {
			if got, want := PowOf(x, y), math.Pow(x, y); !same(got, want) {
				t.Errorf("PowOf(%v, %v) = %v, want %v", x, y, got, want)
			}
		}
	}
	if c := CosOf(0); c != 1 {
		t.Errorf("CosOf(0) = %v", c)
	}
	if got := Log10Of(1000); math.Abs(got-3) > 1e-15 {
		t.Errorf("Log10Of(1000) = %v", got)
	}
}

// TestDoubleBits: a few results to the bit, for comparison with other processors.
func TestDoubleBits(t *testing.T) {
	sum := uint64(0)
	add := func(v float64) { sum = sum*0x9e3779b97f4a7c15 + math.Float64bits(v) }
	for i := range 1000 {
		x := float64(i-500) * 0.0371
		add(ExpOf(x))
		add(LogOf(math.Abs(x) + 1e-3))
		add(PowOf(math.Abs(x)+0.1, 0.77))
		add(CosOf(x))
	}
	const want = 0x381cff0af423e5ca
	if sum != want {
		t.Errorf("sum %#x, want %#x", sum, uint64(want))
	}
}
