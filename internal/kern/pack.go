package kern

// How is a matrix transposed into tile order?

import "unsafe"

//go:generate go -C _gen run . -set pack -out ../pack_amd64.s -stubs ../pack_stubs_amd64.go

// transpose writes the transpose of a rows×cols matrix of dwords: dword (c, r) of
// dst is dword (r, c) of src. Strides are in bytes from one row to the next;
// the matrices must not overlap. To pack the panel of up to 32 columns
// that a tile reads, take the panel's columns as rows of src and a dstStride of
// 128.
func transpose(dst unsafe.Pointer, dstStride int, src unsafe.Pointer, srcStride, rows, cols int) {
	if level < LevelAVX2 || rows < 8 || cols < 8 {
		transposeGo(dst, dstStride, src, srcStride, rows, cols)
		return
	}
	for r := 0; r < rows; r += 8 {
		r = min(r, rows-8) // the last rows again rather than fewer than eight
		transpose8Rows(unsafe.Add(dst, 4*r), dstStride, unsafe.Add(src, r*srcStride), srcStride, cols)
	}
}

// transposeBlocks bounds the time of one call.
const transposeBlocks = KC / 8

// transpose8Rows transposes eight rows of at least eight dwords.
func transpose8Rows(dst unsafe.Pointer, dstStride int, src unsafe.Pointer, srcStride, cols int) {
	for c := 0; c < cols; {
		c = min(c, cols-8)
		blocks := min((cols-c)/8, transposeBlocks)
		callTranspose8(unsafe.Add(dst, c*dstStride), dstStride, unsafe.Add(src, 4*c), srcStride, blocks)
		c += 8 * blocks
	}
}

func transposeGo(dst unsafe.Pointer, dstStride int, src unsafe.Pointer, srcStride, rows, cols int) {
	for r := range rows {
		from, to := unsafe.Add(src, r*srcStride), unsafe.Add(dst, 4*r)
		for c := range cols {
			*(*uint32)(unsafe.Add(to, c*dstStride)) = *(*uint32)(unsafe.Add(from, 4*c))
		}
	}
}

// copyRows copies rows of n dwords. Strides are in bytes.
func copyRows(dst unsafe.Pointer, dstStride int, src unsafe.Pointer, srcStride, rows, n int) {
	whole := n == tileLanes || n == 2*tileLanes
	if level >= LevelAVX2 && whole || level >= LevelAVX512 && n < 2*tileLanes {
		for r := 0; r < rows; r += KC {
			to, from, part := unsafe.Add(dst, r*dstStride), unsafe.Add(src, r*srcStride), min(KC, rows-r)
			switch {
			case whole:
				callCopyRows(to, dstStride, from, srcStride, part, n)
			case n < tileLanes:
				callCopyLanes(to, dstStride, from, srcStride, part, n)
			default:
				callCopyRows(to, dstStride, from, srcStride, part, tileLanes)
				callCopyLanes(unsafe.Add(to, 4*tileLanes), dstStride, unsafe.Add(from, 4*tileLanes), srcStride, part, n-tileLanes)
			}
		}
		return
	}
	for r := range rows {
		copy(unsafe.Slice((*uint32)(unsafe.Add(dst, r*dstStride)), n), unsafe.Slice((*uint32)(unsafe.Add(src, r*srcStride)), n))
	}
}
