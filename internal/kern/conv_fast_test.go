package kern

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

// eachConvLevel runs fn on every level of the processor.
func eachConvLevel(t *testing.T, fn func(t *testing.T)) {
	t.Helper()
	defer SetLevel(CurrentLevel())
	for l := LevelGeneric; l <= LevelVNNI; l++ {
		if SetLevel(l); CurrentLevel() != l {
			continue
		}
		t.Run(l.String(), fn)
	}
}

// canaries is how many guard values lie on either side of a guarded slice.
const canaries = 24

// guarded returns n random values between guard values, and a check of those.
func guarded(t *testing.T, r *rand.Rand, n int) (x []float32, check func(what string)) {
	t.Helper()
	width := guards(canaries)
	all := randoms[float32](r, n+2*width)
	before := append([]float32(nil), all...)
	return all[width : width+n : width+n], func(what string) {
		t.Helper()
		for i := range width {
			if all[i] != before[i] || all[n+width+i] != before[n+width+i] {
				t.Fatalf("%s: written outside", what)
			}
		}
	}
}

// sameBits compares bit for bit, but takes all NaNs for one.
func sameBits(t *testing.T, what string, got, want []float32) {
	t.Helper()
	for i := range want {
		if math.Float32bits(got[i]) != math.Float32bits(want[i]) && (got[i] == got[i] || want[i] == want[i]) {
			t.Fatalf("%s: element %d is %v (%#x), want %v (%#x)", what, i, got[i], math.Float32bits(got[i]), want[i], math.Float32bits(want[i]))
		}
	}
}

// checkConvFast compares the fast convolutions with the portable ones, bit for bit.
func checkConvFast(t *testing.T, c *Conv, seed uint64) {
	t.Helper()
	if !fastConv() {
		return
	}
	r := rand.New(rand.NewPCG(seed, 1))
	nx, nw, no := c.sizes()
	x, w, dy, bias := randoms[float32](r, nx), randoms[float32](r, nw), randoms[float32](r, no), randoms[float32](r, c.K)
	if seed%4 == 0 {
		x[r.IntN(nx)], w[r.IntN(nw)], dy[r.IntN(no)] = float32(math.Inf(1)), 0, float32(math.NaN())
	}
	if seed%2 == 0 {
		bias = nil
	}
	want := make([]float32, no)
	convForward(c, want, x, w, bias)
	got, check := guarded(t, r, no)
	convForwardFast(c, got, x, w, bias)
	check("output")
	sameBits(t, "output", got, want)

	want = make([]float32, nx)
	convBackwardData(c, want, w, dy)
	got, check = guarded(t, r, nx)
	convBackwardDataFast(c, got, w, dy)
	check("gradient of the input")
	sameBits(t, "gradient of the input", got, want)

	want = make([]float32, nw)
	convBackwardWeight(c, want, x, dy)
	got, check = guarded(t, r, nw)
	convBackwardWeightFast(c, got, x, dy)
	check("gradient of the weights")
	sameBits(t, "gradient of the weights", got, want)
}

func TestConvFast(t *testing.T) {
	eachConvLevel(t, func(t *testing.T) {
		for _, e := range append(convCases, fastCases...) {
			t.Run(e.name, func(t *testing.T) {
				eachProcs(t, func(t *testing.T) {
					seeds := uint64(4)
					if testing.Short() {
						seeds = 1
					}
					for seed := range seeds {
						checkConvFast(t, &e.c, seed)
					}
				})
			})
		}
	})
}

