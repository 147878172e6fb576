// Package fqop puts fake-quantizers into Gorgonia graphs: nodes that round a
// tensor to the grid of a [fakequant.Quantizer] on the way forward and pass the
// gradient straight through on the way back.
package fqop

import (
	"fmt"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/internal/kern"
	"github.com/goqat/goqat/internal/mem"
	"github.com/goqat/goqat/internal/ops"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// Mode says which of a site's passes a node runs. It is a property of the node,
// where the phase is one of the quantizer: a training graph and an evaluation
// graph may share quantizers.
type Mode fakequant.Pass

const (
	// Train observes and quantizes as the quantizer's phase says.
	Train = Mode(fakequant.PassForward)
	// Eval quantizes as the phase says and never observes.
	Eval = Mode(fakequant.PassEval)
	// Calibrate observes and passes values on, whatever the phase.
	Calibrate = Mode(fakequant.PassCalibrate)
	// Quantized quantizes with the current parameters, whatever the phase.
	Quantized = Mode(fakequant.PassQuantize)
)

// Insert adds a fake-quantize node behind x, a float32 tensor of any shape with
// at least one dimension, and returns it. The node does what q's phase says at
// each run; phases may be switched without compiling the graph again. The
// gradient is the straight-through estimator of [fakequant.STE]. Both TapeMachine
// and LispMachine run it.
//
// It fails, naming the quantizer: wrapping [fakequant.ErrData] for a node that is nil,
// a scalar or not float32, and [fakequant.ErrSpec] when the format does not fit the
// shape.
func Insert(x *gorgonia.Node, q *fakequant.Quantizer) (*gorgonia.Node, error) {
	if q == nil {
		return nil, fmt.Errorf("fqop: %w: no quantizer: make one with fakequant.New", fakequant.ErrData)
	}
	if err := check(x, q); err != nil { // before q gets a site that nothing would use
		return nil, err
	}
	return At(x, q.NewSite(), Train)
}

// At is Insert for a given site, not nil, and mode. Errors as in Insert.
func At(x *gorgonia.Node, site *fakequant.Site, mode Mode) (*gorgonia.Node, error) {
	if err := check(x, site.Quantizer()); err != nil {
		return nil, err
	}
	var k ops.Kernel = kernel{site, mode}
	if t, ok := site.Tap(fakequant.Pass(mode)); ok {
		k = ops.Rounded(rounder{t, site.Quantizer().Spec()})
	}
	return ops.New(ops.Spec{
		Label:  "fake_quantize " + site.Quantizer().Name(),
		What:   "fake_quantize",
		Out:    x.Shape(),
		Kernel: k,
	}, x)
}

// rounder is a site's pass as a part of a fused op.
type rounder struct {
	*fakequant.Tap
	spec fakequant.Spec
}

func (r rounder) Grid() (g kern.Grid, on bool, err error) {
	p, ok, err := r.Params()
	if err != nil || !ok {
		return g, false, err
	}
	g = kern.Grid{Scale: p.Scale[0], ZeroPoint: p.ZeroPoint[0]}
	g.Qmin, g.Qmax = r.spec.QRange()
	return g, true, nil
}

// check reports nodes that q cannot quantize.
func check(x *gorgonia.Node, q *fakequant.Quantizer) error {
	if x == nil {
		return &fakequant.LayerError{Layer: q.Name(), Err: fmt.Errorf("%w: no node", fakequant.ErrData)}
	}
	if x.Dtype() != tensor.Float32 {
		return &fakequant.LayerError{Layer: q.Name(),
			Err: fmt.Errorf("%w: node %q is %v: quantization is defined on float32", fakequant.ErrData, x.Name(), x.Dtype())}
	}
	if x.Shape().Dims() == 0 {
		return &fakequant.LayerError{Layer: q.Name(),
			Err: fmt.Errorf("%w: node %q is a scalar: reshape it to one dimension", fakequant.ErrData, x.Name())}
	}
	if _, err := q.Spec().Layout(x.Shape()); err != nil {
		return &fakequant.LayerError{Layer: q.Name(), Err: err}
	}
	return nil
}

type kernel struct {
	site *fakequant.Site
	mode Mode
}

func (k kernel) Forward(out ops.Tensor, in []ops.Tensor) error {
	switch k.mode {
	case Eval:
		return k.site.Eval(out.F32, in[0].F32, out.Shape)
	case Calibrate:
		return k.site.Calibrate(out.F32, in[0].F32, out.Shape)
	case Quantized:
		return k.site.Quantize(out.F32, in[0].F32, out.Shape)
	}
	return k.site.Forward(out.F32, in[0].F32, out.Shape)
}

// Facts: the site works in place, and backward it looks at x and dy.
func (kernel) Facts(int) (forward, backward mem.Facts) {
	return mem.Facts{Over: []int{0}}, mem.Facts{Unread: []bool{false, true, false}, Over: []int{2}}
}

func (k kernel) Backward(grads, in []ops.Tensor, _, dout ops.Tensor) error {
	return k.site.Backward(grads[0].F32, in[0].F32, dout.F32, dout.Shape)
}
