//go:build amd64 && !noasm

package kern

// rowsFit reports whether the assembly takes rows of n elements, and panics where a
// slice is too short for them, since the assembly does not look. One call runs through
// all rows: callers keep them below about 10 µs.
func rowsFit[F Float](x []F, n int) ([]float32, int, bool) {
	s := float32s(x)
	if s == nil || level < LevelAVX2 || len(s) < n {
		return nil, 0, false
	}
	return s, len(s) / n, true
}

func wideRows() bool { return level >= LevelAVX512 }

func rowMomentsFast[F Float](out []float64, x []F, n int) bool {
	s, rows, ok := rowsFit(x, n)
	if !ok {
		return false
	}
	to := &out[:2*rows][0]
	if wideRows() {
		rowMomentsAVX512(&s[0], n, rows, to)
	} else {
		rowMomentsAVX2(&s[0], n, rows, to)
	}
	return true
}

func rowDotFast[F Float](out []float64, x, y []F, n int) bool {
	s, rows, ok := rowsFit(x, n)
	if !ok {
		return false
	}
	to, v := &out[:rows][0], &float32s(y)[:len(s)][0]
	if wideRows() {
		rowDotAVX512(&s[0], v, n, rows, to)
	} else {
		rowDotAVX2(&s[0], v, n, rows, to)
	}
	return true
}

func rowMaxFast[F Float](out, x []F, n int) bool {
	s, rows, ok := rowsFit(x, n)
	if !ok {
		return false
	}
	to := &float32s(out)[:rows][0]
	if wideRows() {
		rowMaxAVX512(&s[0], n, rows, to)
	} else {
		rowMaxAVX2(&s[0], n, rows, to)
	}
	return true
}

// normStatsFast and normMeansFast do groups of four rows of sums, two numbers a row, and
// return how many rows that is.
func normStatsFast[F Float](o *Norm, sums []float64, stats []F) int {
	to, rows := fours(sums, stats)
	if rows > 0 {
		normStatsAVX2(&sums[0], rows, &to[0], float64(o.Width), o.Eps, o.meanBits())
	}
	return rows
}

func normMeansFast[F Float](o *Norm, sums []float64, means []F) int {
	to, rows := fours(sums, means)
	if rows > 0 {
		normMeansAVX2(&sums[0], rows, &to[0], float64(o.Width), o.meanBits())
	}
	return rows
}

// roundSumsFast and addSumsFast do a leading part, whole vectors, and return how much.
func roundSumsFast[F Float](dst []F, sums []float64, div float64) int {
	to, n := float32s(dst), len(sums)&^3
	if to == nil || level < LevelAVX2 {
		return 0
	}
	for lo := 0; lo < n; lo += elemChunk {
		hi := min(n, lo+elemChunk)
		roundSumsAVX2(&to[lo:hi][0], &sums[lo], hi-lo, div)
	}
	return n
}

func addSumsFast(sums, x []float64) int {
	n := len(x) &^ 3
	if level < LevelAVX2 {
		return 0
	}
	for lo := 0; lo < n; lo += elemChunk {
		hi := min(n, lo+elemChunk)
		addSumsAVX2(&sums[lo:hi][0], &x[lo], hi-lo)
	}
	return n
}

func addProductsFast(sums []float64, a, b []float32) int {
	n := len(sums) &^ 3
	if level < LevelAVX2 {
		return 0
	}
	for lo := 0; lo < n; lo += elemChunk {
		hi := min(n, lo+elemChunk)
		addProductsAVX2(&sums[lo:hi][0], &a[lo:hi][0], &b[lo:hi][0], hi-lo)
	}
	return n
}

// fours is the float32 room for the rows, in fours, that have two sums each.
func fours[F Float](sums []float64, out []F) ([]float32, int) {
	to, rows := float32s(out), len(sums)/2&^3
	if to == nil || level < LevelAVX2 || rows == 0 {
		return nil, 0
	}
	return to[:2*rows], rows
}

// meanBits is a mask for means, which RMS normalisation does without.
func (o *Norm) meanBits() uint64 {
	if o.RMS {
		return 0
	}
	return ^uint64(0)
}

func normRowsFast[F Float](dst, x []F, n int, gamma, beta, stats []F) bool {
	s, rows, ok := rowsFit(x, n)
	if !ok {
		return false
	}
	d, g, b, st := &float32s(dst)[:len(s)][0], &float32s(gamma)[:n][0], &float32s(beta)[:n][0], &float32s(stats)[:2*rows][0]
	if wideRows() {
		normRowsAVX512(d, &s[0], n, rows, g, b, st)
	} else {
		normRowsAVX2(d, &s[0], n, rows, g, b, st)
	}
	return true
}

func normDotsFast[F Float](out, dgamma, dbeta []float64, dy, x []F, n int, gamma, stats []F) bool {
	s, rows, ok := rowsFit(x, n)
	if !ok {
		return false
	}
	room := (n + 15) &^ 15
	d, g, st := &float32s(dy)[:len(s)][0], &float32s(gamma)[:n][0], &float32s(stats)[:2*rows][0]
	to, dg, db := &out[:2*rows][0], &dgamma[:room][0], &dbeta[:room][0]
	if wideRows() {
		normDotsAVX512(d, &s[0], n, rows, g, st, dg, db, to)
	} else {
		normDotsAVX2(d, &s[0], n, rows, g, st, dg, db, to)
	}
	return true
}

func normBackFast[F Float](dx, dy, x []F, n int, gamma, stats, means []F) bool {
	s, rows, ok := rowsFit(x, n)
	if !ok {
		return false
	}
	to, d, g := &float32s(dx)[:len(s)][0], &float32s(dy)[:len(s)][0], &float32s(gamma)[:n][0]
	st, m := &float32s(stats)[:2*rows][0], &float32s(means)[:2*rows][0]
	if wideRows() {
		normBackAVX512(to, d, &s[0], n, rows, g, st, m)
	} else {
		normBackAVX2(to, d, &s[0], n, rows, g, st, m)
	}
	return true
}

func softmaxBackFast[F Float](dx, y, dy []F, n int, sums []F) bool {
	s, rows, ok := rowsFit(y, n)
	if !ok {
		return false
	}
	to, d, t := &float32s(dx)[:len(s)][0], &float32s(dy)[:len(s)][0], &float32s(sums)[:rows][0]
	if wideRows() {
		softmaxBackAVX512(to, &s[0], d, n, rows, t)
	} else {
		softmaxBackAVX2(to, &s[0], d, n, rows, t)
	}
	return true
}
