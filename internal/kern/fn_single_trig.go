package kern

// Sine and cosine in float32, see fn_single.go, of arguments up to 2^17. Larger ones, which have lost most
// of their turn, are reduced in whole numbers, see fn_trig.go.

import "math"

// turnStretch is the number of elements of which one that is too large makes all be computed in
// portable code.
const turnStretch = 512

// stretches calls do with stretches of x for which there are vectors, or not, if f has some.
func stretches(f Fn, x []float32, do func(lo, hi int, vectors bool)) {
	if f != FnSin && f != FnCos {
		do(0, len(x), true)
		return
	}
	for lo := 0; lo < len(x); lo += turnStretch {
		hi := min(lo+turnStretch, len(x))
		e := extentOf(x[lo:hi])
		do(lo, hi, e.n == hi-lo && e.lo >= -singleTurnMax && e.hi <= singleTurnMax)
	}
}

// sineOf is the sine of x + quarters·π/2.
func sineOf(x float32, quarters uint32) float32 {
	if !(absSingle(x) <= singleTurnMax) {
		return float32(sinOf(float64(x), uint64(quarters)))
	}
	t := fuse(x, singleTwoOverPi, singleWhole)
	n, r := t-singleWhole, x
	for _, part := range singleHalfPi {
		r = fuse(-n, part, r)
	}
	turn := math.Float32bits(t) + quarters
	r2 := float32(r * r)
	y := fuse(float32(hornerSingle(singleSinPoly[:], r2)*r2), r, r)
	if turn&1 == 1 {
		y = hornerSingle(singleCosPoly[:], r2)
	}
	return math.Float32frombits(math.Float32bits(y) ^ turn<<30&singleSign)
}

var (
	sinPair = single(func(x float32) float32 { return sineOf(x, 0) }, func(x float32) float32 { return sineOf(x, 1) })
	cosPair = single(func(x float32) float32 { return sineOf(x, 1) }, func(x float32) float32 { return sineOf(x, 2) })
)
