package kern

// How is a row rounded whose elements have scales of their own?

// GridRow is a grid for each element of a row: the case of channels on the last axis.
// The slices have the row's length.
type GridRow struct {
	Scale  []float32
	Lo, Hi []float32 // smallest and largest code, relative to the zero point
}

// NewGridRow puts n grids side by side.
func NewGridRow(n int, grid func(i int) Grid) GridRow {
	r := GridRow{make([]float32, n), make([]float32, n), make([]float32, n)}
	for i := range n {
		g := grid(i)
		r.Scale[i] = g.Scale
		r.Lo[i], r.Hi[i] = g.limits()
	}
	return r
}

// FakeQuantizeRow is [FakeQuantize] of x with element i on grid from+i of the row. It
// works in the caller's goroutine, so a call should have no more than some thousand elements.
func FakeQuantizeRow(dst, x []float32, r GridRow, from int) {
	dst = dst[:len(x)]
	r = r.part(from, len(x))
	for i := fakeQuantizeRowFast(dst, x, r); i < len(x); i++ {
		dst[i] = steps(x[i], r.Scale[i], r.Lo[i], r.Hi[i]) * r.Scale[i]
	}
}

// STERow is [STE] with element i on grid from+i of the row, as FakeQuantizeRow.
func STERow(dx, x, dy []float32, r GridRow, from int) {
	dx, dy = dx[:len(x)], dy[:len(x)]
	r = r.part(from, len(x))
	for i := steRowFast(dx, x, dy, r); i < len(x); i++ {
		dx[i] = passing(x[i], dy[i], r.Scale[i], r.Lo[i], r.Hi[i])
	}
}

func (r GridRow) part(from, n int) GridRow {
	return GridRow{r.Scale[from:][:n], r.Lo[from:][:n], r.Hi[from:][:n]}
}

// rangeChunk is the number of elements whose columns one call looks at, 256 KiB: where one is
// not finite, the slow loop begins at their first row, while they are in a cache.
const rangeChunk = 64 << 10

// ColumnMinMax takes the finite values of x, rows of len(lo) columns, into the extremes
// of each column, and their numbers into count. It reports whether there was a NaN. lo
// starts at the largest float32 and hi at its negative; zeros count as +0.
func ColumnMinMax(lo, hi []float32, count []int, x []float32) (nan bool) {
	c := len(lo)
	for some := max(1, rangeChunk/c) * c; columnExtentFast(lo, hi, x[:min(some, len(x))]); x = x[min(some, len(x)):] {
		for i := range count {
			count[i] += min(some, len(x)) / c
		}
	}
	clean, width := 0, 0 // rows that are finite in their first elements, and how many these are
	for ; len(x) > 0; x = x[c:] {
		row := x[:c]
		done := 0
		if e, n := extentFast(row); e.clean {
			extentRowFast(lo, hi, row[:n])
			done, clean, width = n, clean+1, n
		}
		for i := done; i < c; i++ {
			e := extent{lo: lo[i], hi: hi[i], n: count[i]}
			e.take(row[i])
			lo[i], hi[i], count[i], nan = e.lo, e.hi, e.n, nan || e.nan
		}
	}
	for i := range count[:width] {
		count[i] += clean
	}
	for i := range lo {
		lo[i], hi[i] = lo[i]+0, hi[i]+0
	}
	return nan
}
