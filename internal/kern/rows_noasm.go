//go:build !amd64 || noasm

package kern

// Without assembly the portable loops do everything.

func rowMomentsFast[F Float]([]float64, []F, int) bool                        { return false }
func rowDotFast[F Float](_ []float64, _, _ []F, _ int) bool                   { return false }
func normStatsFast[F Float](*Norm, []float64, []F) int                        { return 0 }
func normMeansFast[F Float](*Norm, []float64, []F) int                        { return 0 }
func roundSumsFast[F Float]([]F, []float64, float64) int                      { return 0 }
func addSumsFast(_, _ []float64) int                                          { return 0 }
func addProductsFast(_ []float64, _, _ []float32) int                         { return 0 }
func rowMaxFast[F Float](_, _ []F, _ int) bool                                { return false }
func normRowsFast[F Float](_, _ []F, _ int, _, _, _ []F) bool                 { return false }
func normDotsFast[F Float](_, _, _ []float64, _, _ []F, _ int, _, _ []F) bool { return false }
func normBackFast[F Float](_, _, _ []F, _ int, _, _, _ []F) bool              { return false }
func softmaxBackFast[F Float](_, _, _ []F, _ int, _ []F) bool                 { return false }
