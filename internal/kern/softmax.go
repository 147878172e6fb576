package kern

// What does a softmax compute, along any axis?

import (
	"github.com/goqat/goqat/internal/par"
)

// Softmax writes exp(x - top)/Σ exp(x - top) over the n elements along an axis, or its
// logarithm, where top is the largest element: [outer][n][inner], row-major. Exponentials
// are rounded once and multiplied by the rounded reciprocal of their sum, which is in
// float64 and in the order of [ExpSum]; a logarithm is (x - top) - log Σ, the sum and each step
// rounded. A row of -Inf alone, or with NaN or +Inf, gives NaN. dst may be x.
func Softmax[F Float](dst, x []F, outer, n, inner int, log bool) {
	alongAxis(outer, n, inner, [][]F{x}, dst, func(to []F, rows [][]F) {
		softmaxRows(to, rows[0], n, log)
	})
}

// MaskedSoftmax is Softmax of rows of n elements of x·scale + mask, each step rounded, in one
// pass: attention's. mask returns what is added to a row, n numbers or one; nil is none, and
// scale 1 does nothing. dst may be x.
func MaskedSoftmax[F Float](dst, x []F, n int, log bool, scale F, mask func(row int) []F) {
	par.For(len(x)/n, axisRows(n), func(lo, hi int) {
		for ; lo < hi; lo += axisRows(n) {
			end := min(hi, lo+axisRows(n))
			from, to := x[lo*n:end*n], dst[lo*n:end*n]
			if scale != 1 {
				MulOne(to, from, scale)
				from = to
			}
			if mask != nil {
				maskRows(to, from, n, lo, mask)
				from = to
			}
			softmaxRows(to, from, n, log)
		}
	})
}

// maskRows adds to each row what mask returns for it; the first is row number first.
func maskRows[F Float](dst, x []F, n, first int, mask func(row int) []F) {
	for r := range len(x) / n {
		to, from := dst[r*n:][:n], x[r*n:][:n]
		if m := mask(first + r); len(m) == n {
			Add(to, from, m)
		} else {
			AddOne(to, from, m[0])
		}
	}
}

// MaskedSoftmaxBackward is SoftmaxBackward of rows, times scale: the gradient of
// MaskedSoftmax's x.
func MaskedSoftmaxBackward[F Float](dx, y, dy []F, n int, log bool, scale F) {
	softmaxBackward(dx, y, dy, len(y)/n, n, 1, log, scale)
}

// SoftmaxBackward writes the gradient of x from the result y and its gradient dy:
//
//	dx = (dy - Σ dy·y)·y, or for the logarithm dx = dy - exp(y)·Σ dy
//
// with the sums in float64, rounded once. dx may not be y or dy.
func SoftmaxBackward[F Float](dx, y, dy []F, outer, n, inner int, log bool) {
	softmaxBackward(dx, y, dy, outer, n, inner, log, 1)
}

func softmaxBackward[F Float](dx, y, dy []F, outer, n, inner int, log bool, scale F) {
	alongAxis(outer, n, inner, [][]F{y, dy}, dx, func(to []F, rows [][]F) {
		if scale != 1 {
			defer func() { MulOne(to, to, scale) }()
		}
		if log {
			logSoftmaxBack(to, rows[0], rows[1], n)
			return
		}
		sums, s := borrow[float64](len(to)/n), borrow[F](len(to)/n)
		rowDot(*sums, rows[0], rows[1], n)
		RoundSums(*s, *sums, 1)
		softmaxBack(to, rows[0], rows[1], n, *s)
		giveBack(sums)
		giveBack(s)
	})
}

// axisRows is the number of rows along an axis that are worked on together.
func axisRows(n int) int { return max(1, elemChunk/4/n) }

// alongAxis calls fn, in parallel, for some rows of n elements of each operand along the
// axis, and the place for the results. Where elements of a row do not lie together, blocks
// are transposed first and back afterwards.
func alongAxis[F Float](outer, n, inner int, in [][]F, dst []F, fn func(to []F, rows [][]F)) {
	block := axisRows(n)
	if inner == 1 {
		par.For(outer, block, func(lo, hi int) {
			var few [2][]F
			for ; lo < hi; lo += block {
				at, end := lo*n, min(hi, lo+block)*n
				for i, x := range in {
					few[i] = x[at:end]
				}
				fn(dst[at:end], few[:len(in)])
			}
		})
		return
	}
	block = min(block, inner)
	parts := ceilDiv(inner, block)
	par.For(outer*parts, 1, func(lo, hi int) {
		room := borrow[F]((len(in) + 1) * block * n)
		defer giveBack(room)
		var few [2][]F
		for u := lo; u < hi; u++ {
			at, cols := u/parts*n*inner+u%parts*block, min(block, inner-u%parts*block)
			for i, x := range in {
				few[i] = (*room)[(i+1)*block*n:][:cols*n]
				Transpose(few[i], n, x[at:], inner, n, cols)
			}
			to := (*room)[:cols*n]
			fn(to, few[:len(in)])
			Transpose(dst[at:], inner, to, n, cols, n)
		}
	})
}

func softmaxRows[F Float](dst, x []F, n int, log bool) {
	rows := len(x) / n
	tops := borrow[F](rows)
	defer giveBack(tops)
	rowMax(*tops, x, n)
	if log {
		logSoftmaxRows(dst, x, n, *tops)
		return
	}
	for r, top := range *tops {
		to := dst[r*n:][:n]
		MulOne(to, to, F(1/ExpSum(to, x[r*n:][:n], top)))
	}
}

func logSoftmaxRows[F Float](dst, x []F, n int, tops []F) {
	logs := borrow[F](len(tops))
	defer giveBack(logs)
	for r, top := range tops {
		(*logs)[r] = F(ExpSum(nil, x[r*n:][:n], top))
	}
	Eval(Func{Fn: FnLog}, *logs, *logs)
	for r, top := range tops {
		to := dst[r*n:][:n]
		SubOne(to, x[r*n:][:n], top)
		SubOne(to, to, (*logs)[r])
	}
}

func logSoftmaxBack[F Float](dx, y, dy []F, n int) {
	Eval(Func{Fn: FnExp}, dx, y)
	for r := range len(y) / n {
		to, d := dx[r*n:][:n], dy[r*n:][:n]
		MulOne(to, to, F(LaneSum(d)))
		Sub(to, d, to)
	}
}
