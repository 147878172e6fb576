package kern

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// eachLevel runs fn at every level that the processor has.
func eachIntLevel(t testing.TB, fn func(l Level)) {
	old := CurrentLevel()
	defer SetLevel(old)
	for l := LevelGeneric; l <= LevelVNNI; l++ {
		if SetLevel(l); CurrentLevel() == l {
			fn(l)
		}
	}
}

// intGuarded has n elements between canaries.
type intGuarded[T comparable] struct {
	all    []T
	canary T
	width  int // canaries on each side
}

const intGuardWidth = 70

func intGuard[T comparable](n int, canary T) intGuarded[T] {
	width := guards(intGuardWidth)
	g := intGuarded[T]{room[T](n + 2*width), canary, width}
	for i := range g.all {
		g.all[i] = canary
	}
	return g
}

func (g intGuarded[T]) data() []T {
	n := len(g.all)
	return g.all[g.width : n-g.width : n-g.width]
}

func (g intGuarded[T]) check(t testing.TB, what string) {
	t.Helper()
	n := len(g.all) - g.width
	for i, v := range g.all {
		if (i < g.width || i >= n) && v != g.canary {
			t.Fatalf("%s: wrote %v at %d, outside %d elements", what, v, i-g.width, n-g.width)
		}
	}
}

// intCase is a product to be compared between levels.
type intCase struct {
	r        *rand.Rand
	in, out  Grid
	x        []uint8
	w        []int16
	d        Dequant
	bias     []float32
	act      Clip
	nibbles  bool
	fromReal bool // x is given as real numbers
}

// intExtremes returns bytes that are often 0 or top.
func intExtremes(r *rand.Rand, n int, top uint8) []uint8 {
	x := room[uint8](n)
	for i := range x {
		switch r.IntN(4) {
		case 0:
		case 1:
			x[i] = top
		default:
			x[i] = uint8(r.IntN(int(top) + 1))
		}
	}
	return x
}

// newIntCase draws operands: weights in lo..hi, often at the ends.
func newIntCase(seed uint64, inputs, weights, channels, blocks, block int, lo, hi int) *intCase {
	r := rand.New(rand.NewPCG(seed, 77))
	top := []int32{255, 254, 15}[r.IntN(3)]
	c := &intCase{r: r, in: Grid{0.02, r.Int32N(top + 1), 0, top}, act: NoClip()}
	c.x = intExtremes(r, inputs, uint8(top))
	c.w = make([]int16, weights)
	for i := range c.w {
		switch r.IntN(4) {
		case 0:
			c.w[i] = int16(lo)
		case 1:
			c.w[i] = int16(hi)
		default:
			c.w[i] = int16(lo + r.IntN(hi-lo+1))
		}
	}
	c.d = Dequant{Blocks: blocks, Block: block, Scale: []float32{0.003}}
	if r.IntN(4) > 0 {
		c.d.Scale = room[float32](channels * blocks)
		for i := range c.d.Scale {
			c.d.Scale[i] = r.Float32() / 100
		}
	}
	if r.IntN(4) > 0 {
		c.bias = room[float32](channels)
		for i := range c.bias {
			c.bias[i] = float32(r.NormFloat64())
		}
		c.bias[0] = []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1)), 1e30, 0}[r.IntN(5)]
	}
	if r.IntN(2) == 0 {
		c.act = []Clip{ReLU(), {0, 6}, {-1, 1}}[r.IntN(3)]
	}
	c.out = Grid{[]float32{0.05, 1, 1e-6}[r.IntN(3)], r.Int32N(256), 0, 255}
	c.fromReal = r.IntN(2) == 0
	return c
}

