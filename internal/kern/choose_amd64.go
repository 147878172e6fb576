//go:build amd64 && !noasm

package kern

// How are the kernels of comparisons and choices called? As those of elem_amd64.go.

func compareFast[F Float](r Relation, dst, a, b []F) int {
	x, n := vectors(a)
	if n == 0 {
		return 0
	}
	d, y := &float32s(dst)[:n][0], &float32s(b)[:n][0]
	switch r {
	case Less:
		lessAVX2(d, &x[0], y, n)
	case LessEqual:
		lessEqualAVX2(d, &x[0], y, n)
	case Equal:
		equalAVX2(d, &x[0], y, n)
	default:
		notEqualAVX2(d, &x[0], y, n)
	}
	return n
}

func compareOneFast[F Float](r Relation, dst, a []F, b F) int {
	x, n := vectors(a)
	if n == 0 {
		return 0
	}
	d, y := &float32s(dst)[:n][0], float32(b)
	switch r {
	case Less:
		lessOneAVX2(d, &x[0], n, y)
	case LessEqual:
		lessEqualOneAVX2(d, &x[0], n, y)
	case Equal:
		equalOneAVX2(d, &x[0], n, y)
	case NotEqual:
		notEqualOneAVX2(d, &x[0], n, y)
	case Greater:
		greaterOneAVX2(d, &x[0], n, y)
	default:
		greaterEqualOneAVX2(d, &x[0], n, y)
	}
	return n
}

func selectFast[F Float](dst, cond, a []F, da int, b []F, db int) int {
	c, n := vectors(cond)
	if n == 0 {
		return 0
	}
	d, x, y := &float32s(dst)[:n][0], float32s(a), float32s(b)
	switch {
	case da == 1 && db == 1:
		selectAVX2(d, &c[0], &x[:n][0], &y[:n][0], n)
	case da == 1:
		selectRightOneAVX2(d, &c[0], &x[:n][0], &y[0], n)
	case db == 1:
		selectLeftOneAVX2(d, &c[0], &x[0], &y[:n][0], n)
	default:
		selectOnesAVX2(d, &c[0], &x[0], &y[0], n)
	}
	return n
}

func rowExtremeFast[F Float](out, x []F, n int, smallest bool) bool {
	s, rows, ok := rowsFit(x, n)
	if !ok {
		return false
	}
	to := &float32s(out)[:rows][0]
	switch wide := wideRows(); {
	case wide && smallest:
		rowSmallestAVX512(&s[0], n, rows, to)
	case wide:
		rowLargestAVX512(&s[0], n, rows, to)
	case smallest:
		rowSmallestAVX2(&s[0], n, rows, to)
	default:
		rowLargestAVX2(&s[0], n, rows, to)
	}
	return true
}

// rowFindFast returns how many elements, whole vectors, come before the one that has v.
func rowFindFast[F Float](row []F, v F) int {
	x, n := vectors(row)
	if n == 0 {
		return 0
	}
	return rowFindAVX2(&x[0], n, float32(v))
}

func giveOnceFast[F Float](dx, left, x, top []F) int {
	d, n := vectors(dx)
	if n > 0 {
		giveOnceAVX2(&d[0], &float32s(left)[:n][0], &float32s(x)[:n][0], &float32s(top)[:n][0], n)
	}
	return n
}
