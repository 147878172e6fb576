package kern

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestFakeQuantizeKeep compares what is kept, at every level, with the passes that it
// stands for, and looks at what lies around the results.
func TestFakeQuantizeKeep(t *testing.T) {
	defer SetLevel(SetLevel(LevelGeneric))
	r := rand.New(rand.NewPCG(51, 52))
	for l := LevelGeneric; l <= cpuLevel(); l++ {
		for _, n := range []int{1, 7, 8, 9, 15, 16, 17, 24, 64, 100, 333, 784, elemChunk, elemChunk + 13} {
			for _, g := range []Grid{{0.25, 0, -128, 127}, {0.1, 128, 0, 255}, {0.25, 0, -7, 7}, {0.5, 3, 0, 15}} {
				for _, clips := range []bool{true, false} {
					SetLevel(LevelGeneric)
					lo, hi := g.limits()
					x := room[float32](n)
					for i := range x {
						x[i] = g.Scale * (lo + (hi-lo)*r.Float32())
						if clips {
							x[i] *= 1.2
							if i%5 == 0 {
								x[i] = edges[r.IntN(len(edges))]
							}
						}
					}
					dy, want, wantCodes, wantGrad := make([]float32, n), make([]float32, n), make([]int16, n), make([]float32, n)
					for i := range dy {
						dy[i] = float32(i + 1)
					}
					FakeQuantize(want, x, g)
					QuantizeCentred(wantCodes, x, g)
					STE(wantGrad, x, dy, g)

					SetLevel(l)
					m := MaskLen(1, 1, n)
					dst, codes, mask := make([]float32, n+2*guard), make([]int8, n+2*guard), make([]uint8, m+2*guard)
					for i := range guard {
						for _, at := range []int{i, n + guard + i} {
							dst[at], codes[at] = -77, 77
						}
						mask[i], mask[m+guard+i] = 99, 99
					}
					FakeQuantizeKeep(dst[guard:][:n], codes[guard:][:n], mask[guard:][:m], x, g, clips)
					ClearUnset(dy, mask[guard:][:m])
					for i := range guard {
						for _, at := range []int{i, n + guard + i} {
							if dst[at] != -77 || codes[at] != 77 {
								t.Fatalf("%v, %d elements: wrote around them", l, n)
							}
						}
						if mask[i] != 99 || mask[m+guard+i] != 99 {
							t.Fatalf("%v, %d elements: wrote around the mask", l, n)
						}
					}
					if !slices.Equal(dst[guard:][:n], want) || !slices.Equal(dy, wantGrad) {
						t.Errorf("%v, %d elements, %+v: other values or another gradient", l, n, g)
					}
					for i, q := range codes[guard:][:n] {
						if int16(q) != wantCodes[i] {
							t.Fatalf("%v, %d elements, %+v: code %d of %v is %d, want %d", l, n, g, i, x[i], q, wantCodes[i])
						}
					}
				}
			}
		}
	}
}
