package qat

import (
	"fmt"
	"slices"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/internal/graph"
	"github.com/goqat/goqat/internal/nn"
	"github.com/goqat/goqat/internal/ops"
	"github.com/goqat/goqat/qat/qconfig"
)

// layer is one layer of the network as it is trained: an operation with
// everything that belongs to it, from its bias to its activation.
type layer struct {
	name string
	kind string
	op   nn.Op
	in   []*graph.Value // operands; a weighted layer has [x, weight]
	bias *graph.Value   // of a weighted layer; may be nil
	bn   *graph.Layer   // the batch normalisation folded into it; may be nil
	act  *nn.Unary      // fused activation; may be nil
	out  *graph.Value   // what other layers see
	src  []*graph.Layer // what it was made of

	weighted bool
	cfg      qconfig.Layer
	on       bool   // false: the config leaves it float
	why      string // why it, or a part of it, is left float; may be empty

	wq    *fakequant.Quantizer // of the weights; nil if they stay float
	wsite *fakequant.Site
	osc   *oscillator // follows the weights in training; nil unless the config asks for it
	tuned *tuned      // what post-training helpers put into evaluation forms; may be nil
}

// group is a set of activation tensors that share one quantizer: a tensor and all
// that only passes its values on.
type group struct {
	q       *fakequant.Quantizer
	members []*graph.Value // in network order
	sites   map[*graph.Value]*fakequant.Site
}

// plan is the typed network with fused layers and quantizers in place.
type plan struct {
	net     *graph.Net
	cfg     qconfig.Config
	layers  []*layer
	static  map[*graph.Value]bool // depends on no input
	learned map[*graph.Value]bool // depends on a parameter
	groups  map[*graph.Value]*group
	order   []*group
	by      map[*graph.Value]*layer               // the layer that makes a value
	learnt  map[*fakequant.Quantizer]learntMemory // learned scales and zero points
	bn      map[*graph.Layer]*ops.BNState         // running statistics, shared by all graphs made of the plan
	initial []fakequant.State                     // of all quantizers, before any data
	evals   map[evalKey]*evaluator                // graphs in evaluation form, by batch size

	unfolded bool // batch normalisations stay layers of their own
}

func blankPlan(net *graph.Net, cfg qconfig.Config) *plan {
	return &plan{net: net, cfg: cfg, unfolded: cfg.Float, evals: map[evalKey]*evaluator{}, static: map[*graph.Value]bool{}, learned: map[*graph.Value]bool{}, groups: map[*graph.Value]*group{},
		by: map[*graph.Value]*layer{}, learnt: map[*fakequant.Quantizer]learntMemory{}, bn: map[*graph.Layer]*ops.BNState{}}
}

// newPlan fuses the layers of net and places quantizers as cfg says.
func newPlan(net *graph.Net, cfg qconfig.Config) (*plan, error) {
	p := blankPlan(net, cfg)
	p.findStatic()
	if err := p.findStatistics(); err != nil {
		return nil, err
	}
	p.fuse()
	if cfg.Float {
		p.leaveFloat()
		return p, nil
	}
	if err := p.configure(cfg); err != nil {
		return nil, err
	}
	if err := p.place(); err != nil {
		return nil, err
	}
	if err := p.watch(); err != nil {
		return nil, err
	}
	for _, q := range p.quantizers() {
		st, err := q.State()
		if err != nil {
			return nil, err
		}
		p.initial = append(p.initial, st)
	}
	return p, nil
}

// findStatic marks the values that depend on no input (parameters, constants and
// what is computed from them alone) and those that depend on a parameter.
func (p *plan) findStatic() {
	for _, v := range p.net.Values {
		if v.Producer == nil {
			p.static[v] = v.Role != graph.Input
			p.learned[v] = v.Role == graph.Param
		}
	}
	for _, l := range p.net.Layers {
		p.static[l.Out] = !slices.ContainsFunc(l.In, func(v *graph.Value) bool { return !p.static[v] })
		p.learned[l.Out] = l.BN != nil || slices.ContainsFunc(l.In, func(v *graph.Value) bool { return p.learned[v] })
	}
}

