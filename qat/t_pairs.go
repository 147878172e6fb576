package qat

import (
	"fmt"
	"slices"

	"github.com/goqat/goqat/internal/graph"
	"github.com/goqat/goqat/internal/nn"
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
func geometryOf(l *layer) weightGeometry {
	shape := l.in[1].Shape
	switch op := l.op.(type) {
	case nn.Conv:
		taps := shape[2] * shape[3]
		return weightGeometry{out: shape[0], in: shape[1] * op.Groups, cols: shape[1] * taps, taps: taps, perOut: shape[1], groups: op.Groups}
	case nn.MatMul:
		if !op.TransB {
			return weightGeometry{out: shape[1], in: shape[0], cols: shape[0], taps: 1, perOut: shape[0], groups: 1, across: true}
		}
	}
	return weightGeometry{out: shape[0], in: shape[1], cols: shape[1], taps: 1, perOut: shape[1], groups: 1}
}

// at is the index of column j of output channel k.
func (g weightGeometry) at(k, j int) int {
	if g.across {
		return j*g.out + k
	}
	return k*g.cols + j
}

// each calls f for every weight with its index, output and input channel.
func (g weightGeometry) each(f func(i, out, in int)) {
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
	from, to *layer
	owner    []int
}

// findPairs lists the pairs in network order, and for the other weighted layers why
// they have no partner.
func (p *plan) findPairs() ([]pair, []BrokenPair) {
	readers := map[*graph.Value][]*layer{}
	shared := map[*graph.Value]int{} // how many layers of the net read a parameter
	for _, l := range p.layers {
		for _, v := range l.in {
			readers[v] = append(readers[v], l)
		}
	}
	for _, l := range slices.Concat(p.net.Layers, p.carriedUsers()) {
		for _, v := range l.In {
			shared[v]++
		}
	}
	w := walker{p: p, readers: readers, shared: shared}
	var pairs []pair
	var broken []BrokenPair
	for _, l := range p.layers {
		if !l.weighted || p.static[l.out] {
			continue
		}
		to, owner, why := w.follow(l)
		if why == "" && l.wq == nil && to.wq == nil {
			why = "neither it nor " + to.name + " has quantized weights"
		}
		if why != "" {
			broken = append(broken, BrokenPair{l.name, why})
			continue
		}
		pairs = append(pairs, pair{l, to, owner})
	}
	return pairs, broken
}

// walker follows values from one weighted layer to the next.
type walker struct {
	p       *plan
	readers map[*graph.Value][]*layer
	shared  map[*graph.Value]int
}

// follow returns the weighted layer behind l and the owners of its input channels, or
// why there is none.
func (w walker) follow(l *layer) (to *layer, owner []int, why string) {
	if why := w.scalable(l, true); why != "" {
		return nil, nil, why
	}
	if why := homogeneous(l.act); why != "" {
		return nil, nil, why
	}
	v := l.out
	owner = planes(v.Shape)
	for {
		next, why := w.only(v)
		if why != "" {
			return nil, nil, why
		}
		if next.weighted {
			if why := w.scalable(next, false); why != "" {
				return nil, nil, next.name + ": " + why
			}
			owner, why = inputOwners(next, v.Shape, owner)
			return next, owner, why
		}
		if owner, why = through(next, v.Shape, owner); why != "" {
			return nil, nil, why
		}
		v = next.out
	}
}

// only returns the one layer that reads v.
func (w walker) only(v *graph.Value) (*layer, string) {
	for _, out := range w.p.net.Outputs {
		if out == v {
			return nil, "its result leaves the network"
		}
	}
	if w.p.net.Carried.Seen[v] {
		return nil, "its result is also read beside the network"
	}
	rs := w.readers[v]
	switch {
	case len(rs) == 0:
		return nil, "nothing reads its result"
	case len(rs) > 1:
		return nil, fmt.Sprintf("%d layers read its result", len(rs))
	case rs[0].op == nil:
		return nil, fmt.Sprintf("%s, behind it, is a stock op", rs[0].name)
	}
	return rs[0], ""
}

// scalable says why the parameters of l cannot be scaled: its output channels, or else
// its input channels.
func (w walker) scalable(l *layer, outputs bool) string {
	params := []*graph.Value{l.in[1]}
	if m, ok := l.op.(nn.MatMul); ok && m.TransA {
		return "its input is transposed"
	}
	if outputs {
		switch {
		case l.bn != nil && (l.bn.BN.Gamma == nil || l.bn.BN.Beta == nil):
			return "its batch normalisation has no gamma and beta to scale"
		case l.bn != nil:
			params = []*graph.Value{l.bn.BN.Gamma, l.bn.BN.Beta}
		case l.bias != nil:
			params = append(params, l.bias)
		}
	}
	for i, v := range params {
		if i > 0 || l.in[1] != v { // a vector may come in another shape
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
func homogeneous(act *nn.Unary) string {
	if act == nil || act.Fn == "relu" || act.Fn == "leaky_relu" {
		return ""
	}
	if act.Fn == "clip" {
		return "clip (ReLU6) has a fixed bound that scaling would move"
	}
	return act.Fn + " does not pass a scale on"
}

// planes says for each element of one row which channel (axis 1) it belongs to.
func planes(shape []int) []int {
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
func through(l *layer, shape, owner []int) ([]int, string) {
	if why := homogeneous(l.act); why != "" {
		return nil, why
	}
	switch op := l.op.(type) {
	case nn.Unary:
		return owner, homogeneous(&op)
	case nn.Dropout:
		return owner, ""
	case nn.Reshape:
		if out := l.out.Shape; len(out) > 0 && len(shape) > 0 && out[0] == shape[0] {
			return owner, ""
		}
		return nil, l.name + " mixes rows"
	case nn.Pool, nn.GlobalAvgPool:
		channel, why := channelOwners(l, shape, owner)
		if why != "" {
			return nil, why
		}
		out := planes(l.out.Shape)
		for i, c := range out {
			out[i] = channel[c]
		}
		return out, ""
	}
	return nil, fmt.Sprintf("%s, behind it, does not keep channels apart", l.name)
}

// channelOwners returns the owner of each channel (axis 1), which all its elements
// must share.
func channelOwners(l *layer, shape, owner []int) ([]int, string) {
	channels := planes(shape)
	if len(channels) != len(owner) {
		return nil, l.name + " sees other channels"
	}
	out := make([]int, shape[1])
	for i := range out {
		out[i] = -1
	}
	for i, c := range channels {
		if out[c] >= 0 && out[c] != owner[i] {
			return nil, l.name + " mixes channels"
		}
		out[c] = owner[i]
	}
	return out, ""
}

// inputOwners returns the owner of each input channel of a weighted layer.
func inputOwners(l *layer, shape, owner []int) ([]int, string) {
	if len(owner) == 0 {
		return nil, l.name + " sees no channels"
	}
	return channelOwners(l, shape, owner)
}
