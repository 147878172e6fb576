package kern

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"testing"
	"unsafe"
)

// gemmReference is the definition of Gemm, element by element.
func gemmReference[F Float](m, n, k int, a, b Matrix[F], c []F, ldc int, add bool) {
	for i := range m {
		for j := range n {
			at := func(l int) (x, y F) { return a.Data[i*a.Row+l*a.Col], b.Data[l*b.Row+j*b.Col] }
			c[i*ldc+j] = dotReference(k, at, c[i*ldc+j], add)
		}
	}
}

// dotReference sums the products that at returns in the order of the package, from
// scratch or on top of start.
func dotReference[F Float](k int, at func(l int) (x, y F), start F, add bool) F {
	var s F
	if s32, ok := any(&s).(*float32); ok {
		for first := 0; first < max(k, 1); first += KC {
			var chain float32
			for l := first; l < min(first+KC, k); l++ {
				x, y := at(l)
				chain = fma32(float32(x), float32(y), chain)
			}
			switch {
			case first > 0:
				*s32 += chain
			case add:
				*s32 = float32(start) + chain
			default:
				*s32 = chain
			}
		}
		return s
	}
	for l := range k {
		x, y := at(l)
		s += F(x * y)
	}
	if add {
		s = start + s
	}
	return s
}

var gemmShapes = [][3]int{{1, 1, 1}, {4, 2, 8}, {5, 3, 7}, {3, 9, 0}, {17, 70, 33}, {1, 66, 129}, {37, 1, 40}, {0, 3, 2}, {3, 0, 2},
	{2, 33, 513}, {15, 40, 530}, {70, 17, 12}, {64, 10, 128}, {9, 32, 100}, {60, 64, 9}, {130, 50, 20}, {30, 400, 4}}

func TestGemm(t *testing.T) {
	for _, s := range gemmShapes {
		for mask := range 8 {
			ta, tb, add := mask&1 != 0, mask&2 != 0, mask&4 != 0
			t.Run(fmt.Sprintf("%v/%t,%t,%t", s, ta, tb, add), func(t *testing.T) {
				checkGemm[float32](t, s[0], s[1], s[2], ta, tb, add)
				checkGemm[float64](t, s[0], s[1], s[2], ta, tb, add)
			})
		}
	}
}

// checkGemm compares bit for bit: the order of summation is part of the promise.
func checkGemm[F Float](t *testing.T, m, n, k int, ta, tb, add bool) {
	t.Helper()
	r := rand.New(rand.NewPCG(1, uint64(m*n+k)))
	lda, ldb, ldc := k+1, n+2, n+3
	if ta {
		lda = m + 1
	}
	if tb {
		ldb = k + 2
	}
	a, b, c := randoms[F](r, (m+k)*lda+1), randoms[F](r, (n+k)*ldb+1), randoms[F](r, m*ldc+1)
	av, bv := RowMajor(a, lda, ta), RowMajor(b, ldb, tb)
	want := append([]F(nil), c...)
	gemmReference(m, n, k, av, bv, want, ldc, add)
	eachLevel(t, func(t *testing.T) {
		eachProcs(t, func(t *testing.T) {
			got := append([]F(nil), c...)
			Gemm(m, n, k, av, bv, got, ldc, add)
			wantSame(t, "product", got, want) // elements between rows must stay, too
		})
	})
}

// TestGemmStrides: A and B with rows on the same lines of the cache, and general
// strides.
func TestGemmStrides(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(5, 5))
		m, n, k := 33, 70, 20
		for _, s := range [][4]int{{1024, 1, 1024, 1}, {512, 1, 1, 512}, {1, 512, 512, 1}, {150, 3, 140, 2}, {2, 80, 3, 100}} {
			a, b := randoms[float32](r, 40000), randoms[float32](r, 40000)
			want := make([]float32, m*n)
			av, bv := Matrix[float32]{a, s[0], s[1]}, Matrix[float32]{b, s[2], s[3]}
			gemmReference(m, n, k, av, bv, want, n, false)
			got := make([]float32, m*n)
			Gemm(m, n, k, av, bv, got, n, false)
			wantSame(t, fmt.Sprint(s), got, want)
		}
	})
}

