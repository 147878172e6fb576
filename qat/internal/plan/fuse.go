package plan

// This file says which layers of the graph become one, and what settings each has.

import (
	"fmt"
	"slices"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/internal/graph"
	"github.com/goqat/goqat/internal/nn"
	"github.com/goqat/goqat/internal/ops"
	"github.com/goqat/goqat/qat/qconfig"
)

// findStatic marks the values that depend on no input (parameters, constants and
// what is computed from them alone) and those that depend on a parameter.
func (p *Plan) findStatic() {
	for _, v := range p.Net.Values {
		if v.Producer == nil {
			p.Static[v] = v.Role != graph.Input
			p.trained[v] = v.Differentiable()
		}
	}
	for _, l := range p.Net.Layers {
		p.Static[l.Out] = !slices.ContainsFunc(l.In, func(v *graph.Value) bool { return !p.Static[v] })
		p.trained[l.Out] = l.BN != nil || slices.ContainsFunc(l.In, func(v *graph.Value) bool { return p.trained[v] })
	}
}

// findStatistics collects the running statistics of batch normalisations: those of
// goqat's own op are shared with it, those of Gorgonia's are copied. Gorgonia's
// variance is 0 before any training; that means 1.
func (p *Plan) findStatistics() error {
	for _, l := range slices.Concat(p.Net.Layers, p.Net.Carried.Layers) {
		if l.BN == nil {
			continue
		}
		if l.BN.State != nil {
			p.Statistics[l] = l.BN.State
			continue
		}
		mean, variance := l.BN.Stats()
		channels := l.Out.Shape[1]
		if len(mean) != channels || len(variance) != channels {
			return &fakequant.LayerError{Layer: l.Name, Err: fmt.Errorf("%d running means and %d variances for %d channels", len(mean), len(variance), channels)}
		}
		st := ops.NewBNState(channels, l.BN.Momentum, l.Op.(nn.BatchNorm).Eps)
		st.Mean = mean
		if slices.ContainsFunc(variance, func(v float32) bool { return v != 0 }) {
			st.Variance = variance
		}
		p.Statistics[l] = st
	}
	return nil
}

// skipped returns the reader's reason for leaving a layer as a stock op.
func (p *Plan) skipped(name string) string {
	for _, n := range p.Net.Skipped {
		if n.Layer == name {
			return n.Reason
		}
	}
	return "the op is not known"
}

// fuse makes the layers, longest pattern first: a convolution or matrix product
// with constant weights takes in the bias, the batch normalisation and the
// activation behind it; a sum, difference, product or matrix product of two
// activations and a batch normalisation take in the activation behind them. A value is taken in only if nothing else
// sees it.
func (p *Plan) fuse() {
	uses := map[*graph.Value][]*graph.Layer{}
	for _, l := range p.Net.Layers {
		for _, v := range l.In {
			uses[v] = append(uses[v], l)
		}
	}
	for _, v := range p.Net.Outputs {
		uses[v] = append(uses[v], nil)
	}
	for v := range p.Net.Carried.Seen {
		uses[v] = append(uses[v], nil)
	}
	taken := map[*graph.Layer]bool{}
	for _, src := range p.Net.Layers {
		if taken[src] {
			continue
		}
		l := &Layer{Name: src.Name, Op: src.Op, In: src.In, Out: src.Out, Source: []*graph.Layer{src}}
		if src.Opaque {
			l.Kind, l.Why = "opaque", p.skipped(src.Name)
		} else {
			l.Kind = src.Op.Kind()
		}
		l.Weighted = p.isWeighted(src)
		if _, ok := src.Op.(nn.Gather); ok {
			l.Table = p.Static[src.In[0]] && !p.Static[src.In[1]] && src.In[0].Base().Role == graph.Param && len(src.In[0].Shape) > 1
		}
		if l.Weighted && len(src.In) > 2 { // a bias as the third operand
			l.In, l.Bias = src.In[:2:2], src.In[2]
		}
		if l.Weighted {
			p.straighten(l)
		}
		for {
			next := uses[l.Out]
			if len(next) != 1 || next[0] == nil || !p.absorb(l, next[0]) {
				break
			}
			taken[next[0]] = true
			l.Source = append(l.Source, next[0])
			l.Out = next[0].Out
		}
		p.Layers = append(p.Layers, l)
		p.Maker[l.Out] = l
	}
}

