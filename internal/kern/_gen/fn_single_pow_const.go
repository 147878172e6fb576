package main

import "math"

// The constants of fn_single_pow.go.
func init() {
	singleFamily("pow",
		polynomial("singlePowK", "for eight intervals of 1 <= m < 2 a number K with |K·m-1| <= 1/16, with five digits behind the point: that difference is exact",
			0.9375, 0.84375, 0.75, 0.6875, 0.625, 0.59375, 0.5625, 0.53125),
		polynomial("singlePowH", "log2(1/K) - 127, with 16 digits behind the point: its sum with a small whole number is exact",
			-126.90689086914062, -126.7548828125, -126.5849609375, -126.45942687988281, -126.32192993164062, -126.2479248046875, -126.169921875, -126.08746337890625),
		polynomial("singlePowL", "what that lacks",
			2.7353209475222684e-07, -4.68966345579247e-06, -1.5632211898264359e-06, -4.7387543418153655e-06, 1.8367533130003721e-06, -2.7087560283689527e-06, -3.1264423796528718e-06, 5.376559215619636e-07),
		polynomial("singlePowPoly", "(log2(1+g)-g/ln 2)/g² for |g| <= 1/16, error of log2 2^-30.7",
			0.28993276, -0.36197767, 0.48089606, -0.72134596),
		polynomial("singleExp2Poly", "(2^r-1)/r for |r| <= 1/2, error of 2^r 2^-28.2",
			0.000153275, 0.0013391242, 0.009618505, 0.055503592, 0.24022648, 0.6931472),
		number("singleWhole", "1.5·2^23: a sum with it is rounded to a whole number", 3<<22),
		number("singlePowMax", "2 to its power is +Inf, and to its negative 0, as float32, also times 16 and 1/1024", 165),
		number("singlePowMin", "-singlePowMax", -165),
		number("singlePowNormal", "2 to its power or its negative is a normal number, also times 16 and 1/1024", 110),
		number("singleMinusOne", "-1", -1),
		number("singleMinus24", "exponent of 1/singleLogUp", -24),
	)
	singleWords = append(singleWords,
		wordSingle("singleLeastBits", "", math.Float32bits(0x1p-126)),
		wordSingle("singleNormalBits", "", 254<<23),
		wordSingle("singleExponent", "", 511<<23),
	)
}
