package kern

import (
	"math"
	"math/rand/v2"
	"testing"
)

// mantissas has numbers from 1 to 2 with few ones, few zeros and anything between.
func mantissas(r *rand.Rand, n int) []float32 {
	m := []float32{1, 1.5, math.Nextafter32(1, 2), math.Nextafter32(2, 1), math.Nextafter32(1.5, 1), math.Float32frombits(0x3fb504f3)}
	for len(m) < n {
		m = append(m, math.Float32frombits(127<<23|r.Uint32()>>9),
			math.Float32frombits(127<<23|1<<r.IntN(23)|1<<r.IntN(23)),
			math.Float32frombits(128<<23-1-1<<r.IntN(23)),
			math.Float32frombits(128<<23-1-r.Uint32N(1<<12)))
	}
	return m
}

func TestReach(t *testing.T) {
	r := rand.New(rand.NewPCG(13, 14))
	for i, m := range mantissas(r, 2000) {
		s, limit := m*float32(math.Ldexp(1, i%200-100)), float32(r.IntN(1<<r.IntN(21)))
		x := reach(limit, s)
		if a, b := steps(x, s, -1, limit+1), steps(math.Nextafter32(x, float32(math.Inf(1))), s, -1, limit+1); a > limit || b <= limit {
			t.Fatalf("scale %v, limit %v: %v has code %v, the next %v", s, limit, x, a, b)
		}
	}
}

// TestQuantizeLevels compares the assembly with the portable loops where codes change,
// for scales of any size and wide and narrow grids.
func TestQuantizeLevels(t *testing.T) {
	defer SetLevel(SetLevel(LevelGeneric))
	r := rand.New(rand.NewPCG(15, 16))
	grids := []Grid{{0, 0, -128, 127}, {0, 128, 0, 255}, {0, 0, 0, 15}, {0, 3, -8, 7}, {0, -32768, -32768, 32767}, {0, 0, -1 << 20, 1 << 20}}
	x, dy := make([]float32, 64), make([]float32, 64)
	for i := range dy {
		dy[i] = float32(i + 1)
	}
	for i, m := range mantissas(r, 1500) {
		g := grids[i%len(grids)]
		g.Scale = m * float32(math.Ldexp(1, i%240-120))
		lo, hi := g.limits()
		for j := range x {
			q := float64(lo) - 2 + r.Float64()*float64(hi-lo+4)
			x[j] = float32((math.Floor(q) + 0.5) * float64(g.Scale))
			x[j] = math.Float32frombits(math.Float32bits(x[j]) + uint32(r.IntN(5)-2))
			if j%8 == 7 {
				x[j] = edges[r.IntN(len(edges))]
			}
		}
		type result struct {
			fake, stream, ste, act, sum [64]float32
			codes                       [64]int32
			mask, sumMask               [8]uint8
		}
		var want result
		for l := LevelGeneric; l <= cpuLevel(); l++ {
			SetLevel(l)
			var got result
			FakeQuantize(got.fake[:], x, g)
			fakeQuantizeStream(got.stream[:], x, g)
			STE(got.ste[:], x, dy, g)
			Quantize(got.codes[:], x, g)
			act := []Clip{NoClip(), ReLU(), {-g.Scale, 6 * g.Scale}, {0, 1}}[i/8%4]
			AffineActQuant(got.act[:], x, 1, 1, 64, nil, nil, act, &g, got.mask[:])
			AddActQuant(got.sum[:], x, dy, 1, 1, 64, act, &g, got.sumMask[:])
			if l == LevelGeneric {
				want = got
			}
			if got != want {
				t.Fatalf("%v: grid %+v, x %v:\n%v, want\n%v", l, g, x, got, want)
			}
		}
	}
}
