package onnxin

import (
	"fmt"
	"slices"

	"github.com/goqat/goqat/internal/graph"
	"github.com/goqat/goqat/internal/onnxpb"
)

// How does a file become a graph, node by node?

func (b *builder) run() error {
	if err := b.initializers(); err != nil {
		return err
	}
	nodes, err := b.liveNodes()
	if err != nil {
		return err
	}
	if err := b.inputs(); err != nil {
		return err
	}
	b.scan(nodes)
	if err := b.nodes(nodes); err != nil {
		return err
	}
	if err := b.failure(); err != nil {
		return err
	}
	if len(b.m.Inputs) == 0 {
		return fmt.Errorf("%w: the outputs depend on no input", ErrUnsupported)
	}
	return b.outputs()
}

// nodes imports nodes in the order of the file.
func (b *builder) nodes(nodes []*node) error {
	for _, n := range nodes {
		if b.done[n] {
			continue
		}
		if err := b.node(n); err != nil {
			return err
		}
	}
	return nil
}

func (b *builder) initializers() error { return b.initializersOf(b.p.Graph) }

func (b *builder) initializersOf(g *onnxpb.GraphProto) error {
	for _, t := range g.Initializer {
		name := t.GetName()
		if name == "" {
			return fmt.Errorf("%w: an initializer of shape %v has no name", ErrFormat, t.Dims)
		}
		if b.values[name] != nil {
			return fmt.Errorf("%w: two initializers are named %q", ErrFormat, name)
		}
		b.values[name] = &value{name: name, t: t, init: true}
	}
	return nil
}

// liveNodes wraps the nodes that the outputs depend on and notes who reads what. Results
// of nodes must have names of their own.
func (b *builder) liveNodes() ([]*node, error) {
	taken := map[string]bool{"": true}
	for name := range b.values {
		taken[name] = true
	}
	for _, in := range b.p.Graph.Input {
		taken[in.GetName()] = true
	}
	for _, n := range b.p.Graph.Node {
		for _, out := range n.Output {
			if out != "" && taken[out] {
				return nil, fmt.Errorf("%w: node %s: %q is made twice, or is an input or initializer too", ErrFormat, labelOf(n), out)
			}
			taken[out], b.made[out] = true, true
		}
	}
	need := map[string]bool{}
	for _, name := range b.outputNames() {
		if need[name] {
			return nil, fmt.Errorf("%w: two outputs are named %q", ErrFormat, name)
		}
		if b.opt.Outputs != nil && !taken[name] {
			return nil, fmt.Errorf("options: outputs: nothing makes %q", name)
		}
		need[name], b.wanted[name] = true, true
	}
	return b.liveOf(b.p.Graph, need)
}

// liveOf is liveNodes for a graph of which some results are needed, and for a branch.
func (b *builder) liveOf(g *onnxpb.GraphProto, need map[string]bool) ([]*node, error) {
	var live []*node
	for _, pb := range slices.Backward(g.Node) {
		if !slices.ContainsFunc(pb.Output, func(o string) bool { return o != "" && need[o] }) {
			continue
		}
		n, err := newNode(b, pb)
		if err != nil {
			return nil, err
		}
		live = append(live, n)
		for _, out := range pb.Output {
			b.makers[out] = n
		}
		for _, in := range n.reads() {
			need[in] = true
			b.users[in] = append(b.users[in], n)
		}
	}
	slices.Reverse(live)
	return live, nil
}

// node imports one node. Its own faults are collected, so that one error can name all
// nodes that need attention; what depends on it is left out then.
func (b *builder) node(n *node) error {
	if b.refused[n] {
		b.breakOutputs(n)
		return nil
	}
	for _, name := range n.pb.Input {
		switch {
		case name == "":
			n.in = append(n.in, nil)
		case b.values[name] != nil:
			n.in = append(n.in, b.values[name])
		case b.broken[name]:
			b.breakOutputs(n)
			return nil
		case b.made[name]:
			return fmt.Errorf("%w: node %s reads %q, which a later node makes: the nodes are out of order or form a cycle", ErrFormat, n.label, name)
		default:
			return fmt.Errorf("%w: node %s reads %q, which nothing makes", ErrFormat, n.label, name)
		}
	}
	err := b.dispatch(n)
	if err == nil {
		err = n.err
	}
	for i, out := range n.pb.Output {
		if err == nil && !n.absorbed && out != "" && b.values[out] == nil && (len(b.users[out]) > 0 || b.wanted[out]) {
			err = fmt.Errorf("%w: output %d (%q) is needed", ErrUnsupported, i, out)
		}
	}
	if err != nil {
		b.breakOutputs(n)
		b.fail(n, err)
	}
	return nil
}

