package coremlout

import (
	"math"
	"testing"
)

// TestHalf compares every binary16, and what lies between two of them, with the
// definition.
func TestHalf(t *testing.T) {
	for h := range uint16(0x7c00) { // all finite positive ones
		v := fromHalf(h)
		check := func(x float32, want uint16) {
			t.Helper()
			if got := half(x); got != want {
				t.Fatalf("half(%v) = %04x, want %04x", x, got, want)
			}
			if got := half(-x); got != want|0x8000 {
				t.Fatalf("half(%v) = %04x, want %04x", -x, got, want|0x8000)
			}
		}
		check(v, h)
		next := float64(fromHalf(h + 1))
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
		if got := half(x); got != want {
			t.Errorf("half(%v) = %04x, want %04x", x, got, want)
		}
	}
	if got := half(float32(math.NaN())); got&0x7c00 != 0x7c00 || got&0x3ff == 0 {
		t.Errorf("half(NaN) = %04x", got)
	}
}
