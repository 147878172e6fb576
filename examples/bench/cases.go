package main

import (
	"fmt"
	"math/rand/v2"
	"runtime"

	"github.com/goqat/goqat/internal/kern"
	"github.com/goqat/goqat/internal/par"
)

// section is a part of the table.
type section struct {
	title, unit string
	bound       peak            // what its rates are the upper bound of, if any
	kernels     func() []kernel // makes the operands too, so one section at a time
}

func sections() []section {
	return []section{
		{"multiply-adds in registers", "GFLOPS", floatPeak, floatPeaks},
		{"products of bytes in registers", "GOPS", bytePeak, bytePeaks},
		{"copy, 16 Mi numbers", "GB/s", copyPeak, copies},
		{"fake-quantize, 16 Mi numbers", "GB/s", noPeak, fakeQuantizes},
		{"rows and planes, 16 Mi numbers, bytes as of a copy", "GB/s", noPeak, rowKernels},
		{"elementary functions, 2048 numbers in the cache", "G/s", noPeak, functions},
		{"float32 product, m×n×k", "GFLOPS", noPeak, gemms},
		{"float32 convolution, batch 64", "GFLOPS", noPeak, convs},
		{"integer product, m×n×k", "GOPS", noPeak, intGemms},
		{"integer convolution, batch 64", "GOPS", noPeak, intConvs},
		{"float32 convolution of large networks, batch 8", "GFLOPS", noPeak, func() []kernel { return convKernels(layerShapes()) }},
		{"integer convolution of large networks, batch 8", "GOPS", noPeak, func() []kernel { return intConvKernels(layerShapes()) }},
		{"depthwise float32 convolution, batch 8, read and written", "GB/s", noPeak, func() []kernel { return inBytes(convKernels(depthwiseShapes()), depthwiseShapes(), 4) }},
		{"depthwise float32 convolution, batch 8", "GFLOPS", noPeak, func() []kernel { return convKernels(depthwiseShapes()) }},
		{"depthwise integer convolution, batch 8, read and written", "GB/s", noPeak, func() []kernel { return inBytes(intConvKernels(depthwiseShapes()), depthwiseShapes(), 1) }},
		{"pool, batch 8, read and written", "GB/s", noPeak, pools},
	}
}

// Peak loops are called this often, with so many steps each: a fraction of a
// millisecond on any processor.
const peakCalls, peakSteps = 64, 1024

func peakKernel(name string, p peak, loop func(steps int) int) []kernel {
	return []kernel{{name, p, func() float64 {
		return everywhere(func() (ops float64) {
			for range peakCalls {
				ops += float64(loop(peakSteps))
			}
			return ops
		})
	}}}
}

func floatPeaks() []kernel { return peakKernel("multiply-add", floatPeak, kern.PeakFMA) }
func bytePeaks() []kernel  { return peakKernel("multiply-add", bytePeak, kern.PeakInt8) }

// Elementwise kernels work on memory in pieces.
const (
	large = 16 << 20
	piece = 1 << 16
	moved = 8 * large // bytes: four read and four written for each number
)

// pieces calls fn on all of [0, large) in parallel.
func pieces(fn func(lo, hi int)) float64 {
	par.For(large, piece, fn)
	return moved
}

func copies() []kernel {
	// Memory that nobody has written is one page of zeros, which is read from the cache.
	x, y := floats(large), make([]float32, large)
	return []kernel{
		{"copy, pieces of 256 KiB", copyPeak, func() float64 {
			return pieces(func(lo, hi int) { copy(y[lo:hi], x[lo:hi]) })
		}},
		// Above some size the run-time system writes past the caches.
		{"copy, one piece per processor", copyPeak, func() float64 {
			par.For(large, large/runtime.GOMAXPROCS(0), func(lo, hi int) { copy(y[lo:hi], x[lo:hi]) })
			return moved
		}},
	}
}

