package qat

import (
	"errors"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/fakequant/fqop"
	"github.com/goqat/goqat/internal/ops"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// tuned is what the post-training helpers found for one layer. Evaluation forms
// (Predict, Freeze, Verify, Report) use it while they quantize; training does not.
type tuned struct {
	// weights replace the folded float weights, in their shape, and lie on the grid of
	// q; nil for none.
	weights []float32
	// bias is added to the folded bias, one element per output channel; nil for none.
	bias []float32
	// q has the fixed parameters of weights, and site is its one site; both are nil
	// without weights. A quantizer of its own, because the layer's would read the
	// parameters off the weights anew.
	q    *fakequant.Quantizer
	site *fakequant.Site
}

// evalQuantizer is the quantizer of the layer's weights in evaluation forms.
func (l *layer) evalQuantizer() *fakequant.Quantizer {
	if l.tuned != nil && l.tuned.q != nil {
		return l.tuned.q
	}
	return l.wq
}

// weightQuantizer is the quantizer of the layer's weights in this graph.
func (e *emitter) weightQuantizer(l *layer) *fakequant.Quantizer {
	if e.training {
		return l.wq
	}
	return l.evalQuantizer()
}

// weightSite is where the layer's weights are quantized in this graph.
func (e *emitter) weightSite(l *layer) *fakequant.Site {
	if !e.training && l.tuned != nil && l.tuned.site != nil {
		return l.tuned.site
	}
	return l.wsite
}

// dropTuned forgets what the helpers found.
func (p *plan) dropTuned() {
	for _, l := range p.layers {
		if l.tuned != nil {
			l.tuned = nil
			clear(p.evals)
		}
	}
}

// tune returns a layer's weights and bias as the helpers left them, nil for no bias.
func (e *emitter) tune(l *layer, w, bias *gorgonia.Node) (*gorgonia.Node, *gorgonia.Node, error) {
	t := l.tuned
	if e.training || t == nil || l.wq == nil {
		return w, bias, nil
	}
	k := tuning{q: l.wq, mode: e.mode}
	var err error
	if t.weights != nil {
		k.weights = t.weights
		if w, err = ops.New(ops.Spec{Label: l.name + " rounded weights", Out: w.Shape(), Kernel: k}, w); err != nil {
			return nil, nil, err
		}
	}
	if t.bias == nil {
		return w, bias, nil
	}
	if bias == nil {
		zeros := tensor.New(tensor.WithShape(len(t.bias)), tensor.WithBacking(make([]float32, len(t.bias))))
		bias = gorgonia.NewConstant(zeros, gorgonia.WithName(l.name+".bias correction"), gorgonia.In(e.g))
	}
	k.weights, k.bias = nil, t.bias
	bias, err = ops.New(ops.Spec{Label: l.name + " corrected bias", Out: bias.Shape(), Kernel: k}, bias)
	return w, bias, err
}

// tuning replaces weights or adds to a bias while its quantizer quantizes.
type tuning struct {
	q             *fakequant.Quantizer
	mode          fqop.Mode
	weights, bias []float32
}

func (k tuning) Forward(out ops.Tensor, in []ops.Tensor) error {
	copy(out.F32, in[0].F32)
	if k.mode == fqop.Calibrate || k.mode == fqop.Eval && !k.q.Phase().Quantizes() {
		return nil
	}
	copy(out.F32, k.weights)
	for i, b := range k.bias {
		out.F32[i] += b
	}
	return nil
}

func (k tuning) Backward([]ops.Tensor, []ops.Tensor, ops.Tensor, ops.Tensor) error {
	return errors.New("post-training corrections have no gradient: they are for evaluation")
}

// keepWeights puts rounded weights into evaluation forms. The caller clears the
// evaluators.
func (l *layer) keepWeights(w []float32, p fakequant.Params) error {
	q, err := fakequant.New(l.wq.Name(), l.wq.Spec(), nil, false)
	if err != nil {
		return err
	}
	if err := q.SetParams(p); err != nil {
		return err
	}
	q.SetPhase(l.wq.Phase())
	if l.tuned == nil {
		l.tuned = &tuned{}
	}
	l.tuned.weights, l.tuned.q, l.tuned.site = w, q, q.NewSite()
	return nil
}

// addBias adds d, one element per output channel, to the bias in evaluation forms.
func (l *layer) addBias(d []float32) {
	if l.tuned == nil {
		l.tuned = &tuned{}
	}
	if l.tuned.bias == nil {
		l.tuned.bias = make([]float32, len(d))
	}
	for c, v := range d {
		l.tuned.bias[c] += v
	}
}
