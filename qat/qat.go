package qat

import (
	"errors"
	"fmt"
	"slices"

	"github.com/goqat/goqat/fakequant/fqop"
	"github.com/goqat/goqat/internal/graph"
	"github.com/goqat/goqat/internal/vm"
	"github.com/goqat/goqat/qat/internal/measure"
	"github.com/goqat/goqat/qat/internal/plan"
	"github.com/goqat/goqat/qat/qconfig"
	"github.com/goqat/goqat/qat/report"
	"gorgonia.org/gorgonia"
)

// Model is a network in its trainable form: a new graph beside the user's, on the same
// weights. It leads the network through training (Machine, Step), shows what became of
// it (Report, Predict) and ships it (Freeze, Verify). It is for one goroutine at a time.
type Model struct {
	plan    *plan.Plan
	train   *plan.Emitter
	clock   plan.Clock
	history *measure.History // what Record keeps; nil for nothing

	sensitivity *report.Sensitivity // as last measured; nil if not since the last step
}

// Prepare reads g and writes a new graph in which batch normalisation is folded and
// tensors are fake-quantized as the config says. g is not changed, may already have
// gradients, and should not be run while the new graph trains: the two share the memory
// of the weights and of the running statistics of goqat's own batch normalisations.
//
// The zero Config is int8 weights per channel and int8 activations, symmetric. Outputs
// are usually the logits: what they depend on is the network that is quantized, frozen
// and shipped. They themselves stay float32, unless the config quantizes them. Layers that cannot be quantized stay float and [Model.Report] lists them
// with the reason. Errors name the node or layer; those about the config wrap
// [qconfig.ErrConfig].
//
// All else that g computes is carried over to the new graph in float: a loss, metrics,
// regularisers, further heads, labels of any dtype. [Model.Map] and [Model.Node] find it.
// Known ops become goqat's, others stay as they are. What it reads of the network is not
// fused away; it sees inputs and weights as they are, and results quantized, as later
// layers see them. Variables of gorgonia.Read are filled as before. What depends on
// gradients of an earlier gorgonia.Grad stays behind.
func Prepare(g *gorgonia.ExprGraph, cfg qconfig.Config, outputs ...*gorgonia.Node) (*Model, error) {
	m, err := prepareModel(g, cfg, outputs)
	if err != nil {
		return nil, fmt.Errorf("qat: %w", err)
	}
	return m, nil
}

// Optimize writes g anew with goqat's own ops and quantizes nothing: it is several times
// as fast as with Gorgonia's ops, and right where those compute wrongly. It is [Prepare]
// with [qconfig.Config.Float]; batch normalisations stay layers of their own.
func Optimize(g *gorgonia.ExprGraph, outputs ...*gorgonia.Node) (*Model, error) {
	return Prepare(g, qconfig.Config{Float: true}, outputs...)
}

func prepareModel(g *gorgonia.ExprGraph, cfg qconfig.Config, outputs []*gorgonia.Node) (*Model, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if err := checkPrepare(g, cfg, outputs); err != nil {
		return nil, err
	}
	net, err := graph.Read(g, outputs, graph.Options{Inputs: cfg.Roles.Inputs, Params: cfg.Roles.Params, Constants: cfg.Roles.Constants, Batch: cfg.Roles.Batch})
	if err != nil {
		return nil, err
	}
	p, err := plan.New(net, cfg)
	if err != nil {
		return nil, err
	}
	if err := p.CheckOutputs(); err != nil {
		return nil, err
	}
	train, err := p.Emit(net.Batch, fqop.Train, true, 1)
	if err != nil {
		return nil, err
	}
	m := &Model{plan: p, train: train}
	m.plan.SetPhases(m.clock)
	return m, nil
}

// checkPrepare refuses arguments that the reader could only call unreadable.
func checkPrepare(g *gorgonia.ExprGraph, cfg qconfig.Config, outputs []*gorgonia.Node) error {
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
	return cfg.CheckRoles(leaves)
}

// Graph returns the new graph.
func (m *Model) Graph() *gorgonia.ExprGraph { return m.train.Graph }

// Node returns what stands in the new graph for a node of the user's: inputs and
// parameters themselves, results of the network as later layers see them, quantized, and
// whatever was carried over. It fails for a node that has no result of its own any more,
// with a [fakequant.LayerError] that names the layer that took it in, and for a gradient
// or any other node that was left behind, with the reason.
func (m *Model) Node(old *gorgonia.Node) (*gorgonia.Node, error) {
	n, err := m.train.Find(old)
	if err != nil {
		return nil, fmt.Errorf("qat: node: %w", err)
	}
	return n, nil
}

// Map puts into each variable what stands in the new graph for the node that it holds,
// so that one line turns a program's variables to the new graph:
//
//	err = m.Map(&x, &y, &cost)
//
// On an error, which names every node that has no counterpart, no variable is changed.
func (m *Model) Map(nodes ...**gorgonia.Node) error {
	found := make([]*gorgonia.Node, len(nodes))
	var errs []error
	for i, n := range nodes {
		var err error
		if n == nil {
			err = errors.New("the pointer to the variable is nil")
		} else {
			found[i], err = m.train.Find(*n)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("qat: map: variable %d: %w", i, err))
		}
	}
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	for i, n := range nodes {
		*n = found[i]
	}
	return nil
}

