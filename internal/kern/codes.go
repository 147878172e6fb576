package kern

// What moves and maps bytes: codes through a table, and across a matrix.

//go:generate go -C _gen run . -set codes -out ../codes_amd64.s -stubs ../codes_stubs_amd64.go

import (
	"encoding/binary"
	"unsafe"

	"github.com/goqat/goqat/internal/par"
)

// codesGrain is the number of codes that are worth a goroutine.
const codesGrain = 32 << 10

// mapGrain is that of a lookup, which takes a fraction of a cycle.
const mapGrain = 128 << 10

// MapCodes writes table[u] for every code u of x. dst may be x.
func MapCodes(threads int, dst, x []uint8, table *[256]uint8) {
	par.ForN(threads, len(x), mapGrain, func(lo, hi int) {
		d, s := dst[lo:hi], x[lo:hi]
		for i := mapCodesFast(d, s, table); i < len(s); i++ {
			d[i] = table[s[i]]
		}
	})
}

// TransposeCodes writes the transpose of src, rows of cols bytes that begin srcStride
// bytes apart, into dst, cols rows that begin dstStride apart. It works in the caller's
// goroutine.
func TransposeCodes(dst []uint8, dstStride int, src []uint8, srcStride, rows, cols int) {
	if transposeCodesFast(dst, dstStride, src, srcStride, rows, cols) {
		return
	}
	for r := range rows {
		for c, u := range src[r*srcStride:][:cols] {
			dst[c*dstStride+r] = u
		}
	}
}

// QuantizeRow writes the centred codes q - zero_point of x, all of which fit a C, with
// element i on grid from+i of the row. As FakeQuantizeRow, it works in the caller's
// goroutine.
func QuantizeRow[C int8 | int16](dst []C, x []float32, r GridRow, from int) {
	dst = dst[:len(x)]
	r = r.part(from, len(x))
	i := 0
	if bytes, ok := any(dst).([]int8); ok {
		i = quantizeRowFast(bytes, x, r)
	}
	for ; i < len(x); i++ {
		dst[i] = C(steps(x[i], r.Scale[i], r.Lo[i], r.Hi[i]))
	}
}

// WidenCodes writes the centred codes q - zero_point of biased codes as 16-bit numbers. It
// works in the caller's goroutine.
func WidenCodes(dst []int16, codes []uint8, zeroPoint int16) {
	dst = dst[:len(codes)]
	for i := widenFast(dst, codes, zeroPoint); i < len(codes); i++ {
		dst[i] = int16(codes[i]) - zeroPoint
	}
}

// CentreCodes writes the centred codes q - zero_point of biased codes, all of which fit a
// byte. It works in the caller's goroutine.
func CentreCodes(dst []int8, codes []uint8, zeroPoint int32) {
	const high = 0x8080808080808080
	z := uint8(zeroPoint)
	all := uint64(z) * 0x0101010101010101
	low, flip := all&^high, ^all&high
	d := unsafe.Slice((*uint8)(unsafe.Pointer(unsafe.SliceData(dst))), len(codes))
	i := 0
	for ; i+8 <= len(codes); i += 8 { // eight differences at a time, without borrows between them
		x := binary.LittleEndian.Uint64(codes[i:])
		binary.LittleEndian.PutUint64(d[i:], ((x|high)-low)^((x&high)^flip))
	}
	for ; i < len(codes); i++ {
		d[i] = codes[i] - z
	}
}
