package frozen

// This file says how codes move where a layer computes nothing.

import (
	"fmt"

	"github.com/goqat/goqat/internal/kern"
	"github.com/goqat/goqat/internal/nn"
)

// moveCodes computes layers whose real numbers are each that of one input code.
// Shapes are checked. Biased codes have the order of the real numbers, so maxima are
// maxima of codes. Without tables all tensors share one grid; tables say what each
// input's codes become in the result's.
func moveCodes(s *state, op nn.Op, tables []*[256]uint8, inputs []int, out *value) error {
	if x := &s.vals[inputs[0]]; tables != nil && nn.TraitsOf(op).Copies {
		kern.MapCodes(s.threads, out.codes, x.codes, tables[0])
		return nil
	}
	in := make([]nn.Tensor[uint8], len(inputs))
	for i, t := range inputs {
		x := &s.vals[t]
		in[i] = nn.Tensor[uint8]{Shape: x.shape, Data: x.codes}
		if tables != nil && len(inputs) > 1 { // each has a table of its own
			in[i].Data = take(&s.codes, len(x.codes))
			kern.MapCodes(s.threads, in[i].Data, x.codes, tables[i])
		}
	}
	if !nn.MoveCodes(s.threads, op, nn.Tensor[uint8]{Shape: out.shape, Data: out.codes}, in) {
		return fmt.Errorf("%w: %s does not pass codes on", ErrNetwork, op.Kind())
	}
	switch {
	case tables == nil:
	case len(inputs) == 1:
		kern.MapCodes(s.threads, out.codes, out.codes, tables[0])
	default:
		for i := range in {
			s.codes = append(s.codes, in[i].Data)
		}
	}
	return nil
}
