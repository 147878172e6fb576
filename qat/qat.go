package qat

import (
	"errors"
	"fmt"
	"slices"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/fakequant/fqop"
	"github.com/goqat/goqat/internal/graph"
	"github.com/goqat/goqat/internal/vm"
	"github.com/goqat/goqat/qat/qconfig"
	"gorgonia.org/gorgonia"
)

// Quantizer leads one network through quantization-aware training: Prepare, then
// Step after every training step, then Freeze. It is for one goroutine at a time.
type Quantizer struct {
	cfg       qconfig.Config
	steps     int
	epochs    int
	observing map[string]bool // by layer or input name; see SetObserving
	prepared  *Prepared
	history   *rangeHistory // what Record keeps; nil for nothing
}

// New makes a Quantizer. The zero Config is int8 weights per channel and int8
// activations, symmetric. Errors wrap [ErrConfig].
func New(cfg qconfig.Config) (*Quantizer, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return &Quantizer{cfg: cfg}, nil
}

var (
	// ErrNotPrepared is returned by methods that need Prepare first.
	ErrNotPrepared = errors.New("qat: nothing is prepared: call Prepare first")
	// ErrPrepared is returned by a second Prepare: one Quantizer, one network.
	ErrPrepared = errors.New("qat: a network is already prepared: make another Quantizer")
)

// Prepared is the network in its trainable quantized form.
type Prepared struct {
	plan  *plan
	train *emitter
	evals map[evalKey]*evaluator
}

// Prepare reads the part of g that the outputs depend on and writes a new graph
// in which batch normalisation is folded and tensors are fake-quantized as the
// config says. g is not changed, may already have gradients, and should not be
// run while the new graph trains: the two share the memory of the weights and of
// the running statistics of goqat's own batch normalisations.
//
// Outputs are usually the logits; the loss is built behind [Prepared.Node] of
// them. Layers that cannot be quantized stay float and [Quantizer.Report] lists
// them with the reason. Errors name the node or layer.
func (q *Quantizer) Prepare(g *gorgonia.ExprGraph, outputs ...*gorgonia.Node) (*Prepared, error) {
	if q.prepared != nil {
		return nil, ErrPrepared
	}
	if err := q.checkPrepare(g, outputs); err != nil {
		return nil, fmt.Errorf("qat: %w", err)
	}
	net, err := graph.Read(g, outputs, graph.Options{Inputs: q.cfg.Inputs})
	if err != nil {
		return nil, fmt.Errorf("qat: %w", err)
	}
	p, err := newPlan(net, q.cfg)
	if err != nil {
		return nil, fmt.Errorf("qat: %w", err)
	}
	train, err := p.emit(net.Batch, fqop.Train, true, 1)
	if err != nil {
		return nil, fmt.Errorf("qat: %w", err)
	}
	q.prepared = &Prepared{plan: p, train: train, evals: map[evalKey]*evaluator{}}
	q.apply()
	return q.prepared, nil
}

// checkPrepare refuses arguments that the reader could only call unreadable.
func (q *Quantizer) checkPrepare(g *gorgonia.ExprGraph, outputs []*gorgonia.Node) error {
	if g == nil {
		return errors.New("the graph is nil: give the graph that holds the outputs")
	}
	if len(outputs) == 0 {
		return errors.New("no outputs: name the nodes to compute, the logits for instance")
	}
	for i, y := range outputs {
		switch {
		case y == nil:
			return fmt.Errorf("output %d is nil: give a node of the graph", i)
		case y.Graph() != g:
			return fmt.Errorf("output %d (%s) belongs to another graph: give that graph, or a node of this one", i, y.Name())
		case y.IsVar():
			return fmt.Errorf("output %d (%s) is a leaf, nothing computes it: give a result", i, y.Name())
		}
	}
	var leaves []string
	for _, n := range g.AllNodes() {
		if n.IsVar() {
			leaves = append(leaves, n.Name())
		}
	}
	return q.cfg.CheckInputs(leaves)
}

// Graph returns the new graph.
func (p *Prepared) Graph() *gorgonia.ExprGraph { return p.train.g }

// Node returns what stands in the new graph for a node of the user's: inputs and
// parameters themselves, results as later layers see them, quantized. It is nil
// for nodes that the outputs do not depend on and for those inside a fused layer.
func (p *Prepared) Node(old *gorgonia.Node) *gorgonia.Node {
	n, _ := p.find(old)
	return n
}

// Learnables returns the parameters of the new graph: in network order weights,
// biases, scales and shifts of batch normalisations, which keep the user's names
// and memory, so that a solver that steps on them trains the user's weights; then
// [Prepared.Scales].
func (p *Prepared) Learnables() gorgonia.Nodes {
	var ns gorgonia.Nodes
	for _, v := range slices.Concat(p.plan.net.Values, p.plan.net.Carried.Values) {
		if n := p.train.nodes[v]; v.Role == graph.Param && n != nil {
			ns = append(ns, n)
		}
	}
	return append(ns, p.train.scales...)
}

// Scales returns the learned scales and zero points, vectors of one element per
// group named "<quantizer>.scale" and "<quantizer>.zero_point"; none without LSQ.
// They want a smaller learning rate than weights.
func (p *Prepared) Scales() gorgonia.Nodes { return append(gorgonia.Nodes(nil), p.train.scales...) }

// Machine returns a gorgonia.VM for the new graph. Build the loss and call
// gorgonia.Grad first. It computes the given outputs (the loss, say), the
// gradients of the learnables and whatever gorgonia.Read asks for; without
// outputs, everything. TapeMachine runs the same graph to the same bits.
func (p *Prepared) Machine(outputs ...*gorgonia.Node) (gorgonia.VM, error) {
	for i, y := range outputs {
		if y == nil || y.Graph() != p.train.g {
			return nil, fmt.Errorf("qat: machine: output %d is not a node of the prepared graph: use Node to map one of the graph that was prepared", i)
		}
	}
	m, err := vm.New(p.train.g, outputs...)
	if err != nil {
		return nil, fmt.Errorf("qat: %w", err)
	}
	return m, nil
}

// Batch returns the batch size that the graph was built with, 0 for a network
// without an open batch axis.
func (p *Prepared) Batch() int { return p.plan.net.Batch }

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
