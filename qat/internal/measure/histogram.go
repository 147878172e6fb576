package measure

// This file says how values lie on their integer grid.

import (
	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/qat/internal/plan"
	"github.com/goqat/goqat/qat/report"
)

// maxBins bounds a histogram. Below it each code has whole bins of its own.
const maxBins = 64

// newHistogram makes an empty one for a format: several bins per code with few bits,
// several codes per bin with many.
func newHistogram(s fakequant.Spec) *report.Histogram {
	h := &report.Histogram{}
	h.Qmin, h.Qmax = s.QRange()
	codes := int(h.Qmax-h.Qmin) + 1
	bins := codes
	if codes > maxBins {
		bins = maxBins // of equal width, though 255 codes do not divide by it
	} else {
		bins *= maxBins / codes
	}
	h.Counts = make([]int, bins)
	return h
}

// count1 counts one value. Beyond the ends is what lies more than half a step beyond them;
// NaN counts as below, as its code does. The largest element of a tensor lies just half a
// step beyond where its range made the scale, but for the rounding of the scale: 2^-24 of at
// most the width in steps.
func count1(h *report.Histogram, x, scale float32, zero int32) {
	width := float64(h.Qmax-h.Qmin) + 1
	rounding := width * 0x1p-24
	at := float64(x)/float64(scale) + float64(zero-h.Qmin) + 0.5
	switch {
	case !(at >= -rounding):
		h.Below++
	case at > width+rounding:
		h.Above++
	default:
		bin := int(at / width * float64(len(h.Counts)))
		h.Counts[min(max(bin, 0), len(h.Counts)-1)]++
	}
}

// analyse fills the fields of a row that need the elements: float ones and what is
// quantized in their place, usually the same.
func analyse(row *report.Row, float, x []float32, layout fakequant.Layout, s fakequant.Spec, p fakequant.Params, ch channels) error {
	codes := make([]int32, len(x))
	if err := fakequant.Quantize(codes, x, layout, s, p); err != nil {
		return err
	}
	qmin, qmax := s.QRange()
	row.Histogram = newHistogram(s)
	saturated := 0
	layout.Runs(func(lo, hi, group, step int) {
		for i := lo; i < hi; i++ {
			g := group + (i-lo)*step
			count1(row.Histogram, float[i], p.Scale[g], p.ZeroPoint[g])
			if (codes[i] == qmin || codes[i] == qmax) && x[i] != 0 {
				saturated++
			}
			codes[i] -= p.ZeroPoint[g]
		}
	})
	n := float64(len(x))
	row.Saturated = report.Number(float64(saturated) / n)
	row.Clipped = report.Number(float64(row.Histogram.Below+row.Histogram.Above) / n)
	if ch.n > 0 {
		row.Channels, row.Dead = ch.n, ch.dead(codes, ch)
	}
	return nil
}

// channels says how a tensor falls into channels and which of them are dead. The zero
// value is for tensors without.
type channels struct {
	n    int
	of   func(i int) int                     // channel of element i
	dead func(codes []int32, c channels) int // counts the dead; codes are less the zero point
}

// allZero counts the channels whose elements are all zero.
func allZero(codes []int32, ch channels) int {
	alive := make([]bool, ch.n)
	for i, c := range codes {
		if c != 0 {
			alive[ch.of(i)] = true
		}
	}
	return count(alive, false)
}

// allSame counts the channels whose elements are all equal.
func allSame(codes []int32, ch channels) int {
	first := make([]int32, ch.n)
	seen, varies := make([]bool, ch.n), make([]bool, ch.n)
	for i, v := range codes {
		c := ch.of(i)
		if !seen[c] {
			first[c], seen[c] = v, true
		}
		varies[c] = varies[c] || v != first[c]
	}
	return count(varies, false)
}

func count(x []bool, want bool) int {
	n := 0
	for _, v := range x {
		if v == want {
			n++
		}
	}
	return n
}

// channelsOf returns the channels of an activation of the traced shape, given a batch of
// n elements: axis 1 behind a batch axis. There are none in other tensors, and none
// where a channel has too few elements to vary.
func channelsOf(shape []int, batchAxis, n int) channels {
	if batchAxis != 0 || len(shape) < 2 || n < 2*shape[1] {
		return channels{}
	}
	return channels{shape[1], plan.ChannelOf(shape, 1), allSame}
}
