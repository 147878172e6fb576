package kern

// GELU and its gradient in float32, see fn_single.go.

import "math"

var (
	geluTable = pieceTable{&singleGELUMid, nil, []*[8]float32{&singleGELU7, &singleGELU6, &singleGELU5, &singleGELU4,
		&singleGELU3, &singleGELU2, &singleGELU1, &singleGELU0}}
	geluSlopeTable = pieceTable{&singleGELUSlopeMid, nil, []*[8]float32{&singleGELUSlope7, &singleGELUSlope6,
		&singleGELUSlope5, &singleGELUSlope4, &singleGELUSlope3, &singleGELUSlope2, &singleGELUSlope1, &singleGELUSlope0}}
)

// normalPlace returns min(|x|, singleTailMax) and the number of its interval in the tables.
func normalPlace(x float32) (a float32, at uint32) {
	a = limitSingle(absSingle(x), singleTailMax)
	return a, math.Float32bits(fuse(a, singleTailStep, singleTailFrom)) >> 22
}

// normalExp returns s and what has n of exp(-a²/2) = (1+s)·2^n.
// The square that counts is not rounded, which alone would cost fifty units in the last place.
func normalExp(a float32) (s, n float32) {
	n = fuse(float32(a*a), singleHalfLog2E, singleShift)
	whole := n - singleShift
	r := fuse(whole, singleTwoLn2Low, fuse(a, a, float32(whole*singleTwoLn2)))
	return fuse(hornerSingle(singleHalfExpPoly[:], r), float32(r*r), r*-0.5), n
}

// geluOf is max(x, 0) - |x|·Φ(-|x|). The polynomial that Φ is made of is in two parts: rounded, it
// would cost as much as the sum.
func geluOf(x float32) float32 {
	a, at := normalPlace(x)
	p, low := geluTable.pieceTwo(a, at)
	s, n := normalExp(a)
	return fuse(-upTwo(p, low, s, n), singleDown, positive(x))
}

// geluSlope is Φ(x) + x·φ(x), φ the density of Φ.
func geluSlope(x float32) float32 {
	a, at := normalPlace(x)
	s, n := normalExp(a)
	return upperSingle(upSingle(geluSlopeTable.piece(a, at), s, n)*singleDown, x)
}
