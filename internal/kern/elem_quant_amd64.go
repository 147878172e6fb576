//go:build amd64 && !noasm

package kern

// How are the kernels that round called?

import "unsafe"

func quantizeFast[C Code](dst []C, x []float32, g Grid) int {
	n := whole(len(x))
	if n == 0 {
		return 0
	}
	var k finishConst
	k.setGrid(g)
	switch d := any(dst).(type) {
	case []int8:
		quantizeI8AVX2(&d[:n][0], &x[0], n, &k.lo, g.ZeroPoint)
	case []uint8:
		quantizeU8AVX2(&d[:n][0], &x[0], n, &k.lo, g.ZeroPoint)
	case []int16:
		quantizeI16AVX2(&d[:n][0], &x[0], n, &k.lo, g.ZeroPoint)
	case []int32:
		quantizeI32AVX2(&d[:n][0], &x[0], n, &k.lo, g.ZeroPoint)
	default: // a named type
		return 0
	}
	return n
}

func dequantizeFast[C Code](dst []float32, q []C, g Grid) int {
	n := whole(len(q))
	if n == 0 {
		return 0
	}
	to := &dst[:n][0]
	switch s := any(q).(type) {
	case []int8:
		dequantizeI8AVX2(to, &s[0], n, g.Scale, g.ZeroPoint)
	case []uint8:
		dequantizeU8AVX2(to, &s[0], n, g.Scale, g.ZeroPoint)
	case []int16:
		dequantizeI16AVX2(to, &s[0], n, g.Scale, g.ZeroPoint)
	case []int32:
		dequantizeI32AVX2(to, &s[0], n, g.Scale, g.ZeroPoint)
	default:
		return 0
	}
	return n
}

func fakeQuantizeFast(dst, x []float32, g Grid) int {
	n := whole(len(x))
	if n > 0 {
		var k finishConst
		k.setGrid(g)
		fakeQuantAVX2(&dst[:n][0], &x[0], n, &k.lo)
	}
	return n
}

func fakeQuantizeKeepFast(dst []float32, codes []int8, mask []uint8, x []float32, g Grid, clips bool) int {
	n := whole(len(x))
	if n == 0 || clips && !g.proper() {
		return 0
	}
	var k finishConst
	k.setGrid(g)
	k.from, k.to = -maxFloat32, maxFloat32
	if clips {
		k.setPass()
	}
	if wide := n &^ 15; level >= LevelAVX512 && wide > 0 {
		fakeQuantKeepAVX512(&dst[:wide][0], &x[0], wide, &k.lo, &codes[:wide][0], &mask[:wide/8][0])
		return wide
	}
	fakeQuantKeepAVX2(&dst[:n][0], &x[0], n, &k.lo, &codes[:n][0], &mask[:n/8][0])
	return n
}

// clearUnsetFast does whole words of 64 bits and returns how many.
func clearUnsetFast(x []float32, mask []uint8) int {
	n := len(mask) / 8
	if level < LevelAVX512 || n == 0 {
		return 0
	}
	_ = x[64*n-8] // the last byte of the mask has an element
	clearUnsetAVX512(&x[0], &mask[0], n)
	return n
}

// fakeQuantizeStream is fakeQuantize with stores past the caches, where they can be
// aligned.
func fakeQuantizeStream(dst, x []float32, g Grid) {
	head := min(len(x), int(-uintptr(unsafe.Pointer(&dst[0]))%64)/4)
	fakeQuantize(dst[:head], x[:head], g)
	dst, x = dst[head:], x[head:]
	if n := whole(len(x)) &^ 15; n > 0 {
		var k finishConst
		k.setGrid(g)
		if level < LevelAVX512 {
			fakeQuantStreamAVX2(&dst[:n][0], &x[0], n, &k.lo)
		} else {
			fakeQuantStreamAVX512(&dst[:n][0], &x[0], n, &k.lo)
		}
		dst, x = dst[n:], x[n:]
	}
	fakeQuantize(dst, x, g)
}

func steFast(dx, x, dy []float32, g Grid) int {
	n := whole(len(x))
	if n == 0 || !g.proper() {
		return 0
	}
	var k finishConst
	k.setGrid(g)
	k.setPass()
	steAVX2(&dx[:n][0], &x[0], &dy[:n][0], n, &k.lo)
	return n
}

func fakeQuantizeRowFast(dst, x []float32, r GridRow) int {
	n := whole(len(x))
	if n > 0 {
		fakeQuantRowAVX2(&dst[:n][0], &x[0], n, &r.Scale[0], &r.Lo[0], &r.Hi[0])
	}
	return n
}

func steRowFast(dx, x, dy []float32, r GridRow) int {
	n := whole(len(x))
	if n > 0 {
		steRowAVX2(&dx[:n][0], &x[0], &dy[:n][0], n, &r.Scale[0], &r.Lo[0], &r.Hi[0])
	}
	return n
}

func lsqFast(dx, x, dy []float32, g Grid, l *lanes) int {
	n := whole(len(x))
	if n > 0 {
		var k finishConst
		k.setGrid(g)
		lsqAVX2(&dx[:n][0], &x[0], &dy[:n][0], n, &k.lo, &l.a[0])
	}
	return n
}

func lsqRowFast(dx, x, dy []float32, r GridRow, ds, dz []float64) int {
	n := whole(len(x))
	if n > 0 {
		lsqRowAVX2(&dx[:n][0], &x[0], &dy[:n][0], n, &r.Scale[0], &r.Lo[0], &r.Hi[0], &ds[:n][0], &dz[:n][0])
	}
	return n
}

// extentRowFast wants a multiple of eight elements, which extentFast has found finite.
func extentRowFast(lo, hi, x []float32) {
	n := len(x)
	extentRowAVX2(&lo[:n][0], &hi[:n][0], &x[0], n)
}

// columnExtentFast takes rows that are finite into the extremes of their columns. Where it
// reports false, it may have taken in some columns.
func columnExtentFast(lo, hi, x []float32) bool {
	n := len(lo)
	if level < LevelAVX512 || n == 0 || len(x) < n {
		return false
	}
	return columnExtentAVX512(&lo[0], &hi[:n][0], &x[0], n, len(x)/n, n) == 0
}

// fakeQuantizeColumnsFast returns the number of columns that it has done.
func fakeQuantizeColumnsFast(dst []float32, codes []int8, mask []uint8, x []float32, n int, r GridRow) int {
	rows, width := len(x)/n, ColumnMaskLen(n)
	if level >= LevelAVX512 {
		fakeQuantColumnsAVX512(&dst[0], &x[0], n, rows, n, &r.Scale[0], &r.Lo[0], &r.Hi[0], &codes[0], &mask[0], width)
		return n
	}
	done := whole(n)
	if done > 0 {
		fakeQuantColumnsAVX2(&dst[0], &x[0], done, rows, n, &r.Scale[0], &r.Lo[0], &r.Hi[0], &codes[0], &mask[0], width)
	}
	return done
}
