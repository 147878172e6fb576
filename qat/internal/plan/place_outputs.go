package plan

// This file says which results stay float because they leave the network.

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/goqat/goqat/internal/graph"
	"github.com/goqat/goqat/internal/nn"
	"github.com/goqat/goqat/qat/qconfig"
)

// demand is what wants a tensor quantized: the settings, and whose they are.
type demand struct {
	set qconfig.Tensor
	of  string // the layer, or the tensor itself
	by  *Layer // nil for an entry of the config's inputs or outputs
}

// demand is what the settings of a layer ask for.
func (l *Layer) demand() demand { return demand{l.Config.Activations, l.Name, l} }

// forInput is the demand for an input of the network.
func (p *Plan) forInput(d demand) demand {
	if d.by != nil {
		d.set = p.Config.ResolveReader(d.by.Name, d.by.Kind)
	}
	return d
}

// staysFloat is the reason of layers whose results leave the network.
const staysFloat = "it leads to an output, which stays float unless the config's outputs name it"

// ownDemands returns what the config says about single inputs and outputs: those with
// settings, and those that it leaves float.
func (p *Plan) ownDemands() (wanted map[*graph.Value]demand, float map[*graph.Value]bool, err error) {
	wanted, float = map[*graph.Value]demand{}, map[*graph.Value]bool{}
	note := func(v *graph.Value, resolve func(string) (*qconfig.Tensor, bool)) {
		switch set, found := resolve(v.Name); {
		case set != nil && len(v.Shape) == 0:
			err = fmt.Errorf("%q is a single number, a scalar, which is not quantized: leave it out of the config's inputs and outputs", v.Name)
		case set != nil:
			wanted[v] = demand{set: *set, of: v.Name}
		case found:
			float[v] = true
		}
	}
	for _, v := range p.Net.Inputs {
		note(v, p.Config.ResolveInput)
	}
	for _, v := range p.Net.Outputs {
		note(v, func(name string) (*qconfig.Tensor, bool) {
			set, found := p.Config.ResolveOutput(name)
			if l := p.Maker[v]; !found && l != nil {
				set, found = p.Config.ResolveOutput(l.Name)
			}
			return set, found
		})
	}
	return wanted, float, err
}

// keepsCodes reports whether the config wants v quantized for its own sake, whoever reads it.
func (p *Plan) keepsCodes(v *graph.Value, wanted map[*graph.Value]demand, float map[*graph.Value]bool) bool {
	_, own := wanted[v]
	return own || p.Config.QuantizeOutputs && !float[v] && slices.Contains(p.Net.Outputs, v)
}

// leaving returns the values that leave the network in float: outputs for which no
// settings are, and what comes behind the last products and is for such outputs only.
// Rounding them would serve nobody, and clip what the user gets.
func (p *Plan) leaving(wanted map[*graph.Value]demand, float map[*graph.Value]bool) map[*graph.Value]bool {
	readers := map[*graph.Value][]*Layer{}
	for _, l := range p.Layers {
		for _, v := range l.In {
			readers[v] = append(readers[v], l)
		}
	}
	leaves := map[*graph.Value]bool{}
	for _, l := range slices.Backward(p.Layers) {
		v := l.Out
		if p.keepsCodes(v, wanted, float) {
			continue
		}
		leaves[v] = (slices.Contains(p.Net.Outputs, v) || len(readers[v]) > 0) && !slices.ContainsFunc(readers[v], func(r *Layer) bool {
			return r.rounds == nil && (nn.TraitsOf(r.Op).Weights != nil || !leaves[r.Out])
		})
	}
	return leaves
}

// splitOutputs puts a layer behind each output that stays float and that other layers want
// in codes: it rounds the output for them. To the network it is a transpose that moves
// nothing.
func (p *Plan) splitOutputs(wanted map[*graph.Value]demand, float map[*graph.Value]bool) {
	// Of outputs that come of each other the last is first: once it has a rounded form, what
	// leads to it may be float.
	outputs := slices.Clone(p.Net.Outputs)
	slices.SortFunc(outputs, func(a, b *graph.Value) int { return slices.Index(p.Net.Values, b) - slices.Index(p.Net.Values, a) })
	for _, v := range outputs {
		leaves := p.leaving(wanted, float)
		maker := p.Maker[v]
		if p.keepsCodes(v, wanted, float) || maker == nil || len(v.Shape) == 0 || p.Static[v] || p.rounded[v] != nil {
			continue
		}
		var readers []*Layer
		for _, r := range p.Layers {
			if slices.Contains(r.In, v) && r.on && !r.Config.Activations.Off && (nn.TraitsOf(r.Op).Weights != nil || !leaves[r.Out]) {
				readers = append(readers, r)
			}
		}
		if len(readers) > 0 {
			p.splitOutput(v, maker, readers)
		}
	}
}

// splitOutput gives some readers of an output its rounded form.
func (p *Plan) splitOutput(v *graph.Value, maker *Layer, readers []*Layer) {
	same := make([]int, len(v.Shape))
	for i := range same {
		same[i] = i
	}
	r := &graph.Value{Name: p.free(v.Name + ".rounded"), Shape: slices.Clone(v.Shape), BatchAxis: v.BatchAxis}
	src := &graph.Layer{Name: r.Name, Op: nn.Transpose{Perm: same}, In: []*graph.Value{v}, Out: r}
	r.Producer = src
	l := &Layer{Name: src.Name, Kind: "round", Op: src.Op, In: src.In, Out: r, Source: []*graph.Layer{src}, Config: maker.Config, on: maker.on, rounds: maker}
	p.Net.Values = slices.Insert(p.Net.Values, slices.Index(p.Net.Values, v)+1, r)
	p.Net.Layers = slices.Insert(p.Net.Layers, slices.Index(p.Net.Layers, v.Producer)+1, src)
	p.Layers = slices.Insert(p.Layers, slices.Index(p.Layers, maker)+1, l)
	p.Maker[r], p.rounded[v], p.trained[r] = l, r, p.trained[v]
	for _, reader := range readers {
		reader.In = replaced(reader.In, v, r)
		for _, s := range reader.Source {
			s.In = replaced(s.In, v, r)
		}
	}
}

// free is a name for a value and its layer that none has.
func (p *Plan) free(name string) string {
	taken := func(name string) bool {
		return slices.ContainsFunc(p.Net.Values, func(v *graph.Value) bool { return v.Name == name }) ||
			slices.ContainsFunc(p.Layers, func(l *Layer) bool { return l.Name == name })
	}
	free := name
	for i := 2; taken(free); i++ {
		free = name + strconv.Itoa(i)
	}
	return free
}

// replaced is a copy of vs with another value in the place of old.
func replaced(vs []*graph.Value, old, by *graph.Value) []*graph.Value {
	vs = slices.Clone(vs)
	for i, v := range vs {
		if v == old {
			vs[i] = by
		}
	}
	return vs
}
