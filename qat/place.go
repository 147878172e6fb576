package qat

import (
	"fmt"
	"math"
	"slices"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/internal/graph"
	"github.com/goqat/goqat/internal/nn"
)

// place decides which tensors are quantized and makes the quantizers.
//
// A layer that has an integer form wants its inputs and its output quantized. A
// quantizer belongs to a tensor, not to an edge, so all that read the tensor see
// the same values. Tensors that only pass values on (see passesOn) share the
// quantizer of where the values come from.
func (p *plan) place() error {
	wanted := map[*graph.Value]*layer{} // the layer whose settings count
	for _, l := range p.layers {
		if !l.on || l.cfg.Activations.Off || !p.hasIntegerForm(l) || passesOn(l.op) {
			continue
		}
		wanted[l.out] = l // the producer's settings win
		for _, v := range p.dataInputs(l) {
			if wanted[v] == nil {
				wanted[v] = l
			}
		}
	}
	if err := p.groupValues(wanted); err != nil {
		return err
	}
	for _, l := range p.layers {
		if l.weighted && l.on && !l.cfg.Weights.Off {
			if err := p.placeWeights(l); err != nil {
				return err
			}
		}
	}
	p.spreadLearned()
	return nil
}

// spreadLearned adds to the values that depend on something learnable those behind
// a learned quantizer.
func (p *plan) spreadLearned() {
	mark := func(v *graph.Value) {
		if g := p.groups[v]; g != nil && g.q.Learned() {
			p.learned[v] = true
		}
	}
	for _, v := range p.net.Inputs {
		mark(v)
	}
	for _, l := range p.net.Layers {
		if slices.ContainsFunc(l.In, func(v *graph.Value) bool { return p.learned[v] }) {
			p.learned[l.Out] = true
		}
		mark(l.Out)
	}
}

// dataInputs are the operands that are activations.
func (p *plan) dataInputs(l *layer) []*graph.Value {
	var vs []*graph.Value
	for _, v := range l.in {
		if !p.static[v] {
			vs = append(vs, v)
		}
	}
	return vs
}

// passesOn reports whether a layer's results are values of its inputs, moved or
// chosen but never computed with. (Dropout scales them in training; there the
// graph does without the integer product behind it.)
func passesOn(op nn.Op) bool {
	switch op := op.(type) {
	case nn.Reshape, nn.Transpose, nn.Slice, nn.Concat, nn.Dropout:
		return true
	case nn.Pool:
		return !op.Average
	}
	return false
}

// hasIntegerForm reports whether the layer computes on codes, or is cheap enough
// on dequantized ones that its result should be codes again. It notes the reason
// where not.
func (p *plan) hasIntegerForm(l *layer) bool {
	if p.static[l.out] {
		return false
	}
	if l.op != nil && !passesOn(l.op) && hasScalar(l) {
		l.why = "it computes with a single number (a scalar), which stays float"
		return false
	}
	switch op := l.op.(type) {
	case nn.Conv, nn.MatMul:
		if !l.weighted && (p.static[l.in[0]] || p.static[l.in[1]]) {
			l.why = "the weights are the left operand of the product, or have more than two dimensions"
			return false
		}
		if terms := nn.Terms(op, l.in[0].Shape, l.in[1].Shape); terms > maxTerms {
			l.why = fmt.Sprintf("%d products per output could overflow 32-bit sums (limit %d)", terms, maxTerms)
			return false
		}
		return true
	case nn.Pool, nn.GlobalAvgPool:
		return true
	case nn.Binary:
		if quantizedBinary(op) && p.allData(l) {
			return true
		}
	case nn.BatchNorm:
		return true
	case nn.Softmax:
		if !op.Log && !p.endsInLogarithm(l.out) {
			return true
		}
		if !op.Log {
			l.why = "it is an output, or its logarithm is taken: a probability that rounds to 0 would end training"
		}
	case nn.Unary:
		if isActivation(op) {
			return true
		}
	case nil:
		return false // opaque; the reader said why
	}
	if l.why == "" && !passesOn(l.op) {
		l.why = fmt.Sprintf("%s has no integer form", l.kind)
	}
	return passesOn(l.op)
}

// endsInLogarithm reports whether a loss may see v: it leaves the network, or a
// logarithm reads it.
func (p *plan) endsInLogarithm(v *graph.Value) bool {
	if slices.Contains(p.net.Outputs, v) || p.carriedLogarithm(v) {
		return true
	}
	return slices.ContainsFunc(p.layers, func(l *layer) bool {
		if !slices.Contains(l.in, v) {
			return false
		}
		if passesOn(l.op) {
			return p.endsInLogarithm(l.out)
		}
		return isLogarithm(l.op)
	})
}

func isLogarithm(op nn.Op) bool {
	u, ok := op.(nn.Unary)
	return ok && (u.Fn == "log" || u.Fn == "log2")
}

// hasScalar reports whether the layer reads or makes a tensor of rank 0: a cost,
// usually. Such a tensor has no axis to quantize along.
func hasScalar(l *layer) bool {
	return len(l.out.Shape) == 0 || slices.ContainsFunc(l.in, func(v *graph.Value) bool { return len(v.Shape) == 0 })
}

// maxTerms products of two centred codes, each at most 255 in magnitude, fit int32.
const maxTerms = math.MaxInt32 / (255 * 255)

// groupValues joins the wanted values with those that share their quantizer.
func (p *plan) groupValues(wanted map[*graph.Value]*layer) error {
	root := map[*graph.Value]*graph.Value{}
	find := func(v *graph.Value) *graph.Value {
		for root[v] != nil {
			v = root[v]
		}
		return v
	}
	for _, l := range p.layers {
		if l.on && !l.cfg.Activations.Off && passesOn(l.op) && l.act == nil {
			for _, v := range p.dataInputs(l) {
				if len(v.Shape) == 0 || len(l.out.Shape) == 0 {
					continue // a scalar stays float; see hasScalar
				}
				if a, b := find(l.out), find(v); a != b {
					root[a] = b
				}
			}
		}
	}
	joined := map[*graph.Value]*group{}
	config := map[*group]*layer{}
	for _, v := range p.net.Values {
		r := find(v)
		if wanted[v] != nil && joined[r] == nil {
			joined[r] = &group{sites: map[*graph.Value]*fakequant.Site{}}
			config[joined[r]] = wanted[v]
		}
	}
	for _, v := range p.net.Values { // producers first
		g := joined[find(v)]
		if g == nil || p.hidden(v) {
			continue
		}
		if len(g.members) == 0 {
			p.order = append(p.order, g)
		}
		g.members = append(g.members, v)
		p.groups[v] = g
	}
	for _, g := range p.order {
		if err := p.makeQuantizer(g, config[g]); err != nil {
			return err
		}
	}
	return nil
}

// hidden reports whether v lies inside a fused layer.
func (p *plan) hidden(v *graph.Value) bool { return v.Producer != nil && p.by[v] == nil }

// isSource reports whether v's values are made where it stands, so that a
// fake-quantize node belongs behind it.
func (p *plan) isSource(v *graph.Value) bool {
	l := p.by[v]
	if l == nil || !passesOn(l.op) || l.act != nil {
		return true
	}
	// A concatenation with a constant holds values that no quantizer has seen yet.
	return slices.ContainsFunc(l.in, func(in *graph.Value) bool { return p.groups[in] != p.groups[v] })
}
