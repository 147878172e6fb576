package kern

// What does a normalisation of rows compute?

import (
	"math"

	"github.com/goqat/goqat/internal/par"
)

// Norm is the normalisation of rows of Width elements by their own mean and variance
// (layer normalisation, Ba et al. 2016), or by their mean square alone (RMS
// normalisation, Zhang and Sennrich 2019). With
//
//	mean = Σ x/Width, 0 with RMS     rstd = 1/sqrt(Σ x²/Width - mean² + Eps)
//
// both rounded once from float64,
//
//	y = ((x - mean)·rstd)·gamma + beta
//
// with every step rounded. A missing gamma is 1, a missing beta does nothing. Sums over a
// row take the order of [ChannelStats] for one plane. Those over rows are in float64 and in
// the order of the rows: rows of a piece of normPiece first, then pieces.
type Norm struct {
	Width int
	Eps   float64
	RMS   bool
}

// normPiece is the number of rows whose column sums are added up together.
const normPiece = 64

// blockRows is the number of rows that stay in the first cache while several loops run
// over them.
func (o *Norm) blockRows() int { return max(1, 4<<10/o.Width) }

// NormForward writes the normalised rows of x into dst, which may be x. gamma and beta
// have Width elements or are nil; x holds whole rows.
func NormForward[F Float](o *Norm, dst, x, gamma, beta []F) {
	gamma, beta, free := normParams(o.Width, gamma, beta)
	defer free()
	w := o.Width
	par.For(len(x)/w, max(1, elemChunk/w), func(lo, hi int) {
		t := newNormRows[F](o)
		defer t.free()
		for ; lo < hi; lo += t.rows {
			end := min(hi, lo+t.rows)
			t.statistics(x[lo*w : end*w])
			normRows(dst[lo*w:end*w], x[lo*w:end*w], w, gamma, beta, *t.stats)
		}
	})
}

// NormBackward writes the gradients of x, gamma and beta from that of the result; those
// that are nil are not wanted. dx may be dy or x. With g = dy·gamma, xhat = (x - mean)·rstd
// and means over the row,
//
//	dx = (g - mean(g) - xhat·mean(g·xhat))·rstd,  dgamma = Σ dy·xhat,  dbeta = Σ dy
//
// where mean(g) counts as 0 with RMS.
func NormBackward[F Float](o *Norm, dx, dgamma, dbeta, dy, x, gamma []F) {
	gamma, _, free := normParams(o.Width, gamma, gamma)
	defer free()
	w, rows := o.Width, len(x)/o.Width
	pieces, room := ceilDiv(rows, normPiece), (w+15)&^15
	sums := borrow[float64](2 * pieces * room)
	defer giveBack(sums)
	par.For(pieces, max(1, elemChunk/w/normPiece), func(from, to int) {
		t := newNormRows[F](o)
		defer t.free()
		for p := from; p < to; p++ {
			s := (*sums)[2*p*room:][:2*room]
			clear(s)
			for lo, hi := p*normPiece, min(rows, (p+1)*normPiece); lo < hi; lo += t.rows {
				a, b := lo*w, min(hi, lo+t.rows)*w
				t.statistics(x[a:b])
				normDots(*t.sums, s[:room], s[room:], dy[a:b], x[a:b], w, gamma, *t.stats)
				if dx != nil {
					t.meansOf((b - a) / w)
					normBack(dx[a:b], dy[a:b], x[a:b], w, gamma, *t.stats, *t.means)
				}
			}
		}
	})
	columnTotals(dgamma, *sums, 2*room, pieces)
	columnTotals(dbeta, (*sums)[room:], 2*room, pieces)
}

// columnTotals adds up rows of sums, stride apart, in order, the first into the others'
// place; dst may be nil.
func columnTotals[F Float](dst []F, sums []float64, stride, rows int) {
	if dst == nil {
		return
	}
	if rows == 0 {
		clear(dst)
		return
	}
	total := sums[:len(dst)]
	for r := 1; r < rows; r++ {
		addSums(total, sums[r*stride:])
	}
	RoundSums(dst, total, 1)
}

// normParams replaces missing parameters by such as change nothing.
func normParams[F Float](width int, gamma, beta []F) (g, b []F, free func()) {
	g, b = gamma, beta
	if gamma != nil && beta != nil {
		return g, b, func() {}
	}
	both := borrow[F](2 * width)
	if gamma == nil {
		g = (*both)[:width]
		for i := range g {
			g[i] = 1
		}
	}
	if beta == nil {
		b = (*both)[width:]
		for i := range b {
			b[i] = F(math.Copysign(0, -1))
		}
	}
	return g, b, func() { giveBack(both) }
}

// normState are the numbers of a block of rows: two of each kind a row.
type normState[F Float] struct {
	o            *Norm
	rows         int
	sums         *[]float64
	stats, means *[]F
}

func newNormRows[F Float](o *Norm) *normState[F] {
	n := o.blockRows()
	return &normState[F]{o, n, borrow[float64](2 * n), borrow[F](2 * n), borrow[F](2 * n)}
}

func (t *normState[F]) free() {
	giveBack(t.sums)
	giveBack(t.stats)
	giveBack(t.means)
}

// statistics computes mean and rstd of rows.
func (t *normState[F]) statistics(x []F) {
	w := t.o.Width
	rowMoments(*t.sums, x, w)
	rows := len(x) / w
	for r := normStatsFast(t.o, (*t.sums)[:2*rows], *t.stats); r < rows; r++ {
		mean, square := (*t.sums)[2*r]/float64(w), (*t.sums)[2*r+1]/float64(w)
		if t.o.RMS {
			mean = 0
		}
		variance := square - float64(mean*mean)
		if variance < 0 { // by rounding; NaN stays
			variance = 0
		}
		(*t.stats)[2*r], (*t.stats)[2*r+1] = F(mean), F(1/math.Sqrt(variance+t.o.Eps))
	}
}

// meansOf turns the sums of rows into the means that the gradient needs.
func (t *normState[F]) meansOf(rows int) {
	w := float64(t.o.Width)
	for r := normMeansFast(t.o, (*t.sums)[:2*rows], *t.means); r < rows; r++ {
		a, b := (*t.sums)[2*r]/w, (*t.sums)[2*r+1]/w
		if t.o.RMS {
			a = 0
		}
		(*t.means)[2*r], (*t.means)[2*r+1] = F(a), F(b)
	}
}
