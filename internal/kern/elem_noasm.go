//go:build !amd64 || noasm

package kern

// What do elementwise loops do without assembly?

// Without assembly the portable loops do everything.

func affineRowsFast(_ *finish, _, _ []float32, _ int, _, _ []float32, _ []uint8) bool { return false }
func addRowsFast(_ *finish, _, _, _ []float32, _ int, _ []uint8) bool                 { return false }
func statsAddFast(*lanes, []float32, planes) (extent, bool)                           { return noExtent, false }
func maskedAddFast(_ *lanes, _, _ []float32, _ []uint8, _ planes) bool                { return false }
func maskScaleFast(_, _ []float32, _ int, _ []uint8, _ []float32) bool                { return false }
func backwardFast(_, _, _ []float32, _ int, _ []uint8, _, _, _ []float32) bool        { return false }

func extentFast([]float32) (extent, int)         { return noExtent, 0 }
func addExtentFast(_, _ []float32) (extent, int) { return noExtent, 0 }
func extentRowFast(_, _, _ []float32)            {}
func addTo64Fast([]float64, []float32) int       { return 0 }

func quantizeFast[C Code]([]C, []float32, Grid) int   { return 0 }
func dequantizeFast[C Code]([]float32, []C, Grid) int { return 0 }
func fakeQuantizeFast(_, _ []float32, _ Grid) int     { return 0 }
func fakeQuantizeStream(dst, x []float32, g Grid)     { fakeQuantize(dst, x, g) }
func fakeQuantizeKeepFast(_ []float32, _ []int8, _ []uint8, _ []float32, _ Grid, _ bool) int {
	return 0
}
func clearUnsetFast(_ []float32, _ []uint8) int         { return 0 }
func steFast(_, _, _ []float32, _ Grid) int             { return 0 }
func fakeQuantizeRowFast(_, _ []float32, _ GridRow) int { return 0 }
func steRowFast(_, _, _ []float32, _ GridRow) int       { return 0 }
func columnExtentFast(_, _, _ []float32) bool           { return false }
func fakeQuantizeColumnsFast(_ []float32, _ []int8, _ []uint8, _ []float32, _ int, _ GridRow) int {
	return 0
}
func lsqRowFast(_, _, _ []float32, _ GridRow, _, _ []float64) int     { return 0 }
func lsqFast(_, _, _ []float32, _ Grid, _ *lanes) int                 { return 0 }
func binaryFast[F Float](_ elemOp, _, _, _ []F) int                   { return 0 }
func binaryOneFast[F Float](_ elemOp, _, _ []F, _ F) int              { return 0 }
func activateFast[F Float](_, _ []F, _, _ F) int                      { return 0 }
func activateBackFast[F Float](_, _, _ []F, _, _ F) int               { return 0 }
func leakyFast[F Float](_, _ []F, _ F) int                            { return 0 }
func leakyBackFast[F Float](_, _, _ []F, _ F) int                     { return 0 }
func adamFast(_, _, _, _ []float32, _ *AdamFactors) int               { return 0 }
func sgdFast(_, _, _ []float32, _, _, _ float32, _ bool) int          { return 0 }
func maxPool2Fast[F Float](_ *Pool, _, _ []F) bool                    { return false }
func actPool2Fast(_ *finish, _ *Pool, _, _ []float32, _ []uint8) bool { return false }
func pickPool2Fast(_ *Pool, _, _ []float32, _ []uint8) bool           { return false }
func maxPool2BackFast[F Float](_ *Pool, _, _, _, _ []F) bool          { return false }
func maxIntoFast[F Float](_, _ []F) int                               { return 0 }
