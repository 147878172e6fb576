package fakequant

import (
	"encoding/json"
	"errors"
	"math"
	"slices"
	"testing"
)

// The table of Core ML Tools: scale, zero point and codes of small tensors. Full
// range is its training quantizer, narrow range its data-free one. All exact.
func TestCoreMLNumbers(t *testing.T) {
	unit, relu6, corner := []float32{-1, -.5, 0, .25, 1}, []float32{0, 1, 6}, []float32{-2, -10, 6, -3}
	tests := []struct {
		name  string
		s     Spec
		x     []float32
		scale float32
		zero  int32
		codes []int32
	}{
		{"int8 symmetric", Spec{}, unit, 0.0078431377, 0, []int32{-127, -64, 0, 32, 127}},
		{"uint8 symmetric", Spec{Unsigned: true}, unit, 0.0078431377, 127, []int32{0, 63, 127, 159, 254}},
		{"uint8 affine", Spec{Unsigned: true, Scheme: Affine}, unit, 0.0078431377, 127, []int32{0, 63, 127, 159, 254}},
		{"int8 affine", Spec{Scheme: Affine}, unit, 0.0078431377, -1, []int32{-128, -65, -1, 31, 126}},
		{"int4 symmetric", Spec{Bits: 4}, unit, 0.13333334, 0, []int32{-7, -4, 0, 2, 7}},
		{"uint4 symmetric", Spec{Bits: 4, Unsigned: true}, unit, 0.13333334, 7, []int32{0, 3, 7, 9, 14}},
		{"int4 symmetric, tie to even", Spec{Bits: 4}, corner, 1.3333334, 0, []int32{-2, -8, 4, -2}},
		{"int4 affine", Spec{Bits: 4, Scheme: Affine}, corner, 1.0666667, 1, []int32{-1, -8, 7, -2}},
		{"uint8 affine after ReLU6", Spec{Unsigned: true, Scheme: Affine}, relu6, 0.023529412, 0, []int32{0, 42, 255}},
		{"int8 narrow", Spec{NarrowRange: true}, unit, 0.0078740157, 0, []int32{-127, -64, 0, 32, 127}},
		{"uint8 narrow", Spec{Unsigned: true, NarrowRange: true}, unit, 0.0078740157, 127, []int32{0, 63, 127, 159, 254}},
		{"int4 narrow, almost a tie", Spec{Bits: 4, NarrowRange: true}, unit, 0.14285715, 0, []int32{-7, -3, 0, 2, 7}},
		{"uint4 narrow", Spec{Bits: 4, Unsigned: true, NarrowRange: true}, unit, 0.14285715, 7, []int32{0, 4, 7, 9, 14}},
		{"int8 all zero", Spec{}, []float32{0, 0}, ZeroScale, 0, []int32{0, 0}},
		{"uint8 affine all zero", Spec{Unsigned: true, Scheme: Affine}, []float32{0, 0}, ZeroScale, 0, []int32{0, 0}},
		{"int8 affine all zero", Spec{Scheme: Affine}, []float32{0, 0}, ZeroScale, -128, []int32{-128, -128}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l, p := fit(t, tt.s, []int{len(tt.x)}, tt.x)
			if p.Scale[0] != tt.scale || p.ZeroPoint[0] != tt.zero {
				t.Errorf("scale %v, zero point %d, want %v and %d", p.Scale[0], p.ZeroPoint[0], tt.scale, tt.zero)
			}
			codes := make([]int32, len(tt.x))
			if err := Quantize(codes, tt.x, l, tt.s, p); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(codes, tt.codes) {
				t.Errorf("codes %v, want %v", codes, tt.codes)
			}
		})
	}
}

