package kern

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// Rates are in bytes that must move: 4 for every element read or written.

func benchData(n, arrays int) [][]float32 {
	r := rand.New(rand.NewPCG(1, 2))
	all := make([][]float32, arrays)
	for i := range all {
		all[i] = make([]float32, n)
		for j := range all[i] {
			all[i][j] = float32(r.NormFloat64())
		}
	}
	return all
}

func benchElem(b *testing.B, n, bytes int, fn func()) {
	b.Helper()
	fn()
	b.SetBytes(int64(n * bytes))
	b.ReportAllocs()
	for b.Loop() {
		fn()
	}
}

func BenchmarkFakeQuantize(b *testing.B) {
	g := Grid{Scale: 0.02, Qmin: -128, Qmax: 127}
	for _, n := range []int{2 << 10, 64 << 10, 1 << 20, 16 << 20} {
		d := benchData(n, 2)
		x, y := d[0], d[1]
		b.Run(fmt.Sprintf("copy/%d", n), func(b *testing.B) { benchElem(b, n, 8, func() { copy(y, x) }) })
		b.Run(fmt.Sprintf("out/%d", n), func(b *testing.B) { benchElem(b, n, 8, func() { FakeQuantize(y, x, g) }) })
		b.Run(fmt.Sprintf("inplace/%d", n), func(b *testing.B) { benchElem(b, n, 8, func() { FakeQuantize(x, x, g) }) })
	}
}

// The shapes are those of layers for a batch of 64: large and small planes, and rows of
// a linear layer.
func BenchmarkElementwise(b *testing.B) {
	b.Run("16x32x32", func(b *testing.B) { benchShape(b, 64, 16, 32) })
	b.Run("64x8x8", func(b *testing.B) { benchShape(b, 64, 64, 8) })
	b.Run("512", func(b *testing.B) { benchShape(b, 64, 512, 1) })
}

func benchShape(b *testing.B, n, c, side int) {
	inner := side * side
	total := n * c * inner
	d := benchData(total, 4)
	x, y, z, v := d[0], d[1], d[2], d[3]
	g, mask := Grid{Scale: 0.02, Qmax: 255}, make([]uint8, MaskLen(n, c, inner))
	p := make([]float32, c)
	st, sums, sum := make([]Stats, c), make([]Sums, c), make([]float64, c)
	half := max(1, side/2)
	pool := Pool{Planes: n * c, H: 2 * half, W: 2 * half, OH: half, OW: half, Kernel: [2]int{2, 2}, Stride: [2]int{2, 2}}
	codes := make([]int8, total)
	run := func(name string, bytes int, fn func()) {
		b.Run(name, func(b *testing.B) { benchElem(b, total, bytes, fn) })
	}
	run("ChannelStats", 4, func() { ChannelStats(st, x, n, c, inner) })
	run("ChannelSum", 4, func() { ChannelSum(sum, x, n, c, inner) })
	run("AffineActQuant", 8, func() { AffineActQuant(y, x, n, c, inner, p, p, ReLU(), &g, mask) })
	run("ReLU", 8, func() { AffineActQuant(y, x, n, c, inner, nil, nil, ReLU(), nil, nil) })
	run("AddActQuant", 12, func() { AddActQuant(y, x, z, n, c, inner, ReLU(), &g, mask) })
	run("MaskedSums", 8, func() { MaskedSums(sums, y, x, n, c, inner, mask) })
	run("AffineBackward", 12, func() { AffineBackward(z, y, x, n, c, inner, mask, p, p, p) })
	small, bits := Grid{Scale: 0.02, Qmin: -127, Qmax: 127}, make([]uint8, MaskLen(1, 1, total))
	run("FakeQuantizeKeep", 9, func() { FakeQuantizeKeep(y, codes, bits, x, small, true) })
	run("ClearUnset", 8, func() { ClearUnset(z, bits) })
	run("STE", 12, func() { STE(z, x, y, g) })
	run("LSQ", 12, func() { LSQ(z, x, y, g) })
	run("MinMax", 4, func() { MinMax(x) })
	run("Quantize", 5, func() { Quantize(codes, x, g) })
	run("Adam", 28, func() {
		AdamStep(y, x, z, v, &AdamFactors{C1: .1, B2: .999, C2: .001, Step: .001, Root: .1, Eps: 1e-8, Shrink: 1})
	})
	if side > 1 {
		run("MaxPool", 5, func() { MaxPool(&pool, y[:total/4], x) })
		picks := make([]uint8, pool.PicksLen())
		run("ActQuantPool2", 5, func() { ActQuantPool2(&pool, y[:total/4], x, ReLU(), &g, picks) })
		run("Pool2Backward", 5, func() { Pool2Backward(&pool, z, v[:total/4], picks) })
		run("MaxPoolBackward", 9, func() { MaxPoolBackward(&pool, z, x, y[:total/4], v[:total/4]) })
	}
}

func BenchmarkFn(b *testing.B) {
	for _, l := range []Level{LevelGeneric, LevelAVX2, LevelAVX512} {
		for _, f := range fnCases {
			for _, grad := range []bool{false, true} {
				b.Run(fmt.Sprintf("%v/%v_%v_grad_%v", l, f.Fn, f.A, grad), func(b *testing.B) {
					defer SetLevel(SetLevel(l))
					const n = 2048
					x, y, dy := make([]float32, n), make([]float32, n), make([]float32, n)
					for i := range x {
						x[i], dy[i] = float32(i%4000)*0.002-4, 1
						if f.Fn == FnLog || f.Fn == FnPow || f.Fn == FnLog2 || f.Fn == FnSqrt {
							x[i] = float32(math.Abs(float64(x[i]))) + 0.01
						}
					}
					b.ResetTimer()
					for range b.N {
						if grad {
							EvalGrad(f, y, x, dy)
						} else {
							Eval(f, y, x)
						}
					}
					b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds()/1e9, "G/s")
				})
			}
		}
	}
}
