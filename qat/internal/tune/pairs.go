package tune

// This file says which layers may scale each other's channels.

import (
	"fmt"
	"slices"

	"github.com/goqat/goqat/internal/graph"
	"github.com/goqat/goqat/internal/nn"
	"github.com/goqat/goqat/qat/internal/plan"
	"github.com/goqat/goqat/qat/ptq"
)

// weightGeometry says which output and input channel each weight belongs to.
type weightGeometry struct {
	out, in int // output channels; input channels, over all groups
	cols    int // weights of one output channel: channels of a group times taps
	taps    int // weights of one output and one input channel
	perOut  int // input channels that one output channel sees
	groups  int
	across  bool // the matrix is [in, out]: weight (k, j) is at j*out + k
}

// geometryOf is for weighted layers.
func geometryOf(l *plan.Layer) weightGeometry {
	shape := l.In[1].Shape
	switch op := l.Op.(type) {
	case nn.Conv:
		return convGeometry(shape, op.Groups)
	case nn.ConvTranspose:
		return convGeometry(shape, op.Groups)
	case nn.MatMul:
		if !op.TransB {
			return weightGeometry{out: shape[1], in: shape[0], cols: shape[0], taps: 1, perOut: shape[0], groups: 1, across: true}
		}
	}
	return weightGeometry{out: shape[0], in: shape[1], cols: shape[1], taps: 1, perOut: shape[1], groups: 1}
}

// convGeometry is that of weights [K,C/groups,R,S].
func convGeometry(shape []int, groups int) weightGeometry {
	taps := shape[2] * shape[3]
	return weightGeometry{out: shape[0], in: shape[1] * groups, cols: shape[1] * taps, taps: taps, perOut: shape[1], groups: groups}
}

// at is the index of column j of output channel k.
func (g weightGeometry) at(k, j int) int {
	if g.across {
		return j*g.out + k
	}
	return k*g.cols + j
}

// Each calls f for every weight with its index, output and input channel.
func (g weightGeometry) Each(f func(i, out, in int)) {
	for k := range g.out {
		first := k / (g.out / g.groups) * g.perOut
		for j := range g.cols {
			f(g.at(k, j), k, first+j/g.taps)
		}
	}
}

// pair is two weighted layers with nothing between them that minds a scale per
// channel. owner[i] is the output channel of from that input channel i of to holds.
type pair struct {
	From, To *plan.Layer
	Owner    []int
}

// FindPairs lists the pairs in network order, and for the other weighted layers why
// they have no partner.
func FindPairs(p *plan.Plan) ([]pair, []ptq.BrokenPair) {
	readers := map[*graph.Value][]*plan.Layer{}
	for _, l := range p.Layers {
		for _, v := range l.In {
			readers[v] = append(readers[v], l)
		}
	}
	w := walker{p: p, readers: readers, shared: countReaders(slices.Concat(p.Net.Layers, p.CarriedUsers()))}
	var pairs []pair
	var broken []ptq.BrokenPair
	for _, l := range p.Layers {
		if !l.Weighted || p.Static[l.Out] {
			continue
		}
		to, owner, why := w.follow(l)
		if why == "" && l.WeightQuantizer == nil && to.WeightQuantizer == nil {
			why = "neither it nor " + to.Name + " has quantized weights"
		}
		if why != "" {
			broken = append(broken, ptq.BrokenPair{Layer: l.Name, Why: why})
			continue
		}
		pairs = append(pairs, pair{l, to, owner})
	}
	return pairs, broken
}

// countReaders counts the layers that read each value, as it is or in another shape or
// order.
func countReaders(layers []*graph.Layer) map[*graph.Value]int {
	n := map[*graph.Value]int{}
	for _, l := range layers {
		if nn.TraitsOf(l.Op).Relayout {
			continue // its readers count
		}
		for _, v := range l.In {
			for n[v]++; v != v.Base(); n[v]++ {
				v = v.Producer.In[0]
			}
		}
	}
	return n
}

// walker follows values from one weighted layer to the next.
type walker struct {
	p       *plan.Plan
	readers map[*graph.Value][]*plan.Layer
	shared  map[*graph.Value]int
}

// follow returns the weighted layer behind l and the owners of its input channels, or
// why there is none.
func (w walker) follow(l *plan.Layer) (to *plan.Layer, owner []int, why string) {
	if why := w.scalable(l, true); why != "" {
		return nil, nil, why
	}
	if why := homogeneousAct(l.Act); why != "" {
		return nil, nil, why
	}
	v := l.Out
	owner = Planes(v.Shape)
	for {
		next, why := w.only(v)
		if why != "" {
			return nil, nil, why
		}
		if next.Weighted {
			if why := w.scalable(next, false); why != "" {
				return nil, nil, next.Name + ": " + why
			}
			owner, why = inputOwners(next, v.Shape, owner)
			return next, owner, why
		}
		if owner, why = through(next, v.Shape, owner); why != "" {
			return nil, nil, why
		}
		v = next.Out
	}
}

