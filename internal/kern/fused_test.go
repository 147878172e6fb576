package kern

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// fusedShapes are n, c, inner: planes with tails, several chunks of images, rows of channels, one element.
var fusedShapes = [][3]int{{3, 4, 35}, {19, 3, 21}, {2, 3, 16}, {4, 19, 1}, {1, 1, 1}, {5, 2, 3}, {1, 1, 40}}

// bit reads a mask as the package's comment says.
func bit(mask []uint8, c, inner, img, ch, i int) bool {
	row, at, width := img*c+ch, i, inner
	if inner == 1 {
		row, at, width = img, ch, c
	}
	return mask[row*((width+7)/8)+at/8]>>(at%8)&1 == 1
}

// eachElem visits [n][c][inner]; at is the flat index.
func eachElem(s [3]int, fn func(img, ch, i, at int)) {
	at := 0
	for img := range s[0] {
		for ch := range s[1] {
			for i := range s[2] {
				fn(img, ch, i, at)
				at++
			}
		}
	}
}

// TestFinish compares the fused forward pass with the chain of layers it replaces, and
// its mask with the chain's gradient.
func TestFinish(t *testing.T) {
	grids := []*Grid{nil, {0.1, 0, 0, 255}, {0.25, 3, -8, 7}}
	for _, s := range fusedShapes {
		for seed, g := range grids {
			for _, act := range []Clip{NoClip(), ReLU(), {-1, 2}} {
				tr := &trial{r: rand.New(rand.NewPCG(uint64(seed), 7))}
				n := s[0] * s[1] * s[2]
				x, b, k1, k2 := tr.in(n), tr.in(n), tr.out(s[1]), tr.out(s[1])
				got, sum := make([]float32, n), make([]float32, n)
				mask, sumMask := make([]uint8, MaskLen(s[0], s[1], s[2])), make([]uint8, MaskLen(s[0], s[1], s[2]))
				AffineActQuant(got, x, s[0], s[1], s[2], k1, k2, act, g, mask)
				AddActQuant(sum, x, b, s[0], s[1], s[2], act, g, sumMask)
				eachElem(s, func(img, ch, i, at int) {
					v := float32(x[at]*k1[ch]) + k2[ch]
					checkFinish(t, v, act, g, got[at], bit(mask, s[1], s[2], img, ch, i))
					checkFinish(t, x[at]+b[at], act, g, sum[at], bit(sumMask, s[1], s[2], img, ch, i))
				})
			}
		}
	}
}

func checkFinish(t *testing.T, v float32, act Clip, g *Grid, got float32, pass bool) {
	t.Helper()
	want, grad := []float32{v}, []float32{1}
	Activate(want, want, act.Lo, act.Hi)
	if g != nil {
		STE(grad, want, grad, *g)
		FakeQuantize(want, want, *g)
	}
	if act != NoClip() {
		ActivateBackward(grad, []float32{v}, grad, act.Lo, act.Hi)
	}
	if got != want[0] && (got == got || want[0] == want[0]) {
		t.Fatalf("%v with %v and %v gives %v, want %v", v, act, g, got, want[0])
	}
	if pass != (grad[0] == 1) {
		t.Fatalf("%v with %v and %v: bit %t, gradient %v", v, act, g, pass, grad[0])
	}
}

// TestChannelSums uses whole numbers, whose sums are exact in any order.
func TestChannelSums(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for _, s := range fusedShapes {
		n, c := s[0]*s[1]*s[2], s[1]
		x, dy := wholes(r, n), wholes(r, n)
		mask := make([]uint8, MaskLen(s[0], c, s[2]))
		AffineActQuant(make([]float32, n), x, s[0], c, s[2], nil, nil, Clip{-3, 5}, nil, mask)
		st, sums, plain := make([]Stats, c), make([]Sums, c), make([]float64, c)
		ChannelStats(st, x, s[0], c, s[2])
		MaskedSums(sums, dy, x, s[0], c, s[2], mask)
		ChannelSum(plain, x, s[0], c, s[2])
		want, wantSums := make([]Stats, c), make([]Sums, c)
		for i := range want {
			want[i] = Stats{Min: maxFloat32, Max: -maxFloat32}
		}
		eachElem(s, func(img, ch, i, at int) {
			w, v := &want[ch], float64(x[at])
			w.Sum, w.SumSq, w.Finite = w.Sum+v, w.SumSq+v*v, w.Finite+1
			w.Min, w.Max = min(w.Min, x[at]), max(w.Max, x[at])
			if x[at] > -3 && x[at] < 5 {
				wantSums[ch].D += float64(dy[at])
				wantSums[ch].DX += float64(dy[at]) * v
			}
		})
		if !slices.Equal(st, want) {
			t.Errorf("%v: statistics %v, want %v", s, st, want)
		}
		if !slices.Equal(sums, wantSums) {
			t.Errorf("%v: sums %v, want %v", s, sums, wantSums)
		}
		for ch, v := range plain {
			if v != want[ch].Sum {
				t.Errorf("%v: sum of channel %d is %v, want %v", s, ch, v, want[ch].Sum)
			}
		}
	}
}

