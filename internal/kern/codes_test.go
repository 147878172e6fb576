package kern

import (
	"math"
	"math/rand/v2"
	"testing"
)

// checkPairs compares sums, differences and products of n codes, and of n codes with one,
// with the formulas.
func checkPairs(t *testing.T, r *rand.Rand, n int) {
	t.Helper()
	for fn, real := range map[PairFn]func(x, y float32) float32{
		PairAdd: func(x, y float32) float32 { return x + y },
		PairSub: func(x, y float32) float32 { return x - y },
		PairMul: func(x, y float32) float32 { return x * y },
	} {
		for _, lens := range [][2]int{{n, n}, {n, 1}, {1, n}} {
			a, b := intExtremes(r, lens[0], 255), intExtremes(r, lens[1], 255)
			ga, gb := Grid{0.25, r.Int32N(256), 0, 255}, Grid{[]float32{0.125, 0.3}[r.IntN(2)], r.Int32N(256), 0, 255}
			g, act := Grid{[]float32{0.5, 0.21}[r.IntN(2)], r.Int32N(256), 0, 255}, intActs[r.IntN(4)]
			y := intGuard(n, uint8(7))
			PairCodes(fn, y.data(), a, b, ga, gb, g, act)
			y.check(t, "pair")
			for i, v := range y.data() {
				p, q := a[i%lens[0]], b[i%lens[1]]
				exact := real(DequantizeOne(int32(p), ga), DequantizeOne(int32(q), gb))
				if want := QuantizeOne(act.Apply(exact), g); int32(v) != want {
					t.Fatalf("%v: function %d of %d and %d is %d, want %d", CurrentLevel(), fn, p, q, v, want)
				}
			}
		}
	}
	PairCodes(PairAdd, nil, nil, nil, Grid{}, Grid{}, Grid{}, NoClip())
}

// checkTransposeCodes transposes a part of a matrix into a part of another one.
func checkTransposeCodes(t *testing.T, r *rand.Rand, rows, cols int) {
	t.Helper()
	more, less := r.IntN(3), r.IntN(3)
	src := intExtremes(r, (rows-1)*(cols+more)+cols, 255)
	dst := intGuard((cols-1)*(rows+less)+rows, uint8(7))
	want := append([]uint8(nil), dst.data()...)
	for i := range rows {
		for j := range cols {
			want[j*(rows+less)+i] = src[i*(cols+more)+j]
		}
	}
	TransposeCodes(dst.data(), rows+less, src, cols+more, rows, cols)
	dst.check(t, "transpose")
	for i, v := range dst.data() {
		if v != want[i] {
			t.Fatalf("%v: %d×%d: byte %d is %d, want %d", CurrentLevel(), rows, cols, i, v, want[i])
		}
	}
}

// checkQuantizeRow compares codes of a row with those of one number at a time.
func checkQuantizeRow(t *testing.T, r *rand.Rand, n int) {
	t.Helper()
	grids := NewGridRow(n+2, func(int) Grid {
		return Grid{Scale: 0.01 + r.Float32(), Qmin: -int32(r.IntN(128)) - 1, Qmax: int32(r.IntN(127))}
	})
	x := room[float32](n)
	for i := range x {
		x[i] = float32(r.NormFloat64() * 60)
	}
	x[r.IntN(n)] = []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1)), 0}[r.IntN(4)]
	y := intGuard(n, int8(7))
	QuantizeRow(y.data(), x, grids, 2)
	y.check(t, "row")
	for i, v := range y.data() {
		g := Grid{Scale: grids.Scale[2+i], Qmin: int32(grids.Lo[2+i]), Qmax: int32(grids.Hi[2+i])}
		if want := QuantizeOne(x[i], g); int32(v) != want {
			t.Fatalf("%v: %v on %v is %d, want %d", CurrentLevel(), x[i], g, v, want)
		}
	}
}

// TestCentreCodes tries every code with every zero point.
func TestCentreCodes(t *testing.T) {
	codes := make([]uint8, 256+5)
	for i := range codes {
		codes[i] = uint8(i)
	}
	for zero := range int32(256) {
		y := intGuard(len(codes), int8(7))
		wide := intGuard(len(codes), int16(7))
		WidenCodes(wide.data(), codes, int16(zero))
		wide.check(t, "widened")
		for i, v := range wide.data() {
			if want := int16(int32(codes[i]) - zero); v != want {
				t.Fatalf("%d - %d is %d in 16 bits, want %d", codes[i], zero, v, want)
			}
		}
		CentreCodes(y.data(), codes, zero)
		y.check(t, "centred")
		for i, v := range y.data() {
			if want := int8(int32(codes[i]) - zero); v != want {
				t.Fatalf("%d - %d is %d, want %d", codes[i], zero, v, want)
			}
		}
	}
	CentreCodes(nil, nil, 3)
}

// TestWordsSum: sums of the largest codes overflow nothing on the way.
func TestWordsSum(t *testing.T) {
	for _, n := range []int{0, 7, 8, 8 * 128, 8*128 + 1, 8*128*3 + 13} {
		x := make([]uint8, n)
		for i := range x {
			x[i] = 255
		}
		if got := wordsSum(x); got != uint64(255*n) {
			t.Errorf("sum of %d codes is %d, want %d", n, got, 255*n)
		}
	}
}

func TestCodesMove(t *testing.T) {
	eachIntLevel(t, func(Level) {
		r := rand.New(rand.NewPCG(6, 6))
		for n := 1; n < 100; n++ {
			checkQuantizeRow(t, r, n)
			checkTransposeCodes(t, r, 1+r.IntN(50), n)
		}
	})
}

// FuzzCodesMove is for all that moves and maps bytes.
func FuzzCodesMove(f *testing.F) {
	f.Add(uint64(1), uint8(16), uint8(8))
	f.Add(uint64(2), uint8(3), uint8(200))
	f.Fuzz(func(t *testing.T, seed uint64, rows, cols uint8) {
		eachIntLevel(t, func(Level) {
			r := rand.New(rand.NewPCG(seed, 5))
			checkTransposeCodes(t, r, 1+int(rows), 1+int(cols))
			checkQuantizeRow(t, r, 1+int(cols))
			checkPairs(t, r, 1+int(rows))
		})
	})
}
