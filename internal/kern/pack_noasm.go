//go:build !amd64 || noasm

package kern

// How is packing done without assembly?

import "unsafe"

func callTranspose8(dst unsafe.Pointer, dstStride int, src unsafe.Pointer, srcStride, blocks int) {
	transposeGo(dst, dstStride, src, srcStride, 8, 8*blocks)
}

func callCopyRows(dst unsafe.Pointer, dstStride int, src unsafe.Pointer, srcStride, rows, n int) {
	panic("kern: no assembly")
}

func callCopyLanes(dst unsafe.Pointer, dstStride int, src unsafe.Pointer, srcStride, rows, n int) {
	panic("kern: no assembly")
}
