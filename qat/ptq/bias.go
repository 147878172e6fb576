package ptq

// This file says what correcting biases did.

// BiasCorrection is what qat.Model.CorrectBias did to one layer.
type BiasCorrection struct {
	Layer string `json:"layer"`
	// Before is the mean over the output channels of the magnitude of the mean error,
	// relative to the root mean square of the layer's result in float; 0.01 is 1 %.
	Before float64 `json:"before"`
	// Largest is the largest correction of a channel, in units of the result.
	Largest float64 `json:"largest"`
}
