package kern

import (
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// trial is one run of a kernel on data that depends only on the seed, so that runs on
// two levels can be compared bit for bit.
type trial struct {
	r     *rand.Rand
	raw   []byte // of a fuzzer: bits of the first values
	n     int
	outs  [][]float32 // with their guards
	notes []uint64    // scalar results
}

const guard = 9 // elements before and behind a buffer; odd, so that nothing is aligned

// edges are the values that kernels get wrong. Scales below are 0.1 and 0.25.
var edges = []float32{0, float32(math.Copysign(0, -1)), float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1)),
	1e-45, -1e-45, 0x1p-126, maxFloat32, -maxFloat32, 0.125, -0.125, 0.375, 0.05, 0.15, -0.25, 31.875, 31.8749, -32.125, 6, -6, 1e9, -1e9}

func (t *trial) value(edgy bool) float32 {
	if len(t.raw) >= 4 {
		b := uint32(t.raw[0]) | uint32(t.raw[1])<<8 | uint32(t.raw[2])<<16 | uint32(t.raw[3])<<24
		t.raw = t.raw[4:]
		return math.Float32frombits(b)
	}
	switch t.r.IntN(6) {
	case 0:
		if edgy {
			return edges[t.r.IntN(len(edges))]
		}
	case 1:
		return float32(t.r.IntN(600)-300) * 0.125 // ties
	}
	return float32(t.r.NormFloat64() * 10)
}

func (t *trial) fill(n int, edgy bool) []float32 {
	g := guards(guard)
	x := room[float32](n + 2*g)
	t.outs = append(t.outs, x)
	x = x[g : g+n : g+n]
	for i := range x {
		x[i] = t.value(edgy)
	}
	return x
}

// in is an operand, out a result with junk in it; both stand between guards.
func (t *trial) in(n int) []float32  { return t.fill(n, true) }
func (t *trial) out(n int) []float32 { return t.fill(n, false) }

func (t *trial) mask(n int) []uint8 {
	m := room[uint8](n)
	for i := range m {
		m[i] = uint8(t.r.Uint32())
	}
	return m
}

func (t *trial) note(v ...float64) {
	for _, v := range v {
		if v != v {
			v = math.NaN()
		}
		t.notes = append(t.notes, math.Float64bits(v))
	}
}

func note[T Code](t *trial, v []T) {
	for _, v := range v {
		t.note(float64(v))
	}
}

func (t *trial) grid() *Grid {
	grids := []Grid{{0.25, 0, -128, 127}, {0.1, 128, 0, 255}, {0.25, 0, 0, 15}, {0x1p-23, -5, -8, 7}, {1e30, 3, -128, 127}}
	return &grids[t.r.IntN(len(grids))]
}

func (t *trial) clip() Clip {
	inf, zero := float32(math.Inf(1)), float32(0)
	clips := []Clip{NoClip(), ReLU(), {0, 6}, {-1, 1}, {-inf, 3}, {-zero, 6}, {-2, -zero}, {2, inf}, {-zero, zero}}
	return clips[t.r.IntN(len(clips))]
}

// bits is everything that the run wrote, with one NaN for all.
func (t *trial) bits() []uint64 {
	b := t.notes
	for _, o := range t.outs {
		for _, v := range o {
			if v != v {
				v = float32(math.NaN())
			}
			b = append(b, uint64(math.Float32bits(v)))
		}
	}
	return b
}

func params(t *trial, n int) []float32 { return t.out(n) }

