package weights

import (
	"bytes"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/goqat/goqat/internal/safetensors"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// TestRoundTrip: what is saved in a type and loaded is the number rounded to it; a
// second round trip changes nothing.
func TestRoundTrip(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, d := range []DType{"", F64, F32, F16, BF16} {
		for _, wide := range []bool{false, true} {
			g := gorgonia.NewGraph()
			dt := tensor.Float32
			if wide {
				dt = tensor.Float64
			}
			n := gorgonia.NewMatrix(g, dt, gorgonia.WithShape(8, 8), gorgonia.WithName("m"))
			first := numbers{}
			for range 64 {
				x := math.Ldexp(2*rng.Float64()-1, rng.IntN(40)-24)
				if wide {
					first.f64 = append(first.f64, x)
				} else {
					first.f32 = append(first.f32, float32(x))
				}
			}
			must(0, (&slot{shape: []int{8, 8}, node: n, wide: wide}).bind(numbers{slices.Clone(first.f32), slices.Clone(first.f64)}))
			a := saved(t, n, d)
			if _, err := open(a, gorgonia.Nodes{n}, Options{}); err != nil {
				t.Fatalf("%s: %v", d, err)
			}
			if b := saved(t, n, d); !bytes.Equal(a, b) {
				t.Errorf("%s, double %v: the second round trip changes numbers", d, wide)
			}
			checkRounded(t, d, first, n)
		}
	}
}

func saved(t *testing.T, n *gorgonia.Node, d DType) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, gorgonia.Nodes{n}, WriteOptions{DType: d}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// checkRounded compares with the definition of rounding: no number of the type is
// nearer. Numbers of the type are multiples of a step of 2^(exponent-fraction).
func checkRounded(t *testing.T, d DType, first numbers, n *gorgonia.Node) {
	t.Helper()
	fraction := map[DType]int{F64: 52, F32: 23, F16: 10, BF16: 7}
	smallest := map[DType]int{F64: -1074, F32: -149, F16: -24, BF16: -133}
	for i := range 64 {
		var before, after float64
		if first.f32 != nil {
			before, after = float64(first.f32[i]), float64(n.Value().Data().([]float32)[i])
		} else {
			before, after = first.f64[i], n.Value().Data().([]float64)[i]
		}
		if d == "" {
			if after != before {
				t.Errorf("element %d is %v, was %v", i, after, before)
			}
			continue
		}
		_, exp := math.Frexp(before)
		half := math.Ldexp(0.5, max(exp-1-fraction[d], smallest[d]))
		if math.Abs(after-before) > half {
			t.Errorf("%s: element %d is %v, was %v: off by more than half a step", d, i, after, before)
		}
	}
}

// TestNarrow: bits of 16-bit floats at the edges (IEEE 754 binary16, and the upper half
// of binary32).
func TestNarrow(t *testing.T) {
	for _, c := range []struct {
		x         float64
		half, b16 uint16
	}{
		{0, 0, 0}, {math.Copysign(0, -1), 0x8000, 0x8000},
		{1, 0x3c00, 0x3f80}, {-2, 0xc000, 0xc000}, {1.0 / 3, 0x3555, 0x3eab},
		{1 + 0x1p-11, 0x3c00, 0x3f80}, {1 + 0x3p-11, 0x3c02, 0x3f80}, // ties of half go to even
		{1 + 0x1p-8, 0x3c04, 0x3f80}, {1 + 0x3p-8, 0x3c0c, 0x3f82}, // ties of bfloat16
		{2 - 0x1p-12, 0x4000, 0x4000}, // a carry into the exponent
		{0x1p-24, 0x0001, 0x3380}, {0x1p-25, 0x0000, 0x3300}, {0x3p-25, 0x0002, 0x33c0},
		{0x1p-14, 0x0400, 0x3880}, {0x1p-14 - 0x1p-26, 0x0400, 0x3880},
		{65504, 0x7bff, 0x4780}, {65519, 0x7bff, 0x4780},
	} {
		h, ok1 := narrow(c.x, 10, -24, 0x7c00)
		b, ok2 := narrow(c.x, 7, -133, 0x7f80)
		if h != c.half || b != c.b16 || !ok1 || !ok2 {
			t.Errorf("%v: %#04x and %#04x (%v, %v), want %#04x and %#04x", c.x, h, b, ok1, ok2, c.half, c.b16)
		}
	}
	if _, ok := narrow(65520, 10, -24, 0x7c00); ok {
		t.Error("65520 fits F16")
	}
	if _, ok := narrow(math.MaxFloat32, 7, -133, 0x7f80); ok {
		t.Error("the largest float32 fits BF16")
	}
}

// TestHalves: every finite 16-bit pattern is read and written back as it was.
func TestHalves(t *testing.T) {
	for _, d := range []safetensors.DType{safetensors.F16, safetensors.BF16} {
		infinite := map[safetensors.DType]uint16{safetensors.F16: 0x7c00, safetensors.BF16: 0x7f80}[d]
		var bits []uint16
		for b := range 1 << 16 {
			if uint16(b)&0x7fff < infinite {
				bits = append(bits, uint16(b))
			}
		}
		raw := file(bits16("p", d, []int{len(bits)}, bits...))
		n := gorgonia.NewVector(gorgonia.NewGraph(), tensor.Float32, gorgonia.WithShape(len(bits)), gorgonia.WithName("p"))
		if _, err := open(raw, gorgonia.Nodes{n}, Options{}); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(saved(t, n, DType(d)), raw) {
			t.Errorf("%s: bits changed", d)
		}
	}
}

func TestSaveRefuses(t *testing.T) {
	g := gorgonia.NewGraph()
	vector := func(name string, x ...float64) *gorgonia.Node {
		return gorgonia.NewVector(g, tensor.Float64, gorgonia.WithShape(len(x)), gorgonia.WithName(name),
			gorgonia.WithValue(tensor.New(tensor.WithShape(len(x)), tensor.WithBacking(x))))
	}
	empty := gorgonia.NewVector(g, tensor.Float32, gorgonia.WithShape(2), gorgonia.WithName("empty"))
	for _, c := range []struct {
		name string
		n    *gorgonia.Node
		d    DType
		is   error
	}{
		{"no value", empty, "", ErrNodes},
		{"unknown type", vector("a", 1), "I8", ErrOptions},
		{"NaN", vector("b", 1, math.NaN()), "", ErrWeights},
		{"infinity", vector("c", math.Inf(-1)), BF16, ErrWeights},
		{"too large for F32", vector("d", 1e39), F32, ErrWeights},
		{"too large for F16", vector("e", 65520), F16, ErrWeights},
		{"too large for BF16", vector("f", 3.4e38), BF16, ErrWeights},
	} {
		var b bytes.Buffer
		if err := Write(&b, gorgonia.Nodes{c.n}, WriteOptions{DType: c.d}); !errors.Is(err, c.is) || b.Len() > 0 {
			t.Errorf("%s: %v and %d bytes, want %v and none", c.name, err, b.Len(), c.is)
		}
	}
}

// TestSaveIsStable: neither the order of the nodes nor that of the texts counts.
func TestSaveIsStable(t *testing.T) {
	_, _, w, b := small()
	opt := WriteOptions{Metadata: map[string]string{"from": "a test", "format": "pt"}}
	var one, two bytes.Buffer
	must(0, Write(&one, gorgonia.Nodes{w, b}, opt))
	must(0, Write(&two, gorgonia.Nodes{b, w}, opt))
	if !bytes.Equal(one.Bytes(), two.Bytes()) {
		t.Error("the order of the nodes changes the file")
	}
	f := must(safetensors.Read(bytes.NewReader(one.Bytes()), int64(one.Len())))
	if f.Metadata["from"] != "a test" {
		t.Errorf("metadata %v", f.Metadata)
	}
}
