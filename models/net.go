package models

import (
	"errors"
	"fmt"
	"slices"

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

// Layer adds nodes to a graph. Apply takes and returns nodes of b's graph. It may
// be called with a nil node after an earlier error, and returns nil after an
// error of its own, which b keeps.
type Layer interface {
	Apply(b *Builder, x *gorgonia.Node) *gorgonia.Node
}

// Builder is what layers build with. After the first error it does nothing more;
// New and Build return that error.
type Builder struct {
	net      *Net
	g        *gorgonia.ExprGraph
	training bool
	create   bool // parameters not there yet are made
	nodes    map[string]*gorgonia.Node
	states   map[string]bool // statistics used so far
	learned  map[*gorgonia.Node]bool
	prefix   string
	counts   map[string]int // of unnamed layers, by kind, within prefix
	drops    uint64
	err      error
}
