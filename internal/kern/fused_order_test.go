package kern

import (
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
)

// TestChannelSumOrder: sums over channels are added in the order that ChannelStats
// documents, to the bit, at every level and with any number of processors, also over
// several chunks of images.
func TestChannelSumOrder(t *testing.T) {
	r := rand.New(rand.NewPCG(61, 62))
	for _, s := range [][3]int{{7, 2, 35}, {8, 3, 20}, {19, 5, 3}, {19, 5, 35}, {33, 2, 300}, {17, 1, elemChunk + 21}} {
		n, c, inner := s[0], s[1], s[2]
		x, dy := randoms[float32](r, n*c*inner), randoms[float32](r, n*c*inner)
		mask := make([]uint8, MaskLen(n, c, inner))
		AffineActQuant(make([]float32, len(x)), x, n, c, inner, nil, nil, Clip{-1, 1}, nil, mask)
		pass := func(i int) bool { return x[i] > -1 && x[i] < 1 }
		all := func(int) bool { return true }
		total := func(ch int, where func(int) bool, term func(int) float64) float64 {
			return channelOrder(n, c, inner, ch, where, term)
		}
		eachLevel(t, func(t *testing.T) {
			for _, procs := range []int{1, 2, 5} {
				defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
				st, sums, plain := make([]Stats, c), make([]Sums, c), make([]float64, c)
				ChannelStats(st, x, n, c, inner)
				MaskedSums(sums, dy, x, n, c, inner, mask)
				ChannelSum(plain, dy, n, c, inner)
				for ch := range c {
					got := [5]float64{st[ch].Sum, st[ch].SumSq, sums[ch].D, sums[ch].DX, plain[ch]}
					want := [5]float64{
						total(ch, all, func(i int) float64 { return float64(x[i]) }),
						total(ch, all, func(i int) float64 { return float64(x[i]) * float64(x[i]) }),
						total(ch, pass, func(i int) float64 { return float64(dy[i]) }),
						total(ch, pass, func(i int) float64 { return float64(dy[i]) * float64(x[i]) }),
						total(ch, all, func(i int) float64 { return float64(dy[i]) }),
					}
					if got != want {
						t.Fatalf("%v, %d processors, channel %d: %v, want %v", s, procs, ch, got, want)
					}
				}
			}
		})
	}
}

// TestChannelSumOfRows: with one element per channel the images are added in order, whatever
// number of processors shares the channels.
func TestChannelSumOfRows(t *testing.T) {
	r := rand.New(rand.NewPCG(63, 64))
	const n, c = 40, 1003 // several pieces of channels, the last one shorter
	x, want, rounded := randoms[float32](r, n*c), make([]float64, c), make([]float32, c)
	for i, v := range x {
		want[i%c] += float64(v)
	}
	for i, v := range want {
		rounded[i] = float32(v)
	}
	eachLevel(t, func(t *testing.T) {
		for _, procs := range []int{1, 2, 5} {
			old := runtime.GOMAXPROCS(procs)
			got, to := make([]float64, c), make([]float32, c)
			ChannelSum(got, x, n, c, 1)
			ChannelSumTo(to, x, n, c, 1)
			runtime.GOMAXPROCS(old)
			if !slices.Equal(got, want) || !slices.Equal(to, rounded) {
				t.Errorf("other sums on %d processors", procs)
			}
		}
	})
}

// channelOrder is the definition of a sum over one channel. Products of two float32 are
// exact in float64, so that fusing them with the sum would change nothing.
func channelOrder(n, c, inner, ch int, where func(int) bool, term func(int) float64) (sum float64) {
	for first := 0; first < n; first += imageChunk {
		var l [16]float64
		for img := first; img < min(first+imageChunk, n); img++ {
			for i := range inner {
				if at := (img*c+ch)*inner + i; where(at) {
					l[i%16] += term(at)
				}
			}
		}
		sum += laneTotal(&l)
	}
	return sum
}
