package weights

import (
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"

	"github.com/goqat/goqat/internal/atomicfile"
	"github.com/goqat/goqat/internal/safetensors"
	"gorgonia.org/gorgonia"
)

// DType is an element type of a file.
type DType string

// The element types that can be written. The empty one is that of the node.
const (
	F64  DType = "F64"
	F32  DType = "F32"
	F16  DType = "F16"
	BF16 DType = "BF16"
)

// WriteOptions are the settings of [Write]. The zero value is fine.
type WriteOptions struct {
	// DType is the type of all tensors in the file. Empty: F32 and F64 as the nodes are.
	// Numbers are rounded to the nearest, half to even.
	DType DType
	// Metadata are texts that go with the tensors. May be nil.
	Metadata map[string]string
}

// Write writes the values of the nodes, leaves of float32 or float64 with different
// names, as a safetensors file under these names. Equal values give equal bytes,
// whatever the order. It fails before it writes: wrapping ErrNodes for a node without
// value, ErrWeights for a number that is not finite or too large for the type,
// ErrOptions for an unknown type. Errors of w are wrapped.
func Write(w io.Writer, nodes gorgonia.Nodes, opt WriteOptions) error {
	slots, err := slotsOf(nodes)
	if err != nil {
		return fmt.Errorf("weights: write: %w", err)
	}
	if err := write(w, slots, opt); err != nil {
		return fmt.Errorf("weights: write: %w", err)
	}
	return nil
}

// WriteFile is Write to a file, which appears complete or not at all.
func WriteFile(path string, nodes gorgonia.Nodes, opt WriteOptions) error {
	err := atomicfile.WriteFile(path, func(w io.Writer) error { return Write(w, nodes, opt) })
	if err != nil {
		return fmt.Errorf("weights: %w", err)
	}
	return nil
}

func write(w io.Writer, slots map[string]*slot, opt WriteOptions) error {
	switch opt.DType {
	case "", F64, F32, F16, BF16:
	default:
		return fmt.Errorf("%w: DType %q: want F64, F32, F16 or BF16", ErrOptions, opt.DType)
	}
	var ts []safetensors.Tensor
	for _, s := range sorted(slots) {
		v, err := s.values()
		if err != nil {
			return err
		}
		t := safetensors.Tensor{Name: s.name, DType: safetensors.DType(opt.DType), Shape: s.shape}
		if t.DType == "" {
			t.DType = safetensors.F32
			if v.f64 != nil {
				t.DType = safetensors.F64
			}
		}
		if t.Data, err = encode(t.DType, v); err != nil {
			return fmt.Errorf("node %q: %w", s.name, err)
		}
		ts = append(ts, t)
	}
	return safetensors.Write(w, ts, opt.Metadata)
}

// encode returns the elements in little endian.
func encode(d safetensors.DType, v numbers) ([]byte, error) {
	if i := v.notFinite(); i >= 0 {
		return nil, fmt.Errorf("%w: element %d is not finite", ErrWeights, i)
	}
	out := make([]byte, 0, (len(v.f32)+len(v.f64))*d.Bits()/8)
	add := func(i int, x float64) error {
		ok := true
		switch d {
		case safetensors.F64:
			out = binary.LittleEndian.AppendUint64(out, math.Float64bits(x))
		case safetensors.F32:
			y := float32(x)
			ok = !math.IsInf(float64(y), 0)
			out = binary.LittleEndian.AppendUint32(out, math.Float32bits(y))
		default:
			bits, fits := uint16(0), false
			if d == safetensors.F16 {
				bits, fits = narrow(x, 10, -24, 0x7c00)
			} else {
				bits, fits = narrow(x, 7, -133, 0x7f80)
			}
			ok, out = fits, binary.LittleEndian.AppendUint16(out, bits)
		}
		if !ok {
			return fmt.Errorf("%w: element %d is %v, too large for %s", ErrWeights, i, x, d)
		}
		return nil
	}
	for i, x := range v.f32 {
		if err := add(i, float64(x)); err != nil {
			return nil, err
		}
	}
	for i, x := range v.f64 {
		if err := add(i, x); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// narrow rounds a finite x to a 16-bit float with the given number of fraction bits,
// half to even. smallest is the exponent of its smallest denormal number and infinite
// the bits of infinity. It reports whether the result is finite.
func narrow(x float64, fraction, smallest int, infinite uint16) (bits uint16, ok bool) {
	if math.Signbit(x) {
		bits, x = 0x8000, -x
	}
	if x == 0 {
		return bits, true // it has no exponent
	}
	_, exp := math.Frexp(x) // x is below 2^exp, and at least half of it
	step := max(exp-1-fraction, smallest)
	steps := math.RoundToEven(math.Ldexp(x, -step))
	// A normal number has 2^fraction steps and more, a denormal one fewer; both, and a
	// carry into the next exponent, add up to the right bits.
	mag := math.Ldexp(float64(step-smallest), fraction) + steps
	if mag >= float64(infinite) {
		return 0, false
	}
	return bits | uint16(mag), true
}

// sorted returns the slots in the order of their names.
func sorted(slots map[string]*slot) []*slot {
	out := make([]*slot, 0, len(slots))
	for _, name := range slices.Sorted(maps.Keys(slots)) {
		out = append(out, slots[name])
	}
	return out
}
