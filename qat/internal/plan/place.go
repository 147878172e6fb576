package plan

// This file says which tensors are quantized, and which share a quantizer.

import (
	"fmt"
	"slices"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/internal/graph"
	"github.com/goqat/goqat/internal/nn"
)

// place decides which tensors are quantized and makes the quantizers.
//
// A layer that has an integer form wants its inputs and its output quantized. A
// quantizer belongs to a tensor, not to an edge, so all that read the tensor see
// the same values. Tensors that only pass values on (see nn.Traits.Moves) share the
// quantizer of where the values come from.
//
// What leaves the network stays float; see leaving. Settings for single inputs and outputs
// win over those of layers.
func (p *Plan) place() error {
	wanted, float, err := p.ownDemands()
	if err != nil {
		return err
	}
	p.splitOutputs(wanted, float)
	leaves := p.leaving(wanted, float)
	want := func(v *graph.Value, l *Layer) {
		// What a softmax reads is not rounded behind its scores.
		if _, found := wanted[v]; !found && !p.freed(v, float) && !p.scored(v) {
			wanted[v] = l.demand()
		}
	}
	for _, l := range p.Layers {
		if !l.on || l.Config.Activations.Off || !p.hasIntegerForm(l) || nn.TraitsOf(l.Op).Moves {
			continue
		}
		if p.scored(l.Out) {
			l.Why = "it scales or masks the scores of a softmax: one step with it, in float"
			continue
		}
		if p.dilutes(l) {
			l.Why = fmt.Sprintf("more than %d numbers sum to 1: small ones would all round to 0 where one row has a large one; an entry for it in the settings quantizes it", maxCodedClasses)
			continue
		}
		if !leaves[l.Out] {
			want(l.Out, l) // the producer's settings win
		} else if l.Why = staysFloat; nn.TraitsOf(l.Op).Weights == nil {
			continue // computed in float, of what is there
		}
		if r := p.rounded[l.Out]; r != nil {
			want(r, l)
		}
		for _, v := range p.dataInputs(l) {
			want(v, l)
		}
	}
	if err := p.joinFamilies(wanted); err != nil {
		return err
	}
	owners := map[weightKey]*Layer{}
	for _, l := range p.Layers {
		if (l.Weighted || l.Table) && l.on && !l.Config.Weights.Off {
			if err := p.placeWeights(l, owners); err != nil {
				return err
			}
		}
	}
	p.spreadLearned()
	return nil
}

// freed reports whether settings for the very layer that makes v, or for its kind, or for
// the input that it is, leave it float: then they do, whoever reads it. So does a softmax
// of very many numbers without settings of its own. Settings for a product are about the
// product; what is behind it may be wanted by the next one.
func (p *Plan) freed(v *graph.Value, float map[*graph.Value]bool) bool {
	l := p.Maker[v]
	if l == nil {
		return float[v]
	}
	if nn.TraitsOf(l.Op).Weights != nil {
		return false
	}
	if nn.TraitsOf(l.Op).Moves && l.Act == nil && len(l.In) == 1 {
		return p.freed(l.In[0], float)
	}
	c, found := p.Config.Entry(l.Name, l.Kind)
	return found && (c == nil || c.Activations.Off) || p.dilutes(l)
}

// maxCodedClasses is how many numbers that sum to 1 can have codes of 8 bits whatever they
// are. Rows of more often hold large numbers beside rows of small ones only, as behind a
// causal mask: these are below one step of 1/256 and would all round to 0.
const maxCodedClasses = 256

// dilutes reports whether l is a softmax of more numbers than maxCodedClasses that no entry
// of the settings asks to quantize.
func (p *Plan) dilutes(l *Layer) bool {
	s, ok := l.Op.(nn.Softmax)
	_, found := p.Config.Entry(l.Name, l.Kind)
	return ok && !found && l.Out.Shape[s.Axis] > maxCodedClasses
}

// scored reports whether v is a step between a product and the softmax that alone reads
// it: scaled or masked scores. They set no range: a mask may be -1e9.
func (p *Plan) scored(v *graph.Value) bool {
	l := p.Maker[v]
	if l == nil || l.Op == nil || nn.TraitsOf(l.Op).Weights != nil || l.Act != nil {
		return false
	}
	if _, ok := l.Op.(nn.Binary); !ok && !nn.TraitsOf(l.Op).Moves {
		return false
	}
	return p.readBySoftmax(v)
}

