//go:build !amd64 || noasm

package kern

// What do integer products do without assembly?

import "unsafe"

// Without assembly the portable loops do everything.

func (e *intEpi) fast(codes, columns bool) bool          { return false }
func (e *intEpi) few(codes bool, t *tileArgs, steps int) { panic("kern: no vector kernels") }
func (a *intPackArgs) fast(l int, split bool) bool       { return false }
func (a *intPackArgs) pairs(n int) int                   { return 0 }
func unhalveFast(dst, src []uint8) int                   { return 0 }
func (p *intPool) fast() bool                            { return false }
func codesSumFast(x []uint8) (sum uint64, n int)         { return 0, 0 }
func copyBytesFast(dst []uint8, dstStride int, src []uint8, srcStride, rows, n int) bool {
	return false
}
func narrowFast(dst []int8, src []int16) bool    { return false }
func extentInts(x []int16) (lo, hi int16, n int) { return 0, 0, 0 }
func (d *intDepth) run()                         { panic("kern: no vector kernels") }
func (d *intRows) run(*Conv, *intEpi, bool)      { panic("kern: no vector kernels") }
func vectorFast(_ *[panelCols]int32, _ unsafe.Pointer, _ []uint32, _ int) {
	panic("kern: no vector kernels")
}
