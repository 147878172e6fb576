//go:build amd64 && !noasm

package kern

// How are the elementwise kernels called?

// The functions here do the first elements of a stretch in assembly and return how
// many (whole vectors of eight, or 0 where the level or the case has no assembly), or
// they do all or nothing and return which.
// Callers keep a stretch below about 10 µs (elemChunk), and the loops behind the calls,
// which define the results, do the rest.

// whole returns how many of n elements the assembly takes.
func whole(n int) int {
	if level < LevelAVX2 {
		return 0
	}
	return n &^ 7
}

// first returns the address of the first mask byte, nil for no mask.
func first[T any](s []T) *T {
	if len(s) == 0 {
		return nil
	}
	return &s[0]
}

func affineRowsFast(f *finish, dst, x []float32, width int, k1, k2 []float32, mask []uint8) bool {
	if level < LevelAVX2 || f.odd {
		return false
	}
	d, s, m, k, rows := &dst[:len(x)][0], &x[0], first(mask), &f.k.lo, len(x)/width
	switch {
	case k1 == nil && f.grid:
		finishQuantAVX2(d, s, width, rows, k, m)
	case k1 == nil:
		finishAVX2(d, s, width, rows, k, m)
	case rows == 1 && len(k1) > 1 && f.grid:
		finishRowQuantAVX2(d, s, width, k, m, &k1[0], &k2[0])
	case rows == 1 && len(k1) > 1:
		finishRowAVX2(d, s, width, k, m, &k1[0], &k2[0])
	case f.grid:
		finishPlaneQuantAVX2(d, s, width, rows, k, m, &k1[0], &k2[0])
	default:
		finishPlaneAVX2(d, s, width, rows, k, m, &k1[0], &k2[0])
	}
	return true
}

func addRowsFast(f *finish, dst, a, b []float32, width int, mask []uint8) bool {
	if level < LevelAVX2 || f.odd {
		return false
	}
	d, x, y, rows, k, m := &dst[:len(a)][0], &a[0], &b[:len(a)][0], len(a)/width, &f.k.lo, first(mask)
	if f.grid {
		finishAddQuantAVX2(d, x, y, width, rows, k, m)
	} else {
		finishAddAVX2(d, x, y, width, rows, k, m)
	}
	return true
}

// check panics unless the planes lie within x, since the assembly does not look.
func (p *planes) check(x []float32) { _ = x[p.at+(p.count-1)*p.stride+p.width-1] }

func statsAddFast(l *lanes, x []float32, p planes) (extent, bool) {
	if level < LevelAVX2 {
		return noExtent, false
	}
	p.check(x)
	var out [2]float32
	var bad uint32
	if level >= LevelAVX512 {
		bad = statsAVX512(&x[p.at], p.width, p.count, p.stride, &l.a[0], &out[0])
	} else {
		bad = statsAVX2(&x[p.at], p.width, p.count, p.stride, &l.a[0], &out[0])
	}
	return vectorExtent(out, p.width*p.count, bad), true
}

// vectorExtent is what the assembly found in n elements. With anything not finite
// only clean means something.
func vectorExtent(out [2]float32, n int, bad uint32) extent {
	return extent{lo: out[0] + 0, hi: out[1] + 0, n: n, clean: bad == 0}
}

func maskedAddFast(l *lanes, dy, x []float32, mask []uint8, p planes) bool {
	if level < LevelAVX2 {
		return false
	}
	p.check(dy)
	var m *uint8
	if mask != nil {
		m = &mask[p.bit]
		_ = mask[p.bit+(p.count-1)*p.bits+(p.width-1)/8]
	}
	wide := level >= LevelAVX512
	d, to := &dy[p.at], &l.a[0]
	if x == nil {
		switch {
		case wide && m == nil:
			sumAVX512(d, p.width, p.count, p.stride, to)
		case wide:
			maskedSumAVX512(d, p.width, p.count, p.stride, to, m, p.bits)
		default:
			maskedSumAVX2(d, p.width, p.count, p.stride, to, m, p.bits)
		}
		return true
	}
	p.check(x)
	v := &x[p.at]
	switch {
	case wide && m == nil:
		sumsAVX512(d, v, p.width, p.count, p.stride, to)
	case wide:
		maskedSumsAVX512(d, v, p.width, p.count, p.stride, to, m, p.bits)
	default:
		maskedSumsAVX2(d, v, p.width, p.count, p.stride, to, m, p.bits)
	}
	return true
}

func maskScaleFast(dx, dy []float32, width int, mask []uint8, p []float32) bool {
	if level < LevelAVX2 {
		return false
	}
	d, s, m, rows := &dx[:len(dy)][0], &dy[0], first(mask), len(dy)/width
	switch {
	case p == nil:
		maskScaleAVX2(d, s, width, rows, m)
	case rows == 1 && len(p) > 1:
		maskScaleRowAVX2(d, s, width, m, &p[0])
	default:
		maskScalePlaneAVX2(d, s, width, rows, m, &p[0])
	}
	return true
}

func backwardFast(dx, dy, x []float32, width int, mask []uint8, p, q, r []float32) bool {
	if level < LevelAVX2 {
		return false
	}
	d, s, v, m, rows := &dx[:len(dy)][0], &dy[0], &x[:len(dy)][0], first(mask), len(dy)/width
	if rows == 1 && len(p) > 1 {
		backwardRowAVX2(d, s, v, width, m, &q[0], &r[0], &p[0])
	} else {
		backwardPlaneAVX2(d, s, v, width, rows, m, &q[0], &r[0], &p[0])
	}
	return true
}

func extentFast(x []float32) (extent, int) {
	n := whole(len(x))
	if n == 0 {
		return noExtent, 0
	}
	var out [2]float32
	if wide := n &^ 15; level >= LevelAVX512 && wide > 0 {
		bad := extentAVX512(&x[0], wide, &out[0])
		return vectorExtent(out, wide, bad), wide
	}
	bad := extentAVX2(&x[0], n, &out[0])
	return vectorExtent(out, n, bad), n
}

func addExtentFast(a, b []float32) (extent, int) {
	n := whole(len(a))
	if n == 0 {
		return noExtent, 0
	}
	b = b[:n]
	var out [2]float32
	bad := addExtentAVX2(&a[0], &b[0], n, &out[0])
	return vectorExtent(out, n, bad), n
}

func addTo64Fast(sums []float64, x []float32) int {
	n := whole(len(x))
	if n > 0 {
		sums = sums[:n]
		addTo64AVX2(&sums[0], &x[0], n)
	}
	return n
}