// readBySoftmax reports whether nothing but softmaxes sees v, or does so behind steps of
// their scores.
func (p *Plan) readBySoftmax(v *graph.Value) bool {
	if slices.Contains(p.Net.Outputs, v) || p.Net.Carried.Seen[v] {
		return false
	}
	readers := 0
	for _, l := range p.Layers {
		if !slices.Contains(l.In, v) {
			continue
		}
		readers++
		if _, ok := l.Op.(nn.Softmax); !ok && !p.scored(l.Out) {
			return false
		}
	}
	return readers > 0
}

// spreadLearned adds to the values that depend on something learnable those behind
// a learned quantizer.
func (p *Plan) spreadLearned() {
	mark := func(v *graph.Value) {
		if g := p.Families[v]; g != nil && g.Quantizer.Learned() {
			p.trained[v] = true
		}
	}
	for _, v := range p.Net.Inputs {
		mark(v)
	}
	for _, l := range p.Net.Layers {
		if slices.ContainsFunc(l.In, func(v *graph.Value) bool { return p.trained[v] }) {
			p.trained[l.Out] = true
		}
		mark(l.Out)
	}
}

// hasIntegerForm reports whether the layer computes on codes, or is cheap enough
// on dequantized ones that its result should be codes again. It notes the reason
// where not.
func (p *Plan) hasIntegerForm(l *Layer) bool {
	if p.Static[l.Out] {
		return false
	}
	t := nn.TraitsOf(l.Op)
	switch {
	case l.Op == nil:
		return false // opaque; the reader said why
	case t.Moves:
		return true
	case hasScalar(l):
		l.Why = "it computes with a single number (a scalar), which stays float"
		return false
	case t.Weights != nil:
		return p.hasIntegerProduct(l)
	case t.Probability && p.endsInLogarithm(l.Out):
		l.Why = "it is an output, or its logarithm is taken: a probability that rounds to 0 would end training"
		return false
	case t.Quantized && (!t.DataOnly || p.allData(l)):
		return true
	}
	if l.Why == "" {
		l.Why = fmt.Sprintf("%s has no integer form", l.Kind)
	}
	return false
}

// hasIntegerProduct is hasIntegerForm of a sum of products.
func (p *Plan) hasIntegerProduct(l *Layer) bool {
	if !l.Weighted && (p.Static[l.In[0]] || p.Static[l.In[1]]) {
		l.Why = "the weights are the left operand of the product, or have more than two dimensions"
		return false
	}
	if terms := nn.Terms(l.Op, l.In[0].Shape, l.In[1].Shape); terms > MaxTerms {
		l.Why = fmt.Sprintf("%d products per output could overflow 32-bit sums (limit %d)", terms, MaxTerms)
		return false
	}
	return true
}

// endsInLogarithm reports whether a loss may see v: it leaves the network, or a
// logarithm reads it.
func (p *Plan) endsInLogarithm(v *graph.Value) bool {
	if slices.Contains(p.Net.Outputs, v) || p.carriedLogarithm(v) {
		return true
	}
	return slices.ContainsFunc(p.Layers, func(l *Layer) bool {
		if !slices.Contains(l.In, v) {
			return false
		}
		t := nn.TraitsOf(l.Op)
		return t.Logarithm || t.Moves && p.endsInLogarithm(l.Out)
	})
}

// carriedLogarithm reports whether the carried part takes the logarithm of v.
func (p *Plan) carriedLogarithm(v *graph.Value) bool {
	return slices.ContainsFunc(p.Net.Carried.Layers, func(l *graph.Layer) bool {
		if !slices.Contains(l.In, v) {
			return false
		}
		t := nn.TraitsOf(l.Op)
		return t.Logarithm || t.Moves && p.carriedLogarithm(l.Out)
	})
}

// hasScalar reports whether the layer reads or makes a tensor of rank 0: a cost,
// usually. Such a tensor has no axis to quantize along.
func hasScalar(l *Layer) bool {
	return len(l.Out.Shape) == 0 || slices.ContainsFunc(l.In, func(v *graph.Value) bool { return len(v.Shape) == 0 })
}

