package fqop

import (
	"fmt"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/internal/mem"
	"github.com/goqat/goqat/internal/ops"
	"gorgonia.org/gorgonia"
)

// Learned is [At] in training mode for a quantizer whose parameters are learned
// (see [fakequant.Quantizer.Learn]). params are the logarithm of the scale over where it
// started, a vector with one element per group, and for affine formats the zero point
// likewise, as float. The zero point gets the LSQ gradient of
// [fakequant.Site.BackwardLearned], the logarithm that of the scale times the scale, by
// the chain rule, also where the scale is at its bound. Bind them to the
// memory that Learn returned; other memory is copied there at each run. perRow
// says that axis 0 of x is the batch.
func Learned(x *gorgonia.Node, site *fakequant.Site, perRow bool, params ...*gorgonia.Node) (*gorgonia.Node, error) {
	q := site.Quantizer()
	if err := check(x, q); err != nil {
		return nil, err
	}
	want := 1
	if q.Spec().Scheme == fakequant.Affine {
		want = 2
	}
	if !q.Learned() || len(params) != want {
		return nil, &fakequant.LayerError{Layer: q.Name(),
			Err: fmt.Errorf("%w: %d learned parameters, want %d of a quantizer that learns", fakequant.ErrParams, len(params), want)}
	}
	return ops.New(ops.Spec{
		Label:  "fake_quantize " + q.Name() + " (learned)",
		What:   "fake_quantize",
		Out:    x.Shape(),
		Kernel: learnedKernel{site, perRow},
	}, append([]*gorgonia.Node{x}, params...)...)
}

type learnedKernel struct {
	site   *fakequant.Site
	perRow bool
}

func (k learnedKernel) Forward(out ops.Tensor, in []ops.Tensor) error {
	var zero []float32
	if len(in) > 2 {
		zero = in[2].F32
	}
	if err := k.site.Quantizer().SetLearned(in[1].F32, zero); err != nil {
		return err
	}
	return k.site.Forward(out.F32, in[0].F32, out.Shape)
}

// Facts: backward the site works in place.
func (learnedKernel) Facts(operands int) (forward, backward mem.Facts) {
	return forward, mem.Facts{Over: []int{operands + 1}}
}

func (k learnedKernel) Backward(grads, in []ops.Tensor, _, dout ops.Tensor) error {
	var dzero []float32
	if len(grads) > 2 {
		dzero = grads[2].F32
	}
	dlog := grads[1].F32
	if err := k.site.BackwardLearned(grads[0].F32, dlog, dzero, in[0].F32, dout.F32, dout.Shape, k.perRow); err != nil {
		return err
	}
	if p, ok := k.site.Used(); ok {
		for g := range dlog {
			dlog[g] *= p.Scale[g]
		}
	}
	return nil
}
