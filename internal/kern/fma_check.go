package kern

// Does the compiler fuse products and sums here? It is tried when a program starts.

import "math"

// fuses says that the compiler made fused multiply-adds of the loops in fma_tile.go,
// of each product in them; else they are emulated. Both give the same bits.
var fuses = fusesAll(fusedTile, fusedRun, fusedLanes)

// The forms of the loops.
type (
	tileLoop func(acc *[2][tileRows][tileCols]float32, a [][tileRows]float32, b0, b1 [][tileCols]float32)
	runLoop  func(s *[runPixels]float32, r *pixelRun, img, w []float32)
	laneLoop func(s *[vecLanes]float32, d, x []float32)
)

// fusesAll tries the loops on chains where a rounded product changes the result of
// each sum, at the first steps of short and long chains.
func fusesAll(tile tileLoop, run runLoop, lanes laneLoop) bool {
	for _, f := range fusionCases {
		for before := range 5 {
			for _, after := range []int{0, 5} {
				c := make(fusionCase, before+len(f)+after) // 0·0 adds nothing
				copy(c[before:], f)
				want := c.sum()
				if !c.tile(tile, want) || !c.run(run, 1, runPixels, want) || !c.run(run, 2, runPixels-1, want) || !c.lanes(lanes, want) {
					return false
				}
			}
		}
	}
	return true
}

// fusionCase has the factors of the steps of a chain.
type fusionCase [][2]float32

var fusionCases = []fusionCase{
	// x² less what rounding makes of it: 2^-24, or 0 if the product was rounded, too.
	{{1 + 0x1p-11, -1}, {1 + 0x1p-12, 1 + 0x1p-12}},
	// Just below the middle of two float32; float64 would take it for the middle.
	{{1<<24 + 2, 1}, {1 + 0x1p-15, 1 - 0x1p-15}},
	// A product -0, which is added to +0.
	{{-1, 0}},
}

// sum is what the loops must make of the chain.
func (c fusionCase) sum() (s float32) {
	for _, f := range c {
		s = fma32(f[0], f[1], s)
	}
	return s
}

func (c fusionCase) tile(loop tileLoop, want float32) bool {
	a, b := make([][tileRows]float32, len(c)), make([][tileCols]float32, len(c))
	for k, f := range c {
		a[k], b[k] = [tileRows]float32{f[0], f[0], f[0], f[0]}, [tileCols]float32{f[1], f[1]}
	}
	var acc [2][tileRows][tileCols]float32
	loop(&acc, a, b, b)
	for i := range tileRows {
		for t := range acc {
			if !allBits(acc[t][i][:], want) {
				return false
			}
		}
	}
	return true
}

func (c fusionCase) run(loop runLoop, stride, n int, want float32) bool {
	r := pixelRun{stride: stride, n: n}
	var w, img []float32
	for _, f := range c {
		r.off = append(r.off, len(img))
		w = append(w, f[0])
		for range runPixels * stride {
			img = append(img, f[1])
		}
	}
	var s [runPixels]float32
	loop(&s, &r, img, w)
	return allBits(s[:n], want)
}

func (c fusionCase) lanes(loop laneLoop, want float32) bool {
	var d, x []float32
	for _, f := range c {
		for range vecLanes {
			d, x = append(d, f[0]), append(x, f[1])
		}
	}
	var s [vecLanes]float32
	loop(&s, d, x)
	return allBits(s[:], want)
}

// allBits says that all of s have the bits of want.
func allBits(s []float32, want float32) bool {
	for _, v := range s {
		if math.Float32bits(v) != math.Float32bits(want) {
			return false
		}
	}
	return true
}
