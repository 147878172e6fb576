package ops

import (
	"fmt"
	"math"

	"github.com/goqat/goqat/internal/nn"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// CrossEntropy is the mean over the rows of -log softmax(logits)[label], a scalar.
// logits is [B,C], labels [B] of dtype Int with values 0..C-1.
func CrossEntropy(logits, labels *gorgonia.Node) (*gorgonia.Node, error) {
	if err := present("cross_entropy", logits, labels); err != nil {
		return nil, err
	}
	switch ls := logits.Shape(); {
	case ls.Dims() != 2 || ls[1] < 1:
		return nil, fmt.Errorf("ops: cross_entropy: logits have shape %v, want [batch, classes]", ls)
	case labels.Dtype() != tensor.Int:
		return nil, fmt.Errorf("ops: cross_entropy: labels are %v, want Int", labels.Dtype())
	case !labels.Shape().Eq(tensor.Shape{ls[0]}):
		return nil, fmt.Errorf("ops: cross_entropy: labels have shape %v for logits %v", labels.Shape(), ls)
	}
	s := Spec{Label: "cross_entropy", Out: []int{}, Kernel: crossEntropy{}, Again: func(in ...*gorgonia.Node) (*gorgonia.Node, error) {
		if len(in) != 2 {
			return nil, fmt.Errorf("ops: cross_entropy: %d operands, want 2", len(in))
		}
		return CrossEntropy(in[0], in[1])
	}}
	return New(s, logits, labels)
}

type crossEntropy struct{}

func (crossEntropy) Forward(out Tensor, in []Tensor) error {
	classes := in[0].Shape[1]
	for i, l := range in[1].Int {
		if l < 0 || l >= classes {
			return fmt.Errorf("label %d of row %d is not in 0..%d", l, i, classes-1)
		}
	}
	if out.F64 != nil {
		out.F64[0] = ceForward(in[0].T64(), in[1].Int)
	} else {
		out.F32[0] = float32(ceForward(in[0].T32(), in[1].Int))
	}
	return nil
}

func ceForward[F nn.Float](x nn.Tensor[F], labels []int) float64 {
	classes, total := x.Shape[1], 0.0
	for i, l := range labels {
		row := x.Data[i*classes : (i+1)*classes]
		peak, sum := logSum(row)
		total += math.Log(sum) + peak - float64(row[l])
	}
	return total / float64(len(labels))
}

// logSum returns the largest value and the sum of exp(v - largest).
func logSum[F nn.Float](row []F) (peak, sum float64) {
	peak = float64(row[0])
	for _, v := range row[1:] {
		peak = max(peak, float64(v))
	}
	for _, v := range row {
		sum += math.Exp(float64(v) - peak)
	}
	return peak, sum
}

func (crossEntropy) Backward(grads, in []Tensor, _, dout Tensor) error {
	if dout.F64 != nil {
		ceBackward(grads[0].F64, in[0].T64(), in[1].Int, dout.F64[0])
	} else {
		ceBackward(grads[0].F32, in[0].T32(), in[1].Int, float64(dout.F32[0]))
	}
	return nil
}

func ceBackward[F nn.Float](dx []F, x nn.Tensor[F], labels []int, dout float64) {
	classes := x.Shape[1]
	scale := dout / float64(len(labels))
	for i, l := range labels {
		row := x.Data[i*classes : (i+1)*classes]
		peak, sum := logSum(row)
		for j, v := range row {
			p := math.Exp(float64(v)-peak) / sum
			if j == l {
				p--
			}
			dx[i*classes+j] = F(p * scale)
		}
	}
}
