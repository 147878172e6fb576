package kern

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// normTol bounds the error of a normalised element of size 1 or less, before gamma: mean
// and rstd are rounded once, and so are the difference, the product with rstd, with gamma
// and the sum; with |x - mean|·rstd below 8 each step is wrong by less than 2^-24 of 16.
const normTol = 6 * 16 * 0x1p-24

// TestNormForward compares with the definition in float64.
func TestNormForward(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	for _, w := range []int{1, 2, 7, 16, 33, 96, 5000} {
		for _, rows := range []int{1, 3, 65, 130} {
			for _, rms := range []bool{false, true} {
				o := &Norm{Width: w, Eps: 1e-5, RMS: rms}
				x, gamma, beta := normalRows(r, w*rows), normalRows(r, w), normalRows(r, w)
				got := make([]float32, len(x))
				NormForward(o, got, x, gamma, beta)
				var xhat []float64
				for i := range x {
					if i%w == 0 {
						xhat = normOf(o, x[i:][:w])
					}
					want := xhat[i%w]*float64(gamma[i%w]) + float64(beta[i%w])
					if d := math.Abs(float64(got[i]) - want); !(d <= normTol*(1+math.Abs(float64(gamma[i%w])))) {
						t.Fatalf("width %d, row %d, element %d, RMS %t: %v, want %v", w, i/w, i%w, rms, got[i], want)
					}
				}
				plain := make([]float32, len(x))
				NormForward(o, plain, x, nil, nil)
				ones := slices.Repeat([]float32{1}, w)
				NormForward(o, got, x, ones, make([]float32, w))
				for i := range got {
					if got[i] != plain[i] {
						t.Fatalf("without parameters element %d is %v, with 1 and 0 it is %v", i, plain[i], got[i])
					}
				}
			}
		}
	}
}

func normalRows(r *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	return x
}

// normOf is a normalised row.
func normOf(o *Norm, x []float32) []float64 {
	var mean, variance float64
	for _, v := range x {
		mean += float64(v) / float64(len(x))
	}
	if o.RMS {
		mean = 0
	}
	for _, v := range x {
		variance += (float64(v) - mean) * (float64(v) - mean) / float64(len(x))
	}
	out := make([]float64, len(x))
	for i, v := range x {
		out[i] = (float64(v) - mean) / math.Sqrt(variance+o.Eps)
	}
	return out
}

// TestNormProcessors: levels, goroutines and leaving out gradients change no bit.
func TestNormProcessors(t *testing.T) {
	r := rand.New(rand.NewPCG(8, 8))
	for _, w := range []int{3, 40, 700, 9000} {
		o := &Norm{Width: w, Eps: 1e-6, RMS: w == 40}
		rows := 1 + 40000/w
		x, dy, gamma := normalRows(r, w*rows), normalRows(r, w*rows), normalRows(r, w)
		var first []float32
		eachProcs(t, func(t *testing.T) {
			for l := LevelGeneric; l <= cpuLevel(); l++ {
				old := SetLevel(l)
				y, dx, dg, db := make([]float32, len(x)), make([]float32, len(x)), make([]float32, w), make([]float32, w)
				NormForward(o, y, x, gamma, nil)
				NormBackward(o, dx, dg, db, dy, x, gamma)
				alone := slices.Clone(dy)
				NormBackward(o, alone, nil, nil, alone, x, gamma)
				SetLevel(old)
				if !slices.Equal(alone, dx) {
					t.Fatalf("width %d at %v: dx alone, in the memory of dy, differs", w, l)
				}
				all := slices.Concat(y, dx, dg, db)
				if first != nil && !slices.Equal(all, first) {
					t.Fatalf("width %d at %v: other bits", w, l)
				}
				first = all
			}
		})
	}
}

