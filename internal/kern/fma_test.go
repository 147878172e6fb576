package kern

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
)

// fmaExact computes a·b+c without rounding and rounds it once. Infinities, NaN and
// zeros follow the rules of float64, which has no rounding to do for them.
func fmaExact(a, b, c float32) float32 {
	x, y := float64(a)*float64(b), float64(c)
	if s := x + y; s == 0 && (x == 0 || x == -y) || math.IsInf(s, 0) || s != s {
		return float32(s)
	}
	// 600 digits hold any sum of float32 and products of two of them.
	s := new(big.Float).SetPrec(600).SetFloat64(x)
	s.Add(s, new(big.Float).SetFloat64(y))
	f, _ := s.Float32()
	return f
}

func wantFMA(t *testing.T, a, b, c float32) {
	t.Helper()
	if got, want := fma32(a, b, c), fmaExact(a, b, c); !same(got, want) {
		t.Fatalf("fma32(%g, %g, %g) = %g (%#x), want %g (%#x)", a, b, c, got, math.Float32bits(got), want, math.Float32bits(want))
	}
}

func TestFMACorners(t *testing.T) {
	for _, a := range extremes {
		for _, b := range extremes {
			for _, c := range extremes {
				wantFMA(t, math.Float32frombits(a), math.Float32frombits(b), math.Float32frombits(c))
			}
		}
	}
}

func TestFMARandom(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 300000 {
		wantFMA(t, math.Float32frombits(r.Uint32()), math.Float32frombits(r.Uint32()), math.Float32frombits(r.Uint32()))
		wantFMA(t, float32(r.NormFloat64()), float32(r.NormFloat64()), float32(r.NormFloat64()))
	}
}

// nearTie returns a·b and c whose sum lies so close to the middle of two float32
// that float64 takes it for the middle: the product is half of c's last digit
// times 1 - 2^-2p. All are scaled by 2^scale, down to the subnormal numbers.
func nearTie(r *rand.Rand, scale int) (a, b, c float32) {
	p := 15 + r.IntN(9)
	x := math.Ldexp(1, -p)
	sign := float64(1 - 2*r.IntN(2))
	a = float32(math.Ldexp(sign*(1+x), scale/2))
	b = float32(math.Ldexp(1-x, scale-scale/2))
	c = float32(math.Ldexp(float64(1<<24+2*r.IntN(1<<23)), scale))
	if r.IntN(2) == 0 {
		c = -c
	}
	return a, b, c
}

func TestFMATies(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	differ := 0 // where rounding twice would be wrong
	for i := range 400000 {
		a, b, c := nearTie(r, 100-i%251) // c from 2^124 to below 2^-126
		wantFMA(t, a, b, c)
		if s := float64(a)*float64(b) + float64(c); float32(s) != fma32(a, b, c) {
			differ++
		}
		wantFMA(t, 1, float32(math.Copysign(1, float64(a))), float32(1<<24+2*r.IntN(1<<23))) // exact ties
	}
	if differ < 100000 {
		t.Errorf("only %d cases need the slow path", differ)
	}
}

// TestFMASubnormal: results that float32 rounds at a higher place than usual.
func TestFMASubnormal(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	differ := 0
	for range 400000 {
		c := math.Float32frombits(uint32(r.IntN(1<<24)) | r.Uint32()&(1<<31))
		p := 15 + r.IntN(9)
		a := float32(math.Ldexp(1+math.Ldexp(1, -p), -75))
		b := float32(math.Ldexp(float64(1+2*r.IntN(3))*(1-math.Ldexp(1, -p)), -75)) // near odd halves of 2^-149
		wantFMA(t, a, b, c)
		if s := float64(a)*float64(b) + float64(c); float32(s) != fma32(a, b, c) {
			differ++
		}
	}
	if differ < 1000 {
		t.Errorf("only %d cases need the slow path", differ)
	}
}

func FuzzFMA(f *testing.F) {
	f.Add(uint32(0x3f800000), uint32(0x3f800000), uint32(0x4b800000))
	f.Add(uint32(1), uint32(0x80000001), uint32(0x7fffff))
	f.Fuzz(func(t *testing.T, a, b, c uint32) {
		wantFMA(t, math.Float32frombits(a), math.Float32frombits(b), math.Float32frombits(c))
	})
}
