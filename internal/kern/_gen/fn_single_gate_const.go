package main

// The constants of GELU's form with tanh in float32: Φ(t) is 1/(1+exp(-u)) there, with
// u = 2·√(2/π)·(t + 0.044715·t³) (Hendrycks and Gimpel 2016). The exponential that the tables
// leave is exp(-v) with a v near u that has fewer digits.

func init() {
	singleConsts = append(singleConsts,
		number("singleGateMax", "GELU's form with tanh is 0 or x as float32 beyond", 11),
		number("singleGateStep", "t times it plus singleOne reaches, from interval to interval of the tables, the next power of two or half-way there", 1.3634909391403198),
		number("singleGateOne", "v is singleGateOne·t + singleGateThree·t³, with 2·√(2/π) to 12 digits: its sums are split exactly", 1.595703125),
		number("singleGateThree", "2·√(2/π)·0.044715 to 12 digits", 0.07135009765625),
		polynomial("singleGateMid", "middles of eight intervals; entry 6 is of the first",
			1.0997891, 1.8328761, 2.9343061, 4.401302, 6.6035275, 9.5357065, 0.0, 0.5501375),
		polynomial("singleGateLine", "added to the coefficients of power 1 of the same, without rounding their sum",
			0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.5, 0.0),
		polynomial("singleGate7", "coefficients of power 7 of t·Φ(-t)·exp(v) on those intervals, error 2^-27.2",
			-0.00039969417, 0.0012587034, -0.00028767847, 2.828148e-05, 3.504763e-08, -2.0614497e-08, -0.0014846113, -0.00074395124),
		polynomial("singleGate6", "coefficients of power 6 of t·Φ(-t)·exp(v) on those intervals, error 2^-27.2",
			-0.006553832, -0.0010063752, 0.0010078528, -9.435661e-05, -5.2747713e-09, 6.0421605e-09, 0.0109074, 0.001589026),
		polynomial("singleGate5", "coefficients of power 5 of t·Φ(-t)·exp(v) on those intervals, error 2^-27.2",
			0.011797606, -0.0082318, -0.0006202832, 0.00017107774, -1.0802461e-07, 1.0428796e-07, -0.00016327624, 0.02331452),
		polynomial("singleGate4", "coefficients of power 4 of t·Φ(-t)·exp(v) on those intervals, error 2^-27.2",
			0.027286125, 0.025094941, -0.003954067, -0.00022440094, -4.59325e-06, -4.3830937e-06, -0.0668022, -0.027811352),
		polynomial("singleGate3", "coefficients of power 3 of t·Φ(-t)·exp(v) on those intervals, error 2^-27.2",
			-0.11071727, -0.015405173, 0.012618932, 0.00011964506, -0.00012363846, -0.00017658892, -2.7385224e-05, -0.116389245),
		polynomial("singleGate2", "coefficients of power 2 of t·Φ(-t)·exp(v) on those intervals, error 2^-27.2",
			0.08631778, -0.05020621, -0.018584128, -0.00074101373, -0.0012966999, -0.002619238, 0.3989093, 0.29062235),
		polynomial("singleGate1", "coefficients of power 1 of t·Φ(-t)·exp(v) on those intervals, error 2^-27.2",
			1.103457, 1.1033115, 1.0129585, 0.9978604, 0.993703, 0.9824476, 0.0, 0.8973219),
		polynomial("singleGate0", "coefficients of power 0 of t·Φ(-t)·exp(v) on those intervals, error 2^-27.2",
			0.9502734, 1.7713319, 2.9289193, 4.398245, 6.5916877, 9.490797, 0.0, 0.38994685),
		polynomial("singleGateSlopeMid", "middles of eight intervals; entry 6 is of the first",
			1.1005886, 1.8338113, 2.9327037, 4.4009094, 6.600792, 9.533932, 0.18336847, 0.5503933),
		polynomial("singleGateSlope7", "coefficients of power 7 of the derivative of -t·Φ(-t), times exp(v), on those intervals, error 2^-24.6",
			0.008454826, -0.0026537753, -0.00026526, -3.1737367e-05, -6.108615e-07, -8.465842e-08, -0.009726012, -0.0042072153),
		polynomial("singleGateSlope6", "coefficients of power 6 of the derivative of -t·Φ(-t), times exp(v), on those intervals, error 2^-24.6",
			-0.0014501561, 0.012563063, -0.0037132993, 0.00043193766, 1.4222459e-06, 7.6793543e-07, -0.014237171, -0.02630769),
		polynomial("singleGateSlope5", "coefficients of power 5 of the derivative of -t·Φ(-t), times exp(v), on those intervals, error 2^-24.6",
			-0.051576953, -0.002929504, 0.010614949, -0.0011476328, 4.1759962e-05, 5.5447894e-05, 0.05217839, 0.0032207114),
		polynomial("singleGateSlope4", "coefficients of power 4 of the derivative of -t·Φ(-t), times exp(v), on those intervals, error 2^-24.6",
			0.04180551, -0.07652528, -0.001499058, 0.0020892431, 0.0006761157, 0.0013729539, 0.07424587, 0.12887324),
		polynomial("singleGateSlope3", "coefficients of power 3 of the derivative of -t·Φ(-t), times exp(v), on those intervals, error 2^-24.6",
			0.037830263, -0.06103323, -0.2527125, -0.21378477, -0.20771275, -0.19591151, -0.33873692, -0.17839512),
		polynomial("singleGateSlope2", "coefficients of power 2 of the derivative of -t·Φ(-t), times exp(v), on those intervals, error 2^-24.6",
			-1.2150848, -1.1750375, -1.7964138, -2.816749, -4.204619, -5.9864235, -0.8345229, -1.1266899),
		polynomial("singleGateSlope1", "coefficients of power 1 of the derivative of -t·Φ(-t), times exp(v), on those intervals, error 2^-24.6",
			-2.3231921, -4.0464306, -7.193921, -14.016327, -29.474993, -59.417305, -0.2703933, -1.0011597),
		polynomial("singleGateSlope0", "coefficients of power 0 of the derivative of -t·Φ(-t), times exp(v), on those intervals, error 2^-24.6",
			-0.6607809, -3.000735, -9.04721, -24.252106, -70.970825, -198.78098, 0.47631723, 0.24956474),
	)
	fnSingles["GELUTanh"] = struct{ forward, backward string }{"singleGate", "singleGateSlope"}
}
