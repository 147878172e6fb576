package kern

// Softplus and its gradient in float32, see fn_single.go.

import "math"

// shrinkSingle is exp(v) for -singleExpMax <= v <= 0, rounded once more where it is no normal
// number.
func shrinkSingle(v float32) float32 {
	t := fuse(v, singleLog2E, singleShift)
	n := t - singleShift
	r := fuse(-n, singleGrowLn2Low, fuse(-n, singleGrowLn2, v))
	s := fuse(hornerSingle(singleExpPoly[:], r), float32(r*r), r)
	return float32(upSingle(1, s, t) * singleDown)
}

// softplusTable has log(1+e). What it calls the middle of the last interval is its end, 1: the
// product that is added to log 2 there is near 0.
var softplusTable = pieceTable{&singleSoftplusMid, &singleSoftplusLine, []*[8]float32{&singleSoftplus6,
	&singleSoftplus5, &singleSoftplus4, &singleSoftplus3, &singleSoftplus2, &singleSoftplus1, &singleSoftplus0}}

// softplusOf is max(x, 0) + log(1+e), e = exp(-|x|).
func softplusOf(x float32) float32 {
	e := shrinkSingle(-limitSingle(absSingle(x), singleExpMax))
	return softplusTable.piece(e, math.Float32bits(fuse(e, singleSoftplusStep, singleTailFrom))>>22) + positive(x)
}
