package ops

import (
	"fmt"

	"github.com/goqat/goqat/internal/kern"
	"github.com/goqat/goqat/internal/nn"
	"github.com/goqat/goqat/internal/par"
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
	s := Spec{Label: "cross_entropy", Out: []int{}, Kernel: &crossEntropy{}, Again: func(in ...*gorgonia.Node) (*gorgonia.Node, error) {
		if len(in) != 2 {
			return nil, fmt.Errorf("ops: cross_entropy: %d operands, want 2", len(in))
		}
		return CrossEntropy(in[0], in[1])
	}}
	return New(s, logits, labels)
}

// crossEntropy keeps memory between runs.
type crossEntropy struct {
	losses []float64 // of each row
}

// expGrain is the number of exponentials that are worth a goroutine: some 4 µs.
const expGrain = 1 << 12

// eachRow calls fn for every row of x with its largest element, in parallel.
func eachRow[F nn.Float](x nn.Tensor[F], fn func(i int, row []F, peak F)) {
	classes := x.Shape[1]
	block := max(1, expGrain/classes)
	par.For(x.Shape[0], block, func(lo, hi int) {
		peaks := kern.Scratch[F](block)
		defer kern.Return(peaks)
		for ; lo < hi; lo += block {
			end := min(hi, lo+block)
			kern.RowExtreme((*peaks)[:end-lo], x.Data[lo*classes:end*classes], classes, false)
			for i := lo; i < end; i++ {
				fn(i, x.Data[i*classes:][:classes], (*peaks)[i-lo])
			}
		}
	})
}

func (k *crossEntropy) Forward(out Tensor, in []Tensor) error {
	classes := in[0].Shape[1]
	for i, l := range in[1].Int {
		if l < 0 || l >= classes {
			return fmt.Errorf("label %d of row %d is not in 0..%d", l, i, classes-1)
		}
	}
	k.losses = sized(k.losses, len(in[1].Int))
	if out.F64 != nil {
		out.F64[0] = ceForward(k.losses, in[0].T64(), in[1].Int)
	} else {
		out.F32[0] = float32(ceForward(k.losses, in[0].T32(), in[1].Int))
	}
	return nil
}

func ceForward[F nn.Float](losses []float64, x nn.Tensor[F], labels []int) float64 {
	eachRow(x, func(i int, row []F, peak F) {
		losses[i] = kern.LogOf(kern.ExpSum(nil, row, peak)) + float64(peak) - float64(row[labels[i]])
	})
	total := 0.0
	for _, l := range losses {
		total += l
	}
	return total / float64(len(labels))
}

func (k *crossEntropy) Backward(grads, in []Tensor, _, dout Tensor) error {
	if dout.F64 != nil {
		ceBackward(grads[0].F64, in[0].T64(), in[1].Int, dout.F64[0])
	} else {
		ceBackward(grads[0].F32, in[0].T32(), in[1].Int, float64(dout.F32[0]))
	}
	return nil
}

// ceBackward: dx = (softmax(x) - onehot(label))·dout/rows.
func ceBackward[F nn.Float](dx []F, x nn.Tensor[F], labels []int, dout float64) {
	classes := x.Shape[1]
	scale := dout / float64(len(labels))
	eachRow(x, func(i int, row []F, peak F) {
		d := dx[i*classes:][:classes]
		sum := kern.ExpSum(d, row, peak)
		hit := F((float64(d[labels[i]])/sum - 1) * scale)
		kern.MulOne(d, d, F(scale/sum))
		d[labels[i]] = hit
	})
}
