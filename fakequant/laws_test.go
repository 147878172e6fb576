package fakequant

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"
)

// naive is the formula of the numeric contract with the standard library's
// rounding. The quotient is a float32, so nothing is rounded twice.
func naive(x, scale float32, zero, qmin, qmax int32) int32 {
	v := math.RoundToEven(float64(x/scale)) + float64(zero)
	switch {
	case v != v, v < float64(qmin): // NaN goes to quant_min
		return qmin
	case v > float64(qmax):
		return qmax
	}
	return int32(v)
}

// naiveSTE is the straight-through mask by its definition.
func naiveSTE(x, dy, scale float32, zero, qmin, qmax int32) float32 {
	if v := math.RoundToEven(float64(x/scale)) + float64(zero); v >= float64(qmin) && v <= float64(qmax) {
		return dy
	}
	return 0
}

// special holds the values that break careless kernels.
var special = []float32{
	0, float32(math.Copysign(0, -1)), 1, -1, 0.5, -0.5, 1.5, -1.5, 2.5, -2.5, 1e-45, -1e-45, 5e-39, -5e-39,
	4194303.5, -4194303.5, 8388607.5, 16777217, 1e10, -1e10, math.MaxFloat32, -math.MaxFloat32,
	float32(math.Inf(1)), float32(math.Inf(-1)), float32(math.NaN()),
}

var someScales = []float32{1, 0.5, 0.1, 1.0 / 3, 3.7, MinScale, 1e-45, 1e-38, 1e30, 2.6e36}

