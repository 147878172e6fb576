package kern

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestIntProductBytes compares weights that come in pieces with the same weights in
// one, at every level, in memory that an earlier product has used.
func TestIntProductBytes(t *testing.T) {
	defer SetLevel(SetLevel(LevelGeneric))
	r := rand.New(rand.NewPCG(31, 32))
	var pieces IntProduct
	for l := LevelGeneric; l <= cpuLevel(); l++ {
		SetLevel(l)
		for _, c := range []struct{ m, n, k, block int }{{1, 1, 1, 0}, {3, 33, 7, 0}, {64, 40, 785, 0}, {17, 31, 1100, 0}, {5, 70, 96, 32}, {5, 9, 30, 7}} {
			for _, trans := range []bool{true, false} {
				w := make([]int16, c.n*c.k)
				for i := range w {
					w[i] = int16(r.IntN(256)) - 128
				}
				most := MaxAbs(w)
				d := Dequant{Scale: []float32{0.01}, Blocks: 1}
				if c.block > 0 {
					d.Blocks, d.Block = ceilDiv(c.k, c.block), c.block
				}
				in := Grid{Scale: 0.5, ZeroPoint: int32(r.IntN(256)), Qmax: 255}
				x := make([]uint8, c.m*c.k)
				for i := range x {
					x[i] = uint8(r.IntN(256))
				}
				fill := func(dst []int16) { copy(dst, w) }
				var whole IntProduct
				whole.SetMatMul(c.n, c.k, trans, in, d, fill)
				pieces.Bytes = &ByteWeights{MaxAbs: 128, Fill: func(dst []int8, lo, hi int) {
					if len(dst) != hi-lo {
						t.Errorf("%d places for elements %d to %d", len(dst), lo, hi)
					}
					narrow(dst, w[lo:hi])
				}}
				pieces.SetMatMul(c.n, c.k, trans, in, d, fill)
				if got := pieces.MaxAbs(); got < most || whole.MaxAbs() != most {
					t.Errorf("%v, %+v: largest weights %d and %d, want %d", l, c, got, whole.MaxAbs(), most)
				}
				y, z := make([]float32, c.m*c.n), make([]float32, c.m*c.n)
				whole.MatMul(0, c.m, IntY{Values: y}, IntX{Codes: x, Grid: in}, false, nil)
				pieces.MatMul(0, c.m, IntY{Values: z}, IntX{Codes: x, Grid: in}, false, nil)
				if !slices.Equal(y, z) {
					t.Errorf("%v, %+v, stored [n,k] %v: other results from pieces", l, c, trans)
				}
				pieces.Bytes.Codes = make([]int8, len(w))
				narrow(pieces.Bytes.Codes, w)
				pieces.SetMatMul(c.n, c.k, trans, in, d, fill)
				clear(z)
				pieces.MatMul(0, c.m, IntY{Values: z}, IntX{Codes: x, Grid: in}, false, nil)
				if !slices.Equal(y, z) {
					t.Errorf("%v, %+v, stored [n,k] %v: other results from all codes", l, c, trans)
				}
			}
		}
	}
}
