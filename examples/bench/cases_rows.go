package main

import "github.com/goqat/goqat/internal/kern"

// rowKernels are normalisations, softmax and transposes, at shapes of real networks. Each
// number read or written once counts, however often a kernel looks at it.
func rowKernels() []kernel {
	const width, heads, plane = 256, 64, 1024
	x, y, d := floats(large), make([]float32, large), floats(large)
	gamma, beta, dgamma := floats(width), floats(width), floats(width)
	rows := &kern.Norm{Width: width, Eps: 1e-5}
	groups := &kern.GroupNorm{N: large / width / plane, Groups: 32, Channels: width / 32, Inner: plane, Eps: 1e-5}
	forth := func(name string, fn func()) kernel {
		return kernel{name, copyPeak, func() float64 { fn(); return moved }}
	}
	back := func(name string, fn func()) kernel { // reads two, writes one
		return kernel{name, copyPeak, func() float64 { fn(); return moved * 3 / 2 }}
	}
	return []kernel{
		forth("layer norm, rows of 256", func() { kern.NormForward(rows, y, x, gamma, beta) }),
		back("gradients of layer norm", func() { kern.NormBackward(rows, y, dgamma, beta, d, x, gamma) }),
		forth("group norm, 32 groups of 8 planes of 1024", func() { kern.GroupNormForward(groups, y, x, gamma, beta) }),
		back("gradients of group norm", func() { kern.GroupNormBackward(groups, y, dgamma, beta, d, x, gamma) }),
		forth("softmax, rows of 64", func() { kern.Softmax(y, x, large/heads, heads, 1, false) }),
		back("gradient of softmax", func() { kern.SoftmaxBackward(y, x, d, large/heads, heads, 1, false) }),
		forth("softmax with scale and mask, rows of 64", func() {
			kern.MaskedSoftmax(y, x, heads, false, 0.125, func(int) []float32 { return gamma[:heads] })
		}),
		forth("softmax, 64 along columns", func() { kern.Softmax(y, x, large/heads/plane, heads, plane, false) }),
		forth("largest of rows of 256", func() { pieces(func(lo, hi int) { kern.RowExtreme(y[lo/width:hi/width], x[lo:hi], width, false) }) }),
		back("comparison of two", func() { pieces(func(lo, hi int) { kern.Compare(kern.Less, y[lo:hi], x[lo:hi], d[lo:hi]) }) }),
		back("choice by a condition", func() { pieces(func(lo, hi int) { kern.Select(y[lo:hi], x[lo:hi], d[lo:hi], 1, gamma, 0) }) }),
		forth("transpose, 4096×4096, 1 goroutine", func() { kern.Transpose(y, 4096, x, 4096, 4096, 4096) }),
	}
}
