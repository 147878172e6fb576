package kern

import (
	"math"
	"testing"
)

// TestHalf compares every binary16, and what lies between two of them, with the
// definition.
func TestHalf(t *testing.T) {
	for h := range uint16(0x7c00) { // all finite positive ones
		v := OfHalf(h)
		check := func(x float32, want uint16) {
			t.Helper()
			if got := Half(x); got != want {
				t.Fatalf("half(%v) = %04x, want %04x", x, got, want)
			}
			if got := Half(-x); got != want|0x8000 {
				t.Fatalf("half(%v) = %04x, want %04x", -x, got, want|0x8000)
			}
		}
		check(v, h)
		next := float64(OfHalf(h + 1))
		if h == 0x7bff {
			next = 65536 // where the next one would be; infinity is h+1
		}
		middle := float32((float64(v) + next) / 2) // exact: one bit more than binary16
		check(middle, h+h&1)
		check(math.Nextafter32(middle, 0), h)
		check(math.Nextafter32(middle, math.MaxFloat32), h+1)
	}
	inf := float32(math.Inf(1))
	for x, want := range map[float32]uint16{inf: 0x7c00, -inf: 0xfc00, 1e30: 0x7c00, 65536: 0x7c00, -70000: 0xfc00, math.SmallestNonzeroFloat32: 0, 1: 0x3c00} {
		if got := Half(x); got != want {
			t.Errorf("half(%v) = %04x, want %04x", x, got, want)
		}
	}
	if got := Half(float32(math.NaN())); got&0x7c00 != 0x7c00 || got&0x3ff == 0 {
		t.Errorf("half(NaN) = %04x", got)
	}
}

// Every half, against the definition of the format in float64.
func TestOfHalf(t *testing.T) {
	for i := range 1 << 16 {
		sign, exp, frac := 1-2*float64(i>>15), i>>10&31, float64(i&1023)
		got := float64(OfHalf(uint16(i)))
		want := sign * math.Ldexp(1+frac/1024, exp-15)
		switch {
		case exp == 31 && frac != 0:
			if got == got {
				t.Fatalf("%04x: %v, want NaN", i, got)
			}
			continue
		case exp == 31:
			want = sign * math.Inf(1)
		case exp == 0:
			want = sign * math.Ldexp(frac/1024, -14)
		}
		if got != want || math.Signbit(got) != (sign < 0) {
			t.Fatalf("%04x: %v, want %v", i, got, want)
		}
	}
}

// TestRoundHalf: scales of 16 bits are positive and finite.
func TestRoundHalf(t *testing.T) {
	for x, want := range map[float32]float32{0: SmallestHalf, 1e-30: SmallestHalf, 0x1.8p-24: 0x1p-23, 1: 1, 0.1: 0.099975586, 65504: 65504, 1e9: LargestHalf} {
		if got := RoundHalf(x); got != want {
			t.Errorf("RoundHalf(%v) = %v, want %v", x, got, want)
		}
	}
}