func fakeQuantizes() []kernel {
	g := kern.Grid{Scale: 1.0 / 128, ZeroPoint: 3, Qmin: -128, Qmax: 127}
	x, y := floats(large), make([]float32, large)
	z := append([]float32(nil), x...)
	return []kernel{
		{"out of place", copyPeak, func() float64 {
			kern.FakeQuantize(y, x, g)
			return moved
		}},
		{"in place", copyPeak, func() float64 {
			kern.FakeQuantize(z, z, g)
			return moved
		}},
	}
}

// floats returns numbers in [-1, 1).
func floats(n int) []float32 {
	rng, x := rand.New(rand.NewPCG(3, uint64(n))), make([]float32, n)
	for i := range x {
		x[i] = rng.Float32()*2 - 1
	}
	return x
}

// gemmShape is a product of m×k and k×n; a transposed operand is stored the other
// way round.
type gemmShape struct {
	m, n, k        int
	transA, transB bool
}

func gemms() []kernel {
	var ks []kernel
	for _, s := range []gemmShape{
		{m: 64, n: 64, k: 64}, {m: 128, n: 128, k: 128}, {m: 256, n: 256, k: 256}, {m: 512, n: 512, k: 512}, {m: 1024, n: 1024, k: 1024},
		{m: 50176, n: 32, k: 9}, {m: 12544, n: 32, k: 288}, {m: 12544, n: 64, k: 288},
		{m: 64, n: 128, k: 3136}, {m: 64, n: 128, k: 3136, transB: true},
		{m: 9, n: 32, k: 50176, transA: true}, {m: 288, n: 64, k: 12544, transA: true}, {m: 12544, n: 288, k: 64, transB: true},
		{m: 128, n: 3136, k: 64, transA: true}, {m: 64, n: 3136, k: 128}, {m: 64, n: 10, k: 128, transB: true},
		{m: 1, n: 512, k: 784, transB: true},
	} {
		ks = append(ks, s.kernel())
	}
	return ks
}

func (s gemmShape) kernel() kernel {
	stored := func(rows, cols int, trans bool) kern.Matrix[float32] {
		ld := cols
		if trans {
			ld = rows
		}
		return kern.RowMajor(floats(rows*cols), ld, trans)
	}
	letter := map[bool]string{false: "N", true: "T"}
	name := fmt.Sprintf("%d×%d×%d %s%s", s.m, s.n, s.k, letter[s.transA], letter[s.transB])
	a, b, c := stored(s.m, s.k, s.transA), stored(s.k, s.n, s.transB), make([]float32, s.m*s.n)
	return kernel{name, floatPeak, func() float64 {
		kern.Gemm(s.m, s.n, s.k, a, b, c, s.n, false)
		return 2 * float64(s.m) * float64(s.n) * float64(s.k)
	}}
}

// square is a convolution of square images and windows with padding that keeps the
// size at stride 1.
func square(in, out, size, window, stride, groups int) kern.Conv {
	pad := window / 2
	o := (size+2*pad-window)/stride + 1
	return kern.Conv{N: 64, C: in, H: size, W: size, K: out, R: window, S: window, OH: o, OW: o, Groups: groups,
		Stride: [2]int{stride, stride}, Dilation: [2]int{1, 1}, Pad: [4]int{pad, pad, pad, pad}}
}

// ops is the number of multiplications and additions.
func ops(c kern.Conv) float64 {
	return 2 * float64(c.N*c.K*c.OH*c.OW) * float64(c.C/c.Groups*c.R*c.S)
}

func convName(c kern.Conv) string {
	name := fmt.Sprintf("%d×%d %d→%d, %d×%d", c.H, c.W, c.C, c.K, c.R, c.S)
	if c.Stride[0] > 1 {
		name += fmt.Sprintf("/%d", c.Stride[0])
	}
	switch {
	case c.Groups == 1:
	case c.Groups == c.C:
		name += " depthwise"
	default:
		name += fmt.Sprintf(" in %d groups", c.Groups)
	}
	return name
}

