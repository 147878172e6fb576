//go:build !amd64 || noasm

package kern

// Without assembly the portable loops do everything.

func batchMomentsFast(_, _ []float64, _ []Stats, _ float64) int { return 0 }
func batchForwardFast[F Float](*BatchNorm, []F, []F, BatchVectors[F], Running, float64) int {
	return 0
}
func batchBackwardFast[F Float](*BatchNorm, []F, []F, BatchVectors[F], BatchVectors[F], []Sums) int {
	return 0
}
func batchFoldFast[F Float]([]F, []float64, []F, []float32, float64, float64) int { return 0 }
func laneTotalsFast([]float64, []lanes) bool                                      { return false }
