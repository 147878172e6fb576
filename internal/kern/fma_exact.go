package kern

// How are chains of fused sums emulated?

import (
	"math"
	"unsafe"
)

// Where the compiler does not fuse, fused multiply-adds of float32 are emulated on
// factors converted to float64 in advance. Two roundings, to float64 and then to
// float32, are one rounding unless the first result lies half-way between two
// float32 or the second has fewer digits than a normal float32 (see fma32). The
// loops here watch for the former only and give up when they meet it; the latter
// is excluded for all factors together (see neverSubnormal).

// emulated says that sums of products of F are emulated.
func emulated[F Float]() bool {
	var f F
	return unsafe.Sizeof(f) == 4 && !fuses
}

// halfWay says that s may lie half-way between two normal float32: the 29 digits that
// a float32 lacks are 1000...
func halfWay(s float64) bool { return uint32(math.Float64bits(s))<<3 == 1<<31 }

// neverSubnormal says that no sum of products is both subnormal and rounded: a is
// at most the binary exponent of every factor on one side, except of zeros, and b on
// the other. A factor is a multiple of 2^(its exponent - 23), so that all sums are
// multiples of 2^-149, and those below 2^-126 are float32.
func neverSubnormal(a, b int) bool { return a+b-2*23 >= -149 }

// lowest returns at most the smallest binary exponent in x, or 1024 if all are zero.
func lowest[F Float](x []F) int {
	if x, ok := any(x).([]float32); ok {
		least := uint32(255 << 24)
		for _, v := range x {
			least = min(least, math.Float32bits(v)<<1-1) // zero becomes the largest number
		}
		if least == 255<<24 {
			return 1024
		}
		return int((least+1)>>24) - 127
	}
	least := uint64(2047 << 53)
	for _, v := range any(x).([]float64) {
		least = min(least, math.Float64bits(v)<<1-1)
	}
	return int((least+1)>>53) - 1023
}

// lowestPacked is lowest for packed factors, where it matters: in float64.
func lowestPacked[P Float, T [tileRows]P | [tileCols]P](panel []T) int {
	var p P
	if unsafe.Sizeof(p) == 4 || len(panel) == 0 {
		return 0
	}
	return lowest(unsafe.Slice((*P)(unsafe.Pointer(&panel[0])), len(panel)*int(unsafe.Sizeof(panel[0])/unsafe.Sizeof(p))))
}

// exactTile writes chains of fused multiply-adds to acc. It returns false, with acc as it
// was, when fma32 is needed.
func exactTile(acc *[tileRows][tileCols]float32, a [][tileRows]float64, b [][tileCols]float64) bool {
	b = b[:len(a)]
	var c00, c01, c10, c11, c20, c21, c30, c31 float64 // all float32 after each step
	for i := range a {
		x, y := &a[i], &b[i]
		y0, y1 := y[0], y[1]
		v := x[0]
		c00 += v * y0
		c01 += v * y1
		v = x[1]
		c10 += v * y0
		c11 += v * y1
		if halfWay(c00) || halfWay(c01) || halfWay(c10) || halfWay(c11) {
			return false
		}
		c00, c01, c10, c11 = float64(float32(c00)), float64(float32(c01)), float64(float32(c10)), float64(float32(c11))
		v = x[2]
		c20 += v * y0
		c21 += v * y1
		v = x[3]
		c30 += v * y0
		c31 += v * y1
		if halfWay(c20) || halfWay(c21) || halfWay(c30) || halfWay(c31) {
			return false
		}
		c20, c21, c30, c31 = float64(float32(c20)), float64(float32(c21)), float64(float32(c30)), float64(float32(c31))
	}
	acc[0] = [tileCols]float32{float32(c00), float32(c01)}
	acc[1] = [tileCols]float32{float32(c10), float32(c11)}
	acc[2] = [tileCols]float32{float32(c20), float32(c21)}
	acc[3] = [tileCols]float32{float32(c30), float32(c31)}
	return true
}