// TestGemmPacked: factors that tiles do not read where they lie, by the chain or as a whole.
func TestGemmPacked(t *testing.T) {
	for _, s := range []struct {
		m, n, k, lda int
		ta, tb       bool
	}{
		{280, 130, 530, 280, true, false}, // steps of A in pages of their own, packed by each unit
		{200, 260, 530, 200, true, false}, // and for all units, which pack B
		{200, 260, 30, 200, true, true},
		{30, 70, 520, 1024, false, false}, // rows of A on the same lines
		{30, 300, 520, 1024, false, false},
		{29, 40, 70, 29, true, false},    // far rows of B, few of A
		{520, 20, 530, 520, true, false}, // tall: computed as its transpose
		{97, 128, 2710, 97, true, false}, // no factor stays in the cache
	} {
		r := rand.New(rand.NewPCG(6, uint64(s.m)))
		ldb := 400
		if s.tb {
			ldb = s.k
		}
		a, b := randoms[float32](r, 300*1024), randoms[float32](r, 2710*400)
		av, bv := RowMajor(a, s.lda, s.ta), RowMajor(b, ldb, s.tb)
		for _, add := range []bool{false, true} {
			c := randoms[float32](r, s.m*s.n)
			want := append([]float32(nil), c...)
			gemmGo(s.m, s.n, s.k, av, bv, want, s.n, add)
			eachLevel(t, func(t *testing.T) {
				if level == LevelGeneric {
					return // what is wanted
				}
				for _, procs := range []int{1, 2, 3} {
					old := runtime.GOMAXPROCS(procs)
					got := append([]float32(nil), c...)
					Gemm(s.m, s.n, s.k, av, bv, got, s.n, add)
					runtime.GOMAXPROCS(old)
					sameBits(t, fmt.Sprintf("%+v, add %t, %d processors", s, add, procs), got, want)
				}
			})
		}
	}
}

// TestGemmRandom compares the levels with portable code on many shapes.
func TestGemmRandom(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		if level == LevelGeneric {
			return
		}
		r := rand.New(rand.NewPCG(7, 8))
		for range 150 {
			size := func() int { return 1 + int(math.Exp2(r.Float64()*6.5)) }
			compareGemm(t, r, size(), size(), size()*(1+r.IntN(2)*9), uint8(r.UintN(16)))
		}
	})
}

// compareGemm compares one product with portable code. Of flags, 1 and 2 transpose
// the factors, 4 adds, and 8 gives corner values instead of normal ones.
func compareGemm(t *testing.T, r *rand.Rand, m, n, k int, flags uint8) {
	t.Helper()
	lda, ldb, ldc := k+r.IntN(4), n+r.IntN(4), n+r.IntN(4)
	if flags&1 != 0 {
		lda = m + r.IntN(4)
	}
	if flags&2 != 0 {
		ldb = k + r.IntN(4)
	}
	a, b, c := randoms[float32](r, (m+k)*lda), randoms[float32](r, (n+k)*ldb), randoms[float32](r, m*ldc)
	if flags&8 != 0 {
		for _, x := range [][]float32{a, b} {
			for range 1 + len(x)/8 {
				x[r.IntN(len(x))] = math.Float32frombits(extremes[r.IntN(len(extremes))])
			}
		}
	}
	av, bv := RowMajor(a, lda, flags&1 != 0), RowMajor(b, ldb, flags&2 != 0)
	want := append([]float32(nil), c...)
	gemmGo(m, n, k, av, bv, want, ldc, flags&4 != 0)
	Gemm(m, n, k, av, bv, c, ldc, flags&4 != 0)
	for i := range c {
		if !same(c[i], want[i]) {
			t.Fatalf("%d×%d×%d, flags %x: element %d is %v, want %v", m, n, k, flags, i, c[i], want[i])
		}
	}
}

func FuzzGemm(f *testing.F) {
	f.Add(uint64(1), uint8(3), uint8(40), uint16(600), uint8(0))
	f.Add(uint64(2), uint8(70), uint8(9), uint16(20), uint8(11))
	f.Fuzz(func(t *testing.T, seed uint64, m, n uint8, k uint16, flags uint8) {
		eachLevel(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 9))
			compareGemm(t, r, 1+int(m), 1+int(n), 1+int(k)%1200, flags&15)
		})
	})
}

func TestTranspose(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		for rows := 1; rows < 40; rows++ {
			for _, cols := range []int{1, 7, 8, 9, 15, 16, 31, 32, 33, 600} {
				checkTranspose(t, rows, cols)
			}
		}
	})
}

func checkTranspose(t *testing.T, rows, cols int) {
	t.Helper()
	ss, ds := cols+3, rows+2
	src, dst := make([]uint32, rows*ss), make([]uint32, (cols+2)*ds)
	for i := range src {
		src[i] = uint32(i) * 0x9e3779b9
	}
	for i := range dst {
		dst[i] = tileGuard
	}
	want := append([]uint32(nil), dst...)
	for r := range rows {
		for c := range cols {
			want[(c+1)*ds+r] = src[r*ss+c]
		}
	}
	transpose(unsafe.Pointer(&dst[ds]), 4*ds, unsafe.Pointer(&src[0]), 4*ss, rows, cols)
	wantSame(t, fmt.Sprintf("%d×%d", rows, cols), dst, want)
}

