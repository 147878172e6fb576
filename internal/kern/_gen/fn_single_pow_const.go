package main

import "math"

// The constants of fn_single_pow.go.
func init() {
	singleConsts = append(singleConsts,
		polynomial("singlePowMid", "middles of eight intervals of 1 <= m < 2, at which singlePowK has no error in float32",
			1.0624557733535767, 1.1875776052474976, 1.3124492168426514, 1.4374040365219116, 1.562376856803894, 1.687634825706482, 1.8123360872268677, 1.9376206398010254),
		polynomial("singlePowK", "1/(m·ln 2) there, within 2^-35",
			1.3578871488571167, 1.214821696281433, 1.0992387533187866, 1.003680944442749, 0.9233976006507874, 0.8548620939254761, 0.7960416674613953, 0.7445704340934753),
		polynomial("singlePowH", "log2(m) - 127 there, with 16 digits behind the point: its sum with a small whole number is exact",
			-126.91259765625, -126.75198364257812, -126.60774230957031, -126.47653198242188, -126.35626220703125, -126.2449951171875, -126.14215087890625, -126.04571533203125),
		polynomial("singlePowL", "what that lacks",
			4.439554288637737e-07, 5.435640559880994e-06, 3.9106143958633766e-06, -2.3750203581585083e-06, 4.6911550271033775e-06, -2.118659040206694e-06, 1.398536824126495e-06, 1.470043571316637e-06),
		polynomial("singlePowPoly", "(log2(1+g·ln 2)-g)/g² for |g·ln 2| < 0.059, error of log2 2^-31.2",
			0.04634346, -0.083523735, 0.16015054, -0.346573),
		polynomial("singleExp2Poly", "(2^r-1)/r for |r| <= 1/2, error of 2^r 2^-28.2",
			0.000153275, 0.0013391242, 0.009618505, 0.055503592, 0.24022648, 0.6931472),
		number("singleWhole", "1.5·2^23: a sum with it is rounded to a whole number", 3<<22),
		number("singlePowMax", "2 to its power is +Inf, and to its negative 0, as float32, also times 16 and 1/1024", 165),
		number("singlePowMin", "-singlePowMax", -165),
		number("singleMinus24", "exponent of 1/singleLogUp", -24),
	)
	singleWords = append(singleWords,
		wordSingle("singleLeastBits", "", math.Float32bits(0x1p-126)),
		wordSingle("singleNormalBits", "", 254<<23),
		wordSingle("singleExponent", "", 511<<23),
	)
}
