package fakequant

import (
	"errors"
	"math/rand/v2"
	"testing"
)

// TestCentredBytes compares pieces of any size with Centred.
func TestCentredBytes(t *testing.T) {
	r := rand.New(rand.NewPCG(41, 42))
	for _, c := range []struct {
		s     Spec
		shape []int
		zero  int32 // the largest zero point
		fits  bool
	}{
		{Spec{Granularity: PerChannel}, []int{5, 37}, 0, true},
		{Spec{Granularity: PerChannel}, []int{5, 37}, 1, false},
		{Spec{Granularity: PerChannel, NarrowRange: true}, []int{3, 4, 5}, 0, true},
		{Spec{Granularity: PerChannel, Axis: 1}, []int{3, 4, 5}, 0, true},
		{Spec{Granularity: PerChannel, Axis: 1}, []int{3, 4}, 0, true}, // columns
		{Spec{Granularity: PerChannel, Axis: 1}, []int{3, 4}, 1, false},
		{Spec{Granularity: PerChannel, Axis: 1, NarrowRange: true}, []int{20, 37}, 1, true},
		{Spec{Granularity: PerBlock, Axis: 0, BlockSize: 8}, []int{20, 37}, 0, true},
		{Spec{Granularity: PerBlock, Axis: 1, BlockSize: 8}, []int{4, 37}, 0, true},
		{Spec{Bits: 4, Scheme: Affine}, []int{64}, 7, true},
		{Spec{Unsigned: true}, []int{64}, 128, true},
		{Spec{Unsigned: true}, []int{64}, 127, false},
		{Spec{Unsigned: true}, []int{64}, 129, false},
	} {
		l, err := c.s.Layout(c.shape)
		if err != nil {
			t.Fatal(err)
		}
		p := Params{Scale: make([]float32, l.Groups()), ZeroPoint: make([]int32, l.Groups())}
		for i := range p.Scale {
			p.Scale[i] = 0.01 + r.Float32()
		}
		p.ZeroPoint[len(p.ZeroPoint)-1] = c.zero
		x, want := make([]float32, l.Len()), make([]int16, l.Len())
		for i := range x {
			x[i] = (r.Float32() - 0.5) * 300
		}
		if err := Centred(want, x, l, c.s, p); err != nil {
			t.Fatal(err)
		}
		part, most, err := CentredBytes(x, l, c.s, p)
		if err != nil || (part != nil) != c.fits {
			t.Errorf("%v of %v, zero point %d: a function %v, error %v", c.s, c.shape, c.zero, part != nil, err)
			continue
		}
		for range 50 {
			if part == nil {
				break
			}
			lo := r.IntN(len(x))
			hi := lo + r.IntN(len(x)-lo) + 1
			got := make([]int8, hi-lo)
			part(got, lo, hi)
			for i, q := range got {
				if int16(q) != want[lo+i] || int(q) > most || -int(q) > most {
					t.Fatalf("%v of %v: code %d is %d, want %d, at most %d", c.s, c.shape, lo+i, q, want[lo+i], most)
				}
			}
		}
	}
	l, _ := Spec{}.Layout([]int{2})
	if _, _, err := CentredBytes(make([]float32, 3), l, Spec{}, Params{Scale: []float32{1}, ZeroPoint: []int32{0}}); !errors.Is(err, ErrParams) {
		t.Errorf("3 elements for 2: %v", err)
	}
}
