package kern

// Which elementary functions are computed in float32, and how: operations of which each is
// rounded once on every processor. The assembly repeats them one by one. Twice as many fit a
// vector as of float64.

import "math"

// fuse is a·b + c with one rounding.
func fuse(a, b, c float32) float32 {
	s := float64(a)*float64(b) + float64(c)
	if roundsOnce(s) {
		return float32(s)
	}
	return fmaOdd(a, b, c)
}

// limitSingle is at most the limit and keeps NaN.
func limitSingle(v, limit float32) float32 {
	if v > limit {
		return limit
	}
	return v
}

// absSingle is |x|.
func absSingle(x float32) float32 { return math.Float32frombits(math.Float32bits(x) &^ singleSign) }

// positive is x where it is above 0, else -0 or, of 0 and NaN, what it is.
func positive(x float32) float32 {
	if x < 0 {
		return math.Float32frombits(singleSign)
	}
	return x
}

// upSingle is a·(1+s)·2^(n+64), where t has n, see singleShift. A product of it with singleDown
// is rounded in the end only if it is below the normal numbers.
func upSingle(a, s, t float32) float32 {
	return fuse(s, a, a) * math.Float32frombits(math.Float32bits(t)<<23)
}

// upTwo is upSingle of a + low.
func upTwo(a, low, s, t float32) float32 {
	return float32(fuse(s, a, low)+a) * math.Float32frombits(math.Float32bits(t)<<23)
}

// pieceTable has the middles of intervals, and a polynomial for each. The line is added to
// the coefficient of power 1: where the middle is 0, that loses no digit.
type pieceTable struct {
	mid, line *[8]float32
	rows      []*[8]float32
}

var (
	geluTable = pieceTable{&singleGELUMid, nil, []*[8]float32{&singleGELU7, &singleGELU6, &singleGELU5, &singleGELU4,
		&singleGELU3, &singleGELU2, &singleGELU1, &singleGELU0}}
	geluSlopeTable = pieceTable{&singleGELUSlopeMid, nil, []*[8]float32{&singleGELUSlope7, &singleGELUSlope6,
		&singleGELUSlope5, &singleGELUSlope4, &singleGELUSlope3, &singleGELUSlope2, &singleGELUSlope1, &singleGELUSlope0}}
)

// terms returns p, d and c of the polynomial of interval at%8, at v: it is p·d + c.
func (t *pieceTable) terms(v float32, at uint32) (p, d, c float32) {
	i := at & 7
	d = v - t.mid[i]
	p = t.rows[0][i]
	last := len(t.rows) - 1
	for _, row := range t.rows[1:last] {
		p = fuse(p, d, row[i])
	}
	c = t.rows[last][i]
	if t.line != nil {
		c = fuse(t.line[i], d, c)
	}
	return p, d, c
}

// piece is the polynomial of interval at%8, at v, and pieceTwo what rounding takes from it, too.
func (t *pieceTable) piece(v float32, at uint32) float32 { return fuse(t.terms(v, at)) }

func (t *pieceTable) pieceTwo(v float32, at uint32) (y, low float32) {
	p, d, c := t.terms(v, at)
	y = fuse(p, d, c)
	return y, fuse(p, d, c-y)
}

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

// upperSingle is 1 - m where x >= 0, else m.
func upperSingle(m, x float32) float32 {
	if x >= 0 {
		return 1 - m
	}
	return m
}

// single makes a pair of a function of float32 and its derivative.
func single(f, d func(x float32) float32) fnPair {
	return fnPair{
		func(x float64, _ *fnSettings) float64 { return float64(f(float32(x))) },
		func(x, dy float64, _ *fnSettings) float64 { return float64(float32(dy) * d(float32(x))) },
	}
}

// singleOf is single for a gradient d of x and dy that is not their product with a rounded derivative.
func singleOf(f func(x float32) float32, d func(x, dy float32) float32) fnPair {
	return fnPair{
		func(x float64, _ *fnSettings) float64 { return float64(f(float32(x))) },
		func(x, dy float64, _ *fnSettings) float64 { return float64(d(float32(x), float32(dy))) },
	}
}
