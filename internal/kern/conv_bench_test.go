package kern

import (
	"math/rand/v2"
	"testing"
	"time"
)

// BenchmarkConvFast reports the GFLOP/s of the fastest call, counting a multiply-add as two.
func BenchmarkConvFast(b *testing.B) {
	one := [4]int{1, 1, 1, 1}
	for _, e := range []struct {
		name string
		c    Conv
	}{
		{"28x28x1-32", geometry(64, 1, 28, 28, 32, 3, 3, 1, ones, ones, one)},
		{"14x14x32-64", geometry(64, 32, 14, 14, 64, 3, 3, 1, ones, ones, one)},
		{"28x28x32-64", geometry(64, 32, 28, 28, 64, 3, 3, 1, ones, ones, one)},
		{"32x32x3-16", geometry(64, 3, 32, 32, 16, 3, 3, 1, ones, ones, one)},
		{"32x32x16-16", geometry(64, 16, 32, 32, 16, 3, 3, 1, ones, ones, one)},
		{"32x32x16-32s2", geometry(64, 16, 32, 32, 32, 3, 3, 1, twos, ones, one)},
		{"16x16x32-32", geometry(64, 32, 16, 16, 32, 3, 3, 1, ones, ones, one)},
		{"8x8x64-64", geometry(64, 64, 8, 8, 64, 3, 3, 1, ones, ones, one)},
		{"32x32x16-32s2-1x1", geometry(64, 16, 32, 32, 32, 1, 1, 1, twos, ones, [4]int{})},
		{"32x32x16-32-1x1", geometry(64, 16, 32, 32, 32, 1, 1, 1, ones, ones, [4]int{})},
		{"16x16x64-64-1x1", geometry(64, 64, 16, 16, 64, 1, 1, 1, ones, ones, [4]int{})},
		{"8x8x64-128-1x1", geometry(64, 64, 8, 8, 128, 1, 1, 1, ones, ones, [4]int{})},
		{"32x32x16dw", geometry(64, 16, 32, 32, 16, 3, 3, 16, ones, ones, one)},
		{"32x32x32dws2", geometry(64, 32, 32, 32, 32, 3, 3, 32, twos, ones, one)},
		{"16x16x64dw", geometry(64, 64, 16, 16, 64, 3, 3, 64, ones, ones, one)},
		{"7x7x64-64", geometry(64, 64, 7, 7, 64, 3, 3, 1, ones, ones, one)},
		{"4x4x128-128", geometry(64, 128, 4, 4, 128, 3, 3, 1, ones, ones, one)},
	} {
		c, r := e.c, rand.New(rand.NewPCG(1, 1))
		nx, nw, no := c.sizes()
		x, w, y := randoms[float32](r, nx), randoms[float32](r, nw), randoms[float32](r, no)
		for _, k := range []struct {
			name string
			fn   func()
		}{
			{"forward", func() { ConvForward(&c, y, x, w, nil) }},
			{"data", func() { ConvBackwardData(&c, x, w, y) }},
			{"weight", func() { ConvBackwardWeight(&c, w, x, y) }},
		} {
			b.Run(e.name+"/"+k.name, func(b *testing.B) {
				b.ReportAllocs()
				best := time.Hour
				for b.Loop() {
					start := time.Now()
					k.fn()
					best = min(best, time.Since(start))
				}
				b.ReportMetric(2*float64(no*c.taps())/best.Seconds()/1e9, "GFLOP/s")
			})
		}
	}
}
