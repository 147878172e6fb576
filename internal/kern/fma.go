package kern

// How is a product added with one rounding, where there is no instruction for it?

import "math"

// fma32 returns a·b+c rounded once to float32, as a fused multiply-add does.
//
// The product of two float32 is exact in float64, so that only the sum and the
// conversion round. Two roundings differ from one only where the first lands
// half-way between two float32: there a slower way decides.
func fma32(a, b, c float32) float32 {
	s := float64(a)*float64(b) + float64(c)
	if roundsOnce(s) {
		return float32(s)
	}
	return fmaOdd(a, b, c)
}

// roundsOnce says that a sum, rounded to float64, may be rounded to float32 as
// if it were exact: it is not half-way between two normal float32, and not
// where float32 has fewer digits (zero is fine).
func roundsOnce(s float64) bool {
	const smallest = (1023 - 126) << 53 // 2^-126 without its sign bit
	u := math.Float64bits(s)
	// A float32 lacks the last 29 digits: they must not be 1000...
	return uint32(u)<<3 != 1<<31 && u<<1-1 >= smallest-1
}

// fmaOdd rounds the sum to odd: a sum that is not exact gets its last digit set,
// so that the conversion sees on which side of the middle it lies.
func fmaOdd(a, b, c float32) float32 {
	x, y := float64(a)*float64(b), float64(c)
	s := x + y
	// The error of the sum, exactly (Knuth's TwoSum); all are far from the
	// ends of the range of float64.
	t := s - x
	e := (x - (s - t)) + (y - t)
	if u := math.Float64bits(s); e != 0 && u&1 == 0 {
		if (e > 0) == (s > 0) {
			u++
		} else {
			u--
		}
		s = math.Float64frombits(u)
	}
	return float32(s)
}
