//go:build !amd64 || noasm

package kern

func mapCodesFast(dst, x []uint8, table *[256]uint8) int { return 0 }

func widenFast(dst []int16, codes []uint8, zeroPoint int16) int { return 0 }

func transposeCodesFast(dst []uint8, dstStride int, src []uint8, srcStride, rows, cols int) bool {
	return false
}

func quantizeRowFast(dst []int8, x []float32, r GridRow) int { return 0 }

func (a *pairArgs) fast(mul bool, n int) int { return 0 }
