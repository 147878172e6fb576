//go:build amd64 && !noasm

package kern

import "golang.org/x/sys/cpu"

// hasVBMI says that the processor permutes bytes across a vector. It is no level: the
// results are the same.
var hasVBMI = cpu.X86.HasAVX512VBMI

// mapCodesFast maps a leading part of x and returns how much.
func mapCodesFast(dst, x []uint8, table *[256]uint8) int {
	n := len(x)
	switch {
	case n == 0:
	case level >= LevelAVX512 && hasVBMI:
		mapCodesVBMI(&dst[:n][0], &x[0], &table[0], n/64, 1<<(n%64)-1)
		return n
	case level >= LevelAVX2 && n >= 64:
		mapCodesAVX2(&dst[:n][0], &x[0], &table[0], n/64)
		return n &^ 63
	}
	return 0
}

// widenFast widens a leading part of the codes and returns how much.
func widenFast(dst []int16, codes []uint8, zeroPoint int16) int {
	n := len(codes) &^ 15
	if level < LevelAVX2 || n == 0 {
		return 0
	}
	for lo := 0; lo < n; lo += elemChunk {
		hi := min(n, lo+elemChunk)
		widenAVX2(&dst[lo:hi][0], &codes[lo], hi-lo, zeroPoint)
	}
	return n
}

// Blocks of transposeBytesAVX2.
const transposeRows, transposeCols = 16, 8

// transposeCodesFast transposes by blocks. The last ones of a row and of a column
// overlap those before.
func transposeCodesFast(dst []uint8, dstStride int, src []uint8, srcStride, rows, cols int) bool {
	if level < LevelAVX2 || rows < transposeRows || cols < transposeCols {
		return false
	}
	_, _ = src[(rows-1)*srcStride+cols-1], dst[(cols-1)*dstStride+rows-1]
	for r := 0; r < rows; r += transposeRows {
		r := min(r, rows-transposeRows)
		transposeBytesAVX2(&dst[r], dstStride, &src[r*srcStride], srcStride, cols/transposeCols)
		if c := cols - transposeCols; cols%transposeCols > 0 {
			transposeBytesAVX2(&dst[c*dstStride+r], dstStride, &src[r*srcStride+c], srcStride, 1)
		}
	}
	return true
}

func quantizeRowFast(dst []int8, x []float32, r GridRow) int {
	n := whole(len(x))
	if n > 0 {
		quantizeRowAVX2(&dst[:n][0], &x[0], n, &r.Scale[0], &r.Lo[0], &r.Hi[0])
	}
	return n
}

// fast computes a leading part of n codes and returns how many.
func (a *pairArgs) fast(mul bool, n int) int {
	switch {
	case level >= LevelAVX512:
		a.full, a.tail = n/tileLanes, 1<<(n%tileLanes)-1
		switch {
		case mul && a.b == nil:
			oneMulAVX512(args(a))
		case mul:
			pairMulAVX512(args(a))
		case a.b == nil:
			oneAddAVX512(args(a))
		default:
			pairAddAVX512(args(a))
		}
		return n
	case level == LevelAVX2 && n >= 32:
		a.full = n / 32
		switch {
		case mul && a.b == nil:
			oneMulAVX2(args(a))
		case mul:
			pairMulAVX2(args(a))
		case a.b == nil:
			oneAddAVX2(args(a))
		default:
			pairAddAVX2(args(a))
		}
		return 32 * a.full
	}
	return 0
}
