package ops

import (
	"fmt"

	"github.com/goqat/goqat/internal/kern"
	"github.com/goqat/goqat/internal/nn"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// The three ops below are a batch normalisation folded into the layer before it,
// while it is still being trained (Krishnamoorthi 2018, section 3.2.2, and
// PyTorch's _ConvBnNd): the weights are scaled by the running statistics, so that
// what is quantized is what will ship, and the result is scaled back and
// normalised with the statistics of the batch.
//
//	f  = gamma / sqrt(running_var + eps)
//	a  = conv(x, quantize(w * f))
//	y  = batchnorm(a/f + bias)                        live
//	y  = a + (beta + (bias - running_mean) * f)       frozen or evaluated

// FoldScale returns f, [C]. In a training graph whose statistics are live, |f| is
// at least 2^-10, so that a gamma of 0 does not divide by zero later.
func FoldScale(gamma *gorgonia.Node, st *BNState, training bool) (*gorgonia.Node, error) {
	if err := perChannel("fold_scale", st, gamma); err != nil {
		return nil, err
	}
	s := Spec{Label: "fold_scale", Out: gamma.Shape(), Kernel: &foldScale{st: st, training: training}}
	return New(s, gamma)
}

// perChannel checks that all nodes are there and have one element per channel.
func perChannel(label string, st *BNState, vectors ...*gorgonia.Node) error {
	if err := present(label, vectors...); err != nil {
		return err
	}
	for i, v := range vectors {
		if !v.Shape().Eq(tensor.Shape{len(st.Mean)}) {
			return fmt.Errorf("ops: %s: vector %d, node %q, has shape %v, want one element for each of %d channels",
				label, i, v.Name(), v.Shape(), len(st.Mean))
		}
	}
	return nil
}

type foldScale struct {
	st       *BNState
	training bool
	// slope is df/dgamma of the last Forward, 0 where f stands still at the floor.
	// Between the two passes the batch normalisation behind moves the statistics.
	slope []float64
}

func (k *foldScale) Forward(out Tensor, in []Tensor) error {
	floor := 0.0
	if k.training && !k.st.Frozen() {
		floor = foldFloor
	}
	k.slope = sized(k.slope, len(k.st.Mean))
	if out.F64 != nil {
		kern.BatchFold(out.F64, k.slope, in[0].F64, k.st.Variance, k.st.Eps, floor)
	} else {
		kern.BatchFold(out.F32, k.slope, in[0].F32, k.st.Variance, k.st.Eps, floor)
	}
	return nil
}

func (k *foldScale) Backward(grads, _ []Tensor, _, dout Tensor) error {
	if dout.F64 != nil {
		foldScaleBackward(k, grads[0].F64, dout.F64)
	} else {
		foldScaleBackward(k, grads[0].F32, dout.F32)
	}
	return nil
}

func foldScaleBackward[F nn.Float](k *foldScale, dgamma, df []F) {
	for c := range dgamma {
		dgamma[c] = F(float64(df[c]) * k.slope[c])
	}
}

// FoldBias returns beta + (bias - running_mean) * f, [C], the bias of a folded
// layer; bias may be nil for none.
func FoldBias(f, beta, bias *gorgonia.Node, st *BNState) (*gorgonia.Node, error) {
	in := []*gorgonia.Node{f, beta}
	if bias != nil {
		in = append(in, bias)
	}
	if err := perChannel("fold_bias", st, in...); err != nil {
		return nil, err
	}
	return New(Spec{Label: "fold_bias", Out: f.Shape(), Kernel: &foldBias{st: st}}, in...)
}

type foldBias struct{ st *BNState }

func (k *foldBias) Forward(out Tensor, in []Tensor) error {
	if out.F64 != nil {
		foldedBias(k.st, out.F64, in[0].F64, in[1].F64, optional(in, 2).F64)
	} else {
		foldedBias(k.st, out.F32, in[0].F32, in[1].F32, optional(in, 2).F32)
	}
	return nil
}

func (k *foldBias) Backward(grads, in []Tensor, _, dout Tensor) error {
	if dout.F64 != nil {
		foldedBiasBackward(k.st, all64(grads), all64(in), dout.F64)
	} else {
		foldedBiasBackward(k.st, all32(grads), all32(in), dout.F32)
	}
	return nil
}

func optional(in []Tensor, i int) Tensor {
	if i < len(in) {
		return in[i]
	}
	return Tensor{}
}

// foldedBias is the one spelling of the folded bias.
func foldedBias[F nn.Float](st *BNState, out, f, beta, bias []F) {
	for c := range out {
		d := -F(st.Mean[c])
		if bias != nil {
			d += bias[c]
		}
		out[c] = beta[c] + F(d*f[c])
	}
}

// foldedBiasBackward: inputs f, beta and perhaps bias.
func foldedBiasBackward[F nn.Float](st *BNState, grads, in []nn.Tensor[F], dout []F) {
	f := in[0].Data
	for c, d := range dout {
		shift := -F(st.Mean[c])
		if len(in) > 2 {
			shift += in[2].Data[c]
			if grads[2].Data != nil {
				grads[2].Data[c] = d * f[c]
			}
		}
		if grads[0].Data != nil {
			grads[0].Data[c] = d * shift
		}
		if grads[1].Data != nil {
			grads[1].Data[c] = d
		}
	}
}

// Unfold is the last step of a folded layer in a training graph: a [N,C,...] is the
// product with the scaled weights. bias may be nil. Live, it computes
// batchnorm(a/f + bias) and updates the running statistics; frozen, a plus the
// folded bias.
func Unfold(a, f, gamma, beta, bias *gorgonia.Node, st *BNState) (*gorgonia.Node, error) {
	if err := present("unfold", a); err != nil {
		return nil, err
	}
	shape := []int(a.Shape())
	if len(shape) < 2 || shape[1] != len(st.Mean) {
		return nil, fmt.Errorf("ops: unfold: shape %v has no axis 1 of %d channels", shape, len(st.Mean))
	}
	in := []*gorgonia.Node{a, f, gamma, beta}
	if bias != nil {
		in = append(in, bias)
	}
	if err := perChannel("unfold", st, in[1:]...); err != nil {
		return nil, err
	}
	return New(Spec{Label: "batch_norm (folded)", Out: shape, State: st, Kernel: &finish{act: nn.Everything, norm: &norm{st: st, folded: true, training: true}}}, in...)
}

// sized returns a slice of n elements of any content: s, if it has as many.
func sized[T any](s []T, n int) []T {
	if len(s) != n {
		return make([]T, n)
	}
	return s
}
