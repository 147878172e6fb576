package qat

import (
	"github.com/goqat/goqat/internal/graph"
	"gorgonia.org/gorgonia"
)

// InputNodes returns the nodes of the new graph to Let data to, in the order of
// [Prepared.Inputs].
func (p *Prepared) InputNodes() gorgonia.Nodes {
	return p.pick(p.plan.net.Inputs, p.train.raw)
}

// OutputNodes returns the new graph's nodes for the outputs given to Prepare, in
// that order. The loss is built on them.
func (p *Prepared) OutputNodes() gorgonia.Nodes {
	return p.pick(p.plan.net.Outputs, p.train.nodes)
}

func (p *Prepared) pick(vs []*graph.Value, from map[*graph.Value]*gorgonia.Node) gorgonia.Nodes {
	ns := make(gorgonia.Nodes, len(vs))
	for i, v := range vs {
		ns[i] = from[v]
	}
	return ns
}
