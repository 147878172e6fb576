package kern

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// randomPool makes a pooling of any window, stride and padding; windows may be cut short at
// the end, as where sizes are rounded up.
func randomPool(r *rand.Rand) Pool {
	p := Pool{Planes: 1 + r.IntN(3), ExcludePad: r.IntN(2) == 0}
	axis := func(i, most int) (size, out int) {
		for {
			k, s := 1+r.IntN(5), 1+r.IntN(4)
			if r.IntN(2) == 0 {
				s = 1 + r.IntN(2)
			}
			before, behind, size := r.IntN(k), r.IntN(k), 1+r.IntN(most)
			out := (size+before+behind-k)/s + 1
			if r.IntN(2) == 0 {
				out = ceilDiv(size+before+behind-k, s) + 1
			}
			// The last window begins inside the image or in the padding before it.
			for out > 1 && (out-1)*s-before >= size {
				out--
			}
			if size+before+behind < k || k-before <= 0 || out < 1 {
				continue
			}
			p.Kernel[i], p.Stride[i], p.Pad[i], p.Pad[i+2] = k, s, before, behind
			return size, out
		}
	}
	p.H, p.OH = axis(0, 20)
	p.W, p.OW = axis(1, 80)
	return p
}

// TestPool: every level computes what the portable code does, with windows of any shape.
func TestPool(t *testing.T) {
	for seed := range uint64(1500) {
		r := rand.New(rand.NewPCG(seed, 70))
		checkPool(t, seed, randomPool(r), nil)
	}
	// The pools of real networks.
	three := [2]int{3, 3}
	for _, p := range []Pool{
		{Planes: 3, H: 112, W: 112, OH: 56, OW: 56, Kernel: three, Stride: twos, Pad: [4]int{1, 1, 1, 1}},
		{Planes: 3, H: 55, W: 55, OH: 27, OW: 27, Kernel: three, Stride: twos},
		{Planes: 3, H: 54, W: 54, OH: 27, OW: 27, Kernel: three, Stride: twos},
		{Planes: 3, H: 28, W: 28, OH: 28, OW: 28, Kernel: three, Stride: ones, Pad: [4]int{1, 1, 1, 1}},
		{Planes: 20, H: 7, W: 7, OH: 1, OW: 1, Kernel: [2]int{7, 7}, Stride: ones},
	} {
		checkPool(t, 1, p, nil)
	}
}

func checkPool(t *testing.T, seed uint64, p Pool, raw []byte) {
	t.Helper()
	run := func(l Level) []uint64 {
		defer SetLevel(SetLevel(l))
		r := &trial{r: rand.New(rand.NewPCG(seed, 71)), raw: raw}
		edgy := seed%2 == 0
		x, y, dy := r.fill(p.Planes*p.H*p.W, edgy), r.out(p.Planes*p.OH*p.OW), r.in(p.Planes*p.OH*p.OW)
		for i := range x { // windows with equal elements
			if i%3 == 0 && x[i] == x[i] {
				x[i] = float32(math.Round(float64(x[i]) / 8))
			}
		}
		MaxPool(&p, y, x)
		MaxPoolBackward(&p, r.out(len(x)), x, y, dy)
		AvgPool(&p, r.out(len(y)), x)
		AvgPoolBackward(&p, r.out(len(x)), dy)
		return r.bits()
	}
	want := run(LevelGeneric)
	for _, l := range []Level{LevelAVX2, LevelVNNI} {
		for i, v := range run(l) {
			if v != want[i] {
				t.Fatalf("seed %d, %+v at %v: result %d of %d is %#x, want %#x", seed, p, l, i, len(want), v, want[i])
			}
		}
	}
}

// TestPoolCodes is TestPool for codes.
func TestPoolCodes(t *testing.T) {
	for seed := range uint64(1500) {
		r := rand.New(rand.NewPCG(seed, 72))
		p := randomPool(r)
		eachIntLevel(t, func(l Level) {
			t.Run(fmt.Sprintf("%v/%+v", l, p), func(t *testing.T) { checkMaxPool(t, r, &p) })
		})
	}
}

func FuzzPool(f *testing.F) {
	f.Add(uint64(3), []byte("\x00\x00\xc0\x7f\x00\x00\x80\x7f"))
	f.Fuzz(func(t *testing.T, seed uint64, raw []byte) {
		r := rand.New(rand.NewPCG(seed, 73))
		p := randomPool(r)
		checkPool(t, seed, p, raw)
		eachIntLevel(t, func(Level) { checkMaxPool(t, r, &p) })
	})
}
