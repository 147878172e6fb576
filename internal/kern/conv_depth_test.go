package kern

import (
	"math/rand/v2"
	"testing"
)

// randomDepthwise makes a depthwise convolution that byDepth takes.
func randomDepthwise(r *rand.Rand) Conv {
	for {
		k, s, ch := 3+2*r.IntN(3), 1+r.IntN(2), 1+r.IntN(4)
		h, w := 1+r.IntN(20), 1+r.IntN(40)
		pad := [4]int{r.IntN(k), r.IntN(k), r.IntN(k), r.IntN(k)}
		if r.IntN(2) == 0 {
			pad = [4]int{k / 2, k / 2, k / 2, k / 2}
		}
		if h+pad[0]+pad[2] >= k && w+pad[1]+pad[3] >= k {
			return geometry(1+r.IntN(10), ch, h, w, ch, k, k, ch, [2]int{s, s}, ones, pad)
		}
	}
}

// TestDepthwise: every level computes what the portable code does, for every window, stride
// and padding, with values that do round and that are not numbers.
func TestDepthwise(t *testing.T) {
	for seed := range uint64(400) {
		checkDepthwise(t, seed, randomDepthwise(rand.New(rand.NewPCG(seed, 80))), nil)
	}
	// Planes of real networks.
	for _, e := range [][3]int{{112, 3, 1}, {112, 3, 2}, {56, 5, 2}, {56, 7, 1}, {28, 5, 1}, {14, 7, 1}, {14, 5, 2}, {7, 5, 1}, {7, 7, 1}, {4, 3, 1}, {3, 3, 1}, {2, 3, 2}} {
		pad := e[1] / 2
		checkDepthwise(t, 2, geometry(1, 3, e[0], e[0], 3, e[1], e[1], 3, [2]int{e[2], e[2]}, ones, [4]int{pad, pad, pad, pad}), nil)
	}
}

func checkDepthwise(t *testing.T, seed uint64, c Conv, raw []byte) {
	t.Helper()
	run := func(l Level) []uint64 {
		defer SetLevel(SetLevel(l))
		r := &trial{r: rand.New(rand.NewPCG(seed, 81)), raw: raw}
		nx, nw, no := c.sizes()
		edgy := seed%3 == 0
		x, w, dy, bias := r.fill(nx, edgy), r.fill(nw, seed%5 == 0), r.fill(no, edgy), r.fill(c.K, false)
		if seed%2 == 0 {
			bias = nil
		}
		if l >= LevelAVX2 && !c.byDepth() {
			t.Fatalf("%+v is computed otherwise", c)
		}
		ConvForward(&c, r.out(no), x, w, bias)
		ConvBackwardData(&c, r.out(nx), w, dy)
		ConvBackwardWeight(&c, r.out(nw), x, dy)
		return r.bits()
	}
	want := run(LevelGeneric)
	for _, l := range []Level{LevelAVX2, LevelAVX512} {
		if l > cpuLevel() {
			continue
		}
		for i, v := range run(l) {
			if v != want[i] {
				t.Fatalf("seed %d, %+v at %v: result %d of %d is %#x, want %#x", seed, c, l, i, len(want), v, want[i])
			}
		}
	}
}

// TestIntDepthwise is TestDepthwise on bytes.
func TestIntDepthwise(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 83))
		checkIntConvLevels(t, seed, randomDepthwise(r), 0, int(seed))
	}
	for i, e := range [][3]int{{112, 3, 2}, {56, 5, 2}, {56, 7, 1}, {14, 7, 1}, {7, 5, 1}} {
		pad := e[1] / 2
		checkIntConvLevels(t, uint64(i), geometry(2, 5, e[0], e[0], 5, e[1], e[1], 5, [2]int{e[2], e[2]}, ones, [4]int{pad, pad, pad, pad}), 0, 0)
	}
}

func FuzzDepthwise(f *testing.F) {
	f.Add(uint64(3), []byte("\x00\x00\xc0\x7f\x00\x00\x80\x7f"))
	f.Fuzz(func(t *testing.T, seed uint64, raw []byte) {
		c := randomDepthwise(rand.New(rand.NewPCG(seed, 82)))
		checkDepthwise(t, seed, c, raw)
		checkIntConvLevels(t, seed, c, 0, int(seed%5))
	})
}
