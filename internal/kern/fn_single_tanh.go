package kern

// Tanh and its gradient in float32, see fn_single.go.

import "math"

var tanhTable = pieceTable{&singleTanhMid, &singleTanhLine, []*[8]float32{&singleTanh7, &singleTanh6, &singleTanh5,
	&singleTanh4, &singleTanh3, &singleTanh2, &singleTanh1, &singleTanh0}}

// tanhOf is tanh(x): odd to the bit.
func tanhOf(x float32) float32 {
	t := limitSingle(absSingle(x), singleTanhMax)
	y := tanhTable.piece(t, math.Float32bits(fuse(t, singleTanhStep, singleTailFrom))>>22)
	return math.Float32frombits(math.Float32bits(y) ^ math.Float32bits(x)&singleSign)
}

// tanhSlope is 1-tanh(x)², four times the derivative of sigmoid at 2x.
func tanhSlope(x float32) float32 { return sigmoidBell(x+x, singleTanhDown) }
