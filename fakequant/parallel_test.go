package fakequant

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/goqat/goqat/internal/kern"
)

// TestLargeTensors compares the parallel, vectorised passes with one element after the
// other, for every way in which groups can lie.
func TestLargeTensors(t *testing.T) {
	perTensor := Spec{Bits: 8, Scheme: Affine, Unsigned: true}
	axis := func(a int) Spec { return Spec{Bits: 8, Scheme: Affine, Granularity: PerChannel, Axis: a} }
	block := func(a, size int) Spec {
		return Spec{Bits: 4, Scheme: Symmetric, Granularity: PerBlock, Axis: a, BlockSize: size}
	}
	tests := []struct {
		spec  Spec
		shape []int
	}{
		{perTensor, []int{7, 5001}},
		{axis(0), []int{33, 3, 211}},
		{axis(1), []int{9, 13, 17, 19}},
		{axis(1), []int{301, 133}},
		{axis(-1), []int{3, 40000}},
		{block(1, 32), []int{37, 1000}},
		{block(0, 24), []int{100, 401}},
		{block(1, 1), []int{41, 900}},
	}
	for _, e := range tests {
		t.Run(fmt.Sprint(e.spec, e.shape), func(t *testing.T) {
			l, err := e.spec.Layout(e.shape)
			if err != nil {
				t.Fatal(err)
			}
			checkLarge(t, e.spec, l)
		})
	}
}

func checkLarge(t *testing.T, s Spec, l Layout) {
	r := rand.New(rand.NewPCG(1, uint64(l.Len())))
	x, dy := make([]float32, l.Len()), make([]float32, l.Len())
	for i := range x {
		x[i], dy[i] = float32(r.NormFloat64()), float32(r.NormFloat64())
	}
	if l.Len() > l.Groups() {
		x[5] = float32(math.Inf(1))
	}
	groups := make([]int, l.Len())
	l.Runs(func(lo, hi, group, step int) {
		for i := lo; i < hi; i++ {
			groups[i] = group + (i-lo)*step
		}
	})
	lo, hi := make([]float32, l.Groups()), make([]float32, l.Groups())
	if err := GroupMinMax(lo, hi, x, l); err != nil {
		t.Fatal(err)
	}
	p, err := ParamsFromRange(s, lo, hi, false)
	if err != nil {
		t.Fatal(err)
	}
	for g := range p.Scale {
		p.Scale[g] *= 0.7 // so that some codes saturate
	}
	y, dx := make([]float32, l.Len()), make([]float32, l.Len())
	if err := errors.Join(FakeQuantize(y, x, l, s, p), STE(dx, x, dy, l, s, p)); err != nil {
		t.Fatal(err)
	}
	for i, v := range x {
		g := p.grid(s, groups[i])
		var d [1]float32
		kern.STE(d[:], x[i:i+1], dy[i:i+1], g)
		if want := kern.DequantizeOne(kern.QuantizeOne(v, g), g); y[i] != want || dx[i] != d[0] {
			t.Fatalf("element %d: %v and gradient %v, want %v and %v", i, y[i], dx[i], want, d[0])
		}
		if g := groups[i]; i != 5 && (v < lo[g] || v > hi[g]) {
			t.Fatalf("element %d: %v is outside (%v, %v) of group %d", i, v, lo[g], hi[g], g)
		}
	}
	x[l.Len()-2] = float32(math.NaN())
	if err := GroupMinMax(lo, hi, x, l); !errors.Is(err, ErrData) {
		t.Errorf("NaN: %v", err)
	}
}