// convShapes are layers of the networks: ConvNet, ResNet8, Mobile32.
func convShapes() []kern.Conv {
	return []kern.Conv{
		square(1, 32, 28, 3, 1, 1), square(32, 64, 14, 3, 1, 1), square(32, 64, 28, 3, 1, 1),
		square(16, 16, 32, 3, 1, 1), square(16, 32, 32, 3, 2, 1), square(64, 64, 8, 3, 1, 1),
		square(16, 32, 32, 1, 1, 1), square(64, 128, 8, 1, 1, 1),
		square(16, 16, 32, 3, 1, 16), square(32, 32, 32, 3, 2, 32),
	}
}

func convs() []kernel { return convKernels(convShapes()) }

func convKernels(shapes []kern.Conv) []kernel {
	var ks []kernel
	for _, c := range shapes {
		x, w := floats(c.N*c.C*c.H*c.W), floats(c.K*c.C/c.Groups*c.R*c.S)
		y := floats(c.N * c.K * c.OH * c.OW)
		out, dx, dw := make([]float32, len(y)), make([]float32, len(x)), make([]float32, len(w))
		for _, pass := range []struct {
			name string
			fn   func()
		}{
			{"forward", func() { kern.ConvForward(&c, out, x, w, nil) }},
			{"data gradient", func() { kern.ConvBackwardData(&c, dx, w, y) }},
			{"weight gradient", func() { kern.ConvBackwardWeight(&c, dw, x, y) }},
		} {
			ks = append(ks, kernel{convName(c) + " " + pass.name, floatPeak, func() float64 { pass.fn(); return ops(c) }})
		}
	}
	return ks
}

// Grids of the integer kernels: unsigned codes in, unsigned codes out.
var (
	inGrid  = kern.Grid{Scale: 1.0 / 128, ZeroPoint: 128, Qmin: 0, Qmax: 255}
	outGrid = kern.Grid{Scale: 1.0 / 16, ZeroPoint: 128, Qmin: 0, Qmax: 255}
)

const weightScale = 1.0 / 127

// codes returns codes of all values.
func codes(n int) []uint8 {
	rng, x := rand.New(rand.NewPCG(4, uint64(n))), make([]uint8, n)
	for i := range x {
		x[i] = uint8(rng.Uint32())
	}
	return x
}

// weights fills in codes from -127 to 127.
func weights(dst []int16) {
	rng := rand.New(rand.NewPCG(5, uint64(len(dst))))
	for i := range dst {
		dst[i] = int16(rng.IntN(255)) - 127
	}
}

func dequant() kern.Dequant {
	return kern.Dequant{Scale: []float32{inGrid.Scale * weightScale}, Blocks: 1}
}

func intGemms() []kernel {
	var ks []kernel
	for _, s := range [][3]int{
		{64, 64, 64}, {256, 256, 256}, {1024, 1024, 1024}, {12544, 64, 288}, {50176, 32, 12}, {64, 128, 3136}, {1, 128, 3136},
	} {
		m, n, k := s[0], s[1], s[2]
		var p kern.IntProduct
		p.SetMatMul(n, k, true, inGrid, dequant(), weights)
		x, y := codes(m*k), make([]uint8, m*n)
		ks = append(ks, kernel{fmt.Sprintf("%d×%d×%d", m, n, k), bytePeak, func() float64 {
			p.MatMul(0, m, kern.IntY{Codes: y, Grid: outGrid, Act: kern.NoClip()}, kern.IntX{Codes: x, Grid: inGrid}, false, nil)
			return 2 * float64(m) * float64(n) * float64(k)
		}})
	}
	return ks
}

func intConvs() []kernel { return intConvKernels(convShapes()) }

func intConvKernels(shapes []kern.Conv) []kernel {
	var ks []kernel
	for _, c := range shapes {
		var p kern.IntProduct
		p.SetConv(&c, inGrid, dequant(), weights)
		x, y := codes(c.N*c.C*c.H*c.W), make([]uint8, c.N*c.K*c.OH*c.OW)
		ks = append(ks, kernel{convName(c), bytePeak, func() float64 {
			p.Conv(0, &c, kern.IntY{Codes: y, Grid: outGrid, Act: kern.ReLU()}, kern.IntX{Codes: x, Grid: inGrid}, nil)
			return ops(c)
		}})
	}
	return ks
}
