package main

// The constants of tanh in float32.

func init() {
	singleFamily("tanh",
		number("singleTanhMax", "tanh is 1 as float32 beyond", 9.03),
		number("singleTanhStep", "t times it plus singleTailFrom reaches, from interval to interval of the table, the next power of two or half-way there", 2.4914286136627197),
		number("singleTanhDown", "2^-62", 0x1p-62),
		polynomial("singleTanhMid", "middles of eight intervals; entry 7 is of the first",
			0.40150458, 0.8027573, 1.4047945, 2.2081368, 3.4103165, 5.0171294, 7.4218874, 0.0),
		polynomial("singleTanhLine", "added to the coefficients of power 1 of the same, without rounding their sum",
			0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0),
		polynomial("singleTanh7", "coefficients of power 7 of tanh on those intervals, error 2^-25.9",
			0.0144396145, 0.016702086, -0.004395692, -0.00019585688, 4.976714e-05, 2.4125532e-06, 2.5433234e-08, -0.047714442),
		polynomial("singleTanh6", "coefficients of power 6 of tanh on those intervals, error 2^-25.9",
			-0.06542534, 0.005458764, 0.010146651, -0.00064016297, -0.00019298866, -8.483869e-06, -8.993268e-08, -0.0022543883),
		polynomial("singleTanh5", "coefficients of power 5 of tanh on those intervals, error 2^-25.9",
			0.007967806, -0.06313066, -0.0075424, 0.0041749515, 0.0005607783, 2.3260382e-05, 1.7484375e-07, 0.13367191),
		polynomial("singleTanh4", "coefficients of power 4 of tanh on those intervals, error 2^-25.9",
			0.16983393, 0.08293626, -0.02262324, -0.013181863, -0.0014248363, -5.8187565e-05, -4.3542903e-07, -2.4446617e-05),
		polynomial("singleTanh3", "coefficients of power 3 of tanh on those intervals, error 2^-25.9",
			-0.16067328, 0.061078824, 0.096949115, 0.029221473, 0.002884293, 0.000116968426, 9.662414e-07, -0.33333254),
		polynomial("singleTanh2", "coefficients of power 2 of tanh on those intervals, error 2^-25.9",
			-0.32582647, -0.37073177, -0.18997303, -0.046044104, -0.0043456103, -0.00017548092, -1.4485482e-06, -8.5208445e-09),
		polynomial("singleTanh1", "coefficients of power 1 of tanh on those intervals, error 2^-25.9",
			0.85465944, 0.55700934, 0.21432412, 0.04717021, 0.0043546045, 0.0001754673, 1.4279964e-06, 0.0),
		polynomial("singleTanh0", "coefficients of power 0 of tanh on those intervals, error 2^-25.9",
			0.3812356, 0.66557544, 0.8863836, 0.97613, 0.9978203, 0.99991226, 0.9999993, 0.0),
	)
}
