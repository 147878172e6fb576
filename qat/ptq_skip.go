package qat

import (
	"math"

	"github.com/goqat/goqat/internal/graph"
)

// smallestWeight is the least number of elements that Core ML Tools' weight passes
// compress at all, where a threshold is set (CO/_quantization_passes.py).
const smallestWeight = 10

// skipWeights says why weights of n elements had better stay float; empty if not. Core
// ML Tools' passes skip the same: fewer than 10 elements, and any infinity, whose range
// would leave nothing of the others.
func (l *layer) skipWeights(n int) string {
	if l.cfg.Weights.WeightThreshold > 0 && n < smallestWeight {
		return "fewer than 10 weights save nothing"
	}
	if l.in[1].Role == graph.Activation {
		return "" // computed: not known before the network runs
	}
	w, err := l.in[1].Floats()
	if err != nil {
		return "" // the reader or the graph says so elsewhere
	}
	for _, v := range w {
		if math.IsInf(float64(v), 0) {
			return "its weights hold an infinity"
		}
	}
	return ""
}
