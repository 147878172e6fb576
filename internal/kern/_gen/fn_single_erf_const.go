package main

import "math"

// The constants of fn_single_erf.go.
func init() {
	singleFamily("erf",
		number("singleErfMax", "erf is 1 as float32 from here on", 3.9375),
		number("singleErfStep", "t times it plus singleErfFrom is rounded to the number of the interval, in the last bits", 1.9),
		number("singleErfFrom", "2^23", 1<<23),
		polynomial("singleErfMid", "middles of eight intervals of 0 <= t <= 3.9375, of the first and last other points",
			0.0, 0.5250258, 1.0488015, 1.5803274, 2.1059232, 2.628439, 3.1542547, 3.6533225),
		polynomial("singleErfLine", "added to the coefficients of power 1 of the same, without rounding their sum",
			1, 0, 0, 0, 0, 0, 0, 0),
		polynomial("singleErf7", "coefficients of power 7 of erf(t) on those intervals, error 2^-28",
			-0.030075366, 0.0064980825, 0.012785604, -0.005604618, -0.0021374398, 0.000659697, 0.00024243163, 2.5137366e-05),
		polynomial("singleErf6", "coefficients of power 6 of erf(t) on those intervals",
			0.0033828488, -0.04767947, 0.008754118, 0.01614675, -0.0013708855, -0.0022253937, -0.0004134205, -3.570628e-05),
		polynomial("singleErf5", "coefficients of power 5 of erf(t) on those intervals",
			0.11170478, -3.39955e-05, -0.0670802, -0.0062697395, 0.012692661, 0.004172708, 0.0005022619, 3.363006e-05),
		polynomial("singleErf4", "coefficients of power 4 of erf(t) on those intervals",
			0.0001663255, 0.18347998, 0.052554645, -0.048785068, -0.0275695, -0.0053423992, -0.00047829282, -2.5943844e-05),
		polynomial("singleErf3", "coefficients of power 3 of erf(t) on those intervals",
			-0.3761372, -0.12810889, 0.15023957, 0.12365607, 0.035094563, 0.0048164306, 0.00033948873, 1.543633e-05),
		polynomial("singleErf2", "coefficients of power 2 of erf(t) on those intervals",
			2.5456774e-07, -0.44969803, -0.39394122, -0.14675072, -0.028173342, -0.0029630973, -0.00016999063, -6.588154e-06),
		polynomial("singleErf1", "coefficients of power 1 of erf(t) on those intervals",
			0.12837917, 0.8565267, 0.37561056, 0.092860915, 0.0133781815, 0.0011273235, 5.3891374e-05, 1.8031741e-06),
		polynomial("singleErf0", "coefficients of power 0 of erf(t) on those intervals",
			0.0, 0.5422147, 0.8619865, 0.9745774, 0.9971008, 0.99979854, 0.99999183, 0.99999976),
		number("singleErfSlope", "2/√π", 0x1.20dd76p+0),
		number("singleErfSlopeLow", "2/√π - singleErfSlope", -0x1.f7ac92p-25),
		number("singleErfSlopeMax", "exp of its square's negative is 0 as float32", 10.3),
		number("singleMinusLog2E", "-1/ln 2", float64(float32(-math.Log2E))),
		number("singleLn2High", "ln 2 with 16 digits: its product with a whole number below 2^8 is exact", 0x1.62e4p-1),
		number("singleLn2Low", "ln 2 - singleLn2High", 0x1.7f7d1cp-20),
		polynomial("singleExpNegPoly", "(exp(-r)-1+r)/r² for |r| <= ln 2/2, error of exp 2^-28.2",
			0.0013818742, -0.008368721, 0.041668292, -0.16666521, 0.49999994),
	)
}
