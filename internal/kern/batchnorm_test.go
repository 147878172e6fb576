package kern

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"
)

// batchNumbers are what the fuzzed algebra of a batch normalisation is computed from, by
// channel.
type batchNumbers struct {
	st              []Stats
	sums            []Sums
	v               BatchVectors[float32]
	mean, variance  []float32
	n               int
	eps, momentum   float64
	folded, wantAll bool
}

// batchResult is all that comes out, as bits.
func (b *batchNumbers) result() []uint32 {
	c := len(b.st)
	o := &BatchNorm{Eps: b.eps, Mean: make([]float64, c), Variance: make([]float64, c), Inv: make([]float64, c)}
	o.BatchMoments(b.st, b.n)
	k1, k2, mean, variance := make([]float32, c), make([]float32, c), slices.Clone(b.mean), slices.Clone(b.variance)
	v := b.v
	if !b.folded {
		v.F, v.Bias = nil, nil
	}
	BatchNormForward(o, k1, k2, v, Running{Mean: mean, Variance: variance, Momentum: b.momentum})
	q, r := make([]float32, c), make([]float32, c)
	var grad BatchVectors[float32]
	for i, p := range []*[]float32{&grad.Gamma, &grad.Beta, &grad.F, &grad.Bias} {
		if b.wantAll || i == 0 {
			*p = slices.Repeat([]float32{3}, c)
		}
	}
	BatchNormBackward(o, q, r, grad, v, b.sums)
	f, slope := make([]float32, c), make([]float64, c)
	BatchFold(f, slope, b.v.Gamma, b.variance, b.eps, 0x1p-10)
	all := slices.Concat(k1, k2, mean, variance, q, r, grad.Gamma, grad.Beta, grad.F, grad.Bias, f)
	var bits []uint32
	for _, x := range all {
		bits = append(bits, bitsOrNaN(x))
	}
	for _, x := range slices.Concat(o.Mean, o.Variance, o.Inv, slope) {
		if x != x {
			x = math.NaN()
		}
		u := math.Float64bits(x)
		bits = append(bits, uint32(u), uint32(u>>32))
	}
	return bits
}

// bitsOrNaN is the value's bits, those of one NaN for all.
func bitsOrNaN(x float32) uint32 {
	if x != x {
		return 0x7fc00000
	}
	return math.Float32bits(x)
}

// batchOf makes numbers from a source of float32.
func batchOf(c int, next func() float32) *batchNumbers {
	b := &batchNumbers{n: 7, eps: 1e-5, momentum: 0.1}
	row := func() []float32 {
		x := make([]float32, c)
		for i := range x {
			x[i] = next()
		}
		return x
	}
	for range c {
		b.st = append(b.st, Stats{Sum: float64(next()) * 1.25, SumSq: float64(next()) * 1.75})
		b.sums = append(b.sums, Sums{float64(next()) / 3, float64(next()) / 7})
	}
	b.v = BatchVectors[float32]{F: row(), Gamma: row(), Beta: row(), Bias: row()}
	b.mean, b.variance = row(), row()
	return b
}

// onLevels fails where a level computes other bits than the portable loops.
func (b *batchNumbers) onLevels(t *testing.T) {
	t.Helper()
	for _, b.folded = range []bool{false, true} {
		for _, b.wantAll = range []bool{false, true} {
			old := SetLevel(LevelGeneric)
			want := b.result()
			for l := LevelGeneric + 1; l <= cpuLevel(); l++ {
				SetLevel(l)
				if got := b.result(); !slices.Equal(got, want) {
					i := 0
					for got[i] == want[i] {
						i++
					}
					t.Fatalf("%d channels, folded %t, all %t, at %v: number %d is %x, want %x", len(b.st), b.folded, b.wantAll, l, i, got[i], want[i])
				}
			}
			SetLevel(old)
		}
	}
}

// TestBatchNormLevels: all numbers of channels, past a block of the assembly.
func TestBatchNormLevels(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	for _, c := range []int{0, 1, 3, 4, 5, 8, 31, batchBlock - 1, batchBlock, batchBlock + 1, 3*batchBlock + 6} {
		batchOf(c, func() float32 { return float32(r.NormFloat64() + 0.3) }).onLevels(t)
	}
}

// FuzzBatchNormLevels: any float32 whatever, infinities and NaN too.
func FuzzBatchNormLevels(f *testing.F) {
	f.Add(5, []byte("zeros and NaN\x00\x00\x00\x00\x00\x00\xc0\x7f\x00\x00\x80\x7f\x00\x00\x00\x80"))
	f.Fuzz(func(t *testing.T, c int, data []byte) {
		if c < 0 || c > 40 || len(data) < 4 {
			return
		}
		at := 0
		batchOf(c, func() float32 {
			x := math.Float32frombits(binary.LittleEndian.Uint32(data[at:]))
			if at += 3; at+4 > len(data) {
				at %= 3
				at = min(at, len(data)-4)
			}
			return x
		}).onLevels(t)
	})
}

