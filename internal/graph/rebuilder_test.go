package graph

import (
	"errors"
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// RebuildOptions change what [Rebuild] emits. The zero value copies every stock op.
type RebuildOptions struct {
	// Replace emits a layer on new operands instead of its stock op. It is called for
	// the layers whose Wrong is set, or for all when Every is set. Returning nil and no
	// error keeps the stock op; a layer with helpers is replaced as a whole or not at
	// all.
	Replace func(l *Layer, in []*gorgonia.Node) (*gorgonia.Node, error)
	Every   bool
}

// Rebuild emits the network as a new graph of copies of the user's own ops, and
// returns it with the map from the user's nodes to the new ones. Inputs and weights
// are new nodes on the user's memory: a step of a solver on the new graph changes
// the user's weights. Ops with memory of their own (pooling masks, statistics,
// random numbers) get a new one. A value bound to an input later does not reach the
// new graph; bind it to the mapped node too.
func Rebuild(net *Net, opt RebuildOptions) (g *gorgonia.ExprGraph, nodes map[*gorgonia.Node]*gorgonia.Node, err error) {
	defer recovered("rebuild", &err)
	if net == nil {
		return nil, nil, errors.New("graph: the network is nil")
	}
	b := &rebuilder{
		opt: opt, g: gorgonia.NewGraph(),
		nodes:  map[*gorgonia.Node]*gorgonia.Node{},
		values: map[*Value]*gorgonia.Node{},
		kids:   net.kids, aliases: map[*Value][]*gorgonia.Node{},
	}
	for old, v := range net.nodes {
		if old != v.Node {
			b.aliases[v] = append(b.aliases[v], old)
		}
	}
	for _, v := range net.Values {
		if v.Producer == nil {
			if err := b.leaf(v); err != nil {
				return nil, nil, fmt.Errorf("graph: rebuild %s: %w", v.Name, err)
			}
		}
	}
	for _, gr := range net.groups {
		if err := b.group(gr); err != nil {
			return nil, nil, fmt.Errorf("graph: rebuild layer %s: %w", gr.main.Name, err)
		}
	}
	return b.g, b.nodes, nil
}

type rebuilder struct {
	opt    RebuildOptions
	g      *gorgonia.ExprGraph
	nodes  map[*gorgonia.Node]*gorgonia.Node // user's node to new node
	values map[*Value]*gorgonia.Node
	kids   map[*gorgonia.Node][]*gorgonia.Node // operands of the user's nodes
	// aliases are the user nodes that became the same value as another.
	aliases map[*Value][]*gorgonia.Node
	consts  int
}

func (b *rebuilder) leaf(v *Value) error {
	n, err := b.newLeaf(v)
	if err != nil {
		return err
	}
	b.bind(v, n)
	return nil
}

// bind records the new node of a value under all names of the old one.
func (b *rebuilder) bind(v *Value, n *gorgonia.Node) {
	b.values[v] = n
	for _, old := range append(b.aliases[v], v.Node) {
		b.nodes[old] = n
	}
}

func (b *rebuilder) newLeaf(v *Value) (*gorgonia.Node, error) {
	if v.Role == Const {
		return b.constant(v.Node)
	}
	old := v.Node
	n := gorgonia.NewUniqueNode(gorgonia.WithType(old.Type()), gorgonia.In(b.g),
		gorgonia.WithName(v.Name), gorgonia.WithShape(old.Shape()...))
	if old.Value() == nil {
		return n, nil
	}
	return n, gorgonia.Let(n, sharedValue(old.Value()))
}

// sharedValue is a value on the same memory. A tensor gets a header of its own:
// Gorgonia transposes headers in place while a product runs, and two graphs would
// disturb each other.
func sharedValue(v gorgonia.Value) gorgonia.Value {
	d, ok := v.(*tensor.Dense)
	if !ok || d.RequiresIterator() || d.DataOrder().IsColMajor() || d.Shape().Dims() == 0 {
		return v
	}
	return tensor.New(tensor.WithShape(d.Shape().Clone()...), tensor.WithBacking(d.Float32s()))
}

// constant makes a constant with a name of its own. Gorgonia merges constants of one
// name, and tensors that print alike (long ones print only their ends), so a tensor
// becomes a leaf that nobody differentiates by.
func (b *rebuilder) constant(old *gorgonia.Node) (*gorgonia.Node, error) {
	b.consts++
	name := fmt.Sprintf("%s (const %d)", userName(old), b.consts)
	if old.Shape().Dims() == 0 {
		return b.g.AddNode(gorgonia.NewConstant(old.Value(), gorgonia.WithName(name))), nil
	}
	n := gorgonia.NewUniqueNode(gorgonia.WithType(old.Type()), gorgonia.In(b.g),
		gorgonia.WithName(name), gorgonia.WithShape(old.Shape()...))
	return n, gorgonia.Let(n, sharedValue(old.Value()))
}

func (b *rebuilder) group(g *group) error {
	if b.opt.Replace != nil && (b.opt.Every || g.main.Wrong != "") {
		done, err := b.replace(g)
		if err != nil || done {
			return err
		}
	}
	for _, old := range g.main.Nodes {
		if b.nodes[old] != nil {
			continue
		}
		n, err := b.copyNode(old)
		if err != nil {
			return err
		}
		b.nodes[old] = n
	}
	b.done(g, b.nodes[g.node])
	return nil
}

// done records the new node of a group.
func (b *rebuilder) done(g *group, n *gorgonia.Node) {
	if name := userName(g.node); name != "" {
		gorgonia.WithName(name)(n)
	}
	b.bind(g.layers[len(g.layers)-1].Out, n)
}

func (b *rebuilder) replace(g *group) (bool, error) {
	for i, l := range g.layers {
		in := make([]*gorgonia.Node, len(l.In))
		for j, v := range l.In {
			if in[j] = b.values[v]; in[j] == nil {
				return false, fmt.Errorf("operand %s has no node", v.Name)
			}
		}
		n, err := b.opt.Replace(l, in)
		if err != nil {
			return false, err
		}
		if n == nil {
			if i > 0 {
				return false, fmt.Errorf("the replacement gave no node for %s, but gave one for %s before it", l.Name, g.layers[0].Name)
			}
			return false, nil
		}
		if !n.Shape().Eq(tensor.Shape(l.Out.Shape)) {
			return false, fmt.Errorf("the replacement has shape %v, want %v", n.Shape(), l.Out.Shape)
		}
		b.values[l.Out] = n
	}
	b.done(g, b.values[g.layers[len(g.layers)-1].Out])
	return true, nil
}

// copyNode applies a copy of a user node's op to the new operands.
func (b *rebuilder) copyNode(old *gorgonia.Node) (*gorgonia.Node, error) {
	if isConst(old) {
		return b.constant(old)
	}
	kids := b.kids[old]
	in := make([]*gorgonia.Node, len(kids))
	for i, k := range kids {
		if in[i] = b.nodes[k]; in[i] == nil {
			return nil, fmt.Errorf("operand %s of node %s was not rebuilt", k.Name(), old.Name())
		}
	}
	n, err := applyCopy(b.g, old, in)
	if err != nil {
		return nil, err
	}
	if name := userName(old); name != "" {
		gorgonia.WithName(name)(n)
	}
	return n, nil
}
