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