// isWeighted reports whether l is a convolution or matrix product of an activation
// with weights.
func (p *Plan) isWeighted(l *graph.Layer) bool {
	w := nn.TraitsOf(l.Op).Weights
	if w == nil || len(l.In) > 2 && !p.Static[l.In[2]] {
		return false
	}
	return !p.Static[l.In[0]] && p.Static[l.In[1]] && len(l.In[1].Shape) == w.Rank
}

// absorb takes next into l if it fits behind what l already has.
func (p *Plan) absorb(l *Layer, next *graph.Layer) bool {
	if next.Opaque || l.Act != nil || p.Static[l.Out] {
		return false
	}
	t, w := nn.TraitsOf(next.Op), nn.TraitsOf(l.Op).Weights
	switch op := next.Op.(type) {
	case nn.Binary:
		if !l.Weighted || !t.Adds || l.Bias != nil || l.BatchNorm != nil {
			return false
		}
		b := otherOperand(next, l.Out)
		if b == nil || !p.Static[b] || !isChannelShape(b.Shape, l.Out.Shape, w.Channels) {
			return false
		}
		l.Bias = b
		return true
	case nn.BatchNorm:
		if p.unfolded || !l.Weighted || l.BatchNorm != nil || next.In[0] != l.Out || w.Channels != 1 || !foldable(p, next) {
			return false
		}
		l.BatchNorm = next
		return true
	case nn.Unary:
		if !t.Activation || !p.takesActivation(l) {
			return false
		}
		l.Act = &op
		return true
	}
	return false
}

// foldable: the scale and shift are parameters, and the statistics are known.
func foldable(p *Plan, bn *graph.Layer) bool {
	return bn.BN != nil && (bn.BN.Gamma == nil || p.Static[bn.BN.Gamma]) && (bn.BN.Beta == nil || p.Static[bn.BN.Beta])
}

func (p *Plan) takesActivation(l *Layer) bool {
	t := nn.TraitsOf(l.Op)
	return l.Weighted || t.TakesActivation && (!t.DataOnly || p.allData(l))
}

func otherOperand(l *graph.Layer, v *graph.Value) *graph.Value {
	switch {
	case l.In[0] == v && l.In[1] == v:
		return nil
	case l.In[0] == v:
		return l.In[1]
	}
	return l.In[0]
}

// isChannelShape reports whether a tensor of shape b, broadcast to out, holds one
// element per index of the axis.
func isChannelShape(b, out []int, axis int) bool {
	offset := len(out) - len(b)
	if offset < 0 || axis-offset < 0 || axis-offset >= len(b) {
		return false
	}
	for i, d := range b {
		want := 1
		if i+offset == axis {
			want = out[axis]
		}
		if d != want {
			return false
		}
	}
	return true
}

// leaveFloat is configure for a network of which nothing is quantized.
func (p *Plan) leaveFloat() {
	for _, l := range p.Layers {
		if l.Why == "" {
			l.Why = leftFloat
		}
	}
}

// leftFloat is the reason of layers that the config leaves alone.
const leftFloat = "left float by the config"

// configure gives each layer its settings.
func (p *Plan) configure(cfg qconfig.Config) error {
	var names, kinds []string
	for _, l := range p.Layers {
		names = append(names, l.Name)
		if !slices.Contains(kinds, l.Kind) {
			kinds = append(kinds, l.Kind)
		}
	}
	if err := cfg.CheckNames(names, kinds); err != nil {
		return err
	}
	if err := cfg.CheckTensors(NamesOf(p.Net.Inputs), p.outputNames()); err != nil {
		return err
	}
	for _, l := range p.Layers {
		l.Config, l.on = cfg.Resolve(l.Name, l.Kind)
		if !l.on && l.Why == "" {
			l.Why = leftFloat
		}
		if err := l.checkBlockSize(cfg); err != nil {
			return err
		}
	}
	return nil
}

// checkBlockSize refuses a block size that was set for this very layer and is larger
// than its axis. One that was set for many layers is cut to each; see placeWeights.
func (l *Layer) checkBlockSize(cfg qconfig.Config) error {
	if !l.Weighted {
		return nil
	}
	_, in := l.WeightAxes()
	return cfg.CheckBlockSize(l.Name, l.In[1].Shape, in)
}