// elemTrials are the kernels; n is the number of elements, c of channels.
var elemTrials = map[string]func(t *trial, n, c int){
	"affine": func(t *trial, n, c int) {
		x, y, m := t.in(2*c*n), t.out(2*c*n), t.mask(MaskLen(2, c, n))
		AffineActQuant(y, x, 2, c, n, params(t, c), params(t, c), t.clip(), t.grid(), m)
		note(t, m)
		AffineActQuant(x, x, 2, c, n, params(t, c), params(t, c), t.clip(), nil, m)
		note(t, m)
	},
	"plain": func(t *trial, n, c int) {
		x, y, m := t.in(2*c*n), t.out(2*c*n), t.mask(MaskLen(2, c, n))
		AffineActQuant(y, x, 2, c, n, nil, nil, t.clip(), t.grid(), m)
		note(t, m)
		AffineActQuant(x, x, 2, c, n, nil, nil, t.clip(), nil, nil)
	},
	"add": func(t *trial, n, c int) {
		a, b, y, m := t.in(2*c*n), t.in(2*c*n), t.out(2*c*n), t.mask(MaskLen(2, c, n))
		AddActQuant(y, a, b, 2, c, n, t.clip(), t.grid(), m)
		note(t, m)
		AddActQuant(a, a, b, 2, c, n, t.clip(), nil, m)
		note(t, m)
		lo, hi, k, nan := AddMinMax(y, b)
		t.note(float64(lo), float64(hi), float64(k))
		note(t, []uint8{map[bool]uint8{true: 1}[nan]})
	},
	"stats": func(t *trial, n, c int) {
		st, x := make([]Stats, c), t.fill(2*c*n, t.r.IntN(2) == 0)
		ChannelStats(st, x, 2, c, n)
		sums, each := make([]float64, c), make([]float64, len(x))
		ChannelSum(sums, x, 2, c, n)
		AddTo64(each, x)
		t.note(each...)
		for i, s := range st {
			t.note(s.Sum, s.SumSq, float64(s.Min), float64(s.Max), float64(s.Finite), sums[i])
			note(t, []uint8{map[bool]uint8{true: 1}[s.NaN]})
		}
	},
	"sums": func(t *trial, n, c int) {
		s, dy, x, m := make([]Sums, c), t.in(2*c*n), t.in(2*c*n), t.mask(MaskLen(2, c, n))
		for _, mask := range [][]uint8{m, nil} {
			for _, x := range [][]float32{x, nil} {
				MaskedSums(s, dy, x, 2, c, n, mask)
				for _, s := range s {
					t.note(s.D, s.DX)
				}
			}
		}
	},
	"backward": func(t *trial, n, c int) {
		dy, x, m := t.in(2*c*n), t.in(2*c*n), t.mask(MaskLen(2, c, n))
		p, q, r := params(t, c), params(t, c), params(t, c)
		for _, mask := range [][]uint8{m, nil} {
			AffineBackward(t.out(2*c*n), dy, x, 2, c, n, mask, p, q, r)
			AffineBackward(t.out(2*c*n), dy, nil, 2, c, n, mask, p, nil, nil)
			AffineBackward(t.out(2*c*n), dy, nil, 2, c, n, mask, nil, nil, nil)
		}
		AffineBackward(dy, dy, x, 2, c, n, m, p, q, r)
	},
	"quantize": func(t *trial, n, _ int) {
		x, g := t.in(n), *t.grid()
		FakeQuantize(t.out(n), x, g)
		fakeQuantizeStream(t.out(n), x, g)
		STE(t.out(n), x, t.in(n), g)
		ds, dz := LSQ(t.out(n), x, t.in(n), g)
		t.note(ds, dz)
		lo, hi, k, nan := MinMax(x)
		t.note(float64(lo), float64(hi), float64(k))
		note(t, []uint8{map[bool]uint8{true: 1}[nan]})
		t.note(float64(NotFinite(x)))
		FakeQuantize(x, x, g)
	},
	"codes": func(t *trial, n, _ int) {
		x := t.in(n)
		codesOf[int8](t, x, Grid{0.25, -3, -128, 127})
		codesOf[uint8](t, x, Grid{0.1, 7, 0, 255})
		codesOf[int16](t, x, *t.grid())
		codesOf[int32](t, x, *t.grid())
		one := guards(1)
		q := room[int16](n + 2*one)
		QuantizeCentred(q[one:n+one], x, *t.grid())
		note(t, q)
	},
	"rows": func(t *trial, n, _ int) {
		row := NewGridRow(n+3, func(int) Grid { return *t.grid() })
		x := t.in(n)
		FakeQuantizeRow(t.out(n), x, row, 3)
		STERow(t.out(n), x, t.in(n), row, 3)
		ds, dz := make([]float64, n), make([]float64, n)
		for range 3 {
			LSQRow(t.out(n), t.in(n), t.fill(n, false), row, 3, ds, dz)
		}
		for i := range ds {
			t.note(ds[i])
			t.note(dz[i])
		}
		lo, hi, count := t.out(n), t.out(n), make([]int, n)
		for i := range lo {
			lo[i], hi[i] = maxFloat32, -maxFloat32
		}
		nan := ColumnMinMax(lo, hi, count, t.fill(3*n, t.r.IntN(2) == 0))
		note(t, []uint8{map[bool]uint8{true: 1}[nan]})
		for _, k := range count {
			t.note(float64(k))
		}
	},
	"binary": func(t *trial, n, _ int) {
		a, b, one := t.in(n), t.in(n), t.in(1)[0]
		Add(t.out(n), a, b)
		Sub(t.out(n), a, b)
		Mul(t.out(n), a, b)
		AddOne(t.out(n), a, one)
		SubOne(t.out(n), a, one)
		OneSub(t.out(n), one, a)
		MulOne(t.out(n), a, one)
		Div(t.out(n), a, b)
		DivOne(t.out(n), a, one)
		OneDiv(t.out(n), one, a)
		Min(t.out(n), a, b)
		Max(t.out(n), a, b)
		Add(a, a, b)
	},
	"choices": func(t *trial, n, c int) {
		a, b, one := t.in(n), t.in(n), t.in(1)[0]
		copy(b[n/2:], a[n/2:]) // equal numbers, too
		cond := t.out(n)
		for r := Less; r <= GreaterEqual; r++ {
			Compare(r, cond, a, b)
			CompareOne(r, t.out(n), a, one)
			CompareOne(r, t.out(n), a, a[0])
			Select(t.out(n), cond, a, 1, b, 1)
		}
		Select(t.out(n), a, a, 1, b, 0)
		Select(t.out(n), cond, a, 0, b, 1)
		Select(t.out(n), cond, a, 0, b, 0)
		MinOne(t.out(n), a, one)
		MaxOne(t.out(n), a, one)
		x := t.fill(c*n, t.r.IntN(2) == 0)
		for _, smallest := range []bool{false, true} {
			top := t.out(c)
			RowExtreme(top, x, n, smallest)
			t.note(float64(RowFind(x[:n], top[0])))
		}
		left, most := t.in(n), t.in(n)
		GiveOnce(t.out(n), left, a, b)
		GiveOnce(t.out(n), left, a, most)
		Select(a, cond, a, 1, b, 1)
		Compare(GreaterEqual, b, a, b)
	},
	"norm rows": func(t *trial, n, c int) {
		x, dy, gamma, stats, means := t.in(c*n), t.in(c*n), t.in(n), t.in(2*c), t.in(2*c)
		moments, dots, room := make([]float64, 2*c), make([]float64, 2*c), (n+15)&^15
		dgamma, dbeta := make([]float64, room), make([]float64, room)
		rowMoments(moments, x, n)
		normRows(t.out(c*n), x, n, gamma, t.in(n), stats)
		normDots(dots, dgamma, dbeta, dy, x, n, gamma, stats)
		normBack(t.out(c*n), dy, x, n, gamma, stats, means)
		normBack(dy, dy, x, n, gamma, stats, means)
		RoundSums(t.out(n), dgamma[:n], 3)
		addSums(dgamma[:n], dbeta)
		o := &Norm{Width: n, Eps: 0.1, RMS: t.r.IntN(2) == 0}
		NormForward(o, t.out(c*n), x, nil, nil)
		NormBackward(o, t.out(c*n), t.out(n), t.out(n), t.in(c*n), x, gamma)
		for _, s := range [][]float64{moments, dots, dgamma[:n], dbeta[:n]} {
			t.note(s...)
		}
	},
	"softmax rows": func(t *trial, n, c int) {
		x, y, dots, top := t.in(c*n), t.in(c*n), make([]float64, c), t.out(c)
		rowDot(dots, x, y, n)
		t.note(dots...)
		softmaxBack(t.out(c*n), x, y, n, t.in(c))
		some, mask := t.fill(c*n, false), t.fill(n, false)
		MaskedSoftmax(t.out(c*n), some, n, false, 0.3, func(row int) []float32 { return mask[:1+row%2*(n-1)] })
		MaskedSoftmax(some, some, n, true, 1, func(int) []float32 { return mask })
		MaskedSoftmaxBackward(t.out(c*n), some, y, n, false, 0.3)
		clean := t.out(c * n)
		rowMax(top, clean, n)
	},
	"activations": func(t *trial, n, _ int) {
		x, dy, act := t.in(n), t.in(n), t.clip()
		Activate(t.out(n), x, act.Lo, act.Hi)
		ActivateBackward(t.out(n), x, dy, act.Lo, act.Hi)
		Leaky(t.out(n), x, 0.1)
		LeakyBackward(t.out(n), x, dy, 0.1)
	},
	"functions": func(t *trial, n, _ int) {
		x, dy := t.in(n), t.in(n)
		for _, f := range fnCases {
			Eval(f, t.out(n), x)
			EvalGrad(f, t.out(n), x, dy)
		}
		shift := t.in(1)[0]
		t.note(ExpSum(t.out(n), x, shift), ExpSum(nil, x, shift))
		f := fnCases[t.r.IntN(len(fnCases))]
		EvalGrad(f, x, x, dy) // in place
		EvalGrad(f, dy, x, dy)
		Eval(f, x, x)
		ExpSum(x, x, 1)
	},
	"solvers": func(t *trial, n, _ int) {
		f := AdamFactors{0.1, 0.999, 0.001, 0.01, 0.5, 1e-8, 0.01, 0.99}
		v := t.in(n)
		for i := range v {
			v[i] = float32(math.Abs(float64(v[i])))
		}
		AdamStep(t.in(n), t.in(n), t.in(n), v, &f)
		SGDStep(t.in(n), t.in(n), t.in(n), 0.1, 0.9, 0.01, false)
		SGDStep(t.in(n), t.in(n), t.in(n), 0.1, 0.9, 0.01, true)
	},
	"pool after activation": func(t *trial, n, c int) {
		for _, p := range []Pool{
			{Planes: c, H: 4, W: 2 * n, OH: 2, OW: n, Kernel: twos, Stride: twos},
			{Planes: c, H: 5, W: 2*n + 1, OH: 2, OW: n, Kernel: twos, Stride: twos},
		} {
			x, act, picks := t.in(c*p.H*p.W), t.clip(), t.mask(p.PicksLen())
			for _, g := range []*Grid{t.grid(), nil} {
				ActQuantPool2(&p, t.out(c*p.OH*p.OW), x, act, g, picks)
				note(t, picks)
				Pool2Backward(&p, t.out(len(x)), t.in(c*p.OH*p.OW), picks)
				ActQuantPool2(&p, t.out(c*p.OH*p.OW), x, act, g, nil)
			}
		}
	},
	"pool": func(t *trial, n, c int) {
		for _, p := range []Pool{
			{Planes: c, H: 4, W: 2 * n, OH: 2, OW: n, Kernel: twos, Stride: twos},
			{Planes: c, H: 5, W: 2*n + 1, OH: 2, OW: n, Kernel: twos, Stride: twos},
			{Planes: c, H: 5, W: n + 1, OH: 4, OW: n, Kernel: twos, Stride: ones},
			{Planes: c, H: 5, W: 2*n + 1, OH: 3, OW: n + 1, Kernel: [2]int{3, 3}, Stride: twos, Pad: [4]int{1, 1, 1, 1}},
			{Planes: c, H: 1, W: n, OH: 1, OW: 1, Kernel: [2]int{1, n}, Stride: ones},
		} {
			x, y, dy := t.in(c*p.H*p.W), t.out(c*p.OH*p.OW), t.in(c*p.OH*p.OW)
			MaxPool(&p, y, x)
			MaxPoolBackward(&p, t.out(len(x)), x, y, dy)
			AvgPool(&p, t.out(len(y)), x)
			AvgPoolBackward(&p, t.out(len(x)), dy)
		}
	},
}

