package plan

// This file says how evaluation forms use what post-training helpers found.

import (
	"errors"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/fakequant/fqop"
	"github.com/goqat/goqat/internal/ops"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// weightQuantizer is the quantizer of the layer's weights in this graph.
func (e *Emitter) weightQuantizer(l *Layer) *fakequant.Quantizer {
	if e.training {
		return l.WeightQuantizer
	}
	return l.EvalQuantizer()
}

// weightSite is where the layer's weights are quantized in this graph.
func (e *Emitter) weightSite(l *Layer) *fakequant.Site {
	if t := l.Owner().Tuned; !e.training && t != nil && t.site != nil {
		return t.site
	}
	return l.weightSite
}

// DropTuned forgets what the helpers found.
func (p *Plan) DropTuned() {
	for _, l := range p.Layers {
		if l.Tuned != nil {
			l.Tuned = nil
			clear(p.Evals)
		}
	}
}

// tuneWeights returns a layer's weights as the helpers left them.
func (e *Emitter) tuneWeights(l *Layer, w *gorgonia.Node) (*gorgonia.Node, error) {
	t := l.Owner().Tuned
	if e.training || t == nil || l.WeightQuantizer == nil || t.Weights == nil {
		return w, nil
	}
	k := tuning{q: l.WeightQuantizer, mode: e.mode, weights: t.Weights}
	return ops.New(ops.Spec{Label: l.Name + " rounded weights", Out: w.Shape(), Kernel: k}, w)
}

// tuneBias returns a layer's bias as the helpers left it, nil for none.
func (e *Emitter) tuneBias(l *Layer, bias *gorgonia.Node) (*gorgonia.Node, error) {
	t := l.Tuned
	if e.training || t == nil || l.WeightQuantizer == nil || t.bias == nil {
		return bias, nil
	}
	if bias == nil {
		zeros := tensor.New(tensor.WithShape(len(t.bias)), tensor.WithBacking(make([]float32, len(t.bias))))
		bias = gorgonia.NewConstant(zeros, gorgonia.WithName(l.Name+".bias correction"), gorgonia.In(e.Graph))
	}
	k := tuning{q: l.WeightQuantizer, mode: e.mode, bias: t.bias}
	return ops.New(ops.Spec{Label: l.Name + " corrected bias", Out: bias.Shape(), Kernel: k}, bias)
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

// KeepWeights puts rounded weights into evaluation forms. The caller clears the
// evaluators.
func (l *Layer) KeepWeights(w []float32, p fakequant.Params) error {
	q, err := fakequant.New(l.WeightQuantizer.Name(), l.WeightQuantizer.Spec(), nil, false)
	if err != nil {
		return err
	}
	if err := q.SetParams(p); err != nil {
		return err
	}
	q.SetPhase(l.WeightQuantizer.Phase())
	if l.Tuned == nil {
		l.Tuned = &Tuned{}
	}
	l.Tuned.Weights, l.Tuned.Quantizer, l.Tuned.site = w, q, q.NewSite()
	return nil
}

// AddBias adds d, one element per output channel, to the bias in evaluation forms.
func (l *Layer) AddBias(d []float32) {
	if l.Tuned == nil {
		l.Tuned = &Tuned{}
	}
	if l.Tuned.bias == nil {
		l.Tuned.bias = make([]float32, len(d))
	}
	for c, v := range d {
		l.Tuned.bias[c] += v
	}
}

// RememberTuned returns what puts the helpers' findings back.
func (p *Plan) RememberTuned() (undo func()) {
	before := make([]*Tuned, len(p.Layers))
	for i, l := range p.Layers {
		if l.Tuned != nil {
			t := *l.Tuned
			t.bias = append([]float32(nil), t.bias...)
			before[i] = &t
		}
	}
	return func() {
		for i, l := range p.Layers {
			l.Tuned = before[i]
		}
	}
}

// Forget puts all quantizers back to where they were after Prepare, in their phases.
func (p *Plan) Forget() error {
	for i, q := range p.Quantizers() {
		st := p.initial[i]
		st.Phase = q.Phase()
		if err := q.Restore(st); err != nil {
			return err
		}
	}
	return nil
}
