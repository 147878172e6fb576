package frozen

import (
	"fmt"
	"slices"

	"github.com/goqat/goqat/fakequant"
)

// Mode says what a layer computes with. It follows from the tensors alone, and it
// is part of the definition of the network: training computes the same way.
type Mode uint8

const (
	// Float dequantizes what is quantized and computes in float32. A quantized
	// weight beside a float x (weight-only quantization) is dequantized once.
	Float Mode = iota
	// Integer sums exact products of centred codes (convolution and matrix product
	// with two quantized operands) or exact codes (average pools), and scales the
	// sums.
	Integer
	// Codes moves codes and no numbers: max pooling, reshape, transpose, slice,
	// concat and dropout whose inputs and result share one grid.
	Codes
)

func (m Mode) String() string {
	switch m {
	case Float:
		return "float"
	case Integer:
		return "integer"
	case Codes:
		return "codes"
	}
	return fmt.Sprintf("Mode(%d)", uint8(m))
}

// Mode returns what layer i computes with. The network must be valid and i an
// index into Layers.
func (n *Network) Mode(i int) Mode {
	l := &n.Layers[i]
	switch op := l.Op.(type) {
	case Conv, MatMul:
		if n.Tensors[l.Inputs[0]].Quant != nil && n.Tensors[l.Inputs[1]].Quant != nil {
			return Integer
		}
	case GlobalAvgPool:
		return n.averageMode(l)
	case Pool:
		if op.Average {
			return n.averageMode(l)
		}
		return n.passMode(l)
	case Reshape, Transpose, Slice, Concat, Dropout:
		return n.passMode(l)
	}
	return Float
}

func (n *Network) averageMode(l *Layer) Mode {
	if n.Tensors[l.Inputs[0]].Quant.perTensor() {
		return Integer
	}
	return Float
}

// passMode is Codes when inputs and result have the same grid.
func (n *Network) passMode(l *Layer) Mode {
	out := n.Tensors[l.Output].Quant
	if l.Act != nil || !out.perTensor() {
		return Float
	}
	for _, i := range l.Inputs {
		if q := n.Tensors[i].Quant; !q.perTensor() || q.grid() != out.grid() {
			return Float
		}
	}
	return Codes
}

// weightScales says how the second operand of an integer product is scaled.
type weightScales struct {
	// scale has one element, or channels*blocks, channel-major.
	scale []float32
	// blocks cut the summed axis, each blockSize long but for the last, which may
	// be shorter; 1 and 0 without blocks.
	blocks, blockSize int
}

// scalesOf brings the scales of w, in fakequant's group order, into the
// channel-major order of integer products. It fails when w is not scaled along
// the output channels and the summed axis, because then no integer sum exists.
func scalesOf(op Op, w *Tensor) (weightScales, error) {
	p, s := w.Quant.Params, w.Quant.Spec
	if s.Granularity == fakequant.PerTensor {
		return weightScales{p.Scale[:1], 1, 0}, nil
	}
	out, in := productAxes(op, len(w.Shape))
	axis := s.Axis
	if axis < 0 {
		axis += len(w.Shape)
	}
	if s.Granularity == fakequant.PerChannel {
		if axis != out {
			return weightScales{}, fmt.Errorf("%w: weight %q is quantized per channel of axis %d: an integer %s wants the output channels, axis %d",
				ErrNetwork, w.Name, axis, op.Kind(), out)
		}
		return weightScales{p.Scale, 1, 0}, nil
	}
	if axis != in || len(w.Shape) > 2 && out != 0 {
		return weightScales{}, fmt.Errorf("%w: weight %q of shape %v has blocks on axis %d: an integer %s wants them on axis %d and one matrix",
			ErrNetwork, w.Name, w.Shape, axis, op.Kind(), in)
	}
	channels := w.Shape[out]
	r := weightScales{slices.Clone(p.Scale), len(p.Scale) / channels, s.BlockSize}
	if out > in { // [K,N]: the scales are [blocks, N]
		for c := range channels {
			for b := range r.blocks {
				r.scale[c*r.blocks+b] = p.Scale[b*channels+c]
			}
		}
	}
	return r, nil
}

// productAxes returns the output-channel axis and the summed axis of a weight.
func productAxes(op Op, rank int) (out, in int) {
	if m, ok := op.(MatMul); ok {
		if m.TransB {
			return rank - 2, rank - 1
		}
		return rank - 1, rank - 2
	}
	return 0, 1
}
