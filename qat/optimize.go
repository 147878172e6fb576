package qat

import (
	"fmt"

	"github.com/goqat/goqat/fakequant/fqop"
	"github.com/goqat/goqat/internal/graph"
	"github.com/goqat/goqat/qat/qconfig"
	"gorgonia.org/gorgonia"
)

// Optimized is a float network written anew with goqat's own ops: several times as
// fast as with Gorgonia's, and right where those compute wrongly. Nothing in it is
// quantized; batch normalisations stay what they are. It is for one goroutine at a
// time.
type Optimized struct {
	p *Prepared
}

// Optimize reads the part of g that the outputs depend on and writes it as a new
// float32 graph for training. g is not changed, may already have gradients, and
// should not be run while the new graph trains: both share the memory of the
// weights, and that of the running statistics of goqat's own batch normalisations. Ops that
// goqat does not know stay as they are. Errors name the node or layer.
//
// Build the loss behind [Optimized.Node] of the outputs, call gorgonia.Grad with
// [Optimized.Learnables] and run it with [Optimized.Machine].
func Optimize(g *gorgonia.ExprGraph, outputs ...*gorgonia.Node) (*Optimized, error) {
	return OptimizeInputs(nil, g, outputs...)
}

// OptimizeInputs is [Optimize] for graphs some of whose data leaves have values and
// could pass for parameters; inputs are their names, as in [Config].
func OptimizeInputs(inputs []string, g *gorgonia.ExprGraph, outputs ...*gorgonia.Node) (*Optimized, error) {
	q := &Quantizer{cfg: qconfig.Config{Inputs: inputs}}
	if err := q.checkPrepare(g, outputs); err != nil {
		return nil, fmt.Errorf("qat: optimize: %w", err)
	}
	net, err := graph.Read(g, outputs, graph.Options{Inputs: inputs})
	if err != nil {
		return nil, fmt.Errorf("qat: optimize: %w", err)
	}
	p := blankPlan(net)
	p.unfolded = true
	p.findStatic()
	if err := p.findStatistics(); err != nil {
		return nil, fmt.Errorf("qat: optimize: %w", err)
	}
	p.fuse()
	train, err := p.emit(net.Batch, fqop.Train, true, 1)
	if err != nil {
		return nil, fmt.Errorf("qat: optimize: %w", err)
	}
	return &Optimized{&Prepared{plan: p, train: train, evals: map[evalKey]*evaluator{}}}, nil
}

// Graph returns the new graph.
func (o *Optimized) Graph() *gorgonia.ExprGraph { return o.p.Graph() }

// Node returns what stands in the new graph for a node of the user's; nil for nodes
// that the outputs do not depend on and for those inside a layer with its bias or
// activation.
func (o *Optimized) Node(old *gorgonia.Node) *gorgonia.Node { return o.p.Node(old) }

// InputNodes returns the nodes of the new graph to Let data to, in the order in which
// the graph's inputs are first used.
func (o *Optimized) InputNodes() gorgonia.Nodes { return o.p.InputNodes() }

// OutputNodes returns the new graph's nodes for the outputs given to Optimize, in
// that order.
func (o *Optimized) OutputNodes() gorgonia.Nodes { return o.p.OutputNodes() }

// Learnables returns the parameters of the new graph, in network order. They keep the
// user's names and memory.
func (o *Optimized) Learnables() gorgonia.Nodes { return o.p.Learnables() }

// Batch returns the batch size that the graph was built with, 0 for a network
// without an open batch axis.
func (o *Optimized) Batch() int { return o.p.Batch() }

// Machine returns a gorgonia.VM for the new graph; see [Prepared.Machine]. TapeMachine
// runs the graph too, to the same bits, but does not fuse its ops.
func (o *Optimized) Machine(outputs ...*gorgonia.Node) (gorgonia.VM, error) {
	return o.p.Machine(outputs...)
}

// FreezeStatistics makes batch normalisations use their running statistics and leave
// them alone; false goes back to those of the batch.
func (o *Optimized) FreezeStatistics(frozen bool) {
	for _, st := range o.p.plan.bn {
		st.Freeze(frozen)
	}
}

// Predict runs the network in evaluation form on a batch of any size and returns the
// outputs as fresh slices; see [Prepared.Predict].
func (o *Optimized) Predict(inputs ...[]float32) ([][]float32, error) {
	outs, err := o.p.predict(fqop.Eval, inputs)
	if err != nil {
		return nil, fmt.Errorf("qat: predict: %w", err)
	}
	return outs, nil
}

// Map is [Prepared.Map].
func (o *Optimized) Map(nodes ...**gorgonia.Node) error { return o.p.Map(nodes...) }
