package kern

// How fast could the processor be at most?

//go:generate go -C _gen run . -set peak -out ../peak_amd64.s -stubs ../peak_stubs_amd64.go

// peakSteps bounds the time of one call of a peak loop to some microseconds.
const peakSteps = 1024

// peakVectors is the number of multiply-adds of vectors in a step.
const peakVectors = 12

// PeakFMA runs steps rounds of float32 fused multiply-adds on registers alone,
// with the widest vectors of the level in use, and returns the operations done:
// two per multiply-add. The time it takes gives the most that a product could
// reach on one core. Without vector instructions it does nothing and returns 0.
func PeakFMA(steps int) int {
	switch {
	case level >= LevelAVX512:
		return peakRounds(steps, peakFMA512, 16*2)
	case level == LevelAVX2:
		return peakRounds(steps, peakFMA256, 8*2)
	}
	return 0
}

// PeakInt8 is PeakFMA for sums of products of bytes: 0 below LevelVNNI.
func PeakInt8(steps int) int {
	if level < LevelVNNI {
		return 0
	}
	return peakRounds(steps, peakInt8VNNI, 64*2)
}

func peakRounds(steps int, loop func(int), ops int) int {
	for done := 0; done < steps; done += peakSteps {
		loop(min(peakSteps, steps-done))
	}
	return max(steps, 0) * peakVectors * ops
}
