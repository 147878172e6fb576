package graph

import (
	"fmt"
	"slices"

	"github.com/goqat/goqat/internal/nn"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// match is a layer, or a few, found at a node.
type match struct {
	out   *gorgonia.Node
	args  []*gorgonia.Node // operands
	nodes []*gorgonia.Node // what it stands for, topological, out last
	// emit builds the layers. It also runs once without effect, on values that have
	// only shapes, to see whether the layers give the node's shape.
	emit   func(e *emitter, in []*Value) (*Value, error)
	alias  bool // the node is its operand under another name
	opaque bool
	reason string // why it is opaque
	wrong  string // what Gorgonia computes wrongly

	image       *gorgonia.Node // data if it is a leaf: a convolution's image
	left, right *gorgonia.Node // of a matrix product
}

// emitter builds the network.
type emitter struct {
	net   *Net
	r     *reader
	dry   bool
	kind  nn.Op // of the layer that the user node stands for, the last one added
	cur   *group
	names *namer
}

// layer adds the layer that the user node stands for, aux one that helps it.
func (e *emitter) layer(op nn.Op, in ...*Value) (*Value, error) { return e.add(true, op, in...) }
func (e *emitter) aux(op nn.Op, in ...*Value) (*Value, error)   { return e.add(false, op, in...) }

func (e *emitter) add(main bool, op nn.Op, in ...*Value) (*Value, error) {
	shape, err := outShape(op, in)
	if err != nil {
		return nil, err
	}
	return e.put(main, &Layer{Op: op, In: in}, shape), nil
}

// outShape is nn.OutShape of a layer's operands. A batch normalisation keeps its
// first operand's shape: its statistics are no operands here.
func outShape(op nn.Op, in []*Value) ([]int, error) {
	shapes := make([][]int, len(in))
	for i, v := range in {
		shapes[i] = v.Shape
	}
	return outShapeOf(op, shapes)
}

func outShapeOf(op nn.Op, shapes [][]int) ([]int, error) {
	if _, ok := op.(nn.BatchNorm); ok {
		return slices.Clone(shapes[0]), nil
	}
	return nn.OutShape(op, shapes)
}

func (e *emitter) put(main bool, l *Layer, shape []int) *Value {
	out := &Value{Shape: append([]int{}, shape...), BatchAxis: -1, Producer: l}
	l.Out = out
	if main {
		e.kind = l.Op
	}
	if e.dry {
		return out
	}
	l.group = e.cur
	e.cur.layers = append(e.cur.layers, l)
	if main {
		e.cur.main = l
	}
	return out
}

// constant adds a constant that no node of the user's holds.
func (e *emitter) constant(data []float32, shape ...int) *Value {
	v := &Value{Shape: shape, BatchAxis: noAxis, Role: Const, Data: data}
	if !e.dry {
		v.Name = e.names.value(v, "")
		e.net.Values = append(e.net.Values, v)
	}
	return v
}

// reshape brings v into a shape, if it is not in it.
func (e *emitter) reshape(v *Value, shape ...int) (*Value, error) {
	if slices.Equal(v.Shape, shape) {
		return v, nil
	}
	return e.aux(nn.Reshape{Shape: append([]int{}, shape...)}, v)
}

// run emits m and fits the result to the node's shape: Gorgonia lets a vector stand
// for a one-row or one-column matrix.
func (e *emitter) run(m *match, in []*Value) (*Value, error) {
	v, err := m.emit(e, in)
	if err != nil {
		return nil, err
	}
	want := []int(m.out.Shape())
	if product(v.Shape) != product(want) {
		return nil, fmt.Errorf("the layer gives shape %v, the node %v", v.Shape, want)
	}
	return e.reshape(v, want...)
}

// tryMatch runs m on shapes only.
func (r *reader) tryMatch(m *match) error {
	e := &emitter{dry: true, r: r}
	in := make([]*Value, len(m.args))
	for i, a := range m.args {
		in[i] = &Value{Shape: []int(a.Shape()), BatchAxis: -1}
	}
	_, err := e.run(m, in)
	return err
}

func (r *reader) emitAll(g *gorgonia.ExprGraph, outputs []*gorgonia.Node) (*emitter, error) {
	net := &Net{graph: g, left: map[*gorgonia.Node]string{}, nodes: map[*gorgonia.Node]*Value{}, kids: r.kids}
	e := &emitter{net: net, r: r, names: newNamer()}
	if err := r.checkNames(); err != nil {
		return nil, err
	}
	for _, n := range r.order {
		m := r.found[n]
		if m == nil {
			continue
		}
		var err error
		if m.emit == nil && !m.opaque {
			err = e.leaf(n)
		} else {
			err = e.node(m)
		}
		if err != nil {
			return nil, fmt.Errorf("graph: node %s: %w", n.Name(), err)
		}
	}
	for _, n := range outputs {
		net.Outputs = append(net.Outputs, net.nodes[n])
	}
	return e, nil
}

func (e *emitter) leaf(n *gorgonia.Node) error {
	role := e.r.roles[n]
	v := &Value{Shape: []int(n.Shape()), BatchAxis: -1, Role: role, Node: n, Fixed: e.r.fixed[n], said: e.r.said[n], guessed: !e.r.said[n] && !e.r.graded && role != Const}
	if role == Const && (n.Dtype() == tensor.Float32 || IsWhole(n.Dtype()) && e.r.given == nil) {
		x, err := floats(n.Value())
		if err != nil {
			return err
		}
		v.Data = slices.Clone(x)
	}
	if err := checkShape(v.Shape); err != nil {
		return err
	}
	name := userName(n)
	if v.Random = e.r.randomOf(n); v.Random != nil && name == "" {
		name = v.Random.Law
	}
	v.Name = e.names.value(v, name)
	e.net.nodes[n] = v
	e.net.Values = append(e.net.Values, v)
	if role == Input {
		e.net.Inputs = append(e.net.Inputs, v)
	}
	return nil
}

// checkShape refuses shapes that hold nothing.
func checkShape(shape []int) error {
	for _, d := range shape {
		if d <= 0 {
			return fmt.Errorf("shape %v is unsupported: every dimension must be at least 1", shape)
		}
	}
	return nil
}

func (e *emitter) node(m *match) error {
	in := make([]*Value, len(m.args))
	for i, a := range m.args {
		in[i] = e.net.nodes[a]
	}
	if m.alias {
		e.net.nodes[m.out] = in[0]
		return nil
	}
	if err := checkShape(m.out.Shape()); err != nil {
		return err
	}
	e.cur = &group{node: m.out}
	out, err := e.result(m, in)
	if err != nil {
		return err
	}
	out.Node = m.out
	e.finish(m, out)
	return nil
}

func (e *emitter) result(m *match, in []*Value) (*Value, error) {
	if !m.opaque {
		return e.run(m, in)
	}
	return e.put(true, &Layer{In: in, Opaque: true}, m.out.Shape()), nil
}

// finish names the layers of the current group and adds them to the network.
func (e *emitter) finish(m *match, out *Value) {
	main := e.cur.main
	main.Nodes, main.Stock, main.Wrong = m.nodes, m.out.Op(), m.wrong
	for _, l := range e.cur.layers {
		user := ""
		if l == main {
			user = userName(m.out)
		}
		l.Name = e.names.layer(l, user)
		name := l.Name + ".out"
		if given := markedName(m.out); given != "" && l.Out == out {
			name = given
		}
		l.Out.Name = e.names.unique(name)
		e.net.Layers = append(e.net.Layers, l)
		e.net.Values = append(e.net.Values, l.Out)
	}
	if m.opaque {
		e.net.Skipped = append(e.net.Skipped, Note{Layer: main.Name, Reason: m.reason})
	}
	e.net.nodes[m.out] = out
	e.net.groups = append(e.net.groups, e.cur)
}

func product(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}
