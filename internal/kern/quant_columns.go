package kern

// How are rows rounded whose columns have grids of their own, and what is kept?

// ColumnMaskLen is the number of bytes of the mask of a row of n elements in
// [FakeQuantizeColumns].
func ColumnMaskLen(n int) int { return (n + 15) / 16 * 2 }

// FakeQuantizeColumns is [FakeQuantizeKeep] of rows of n elements that lie behind one another,
// in dst, x and codes, with column i on grid from+i of r. The mask of each row has
// [ColumnMaskLen] bytes. All elements are finite and all codes fit a byte. It works in the
// caller's goroutine, so a call should have no more than some thousand elements.
func FakeQuantizeColumns(dst []float32, codes []int8, mask []uint8, x []float32, n int, r GridRow, from int) {
	if len(x) == 0 {
		return
	}
	dst, codes = dst[:len(x)], codes[:len(x)]
	r = r.part(from, n)
	wide := ColumnMaskLen(n)
	mask = mask[:len(x)/n*wide]
	done := fakeQuantizeColumnsFast(dst, codes, mask, x, n, r)
	if done == n {
		return
	}
	for at, m := 0, mask; at < len(x); at, m = at+n, m[wide:] {
		for i := done; i < n; i++ {
			if i%8 == 0 {
				m[i/8] = 0xff
			}
			v, lo, hi := x[at+i], r.Lo[i], r.Hi[i]
			q := steps(v, r.Scale[i], lo, hi)
			dst[at+i], codes[at+i] = q*r.Scale[i], int8(q)
			if passing(v, 1, r.Scale[i], lo, hi) == 0 {
				m[i/8] &^= 1 << (i % 8)
			}
		}
	}
}

// ClearUnsetColumns is [ClearUnset] of rows of n elements with the mask of
// [FakeQuantizeColumns].
func ClearUnsetColumns(x []float32, mask []uint8, n int) {
	wide := ColumnMaskLen(n)
	if n%64 == 0 { // the masks of the rows lie behind one another as the elements do
		ClearUnset(x, mask)
		return
	}
	for ; len(x) > 0; x, mask = x[n:], mask[wide:] {
		ClearUnset(x[:n], mask[:MaskLen(1, 1, n)])
	}
}
