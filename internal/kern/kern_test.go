package kern

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

func TestConvForward(t *testing.T) {
	eachProcs(t, func(t *testing.T) {
		for _, e := range convCases {
			t.Run(e.name, func(t *testing.T) {
				c, r := e.c, rand.New(rand.NewPCG(2, 3))
				nx, nw, no := c.sizes()
				x, w, bias := randoms[float32](r, nx), randoms[float32](r, nw), randoms[float32](r, c.K)
				want := make([]float32, no)
				c.visit(func(o, xi, wi, _ int) { want[o] = madd(w[wi], x[xi], want[o]) })
				got := randoms[float32](r, no)
				ConvForward(&c, got, x, w, nil)
				wantSame(t, "output", got, want)
				for i := range want {
					want[i] += bias[i/c.pixels()%c.K]
				}
				ConvForward(&c, got, x, w, bias)
				wantSame(t, "output with bias", got, want)
			})
		}
	})
}

func TestConvBackward(t *testing.T) {
	eachProcs(t, func(t *testing.T) {
		for _, e := range convCases {
			t.Run(e.name, func(t *testing.T) {
				c, r := e.c, rand.New(rand.NewPCG(4, 5))
				nx, nw, no := c.sizes()
				x, w, dy := wholes(r, nx), wholes(r, nw), wholes(r, no)
				wantX, wantW := make([]float32, nx), make([]float32, nw)
				c.visit(func(o, xi, wi, _ int) {
					wantX[xi] += dy[o] * w[wi]
					wantW[wi] += dy[o] * x[xi]
				})
				dx, dw := randoms[float32](r, nx), randoms[float32](r, nw)
				ConvBackwardData(&c, dx, w, dy)
				ConvBackwardWeight(&c, dw, x, dy)
				wantSame(t, "gradient of the input", dx, wantX)
				wantSame(t, "gradient of the weights", dw, wantW)
			})
		}
	})
}

// TestConvOrder: with values that do round, results must not depend on the
// number of processors, nor an image's on its batch.
func TestConvOrder(t *testing.T) {
	for _, e := range convCases {
		t.Run(e.name, func(t *testing.T) {
			c, r := e.c, rand.New(rand.NewPCG(6, 7))
			nx, nw, no := c.sizes()
			x, w, dy := randoms[float32](r, nx), randoms[float32](r, nw), randoms[float32](r, no)
			var first [][]float32
			eachProcs(t, func(t *testing.T) {
				got := [][]float32{make([]float32, no), make([]float32, nx), make([]float32, nw)}
				ConvForward(&c, got[0], x, w, nil)
				ConvBackwardData(&c, got[1], w, dy)
				ConvBackwardWeight(&c, got[2], x, dy)
				for i := range first {
					wantSame(t, "with four processors", got[i], first[i])
				}
				first = got
			})
			one, last := c, c.N-1
			one.N = 1
			y, dx := make([]float32, no/c.N), make([]float32, nx/c.N)
			ConvForward(&one, y, x[last*len(dx):], w, nil)
			ConvBackwardData(&one, dx, w, dy[last*len(y):])
			wantSame(t, "output of an image alone", y, first[0][last*len(y):])
			wantSame(t, "gradient of an image alone", dx, first[1][last*len(dx):])
		})
	}
}

func TestIntConv(t *testing.T) {
	eachProcs(t, func(t *testing.T) {
		for _, e := range convCases {
			for block := range e.c.cg() + 1 { // 0: one sum
				t.Run(fmt.Sprintf("%s/block %d", e.name, block), func(t *testing.T) { checkIntConv(t, e.c, block) })
			}
		}
	})
}

func checkIntConv(t *testing.T, c Conv, block int) {
	r := rand.New(rand.NewPCG(8, 9))
	nx, nw, no := c.sizes()
	x, w, bias := codes(r, nx, 255), codes(r, nw, 127), randoms[float32](r, c.K)
	d := Dequant{Blocks: 1, Bias: bias}
	if block > 0 {
		d.Blocks, d.Block = ceilDiv(c.cg(), block), block*c.R*c.S
	}
	d.Scale = randoms[float32](r, c.K*d.Blocks)
	sums := make([]int64, no*d.Blocks)
	c.visit(func(o, xi, wi, ch int) {
		b := 0
		if block > 0 {
			b = ch / block
		}
		sums[o*d.Blocks+b] += int64(x[xi]) * int64(w[wi])
	})
	want, got := make([]float32, no), make([]float32, no)
	for o := range want {
		k := o / c.pixels() % c.K
		for b := range d.Blocks {
			want[o] += float32(float32(sums[o*d.Blocks+b]) * d.Scale[k*d.Blocks+b])
		}
		want[o] += bias[k]
	}
	intConv(0, &c, got, x, w, d)
	wantSame(t, "output", got, want)
}

// TestIntTileExtremes drives the paired sums to the ends of 32 bits.
func TestIntTileExtremes(t *testing.T) {
	const a, b = 32513, 1
	const terms = math.MaxInt32 / a // one more would overflow
	for mask := range 16 {
		rows := make([]int16, tileRows)
		for i := range rows {
			rows[i] = a
			if mask>>i&1 != 0 {
				rows[i] = -a
			}
		}
		pairs := make([][2]int64, 1)
		packPairs(pairs, Matrix[int16]{rows, 1, 0}, 0, tileRows)
		av, bv := make([][2]int64, terms), make([][tileCols]int32, terms)
		for i := range av {
			av[i], bv[i] = pairs[0], [tileCols]int32{b, -b}
		}
		var acc [tileRows][tileCols]int32
		intTile(&acc, av, bv)
		for i, v := range rows {
			if want := int32(v) * terms; acc[i][0] != want || acc[i][1] != -want {
				t.Fatalf("signs %04b, row %d: sums %v, want ±%d", mask, i, acc[i], want)
			}
		}
	}
}

