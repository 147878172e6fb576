package fakequant

import (
	"errors"
	"fmt"
	"testing"
)

// allSpecs lists every width, signedness, range and scheme, per tensor.
func allSpecs() []Spec {
	var out []Spec
	for bits := MinBits; bits <= MaxBits; bits++ {
		for _, unsigned := range []bool{false, true} {
			for _, narrow := range []bool{false, true} {
				for _, scheme := range []Scheme{Symmetric, Affine} {
					out = append(out, Spec{Bits: bits, Unsigned: unsigned, NarrowRange: narrow, Scheme: scheme})
				}
			}
		}
	}
	return out
}

func TestQRange(t *testing.T) {
	tests := []struct {
		bits       int
		signed     [2]int32
		narrow     [2]int32
		unsigned   [2]int32
		narrowUint [2]int32
	}{
		{2, [2]int32{-2, 1}, [2]int32{-1, 1}, [2]int32{0, 3}, [2]int32{0, 2}},
		{3, [2]int32{-4, 3}, [2]int32{-3, 3}, [2]int32{0, 7}, [2]int32{0, 6}},
		{4, [2]int32{-8, 7}, [2]int32{-7, 7}, [2]int32{0, 15}, [2]int32{0, 14}},
		{5, [2]int32{-16, 15}, [2]int32{-15, 15}, [2]int32{0, 31}, [2]int32{0, 30}},
		{6, [2]int32{-32, 31}, [2]int32{-31, 31}, [2]int32{0, 63}, [2]int32{0, 62}},
		{7, [2]int32{-64, 63}, [2]int32{-63, 63}, [2]int32{0, 127}, [2]int32{0, 126}},
		{8, [2]int32{-128, 127}, [2]int32{-127, 127}, [2]int32{0, 255}, [2]int32{0, 254}},
		{0, [2]int32{-128, 127}, [2]int32{-127, 127}, [2]int32{0, 255}, [2]int32{0, 254}},
	}
	for _, tt := range tests {
		for _, c := range []struct {
			s    Spec
			want [2]int32
		}{
			{Spec{Bits: tt.bits}, tt.signed},
			{Spec{Bits: tt.bits, NarrowRange: true}, tt.narrow},
			{Spec{Bits: tt.bits, Unsigned: true}, tt.unsigned},
			{Spec{Bits: tt.bits, Unsigned: true, NarrowRange: true}, tt.narrowUint},
		} {
			if qmin, qmax := c.s.QRange(); qmin != c.want[0] || qmax != c.want[1] {
				t.Errorf("%v: %d..%d, want %d..%d", c.s, qmin, qmax, c.want[0], c.want[1])
			}
			if err := c.s.Validate(); err != nil {
				t.Errorf("%v: %v", c.s, err)
			}
		}
	}
}

func TestValidateRefuses(t *testing.T) {
	tests := []struct {
		name string
		s    Spec
	}{
		{"1 bit", Spec{Bits: 1}},
		{"9 bits", Spec{Bits: 9}},
		{"-1 bits", Spec{Bits: -1}},
		{"scheme", Spec{Scheme: Affine + 1}},
		{"granularity", Spec{Granularity: PerBlock + 1}},
		{"no block size", Spec{Granularity: PerBlock}},
		{"negative block size", Spec{Granularity: PerBlock, BlockSize: -1}},
		{"block size per tensor", Spec{BlockSize: 32}},
		{"block size per channel", Spec{Granularity: PerChannel, BlockSize: 32}},
	}
	for _, tt := range tests {
		if err := tt.s.Validate(); !errors.Is(err, ErrSpec) {
			t.Errorf("%s: Validate: %v, want ErrSpec", tt.name, err)
		}
		if _, err := tt.s.Layout([]int{64}); !errors.Is(err, ErrSpec) {
			t.Errorf("%s: Layout: %v, want ErrSpec", tt.name, err)
		}
		if _, err := ParamsFromRange(tt.s, []float32{0}, []float32{1}, false); !errors.Is(err, ErrSpec) {
			t.Errorf("%s: ParamsFromRange: %v, want ErrSpec", tt.name, err)
		}
		if _, err := New("q", tt.s, nil, false); !errors.Is(err, ErrSpec) {
			t.Errorf("%s: New: %v, want ErrSpec", tt.name, err)
		}
		// None of these may panic, whatever they return.
		_, _ = tt.s.QRange()
		_, _ = tt.s.DType(), tt.s.String()
		if err := (Params{Scale: []float32{1}, ZeroPoint: []int32{0}}).Check(tt.s, 1); !errors.Is(err, ErrSpec) {
			t.Errorf("%s: Check: %v, want ErrSpec", tt.name, err)
		}
	}
}

func TestSpecText(t *testing.T) {
	tests := []struct {
		v    fmt.Stringer
		want string
	}{
		{Spec{}, "int8 symmetric per_tensor"},
		{Spec{Bits: 4, NarrowRange: true, Granularity: PerBlock, Axis: 1, BlockSize: 32}, "int4 symmetric per_block(axis 1, 32) narrow"},
		{Spec{Bits: 3, Unsigned: true, Scheme: Affine, Granularity: PerChannel, Axis: -1}, "uint3 affine per_channel(axis -1)"},
		{Scheme(9), "Scheme(9)"},
		{Granularity(9), "Granularity(9)"},
		{Phase(9), "Phase(9)"},
		{ObservingAndQuantizing, "observing+quantizing"},
	}
	for _, tt := range tests {
		if got := tt.v.String(); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}

func TestLayerError(t *testing.T) {
	for _, tt := range []struct {
		part, want string
	}{
		{"", `layer "fc": invalid data`},
		{"weight", `layer "fc" (weight): invalid data`},
	} {
		err := error(&LayerError{Layer: "fc", Part: tt.part, Err: ErrData})
		if err.Error() != tt.want || !errors.Is(err, ErrData) {
			t.Errorf("got %q, want %q", err, tt.want)
		}
	}
}