// only returns the one layer that reads v.
func (w walker) only(v *graph.Value) (*plan.Layer, string) {
	for _, out := range w.p.Net.Outputs {
		if out == v {
			return nil, "its result leaves the network"
		}
	}
	if w.p.Net.Carried.Seen[v] {
		return nil, "its result is also read beside the network"
	}
	rs := w.readers[v]
	switch {
	case len(rs) == 0:
		return nil, "nothing reads its result"
	case len(rs) > 1:
		return nil, fmt.Sprintf("%d layers read its result", len(rs))
	case rs[0].Op == nil:
		return nil, fmt.Sprintf("%s, behind it, is a stock op", rs[0].Name)
	}
	return rs[0], ""
}

// scalable says why the parameters of l cannot be scaled: its output channels, or else
// its input channels.
func (w walker) scalable(l *plan.Layer, outputs bool) string {
	params := []*graph.Value{l.In[1]}
	if m, ok := l.Op.(nn.MatMul); ok && m.TransA {
		return "its input is transposed"
	}
	if outputs {
		switch {
		case l.BatchNorm != nil && (l.BatchNorm.BN.Gamma == nil || l.BatchNorm.BN.Beta == nil):
			return "its batch normalisation has no gamma and beta to scale"
		case l.BatchNorm != nil:
			params = []*graph.Value{l.BatchNorm.BN.Gamma, l.BatchNorm.BN.Beta}
		case l.Bias != nil:
			params = append(params, l.Bias)
		}
	}
	for i, v := range params {
		if i > 0 || l.In[1] != v { // a vector may come in another shape
			for v.Base() != v && w.shared[v] == 1 {
				v = v.Producer.In[0]
			}
		}
		if v.Role != graph.Param {
			return fmt.Sprintf("%s is computed or constant, so it cannot be scaled", v.Name)
		}
		if w.shared[v] > 1 {
			return fmt.Sprintf("%s is read by other layers too", v.Name)
		}
	}
	return ""
}

// homogeneous says why f(s·x) = s·f(x) does not hold for s > 0.
func homogeneous(fn nn.Op) string {
	switch t := nn.TraitsOf(fn); {
	case t.Homogeneous:
		return ""
	case t.Clips:
		return "clip (ReLU6) has a fixed bound that scaling would move"
	}
	return fn.Kind() + " does not pass a scale on"
}

// homogeneousAct is homogeneous of an activation, nil for none.
func homogeneousAct(act *nn.Unary) string {
	if act == nil {
		return ""
	}
	return homogeneous(*act)
}

// Planes says for each element of one row which channel (axis 1) it belongs to.
func Planes(shape []int) []int {
	if len(shape) < 2 {
		return nil
	}
	per := 1
	for _, d := range shape[2:] {
		per *= d
	}
	owner := make([]int, shape[1]*per)
	for i := range owner {
		owner[i] = i / per
	}
	return owner
}

// through carries owners past a layer without weights.
func through(l *plan.Layer, shape, owner []int) ([]int, string) {
	if why := homogeneousAct(l.Act); why != "" {
		return nil, why
	}
	switch t := nn.TraitsOf(l.Op); {
	case t.Elementwise:
		return owner, homogeneous(l.Op)
	case t.Identity:
		return owner, ""
	case t.Copies:
		if out := l.Out.Shape; len(out) > 0 && len(shape) > 0 && out[0] == shape[0] {
			return owner, ""
		}
		return nil, l.Name + " mixes rows"
	case t.ChannelsApart:
		channel, why := channelOwners(l, shape, owner)
		if why != "" {
			return nil, why
		}
		out := Planes(l.Out.Shape)
		for i, c := range out {
			out[i] = channel[c]
		}
		return out, ""
	}
	return nil, fmt.Sprintf("%s, behind it, does not keep channels apart", l.Name)
}

// channelOwners returns the owner of each channel (axis 1), which all its elements
// must share.
func channelOwners(l *plan.Layer, shape, owner []int) ([]int, string) {
	channels := Planes(shape)
	if len(channels) != len(owner) {
		return nil, l.Name + " sees other channels"
	}
	out := make([]int, shape[1])
	for i := range out {
		out[i] = -1
	}
	for i, c := range channels {
		if out[c] >= 0 && out[c] != owner[i] {
			return nil, l.Name + " mixes channels"
		}
		out[c] = owner[i]
	}
	return out, ""
}

// inputOwners returns the owner of each input channel of a weighted layer.
func inputOwners(l *plan.Layer, shape, owner []int) ([]int, string) {
	if len(owner) == 0 {
		return nil, l.Name + " sees no channels"
	}
	return channelOwners(l, shape, owner)
}
