//go:build amd64 && !noasm

package kern

// How are the integer kernels called?

import (
	"math/bits"
	"slices"
	"unsafe"
)

// args turns a struct of arguments into what the kernels take.
func args[T any](t *T) *byte { return (*byte)(unsafe.Pointer(t)) }

// fast runs the epilogue in assembly, where there is one.
func (e *intEpi) fast(codes, columns bool) bool {
	switch {
	case level == LevelAVX2:
		return e.avx2(codes, columns)
	case level < LevelAVX512 || e.rows == 0:
		return false
	case codes && columns:
		intEpiCodesColumns(args(e))
	case codes:
		intEpiCodes(args(e))
	case columns:
		intEpiValuesColumns(args(e))
	default:
		intEpiValues(args(e))
	}
	return true
}

// avx2 runs the epilogue without masks: whole rows go to the stack first.
func (e *intEpi) avx2(codes, columns bool) bool {
	if e.rows == 0 || e.rows > tileMaxRows {
		return false
	}
	var tile [tileMaxRows][4 * panelCols]uint8
	var bias [panelCols]float32
	n := [2]int{bits.OnesCount16(e.mask[0]), bits.OnesCount16(e.mask[1])} // low lanes
	if last := n[0]; columns {                                            // a bias ends with the last column
		if n[1] > 0 {
			last = tileLanes + n[1]
		}
		copy(bias[:], unsafe.Slice((*float32)(e.bias), last))
	}
	f := *e
	f.out[0] = unsafe.Pointer(&tile)
	width, element := 4*panelCols, 4
	switch {
	case columns:
		f.bias = unsafe.Pointer(&bias)
		if codes {
			intEpiCodesColumnsAVX2(args(&f))
		} else {
			intEpiValuesColumnsAVX2(args(&f))
		}
	case codes:
		intEpiCodesAVX2(args(&f))
	default:
		intEpiValuesAVX2(args(&f))
	}
	if codes {
		width, element = panelCols, 1
	}
	for i := range e.rows {
		for v := range n {
			if n[v] > 0 {
				row := unsafe.Slice((*uint8)(unsafe.Add(f.out[0], i*width+v*tileLanes*element)), n[v]*element)
				copy(unsafe.Slice((*uint8)(unsafe.Add(e.out[v], i*e.ldo)), len(row)), row)
			}
		}
	}
	return true
}

// fast interleaves the planes of l codes per dword; split says that the stride is
// two. It reports false where there is no kernel.
func (a *intPackArgs) fast(l int, split bool) bool {
	switch {
	case level < LevelAVX512 || a.rows == 0:
		return false
	case l == 4 && split:
		intPackSplit(args(a))
	case l == 4:
		intPack4(args(a))
	case split:
		return false
	default:
		intPack2(args(a))
	}
	return true
}

// few runs the kernel for sums of few steps of bytes over all rows of e.
func (e *intEpi) few(codes bool, t *tileArgs, steps int) {
	if t.m[1] == 0 {
		t.b[1] = t.b[0]
	}
	if t.m[2]|t.m[3] == 0 {
		t.b[2] = t.b[0]
	}
	if t.m[3] == 0 {
		t.b[3] = t.b[2]
	}
	if codes {
		intFewCodes(steps, args(t), args(e))
	} else {
		intFewValues(steps, args(t), args(e))
	}
}

// unhalveFast does a leading part of unhalve.
func unhalveFast(dst, src []uint8) int {
	n := len(src) / 32
	if level < LevelAVX512 || n == 0 {
		return 0
	}
	intUnhalve(&dst[0], &src[0], n)
	return 32 * n
}

// vectorFast writes the product of a row of k dwords of bytes with a packed panel.
func vectorFast(c *[panelCols]int32, x unsafe.Pointer, w []uint32, k int) {
	intVector((*byte)(unsafe.Pointer(c)), (*byte)(x), (*byte)(unsafe.Pointer(&w[0])), k)
}

func (d *intDepth) run() { intDepthwise(args(d)) }

func (d *intRows) run(c *Conv, e *intEpi, codes bool) {
	if codes {
		intRowsCodes(c.R, c.Stride[0], args(d), args(e))
	} else {
		intRowsValues(c.R, c.Stride[0], args(d), args(e))
	}
}

// pairs interleaves a leading part of the n columns of two planes and returns how
// many.
func (a *intPackArgs) pairs(n int) int {
	if a.full = n / 8; level != LevelAVX2 || a.full == 0 || a.rows == 0 {
		return 0
	}
	intPack2AVX2(args(a))
	return 8 * a.full
}

func (p *intPool) fast() bool {
	if level < LevelAVX512 {
		return false
	}
	intMaxPool2(args(p))
	return true
}

// codesSumFast adds up a leading part of x.
func codesSumFast(x []uint8) (sum uint64, n int) {
	n = len(x) / 64
	if level < LevelAVX512 || n == 0 {
		return 0, 0
	}
	return intSumBytes(&x[0], n), 64 * n
}

// narrowFast writes the low bytes of src.
func narrowFast(dst []int8, src []int16) bool {
	n := len(src)
	if level < LevelAVX512 || n == 0 {
		return false
	}
	intNarrow((*byte)(unsafe.Pointer(&dst[0])), &src[0], n/32, 1<<(n%32)-1)
	return true
}

// extentInts returns the least and the greatest of a leading part of x.
func extentInts(x []int16) (lo, hi int16, n int) {
	if n = len(x) / 32; level < LevelAVX512 || n == 0 {
		return 0, 0, 0
	}
	var a, b [32]int16
	intExtent(&a[0], &b[0], &x[0], n)
	return slices.Min(a[:]), slices.Max(b[:]), 32 * n
}

// copyBytesFast copies rows of n bytes.
func copyBytesFast(dst []uint8, dstStride int, src []uint8, srcStride, rows, n int) bool {
	if level < LevelAVX512 || rows == 0 {
		return false
	}
	intCopyBytes(&dst[0], dstStride, &src[0], srcStride, rows, n/64, 1<<(n%64)-1)
	return true
}
