package main

// The constants of fn_single_trig.go.
func init() {
	singleFamily("trig",
		number("singleTurnMax", "up to it a multiple of singleHalfPi's first part is subtracted exactly", 1<<17),
		number("singleTwoOverPi", "2/π", 0x1.45f306p-1),
		polynomial("singleHalfPi", "π/2 in three parts", 0x1.921fb6p+0, -0x1.777a5cp-25, -0x1.ee59dap-50),
		polynomial("singleSinPoly", "(sin(r)-r)/r³ in r² for |r| <= π/4, error of sin 2^-27.8",
			-0.00019507877, 0.008332106, -0.16666654),
		polynomial("singleCosPoly", "cos(r) in r² for |r| <= π/4, error 2^-32.9",
			2.4431878e-05, -0.0013887307, 0.041666646, -0.5, 1),
	)
	singleWords = append(singleWords,
		wordSingle("singleUnit", "", 1),
		wordSingle("singleUnitTwo", "", 2),
	)
}