// run computes with both kinds of results at the current level.
func (c *intCase) run(t testing.TB, what string, p *IntProduct, outputs int, product func(y IntY, x IntX)) ([]float32, []uint8) {
	x := IntX{Codes: slices.Clip(c.x), Grid: c.in}
	if c.fromReal {
		x.Codes, x.Values = nil, room[float32](len(c.x))
		Dequantize(x.Values, c.x, c.in)
	}
	v, q := intGuard(outputs, float32(12345)), intGuard(outputs, uint8(99))
	product(IntY{Values: v.data()}, x)
	v.check(t, what)
	product(IntY{Codes: q.data(), Grid: c.out, Act: c.act}, x)
	q.check(t, what)
	c.function(t, what, v.data(), x, product)
	return v.data(), q.data()
}

// function compares a product whose results pass through a function with the function of the
// numbers.
func (c *intCase) function(t testing.TB, what string, numbers []float32, x IntX, product func(y IntY, x IntX)) {
	t.Helper()
	f := []Func{{Fn: FnSiLU}, {Fn: FnGELU}, {Fn: FnHardSwish}, {Fn: FnLeaky, A: 0.1}}[len(numbers)%4]
	real, want, got := slices.Clone(numbers), make([]uint8, len(numbers)), intGuard(len(numbers), uint8(99))
	Eval(f, real, real)
	Quantize(want, real, c.out)
	product(IntY{Codes: got.data(), Grid: c.out, Fn: &f}, x)
	got.check(t, what)
	for i, q := range got.data() {
		if q != want[i] {
			t.Fatalf("%s: code %d of %v of %v is %d, want %d", what, i, f, numbers[i], q, want[i])
		}
	}
}

func (c *intCase) compare(t testing.TB, what string, set func(p *IntProduct), outputs int, product func(p *IntProduct, y IntY, x IntX)) {
	t.Helper()
	p := &IntProduct{Nibbles: c.nibbles}
	set(p)
	var wantV []float32
	var wantQ []uint8
	eachIntLevel(t, func(l Level) {
		what := fmt.Sprintf("%s, %v", what, l)
		v, q := c.run(t, what, p, outputs, func(y IntY, x IntX) { product(p, y, x) })
		if l == LevelGeneric {
			wantV, wantQ = v, q
			return
		}
		intSameBits(t, what+", values", v, wantV)
		for i := range q {
			if q[i] != wantQ[i] {
				t.Fatalf("%s: code %d is %d, want %d", what, i, q[i], wantQ[i])
			}
		}
	})
}

func intSameBits(t testing.TB, what string, got, want []float32) {
	t.Helper()
	for i := range want {
		a, b := math.Float32bits(got[i]), math.Float32bits(want[i])
		if a != b && !(got[i] != got[i] && want[i] != want[i]) {
			t.Fatalf("%s: element %d is %v (%08x), want %v (%08x)", what, i, got[i], a, want[i], b)
		}
	}
}

// intFormats are the ranges of centred weights.
var intFormats = []struct {
	name    string
	lo, hi  int
	nibbles bool
}{{"int8", -128, 127, false}, {"narrow int8", -127, 127, false}, {"affine", -200, 255, false}, {"int4", -8, 7, true}, {"wide", -1000, 1000, false}}

func checkIntConvLevels(t testing.TB, seed uint64, g Conv, block, format int) {
	t.Helper()
	nx, nw, no := g.sizes()
	blocks := 1
	if block > 0 {
		blocks = ceilDiv(g.cg(), block)
	}
	f := intFormats[format%len(intFormats)]
	c := newIntCase(seed, nx, nw, g.K, blocks, block*g.R*g.S, f.lo, f.hi)
	c.nibbles = f.nibbles
	what := fmt.Sprintf("%+v, block %d, %s", g, block, f.name)
	c.compare(t, what, func(p *IntProduct) {
		p.SetConv(&g, c.in, c.d, func(dst []int16) { copy(dst, c.w) })
	}, no, func(p *IntProduct, y IntY, x IntX) { p.Conv(0, &g, y, x, c.bias) })
}

func TestIntConvLevels(t *testing.T) {
	eachProcs(t, func(t *testing.T) {
		for i, e := range convCases {
			for block := range min(e.c.cg(), 5) + 1 {
				for format := range intFormats {
					checkIntConvLevels(t, uint64(i*7+block), e.c, block, format)
				}
			}
		}
	})
}