func TestIntGemm(t *testing.T) {
	eachProcs(t, func(t *testing.T) {
		for _, s := range [][4]int{{1, 1, 1, 0}, {3, 5, 7, 0}, {3, 5, 7, 3}, {65, 18, 40, 16}, {2, 9, 33, 32}, {70, 3, 4, 1}} {
			m, n, k, block := s[0], s[1], s[2], s[3]
			r := rand.New(rand.NewPCG(10, 11))
			x, w := codes(r, m*k, 255), codes(r, k*n, 127)
			d := Dequant{Blocks: 1, Block: block}
			if block > 0 {
				d.Blocks = ceilDiv(k, block)
			}
			d.Scale = randoms[float32](r, n*d.Blocks)
			want, got := make([]float32, m*n), make([]float32, m*n)
			for i := range want {
				for b := range d.Blocks {
					var sum int64
					for l := range k {
						if block == 0 || l/block == b {
							sum += int64(x[i/n*k+l]) * int64(w[l*n+i%n])
						}
					}
					want[i] += float32(float32(sum) * d.Scale[i%n*d.Blocks+b])
				}
			}
			intGemm(0, m, n, k, RowMajor(x, k, false), RowMajor(w, n, false), got, d)
			wantSame(t, fmt.Sprint(s), got, want)
		}
	})
}

func TestMaxAbs(t *testing.T) {
	for _, c := range []struct {
		x    []int16
		want int
	}{{nil, 0}, {[]int16{3, -7}, 7}, {[]int16{math.MinInt16}, 32768}, {[]int16{math.MaxInt16, -1}, 32767}} {
		if got := MaxAbs(c.x); got != c.want {
			t.Errorf("MaxAbs(%v) = %d, want %d", c.x, got, c.want)
		}
	}
}

// TestBorrow: buffers have the length asked for, and come back with it.
func TestBorrow(t *testing.T) {
	for _, n := range []int{0, 1, 2, 3, 4, 5, 1000, 1024, 1025} {
		a := borrow[int16](n)
		giveBack(a)
		b := borrow[int16](n)
		c := borrow[int16](n) // while b is out
		if len(*b) != n || len(*c) != n || n > 0 && &(*b)[0] == &(*c)[0] {
			t.Errorf("%d elements: got %d and %d, or the same memory twice", n, len(*b), len(*c))
		}
		giveBack(b)
		giveBack(c)
	}
	type own float32 // shares its pools with other types
	giveBack(borrow[own](4))
	if b := borrow[[3]int](4); len(*b) != 4 {
		t.Errorf("got %d elements, want 4", len(*b))
	}
}

var sink float32

func BenchmarkGemm(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 1))
	m, n, k := 64, 512, 784
	x, w, y := randoms[float32](r, m*k), randoms[float32](r, k*n), make([]float32, m*n)
	b.SetBytes(int64(m * n * k)) // one "byte" is one multiply-add
	for b.Loop() {
		Gemm(m, n, k, RowMajor(x, k, false), RowMajor(w, n, false), y, n, false)
	}
	sink = y[0]
}

func BenchmarkIntGemm(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 1))
	m, n, k := 64, 512, 784
	x, w, y := codes(r, m*k, 127), codes(r, k*n, 127), make([]float32, m*n)
	b.SetBytes(int64(m * n * k))
	for b.Loop() {
		intGemm(0, m, n, k, RowMajor(x, k, false), RowMajor(w, n, false), y, Dequant{Scale: []float32{1}, Blocks: 1})
	}
	sink = y[0]
}

func BenchmarkConv(b *testing.B) {
	for _, e := range []struct {
		name string
		c    Conv
	}{
		{"3x3", geometry(64, 32, 8, 8, 32, 3, 3, 1, ones, ones, [4]int{1, 1, 1, 1})},
		{"1x1", geometry(64, 64, 8, 8, 64, 1, 1, 1, ones, ones, [4]int{})},
		{"first", geometry(64, 1, 28, 28, 16, 3, 3, 1, ones, ones, [4]int{1, 1, 1, 1})},
		{"depthwise", geometry(64, 64, 8, 8, 64, 3, 3, 64, ones, ones, [4]int{1, 1, 1, 1})},
	} {
		c, r := e.c, rand.New(rand.NewPCG(1, 1))
		nx, nw, no := c.sizes()
		x, w, y := randoms[float32](r, nx), randoms[float32](r, nw), randoms[float32](r, no)
		qx, qw := codes(r, nx, 127), codes(r, nw, 127)
		d := Dequant{Scale: []float32{1}, Blocks: 1}
		for _, k := range []struct {
			name string
			fn   func()
		}{
			{"forward", func() { ConvForward(&c, y, x, w, nil) }},
			{"data", func() { ConvBackwardData(&c, x, w, y) }},
			{"weight", func() { ConvBackwardWeight(&c, w, x, y) }},
			{"int", func() { intConv(0, &c, y, qx, qw, d) }},
		} {
			b.Run(e.name+"/"+k.name, func(b *testing.B) {
				b.SetBytes(int64(no * c.taps()))
				for b.Loop() {
					k.fn()
				}
			})
		}
	}
}
