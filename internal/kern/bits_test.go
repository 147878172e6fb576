package kern

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestSameBits prints a checksum per group of kernels at the level in use, for
// comparison with other processors: a compiler that fuses a multiplication with the
// addition behind it, as Go's does on some, shows here.
func TestSameBits(t *testing.T) {
	names := slices.Sorted(maps.Keys(elemTrials))
	for _, name := range names {
		h := sha256.New()
		for seed := range uint64(3) {
			binary.Write(h, binary.LittleEndian, atLevel(CurrentLevel(), name, 53, 3, seed, nil))
		}
		t.Logf("sum %x %s", h.Sum(nil), name)
	}
	h := sha256.New()
	floatProducts(h)
	t.Logf("sum %x float products", h.Sum(nil))
	h = sha256.New()
	intProducts(t, h)
	t.Logf("sum %x integer products", h.Sum(nil))
}

func floatProducts(h hash.Hash) {
	r := rand.New(rand.NewPCG(50, 1))
	for _, s := range gemmShapes {
		m, n, k := s[0], s[1], s[2]
		a, b, c := hashed(r, m*k), hashed(r, k*n), make([]float32, m*n)
		Gemm(m, n, k, RowMajor(a, k, false), RowMajor(b, n, false), c, n, false)
		hashFloats(h, c)
	}
	for _, e := range convCases {
		nx, nw, no := e.c.sizes()
		x, w, dy := hashed(r, nx), hashed(r, nw), hashed(r, no)
		y, dx, dw := make([]float32, no), make([]float32, nx), make([]float32, nw)
		ConvForward(&e.c, y, x, w, nil)
		ConvBackwardData(&e.c, dx, w, dy)
		ConvBackwardWeight(&e.c, dw, x, dy)
		for _, v := range [][]float32{y, dx, dw} {
			hashFloats(h, v)
		}
	}
}

func intProducts(t *testing.T, h hash.Hash) {
	for i, e := range convCases {
		nx, nw, no := e.c.sizes()
		c := newIntCase(uint64(i), nx, nw, e.c.K, 1, 0, -127, 127)
		p := &IntProduct{}
		p.SetConv(&e.c, c.in, c.d, func(dst []int16) { copy(dst, c.w) })
		v, q := c.run(t, e.name, p, no, func(y IntY, x IntX) { p.Conv(0, &e.c, y, x, c.bias) })
		hashFloats(h, v)
		h.Write(q)
	}
}

// hashed returns numbers that are the same on every processor.
func hashed(r *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(r.IntN(1<<20)-1<<19) / (1 << 16)
	}
	return x
}

func hashFloats(h hash.Hash, x []float32) {
	for _, v := range x {
		if v != v {
			v = float32(math.NaN())
		}
		binary.Write(h, binary.LittleEndian, v)
	}
}
