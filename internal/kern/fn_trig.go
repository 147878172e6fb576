package kern

// Sine and cosine of any float32.

import (
	"math"
	"math/bits"
)

// twoOverPi is 2/π: bits 1 to 256 behind the point.
var twoOverPi = [4]uint64{0xa2f9836e4e441529, 0xfc2757d1f534ddc0, 0xdb6295993c439041, 0xfe5163abdebbc561}

// sinOf is the sine of x + quarters·π/2, for a float32 x; NaN for infinite ones.
func sinOf(x float64, quarters uint64) float64 {
	if x-x != 0 {
		return math.NaN()
	}
	n, r := quarterTurns(math.Abs(x))
	if x < 0 {
		n, r = -n, -r
	}
	return turned(n+quarters, r)
}

// turned is the sine of n·π/2 + r, |r| <= π/4.
func turned(n uint64, r float64) float64 {
	r2 := float64(r * r)
	var y float64
	if n&1 == 0 {
		// Taylor's series up to r^15: the next term is 2^-55.
		y = math.FMA(horner(sinTaylor[:], r2)*r2, r, r)
	} else {
		y = math.FMA(horner(cosTaylor[:], r2), r2, 1)
	}
	if n&2 != 0 {
		return -y
	}
	return y
}

var (
	sinTaylor = [7]float64{-1. / 1307674368000, 1. / 6227020800, -1. / 39916800, 1. / 362880, -1. / 5040, 1. / 120, -1. / 6}
	cosTaylor = [8]float64{1. / 20922789888000, -1. / 87178291200, 1. / 479001600, -1. / 3628800, 1. / 40320, -1. / 720, 1. / 24, -1. / 2}
)

// quarterTurns splits x >= 0, a float32, into n·π/2 + r with |r| <= π/4; n counts modulo 4.
// The product of the mantissa, 24 bits, with 2/π is a whole multiple of a turn in the bits
// that are left out in front (Payne and Hanek 1983).
func quarterTurns(x float64) (n uint64, r float64) {
	if x < math.Pi/4 {
		return 0, x
	}
	u := math.Float64bits(x)
	mantissa := u&(1<<52-1) | 1<<52
	mantissa >>= 29 // of a float32: 24 bits
	exp := int(u>>52) - 1023 - 23
	// x·2/π = mantissa·2^exp·0.twoOverPi: 128 bits from the one of weight 2^(1-exp) on, so that
	// the product's top bits count quarters modulo 4 above 2^62.
	skip := max(0, exp-2+24) // bits in front that make whole multiples of four quarters
	skip -= 24
	if skip < 0 {
		skip = 0
	}
	word := func(at int) uint64 {
		i, s := at/64, at%64
		w := twoOverPi[i] << s
		if s > 0 && i+1 < len(twoOverPi) {
			w |= twoOverPi[i+1] >> (64 - s)
		}
		return w
	}
	hi, lo := word(skip), word(skip+64)
	// mantissa·(hi·2^-64 + lo·2^-128)·2^(exp-skip)
	h1, l1 := bits.Mul64(mantissa, hi)
	h2, _ := bits.Mul64(mantissa, lo)
	l1, carry := bits.Add64(l1, h2, 0)
	h1 += carry
	// h1.l1·2^(exp-skip), the point between them; exp-skip is at most 2.
	shift := exp - skip
	switch {
	case shift >= 0:
		h1, l1 = h1<<shift|l1>>(64-shift), l1<<shift
	default:
		h1, l1 = h1>>-shift, l1>>-shift|h1<<(64+shift)
	}
	n = h1
	if l1 >= 1<<63 { // the nearer multiple
		n++
	}
	return n, float64(int64(l1)) * 0x1p-64 * (math.Pi / 2)
}