// Learnables returns the parameters of the new graph that are trained: in network order
// weights, biases, scales and shifts of batch normalisations, which keep the user's names
// and memory, so that a solver that steps on them trains the user's weights; then those
// of what was carried over; then [Model.Scales].
//
// Trained is what gorgonia.Grad was called for in the user's graph. In a graph without
// Grad that is what an importer or package models marked as a parameter, and what is used
// as only weights are: the factor of a product, a filter, the bias behind them, the scale
// and shift of a normalisation, a table of embeddings, and what looks drawn to be trained.
// All other leaves (masks, priors, adjacency matrices) keep every bit, see [Model.Plan];
// the config's roles have the last word.
//
// A leaf that only the carried part reads is among them if gorgonia.Grad was called for
// it in the user's graph, or the config's roles say so. In a graph without Grad it is if
// a loss (a single number that nothing reads on) depends on it and it has a value and is
// a matrix or filter that something computed is multiplied with, the bias of such a
// product, or the scale or shift of a batch normalisation. All others are data.
func (m *Model) Learnables() gorgonia.Nodes {
	var ns gorgonia.Nodes
	for _, v := range slices.Concat(m.plan.Net.Values, m.plan.Net.Carried.Values) {
		if n := m.train.Nodes[v]; v.Trained() && n != nil {
			ns = append(ns, n)
		}
	}
	return append(ns, m.train.Scales...)
}

// Scales returns what is learned of scales and zero points, vectors of one element per
// group; none without LSQ. "<quantizer>.log_scale" holds ln(scale/start), where start is
// the scale when learning began: 0 at first, and a step of 0.01 changes the scale by 1 %,
// however small it is, so that the weights' learning rate will do for any solver. The scale stays
// between 2^-8 and 2^16 times the start. "<quantizer>.zero_point" holds the zero point
// in codes, not rounded. The scales themselves are in [Model.Report].
func (m *Model) Scales() gorgonia.Nodes { return append(gorgonia.Nodes(nil), m.train.Scales...) }

// Machine returns a gorgonia.VM for the new graph. Build the loss and call
// gorgonia.Grad first. It computes the given outputs (the loss, say), the
// gradients of the learnables and whatever gorgonia.Read asks for; without
// outputs, everything. Call Reset on it after each step, as on any VM: Gorgonia's own
// TapeMachine, which runs the same graph to the same bits, needs it.
func (m *Model) Machine(outputs ...*gorgonia.Node) (gorgonia.VM, error) {
	for i, y := range outputs {
		if y == nil || y.Graph() != m.train.Graph {
			return nil, fmt.Errorf("qat: machine: output %d is not a node of the prepared graph: use Node to map one of the graph that was prepared", i)
		}
	}
	if name := graph.LogOfLog(m.train.Graph); name != "" {
		return nil, fmt.Errorf("qat: machine: the loss takes the logarithm of %s, which is the logarithm of a softmax already: gorgonia.Log in the graph that was prepared made it one; use it as it is, map the loss of that graph with Map, or call Prepare before Log", name)
	}
	v, err := vm.New(m.train.Graph, outputs...)
	if err != nil {
		return nil, fmt.Errorf("qat: %w", err)
	}
	return v, nil
}

// Batch returns the batch size that the graph was built with, 0 for a network
// without an open batch axis.
func (m *Model) Batch() int { return m.plan.Net.Batch }

// Inputs returns the names of the network's inputs, in the order that Predict,
// Calibrate and the frozen network take them.
func (m *Model) Inputs() []string { return plan.NamesOf(m.plan.Net.Inputs) }

// InputNodes returns the nodes of the new graph to Let data to, in the order of
// [Model.Inputs]. Random nodes of Gorgonia's are inputs, too, but not among these: they draw
// their numbers anew in every run, from a seed of their own, so that a training repeats.
// Predict draws them where they are left out; a frozen network is given them.
func (m *Model) InputNodes() gorgonia.Nodes {
	bound := slices.DeleteFunc(slices.Clone(m.plan.Net.Inputs), func(v *graph.Value) bool { return v.Random != nil })
	return pick(bound, m.train.Raw)
}

// OutputNodes returns the new graph's nodes for the outputs given to Prepare, in
// that order. A loss that the user's graph does not have yet is built on them.
func (m *Model) OutputNodes() gorgonia.Nodes { return pick(m.plan.Net.Outputs, m.train.Nodes) }

func pick(vs []*graph.Value, from map[*graph.Value]*gorgonia.Node) gorgonia.Nodes {
	ns := make(gorgonia.Nodes, len(vs))
	for i, v := range vs {
		ns[i] = from[v]
	}
	return ns
}