// Three rows of the same table have zero points that ParamsFromRange does not
// choose: PyTorch gives quint8 128 where the middle of 0..255 rounds down to 127,
// and Core ML's data-free affine mode rounds its zero point the other way on a
// tie. With those parameters set, the codes are theirs.
func TestCoreMLCodesOfGivenParams(t *testing.T) {
	x := []float32{-1, -.5, 0, .25, 1}
	l, err := Spec{}.Layout([]int{len(x)})
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name  string
		s     Spec
		zero  int32
		codes []int32
	}{
		{"quint8 symmetric", Spec{Unsigned: true}, 128, []int32{1, 64, 128, 160, 255}},
		{"int8 linear", Spec{Scheme: Affine}, 0, []int32{-127, -64, 0, 32, 127}},
		{"uint8 linear", Spec{Unsigned: true, Scheme: Affine}, 128, []int32{1, 64, 128, 160, 255}},
	}
	for _, tt := range tests {
		codes := make([]int32, len(x))
		if err := Quantize(codes, x, l, tt.s, Params{[]float32{0.0078431377}, []int32{tt.zero}}); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(codes, tt.codes) {
			t.Errorf("%s: codes %v, want %v", tt.name, codes, tt.codes)
		}
	}
}

// fit gives x the parameters of its own range.
func fit(t testing.TB, s Spec, shape []int, x []float32) (Layout, Params) {
	t.Helper()
	l, err := s.Layout(shape)
	if err != nil {
		t.Fatal(err)
	}
	lo, hi := make([]float32, l.Groups()), make([]float32, l.Groups())
	if err := GroupMinMax(lo, hi, x, l); err != nil {
		t.Fatal(err)
	}
	p, err := ParamsFromRange(s, lo, hi, false)
	if err != nil {
		t.Fatal(err)
	}
	return l, p
}

func TestParamsFromRange(t *testing.T) {
	const big = math.MaxFloat32
	u8, i8 := Spec{Unsigned: true}, Spec{}
	floored := Spec{MinScale: 0x1p-23}
	u8a, i8a := Spec{Unsigned: true, Scheme: Affine}, Spec{Scheme: Affine}
	tests := []struct {
		name        string
		s           Spec
		lo, hi      float32
		nonNegative bool
		scale       float32
		zero        int32
	}{
		{"range gains 0 from above", i8a, -5.1, -2, false, 0.02, 127},
		{"range gains 0 from below", i8a, 2, 5.1, false, 0.02, -128},
		{"non-negative gains a bit", u8, 0, 5.1, true, 0.02, 0},
		{"non-negative, data above 0", u8, 1, 5.1, true, 0.02, 0},
		{"non-negative that is negative is as any other", u8, -255, 51, true, 2, 127},
		{"non-negative matters to unsigned only", i8, 0, 255, true, 2, 0},
		{"non-negative affine", u8a, 0, 5.1, true, 0.02, 0},
		{"symmetric takes the larger side", i8, -255, 51, false, 2, 0},
		{"affine zero point rounds half to even, down", u8a, -2.5, 252.5, false, 1, 2},
		{"affine zero point rounds half to even, up", u8a, -3.5, 251.5, false, 1, 4},
		{"tiny range", i8, -1e-30, 1e-30, false, 1e-30 / 127.5, 0},
		{"denormal range", u8a, 1e-45, 3e-45, false, MinScale, 0},
		{"floor", floored, -1e-30, 1e-30, false, 0x1p-23, 0},
		{"smallest scale is not raised", i8, 0, 127.5 * MinScale, false, MinScale, 0},
		{"largest symmetric", i8, -big, big, false, big / 128, 0},
		{"largest narrow, where big/127 rounds up", Spec{NarrowRange: true}, -big, big, false, 2.6793884e+36, 0},
		{"largest affine", i8a, -big, big, false, big / 128, 0},
	}
	for _, tt := range tests {
		p, err := ParamsFromRange(tt.s, []float32{tt.lo}, []float32{tt.hi}, tt.nonNegative)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if p.Scale[0] != tt.scale || p.ZeroPoint[0] != tt.zero {
			t.Errorf("%s: scale %v, zero point %d, want %v and %d", tt.name, p.Scale[0], p.ZeroPoint[0], tt.scale, tt.zero)
		}
	}
}