func (b *builder) breakOutputs(n *node) {
	for _, out := range n.pb.Output {
		b.broken[out] = true
		delete(b.values, out)
	}
}

func (b *builder) dispatch(n *node) error {
	if err := refusal(n); err != nil {
		return err
	}
	if n.op == "If" {
		return b.branch(n)
	}
	h, fold := handlers[n.op], folds[n.op]
	if fold != nil && n.foldable(h != nil) {
		c, err := fold(n)
		if err != nil {
			return err
		}
		return n.setConstant(c)
	}
	switch {
	case h == nil && fold != nil:
		return errOnlyKnown
	case n.whole() && !movesWhole[n.op]:
		return fmt.Errorf("%w: arithmetic on whole numbers that depend on an input", ErrUnsupported)
	}
	return h(n)
}

// foldable reports whether the node is computed while reading: all operands are known,
// and none is a parameter where the graph could compute instead.
func (n *node) foldable(inGraph bool) bool {
	if n.op == "Shape" || n.op == "Size" {
		return len(n.in) > 0 && n.in[0] != nil
	}
	for _, v := range n.in {
		if v == nil {
			continue
		}
		if !v.known() || inGraph && v.isParam() {
			return false
		}
	}
	return true
}

func (b *builder) outputs() error {
	for _, name := range b.outputNames() {
		v := b.values[name]
		switch {
		case v == nil:
			return fmt.Errorf("%w: nothing makes the output %q", ErrFormat, name)
		case v.n == nil || v.n.Op() == nil || v.known():
			return fmt.Errorf("%w: output %q is a constant or an input: leave it out", ErrUnsupported, name)
		}
		graph.MarkName(name)(v.n)
		b.m.Outputs = append(b.m.Outputs, v.n)
		b.m.OutputNames = append(b.m.OutputNames, name)
	}
	return nil
}

// branch takes the nodes of one branch of an If in its place. Which one must be known.
func (b *builder) branch(n *node) error {
	if err := n.arity(1, 1); err != nil {
		return err
	}
	if v := n.in[0]; v == nil || !v.known() {
		return fmt.Errorf("%w: which branch to take depends on an input: fix the input with Options.Constants", ErrUnsupported)
	}
	c, err := n.known(0)
	if err != nil {
		return err
	}
	if c.size() != 1 || c.float {
		return fmt.Errorf("%w: the condition must be one truth value", ErrFormat)
	}
	name := "else_branch"
	if c.i[0] != 0 {
		name = "then_branch"
	}
	a := n.attr(name, onnxpb.AttributeProto_GRAPH)
	if a == nil || a.G == nil || len(a.G.Output) < len(n.pb.Output) {
		return fmt.Errorf("%w: no %s with %d outputs", ErrFormat, name, len(n.pb.Output))
	}
	if b.depth++; b.depth > maxDepth {
		return fmt.Errorf("%w: more than %d branches within each other", ErrFormat, maxDepth)
	}
	defer func() { b.depth-- }()
	return b.inline(n, a.G)
}

// maxDepth bounds branches within branches.
const maxDepth = 32

// inline imports the nodes of a branch, whose results become those of n.
func (b *builder) inline(n *node, g *onnxpb.GraphProto) error {
	if err := b.initializersOf(g); err != nil {
		return err
	}
	need := map[string]bool{}
	for i, out := range n.pb.Output {
		if out != "" {
			need[g.Output[i].GetName()] = true
			// Nobody may take the node behind it alone.
			b.wanted[g.Output[i].GetName()] = true
		}
	}
	for _, pb := range g.Node {
		for _, out := range pb.Output {
			if out != "" && (b.values[out] != nil || b.made[out]) {
				return fmt.Errorf("%w: %q is made inside a branch and outside of it", ErrFormat, out)
			}
			b.made[out] = out != ""
		}
	}
	live, err := b.liveOf(g, need)
	if err != nil {
		return err
	}
	before := len(b.failures) + b.omitted
	b.scan(live)
	if err := b.nodes(live); err != nil {
		return err
	}
	for i, out := range n.pb.Output {
		if out == "" {
			continue
		}
		v := b.values[g.Output[i].GetName()]
		if v == nil {
			if len(b.failures)+b.omitted > before { // which say why
				b.breakOutputs(n)
				n.absorbed = true
				return nil
			}
			return fmt.Errorf("%w: nothing makes the branch's output %q", ErrFormat, g.Output[i].GetName())
		}
		b.values[out] = v
	}
	return nil
}