func TestCopyRows(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		for _, n := range []int{1, 5, 16, 17, 32} {
			for _, rows := range []int{1, 2, 7, 513} {
				src, dst := make([]uint32, rows*40), make([]uint32, rows*35+2)
				for i := range src {
					src[i] = uint32(i)
				}
				want := make([]uint32, len(dst))
				for r := range rows {
					copy(want[1+r*35:][:n], src[r*40:])
				}
				copyRows(unsafe.Pointer(&dst[1]), 4*35, unsafe.Pointer(&src[0]), 160, rows, n)
				wantSame(t, fmt.Sprintf("%d rows of %d", rows, n), dst, want)
			}
		}
	})
}

// TestGemmAllocates: nothing per tile. The pools lose a buffer now and then.
func TestGemmAllocates(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	m, n, k := 300, 330, 40
	a, b, c := randoms[float32](r, m*k), randoms[float32](r, k*n), make([]float32, m*n)
	allocs := testing.AllocsPerRun(100, func() { Gemm(m, n, k, RowMajor(a, k, false), RowMajor(b, k, true), c, n, false) })
	if tiles := ceilDiv(m, tileMaxRows) * ceilDiv(n, 2*tileLanes); level > LevelGeneric && allocs > float64(tiles)/10 {
		t.Errorf("%v allocations for %d tiles", allocs, tiles)
	}
}

func BenchmarkGemmShapes(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 1))
	for _, e := range []struct {
		name    string
		m, n, k int
		ta, tb  bool
	}{
		{"64 cube", 64, 64, 64, false, false}, {"128 cube", 128, 128, 128, false, false},
		{"256 cube", 256, 256, 256, false, false}, {"512 cube", 512, 512, 512, false, false}, {"1024 cube", 1024, 1024, 1024, false, false},
		{"fc NN", 64, 512, 784, false, false}, {"fc NT", 64, 512, 784, false, true},
		{"fc dX NT", 64, 784, 512, false, true}, {"fc dX NN", 64, 784, 512, false, false},
		{"fc dW TN", 784, 512, 64, true, false}, {"fc dW T TN", 512, 784, 64, true, false},
		{"logits NN", 64, 10, 128, false, false}, {"logits NT", 64, 10, 128, false, true}, {"logits dX NT", 64, 128, 10, false, true},
		{"logits dW TN", 128, 10, 64, true, false},
		{"conv1", 12544, 32, 9, false, false}, {"conv2", 12544, 64, 288, false, false}, {"conv2 TN", 288, 64, 12544, true, false},
		{"conv1 TN", 9, 32, 50176, true, false},
		{"one NN", 1, 512, 784, false, false}, {"one NT", 1, 512, 784, false, true}, {"four NN", 4, 512, 784, false, false}, {"four NT", 4, 512, 784, false, true},
		{"tiny", 4, 4, 4, false, false},
	} {
		lda, ldb := e.k, e.n
		if e.ta {
			lda = e.m
		}
		if e.tb {
			ldb = e.k
		}
		x, w, y := randoms[float32](r, e.m*e.k), randoms[float32](r, e.k*e.n), make([]float32, e.m*e.n)
		b.Run(e.name, func(b *testing.B) {
			for b.Loop() {
				Gemm(e.m, e.n, e.k, RowMajor(x, lda, e.ta), RowMajor(w, ldb, e.tb), y, e.n, false)
			}
			b.ReportMetric(2*float64(e.m*e.n*e.k)*float64(b.N)/b.Elapsed().Seconds()/1e9, "Gflop/s")
		})
	}
}

// TestGemmProcs: the number of processors decides how a product is cut, and nothing else.
func TestGemmProcs(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 1))
	for range 60 {
		m, n, k := 1+r.IntN(300), 1+r.IntN(300), 1+r.IntN(60)
		a, b := randoms[float32](r, m*k), randoms[float32](r, k*n)
		want := make([]float32, m*n)
		gemmReference(m, n, k, RowMajor(a, k, false), RowMajor(b, n, false), want, n, false)
		for _, procs := range []int{1, 2, 3, 16} {
			old := runtime.GOMAXPROCS(procs)
			c := make([]float32, m*n)
			Gemm(m, n, k, RowMajor(a, k, false), RowMajor(b, n, false), c, n, false)
			runtime.GOMAXPROCS(old)
			sameBits(t, fmt.Sprintf("%d×%d×%d on %d processors", m, n, k, procs), c, want)
		}
	}
}
