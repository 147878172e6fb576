package plan

// This file says how what the outputs do not need goes over to the new graph, in float.

import (
	"fmt"
	"slices"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/internal/graph"
	"github.com/goqat/goqat/internal/nn"
	"github.com/goqat/goqat/internal/ops"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// What the user's graph computes behind or beside the outputs (a loss, metrics, further
// heads) is carried over to the training graph, in float. It is in no other form of the
// network.

// carry emits the carried part behind the network.
func (e *Emitter) carry() error {
	c := &e.Plan.Net.Carried
	for _, v := range c.Values {
		var n *gorgonia.Node
		var err error
		if v.Producer == nil {
			n, err = e.carriedLeaf(v)
		} else {
			n, err = e.carriedLayer(v.Producer)
		}
		if err != nil {
			return &fakequant.LayerError{Layer: v.Name, Err: fmt.Errorf("carrying over what no output needs: %w", err)}
		}
		e.Nodes[v], e.Raw[v] = n, n
	}
	for _, s := range c.Reads {
		if _, err := e.node(s.From); err != nil {
			return err
		}
		gorgonia.Read(e.seen(s.From), s.Into)
	}
	return nil
}

// seen is the node of a value as what stands outside the network sees it: inputs as they
// come, results as later layers see them.
func (e *Emitter) seen(v *graph.Value) *gorgonia.Node {
	if v.Role == graph.Input {
		return e.Raw[v]
	}
	return e.Nodes[v]
}

// carriedLeaf makes a leaf of any dtype on the user's memory, if there is any yet.
func (e *Emitter) carriedLeaf(v *graph.Value) (*gorgonia.Node, error) {
	old := v.Node
	if v.Role == graph.Const {
		return e.constant(v), nil
	}
	n := gorgonia.NewUniqueNode(gorgonia.WithName(v.Name), gorgonia.In(e.Graph), gorgonia.WithType(nodeType(old, old.Dtype())), gorgonia.WithShape(v.Shape...))
	val := old.Value()
	if val == nil {
		return n, nil
	}
	if d, ok := val.(*tensor.Dense); ok && d.Dims() > 0 {
		if v.Role == graph.Param {
			shared, err := sharedHeader(d)
			if err != nil {
				return nil, err
			}
			val = shared
		} else if !d.RequiresIterator() && !d.DataOrder().IsColMajor() {
			val = tensor.New(tensor.WithShape(d.Shape().Clone()...), tensor.WithBacking(d.Data()))
		}
	}
	return n, gorgonia.Let(n, val)
}

// carriedLayer emits a float layer, or applies the user's own op to the new operands.
func (e *Emitter) carriedLayer(l *graph.Layer) (*gorgonia.Node, error) {
	in := make([]*gorgonia.Node, len(l.In))
	for i, v := range l.In {
		if _, err := e.node(v); err != nil { // made here if no layer needed it
			return nil, err
		}
		in[i] = e.seen(v)
	}
	opt := ops.Options{Label: l.Name}
	switch op := l.Op.(type) {
	case nil:
		return graph.ApplyStock(e.Graph, l, in)
	case nn.BatchNorm:
		gamma, beta, err := e.gammaBeta(l)
		if err != nil {
			return nil, err
		}
		return ops.BatchNorm(in[0], gamma, beta, e.Plan.Statistics[l], true)
	case nn.Dropout:
		return e.dropout(in[0], op)
	}
	if nn.TraitsOf(l.Op).Weights != nil {
		// An input of the network gets no gradient, here as there.
		for _, v := range l.In {
			opt.Diff = append(opt.Diff, !slices.Contains(e.Plan.Net.Inputs, v) || e.Plan.trained[v])
		}
	}
	return ops.ApplyWith(l.Op, opt, in...)
}

// CarriedUsers are the carried layers for which the values of a parameter matter, and not
// only, as for a regulariser, how large they are: weights that they share with the
// network cannot be scaled.
func (p *Plan) CarriedUsers() []*graph.Layer {
	var ls []*graph.Layer
	for _, l := range p.Net.Carried.Layers {
		if _, table := l.Op.(nn.Gather); table || nn.TraitsOf(l.Op).Weights != nil {
			ls = append(ls, l)
		}
	}
	return ls
}

// Find returns what stands in the new graph for a node of the user's.
func (e *Emitter) Find(old *gorgonia.Node) (*gorgonia.Node, error) {
	net := e.Plan.Net
	l := (*graph.Layer)(nil)
	if old != nil {
		if v := net.Value(old); v == nil {
			l = net.Inside(old)
		} else if n := e.seen(v); n != nil {
			return n, nil
		} else {
			l = v.Producer
		}
	}
	if l == nil {
		return nil, net.Missing(old)
	}
	name := l.Name
	for _, fused := range e.Plan.Layers {
		if slices.Contains(fused.Source, l) {
			name = fused.Name
		}
	}
	return nil, &fakequant.LayerError{Layer: name, Err: fmt.Errorf("node %s became a part of this layer and has no result of its own: use the layer's output, or read it in the graph (gorgonia.Read) before Prepare, which keeps it", old.Name())}
}