func codesOf[T Code](t *trial, x []float32, g Grid) {
	one := guards(1)
	q := room[T](len(x) + 2*one)
	Quantize(q[one:len(x)+one], x, g)
	note(t, q)
	Dequantize(t.out(len(x)), q[one:len(x)+one], g)
}

// atLevel runs a trial.
func atLevel(l Level, name string, n, c int, seed uint64, raw []byte) []uint64 {
	defer SetLevel(SetLevel(l))
	t := &trial{r: rand.New(rand.NewPCG(seed, 1)), raw: raw, n: n}
	elemTrials[name](t, n, c)
	return t.bits()
}

func compareLevels(t *testing.T, name string, n, c int, seed uint64, raw []byte) {
	t.Helper()
	want := atLevel(LevelGeneric, name, n, c, seed, raw)
	for _, l := range []Level{LevelAVX2, LevelVNNI} {
		got := atLevel(l, name, n, c, seed, raw)
		if len(got) != len(want) {
			t.Fatalf("%s at %v, n=%d c=%d seed %d: %d results, want %d", name, l, n, c, seed, len(got), len(want))
		}
		for i := range want {
			if got[i] != want[i] {
				t.Fatalf("%s at %v, n=%d c=%d seed %d: result %d of %d is %#x, want %#x", name, l, n, c, seed, i, len(want), got[i], want[i])
			}
		}
	}
}