var fastCases = []struct {
	name string
	c    Conv
}{
	{"many channels", geometry(2, 70, 5, 6, 33, 3, 3, 1, ones, ones, [4]int{1, 1, 1, 1})},
	{"1x1 in place", geometry(3, 12, 8, 9, 20, 1, 1, 1, ones, ones, [4]int{})},
	{"1x1 rows of a page", geometry(1, 512, 4, 4, 17, 1, 1, 1, ones, ones, [4]int{})},
	{"grouped in place", geometry(9, 12, 7, 7, 8, 1, 1, 2, ones, ones, [4]int{})},
	{"images share vectors", geometry(33, 3, 7, 7, 5, 3, 3, 1, ones, ones, [4]int{1, 1, 1, 1})},
	{"small images share panels", geometry(35, 6, 3, 3, 9, 3, 3, 1, ones, ones, [4]int{1, 1, 1, 1})},
	{"14 wide", geometry(16, 4, 14, 14, 18, 3, 3, 1, ones, ones, [4]int{1, 1, 1, 1})},
	{"stride 2", geometry(2, 8, 16, 17, 12, 3, 3, 1, twos, ones, [4]int{1, 1, 1, 1})},
	{"shortcut", geometry(2, 8, 16, 16, 12, 1, 1, 1, twos, ones, [4]int{})},
	{"patches", geometry(2, 3, 16, 16, 12, 4, 4, 1, [2]int{4, 4}, ones, [4]int{})},
	{"long sums of pixels", geometry(2, 70, 25, 26, 3, 1, 1, 1, ones, ones, [4]int{})},
	{"many vectors of pixels", geometry(1, 1, 96, 97, 9, 3, 3, 1, ones, ones, [4]int{1, 1, 1, 1})},
	{"depthwise large", geometry(9, 5, 33, 30, 5, 3, 3, 5, ones, ones, [4]int{1, 1, 1, 1})},
	{"depthwise 25x25", geometry(1, 2, 30, 30, 2, 25, 25, 2, ones, ones, [4]int{})},
	{"stride 2 shared", geometry(1, 16, 24, 25, 24, 3, 3, 1, twos, ones, [4]int{1, 1, 1, 1})},
	{"depthwise stride 2 shared", geometry(3, 40, 30, 30, 40, 3, 3, 40, twos, ones, [4]int{1, 1, 1, 1})},
	{"stride 3 shared", geometry(1, 16, 24, 25, 24, 3, 3, 1, [2]int{3, 3}, ones, [4]int{1, 1, 1, 1})},
	{"1x1 stride 2 shared", geometry(2, 32, 24, 24, 64, 1, 1, 1, twos, ones, [4]int{})},
	{"input channels in lanes", geometry(9, 12, 9, 10, 12, 3, 3, 1, ones, ones, [4]int{1, 1, 1, 1})},
	{"two panels of input channels", geometry(2, 40, 24, 25, 44, 3, 3, 1, ones, ones, [4]int{1, 1, 1, 1})},
	{"groups of input channels", geometry(3, 24, 9, 12, 30, 3, 2, 2, ones, twos, [4]int{2, 1, 3, 2})},
	{"output channels in lanes", geometry(5, 40, 7, 7, 64, 3, 3, 1, ones, ones, [4]int{1, 1, 1, 1})},
	{"output channels in lanes, both ways", geometry(9, 96, 13, 14, 32, 3, 3, 1, ones, ones, [4]int{1, 1, 1, 1})},
	{"output channels in lanes, shared", geometry(1, 64, 40, 14, 32, 3, 3, 1, ones, twos, [4]int{2, 2, 2, 2})},
	{"output channels in lanes, grouped", geometry(2, 160, 6, 9, 64, 3, 3, 2, ones, ones, [4]int{1, 1, 1, 1})},
	{"output channels in lanes, in place", geometry(3, 130, 5, 10, 32, 1, 1, 1, ones, ones, [4]int{})},
	{"one plane", geometry(9, 1, 28, 28, 32, 3, 3, 1, ones, ones, [4]int{1, 1, 1, 1})},
	{"one plane, shared", geometry(1, 1, 31, 33, 17, 3, 3, 1, ones, ones, [4]int{1, 1, 1, 1})},
	{"one plane, many channels", geometry(2, 1, 31, 33, 150, 3, 3, 1, ones, ones, [4]int{1, 1, 1, 1})},
	{"one plane, rows of a page", geometry(2, 1, 32, 32, 9, 3, 3, 1, ones, ones, [4]int{1, 1, 1, 1})},
	{"one plane, narrow", geometry(3, 1, 40, 8, 11, 3, 3, 1, ones, ones, [4]int{1, 1, 1, 1})},
	{"one plane, wide", geometry(2, 1, 2, 301, 8, 3, 3, 1, ones, ones, [4]int{1, 1, 1, 1})},
	{"one plane, grouped", geometry(9, 3, 17, 16, 45, 3, 3, 3, ones, ones, [4]int{1, 1, 1, 1})},
	{"one output channel", geometry(2, 9, 12, 12, 1, 3, 3, 1, ones, ones, [4]int{1, 1, 1, 1})},
}

