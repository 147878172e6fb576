package kern

import (
	"math/rand/v2"
	"testing"
	"unsafe"
)

// FuzzPack is for the kernels that copy and transpose.
func FuzzPack(f *testing.F) {
	f.Add(uint64(1), uint8(20), uint16(33))
	f.Add(uint64(2), uint8(8), uint16(600))
	f.Fuzz(func(t *testing.T, seed uint64, rows uint8, cols uint16) {
		r := rand.New(rand.NewPCG(seed, 6))
		eachLevel(t, func(t *testing.T) {
			checkTranspose(t, 1+int(rows)%60, 1+int(cols)%700)
			checkCopyRows(t, 1+int(cols)%700, 1+int(rows)%32, r.IntN(9), r.IntN(9))
		})
	})
}

// checkCopyRows copies rows of n dwords between buffers with gaps behind the rows.
func checkCopyRows(t *testing.T, rows, n, srcGap, dstGap int) {
	t.Helper()
	from, to := n+srcGap, n+dstGap
	src, dst := make([]uint32, rows*from), make([]uint32, rows*to+2)
	for i := range src {
		src[i] = uint32(i) * 0x9e3779b9
	}
	for i := range dst {
		dst[i] = tileGuard
	}
	want := append([]uint32(nil), dst...)
	for i := range rows {
		copy(want[1+i*to:][:n], src[i*from:])
	}
	copyRows(unsafe.Pointer(&dst[1]), 4*to, unsafe.Pointer(&src[0]), 4*from, rows, n)
	wantSame(t, "rows", dst, want)
}
