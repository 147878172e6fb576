//go:build amd64 && !noasm

package kern

// How are the packing kernels called?

import "unsafe"

func callTranspose8(dst unsafe.Pointer, dstStride int, src unsafe.Pointer, srcStride, blocks int) {
	transpose8((*byte)(dst), dstStride, (*byte)(src), srcStride, blocks)
}

func callCopyRows(dst unsafe.Pointer, dstStride int, src unsafe.Pointer, srcStride, rows, n int) {
	if n == tileLanes {
		copyRows64((*byte)(dst), dstStride, (*byte)(src), srcStride, rows)
	} else {
		copyRows128((*byte)(dst), dstStride, (*byte)(src), srcStride, rows)
	}
}

func callCopyLanes(dst unsafe.Pointer, dstStride int, src unsafe.Pointer, srcStride, rows, n int) {
	copyLanes((*byte)(dst), dstStride, (*byte)(src), srcStride, rows, int(columnMask(0, n)))
}