// Whatever the range, parameters pass their own check, zero is on the grid, and
// every code has a finite value.
func TestParamsFromRangeAlwaysUsable(t *testing.T) {
	const big = math.MaxFloat32
	bounds := []float32{-big, -big / 2, -1e30, -1, -1e-7, -1e-38, -1e-45, 0, 1e-45, 1e-38, 1e-7, 1, 3, 1e30, big / 3, big}
	for _, s := range allSpecs() {
		qmin, qmax := s.QRange()
		for _, lo := range bounds {
			for _, hi := range bounds {
				if lo > hi {
					continue
				}
				for _, nonNegative := range []bool{false, true} {
					p, err := ParamsFromRange(s, []float32{lo}, []float32{hi}, nonNegative)
					if err != nil {
						t.Fatal(err)
					}
					if err := p.Check(s, 1); err != nil || p.Scale[0] < MinScale {
						t.Fatalf("%v (%v, %v): %v, %v", s, lo, hi, p, err)
					}
					for _, q := range []int32{qmin, qmax} {
						if v := float32(q-p.ZeroPoint[0]) * p.Scale[0]; !finite(v) {
							t.Fatalf("%v (%v, %v): code %d is %v", s, lo, hi, q, v)
						}
					}
				}
			}
		}
	}
}

func TestParamsFromRangeRefuses(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	tests := []struct{ lo, hi []float32 }{
		{nil, nil},
		{[]float32{0}, nil},
		{[]float32{0}, []float32{1, 2}},
		{[]float32{1}, []float32{0}},
		{[]float32{nan}, []float32{1}},
		{[]float32{0}, []float32{nan}},
		{[]float32{-inf}, []float32{1}},
		{[]float32{0}, []float32{inf}},
		{[]float32{0, 2}, []float32{1, 1}},
	}
	for _, tt := range tests {
		if p, err := ParamsFromRange(Spec{}, tt.lo, tt.hi, false); !errors.Is(err, ErrParams) {
			t.Errorf("(%v, %v): %v, %v, want ErrParams", tt.lo, tt.hi, p, err)
		}
	}
}

func TestParamsCheck(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	tests := []struct {
		name   string
		p      Params
		groups int
		ok     bool
	}{
		{"good", Params{[]float32{1, 1e-45}, []int32{-8, 7}}, 2, true},
		{"none", Params{}, 1, false},
		{"too many", Params{[]float32{1, 1}, []int32{0, 0}}, 1, false},
		{"fewer zero points", Params{[]float32{1, 1}, []int32{0}}, 2, false},
		{"scale 0", Params{[]float32{0}, []int32{0}}, 1, false},
		{"negative scale", Params{[]float32{-1}, []int32{0}}, 1, false},
		{"NaN", Params{[]float32{nan}, []int32{0}}, 1, false},
		{"infinite", Params{[]float32{inf}, []int32{0}}, 1, false},
		{"zero point below", Params{[]float32{1}, []int32{-9}}, 1, false},
		{"zero point above", Params{[]float32{1}, []int32{8}}, 1, false},
	}
	for _, tt := range tests {
		err := tt.p.Check(Spec{Bits: 4}, tt.groups)
		if tt.ok && err != nil || !tt.ok && !errors.Is(err, ErrParams) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

func TestParamsCloneAndJSON(t *testing.T) {
	p := Params{Scale: []float32{0.1, 1e-45, math.MaxFloat32}, ZeroPoint: []int32{-8, 0, 7}}
	c := p.Clone()
	c.Scale[0], c.ZeroPoint[0] = 9, 9
	if p.Scale[0] != 0.1 || p.ZeroPoint[0] != -8 {
		t.Error("Clone shares memory")
	}
	text, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	var back Params
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(back.Scale, p.Scale) || !slices.Equal(back.ZeroPoint, p.ZeroPoint) {
		t.Errorf("%s came back as %v", text, back)
	}
}