// one is a layout of n elements in one group.
func one(t testing.TB, n int) Layout {
	t.Helper()
	l, err := Spec{}.Layout([]int{n})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// same compares bits but takes 0 and -0, and all NaNs, as equal.
func same(a, b float32) bool { return a == b || (a != a && b != b) }

// checkAll compares every function of the package with the naive spelling on x.
func checkAll(t *testing.T, s Spec, scale float32, zero int32, x []float32) {
	t.Helper()
	l, p := one(t, len(x)), Params{[]float32{scale}, []int32{zero}}
	qmin, qmax := s.QRange()
	codes, centred := make([]int32, len(x)), make([]int16, len(x))
	deq, fq, dx, dy := make([]float32, len(x)), make([]float32, len(x)), make([]float32, len(x)), make([]float32, len(x))
	for i := range dy {
		dy[i] = float32(i) + 0.25
	}
	for _, err := range []error{
		Quantize(codes, x, l, s, p), Centred(centred, x, l, s, p), Dequantize(deq, codes, l, s, p),
		FakeQuantize(fq, x, l, s, p), STE(dx, x, dy, l, s, p),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for i, v := range x {
		q := naive(v, scale, zero, qmin, qmax)
		if codes[i] != q || int32(centred[i]) != q-zero {
			t.Errorf("%v scale %v zero %d: x %v has code %d (centred %d), want %d", s, scale, zero, v, codes[i], centred[i], q)
		}
		if want := float32(q-zero) * scale; !same(deq[i], want) || !same(fq[i], want) {
			t.Errorf("%v scale %v zero %d: x %v becomes %v and %v, want %v", s, scale, zero, v, deq[i], fq[i], want)
		}
		if want := naiveSTE(v, dy[i], scale, zero, qmin, qmax); dx[i] != want {
			t.Errorf("%v scale %v zero %d: x %v has gradient %v, want %v", s, scale, zero, v, dx[i], want)
		}
	}
}

func TestAgainstNaive(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, s := range allSpecs() {
		qmin, qmax := s.QRange()
		for _, scale := range someScales {
			for _, zero := range []int32{qmin, (qmin + qmax) / 2, qmax} {
				x := append([]float32(nil), special...)
				for range 50 {
					steps := (rng.Float32() - 0.5) * 3 * float32(qmax-qmin)
					x = append(x, steps*scale, (float32(int(steps))+0.5)*scale)
				}
				checkAll(t, s, scale, zero, x)
			}
		}
	}
}

// Grid points do not move: every code of every format dequantizes to a value
// that quantizes to that code again.
func TestGridPointsStay(t *testing.T) {
	for _, s := range allSpecs() {
		qmin, qmax := s.QRange()
		for _, scale := range []float32{1, 0.1, 1.0 / 3, 3.7, MinScale, 1e-38, 1e30} {
			for zero := qmin; zero <= qmax; zero += max((qmax-qmin)/5, 1) {
				n := int(qmax - qmin + 1)
				l, p := one(t, n), Params{[]float32{scale}, []int32{zero}}
				codes, again, x, fq := make([]int16, n), make([]int16, n), make([]float32, n), make([]float32, n)
				for i := range codes {
					codes[i] = int16(qmin) + int16(i)
				}
				for _, err := range []error{Dequantize(x, codes, l, s, p), Quantize(again, x, l, s, p), FakeQuantize(fq, x, l, s, p)} {
					if err != nil {
						t.Fatal(err)
					}
				}
				for i := range codes {
					if again[i] != codes[i] || fq[i] != x[i] {
						t.Fatalf("%v scale %v zero %d: code %d became %d, value %v became %v", s, scale, zero, codes[i], again[i], x[i], fq[i])
					}
				}
				if x[zero-qmin] != 0 {
					t.Fatalf("%v scale %v: zero point %d stands for %v", s, scale, zero, x[zero-qmin])
				}
			}
		}
	}
}

// randomTensor mixes magnitudes, so that groups get different scales.
func randomTensor(rng *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = (rng.Float32()*2 - 1) * float32(math.Exp2(float64(rng.IntN(12)-6)))
	}
	return x
}

// With the parameters of its own range: fake quantization is idempotent, zero
// stays zero, nothing moves by more than half a step, a full step where the
// extreme value of a symmetric full range falls outside.
func TestFittedLaws(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for _, base := range allSpecs() {
		for _, s := range []Spec{base, cut(base, PerChannel, 1, 0), cut(base, PerBlock, 1, 3)} {
			x := randomTensor(rng, 3*7*2)
			x[5] = 0
			l, p := fit(t, s, []int{3, 7, 2}, x)
			once, twice := make([]float32, len(x)), make([]float32, len(x))
			for _, err := range []error{FakeQuantize(once, x, l, s, p), FakeQuantize(twice, once, l, s, p)} {
				if err != nil {
					t.Fatal(err)
				}
			}
			if once[5] != 0 {
				t.Errorf("%v: zero became %v", s, once[5])
			}
			for i, g := range groupsByRuns(t, l) {
				if once[i] != twice[i] {
					t.Errorf("%v: %v became %v, then %v", s, x[i], once[i], twice[i])
				}
				if d := math.Abs(float64(once[i]) - float64(x[i])); d > float64(p.Scale[g])*fittedStep {
					t.Errorf("%v: %v moved by %v with scale %v", s, x[i], d, p.Scale[g])
				}
			}
		}
	}
}

// fittedStep: rounding moves a value by half a step. The range of a grid whose
// zero is on it may begin half a step late (the zero point is rounded) or, for
// symmetric codes, end half a step early; both add up to one step at an end. The
// rest is for float32: quotients below 2^8 are off by at most 2^-16.
const fittedStep = 1 + 0x1p-15

func cut(s Spec, g Granularity, axis, block int) Spec {
	s.Granularity, s.Axis, s.BlockSize = g, axis, block
	return s
}

// Every group of a per-channel or per-block tensor is quantized as if it were a
// tensor of its own.
func TestGroupsAreTensorsOfTheirOwn(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for _, shape := range layoutShapes {
		for _, base := range []Spec{{}, {Bits: 4, Unsigned: true, Scheme: Affine}} {
			for _, axes := range specsFor(shape) {
				checkGroups(t, cut(base, axes.Granularity, axes.Axis, axes.BlockSize), shape, rng)
			}
		}
	}
}

func checkGroups(t *testing.T, s Spec, shape []int, rng *rand.Rand) {
	t.Helper()
	n, err := NumElements(shape)
	if err != nil {
		t.Fatal(err)
	}
	x, dy := randomTensor(rng, n), randomTensor(rng, n)
	l, p := fit(t, s, shape, x)
	for g := range p.Scale {
		p.Scale[g] *= 0.7 // so that some values clip
	}
	codes, fq, deq, dx, mid := make([]int32, n), make([]float32, n), make([]float32, n), make([]float32, n), make([]int16, n)
	for _, err := range []error{
		Quantize(codes, x, l, s, p), FakeQuantize(fq, x, l, s, p), Dequantize(deq, codes, l, s, p), STE(dx, x, dy, l, s, p), Centred(mid, x, l, s, p),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	qmin, qmax := s.QRange()
	for i := range x {
		g := groupOf(s, shape, i)
		scale, zero := p.Scale[g], p.ZeroPoint[g]
		q := naive(x[i], scale, zero, qmin, qmax)
		v := float32(q-zero) * scale
		if codes[i] != q || fq[i] != v || deq[i] != v || int32(mid[i]) != q-zero || dx[i] != naiveSTE(x[i], dy[i], scale, zero, qmin, qmax) {
			t.Fatalf("%v of %v: element %d: code %d, value %v, want %d and %v", s, shape, i, codes[i], fq[i], q, v)
		}
	}
}

func TestInPlace(t *testing.T) {
	x, dy := []float32{-3, 0.4, 1, 200}, []float32{1, 2, 3, 4}
	l, p := one(t, 4), Params{[]float32{1}, []int32{0}}
	if err := STE(dy, x, dy, l, Spec{}, p); err != nil || dy[2] != 3 || dy[3] != 0 {
		t.Errorf("STE in place: %v, %v", dy, err)
	}
	if err := FakeQuantize(x, x, l, Spec{}, p); err != nil || x[1] != 0 || x[3] != 127 {
		t.Errorf("FakeQuantize in place: %v, %v", x, err)
	}
}

func TestWrongLengths(t *testing.T) {
	l, p, bad := one(t, 4), Params{[]float32{1}, []int32{0}}, Params{[]float32{1, 1}, []int32{0, 0}}
	f3, f4, i3, i4, m3, m4 := make([]float32, 3), make([]float32, 4), make([]int8, 3), make([]int8, 4), make([]int16, 3), make([]int16, 4)
	tests := []struct {
		name string
		err  error
	}{
		{"Quantize result", Quantize(i3, f4, l, Spec{}, p)},
		{"Quantize input", Quantize(i4, f3, l, Spec{}, p)},
		{"Quantize parameters", Quantize(i4, f4, l, Spec{}, bad)},
		{"Dequantize result", Dequantize(f3, i4, l, Spec{}, p)},
		{"Dequantize input", Dequantize(f4, i3, l, Spec{}, p)},
		{"FakeQuantize result", FakeQuantize(f3, f4, l, Spec{}, p)},
		{"FakeQuantize parameters", FakeQuantize(f4, f4, l, Spec{}, Params{})},
		{"STE result", STE(f3, f4, f4, l, Spec{}, p)},
		{"STE input", STE(f4, f3, f4, l, Spec{}, p)},
		{"STE gradient", STE(f4, f4, f3, l, Spec{}, p)},
		{"Centred result", Centred(m3, f4, l, Spec{}, p)},
		{"Centred parameters", Centred(m4, f4, l, Spec{}, bad)},
		{"int8 for uint8 codes", Quantize(i4, f4, l, Spec{Unsigned: true}, p)},
		{"uint8 for int8 codes", Quantize(make([]uint8, 4), f4, l, Spec{}, p)},
		{"values of uint8 codes in int8", Dequantize(f4, i4, l, Spec{Unsigned: true}, p)},
	}
	for _, tt := range tests {
		if !errors.Is(tt.err, ErrParams) {
			t.Errorf("%s: %v, want ErrParams", tt.name, tt.err)
		}
	}
	if err := Quantize(i4, f4, l, Spec{Bits: 7, Unsigned: true}, p); err != nil {
		t.Errorf("int8 holds uint7: %v", err)
	}
}

func FuzzQuantize(f *testing.F) {
	for i, x := range special {
		f.Add(x, someScales[i%len(someScales)], uint8(i), uint8(i))
	}
	f.Add(float32(63.5), float32(1), uint8(24), uint8(64))
	specs := allSpecs()
	f.Fuzz(func(t *testing.T, x, scale float32, format, zero uint8) {
		s := specs[int(format)%len(specs)]
		qmin, qmax := s.QRange()
		z := qmin + int32(zero)%(qmax-qmin+1)
		p := Params{[]float32{scale}, []int32{z}}
		if p.Check(s, 1) != nil { // not a scale: refused, never a panic
			if err := Quantize(make([]int32, 1), []float32{x}, one(t, 1), s, p); !errors.Is(err, ErrParams) {
				t.Fatalf("scale %v: %v, want ErrParams", scale, err)
			}
			return
		}
		checkAll(t, s, scale, z, []float32{x})
	})
}
