package frozen

import (
	"fmt"

	"github.com/goqat/goqat/internal/kern"
	"github.com/goqat/goqat/internal/nn"
)

// moveCodes computes layers whose real numbers are each that of one input code.
// Shapes are checked. Biased codes have the order of the real numbers, so maxima are
// maxima of codes. Without tables all tensors share one grid; tables say what each
// input's codes become in the result's.
func moveCodes(s *state, op Op, tables []*[256]uint8, inputs []int, out *value) error {
	x := &s.vals[inputs[0]]
	switch o := op.(type) {
	case Reshape, Dropout:
		if tables != nil {
			kern.MapCodes(s.threads, out.codes, x.codes, tables[0])
			return nil
		}
		copy(out.codes, x.codes)
		return nil
	case Pool:
		nn.MaxPoolCodes(s.threads, o, out.codes, x.codes, out.shape, x.shape)
	case Transpose:
		transpose(o, out, x)
	case Slice:
		slice(o, out, x)
	case Concat:
		concat(s, o, out, inputs, tables)
		return nil
	default:
		return fmt.Errorf("%w: %s does not pass codes on", ErrNetwork, op.Kind())
	}
	if tables != nil {
		kern.MapCodes(s.threads, out.codes, out.codes, tables[0])
	}
	return nil
}

// transpose walks the output in order and jumps through the input.
func transpose(o Transpose, out, x *value) {
	stride := make([]int, len(x.shape)) // of the input, per output axis
	for i, p := range o.Perm {
		stride[i] = elements(x.shape[p+1:])
	}
	index := make([]int, len(stride))
	at := 0
	for i := range out.codes {
		out.codes[i] = x.codes[at]
		for d := len(index) - 1; d >= 0; d-- {
			at += stride[d]
			if index[d]++; index[d] < out.shape[d] {
				break
			}
			at -= stride[d] * out.shape[d]
			index[d] = 0
		}
	}
}

// slice copies every Step-th group of elements behind the axis. It counts, because
// Step may be so large that adding it overflows.
func slice(o Slice, out, x *value) {
	inner, to := elements(x.shape[o.Axis+1:]), 0
	rows := elements(x.shape[:o.Axis])
	count := len(out.codes) / (rows * inner)
	for row := range rows {
		for i := range count {
			at := row*x.shape[o.Axis] + o.Start + i*o.Step
			to += copy(out.codes[to:], x.codes[at*inner:][:inner])
		}
	}
}

// concat copies a stretch of each input in turn.
func concat(s *state, o Concat, out *value, inputs []int, tables []*[256]uint8) {
	to := 0
	for row := range elements(out.shape[:o.Axis]) {
		for i, t := range inputs {
			x := &s.vals[t]
			n := elements(x.shape[o.Axis:])
			dst, src := out.codes[to:][:n], x.codes[row*n:][:n]
			if tables == nil {
				copy(dst, src)
			} else {
				kern.MapCodes(s.threads, dst, src, tables[i])
			}
			to += n
		}
	}
}
