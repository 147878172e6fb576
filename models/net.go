package models

import (
	"errors"
	"fmt"
	"slices"

	"github.com/goqat/goqat/internal/graph"
	"github.com/goqat/goqat/internal/ops"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// Errors that callers may want to tell apart with errors.Is.
var (
	// ErrConfig: a setting of a layer or network is out of its range.
	ErrConfig = errors.New("bad setting")
	// ErrShape: a tensor does not have the shape that a layer needs.
	ErrShape = errors.New("shape does not fit")
	// ErrWeights: a weights file does not fit the network.
	ErrWeights = errors.New("weights do not fit")
)

// Param is a learned tensor. Data is the network's own memory: writing to it
// changes every graph built on the network.
type Param struct {
	Name  string // such as "conv1.weight"
	Shape []int
	Data  []float32 // row-major
}

// Net holds the parameters and the batch norm statistics of a network, apart from
// any graph. Graphs for any batch size are built on it and share its memory. A Net
// may be built from and read by one goroutine at a time.
type Net struct {
	input  []int // shape of one row
	layer  Layer
	seed   uint64
	params []Param
	norms  []norm
}

// norm is the state of one batch normalisation layer.
type norm struct {
	name  string
	state *ops.BNState
}

// Graph is one graph of a [Net].
type Graph struct {
	G      *gorgonia.ExprGraph
	X      *gorgonia.Node // float32 input [batch, row…], all zero at first
	Logits *gorgonia.Node // what the network returns
	Params gorgonia.Nodes // in the order of Net.Params, named as there
	xData  []float32      // backing of X's first value
}

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

// Input returns the shape of one row. The caller must not change it.
func (n *Net) Input() []int { return n.input }

// Params returns the learned parameters in the order in which the layers use them.
// The slice is the caller's, the Data the network's.
func (n *Net) Params() []Param { return slices.Clone(n.params) }

// Size returns the number of learned values.
func (n *Net) Size() int {
	total := 0
	for _, p := range n.params {
		total += len(p.Data)
	}
	return total
}

// Clone returns a network with a copy of all parameters and statistics.
func (n *Net) Clone() *Net {
	c := &Net{input: n.input, layer: n.layer, seed: n.seed, params: n.Params()}
	for i := range c.params {
		c.params[i].Data = slices.Clone(c.params[i].Data)
	}
	for _, s := range n.norms {
		st := ops.NewBNState(len(s.state.Mean), s.state.Momentum, s.state.Eps)
		copy(st.Mean, s.state.Mean)
		copy(st.Variance, s.state.Variance)
		st.Freeze(s.state.Frozen())
		c.norms = append(c.norms, norm{s.name, st})
	}
	return c
}

// FreezeStatistics makes training graphs normalise with the running statistics and
// leave them alone; false goes back to the statistics of the batch.
func (n *Net) FreezeStatistics(frozen bool) {
	for _, s := range n.norms {
		s.state.Freeze(frozen)
	}
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

// SetX copies a batch into the input. It fails, wrapping ErrShape, on a wrong
// length.
func (g *Graph) SetX(x []float32) error {
	if len(x) != len(g.xData) {
		return fmt.Errorf("models: %w: %d elements for an input of shape %v", ErrShape, len(x), g.X.Shape())
	}
	v, ok := g.X.Value().(*tensor.Dense)
	if !ok || v.Dtype() != tensor.Float32 {
		return fmt.Errorf("models: %w: input holds %T, want a float32 tensor", ErrShape, g.X.Value())
	}
	copy(v.Float32s(), x) // the caller may have Let another tensor
	return nil
}
