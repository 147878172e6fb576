// Package safetensors reads and writes safetensors files: named tensors behind a
// JSON header.
//
//	8 bytes  N, little endian
//	N bytes  UTF-8 JSON: name -> {"dtype", "shape", "data_offsets": [begin, end)},
//	         and optionally "__metadata__": text -> text
//	rest     the tensors' elements, row-major, little endian; offsets count from here
//
// The reader accepts what the format's reference implementation accepts (Hugging
// Face, safetensors/src/tensor.rs) and is stricter where that is lenient: keys may
// not come twice, and there are no other keys. Nothing that a header claims is
// believed before it is checked against the file's size, so hostile files cost no
// more memory than their own length.
package safetensors

import (
	"errors"
	"fmt"
	"math"
	"unicode/utf8"
)

// ErrFormat is wrapped by every error about a file or a tensor that breaks the
// format's rules. Errors of the underlying reader or writer are wrapped as they are.
var ErrFormat = errors.New("invalid safetensors")

// MaxHeader is the largest header allowed, in bytes; the reference
// implementation's number.
const MaxHeader = 100_000_000

// metadataKey is the header key that is no tensor.
const metadataKey = "__metadata__"

// DType is the element type of a tensor, by its name in files. There is no 4-bit
// integer: such codes are packed into U8.
type DType string

// The element types. All but the F4 and F6 formats take whole bytes.
const (
	Bool       DType = "BOOL"
	F4         DType = "F4"
	F6E2M3     DType = "F6_E2M3"
	F6E3M2     DType = "F6_E3M2"
	U8         DType = "U8"
	I8         DType = "I8"
	F8E5M2     DType = "F8_E5M2"
	F8E4M3     DType = "F8_E4M3"
	F8E8M0     DType = "F8_E8M0"
	F8E4M3FNUZ DType = "F8_E4M3FNUZ"
	F8E5M2FNUZ DType = "F8_E5M2FNUZ"
	I16        DType = "I16"
	U16        DType = "U16"
	F16        DType = "F16"
	BF16       DType = "BF16"
	I32        DType = "I32"
	U32        DType = "U32"
	F32        DType = "F32"
	C64        DType = "C64"
	F64        DType = "F64"
	I64        DType = "I64"
	U64        DType = "U64"
)

var dtypeBits = map[DType]int{
	F4: 4, F6E2M3: 6, F6E3M2: 6,
	Bool: 8, U8: 8, I8: 8, F8E5M2: 8, F8E4M3: 8, F8E8M0: 8, F8E4M3FNUZ: 8, F8E5M2FNUZ: 8,
	I16: 16, U16: 16, F16: 16, BF16: 16,
	I32: 32, U32: 32, F32: 32,
	C64: 64, F64: 64, I64: 64, U64: 64,
}

// Bits returns the size of one element in bits, 0 for an unknown type.
func (d DType) Bits() int { return dtypeBits[d] }

// Tensor is a tensor in memory, ready to be written.
type Tensor struct {
	Name  string
	DType DType
	// Shape holds the dimensions, none negative. The empty shape is a scalar.
	Shape []int
	// Data holds the elements, row-major and little endian: the product of Shape
	// times the type's size.
	Data []byte
}

// byteSize returns the bytes that a tensor takes, and an error, which the
// caller wraps, for an unknown type, a negative dimension, a size beyond int64 or
// a number of bits that does not fill its last byte.
func byteSize(d DType, shape []int) (int64, error) {
	bits := int64(d.Bits())
	if bits == 0 {
		return 0, fmt.Errorf("unknown dtype %s", quote(string(d)))
	}
	n := bits
	for i, dim := range shape {
		if dim < 0 {
			return 0, fmt.Errorf("dimension %d is %d: want at least 0", i, dim)
		}
		if dim > 0 && n > math.MaxInt64/int64(dim) {
			return 0, fmt.Errorf("shape %s of %s is too large: its size overflows", shapeText(shape), d)
		}
		n *= int64(dim)
	}
	if n%8 != 0 {
		return 0, fmt.Errorf("shape %s of %s takes %d bits: want whole bytes", shapeText(shape), d, n)
	}
	return n / 8, nil
}

// maxShown is how much of a file's own text an error repeats.
const maxShown = 60

// quote returns s in quotes, cut where it is long.
func quote(s string) string {
	if utf8.RuneCountInString(s) > maxShown {
		return fmt.Sprintf("%q…", string([]rune(s)[:maxShown]))
	}
	return fmt.Sprintf("%q", s)
}

// shapeText is a shape as text, cut where it is long.
func shapeText(shape []int) string {
	if len(shape) > maxShown {
		return fmt.Sprintf("%v… of %d dimensions", shape[:maxShown], len(shape))
	}
	return fmt.Sprint(shape)
}
