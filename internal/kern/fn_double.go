package kern

// Functions of one float64 with the same bits on every processor, for what is computed number
// by number: losses, learning rates, searches. Package math has assembly of its own on some
// processors, and on some the compiler fuses its products and sums.
//
// Errors are below three units in the last place; see PowOf and CosOf for theirs.

import "math"

const (
	ln2Hi = 0x1.62e42fee00000p-1 // ends in zeros: its product with a small whole number is exact
	ln2Lo = 0x1.a39ef35793c76p-33
)

// expTaylor is (exp(r) - 1 - r)/r² up to r^13/13!: for |r| <= ln2/2 the next term is 2^-57 of the sum.
var expTaylor = [12]float64{1. / 6227020800, 1. / 479001600, 1. / 39916800, 1. / 3628800, 1. / 362880, 1. / 40320,
	1. / 5040, 1. / 720, 1. / 120, 1. / 24, 1. / 6, 1. / 2}

// ExpOf is e^x.
func ExpOf(x float64) float64 {
	z := within(x, 800) // exp(800) is +Inf, exp(-800) 0
	t := math.FMA(z, math.Log2E, 3<<51)
	n := t - 3<<51
	r := math.FMA(-n, ln2Lo, math.FMA(-n, ln2Hi, z))
	p := math.FMA(horner(expTaylor[:], r), float64(r*r), r) + 1
	if n != n {
		return n
	}
	return math.Ldexp(p, int(n))
}

// logAtanh is (2·atanh(s) - 2s)/s³ up to s^23: for |s| <= 0.172, of √2, the next term is 2^-62 of s.
var logAtanh = [11]float64{2. / 23, 2. / 21, 2. / 19, 2. / 17, 2. / 15, 2. / 13, 2. / 11, 2. / 9, 2. / 7, 2. / 5, 2. / 3}

// LogOf is the natural logarithm: NaN below 0, -Inf at 0.
func LogOf(x float64) float64 {
	if !(x > 0) || x > math.MaxFloat64 {
		return logEnds(0, x)
	}
	m, e := math.Frexp(x)
	if m < math.Sqrt2/2 {
		m, e = m*2, e-1
	}
	// log(m) = f - s·(f - s²·P) with s = f/(2+f), since 2·atanh(s) = log(m) and 2s = f - s·f.
	f := m - 1
	s := f / (2 + f)
	s2 := float64(s * s)
	low := math.FMA(float64(e), ln2Lo, -float64(s*math.FMA(-horner(logAtanh[:], s2), s2, f)))
	return math.FMA(float64(e), ln2Hi, f) + low
}

// Log10Of is the logarithm to base 10.
func Log10Of(x float64) float64 { return LogOf(x) * (1 / math.Ln10) }

// PowOf is a^b as IEEE 754's pow. A whole b up to 64 is a product; otherwise the error is
// at most 4·|b·log a| units in the last place and a few.
func PowOf(a, b float64) float64 {
	whole := b == math.Trunc(b)
	switch {
	case b == 0 || a == 1:
		return 1
	case a != a || b != b:
		return math.NaN()
	case whole && math.Abs(b) <= 64:
		y := 1.0
		for n, p := int(math.Abs(b)), a; n > 0; n, p = n/2, p*p {
			if n&1 == 1 {
				y *= p
			}
		}
		if b < 0 {
			return 1 / y
		}
		return y
	case a < 0 && !whole && a >= -math.MaxFloat64:
		return math.NaN()
	case a == -1: // b is whole, or infinite
		if math.Abs(math.Mod(b, 2)) == 1 {
			return -1
		}
		return 1
	}
	y := ExpOf(b * LogOf(math.Abs(a)))
	if whole && math.Signbit(a) && math.Abs(math.Mod(b, 2)) == 1 {
		return -y
	}
	return y
}

// CosOf is the cosine, of arguments up to some thousand: the error is 2^-52 times a few, and
// grows with the argument.
func CosOf(x float64) float64 {
	n := math.RoundToEven(x * (2 / math.Pi))
	r := math.FMA(-n, 0x1.1a62633145c07p-54, math.FMA(-n, math.Pi/2, x))
	quarter := uint64(int64(n)) + 1
	return turned(quarter, r)
}
