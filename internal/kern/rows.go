package kern

// How fast can rows be summed up, normalised and differentiated?

//go:generate go -C _gen run . -set rows -out ../rows_amd64.s -stubs ../rows_stubs_amd64.go

// The loops of this file work on rows of n elements that lie behind one another, in the
// caller's goroutine. Each *Fast function does all of it in assembly, or nothing and
// returns false; the loop here is the definition. Sums are in float64: element i of a row
// is added to lane i%16, and the lanes are added as [laneTotal] says.

// rowMoments writes Σ x and Σ x² of each row into out, two numbers a row.
func rowMoments[F Float](out []float64, x []F, n int) {
	if rowMomentsFast(out, x, n) {
		return
	}
	for r := range len(x) / n {
		var l lanes
		for i, v := range x[r*n:][:n] {
			w := float64(v)
			l.a[i%16] += w
			l.b[i%16] += float64(w * w)
		}
		out[2*r], out[2*r+1] = l.totals()
	}
}

// rowDot writes Σ x·y of each row into out.
func rowDot[F Float](out []float64, x, y []F, n int) {
	if rowDotFast(out, x, y, n) {
		return
	}
	for r := range len(x) / n {
		var l lanes
		for i, v := range x[r*n:][:n] {
			l.a[i%16] += float64(float64(v) * float64(y[r*n+i]))
		}
		out[r] = laneTotal(&l.a)
	}
}

// rowMax writes the largest element of each row into out; of a row with NaN, any number.
// The sign of a zero is not defined.
func rowMax[F Float](out, x []F, n int) {
	if rowMaxFast(out, x, n) {
		return
	}
	for r := range len(x) / n {
		top := x[r*n]
		for _, v := range x[r*n+1:][:n-1] {
			if v > top {
				top = v
			}
		}
		out[r] = top
	}
}

// normRows writes ((x - mean)·rstd)·gamma + beta, every step rounded; stats holds mean and
// rstd of each row.
func normRows[F Float](dst, x []F, n int, gamma, beta, stats []F) {
	if normRowsFast(dst, x, n, gamma, beta, stats) {
		return
	}
	gamma, beta = gamma[:n], beta[:n]
	for r := range len(x) / n {
		mean, rstd := stats[2*r], stats[2*r+1]
		to := dst[r*n:][:n]
		for i, v := range x[r*n:][:n] {
			to[i] = F(F(F(v-mean)*rstd)*gamma[i]) + beta[i]
		}
	}
}

// normDots adds dy·xhat and dy of every row to dgamma and dbeta, which have room for whole
// vectors of sixteen, and writes Σ g and Σ g·xhat of each row into out, two numbers a row:
// xhat = (x - mean)·rstd and g = dy·gamma, every step rounded.
func normDots[F Float](out, dgamma, dbeta []float64, dy, x []F, n int, gamma, stats []F) {
	if normDotsFast(out, dgamma, dbeta, dy, x, n, gamma, stats) {
		return
	}
	for r := range len(x) / n {
		var l lanes
		mean, rstd := stats[2*r], stats[2*r+1]
		for i, v := range x[r*n:][:n] {
			d, xhat := dy[r*n+i], float64(F(v-mean)*rstd)
			dgamma[i] += float64(float64(d) * xhat)
			dbeta[i] += float64(d)
			g := float64(d * gamma[i])
			l.a[i%16] += g
			l.b[i%16] += float64(g * xhat)
		}
		out[2*r], out[2*r+1] = l.totals()
	}
}

// normBack writes ((dy·gamma - m1) - xhat·m2)·rstd, every step rounded; means holds m1 and
// m2 of each row. dx may be dy or x.
func normBack[F Float](dx, dy, x []F, n int, gamma, stats, means []F) {
	if normBackFast(dx, dy, x, n, gamma, stats, means) {
		return
	}
	for r := range len(x) / n {
		mean, rstd, m1, m2 := stats[2*r], stats[2*r+1], means[2*r], means[2*r+1]
		for i, v := range x[r*n:][:n] {
			xhat := F(v-mean) * rstd
			g := F(dy[r*n+i]*gamma[i]) - m1
			dx[r*n+i] = (g - F(xhat*m2)) * rstd
		}
	}
}

// softmaxBack writes (dy - s)·y; sums holds s of each row. dx may be y or dy.
func softmaxBack[F Float](dx, y, dy []F, n int, sums []F) {
	if softmaxBackFast(dx, y, dy, n, sums) {
		return
	}
	for r := range len(y) / n {
		for i := r * n; i < (r+1)*n; i++ {
			dx[i] = (dy[i] - sums[r]) * y[i]
		}
	}
}

// RoundSums writes sums divided by div, rounded once.
func RoundSums[F Float](dst []F, sums []float64, div float64) {
	dst = dst[:len(sums)]
	for i := roundSumsFast(dst, sums, div); i < len(sums); i++ {
		dst[i] = F(sums[i] / div)
	}
}

// addSums adds x to sums.
func addSums(sums, x []float64) {
	x = x[:len(sums)]
	for i := addSumsFast(sums, x); i < len(x); i++ {
		sums[i] += x[i]
	}
}

// Div writes a / b.
func Div[F Float](dst, a, b []F) {
	dst, b = dst[:len(a)], b[:len(a)]
	for i := binaryFast(opDiv, dst, a, b); i < len(a); i++ {
		dst[i] = a[i] / b[i]
	}
}

// DivOne writes a / b for one b.
func DivOne[F Float](dst, a []F, b F) {
	dst = dst[:len(a)]
	for i := binaryOneFast(opDiv, dst, a, b); i < len(a); i++ {
		dst[i] = a[i] / b
	}
}

// OneDiv writes a / b for one a.
func OneDiv[F Float](dst []F, a F, b []F) {
	dst = dst[:len(b)]
	for i := binaryOneFast(opOneDiv, dst, b, a); i < len(b); i++ {
		dst[i] = a / b[i]
	}
}

// Min writes Go's min of a and b: NaN wins, and -0 is below +0.
func Min[F Float](dst, a, b []F) {
	dst, b = dst[:len(a)], b[:len(a)]
	for i := binaryFast(opMin, dst, a, b); i < len(a); i++ {
		dst[i] = min(a[i], b[i])
	}
}

// Max writes Go's max of a and b.
func Max[F Float](dst, a, b []F) {
	dst, b = dst[:len(a)], b[:len(a)]
	for i := binaryFast(opMax, dst, a, b); i < len(a); i++ {
		dst[i] = max(a[i], b[i])
	}
}
