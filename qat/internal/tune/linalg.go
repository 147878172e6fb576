package tune

// This file says what an error of weights costs: the second moments and their factor.

import "math"

// quadratic is the cost eᵀ·H·e of an error e of one output channel's weights, with its
// columns in the order in which they are rounded.
type quadratic struct {
	k     int
	order []int     // order[i] is the column that is rounded as number i
	h     []float64 // H, damped, [k,k], in that order
	l     []float64 // lower triangle with H = Lᵀ·L, [k,k]
}

// NewQuadratic factors H = m.qq + damp·mean(diagonal)·I. It raises the damping tenfold,
// up to maxDamping, until H is positive definite, and returns nil if it never is. Dead
// columns, which no data reached, count as independent.
func NewQuadratic(m *moments, damping float64, order []int) (h *quadratic, lambda float64) {
	mean := 0.0
	for i := range m.k {
		mean += m.QQ[i*m.k+i] / float64(m.k)
	}
	for ; damping <= maxDamping; damping *= 10 {
		lambda = damping * mean
		if mean <= 0 {
			lambda = 1 // nothing but dead columns
		}
		h := &quadratic{k: m.k, order: order, h: make([]float64, m.k*m.k)}
		for i, a := range order {
			for j, b := range order {
				h.h[i*m.k+j] = m.QQ[a*m.k+b]
			}
			h.h[i*m.k+i] += lambda
		}
		if h.factor() {
			return h, lambda
		}
	}
	return nil, 0
}

// maxDamping is where a matrix counts as hopeless: the sums hold no numbers.
const maxDamping = 1e3

// factor computes l. It is Cholesky's method on the matrix with rows and columns in
// reverse: if that is C·Cᵀ, then L[i][j] = C[k-1-j][k-1-i].
func (q *quadratic) factor() bool {
	k := q.k
	c := make([]float64, k*k)
	for i := range k {
		for j := range i + 1 {
			s := q.h[(k-1-i)*k+k-1-j] - dot(c[i*k:i*k+j], c[j*k:j*k+j])
			if i > j {
				c[i*k+j] = s / c[j*k+j]
				continue
			}
			if !(s > 0) || math.IsInf(s, 0) {
				return false
			}
			c[i*k+i] = math.Sqrt(s)
		}
	}
	q.l = make([]float64, k*k)
	for i := range k {
		for j := range i + 1 {
			q.l[i*k+j] = c[(k-1-j)*k+k-1-i]
		}
	}
	return true
}

// solve returns x with H·x = b. b is in the order of q and is overwritten.
func (q *quadratic) solve(b []float64) []float64 {
	k := q.k
	for i := k - 1; i >= 0; i-- { // Lᵀ·y = b
		b[i] /= q.l[i*k+i]
		for j := range i {
			b[j] -= float64(q.l[i*k+j] * b[i])
		}
	}
	for i := range k { // L·x = y
		b[i] = (b[i] - dot(q.l[i*k:i*k+i], b[:i])) / q.l[i*k+i]
	}
	return b
}

// times writes H·x into y.
func (q *quadratic) times(y, x []float64) {
	for i := range q.k {
		y[i] = dot(q.h[i*q.k:(i+1)*q.k], x)
	}
}

// cost returns eᵀ·H·e.
func (q *quadratic) cost(e []float64) float64 {
	s := 0.0
	for i, v := range e {
		if v != 0 {
			s += v * dot(q.h[i*q.k:(i+1)*q.k], e)
		}
	}
	return s
}