// TestGroupNormProcessors: levels and goroutines change no bit, nor does the batch.
func TestGroupNormProcessors(t *testing.T) {
	r := rand.New(rand.NewPCG(6, 6))
	for _, o := range []*GroupNorm{{N: 5, Groups: 3, Channels: 4, Inner: 49}, {N: 2, Groups: 8, Channels: 1, Inner: 5000}, {N: 9, Groups: 2, Channels: 7, Inner: 1}} {
		c := o.Groups * o.Channels
		n := o.N * c * o.Inner
		x, dy, gamma, beta := normalRows(r, n), normalRows(r, n), normalRows(r, c), normalRows(r, c)
		var first []float32
		eachProcs(t, func(t *testing.T) {
			for l := LevelGeneric; l <= cpuLevel(); l++ {
				old := SetLevel(l)
				y, dx, dg, db := make([]float32, n), slices.Clone(dy), make([]float32, c), make([]float32, c)
				GroupNormForward(o, y, x, gamma, beta)
				GroupNormBackward(o, dx, dg, db, dx, x, gamma)
				alone := *o
				alone.N = 1
				last := make([]float32, n/o.N)
				GroupNormForward(&alone, last, x[n-n/o.N:], gamma, beta)
				SetLevel(old)
				if !slices.Equal(last, y[n-n/o.N:]) {
					t.Fatalf("%+v at %v: an image alone has other bits", *o, l)
				}
				all := slices.Concat(y, dx, dg, db)
				if first != nil && !slices.Equal(all, first) {
					t.Fatalf("%+v at %v: other bits", *o, l)
				}
				first = all
			}
		})
	}
}

// TestNormNotFinite: a row with something that is not finite spoils itself alone.
func TestNormNotFinite(t *testing.T) {
	for l := LevelGeneric; l <= cpuLevel(); l++ {
		old := SetLevel(l)
		for _, bad := range []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1))} {
			x := normalRows(rand.New(rand.NewPCG(1, 1)), 3*21)
			x[21+5] = bad
			y := make([]float32, len(x))
			NormForward(&Norm{Width: 21}, y, x, nil, nil)
			for i, v := range y {
				if (v != v) != (i/21 == 1) {
					t.Errorf("%v in row 1 makes element %d of row %d %v", bad, i%21, i/21, v)
				}
			}
		}
		SetLevel(old)
	}
}

func TestTransposeFloats(t *testing.T) {
	for _, s := range [][2]int{{1, 1}, {3, 300}, {8, 8}, {9, 129}, {50, 135}, {128, 128}, {200, 260}, {33, 7}} {
		rows, cols := s[0], s[1]
		for l := LevelGeneric; l <= cpuLevel(); l++ {
			old := SetLevel(l)
			checkTransposed[float32](t, rows, cols)
			checkTransposed[float64](t, rows, cols)
			SetLevel(old)
		}
	}
}

func checkTransposed[F Float](t *testing.T, rows, cols int) {
	t.Helper()
	ss, ds := cols+3, rows+2
	src, dst := make([]F, rows*ss), make([]F, cols*ds)
	for i := range src {
		src[i] = F(i + 1)
	}
	Transpose(dst, ds, src, ss, rows, cols)
	for i, v := range dst {
		want := F(0)
		if c, r := i/ds, i%ds; r < rows {
			want = src[r*ss+c]
		}
		if v != want {
			t.Fatalf("%d×%d: element %d is %v, want %v", rows, cols, i, v, want)
		}
	}
}

func BenchmarkNorm(b *testing.B) {
	for _, w := range []int{96, 192, 768} {
		n := 1 << 20 / w * w
		d := benchData(n, 3)
		o := &Norm{Width: w, Eps: 1e-5}
		g := make([]float32, w)
		b.Run(fmt.Sprintf("copy/%d", w), func(b *testing.B) { benchElem(b, n, 8, func() { copy(d[1], d[0]) }) })
		b.Run(fmt.Sprintf("forward/%d", w), func(b *testing.B) { benchElem(b, n, 8, func() { NormForward(o, d[1], d[0], g, g) }) })
		b.Run(fmt.Sprintf("backward/%d", w), func(b *testing.B) {
			benchElem(b, n, 12, func() { NormBackward(o, d[1], g, g, d[2], d[0], d[0][:w]) })
		})
		b.Run(fmt.Sprintf("transpose/%d", w), func(b *testing.B) { benchElem(b, n, 8, func() { Transpose(d[1], n/w, d[0], w, n/w, w) }) })
	}
}
