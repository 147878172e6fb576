package graph

import (
	"fmt"

	"gorgonia.org/gorgonia"
)

// ApplyStock applies a copy of an opaque layer's stock op to operands in graph g.
// The op may have the batch size of the traced graph built in.
func ApplyStock(g *gorgonia.ExprGraph, l *Layer, in []*gorgonia.Node) (n *gorgonia.Node, err error) {
	defer recovered("layer "+l.Name, &err)
	if !l.Opaque || len(l.Nodes) == 0 {
		return nil, fmt.Errorf("graph: layer %s is not a stock op", l.Name)
	}
	return applyCopy(g, l.Nodes[len(l.Nodes)-1], in)
}
