package kern

// GELU's form with tanh, and its gradient, in float32, see fn_single.go.

import "math"

var (
	gateTable = pieceTable{&singleGateMid, &singleGateLine, []*[8]float32{&singleGate7, &singleGate6, &singleGate5, &singleGate4,
		&singleGate3, &singleGate2, &singleGate1, &singleGate0}}
	gateSlopeTable = pieceTable{&singleGateSlopeMid, nil, []*[8]float32{&singleGateSlope7, &singleGateSlope6, &singleGateSlope5,
		&singleGateSlope4, &singleGateSlope3, &singleGateSlope2, &singleGateSlope1, &singleGateSlope0}}
)

// gatePlace returns min(|x|, singleGateMax) and the number of its interval in the tables.
func gatePlace(x float32) (t float32, at uint32) {
	t = limitSingle(absSingle(x), singleGateMax)
	return t, math.Float32bits(fuse(t, singleGateStep, singleOne)) >> 22
}

// gateExp returns s and what has n of 2^-v = (1+s)·2^n, where v = t·(singleGateOne + singleGateThree·t²). What
// rounding takes from the square and from the sum is added back: the exponential would make a hundred
// units in the last place of it.
func gateExp(t float32) (s, n float32) {
	h := float32(t * t)
	g := fuse(h, singleGateThree, singleGateOne)
	low := fuse(fuse(t, t, -h), singleGateThree, fuse(h, singleGateThree, singleGateOne-g))
	n = fuse(-g, t, singleShift)
	r := fuse(low, t, fuse(g, t, n-singleShift))
	return float32(hornerSingle(singleExp2NegPoly[:], r) * r), n
}

// geluTanhOf is max(x, 0) - t·Φ(-t).
func geluTanhOf(x float32) float32 {
	t, at := gatePlace(x)
	p, low := gateTable.pieceTwo(t, at)
	s, n := gateExp(t)
	return fuse(-upTwo(p, low, s, n), singleDown, positive(x))
}

// geluTanhSlope is its derivative.
func geluTanhSlope(x float32) float32 {
	t, at := gatePlace(x)
	s, n := gateExp(t)
	return upperSingle(upSingle(gateSlopeTable.piece(t, at), s, n)*singleDown, x)
}
