package kern

// How does an elementary function come between sums and codes?

import (
	"math/bits"
	"unsafe"
)

// A product whose result passes through a function other than a clip leaves the numbers of
// a tile in the scratch; the function and the rounding pass over them while they are in the
// nearest cache. The numbers are those that a product without a function would store.

// fnRows is the number of rows of a tile that the kernel for few steps computes at a time
// before a function: their numbers, 32 a row, are 16 KiB, half of the smallest cache that is
// nearest to a core.
const fnRows = 128

// end runs the epilogue of a tile whose first element is element at of y, as intEpi.place
// says.
func (s *intScratch) end(y *IntY, at, first, ld int, columns bool) {
	e := &s.epi
	e.place(y, at, first, ld)
	if !y.applies() {
		e.run(y.Codes != nil, columns)
		return
	}
	s.apply(y, func() { e.run(false, columns) })
}

// apply lets run write the numbers of the epilogue's tile, row behind row, and makes codes of
// them in the places that the epilogue has.
func (s *intScratch) apply(y *IntY, run func()) {
	e := &s.epi
	first := bits.Len16(e.mask[0])
	width := first + bits.Len16(e.mask[1]) // of a row, without gaps in y either
	n := e.rows * width
	whole := (n + tileLanes - 1) &^ (tileLanes - 1) // vectors: without a rest
	s.real, s.codes = grow(s.real, whole), grow(s.codes, whole)
	clear(s.real[n:])
	out, ldo := e.out[0], e.ldo
	e.out[0], e.ldo = unsafe.Pointer(&s.real[0]), 4*width
	if first < width {
		e.out[1] = unsafe.Pointer(&s.real[first])
	}
	run()
	y.finish(s.codes, s.real)
	if width == panelCols {
		for i := range e.rows {
			*(*[panelCols]uint8)(unsafe.Add(out, ldo*i)) = [panelCols]uint8(s.codes[i*panelCols:])
		}
		return
	}
	for i := range e.rows {
		copy(unsafe.Slice((*uint8)(unsafe.Add(out, ldo*i)), width), s.codes[i*width:])
	}
}

// applies says that the result passes through a function on its way to codes.
func (y *IntY) applies() bool { return y.Codes != nil && y.Fn != nil }

// finish applies the function in place and rounds.
func (y *IntY) finish(codes []uint8, values []float32) {
	Eval(*y.Fn, values, values)
	Quantize(codes, values, y.Grid)
}
