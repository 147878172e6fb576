package kern

import (
	"fmt"
	"testing"
)

// intShapes are the convolutions of the benchmark networks, and a matrix product.
var intShapes = []struct {
	name string
	c    Conv
}{
	{"28x28 1to32", geometry(1, 1, 28, 28, 32, 3, 3, 1, ones, ones, [4]int{1, 1, 1, 1})},
	{"14x14 32to64", geometry(1, 32, 14, 14, 64, 3, 3, 1, ones, ones, [4]int{1, 1, 1, 1})},
	{"28x28 32to64", geometry(1, 32, 28, 28, 64, 3, 3, 1, ones, ones, [4]int{1, 1, 1, 1})},
	{"32x32 3to16", geometry(1, 3, 32, 32, 16, 3, 3, 1, ones, ones, [4]int{1, 1, 1, 1})},
	{"32x32 16to16", geometry(1, 16, 32, 32, 16, 3, 3, 1, ones, ones, [4]int{1, 1, 1, 1})},
	{"32x32 16to32 stride 2", geometry(1, 16, 32, 32, 32, 3, 3, 1, twos, ones, [4]int{1, 1, 1, 1})},
	{"16x16 32to32", geometry(1, 32, 16, 16, 32, 3, 3, 1, ones, ones, [4]int{1, 1, 1, 1})},
	{"8x8 64to64", geometry(1, 64, 8, 8, 64, 3, 3, 1, ones, ones, [4]int{1, 1, 1, 1})},
	{"16x16 64to64 1x1", geometry(1, 64, 16, 16, 64, 1, 1, 1, ones, ones, [4]int{})},
	{"32x32 depthwise 32", geometry(1, 32, 32, 32, 32, 3, 3, 32, ones, ones, [4]int{1, 1, 1, 1})},
}

// BenchmarkIntConv reports GOPS, two per product: codes in, codes out; and real
// numbers in and out with packing of the weights, as in training.
func BenchmarkIntConv(b *testing.B) {
	for _, s := range intShapes {
		for _, batch := range []int{1, 64} {
			g := s.c
			g.N = batch
			nx, nw, no := g.sizes()
			c := newIntCase(1, nx, nw, g.K, 1, 0, -127, 127)
			c.d.Scale, c.bias, c.act = []float32{0.001}, make([]float32, g.K), ReLU()
			c.out = Grid{Scale: 0.37, Qmax: 255}
			fill := func(dst []int16) { copy(dst, c.w) }
			ops := 2 * float64(no*g.taps())
			p := &IntProduct{}
			p.SetConv(&g, c.in, c.d, fill)
			codes, values, real := make([]uint8, no), make([]float32, no), make([]float32, nx)
			Dequantize(real, c.x, c.in)
			b.Run(fmt.Sprintf("%s/batch%d/codes", s.name, batch), func(b *testing.B) {
				for b.Loop() {
					p.Conv(0, &g, IntY{Codes: codes, Grid: c.out, Act: c.act}, IntX{Codes: c.x, Grid: c.in}, c.bias)
				}
				b.ReportMetric(ops*float64(b.N)/float64(b.Elapsed().Nanoseconds()), "GOPS")
			})
			b.Run(fmt.Sprintf("%s/batch%d/train", s.name, batch), func(b *testing.B) {
				for b.Loop() {
					p.SetConv(&g, c.in, c.d, fill)
					p.Conv(0, &g, IntY{Values: values}, IntX{Values: real, Grid: c.in}, c.bias)
				}
				b.ReportMetric(ops*float64(b.N)/float64(b.Elapsed().Nanoseconds()), "GOPS")
			})
		}
	}
}

// BenchmarkIntMatMul reports GOPS of the same two uses.
func BenchmarkIntMatMul(b *testing.B) {
	for _, s := range [][3]int{{1, 512, 784}, {32, 512, 784}, {64, 512, 784}, {1, 128, 3136}, {64, 128, 3136}} {
		m, n, k := s[0], s[1], s[2]
		c := newIntCase(1, m*k, n*k, n, 1, 0, -127, 127)
		c.d.Scale, c.bias, c.act = []float32{0.001}, make([]float32, n), ReLU()
		c.out = Grid{Scale: 0.37, Qmax: 255}
		fill := func(dst []int16) { copy(dst, c.w) }
		ops := 2 * float64(m*n*k)
		p := &IntProduct{}
		p.SetMatMul(n, k, true, c.in, c.d, fill)
		codes, values, real := make([]uint8, m*n), make([]float32, m*n), make([]float32, m*k)
		Dequantize(real, c.x, c.in)
		b.Run(fmt.Sprintf("%dx%dx%d/codes", m, n, k), func(b *testing.B) {
			for b.Loop() {
				p.MatMul(1, m, IntY{Codes: codes, Grid: c.out, Act: c.act}, IntX{Codes: c.x, Grid: c.in}, false, c.bias)
			}
			b.ReportMetric(ops*float64(b.N)/float64(b.Elapsed().Nanoseconds()), "GOPS")
		})
		b.Run(fmt.Sprintf("%dx%dx%d/train", m, n, k), func(b *testing.B) {
			for b.Loop() {
				p.SetMatMul(n, k, true, c.in, c.d, fill)
				p.MatMul(1, m, IntY{Values: values}, IntX{Values: real, Grid: c.in}, false, c.bias)
			}
			b.ReportMetric(ops*float64(b.N)/float64(b.Elapsed().Nanoseconds()), "GOPS")
		})
	}
}
