package fakequant

import (
	"bytes"
	"errors"
	"slices"
	"testing"
)

func TestPack4Bytes(t *testing.T) {
	tests := []struct {
		codes  []int32
		signed bool
		want   []byte
	}{
		{nil, true, []byte{}},
		{[]int32{-1}, true, []byte{0x0f}},
		{[]int32{1, 2, 3}, true, []byte{0x21, 0x03}},
		{[]int32{-8, 7, -1, 0}, true, []byte{0x78, 0x0f}},
		{[]int32{15, 0, 9, 8}, false, []byte{0x0f, 0x89}},
	}
	for _, tt := range tests {
		got, err := Pack4(tt.codes)
		if err != nil || !bytes.Equal(got, tt.want) || len(got) != PackedLen(len(tt.codes)) {
			t.Errorf("%v: %x, %v, want %x", tt.codes, got, err, tt.want)
		}
		back := make([]int32, len(tt.codes))
		if err := Unpack4(back, got, tt.signed); err != nil || !slices.Equal(back, tt.codes) {
			t.Errorf("%x: %v, %v, want %v", got, back, err, tt.codes)
		}
	}
}

// All pairs of codes, with a third behind them so that odd lengths occur.
func TestPack4AllPairs(t *testing.T) {
	for a := int8(-8); a < 8; a++ {
		for b := int8(-8); b < 8; b++ {
			checkPack(t, []int8{a, b}, true)
			checkPack(t, []int8{a, b, a}, true)
			checkPack(t, []uint8{uint8(a + 8), uint8(b + 8)}, false)
			checkPack(t, []uint8{uint8(a + 8), uint8(b + 8), uint8(a + 8)}, false)
		}
	}
}

func checkPack[C Code](t *testing.T, codes []C, signed bool) {
	t.Helper()
	packed, err := Pack4(codes)
	if err != nil {
		t.Fatal(err)
	}
	back := make([]C, len(codes))
	if err := Unpack4(back, packed, signed); err != nil || !slices.Equal(back, codes) {
		t.Errorf("%v came back as %v, %v", codes, back, err)
	}
}

func TestPack4Refuses(t *testing.T) {
	for _, c := range []int32{-9, 16, 127, -128, 1 << 20} {
		if _, err := Pack4([]int32{0, c}); !errors.Is(err, ErrParams) {
			t.Errorf("code %d: %v, want ErrParams", c, err)
		}
	}
	for _, tt := range []struct {
		n      int
		packed []byte
	}{
		{1, nil}, {0, []byte{0}}, {2, []byte{0, 0}}, {3, []byte{0}}, {3, []byte{0, 0x10}}, {1, []byte{0xf0}},
	} {
		if err := Unpack4(make([]int8, tt.n), tt.packed, true); !errors.Is(err, ErrParams) {
			t.Errorf("%d codes from %x: %v, want ErrParams", tt.n, tt.packed, err)
		}
	}
}

// FuzzUnpack4: bytes either are refused or are exactly what packing their codes
// gives.
func FuzzUnpack4(f *testing.F) {
	f.Add([]byte{0x78, 0x0f}, false, true)
	f.Add([]byte{0x78, 0x0f}, true, false)
	f.Add([]byte{0xf0}, true, true)
	f.Add([]byte{}, true, true)
	f.Fuzz(func(t *testing.T, packed []byte, odd, signed bool) {
		n := 2 * len(packed)
		if odd {
			n = max(n-1, 0)
		}
		codes := make([]int16, n)
		if err := Unpack4(codes, packed, signed); err != nil {
			if !odd || len(packed) > 0 && packed[len(packed)-1]>>4 == 0 {
				t.Fatalf("refused %x as %d codes: %v", packed, n, err)
			}
			return
		}
		again, err := Pack4(codes)
		if err != nil || !bytes.Equal(again, packed) {
			t.Fatalf("%x unpacked to %v, packed to %x, %v", packed, codes, again, err)
		}
	})
}

func TestPacked(t *testing.T) {
	for bits := 0; bits <= 8; bits++ {
		s := Spec{Bits: bits}
		if got, want := s.Packed(), bits > 0 && bits <= 4; got != want {
			t.Errorf("codes of %d bits (0: the default) share a byte: %t, want %t", bits, got, want)
		}
	}
}
