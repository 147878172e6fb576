package plan

// This file says where a bias belongs that is added behind a sum.

import (
	"slices"

	"github.com/goqat/goqat/internal/graph"
	"github.com/goqat/goqat/internal/nn"
)

// moveBiases turns (x·W + h·U) + b, as the gates of recurrent layers are written, into
// (x·W + b) + h·U: the product takes the bias in, and the sum the activation behind it.
// The result differs by the rounding of one sum.
func (p *Plan) moveBiases() {
	net := p.Net
	readers := net.Consumers()
	inner := func(v *graph.Value) bool { // only one layer needs it
		return v.Producer != nil && len(readers[v]) == 1 && !slices.Contains(net.Outputs, v) && !net.Carried.Seen[v]
	}
	gone, front := map[*graph.Layer]bool{}, map[*graph.Layer]*graph.Layer{} // sums, and what stands in front of a layer instead
	for i, l := range net.Layers {
		b, s := biasOf(l)
		if b == nil || !inner(s) {
			continue
		}
		sum := s.Producer
		at := slices.IndexFunc(sum.In, func(v *graph.Value) bool {
			return inner(v) && isProduct(v.Producer) && slices.Equal(v.Shape, s.Shape) &&
				isChannelShape(b.Shape, s.Shape, nn.TraitsOf(v.Producer.Op).Weights.Channels)
		})
		if !adds(sum) || at < 0 || !slices.Equal(l.Out.Shape, s.Shape) {
			continue
		}
		product, other := sum.In[at], sum.In[1-at]
		// What the program calls the sum is computed no more.
		first, last := *sum, *l
		first.Out = &graph.Value{Name: product.Name + ".bias", Shape: s.Shape, BatchAxis: s.BatchAxis, Producer: &first}
		first.In, last.In = []*graph.Value{product, b}, []*graph.Value{first.Out, other}
		last.Out.Producer = &last
		gone[sum], front[&last], net.Layers[i] = true, &first, &last
		net.Values[slices.Index(net.Values, s)] = first.Out
	}
	var layers []*graph.Layer
	for _, l := range net.Layers {
		if f := front[l]; f != nil { // the bias may be computed behind the old sum
			layers = append(layers, f)
		}
		if !gone[l] {
			layers = append(layers, l)
		}
	}
	net.Layers = layers
}

// adds reports whether l is a plain sum of two tensors.
func adds(l *graph.Layer) bool {
	return l != nil && !l.Opaque && nn.TraitsOf(l.Op).Adds && len(l.In) == 2 && l.In[0] != l.In[1]
}

// isProduct reports whether l multiplies with weights and has no bias.
func isProduct(l *graph.Layer) bool {
	w := nn.TraitsOf(l.Op).Weights
	return w != nil && len(l.In) == 2 && constantLeaf(l.In[1]) && !constantLeaf(l.In[0]) && len(l.In[1].Shape) == w.Rank
}

// biasOf returns the constant that l adds to a sum, and the sum; nil for another layer.
func biasOf(l *graph.Layer) (b, s *graph.Value) {
	if !adds(l) {
		return nil, nil
	}
	for i, v := range l.In {
		if u := l.In[1-i]; constantLeaf(v) && adds(u.Producer) {
			return v, u
		}
	}
	return nil, nil
}