// findStatistics collects the running statistics of batch normalisations: those of
// goqat's own op are shared with it, those of Gorgonia's are copied. Gorgonia's
// variance is 0 before any training; that means 1.
func (p *plan) findStatistics() error {
	for _, l := range slices.Concat(p.net.Layers, p.net.Carried.Layers) {
		if l.BN == nil {
			continue
		}
		if l.BN.State != nil {
			p.bn[l] = l.BN.State
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
		p.bn[l] = st
	}
	return nil
}

// skipped returns the reader's reason for leaving a layer as a stock op.
func (p *plan) skipped(name string) string {
	for _, n := range p.net.Skipped {
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
func (p *plan) fuse() {
	uses := map[*graph.Value][]*graph.Layer{}
	for _, l := range p.net.Layers {
		for _, v := range l.In {
			uses[v] = append(uses[v], l)
		}
	}
	for _, v := range p.net.Outputs {
		uses[v] = append(uses[v], nil)
	}
	for v := range p.net.Carried.Seen {
		uses[v] = append(uses[v], nil)
	}
	taken := map[*graph.Layer]bool{}
	for _, src := range p.net.Layers {
		if taken[src] {
			continue
		}
		l := &layer{name: src.Name, op: src.Op, in: src.In, out: src.Out, src: []*graph.Layer{src}}
		if src.Opaque {
			l.kind, l.why = "opaque", p.skipped(src.Name)
		} else {
			l.kind = src.Op.Kind()
		}
		l.weighted = p.isWeighted(src)
		if l.weighted && len(src.In) > 2 { // a bias as the third operand
			l.in, l.bias = src.In[:2:2], src.In[2]
		}
		for {
			next := uses[l.out]
			if len(next) != 1 || next[0] == nil || !p.absorb(l, next[0]) {
				break
			}
			taken[next[0]] = true
			l.src = append(l.src, next[0])
			l.out = next[0].Out
		}
		p.layers = append(p.layers, l)
		p.by[l.out] = l
	}
}

// isWeighted reports whether l is a convolution or matrix product of an activation
// with weights.
func (p *plan) isWeighted(l *graph.Layer) bool {
	switch l.Op.(type) {
	case nn.Conv, nn.MatMul:
		if len(l.In) > 2 && !p.static[l.In[2]] {
			return false
		}
		return !p.static[l.In[0]] && p.static[l.In[1]] && len(l.In[1].Shape) == weightRank(l.Op)
	}
	return false
}

// absorb takes next into l if it fits behind what l already has.
func (p *plan) absorb(l *layer, next *graph.Layer) bool {
	if next.Opaque || l.act != nil || p.static[l.out] {
		return false
	}
	switch op := next.Op.(type) {
	case nn.Binary:
		if !l.weighted || op.Fn != "add" || l.bias != nil || l.bn != nil {
			return false
		}
		b := otherOperand(next, l.out)
		if b == nil || !p.static[b] || !isChannelShape(b.Shape, l.out.Shape, channelAxis(l.op)) {
			return false
		}
		l.bias = b
		return true
	case nn.BatchNorm:
		if p.unfolded || !l.weighted || l.bn != nil || next.In[0] != l.out || channelAxis(l.op) != 1 || !foldable(p, next) {
			return false
		}
		l.bn = next
		return true
	case nn.Unary:
		if !isActivation(op) || !p.takesActivation(l) {
			return false
		}
		l.act = &op
		return true
	}
	return false
}

// foldable: the scale and shift are parameters, and the statistics are known.
func foldable(p *plan, bn *graph.Layer) bool {
	return bn.BN != nil && (bn.BN.Gamma == nil || p.static[bn.BN.Gamma]) && (bn.BN.Beta == nil || p.static[bn.BN.Beta])
}

func (p *plan) takesActivation(l *layer) bool {
	switch op := l.op.(type) {
	case nn.BatchNorm:
		return true
	case nn.Binary:
		return quantizedBinary(op) && p.allData(l)
	case nn.MatMul:
		return l.weighted || p.allData(l)
	}
	return l.weighted
}

// quantizedBinary reports whether results of op on two activations become codes.
// Quotients and powers do not: their range depends on single small operands.
func quantizedBinary(op nn.Binary) bool { return op.Fn == "add" || op.Fn == "sub" || op.Fn == "mul" }

// allData reports whether every operand depends on an input.
func (p *plan) allData(l *layer) bool {
	return !slices.ContainsFunc(l.in, func(v *graph.Value) bool { return p.static[v] })
}

func isActivation(u nn.Unary) bool {
	switch u.Fn {
	case "relu", "clip", "leaky_relu", "sigmoid", "tanh", "softplus":
		return true
	}
	return false
}

func weightRank(op nn.Op) int {
	if _, ok := op.(nn.Conv); ok {
		return 4
	}
	return 2
}

// channelAxis is the axis of the result that holds output channels.
func channelAxis(op nn.Op) int {
	switch op.(type) {
	case nn.Conv, nn.MatMul:
		return 1
	}
	return -1
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
func (p *plan) leaveFloat() {
	for _, l := range p.layers {
		if l.why == "" {
			l.why = leftFloat
		}
	}
}

// leftFloat is the reason of layers that the config leaves alone.
const leftFloat = "left float by the config"

// configure gives each layer its settings.
func (p *plan) configure(cfg qconfig.Config) error {
	var names, kinds []string
	for _, l := range p.layers {
		names = append(names, l.name)
		if !slices.Contains(kinds, l.kind) {
			kinds = append(kinds, l.kind)
		}
	}
	if err := cfg.CheckNames(names, kinds); err != nil {
		return err
	}
	for _, l := range p.layers {
		l.cfg, l.on = cfg.Resolve(l.name, l.kind)
		if !l.on && l.why == "" {
			l.why = leftFloat
		}
		if err := l.checkBlockSize(cfg); err != nil {
			return err
		}
	}
	return nil
}

// checkBlockSize refuses a block size that was set for this very layer and is larger
// than its axis. One that was set for many layers is cut to each; see placeWeights.
func (l *layer) checkBlockSize(cfg qconfig.Config) error {
	if !l.weighted {
		return nil
	}
	_, in := weightAxes(l.op)
	return cfg.CheckBlockSize(l.name, l.in[1].Shape, in)
}

// errorf names a layer.
func (l *layer) errorf(format string, args ...any) error {
	return &fakequant.LayerError{Layer: l.name, Err: fmt.Errorf(format, args...)}
}

// quantizers returns all quantizers: activations in network order, then weights.
func (p *plan) quantizers() []*fakequant.Quantizer {
	var qs []*fakequant.Quantizer
	for _, g := range p.order {
		qs = append(qs, g.q)
	}
	for _, l := range p.layers {
		if l.wq != nil {
			qs = append(qs, l.wq)
		}
	}
	return qs
}

// names lists layers and inputs.
func (p *plan) names() []string {
	ns := names(p.net.Inputs)
	for _, l := range p.layers {
		ns = append(ns, l.name)
	}
	return ns
}

// owner returns the layer whose settings a group of activations has; nil for that
// of an input.
func (p *plan) owner(g *group) *layer { return p.by[g.members[0]] }

// nameOf is how SetObserving calls the group's tensor.
func (p *plan) nameOf(g *group) string {
	if l := p.by[g.members[0]]; l != nil {
		return l.name
	}
	return g.members[0].Name
}

func names(vs []*graph.Value) []string {
	out := make([]string, len(vs))
	for i, v := range vs {
		out[i] = v.Name
	}
	return out
}

// owned are the quantizers of one layer or input.
type owned struct {
	name, kind string
	weights    *fakequant.Quantizer // may be nil
	results    []*fakequant.Quantizer
}

func (o owned) has(q *fakequant.Quantizer) bool {
	return q == o.weights || slices.Contains(o.results, q)
}

// owners lists what has quantizers, in network order.
func (p *plan) owners() []owned {
	results := map[string][]*fakequant.Quantizer{}
	for _, g := range p.order {
		results[p.nameOf(g)] = append(results[p.nameOf(g)], g.q)
	}
	var all []owned
	for _, v := range p.net.Inputs {
		all = append(all, owned{name: v.Name, kind: "input", results: results[v.Name]})
	}
	for _, l := range p.layers {
		all = append(all, owned{name: l.name, kind: l.kind, weights: l.wq, results: results[l.name]})
	}
	return slices.DeleteFunc(all, func(o owned) bool { return o.weights == nil && len(o.results) == 0 })
}