func TestIntConvShapes(t *testing.T) {
	pad := [4]int{1, 1, 1, 1}
	for i, g := range []Conv{
		geometry(2, 1, 28, 28, 32, 3, 3, 1, ones, ones, pad),
		geometry(1, 32, 14, 14, 64, 3, 3, 1, ones, ones, pad),
		geometry(1, 3, 32, 32, 16, 3, 3, 1, ones, ones, pad),
		geometry(2, 16, 32, 32, 32, 3, 3, 1, twos, ones, pad),
		geometry(2, 16, 31, 29, 33, 1, 1, 1, twos, ones, [4]int{}),
		geometry(2, 5, 17, 18, 30, 5, 5, 1, [2]int{3, 3}, ones, [4]int{2, 2, 2, 2}),
		geometry(2, 1, 17, 18, 30, 5, 5, 1, twos, ones, [4]int{2, 1, 2, 2}),
		geometry(2, 24, 16, 40, 24, 3, 3, 24, twos, ones, pad),
		geometry(2, 8, 16, 40, 16, 5, 6, 8, [2]int{1, 3}, ones, pad),
		geometry(1, 300, 3, 3, 15, 3, 3, 1, ones, ones, pad),
		geometry(2, 3, 5, 70, 6, 1, 1, 1, [2]int{1 << 30, 65}, ones, [4]int{}),
		geometry(1, 8, 7, 7, 6, 3, 3, 2, ones, ones, pad),
		geometry(3, 8, 16, 16, 24, 1, 1, 1, ones, ones, [4]int{}),
	} {
		for format := range intFormats {
			checkIntConvLevels(t, uint64(i), g, 0, format)
		}
	}
}

// TestIntConvFewSteps: sums of so few products have kernels of their own, one per
// number of steps.
func TestIntConvFewSteps(t *testing.T) {
	for steps := 1; steps <= fewSteps+1; steps++ {
		for i, ow := range []int{5, 16, 29, 40} {
			g := geometry(2, 4*steps, 3, ow, 3+5*i, 1, 1, 1, ones, ones, [4]int{})
			checkIntConvLevels(t, uint64(10*steps+i), g, 0, 1)
		}
	}
}

func checkIntMatLevels(t testing.TB, seed uint64, m, n, k, block, format int, transX, transW bool) {
	t.Helper()
	blocks := 1
	if block > 0 {
		blocks = ceilDiv(k, block)
	}
	f := intFormats[format%len(intFormats)]
	c := newIntCase(seed, m*k, n*k, n, blocks, block, f.lo, f.hi)
	c.nibbles = f.nibbles
	what := fmt.Sprintf("%d×%d×%d, block %d, %s, %t %t", m, n, k, block, f.name, transX, transW)
	c.compare(t, what, func(p *IntProduct) {
		p.SetMatMul(n, k, transW, c.in, c.d, func(dst []int16) { copy(dst, c.w) })
	}, m*n, func(p *IntProduct, y IntY, x IntX) { p.MatMul(0, m, y, x, transX, c.bias) })
}

func TestIntMatMulLevels(t *testing.T) {
	eachProcs(t, func(t *testing.T) {
		for i, s := range [][4]int{{1, 1, 1, 0}, {1, 10, 128, 0}, {1, 128, 3136, 0}, {2, 33, 5, 0}, {3, 5, 7, 3}, {65, 18, 40, 16},
			{2, 9, 33, 32}, {70, 3, 4, 1}, {matRows + 3, 18, 40, 16}, {2*matRows + 9, 33, 20, 0}, {17, 64, 2100, 0}, {57, 40, 66, 0}, {1, 31, 256, 64}} {
			for format := range intFormats {
				for mask := range 4 {
					checkIntMatLevels(t, uint64(i), s[0], s[1], s[2], s[3], format, mask&1 != 0, mask&2 != 0)
				}
			}
		}
	})
}

