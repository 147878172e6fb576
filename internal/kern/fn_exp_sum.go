package kern

// The exponentials of a softmax's row and their sum.

import "math"

// ExpSum writes exp(x - shift), rounded once, and returns the sum of the exponentials before
// they are rounded: in float64, element i in lane i%16, the lanes added as those of
// [ChannelStats] are. dst may be x, or nil for the sum alone. With shift the largest element
// no exponential overflows. float64 uses package math, as [Eval] does.
func ExpSum[F Float](dst, x []F, shift F) float64 {
	var sums [16]float64
	if x32, ok := any(x).([]float32); ok {
		d, _ := any(dst).([]float32)
		if !expSumFast(d, x32, float64(shift), &sums) {
			for i, v := range x32 {
				e := fnExp(within(float64(v)-float64(shift), fnExpMax))
				sums[i%16] += e
				if d != nil {
					d[i] = float32(e)
				}
			}
		}
		return laneTotal(&sums)
	}
	for i, v := range x {
		e := math.Exp(float64(v) - float64(shift))
		sums[i%16] += e
		if dst != nil {
			dst[i] = F(e)
		}
	}
	return laneTotal(&sums)
}
