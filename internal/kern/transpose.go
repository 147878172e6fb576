package kern

// How fast can elements change their order?

import "unsafe"

// Transpose writes the transpose of a rows×cols matrix: element (c, r) of dst, whose rows
// are dstStride elements apart, is element (r, c) of src, whose rows are srcStride apart.
// It runs in the caller's goroutine.
func Transpose[F Float](dst []F, dstStride int, src []F, srcStride, rows, cols int) {
	if rows < 1 || cols < 1 {
		return
	}
	_, _ = dst[(cols-1)*dstStride+rows-1], src[(rows-1)*srcStride+cols-1]
	if unsafe.Sizeof(src[0]) == 4 {
		// Columns by blocks, so that what is written stays in the cache until whole lines
		// of it are there.
		for c := 0; c < cols; {
			n := min(transposeBlock, cols-c)
			if cols-c-n < 8 { // too few for vectors alone
				n = cols - c
			}
			transpose(unsafe.Pointer(&dst[c*dstStride]), 4*dstStride, unsafe.Pointer(&src[c]), 4*srcStride, rows, n)
			c += n
		}
		return
	}
	for r := range rows {
		for c, v := range src[r*srcStride:][:cols] {
			dst[c*dstStride+r] = v
		}
	}
}

// transposeBlock is the number of columns that are transposed together.
const transposeBlock = 128