// carefulTile is exactTile for all factors. It takes two rows at a time: more sums and
// their checks do not fit the registers.
func carefulTile(acc *[tileRows][tileCols]float32, a [][tileRows]float64, b [][tileCols]float64) {
	for row := 0; row < tileRows; row += 2 {
		carefulRows((*[2][tileCols]float32)(acc[row:]), a, b, row&(tileRows-2))
	}
}

// carefulRows is fma32 four times a step, spelled out because the compiler would
// not inline it.
func carefulRows(acc *[2][tileCols]float32, a [][tileRows]float64, b [][tileCols]float64, row int) {
	b = b[:len(a)]
	var c00, c01, c10, c11 float32
	for i := range a {
		x, y := (*[2]float64)(a[i][row:]), &b[i]
		s00, s01 := x[0]*y[0]+float64(c00), x[0]*y[1]+float64(c01)
		s10, s11 := x[1]*y[0]+float64(c10), x[1]*y[1]+float64(c11)
		if roundsOnce(s00) && roundsOnce(s01) && roundsOnce(s10) && roundsOnce(s11) {
			c00, c01, c10, c11 = float32(s00), float32(s01), float32(s10), float32(s11)
			continue
		}
		x0, x1, y0, y1 := float32(x[0]), float32(x[1]), float32(y[0]), float32(y[1])
		c00, c01 = fma32(x0, y0, c00), fma32(x0, y1, c01)
		c10, c11 = fma32(x1, y0, c10), fma32(x1, y1, c11)
	}
	acc[0] = [tileCols]float32{c00, c01}
	acc[1] = [tileCols]float32{c10, c11}
}

// exactRun is exactTile for the sums of a pixelRun.
func exactRun(s *[runPixels]float32, r *pixelRun, img, w []float64) bool {
	w = w[:len(r.off)]
	var buf [runPixels]float64
	var c0, c1, c2, c3, c4, c5, c6, c7 float64
	for k, o := range r.off {
		x, v := elements(r, img, o, &buf), w[k]
		c0 += v * x[0]
		c1 += v * x[1]
		c2 += v * x[2]
		c3 += v * x[3]
		if halfWay(c0) || halfWay(c1) || halfWay(c2) || halfWay(c3) {
			return false
		}
		c0, c1, c2, c3 = float64(float32(c0)), float64(float32(c1)), float64(float32(c2)), float64(float32(c3))
		c4 += v * x[4]
		c5 += v * x[5]
		c6 += v * x[6]
		c7 += v * x[7]
		if halfWay(c4) || halfWay(c5) || halfWay(c6) || halfWay(c7) {
			return false
		}
		c4, c5, c6, c7 = float64(float32(c4)), float64(float32(c5)), float64(float32(c6)), float64(float32(c7))
	}
	*s = [runPixels]float32{float32(c0), float32(c1), float32(c2), float32(c3), float32(c4), float32(c5), float32(c6), float32(c7)}
	return true
}

// exactLanes is exactTile for eight of the sixteen lanes of d·x.
func exactLanes(s *[vecLanes / 2]float32, d, x []float64) bool {
	var c0, c1, c2, c3, c4, c5, c6, c7 float64
	for i := 0; i < len(d); i += vecLanes {
		e, f := (*[vecLanes / 2]float64)(d[i:]), (*[vecLanes / 2]float64)(x[i:])
		c0 += e[0] * f[0]
		c1 += e[1] * f[1]
		c2 += e[2] * f[2]
		c3 += e[3] * f[3]
		if halfWay(c0) || halfWay(c1) || halfWay(c2) || halfWay(c3) {
			return false
		}
		c0, c1, c2, c3 = float64(float32(c0)), float64(float32(c1)), float64(float32(c2)), float64(float32(c3))
		c4 += e[4] * f[4]
		c5 += e[5] * f[5]
		c6 += e[6] * f[6]
		c7 += e[7] * f[7]
		if halfWay(c4) || halfWay(c5) || halfWay(c6) || halfWay(c7) {
			return false
		}
		c4, c5, c6, c7 = float64(float32(c4)), float64(float32(c5)), float64(float32(c6)), float64(float32(c7))
	}
	*s = [vecLanes / 2]float32{float32(c0), float32(c1), float32(c2), float32(c3), float32(c4), float32(c5), float32(c6), float32(c7)}
	return true
}
