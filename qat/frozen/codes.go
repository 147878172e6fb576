package frozen

import (
	"fmt"
	"slices"

	"github.com/goqat/goqat/internal/kern"
	"github.com/goqat/goqat/internal/nn"
	"github.com/goqat/goqat/internal/par"
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
		transpose(s, o, out, x)
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

// transpose copies rows where the last axis stays, and transposes matrices of the axis
// that becomes the last one and the axis that was it.
func transpose(s *state, o Transpose, out, x *value) {
	own := make([]int, len(x.shape)) // strides of the input
	n := 1
	for i := len(own) - 1; i >= 0; i-- {
		own[i] = n
		n *= x.shape[i]
	}
	dims, from := joinAxes(o.Perm, x.shape, own)
	last := len(dims) - 1
	if from[last] == 1 || n == 0 {
		row := dims[last]
		eachPlace(s, dims[:last], from[:last], row, func(i, at int) { copy(out.codes[i*row:][:row], x.codes[at:]) })
		return
	}
	across := slices.Index(from, 1) // the input's last axis
	to := 1                         // its stride in the output
	for _, d := range dims[across+1:] {
		to *= d
	}
	rows, cols, behind := dims[last], dims[across], to/dims[last]
	dims[across] = (cols-1)/transposeCols + 1 // each place is a part of a matrix
	from[across] = transposeCols
	eachPlace(s, dims[:last], from[:last], rows*min(cols, transposeCols), func(i, at int) {
		before, part := i/behind/dims[across], i/behind%dims[across]
		col := part * transposeCols
		start := (before*cols+col)*to + i%behind*rows
		kern.TransposeCodes(out.codes[start:], to, x.codes[at:], from[last], rows, min(transposeCols, cols-col))
	})
}

// transposeCols is the number of columns of a matrix that one goroutine takes at a time.
const transposeCols = 256

// joinAxes returns the output's axes with their strides in the input, without those of
// size 1, and joins neighbours that stay neighbours. There is at least one axis.
func joinAxes(perm, shape, own []int) (dims, from []int) {
	for _, p := range perm {
		d, s := shape[p], own[p]
		last := len(dims) - 1
		switch {
		case d == 1:
		case last >= 0 && from[last] == s*d:
			dims[last], from[last] = dims[last]*d, s
		default:
			dims, from = append(dims, d), append(from, s)
		}
	}
	if len(dims) == 0 {
		return []int{1}, []int{1}
	}
	return dims, from
}

// eachPlace calls fn, in parallel, for every index of dims with its number and with the
// sum of its strides; a call moves so many bytes.
func eachPlace(s *state, dims, stride []int, bytes int, fn func(i, at int)) {
	par.ForN(s.threads, elements(dims), max(1, grain/max(1, bytes)), func(lo, hi int) {
		for i := lo; i < hi; i++ {
			at, rest := 0, i
			for d := len(dims) - 1; d >= 0; d-- {
				at, rest = at+rest%dims[d]*stride[d], rest/dims[d]
			}
			fn(i, at)
		}
	})
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
