package fakequant

import (
	"encoding/json"
	"math"
	"slices"
	"testing"

	"github.com/goqat/goqat/testdata"
)

// numbers is a number or a tensor of numbers in a golden file.
type numbers struct{ testdata.Tensor }

func (n *numbers) UnmarshalJSON(b []byte) error {
	if b[0] == '{' {
		return json.Unmarshal(b, &n.Tensor)
	}
	var f testdata.Float
	err := json.Unmarshal(b, &f)
	n.Tensor = testdata.Tensor{Shape: []int{}, F32: []float32{float32(f)}}
	return err
}

type goldenCase struct {
	Name, DType           string
	Axis                  *int
	Block                 int
	Qmin, Qmax            int32
	Scale                 numbers
	ZeroPoint             numbers `json:"zero_point"`
	X, DY, Y, DX          testdata.Tensor
	YSaturating           testdata.Tensor `json:"y_saturating"`
	DXSaturating          testdata.Tensor `json:"dx_saturating"`
	NearTies              []int           `json:"near_ties"`
	spec                  Spec
	layout                Layout
	params                Params
	codes                 []int32
	gotY, gotDX, unpacked []float32
}

// run applies the package to the case.
func (c *goldenCase) run(t *testing.T) {
	t.Helper()
	names := map[string]Spec{
		"int8": {}, "int8_narrow": {NarrowRange: true}, "uint8": {Unsigned: true},
		"int4": {Bits: 4}, "int4_narrow": {Bits: 4, NarrowRange: true}, "uint4": {Bits: 4, Unsigned: true},
	}
	s, ok := names[c.DType]
	if qmin, qmax := s.QRange(); !ok || qmin != c.Qmin || qmax != c.Qmax {
		t.Fatalf("dtype %q has range %d..%d, want %d..%d", c.DType, qmin, qmax, c.Qmin, c.Qmax)
	}
	switch {
	case c.Block > 0:
		s = cut(s, PerBlock, *c.Axis, c.Block)
	case c.Axis != nil:
		s = cut(s, PerChannel, *c.Axis, 0)
	}
	l, err := s.Layout(c.X.Shape)
	if err != nil {
		t.Fatal(err)
	}
	zero, err := c.ZeroPoint.Ints()
	if err != nil {
		t.Fatal(err)
	}
	p := Params{Scale: c.Scale.F32}
	for _, z := range zero {
		p.ZeroPoint = append(p.ZeroPoint, int32(z))
	}
	if c.Block > 0 && !slices.Equal(l.ParamShape(), c.Scale.Shape) {
		t.Fatalf("scales have shape %v, want %v", l.ParamShape(), c.Scale.Shape)
	}
	n := l.Len()
	c.spec, c.layout, c.params = s, l, p
	c.codes, c.unpacked, c.gotY, c.gotDX = make([]int32, n), make([]float32, n), make([]float32, n), make([]float32, n)
	for _, err := range []error{
		Quantize(c.codes, c.X.F32, l, s, p), Dequantize(c.unpacked, c.codes, l, s, p),
		FakeQuantize(c.gotY, c.X.F32, l, s, p), STE(c.gotDX, c.X.F32, c.DY.F32, l, s, p),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// reciprocal is PyTorch's spelling: it multiplies by the rounded 1/scale.
// It returns the unclamped code.
func reciprocal(x, scale float32, zero int32) float64 {
	inverse := 1 / scale
	return math.RoundToEven(float64(float32(x*inverse))) + float64(zero)
}

// check compares with the golden results. goqat divides and PyTorch multiplies by
// the reciprocal, so the elements listed in near_ties may be one step apart; the
// reciprocal's results are recomputed to know which ones must be.
func (c *goldenCase) check(t *testing.T) (differences int) {
	t.Helper()
	for i, x := range c.X.F32 {
		g := groupOf(c.spec, c.X.Shape, i)
		scale, zero := c.params.Scale[g], c.params.ZeroPoint[g]
		theirs := reciprocal(x, scale, zero)
		clamped := int32(max(min(theirs, float64(c.Qmax)), float64(c.Qmin)))
		inside := theirs >= float64(c.Qmin) && theirs <= float64(c.Qmax)
		wantDX := float32(0)
		if inside {
			wantDX = c.DY.F32[i]
		}
		if c.Y.F32[i] != float32(clamped-zero)*scale || c.DX.F32[i] != wantDX {
			t.Fatalf("element %d: the reference is not what its README says: %v, %v", i, c.Y.F32[i], c.DX.F32[i])
		}
		if c.gotY[i] != c.unpacked[i] {
			t.Errorf("element %d: fake-quantized %v, dequantized %v", i, c.gotY[i], c.unpacked[i])
		}
		if c.gotY[i] == c.Y.F32[i] && c.gotDX[i] == c.DX.F32[i] {
			continue
		}
		differences++
		if !slices.Contains(c.NearTies, i) {
			t.Errorf("element %d: x %v gives %v and %v, want %v and %v", i, x, c.gotY[i], c.gotDX[i], c.Y.F32[i], c.DX.F32[i])
		}
		if d := c.codes[i] - clamped; d < -1 || d > 1 {
			t.Errorf("element %d: x %v has code %d, want %d", i, x, c.codes[i], clamped)
		}
		mine := math.RoundToEven(float64(x/scale)) + float64(zero)
		if d := mine - theirs; d != 1 && d != -1 {
			t.Errorf("element %d: x %v differs without a near tie: %v, want %v", i, x, mine, theirs)
		}
	}
	return differences
}

func TestGolden(t *testing.T) {
	tests := []struct {
		file                    string
		cases, elements, differ int
	}{
		{"fq_per_tensor", 11, 1064, 6},
		{"fq_per_channel", 8, 1534, 37},
		{"fq_per_block", 7, 2272, 0},
	}
	for _, tt := range tests {
		t.Run(tt.file, func(t *testing.T) {
			cases, err := testdata.Golden[goldenCase](tt.file)
			if err != nil {
				t.Fatal(err)
			}
			elements, differ := 0, 0
			for _, c := range cases {
				t.Run(c.Name, func(t *testing.T) {
					c.run(t)
					d := c.check(t)
					if len(c.NearTies) == 0 && d > 0 {
						t.Errorf("%d differences in a case without near ties", d)
					}
					differ += d
					elements += len(c.X.F32)
				})
			}
			if len(cases) != tt.cases || elements != tt.elements || differ != tt.differ {
				t.Errorf("%d cases with %d elements ran and %d differ, want %d, %d and %d",
					len(cases), elements, differ, tt.cases, tt.elements, tt.differ)
			}
		})
	}
}

func TestGoldenExtreme(t *testing.T) {
	cases, err := testdata.Golden[goldenCase]("fq_extreme")
	if err != nil {
		t.Fatal(err)
	}
	nans := 0
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			c.run(t)
			for i, x := range c.X.F32 {
				if c.gotDX[i] != c.DXSaturating.F32[i] {
					t.Errorf("x %v has gradient %v, want %v", x, c.gotDX[i], c.DXSaturating.F32[i])
				}
				want := c.YSaturating.F32[i]
				if x != x { // our answer: quant_min
					nans++
					want = float32(c.Qmin-c.params.ZeroPoint[0]) * c.params.Scale[0]
				}
				if c.gotY[i] != want || c.unpacked[i] != want {
					t.Errorf("x %v becomes %v and %v, want %v", x, c.gotY[i], c.unpacked[i], want)
				}
			}
		})
	}
	if len(cases) != 3 || nans != 3 {
		t.Errorf("%d cases with %d NaN ran, want 3 with 3", len(cases), nans)
	}
}