// TestConvFastRandom draws geometries.
func TestConvFastRandom(t *testing.T) {
	eachConvLevel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(20, 21))
		for i := range 300 {
			if c, ok := randomConv(func(n int) int { return r.IntN(n) }); ok {
				t.Run(fmt.Sprintf("%d: %+v", i, c), func(t *testing.T) { checkConvFast(t, &c, uint64(i)) })
			}
		}
	})
}

// randomConv makes a small geometry; ok is false when it has no output.
func randomConv(intN func(int) int) (c Conv, ok bool) {
	c = Conv{N: 1 + intN(18), H: 1 + intN(20), W: 1 + intN(36), R: 1 + intN(4), S: 1 + intN(4), Groups: 1}
	c.C, c.K = 1+intN(9), 1+intN(18)
	switch intN(5) {
	case 0:
		c.Groups = c.C
		c.K = c.C * (1 + intN(2))
	case 1:
		c.Groups = 2
		c.C, c.K = 2*(1+intN(4)), 2*(1+intN(4))
	case 2: // channels may be lanes
		c.N, c.W, c.C, c.K = 1+intN(2), 1+intN(15), 1+intN(40), 32*(1+intN(2))
	case 3: // one plane, whose size stays
		c.Groups = 1 + intN(2)
		return geometry(1+intN(9), c.Groups, 1+intN(40), 1+intN(40), c.Groups*(1+intN(40)), 3, 3, c.Groups, ones, ones, [4]int{1, 1, 1, 1}), true
	}
	for i := range 2 {
		c.Stride[i], c.Dilation[i] = 1+intN(3), 1+intN(2)
		if intN(2) == 0 {
			c.Stride[i], c.Dilation[i] = 1, 1
		}
	}
	for i := range c.Pad {
		c.Pad[i] = intN(3)
	}
	c = geometry(c.N, c.C, c.H, c.W, c.K, c.R, c.S, c.Groups, c.Stride, c.Dilation, c.Pad)
	fits := c.H+c.Pad[0]+c.Pad[2] > c.Dilation[0]*(c.R-1) && c.W+c.Pad[1]+c.Pad[3] > c.Dilation[1]*(c.S-1)
	return c, fits
}

func FuzzConv(f *testing.F) {
	f.Add(uint64(1))
	f.Add(uint64(4))
	f.Fuzz(func(t *testing.T, seed uint64) {
		r := rand.New(rand.NewPCG(seed, 2))
		if c, ok := randomConv(func(n int) int { return r.IntN(n) }); ok {
			eachConvLevel(t, func(t *testing.T) { checkConvFast(t, &c, seed) })
		}
	})
}

// TestByChannel: the geometries that are meant to have output channels as lanes do.
func TestByChannel(t *testing.T) {
	eachVectorLevel(t, func(t *testing.T) {
		for _, g := range fastCases {
			c := g.c
			if want := level >= LevelAVX512 && strings.HasPrefix(g.name, "output channels in lanes"); c.byChannel(c.cg(), c.kg(), c.OW) != want {
				t.Errorf("%s: output channels in lanes: %v", g.name, !want)
			}
		}
	})
}

// TestByPlane: the geometries that are meant to use planes in place do.
func TestByPlane(t *testing.T) {
	eachVectorLevel(t, func(t *testing.T) {
		for _, g := range fastCases {
			c := g.c
			one := strings.HasPrefix(g.name, "one plane")
			if want := level >= LevelAVX512 && (one || g.name == "many vectors of pixels"); c.forwardByPlane() != want {
				t.Errorf("%s: output by planes: %v", g.name, !want)
			}
			if one && c.lanesByPlane(planFor(planShape{conv: c, planes: 1, images: 1})) != (level >= LevelAVX512) {
				t.Errorf("%s: gradient of the weights by planes: %v", g.name, level < LevelAVX512)
			}
		}
	})
}
