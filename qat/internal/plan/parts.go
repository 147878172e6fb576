package plan

// This file says which layer, quantizer and name belong together.

import (
	"fmt"
	"slices"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/internal/graph"
	"github.com/goqat/goqat/internal/nn"
)

// errorf names a layer.
func (l *Layer) errorf(format string, args ...any) error {
	return &fakequant.LayerError{Layer: l.Name, Err: fmt.Errorf(format, args...)}
}

// WeightAxes returns the output-channel and the input axis of a weighted layer's weights.
func (l *Layer) WeightAxes() (out, in int) {
	if g, ok := l.Op.(nn.Gather); ok && l.Table { // each row has a scale; blocks lie along it
		last := len(l.In[0].Shape) - 1
		if g.Axis == last {
			last = 0
		}
		return g.Axis, last
	}
	return nn.TraitsOf(l.Op).Weights.Axes(len(l.In[1].Shape))
}

// EvalQuantizer is the quantizer of the layer's weights in evaluation forms.
func (l *Layer) EvalQuantizer() *fakequant.Quantizer {
	if t := l.Owner().Tuned; t != nil && t.Quantizer != nil {
		return t.Quantizer
	}
	return l.WeightQuantizer
}

// allData reports whether every operand depends on an input.
func (p *Plan) allData(l *Layer) bool {
	return !slices.ContainsFunc(l.In, func(v *graph.Value) bool { return p.Static[v] })
}

// dataInputs are the operands that are activations.
func (p *Plan) dataInputs(l *Layer) []*graph.Value {
	var vs []*graph.Value
	in := l.In
	if nn.TraitsOf(l.Op).FirstOnly {
		in = in[:1]
	}
	for _, v := range in {
		if !p.Static[v] {
			vs = append(vs, v)
		}
	}
	return vs
}

// hidden reports whether v lies inside a fused layer.
func (p *Plan) hidden(v *graph.Value) bool { return v.Producer != nil && p.Maker[v] == nil }

// isSource reports whether v's values are made where it stands, so that a
// fake-quantize node belongs behind it.
func (p *Plan) isSource(v *graph.Value) bool {
	l := p.Maker[v]
	if l == nil || !nn.TraitsOf(l.Op).Moves || l.Act != nil || l.rounds != nil {
		return true
	}
	// A concatenation with a constant holds values that no quantizer has seen yet.
	return slices.ContainsFunc(l.In, func(in *graph.Value) bool { return p.Families[in] != p.Families[v] })
}

// Quantizers returns all quantizers: activations in network order, then weights.
func (p *Plan) Quantizers() []*fakequant.Quantizer {
	var qs []*fakequant.Quantizer
	for _, g := range p.Order {
		qs = append(qs, g.Quantizer)
	}
	for _, l := range p.Layers {
		if l.WeightQuantizer != nil && l.Shares == nil {
			qs = append(qs, l.WeightQuantizer)
		}
	}
	return qs
}

// Names lists layers and inputs.
func (p *Plan) Names() []string {
	ns := NamesOf(p.Net.Inputs)
	for _, l := range p.Layers {
		ns = append(ns, l.Name)
	}
	return ns
}

// outputNames are what settings may call the outputs: their own names, then those of the
// layers that make them.
func (p *Plan) outputNames() []string {
	names := NamesOf(p.Net.Outputs)
	for _, v := range p.Net.Outputs {
		if l := p.Maker[v]; l != nil {
			names = append(names, l.Name)
		}
	}
	return names
}

func NamesOf(vs []*graph.Value) []string {
	out := make([]string, len(vs))
	for i, v := range vs {
		out[i] = v.Name
	}
	return out
}

// owner returns the layer whose settings a family of activations has; nil for that
// of an input.
func (p *Plan) owner(g *Family) *Layer { return p.Maker[g.Members[0]] }

// nameOf is how SetObserving calls the family's tensor.
func (p *Plan) nameOf(g *Family) string {
	if l := p.Maker[g.Members[0]]; l != nil {
		return l.Name
	}
	return g.Members[0].Name
}

// Owner are the quantizers of one layer or input.
type Owner struct {
	Name, Kind string
	Weights    *fakequant.Quantizer // may be nil
	results    []*fakequant.Quantizer
}

func (o Owner) Has(q *fakequant.Quantizer) bool {
	return q == o.Weights || slices.Contains(o.results, q)
}

// Owners lists what has quantizers, in network order.
func (p *Plan) Owners() []Owner {
	results := map[string][]*fakequant.Quantizer{}
	for _, g := range p.Order {
		results[p.nameOf(g)] = append(results[p.nameOf(g)], g.Quantizer)
	}
	var all []Owner
	for _, v := range p.Net.Inputs {
		all = append(all, Owner{Name: v.Name, Kind: "input", results: results[v.Name]})
	}
	for _, l := range p.Layers {
		o := Owner{Name: l.Name, Kind: l.Kind, results: results[l.Name]}
		if l.Shares == nil {
			o.Weights = l.WeightQuantizer
		}
		all = append(all, o)
	}
	return slices.DeleteFunc(all, func(o Owner) bool { return o.Weights == nil && len(o.results) == 0 })
}
