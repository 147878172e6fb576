package plan

// This file says how a network that has its features first, W·x with examples side by
// side, becomes one of rows.

import (
	"slices"

	"github.com/goqat/goqat/internal/graph"
	"github.com/goqat/goqat/internal/nn"
)

// turner writes the layers of a network anew. A product with weights on the left is that of
// the transposes with weights on the right, which is the form that everything else knows;
// what is computed from its result, element by element, is computed from the transpose, so
// that few transposes are left.
type turner struct {
	layers []*graph.Layer
	values []*graph.Value
	turned map[*graph.Value]*graph.Value // the transpose of a value
	owed   map[*graph.Value]*graph.Layer // what makes a value of its transpose, if someone wants it
	first  map[*graph.Value]bool         // values of which the transpose is computed first
	same   map[*graph.Value]*graph.Value // values that are others
}

// layOut turns products with weights on the left. The user's values keep their names, shapes
// and memory.
func (p *Plan) layOut() {
	net := p.Net
	if !slices.ContainsFunc(net.Layers, func(l *graph.Layer) bool { return weightsLeft(l) || turnsActivation(l) }) {
		return
	}
	t := &turner{turned: map[*graph.Value]*graph.Value{}, first: map[*graph.Value]bool{}, owed: map[*graph.Value]*graph.Layer{}, same: map[*graph.Value]*graph.Value{}}
	for _, v := range net.Values {
		if v.Producer == nil {
			t.values = append(t.values, v)
		}
	}
	outside := func(v *graph.Value) bool { return slices.Contains(net.Outputs, v) || net.Carried.Seen[v] }
	for _, l := range net.Layers {
		if t.product(l) || t.through(l) {
			if outside(l.Out) {
				t.want(l.Out)
			}
			continue
		}
		if isTurn(l.Op) && !outside(l.Out) {
			in := t.now(l.In[0])
			if v := t.turned[in]; v != nil {
				t.same[l.Out] = v
				continue
			}
			if turnsActivation(l) {
				t.turned[l.Out], t.turned[in], t.first[l.Out] = in, l.Out, true
				c := *l
				c.In = []*graph.Value{in}
				t.owed[l.Out] = &c
				continue
			}
		}
		for _, v := range l.In {
			t.want(t.now(v))
		}
		if slices.ContainsFunc(l.In, func(v *graph.Value) bool { return t.same[v] != nil }) {
			c := *l
			c.In = make([]*graph.Value, len(l.In))
			for i, v := range l.In {
				c.In[i] = t.now(v)
			}
			c.Out.Producer, l = &c, &c
		}
		t.add(l)
	}
	net.Layers, net.Values = t.layers, t.values
}

// weightsLeft reports whether l multiplies a parameter, on its left, with an activation.
func weightsLeft(l *graph.Layer) bool {
	_, ok := l.Op.(nn.MatMul)
	return ok && len(l.In) == 2 && len(l.In[0].Shape) == 2 && constantLeaf(l.In[0]) && !constantLeaf(l.In[1])
}

// constantLeaf reports whether v holds a parameter or a constant.
func constantLeaf(v *graph.Value) bool {
	role := v.Base().Role
	return role == graph.Param || role == graph.Const
}

// turnsActivation reports whether l transposes what another layer computes.
func turnsActivation(l *graph.Layer) bool { return isTurn(l.Op) && l.In[0].Base().Producer != nil }

func isTurn(op nn.Op) bool {
	t, ok := op.(nn.Transpose)
	return ok && slices.Equal(t.Perm, []int{1, 0})
}

func (t *turner) add(l *graph.Layer) {
	t.layers, t.values = append(t.layers, l), append(t.values, l.Out)
}

// now is the value that v has become.
func (t *turner) now(v *graph.Value) *graph.Value {
	if s := t.same[v]; s != nil {
		return s
	}
	return v
}

// want has v computed where only its transpose is.
func (t *turner) want(v *graph.Value) {
	if l := t.owed[v]; l != nil {
		delete(t.owed, v)
		v.Producer = l
		t.add(l)
	}
}

