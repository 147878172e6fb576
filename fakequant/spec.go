package fakequant

import (
	"errors"
	"fmt"
	"math"
	"strings"
)

// Scheme says where the real number zero lies on the integer grid.
type Scheme uint8

const (
	// Symmetric puts zero in the middle of the range: zero point 0 for signed
	// codes, mid-range for unsigned ones. The default.
	Symmetric Scheme = iota
	// Affine fits the grid to the observed (min, max) and lets the zero point move.
	Affine
)

func (s Scheme) String() string {
	switch s {
	case Symmetric:
		return "symmetric"
	case Affine:
		return "affine"
	}
	return fmt.Sprintf("Scheme(%d)", uint8(s))
}

// Granularity says which elements of a tensor share one scale and zero point.
type Granularity uint8

const (
	// PerTensor shares one scale over the whole tensor. The default.
	PerTensor Granularity = iota
	// PerChannel gives each index of Spec.Axis its own scale.
	PerChannel
	// PerBlock cuts Spec.Axis into blocks of Spec.BlockSize elements; each block
	// has its own scale for each index of the channel axis. The channel axis is
	// axis 0, or axis 1 where the blocks lie on axis 0; all further axes share.
	// The last block of a row may be shorter.
	PerBlock
)

func (g Granularity) String() string {
	switch g {
	case PerTensor:
		return "per_tensor"
	case PerChannel:
		return "per_channel"
	case PerBlock:
		return "per_block"
	}
	return fmt.Sprintf("Granularity(%d)", uint8(g))
}

// Bit widths a Spec may have.
const (
	MinBits     = 2
	MaxBits     = 8
	DefaultBits = 8
)

// Spec is a quantization format: how many bits, which integers, which elements
// share parameters. It is a plain value; the zero Spec is int8, symmetric, full
// range, per tensor.
type Spec struct {
	// Bits is the width of a code, 2 to 8. Zero means 8.
	Bits int
	// Unsigned selects codes 0..2^Bits-1 instead of two's complement.
	Unsigned bool
	// NarrowRange drops one code so that the range is symmetric:
	// [-127, 127] for int8, [0, 254] for uint8. The default is the full range.
	NarrowRange bool
	// Scheme is Symmetric (default) or Affine.
	Scheme Scheme
	// Granularity is PerTensor (default), PerChannel or PerBlock.
	Granularity Granularity
	// Axis is the channel axis (PerChannel) or the axis cut into blocks
	// (PerBlock), counted from 0; negative counts from the last axis.
	// Ignored for PerTensor.
	Axis int
	// BlockSize is the number of elements per block along Axis, at least 1.
	// PerBlock only; it must be 0 otherwise.
	BlockSize int
	// MinScale is a floor for scales that are computed from a range, at least 0. The
	// default 0 is none but [MinScale]: ranges of any size keep their precision.
	// PyTorch's observers have 2^-23. It is no part of a file.
	MinScale float32
	// HalfScale restricts scales that are computed to IEEE binary16 values, rounded to
	// the nearest, for formats that store them so. It is no part of a file.
	HalfScale bool
}

// ErrSpec is wrapped by every error about a Spec that contradicts itself or a
// tensor's shape.
var ErrSpec = errors.New("invalid quantization spec")

// Width returns Bits, with the default applied.
func (s Spec) Width() int {
	if s.Bits == 0 {
		return DefaultBits
	}
	return s.Bits
}

// QRange returns the smallest and largest code, quant_min and quant_max, both
// inclusive: -2^(b-1)..2^(b-1)-1 signed, 0..2^b-1 unsigned; a narrow range
// drops the lowest code of a signed and the highest of an unsigned format.
func (s Spec) QRange() (qmin, qmax int32) {
	n := int32(1) << uint32(s.Width()) // unsigned: a width that Validate refuses must not panic
	switch {
	case s.Unsigned && s.NarrowRange:
		return 0, n - 2
	case s.Unsigned:
		return 0, n - 1
	case s.NarrowRange:
		return -(n/2 - 1), n/2 - 1
	}
	return -n / 2, n/2 - 1
}

// Validate reports, wrapped in ErrSpec, the first setting that is out of range
// or contradicts another.
func (s Spec) Validate() error {
	switch {
	case s.Width() < MinBits || s.Width() > MaxBits:
		return fmt.Errorf("%w: %d bits: want %d to %d", ErrSpec, s.Bits, MinBits, MaxBits)
	case s.Scheme > Affine:
		return fmt.Errorf("%w: unknown scheme %v", ErrSpec, s.Scheme)
	case s.Granularity > PerBlock:
		return fmt.Errorf("%w: unknown granularity %v", ErrSpec, s.Granularity)
	case s.Granularity == PerBlock && s.BlockSize < 1:
		return fmt.Errorf("%w: block size %d: per_block wants at least 1", ErrSpec, s.BlockSize)
	case !(s.MinScale >= 0) || !finite(s.MinScale):
		return fmt.Errorf("%w: smallest scale %v: want a finite number of at least 0", ErrSpec, s.MinScale)
	case s.Granularity != PerBlock && s.BlockSize != 0:
		return fmt.Errorf("%w: block size %d with %v: set per_block, or leave the block size 0", ErrSpec, s.BlockSize, s.Granularity)
	}
	return nil
}

// DType returns the name of the code type, such as "int8", "uint4" or "int3".
func (s Spec) DType() string {
	if s.Unsigned {
		return fmt.Sprintf("uint%d", s.Width())
	}
	return fmt.Sprintf("int%d", s.Width())
}

// String describes the spec in one line, e.g.
// "int4 symmetric per_block(axis 1, 32) narrow".
func (s Spec) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %v %v", s.DType(), s.Scheme, s.Granularity)
	switch s.Granularity {
	case PerChannel:
		fmt.Fprintf(&b, "(axis %d)", s.Axis)
	case PerBlock:
		fmt.Fprintf(&b, "(axis %d, %d)", s.Axis, s.BlockSize)
	}
	if s.NarrowRange {
		b.WriteString(" narrow")
	}
	return b.String()
}

// finite is not spelled v-v == 0: where v is a product, processors with fused
// multiply-add may subtract from it before it is rounded.
func finite(v float32) bool { return math.Abs(float64(v)) <= math.MaxFloat32 }
