package exact

import (
	"fmt"
	"slices"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/internal/nn"
)

// WeightScales says how the second operand of an integer product is scaled.
type WeightScales struct {
	// Scale has one element, or channels*Blocks, channel-major.
	Scale []float32
	// Blocks cut the summed axis, each BlockSize long but for the last, which may
	// be shorter; 1 and 0 without blocks.
	Blocks, BlockSize int
}

// ScalesOf brings the scales of the weight called name, in fakequant's group order,
// into the channel-major order of integer products. It fails when the weight
// is not scaled along the output channels and the summed axis, because then
// no integer sum exists. op is a sum of products. Without blocks the scales are those of q, not a copy.
func ScalesOf(op nn.Op, name string, shape []int, q Quant) (WeightScales, error) {
	p, s := q.Params, q.Spec
	if s.Granularity == fakequant.PerTensor {
		return WeightScales{p.Scale[:1], 1, 0}, nil
	}
	out, in := nn.TraitsOf(op).Weights.Axes(len(shape))
	axis := s.Axis
	if axis < 0 {
		axis += len(shape)
	}
	if s.Granularity == fakequant.PerChannel {
		if axis != out {
			return WeightScales{}, fmt.Errorf("weight %q is quantized per channel of axis %d: an integer %s wants the output channels, axis %d",
				name, axis, op.Kind(), out)
		}
		return WeightScales{p.Scale, 1, 0}, nil
	}
	if axis != in || len(shape) > 2 && out != 0 {
		return WeightScales{}, fmt.Errorf("weight %q of shape %v has blocks on axis %d: an integer %s wants them on axis %d and one matrix",
			name, shape, axis, op.Kind(), in)
	}
	channels := shape[out]
	r := WeightScales{slices.Clone(p.Scale), len(p.Scale) / channels, s.BlockSize}
	if out > in { // [K,N]: the scales are [blocks, N]
		for c := range channels {
			for b := range r.Blocks {
				r.Scale[c*r.Blocks+b] = p.Scale[b*channels+c]
			}
		}
	}
	return r, nil
}