func TestIntProductIsSetUpAgain(t *testing.T) {
	p := &IntProduct{}
	for i, s := range [][3]int{{3, 40, 70}, {2, 5, 9}, {4, 70, 300}} {
		c := newIntCase(uint64(i), s[0]*s[2], s[1]*s[2], s[1], 1, 0, -127, 127)
		fill := func(dst []int16) { copy(dst, c.w) }
		p.SetMatMul(s[1], s[2], true, c.in, c.d, fill)
		fresh := &IntProduct{}
		fresh.SetMatMul(s[1], s[2], true, c.in, c.d, fill)
		a, b := make([]float32, s[0]*s[1]), make([]float32, s[0]*s[1])
		p.MatMul(0, s[0], IntY{Values: a}, IntX{Codes: c.x, Grid: c.in}, false, c.bias)
		fresh.MatMul(0, s[0], IntY{Values: b}, IntX{Codes: c.x, Grid: c.in}, false, c.bias)
		intSameBits(t, "again", a, b)
	}
	for i, g := range []Conv{
		geometry(2, 5, 9, 8, 6, 3, 3, 1, ones, ones, [4]int{1, 1, 1, 1}),
		geometry(1, 1, 9, 8, 6, 3, 3, 1, twos, ones, [4]int{1, 1, 1, 1}),
		geometry(1, 16, 20, 30, 17, 1, 1, 1, ones, ones, [4]int{}),
		geometry(2, 5, 9, 8, 6, 3, 3, 1, ones, ones, [4]int{1, 1, 1, 1}),
	} {
		nx, nw, no := g.sizes()
		c := newIntCase(uint64(i), nx, nw, g.K, 1, 0, -127, 127)
		fill := func(dst []int16) { copy(dst, c.w) }
		fresh := &IntProduct{}
		p.SetConv(&g, c.in, c.d, fill)
		fresh.SetConv(&g, c.in, c.d, fill)
		a, b := make([]float32, no), make([]float32, no)
		p.Conv(0, &g, IntY{Values: a}, IntX{Codes: c.x, Grid: c.in}, c.bias)
		fresh.portableConv(0, &g, IntY{Values: b}, IntX{Codes: c.x, Grid: c.in}, c.bias)
		intSameBits(t, "convolution again", a, b)
	}
}

func FuzzIntConv(f *testing.F) {
	f.Add(uint64(1), uint64(2))
	f.Fuzz(func(t *testing.T, seed, shape uint64) {
		r := rand.New(rand.NewPCG(shape, 3))
		groups := 1 + r.IntN(3)
		kernel, stride, dil := [2]int{1 + r.IntN(5), 1 + r.IntN(6)}, [2]int{1 + r.IntN(3), 1 + r.IntN(4)}, [2]int{1 + r.IntN(2), 1 + r.IntN(2)}
		cg := 1 + r.IntN(9)
		g := geometry(1+r.IntN(3), groups*cg, 1+r.IntN(20), 1+r.IntN(40), groups*(1+r.IntN(20)), kernel[0], kernel[1], groups,
			stride, dil, [4]int{r.IntN(4), r.IntN(4), r.IntN(4), r.IntN(4)})
		if g.H+g.Pad[0]+g.Pad[2] < dil[0]*(kernel[0]-1)+1 || g.W+g.Pad[1]+g.Pad[3] < dil[1]*(kernel[1]-1)+1 {
			return
		}
		checkIntConvLevels(t, seed, g, r.IntN(cg+1), r.IntN(len(intFormats)))
	})
}

func FuzzIntMatMul(f *testing.F) {
	f.Add(uint64(1), uint64(2))
	f.Fuzz(func(t *testing.T, seed, shape uint64) {
		r := rand.New(rand.NewPCG(shape, 3))
		k := 1 + r.IntN(700)
		checkIntMatLevels(t, seed, 1+r.IntN(80), 1+r.IntN(80), k, r.IntN(min(k, 70)+1), r.IntN(len(intFormats)), r.IntN(4) == 0, r.IntN(2) == 0)
	})
}