// TestChannelStatsNotFinite: what is not finite is counted out.
func TestChannelStatsNotFinite(t *testing.T) {
	x := make([]float32, 2*37)
	x[3], x[20], x[36], x[40] = float32(math.NaN()), float32(math.Inf(-1)), -2, float32(math.Inf(1))
	st := make([]Stats, 2)
	ChannelStats(st, x, 1, 2, 37)
	if a := st[0]; !a.NaN || a.Finite != 35 || a.Min != -2 || a.Max != 0 {
		t.Errorf("channel 0: %+v", a)
	}
	if b := st[1]; b.NaN || b.Finite != 36 || b.Min != 0 || b.Max != 0 || !math.IsInf(b.Sum, 1) {
		t.Errorf("channel 1: %+v", b)
	}
}

// TestLaneOrder spells the order of summation out.
func TestLaneOrder(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	const n, c, inner = 3, 2, 43
	x := randoms[float32](r, n*c*inner)
	got := make([]float64, c)
	ChannelSum(got, x, n, c, inner)
	for ch := range c {
		var l [16]float64
		for img := range n {
			for i := range inner {
				l[i%16] += float64(x[(img*c+ch)*inner+i])
			}
		}
		for _, half := range []int{8, 4, 2, 1} {
			for i := range half {
				l[i] += l[i+half]
			}
		}
		if got[ch] != l[0] {
			t.Errorf("channel %d: %v, want %v", ch, got[ch], l[0])
		}
	}
}

func TestAffineBackward(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for _, s := range fusedShapes {
		n, c := s[0]*s[1]*s[2], s[1]
		x, dy := randoms[float32](r, n), randoms[float32](r, n)
		p, q, k := randoms[float32](r, c), randoms[float32](r, c), randoms[float32](r, c)
		mask := make([]uint8, MaskLen(s[0], c, s[2]))
		AffineActQuant(make([]float32, n), x, s[0], c, s[2], nil, nil, ReLU(), nil, mask)
		full, scaled, plain := make([]float32, n), make([]float32, n), make([]float32, n)
		AffineBackward(full, dy, x, s[0], c, s[2], mask, p, q, k)
		AffineBackward(scaled, dy, nil, s[0], c, s[2], mask, p, nil, nil)
		AffineBackward(plain, dy, nil, s[0], c, s[2], mask, nil, nil, nil)
		eachElem(s, func(_, ch, _, at int) {
			var d float32
			if x[at] > 0 {
				d = dy[at]
			}
			want := float32(d*p[ch]) + (float32(x[at]*q[ch]) + k[ch])
			if full[at] != want || scaled[at] != d*p[ch] || plain[at] != d {
				t.Fatalf("%v: element %d is %v, %v, %v, want %v, %v, %v", s, at, full[at], scaled[at], plain[at], want, d*p[ch], d)
			}
		})
	}
}

func TestNotFinite(t *testing.T) {
	for _, n := range []int{1, 8, 37, elemChunk + 5} {
		x := make([]float32, n)
		if i := NotFinite(x); i != -1 {
			t.Errorf("%d zeros: %d", n, i)
		}
		x[n-1] = float32(math.Inf(-1))
		if i := NotFinite(x); i != n-1 {
			t.Errorf("infinity last of %d: %d", n, i)
		}
		x[n/2] = float32(math.NaN())
		if i := NotFinite(x); i != n/2 {
			t.Errorf("NaN in the middle of %d: %d", n, i)
		}
	}
}