// turn is the transpose of v, which is a row if it has one axis.
func (t *turner) turn(v *graph.Value) *graph.Value {
	if out := t.turned[v]; out != nil {
		t.want(out)
		return out
	}
	out := turnedValue(v)
	var op nn.Op = nn.Transpose{Perm: []int{1, 0}}
	if len(v.Shape) == 1 || v.BatchAxis < 0 && slices.Contains(v.Shape, 1) {
		shape := slices.Clone(out.Shape)
		if out.BatchAxis >= 0 {
			shape[out.BatchAxis] = -1
		}
		op = nn.Reshape{Shape: shape}
	}
	out.Producer = &graph.Layer{Name: out.Name, Op: op, In: []*graph.Value{v}, Out: out}
	t.turned[v] = out
	if len(v.Shape) == 2 {
		t.turned[out] = v
	}
	t.add(out.Producer)
	return out
}

// turnedValue is the transpose of v, with no layer yet.
func turnedValue(v *graph.Value) *graph.Value {
	out := &graph.Value{Name: v.Name + ".rows", BatchAxis: v.BatchAxis}
	if len(v.Shape) == 1 {
		out.Shape = []int{v.Shape[0], 1}
		return out
	}
	out.Shape = []int{v.Shape[1], v.Shape[0]}
	if v.BatchAxis >= 0 {
		out.BatchAxis = 1 - v.BatchAxis
	}
	return out
}

// put adds l with another op and other operands, the result of which is the transpose of
// l's.
func (t *turner) put(l *graph.Layer, op nn.Op, in []*graph.Value) {
	v := l.Out
	c := *l
	c.Op, c.In, c.Out = op, in, turnedValue(v)
	c.Out.Producer = &c
	t.turned[v], t.turned[c.Out], t.first[v] = c.Out, v, true
	t.owed[v] = &graph.Layer{Name: l.Name + ".columns", Op: nn.Transpose{Perm: []int{1, 0}}, In: []*graph.Value{c.Out}, Out: v}
	t.add(&c)
}

// product turns a product with weights on the left: (W·x)ᵀ = xᵀ·Wᵀ.
func (t *turner) product(l *graph.Layer) bool {
	if !weightsLeft(l) {
		return false
	}
	op := l.Op.(nn.MatMul)
	x := t.now(l.In[1])
	if op.TransB {
		t.want(x)
	} else {
		x = t.turn(x)
	}
	t.put(l, nn.MatMul{TransB: !op.TransA}, []*graph.Value{x, l.In[0]})
	return true
}

// through computes a layer that works element by element, or along one axis, from the
// transposes of its operands, if one of them is there and the others can be had.
func (t *turner) through(l *graph.Layer) bool {
	if l.Opaque || len(l.Out.Shape) != 2 {
		return false
	}
	op := l.Op
	one := len(l.In) == 1
	switch o := op.(type) {
	case nn.Binary:
	case nn.Concat:
		op = nn.Concat{Axis: 1 - o.Axis}
	case nn.Slice:
		o.Axis, one = 1-o.Axis, one && !o.Squeeze
		op = o
		if !one {
			return false
		}
	case nn.Softmax:
		o.Axis = 1 - o.Axis
		op = o
		if !one {
			return false
		}
	default:
		if !one || !nn.TraitsOf(op).Elementwise {
			return false
		}
	}
	found := false
	for _, v := range l.In {
		v = t.now(v)
		switch {
		case t.first[v]:
			found = true
		case t.turned[v] == nil && !canTurn(v):
			return false
		}
	}
	if !found {
		return false
	}
	in := make([]*graph.Value, len(l.In))
	for i, v := range l.In {
		if in[i] = t.now(v); len(v.Shape) > 0 {
			in[i] = t.turn(in[i])
		}
	}
	t.put(l, op, in)
	return true
}

// canTurn reports whether the transpose of an operand costs little: it is a leaf, or is
// computed of one alone.
func canTurn(v *graph.Value) bool { return v.Base().Producer == nil && len(v.Shape) <= 2 }
