package onnxin

import (
	"fmt"
	"slices"

	"github.com/goqat/goqat/internal/graph"
	"github.com/goqat/goqat/internal/nn"
	"github.com/goqat/goqat/internal/onnxpb"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
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
	for _, n := range nodes {
		if b.done[n] {
			continue
		}
		if err := b.node(n); err != nil {
			return err
		}
	}
	if err := b.failure(); err != nil {
		return err
	}
	if len(b.m.Inputs) == 0 {
		return fmt.Errorf("%w: the outputs depend on no input", ErrUnsupported)
	}
	return b.outputs()
}

func (b *builder) initializers() error {
	for _, t := range b.p.Graph.Initializer {
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
	for _, o := range b.p.Graph.Output {
		if need[o.GetName()] {
			return nil, fmt.Errorf("%w: two outputs are named %q", ErrFormat, o.GetName())
		}
		need[o.GetName()], b.wanted[o.GetName()] = true, true
	}
	var live []*node
	for _, pb := range slices.Backward(b.p.Graph.Node) {
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
		for _, in := range pb.Input {
			need[in] = true
			b.users[in] = append(b.users[in], n)
		}
	}
	slices.Reverse(live)
	return live, nil
}

// inputs adds the inputs that something reads.
func (b *builder) inputs() error {
	batches := map[string]bool{} // names of open dimensions that are the batch
	seen := map[string]bool{}
	for _, in := range b.p.Graph.Input {
		name := in.GetName()
		if seen[name] {
			return fmt.Errorf("%w: two inputs are named %q", ErrFormat, name)
		}
		seen[name] = true
		if b.values[name] != nil || len(b.users[name]) == 0 && !b.wanted[name] {
			continue // an initializer's declaration, or not needed
		}
		v, err := b.input(in, batches)
		if err != nil {
			return fmt.Errorf("input %q: %w", name, err)
		}
		b.values[name] = v
		b.m.Inputs = append(b.m.Inputs, v.n)
	}
	for name := range b.opt.Shapes {
		if !seen[name] {
			return fmt.Errorf("options: the model has no input named %q", name)
		}
	}
	return nil
}

func (b *builder) input(in *onnxpb.ValueInfoProto, batches map[string]bool) (*value, error) {
	if in.GetName() == "" {
		return nil, fmt.Errorf("%w: it has no name", ErrFormat)
	}
	tt := in.GetType().GetTensorType()
	if tt == nil {
		return nil, fmt.Errorf("%w: it is not a tensor", ErrUnsupported)
	}
	dt := dataType(tt.GetElemType())
	if bits[dt] == 0 {
		return nil, fmt.Errorf("%w: elements of type %v", ErrUnsupported, dt)
	}
	shape := b.opt.Shapes[in.GetName()]
	if shape == nil {
		if tt.Shape == nil {
			return nil, fmt.Errorf("%w: the file gives no shape: name one in Options.Shapes", ErrUnsupported)
		}
		var err error
		if shape, err = b.dims(tt.Shape.Dim, batches); err != nil {
			return nil, err
		}
		if b.widen && len(shape) > 1 {
			shape[0]++
		}
	}
	if err := checkRank(len(shape)); err != nil {
		return nil, err
	}
	if _, err := nn.OutShape(nn.Unary{Fn: "neg"}, [][]int{shape}); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	n := gorgonia.NewTensor(b.m.Graph, tensor.Float32, len(shape), gorgonia.WithName(in.GetName()), graph.Mark(graph.Input), gorgonia.WithShape(shape...))
	return &value{name: in.GetName(), n: n, whole: !isFloatType(dt)}, nil
}

// dims resolves open dimensions: the first one, and those of the same name, are the
// batch. Old exporters write 0 or -1 for open.
func (b *builder) dims(dims []*onnxpb.TensorShapeProto_Dimension, batches map[string]bool) ([]int, error) {
	shape := make([]int, len(dims))
	for i, d := range dims {
		param := d.GetDimParam()
		switch v := d.GetDimValue(); {
		case v > 0:
			shape[i] = int(v)
		case i == 0 || param != "" && batches[param]:
			shape[i] = b.opt.Batch
			if param != "" {
				batches[param] = true
			}
		default:
			return nil, fmt.Errorf("%w: dimension %d (%q) is open: give the shape in Options.Shapes", ErrUnsupported, i, param)
		}
	}
	return shape, nil
}

// node imports one node. Its own faults are collected, so that one error can name all
// nodes that need attention; what depends on it is left out then.
func (b *builder) node(n *node) error {
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
		b.fail(fmt.Errorf("node %s (%s): %w", n.label, n.op, err))
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
	if !isStandard(n.pb.GetDomain()) {
		return fmt.Errorf("%w: operator of domain %q", ErrUnsupported, n.pb.GetDomain())
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
		return fmt.Errorf("%w: goqat computes this operator only while reading, on values that depend on no input", ErrUnsupported)
	case h == nil && (n.op == "QuantizeLinear" || n.op == "DequantizeLinear"):
		return fmt.Errorf("%w operator of a quantized model: Read wants float ones, ReadFrozen reads the quantized ones that goqat wrote", ErrUnsupported)
	case h == nil:
		return fmt.Errorf("%w operator", ErrUnsupported)
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
	for _, o := range b.p.Graph.Output {
		v := b.values[o.GetName()]
		switch {
		case v == nil:
			return fmt.Errorf("%w: nothing makes the output %q", ErrFormat, o.GetName())
		case v.n == nil || v.n.Op() == nil || v.known():
			return fmt.Errorf("%w: output %q is a constant or an input: leave it out", ErrUnsupported, o.GetName())
		}
		graph.MarkName(o.GetName())(v.n)
		b.m.Outputs = append(b.m.Outputs, v.n)
		b.m.OutputNames = append(b.m.OutputNames, o.GetName())
	}
	return nil
}
