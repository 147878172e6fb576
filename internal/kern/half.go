package kern

// What is a number of 16 bits?

import "math"

// Half rounds x to IEEE 754 binary16, ties to even, and returns the bits. Numbers
// from 65520 on become infinite, NaN stays NaN.
func Half(x float32) uint16 {
	b := math.Float32bits(x)
	sign, mag := uint16(b>>16)&0x8000, b&0x7fffffff
	switch {
	case mag > 0x7f800000:
		return sign | 0x7e00
	case mag >= 0x47800000: // 2^16
		return sign | 0x7c00
	case mag >= 0x38800000: // 2^-14: normal; the exponent bias changes from 127 to 15
		return sign | uint16(roundShift(mag-(127-15)<<23, 13))
	}
	// Denormal: the mantissa with its leading 1, in steps of 2^-24.
	exp := mag >> 23
	if exp < 127-25 { // less than half of the smallest
		return sign
	}
	return sign | uint16(roundShift(mag&0x7fffff|0x800000, 126-exp))
}

// roundShift is v / 2^n, rounded half to even; n is 1 to 31. A carry out of the
// mantissa raises the exponent, as it should.
func roundShift(v, n uint32) uint32 {
	return (v + 1<<(n-1) - 1 + v>>n&1) >> n
}

// OfHalf widens an IEEE 754 binary16: sign 1 bit, exponent 5 (bias 15), fraction 10. It is
// exact, bits of NaNs included.
func OfHalf(h uint16) float32 {
	sign, exp, frac := uint32(h>>15)<<31, uint32(h>>10)&31, uint32(h)&1023
	switch exp {
	case 0: // zero or subnormal: frac * 2^-24, exact in float32
		v := float32(frac) * 0x1p-24
		return math.Float32frombits(math.Float32bits(v) | sign)
	case 31: // infinity or NaN
		return math.Float32frombits(sign | 0xff<<23 | frac<<13)
	}
	return math.Float32frombits(sign | (exp+127-15)<<23 | frac<<13)
}

// The smallest and the largest positive finite binary16.
const (
	SmallestHalf = 0x1p-24
	LargestHalf  = 65504
)

// RoundHalf is the nearest number of 16 bits to x that is positive and finite.
func RoundHalf(x float32) float32 {
	return min(max(OfHalf(Half(x)), SmallestHalf), LargestHalf)
}