// TestElementwiseLevels: assembly and portable loops agree bit for bit, for every
// length of a tail, and write nothing around their results.
func TestElementwiseLevels(t *testing.T) {
	for name := range elemTrials {
		t.Run(name, func(t *testing.T) {
			for n := 1; n <= 70; n++ {
				for seed := range uint64(3) {
					compareLevels(t, name, n, 3, seed, nil)
				}
			}
			compareLevels(t, name, 1, 37, 9, nil)
			compareLevels(t, name, 1029, 2, 9, nil)
		})
	}
}

// TestElementwiseLong: chunks and goroutines change nothing.
func TestElementwiseLong(t *testing.T) {
	for name := range elemTrials {
		t.Run(name, func(t *testing.T) {
			n := 2*elemChunk + 13
			var first []uint64
			eachProcs(t, func(t *testing.T) {
				compareLevels(t, name, n, 2, 5, nil)
				bits := atLevel(LevelVNNI, name, n, 2, 5, nil)
				if first == nil {
					first = bits
				}
				if !slices.Equal(first, bits) {
					t.Fatal("result depends on GOMAXPROCS")
				}
			})
		})
	}
}

func FuzzElementwise(f *testing.F) {
	names := slices.Sorted(maps.Keys(elemTrials))
	for i := range len(names) {
		f.Add(uint8(i), uint8(21), uint8(3), uint64(i), []byte("\x00\x00\xc0\x7f\x00\x00\x80\x7f"))
	}
	f.Fuzz(func(t *testing.T, which, n, c uint8, seed uint64, raw []byte) {
		if n == 0 || c == 0 || c > 40 {
			t.Skip()
		}
		compareLevels(t, names[int(which)%len(names)], int(n), int(c), seed, raw)
	})
}
