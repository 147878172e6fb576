package ops

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// Float32 is x, a node of whole numbers, as float32: indices on their way into a network.
// Numbers beyond ±2²⁴, which float32 does not have, are an error when it runs.
func Float32(x *gorgonia.Node) (*gorgonia.Node, error) {
	if err := present("float32", x); err != nil {
		return nil, err
	}
	if dt := x.Dtype(); dt != tensor.Int && dt != tensor.Int32 && dt != tensor.Int64 {
		return nil, fmt.Errorf("ops: float32: the operand is %v, want int, int32 or int64", dt)
	}
	s := Spec{Label: "float32", Out: x.Shape(), Of: tensor.Float32, Diff: []bool{false}, Kernel: toFloat{}}
	s.Again = func(in ...*gorgonia.Node) (*gorgonia.Node, error) {
		if len(in) != 1 {
			return nil, fmt.Errorf("ops: float32: %d operands, want 1", len(in))
		}
		return Float32(in[0])
	}
	return New(s, x)
}

type toFloat struct{}

func (toFloat) Forward(out Tensor, in []Tensor) error {
	const maxWhole = 1 << 24
	for i, v := range in[0].Int {
		if v > maxWhole || v < -maxWhole {
			return fmt.Errorf("element %d is %d: float32 has every whole number only up to %d", i, v, maxWhole)
		}
		out.F32[i] = float32(v)
	}
	return nil
}

func (toFloat) Backward([]Tensor, []Tensor, Tensor, Tensor) error { return nil }
