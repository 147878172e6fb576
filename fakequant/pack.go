package fakequant

import "fmt"

// Packed reports whether codes of s share a byte where they are stored, two to each: those
// of 4 bits and fewer do.
func (s Spec) Packed() bool { return s.Width() <= 4 }

// PackedLen returns the bytes that n 4-bit codes take, two to a byte.
func PackedLen(n int) int { return n/2 + n%2 }

// Pack4 packs 4-bit codes two to a byte over the flattened tensor, the first in
// the low nibble, two's complement for signed codes; an odd last nibble is 0.
// This is byte for byte the layout of ONNX INT4/UINT4 raw data and of Core ML's
// 4-bit blobs. A code outside -8..15 is an error. Pack4
// does not know whether codes are signed: 8 to 15 come back as -8 to -1 from a signed
// Unpack4.
func Pack4[C Code](codes []C) ([]byte, error) {
	out := make([]byte, PackedLen(len(codes)))
	for i, c := range codes {
		if v := int32(c); v < -8 || v > 15 {
			return nil, fmt.Errorf("%w: code %d at %d needs more than 4 bits", ErrParams, v, i)
		}
		out[i/2] |= byte(c) & 15 << (i % 2 * 4)
	}
	return out, nil
}

// Unpack4 writes the codes of a Pack4 result into dst, whose length says how
// many there are; signed codes are sign-extended. It fails when the length of
// packed does not fit len(dst) or the unused last nibble is not 0.
func Unpack4[C Code](dst []C, packed []byte, signed bool) error {
	if len(packed) != PackedLen(len(dst)) {
		return fmt.Errorf("%w: %d bytes for %d packed 4-bit codes, want %d", ErrParams, len(packed), len(dst), PackedLen(len(dst)))
	}
	for i := range dst {
		v := int32(packed[i/2] >> (i % 2 * 4) & 15)
		if signed {
			v = v << 28 >> 28
		}
		dst[i] = C(v)
	}
	if len(dst)%2 == 1 && packed[len(packed)-1]>>4 != 0 {
		return fmt.Errorf("%w: padding nibble after %d codes is not 0", ErrParams, len(dst))
	}
	return nil
}