// batchTol: float64 algebra, rounded to float32 once: 2^-24 of the value, and as much for
// what cancels before in the sums of this test.
const batchTol = 0x1p-22

// TestBatchNormDefinition compares a folded normalisation and its gradients with the passes
// over all elements, in float64.
func TestBatchNormDefinition(t *testing.T) {
	const c, n = 9, 50
	r := rand.New(rand.NewPCG(4, 4))
	a, dy := normalRows(r, c*n), normalRows(r, c*n)
	b := batchOf(c, func() float32 { return float32(r.NormFloat64()) + 2 })
	ChannelStats(b.st, a, n, c, 1)
	MaskedSums(b.sums, dy, a, n, c, 1, nil)
	o := &BatchNorm{Eps: b.eps, Mean: make([]float64, c), Variance: make([]float64, c), Inv: make([]float64, c)}
	o.BatchMoments(b.st, n)
	v, grad := b.v, BatchVectors[float32]{Gamma: make([]float32, c), Beta: make([]float32, c), F: make([]float32, c), Bias: make([]float32, c)}
	k1, k2, q, s := make([]float32, c), make([]float32, c), make([]float32, c), make([]float32, c)
	mean, variance := slices.Clone(b.mean), slices.Clone(b.variance)
	BatchNormForward(o, k1, k2, v, Running{mean, variance, b.momentum})
	BatchNormBackward(o, q, s, grad, v, b.sums)
	near := func(what string, ch int, got float32, want float64) {
		t.Helper()
		if !(math.Abs(float64(got)-want) <= batchTol*(1+math.Abs(want))) {
			t.Errorf("%s of channel %d is %v, want %v", what, ch, got, want)
		}
	}
	for ch := range c {
		f, bias, gamma, beta := float64(v.F[ch]), float64(v.Bias[ch]), float64(v.Gamma[ch]), float64(v.Beta[ch])
		// loss is Σ dy·y of the channel as a function of what it depends on.
		loss := func(f, gamma, beta float64, bump int, by float64) (sum, m, va float64) {
			x := make([]float64, n)
			for i := range x {
				x[i] = float64(a[i*c+ch])
				if i == bump {
					x[i] += by
				}
				x[i] = x[i]/f + bias
				m += x[i] / n
			}
			for _, u := range x {
				va += (u - m) * (u - m) / n
			}
			for i, u := range x {
				sum += float64(dy[i*c+ch]) * ((u-m)/math.Sqrt(va+b.eps)*gamma + beta)
			}
			return sum, m, va
		}
		_, m, va := loss(f, gamma, beta, -1, 0)
		near("k1", ch, k1[ch], gamma/math.Sqrt(va+b.eps)/f)
		near("running mean", ch, mean[ch], 0.9*float64(b.mean[ch])+0.1*m)
		near("running variance", ch, variance[ch], 0.9*float64(b.variance[ch])+0.1*va*n/(n-1))
		const h = 1e-5
		slope := func(at func(h float64) float64) float64 { return (at(h) - at(-h)) / (2 * h) }
		near("dgamma", ch, grad.Gamma[ch], slope(func(h float64) float64 { l, _, _ := loss(f, gamma+h, beta, -1, 0); return l }))
		near("dbeta", ch, grad.Beta[ch], slope(func(h float64) float64 { l, _, _ := loss(f, gamma, beta+h, -1, 0); return l }))
		near("df", ch, grad.F[ch], slope(func(h float64) float64 { l, _, _ := loss(f+h, gamma, beta, -1, 0); return l }))
		near("dbias", ch, grad.Bias[ch], 0)
		for _, i := range []int{0, n - 1} {
			near("da", ch, dy[i*c+ch]*k1[ch]+a[i*c+ch]*q[ch]+s[ch], slope(func(h float64) float64 { l, _, _ := loss(f, gamma, beta, i, h); return l }))
		}
	}
}

// TestBatchArgs: the generator's offsets are those of the fields.
func TestBatchArgs(t *testing.T) {
	var a batchArgs
	if got := unsafe.Offsetof(a.n); got != 17*8 {
		t.Errorf("the numbers begin at %d", got)
	}
	if unsafe.Sizeof(Stats{}) != 40 || unsafe.Sizeof(Sums{}) != 16 || unsafe.Sizeof(lanes{}) != 256 {
		t.Error("sizes that the assembly relies on have changed")
	}
}
