package main

import "math"

// The constants of fn_single_log.go.
func init() {
	singleFamily("log",
		wordSingle("singleLogLow", "mask of the bits below the exponent", 1<<23-1),
		wordSingle("singleLogHalf", "√½", 0x3f3504f3),
		wordSingle("singleLogLowHalf", "√½ times singleLogUp", 0x3f3504f3+24<<23),
		number("singleLogUp", "2^24, which brings all numbers to normal ones", 1<<24),
		number("singleLeastNormal", "the least normal number", 0x1p-126),
		number("singleLn2", "ln 2", float64(float32(math.Ln2))),
		number("singleLog2E", "1/ln 2", 0x1.715476p+0),
		number("singleLog2ELow", "1/ln 2 - singleLog2E", 0x1.4ae0cp-26),
		polynomial("singleLogPoly", "(log(1+m)-m)/m² for √½ <= 1+m <= √2, error of log 2^-27.8",
			-0.076600984, 0.12930094, -0.13239953, 0.14177395, -0.16608872, 0.20002207, -0.25001603, 0.33333322, -0.49999988),
		polynomial("singleLog2Poly", "(log2(1+m)-m/ln 2)/m² for √½ <= 1+m <= √2, error of log2 2^-27.7",
			-0.1102559, 0.18708819, -0.19139083, 0.20448658, -0.23956735, 0.28857142, -0.36069867, 0.4808982, -0.72134733),
	)
	singleWords = append(singleWords,
		number("singleInf", "", math.Inf(1)),
		number("singleMinusInf", "", math.Inf(-1)),
		number("singleNaN", "", math.NaN()),
	)
}
