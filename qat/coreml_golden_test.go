package qat_test

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/qat"
	"github.com/goqat/goqat/qat/qconfig"
	"github.com/goqat/goqat/testdata"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// goldenScaleTol is the relative difference of scales: Core ML Tools computes some in
// another order of operations, two roundings of 2^-24 and the last digit printed.
const goldenScaleTol = 2e-7

// coreMLCase is a case of coremltools9: a weight tensor quantized by Core ML Tools 9.0.
type coreMLCase struct {
	Tool, Tensor string
	Config       json.RawMessage
	Scale        []float32 // nil: left float
	ZeroPoint    []int32   `json:"zero_point"` // nil: all 0
	Codes        []int32
}

// Why a case may differ from Core ML Tools. The golden files' README has the reasons.
const (
	sameCodes     = "same"
	zerosAlone    = "scale of zeros"          // 0 there, divided by; ZeroScale here
	middleOfUint8 = "middle of uint8"         // zero point 128 there, 127 here
	tiedZero      = "zero point on a tie"     // one off, the same values to half a step
	tiedCodes     = "codes on ties"           // they multiply by 1/scale
	shortBlock    = "block that is cut short" // left float there
)

// TestCoreMLGolden quantizes every weight tensor as Core ML Tools does and counts what
// differs and why. Anything else than these classes fails.
func TestCoreMLGolden(t *testing.T) {
	var file struct {
		Tensors map[string]struct {
			Shape []int
			Data  []float32
		}
		Cases []coreMLCase
	}
	if err := testdata.GoldenFile("coremltools9", &file); err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	for i, c := range file.Cases {
		w := file.Tensors[c.Tensor]
		got := frozenWeights(t, c, w.Shape, w.Data)
		class := compareCoreML(c, w.Data, got)
		if class == "" {
			t.Errorf("case %d: %s, %s, %s: scales %v and zero points %v, want %v and %v", i, c.Tool, c.Tensor, c.Config,
				head(got.scale), head(got.zero), head(c.Scale), head(c.ZeroPoint))
		}
		count[class]++
	}
	want := map[string]int{sameCodes: 601, zerosAlone: 50, middleOfUint8: 32, tiedZero: 19, tiedCodes: 8, shortBlock: 11}
	for class, n := range count {
		if want[class] != n {
			t.Errorf("%s: %d cases, want %d", class, n, want[class])
		}
	}
}

func head[T any](s []T) []T { return s[:min(len(s), 4)] }

// quantized are weights with one scale and zero point an element.
type quantized struct {
	scale []float32
	zero  []int32
	codes []int32
	short bool // a last block is shorter
}

