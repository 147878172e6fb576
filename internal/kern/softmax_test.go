package kern

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// softmaxTol bounds the relative error of a probability: the exponent x - top (below 16
// here, rounded to 2^-24 of it), the exponential (1 ulp), the reciprocal and the product.
// That of a logarithm of size up to 32 is absolute.
const (
	softmaxTol    = (16 + 4) * 0x1p-24
	logSoftmaxTol = 32 * 4 * 0x1p-24
)

var softmaxShapes = [][3]int{{1, 1, 1}, {5, 7, 1}, {70, 129, 1}, {3, 5000, 1}, {2, 19, 33}, {3, 40, 300}, {1, 4, 1000}}

func TestSoftmax(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	for _, s := range softmaxShapes {
		outer, n, inner := s[0], s[1], s[2]
		x, dy := normalRows(r, outer*n*inner), normalRows(r, outer*n*inner)
		for _, log := range []bool{false, true} {
			y, dx := make([]float32, len(x)), make([]float32, len(x))
			Softmax(y, x, outer, n, inner, log)
			SoftmaxBackward(dx, y, dy, outer, n, inner, log)
			for u := range outer * inner {
				at := u/inner*n*inner + u%inner
				row, d := strided(x[at:], n, inner), strided(dy[at:], n, inner)
				p, lp := softmaxOf(row)
				var dot, sum, size float64
				for i := range row {
					dot, sum, size = dot+d[i]*p[i], sum+d[i], size+math.Abs(d[i])
				}
				for i := range row {
					want, wantD, tol := p[i], (d[i]-dot)*p[i], softmaxTol*p[i]
					if log {
						want, wantD, tol = lp[i], d[i]-p[i]*sum, logSoftmaxTol
					}
					got, gotD := float64(y[at+i*inner]), float64(dx[at+i*inner])
					if !(math.Abs(got-want) <= tol) || !(math.Abs(gotD-wantD) <= logSoftmaxTol*(1+size)) {
						t.Fatalf("%v, log %t, row %d, element %d: %v and gradient %v, want %v and %v", s, log, u, i, got, gotD, want, wantD)
					}
				}
			}
		}
	}
}

func strided(x []float32, n, step int) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = float64(x[i*step])
	}
	return out
}

func softmaxOf(x []float64) (p, log []float64) {
	var sum float64
	for _, v := range x {
		sum += math.Exp(v)
	}
	for _, v := range x {
		p, log = append(p, math.Exp(v)/sum), append(log, v-math.Log(sum))
	}
	return p, log
}

// TestSoftmaxLevels: the same bits on every level and number of processors.
func TestSoftmaxLevels(t *testing.T) {
	for _, s := range softmaxShapes {
		t.Run(fmt.Sprint(s), func(t *testing.T) {
			n := s[0] * s[1] * s[2]
			r := rand.New(rand.NewPCG(4, 4))
			x, dy := normalRows(r, n), normalRows(r, n)
			x[n/2], x[n/3] = float32(math.Inf(-1)), 80
			var first []float32
			eachProcs(t, func(t *testing.T) {
				for l := LevelGeneric; l <= cpuLevel(); l++ {
					old := SetLevel(l)
					var all []float32
					for _, log := range []bool{false, true} {
						y, dx := slices.Clone(x), make([]float32, n)
						Softmax(y, y, s[0], s[1], s[2], log)
						SoftmaxBackward(dx, y, dy, s[0], s[1], s[2], log)
						all = append(append(all, y...), dx...)
					}
					SetLevel(old)
					if first == nil {
						first = all
					}
					for i, v := range all {
						if v != first[i] && (v == v || first[i] == first[i]) {
							t.Fatalf("at %v element %d is %v, want %v", l, i, v, first[i])
						}
					}
				}
			})
		})
	}
}

// TestSoftmaxNotFinite: rows that have no answer are NaN, others are not.
func TestSoftmaxNotFinite(t *testing.T) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	for l := LevelGeneric; l <= cpuLevel(); l++ {
		old := SetLevel(l)
		x := slices.Repeat([]float32{1}, 5*20)
		copy(x[20:], slices.Repeat([]float32{-inf}, 20))
		x[45], x[60], x[79] = nan, inf, -inf
		x[99] = -inf
		y := make([]float32, len(x))
		Softmax(y, x, 5, 20, 1, false)
		for i, v := range y {
			if (v != v) != (i/20 >= 1 && i/20 <= 3) {
				t.Errorf("%v: element %d of row %d is %v", l, i%20, i/20, v)
			}
		}
		if y[99] != 0 || y[98] != float32(1.0/19) {
			t.Errorf("%v: a masked element is %v, its neighbour %v, want 0 and %v", l, y[99], y[98], float32(1.0/19))
		}
		SetLevel(old)
	}
}
