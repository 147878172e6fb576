package kern

// The error function in float32, see fn_single.go.

import "math"

var erfTable = pieceTable{&singleErfMid, &singleErfLine, []*[8]float32{&singleErf7, &singleErf6, &singleErf5, &singleErf4,
	&singleErf3, &singleErf2, &singleErf1, &singleErf0}}

// erfOf is erf(x).
func erfOf(x float32) float32 {
	t := limitSingle(absSingle(x), singleErfMax)
	y := erfTable.piece(t, math.Float32bits(fuse(t, singleErfStep, singleErfFrom)))
	return math.Float32frombits(math.Float32bits(y) ^ math.Float32bits(x)&singleSign)
}

// erfSlope is 2/√π·exp(-x²). The square that counts is not rounded, nor 2/√π.
func erfSlope(x float32) float32 {
	t := limitSingle(absSingle(x), singleErfSlopeMax)
	n := fuse(float32(t*t), singleMinusLog2E, singleShift)
	whole := n - singleShift
	r := fuse(whole, singleLn2Low, fuse(t, t, float32(whole*singleLn2High)))
	q := float32(hornerSingle(singleExpNegPoly[:], r)*float32(r*r)) - r
	e := fuse(q, singleErfSlope, singleErfSlopeLow) + singleErfSlope
	return float32(e*math.Float32frombits(math.Float32bits(n)<<23)) * singleDown
}