// frozenWeights quantizes the weights of a convolution as the case's config says, by one
// step of training.
func frozenWeights(t *testing.T, c coreMLCase, shape []int, data []float32) quantized {
	t.Helper()
	cfg, err := qconfig.ReadJSON(strings.NewReader(string(c.Config)))
	if err != nil {
		t.Fatal(err)
	}
	g := gorgonia.NewGraph()
	x := gorgonia.NewTensor(g, tensor.Float32, 4, gorgonia.WithShape(1, shape[1], shape[2], shape[3]), gorgonia.WithName("x"))
	w := gorgonia.NewTensor(g, tensor.Float32, 4, gorgonia.WithShape(shape...), gorgonia.WithName("w"),
		gorgonia.WithValue(tensor.New(tensor.WithShape(shape...), tensor.WithBacking(slices.Clone(data)))))
	y := gorgonia.Must(gorgonia.Conv2d(x, w, tensor.Shape{shape[2], shape[3]}, []int{0, 0}, []int{1, 1}, []int{1, 1}))
	m, err := qat.Prepare(g, cfg, y)
	if err != nil {
		t.Fatal(err)
	}
	vm, err := m.Machine()
	if err != nil {
		t.Fatal(err)
	}
	defer vm.Close()
	in := make([]float32, shape[1]*shape[2]*shape[3])
	for i := range in {
		in[i] = float32(i%7) - 3
	}
	if err := m.Step(); err != nil {
		t.Fatal(err)
	}
	if err := gorgonia.Let(m.InputNodes()[0], tensor.New(tensor.WithShape(1, shape[1], shape[2], shape[3]), tensor.WithBacking(in))); err != nil {
		t.Fatal(err)
	}
	if err := vm.RunAll(); err != nil {
		t.Fatal(err)
	}
	fz, err := m.Freeze()
	if err != nil {
		t.Fatal(err)
	}
	for i := range fz.Tensors {
		k := &fz.Tensors[i]
		if k.Const == nil || !slices.Equal(k.Shape, shape) {
			continue
		}
		if k.Quant == nil {
			return quantized{}
		}
		codes, err := k.Codes()
		if err != nil {
			t.Fatal(err)
		}
		l, err := k.Quant.Spec.Layout(shape)
		if err != nil {
			t.Fatal(err)
		}
		s := k.Quant.Spec
		q := quantized{codes: codes, scale: make([]float32, len(codes)), zero: make([]int32, len(codes)),
			short: s.Granularity == fakequant.PerBlock && shape[1]%s.BlockSize != 0}
		l.Runs(func(lo, hi, group, step int) {
			for i := lo; i < hi; i++ {
				at := group + (i-lo)*step
				q.scale[i], q.zero[i] = k.Quant.Params.Scale[at], k.Quant.Params.ZeroPoint[at]
			}
		})
		return q
	}
	t.Fatal("no weights in the frozen network")
	return quantized{}
}

// compareCoreML returns the class of a case, "" for a difference that has none.
func compareCoreML(c coreMLCase, x []float32, got quantized) string {
	if c.Scale == nil {
		if got.short {
			return shortBlock
		}
		if got.scale == nil {
			return sameCodes
		}
		return ""
	}
	if got.scale == nil {
		return ""
	}
	class := sameCodes
	per := len(x) / len(c.Scale) // scales of these tensors lie in the order of the elements
	for i := range x {
		scale, zero := c.Scale[i/per], int32(0)
		if c.ZeroPoint != nil {
			zero = c.ZeroPoint[i/per]
		}
		if scale == 0 {
			if got.scale[i] != fakequant.ZeroScale || got.codes[i] != got.zero[i] {
				return ""
			}
			class = zerosAlone
			continue
		}
		if d := math.Abs(float64(got.scale[i]) - float64(scale)); d > goldenScaleTol*float64(scale) && d > math.SmallestNonzeroFloat32 {
			return ""
		}
		shift := got.zero[i] - zero
		diff := got.codes[i] - c.Codes[i] - shift
		switch {
		case shift == 0 && diff == 0:
		case shift == -1 && zero == 128 && (diff == 0 || saturates(got.codes[i], c.Codes[i])):
			class = middleOfUint8
		case shift == 1 || shift == -1:
			if diff != 0 && !saturates(got.codes[i], c.Codes[i]) && !tie(x[i], scale) {
				return ""
			}
			class = tiedZero
		case shift == 0 && (diff == 1 || diff == -1) && tie(x[i], scale):
			if class == sameCodes {
				class = tiedCodes
			}
		default:
			return ""
		}
	}
	return class
}

// tie reports whether x lies half-way between two codes, to within the rounding of the
// two ways to divide.
func tie(x, scale float32) bool {
	v := float64(x) / float64(scale)
	frac := math.Abs(v - math.Floor(v) - 0.5)
	return frac <= math.Abs(v)*0x1p-22
}

// saturates reports whether one of two codes is an end of a range of 4 or 8 bits.
func saturates(a, b int32) bool {
	ends := []int32{-128, -127, 127, 0, 255, -8, -7, 7, 15}
	return slices.Contains(ends, a) || slices.Contains(ends, b)
}
