package kern

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestFakeQuantizeColumns compares every level with the passes row by row that it stands
// for, and looks at what lies around the results.
func TestFakeQuantizeColumns(t *testing.T) {
	defer SetLevel(SetLevel(LevelGeneric))
	r := rand.New(rand.NewPCG(53, 54))
	for l := LevelGeneric; l <= cpuLevel(); l++ {
		for _, n := range []int{1, 5, 8, 10, 16, 23, 64, 67, 100, 128} {
			for _, rows := range []int{1, 2, 9} {
				SetLevel(LevelGeneric)
				size, from := n*rows, 3
				grids := NewGridRow(n+from, func(i int) Grid {
					return []Grid{{0.25, 0, -128, 127}, {0.1, 128, 0, 255}, {0.25, 0, -7, 7}, {0.5, 3, 0, 15}}[i%4]
				})
				x, dy := room[float32](size), make([]float32, size)
				for i := range x {
					c := from + i%n
					x[i] = 1.1 * grids.Scale[c] * (grids.Lo[c] + (grids.Hi[c]-grids.Lo[c])*r.Float32())
					dy[i] = float32(i + 1)
					if i%7 == 0 { // halfway between two codes, and at both ends
						x[i] = grids.Scale[c] * (grids.Lo[c] - 0.5 + float32(r.IntN(2))*(grids.Hi[c]-grids.Lo[c]+1))
					}
				}
				want, wantCodes, wantGrad := make([]float32, size), make([]int16, size), make([]float32, size)
				for at := 0; at < size; at += n {
					FakeQuantizeRow(want[at:][:n], x[at:][:n], grids, from)
					QuantizeRow(wantCodes[at:][:n], x[at:][:n], grids, from)
					STERow(wantGrad[at:][:n], x[at:][:n], dy[at:][:n], grids, from)
				}

				SetLevel(l)
				m := rows * ColumnMaskLen(n)
				dst, codes, mask := make([]float32, size+2*guard), make([]int8, size+2*guard), make([]uint8, m+2*guard)
				for i := range guard {
					for _, at := range []int{i, size + guard + i} {
						dst[at], codes[at] = -77, 77
					}
					mask[i], mask[m+guard+i] = 99, 99
				}
				FakeQuantizeColumns(dst[guard:][:size], codes[guard:][:size], mask[guard:][:m], x, n, grids, from)
				ClearUnsetColumns(dy, mask[guard:][:m], n)
				for i := range guard {
					for _, at := range []int{i, size + guard + i} {
						if dst[at] != -77 || codes[at] != 77 {
							t.Fatalf("%v, %d×%d: wrote around them", l, rows, n)
						}
					}
					if mask[i] != 99 || mask[m+guard+i] != 99 {
						t.Fatalf("%v, %d×%d: wrote around the mask", l, rows, n)
					}
				}
				if !slices.Equal(dst[guard:][:size], want) || !slices.Equal(dy, wantGrad) {
					t.Errorf("%v, %d×%d: other values or another gradient", l, rows, n)
				}
				for i, q := range codes[guard:][:size] {
					if int16(q) != wantCodes[i] {
						t.Fatalf("%v, %d×%d: code %d of %v is %d, want %d", l, rows, n, i, x[i], q, wantCodes[i])
					}
				}
			}
		}
	}
}
