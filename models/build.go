package models

import (
	"fmt"
	"slices"

	"github.com/goqat/goqat/internal/graph"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// How is a network made, and how does it become a graph?

// New makes a network for rows of the given shape, such as {1, 28, 28}, and
// initialises its parameters from the seed. Weights and biases of Conv2D and
// Linear are uniform in ±1/sqrt(fan-in), PyTorch's default; gamma is 1, beta 0. The
// numbers of a parameter depend on the seed and its name only.
//
// The layer is run once here to find the parameters, and once in each Build. It
// must be a pure function of its arguments.
func New(input []int, layer Layer, seed uint64) (*Net, error) {
	if layer == nil {
		return nil, fmt.Errorf("models: %w: no layer", ErrConfig)
	}
	for _, d := range input {
		if d < 1 {
			return nil, fmt.Errorf("models: %w: input shape %v: every size must be at least 1", ErrConfig, input)
		}
	}
	n := &Net{input: slices.Clone(input), layer: layer, seed: seed}
	if _, err := n.build(1, false, true); err != nil {
		return nil, err
	}
	return n, nil
}

// Build makes a new graph for the given batch size on the network's parameters.
// With training set, Dropout drops and BatchNorm uses and records the statistics
// of the batch. Graphs on the same network must not run at the same time.
func (n *Net) Build(batch int, training bool) (*Graph, error) {
	if batch < 1 {
		return nil, fmt.Errorf("models: %w: batch of %d, want at least 1", ErrConfig, batch)
	}
	return n.build(batch, training, false)
}

func (n *Net) build(batch int, training, create bool) (g *Graph, err error) {
	defer func() { // Gorgonia panics where it could return errors
		if r := recover(); r != nil {
			g, err = nil, fmt.Errorf("models: panic while building: %v", r)
		}
	}()
	shape := append([]int{batch}, n.input...)
	g = &Graph{G: gorgonia.NewGraph(), xData: make([]float32, tensor.Shape(shape).TotalSize())}
	g.X = gorgonia.NewTensor(g.G, tensor.Float32, len(shape), gorgonia.WithName("x"), graph.Mark(graph.Input), gorgonia.WithShape(shape...),
		gorgonia.WithValue(tensor.New(tensor.WithShape(shape...), tensor.WithBacking(g.xData))))
	b := newBuilder(n, g, training, create)
	g.Logits = n.layer.Apply(b, g.X)
	if b.err == nil && g.Logits == nil {
		b.err = fmt.Errorf("%w: the network returned no node", ErrConfig)
	}
	if b.err != nil {
		return nil, fmt.Errorf("models: %w", b.err)
	}
	g.Params = make(gorgonia.Nodes, len(n.params))
	for i, p := range n.params {
		if g.Params[i] = b.nodes[p.Name]; g.Params[i] == nil {
			return nil, fmt.Errorf("models: %w: parameter %q was there in New but not in Build: a layer must always do the same",
				ErrConfig, p.Name)
		}
	}
	return g, nil
}
