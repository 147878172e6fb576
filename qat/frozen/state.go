package frozen

// This file says what memory one run has.

import (
	"github.com/goqat/goqat/internal/nn"
)

// value is a tensor during a run. A quantized one has biased codes q - quant_min,
// one byte each, and real values beside them once a float layer has asked for them.
type value struct {
	shape  []int
	codes  []uint8
	values []float32
	// own says that the buffers came from the state's and go back there.
	own bool
}

// state is the memory of one run at a time. Buffers go from tensors that nobody
// reads any more to those still to come, and from run to run.
type state struct {
	batch    int
	threads  int
	watch    func(layer int) (done func())
	shapes   [][]int
	vals     []value
	codes    [][]uint8      // free buffers
	values   [][]float32    // free buffers
	products []*nn.IntLayer // of layers whose weights are not constant
}

// take returns a buffer of n elements with any content: the smallest free one
// that is large enough, else a new one.
func take[T any](free *[][]T, n int) []T {
	best := -1
	for i, b := range *free {
		if cap(b) >= n && (best < 0 || cap(b) < cap((*free)[best])) {
			best = i
		}
	}
	if best < 0 {
		return make([]T, n)
	}
	b := (*free)[best][:n]
	last := len(*free) - 1
	(*free)[best] = (*free)[last]
	*free = (*free)[:last]
	return b
}

// release frees the buffers of tensor t.
func (s *state) release(t int) {
	v := &s.vals[t]
	if v.own && v.codes != nil {
		s.codes = append(s.codes, v.codes)
	}
	if v.own && v.values != nil {
		s.values = append(s.values, v.values)
	}
	v.codes, v.values, v.own = nil, nil, false
}

// drop frees everything, also after a run that failed.
func (s *state) drop() {
	s.watch = nil
	for t := range s.vals {
		s.release(t)
	}
}