// joinFamilies joins the wanted values with those that share their quantizer.
func (p *Plan) joinFamilies(wanted map[*graph.Value]demand) error {
	root := map[*graph.Value]*graph.Value{}
	find := func(v *graph.Value) *graph.Value {
		for root[v] != nil {
			v = root[v]
		}
		return v
	}
	join := func(l *Layer, v *graph.Value) {
		if a, b := find(l.Out), find(v); a != b {
			root[a] = b
		}
	}
	var several []*Layer // that join what several layers made
	for _, l := range p.Layers {
		if !l.on || l.Config.Activations.Off || !nn.TraitsOf(l.Op).Moves || l.Act != nil || l.rounds != nil || len(l.Out.Shape) == 0 {
			continue // a scalar stays float; see hasScalar
		}
		if in := p.dataInputs(l); len(in) > 1 {
			several = append(several, l)
		} else if len(in) == 1 && len(in[0].Shape) > 0 {
			join(l, in[0])
		}
	}
	for _, l := range several {
		for _, v := range p.dataInputs(l) {
			if len(v.Shape) > 0 && !p.usedBeside(l, func(u *graph.Value) bool { return find(u) == find(v) }) {
				join(l, v)
			}
		}
	}
	joined := map[*graph.Value]*Family{}
	config := map[*Family]demand{}
	for _, v := range p.Net.Values {
		d, found := wanted[v]
		if !found {
			continue
		}
		r := find(v)
		if joined[r] == nil {
			joined[r] = &Family{Sites: map[*graph.Value]*fakequant.Site{}}
			config[joined[r]] = d
		}
		if d.by == nil && config[joined[r]].by != nil {
			config[joined[r]] = d
		}
	}
	for _, v := range p.Net.Values { // producers first
		g := joined[find(v)]
		if g == nil || p.hidden(v) {
			continue
		}
		if len(g.Members) == 0 {
			p.Order = append(p.Order, g)
		}
		g.Members = append(g.Members, v)
		p.Families[v] = g
	}
	for _, g := range p.Order {
		d := config[g]
		if slices.Contains(p.Net.Inputs, g.Members[0]) {
			d = p.forInput(d)
		}
		if err := p.makeQuantizer(g, d); err != nil {
			return err
		}
	}
	return nil
}

// usedBeside reports whether someone beside a concatenation needs a tensor of a family
// with a grid of its own: it is an input of the network, or another layer computes with it.
// The concatenation then rounds it again.
func (p *Plan) usedBeside(concat *Layer, family func(*graph.Value) bool) bool {
	if slices.ContainsFunc(p.Net.Inputs, family) || slices.ContainsFunc(p.Net.Outputs, family) {
		return true
	}
	return slices.ContainsFunc(p.Layers, func(l *Layer) bool {
		return l != concat && slices.ContainsFunc(l.In, family) && !family(l.Out)
	})
}

// CheckOutputs refuses a quantized network that computes nothing but losses, single
// numbers that a sum or a mean makes: their labels would be taken for data and quantized.
func (p *Plan) CheckOutputs() error {
	if len(p.Quantizers()) == 0 {
		return nil
	}
	var err error
	for _, v := range p.Net.Outputs {
		from, summed := p.lossOf(v)
		if len(v.Shape) > 0 || !summed {
			return nil
		}
		name := from.Producer.Name
		if l := p.Maker[from]; l != nil {
			name = l.Name
		}
		err = fmt.Errorf("output %q is a single number, a loss as it seems: give what it is computed from, the result of layer %q of shape %v; the loss is carried over behind it",
			v.Name, name, from.Shape)
	}
	return err
}

// lossOf goes back from a loss to the last value that parameters were combined into, and
// reports whether a sum or a mean was on the way.
func (p *Plan) lossOf(v *graph.Value) (from *graph.Value, summed bool) {
	for v.Producer != nil {
		var next *graph.Value
		for _, in := range v.Producer.In {
			if !p.trained[in] {
				continue
			}
			if in.Producer == nil || next != nil {
				return v, summed // a parameter, or two ways that meet
			}
			next = in
		}
		if next == nil {
			break
		}
		if _, ok := v.Producer.Op.(nn.Reduce); ok {
			summed = true
		}
		v = next
	}
	return v, summed
}
