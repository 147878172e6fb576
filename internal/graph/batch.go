package graph

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/goqat/goqat/internal/nn"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// noAxis marks a value without a batch axis.
const noAxis = nn.NoAxis

// batcher follows the batch axis through the network. The size of a batch axis is
// always proportional to the batch.
type batcher struct {
	net  *Net
	n    int            // batch size in the traced graph
	axes map[*Value]int // values that have a batch axis
	said map[string]int // batch axes of inputs that are known
}

// tie asks for another input to grow with the batch.
type tie struct {
	v    *Value
	axis int
}

func (t tie) Error() string { return "input " + t.v.Name + " grows with the batch" }

// openBatch finds the batch axis of every value, or says why there is none. said are the
// axes of inputs that are known, -1 for none. Without them axis 0 is tried first, then
// those behind it, where the network is of the kind that has its batch there. Reshapes
// get -1 where the batch is, so that shapes can be computed at any batch size.
func openBatch(net *Net, said map[string]int) error {
	for name, axis := range said {
		i := slices.IndexFunc(net.Inputs, func(v *Value) bool { return v.Name == name })
		if i < 0 {
			return fmt.Errorf("graph: batch axis of %q: the network has no such input: correct the roles in the config", name)
		}
		if v := net.Inputs[i]; axis < noAxis || axis >= len(v.Shape) {
			return fmt.Errorf("graph: batch axis %d of input %s: its shape is %v", axis, name, v.Shape)
		}
	}
	b, err := tryBatch(net, said, 0)
	for axis := 1; err != nil && axis < batchBehind(net); axis++ {
		if other, bad := tryBatch(net, said, axis); bad == nil {
			b, err = other, nil
		}
	}
	if err != nil {
		net.BatchNote = err.Error()
		return nil
	}
	net.Batch = b.n
	for v, a := range b.axes {
		v.BatchAxis = a
		if v.Producer == nil && v.Role == Param { // a state, see want
			v.Role = Input
		}
	}
	net.Inputs = slices.DeleteFunc(slices.Clone(net.Values), func(v *Value) bool { return v.Role != Input })
	for _, l := range net.Layers {
		if op, ok := l.Op.(nn.Reshape); ok && l.Out.BatchAxis != noAxis {
			shape := slices.Clone(op.Shape)
			shape[l.Out.BatchAxis] = -1
			l.Op = nn.Reshape{Shape: shape}
		}
	}
	return nil
}

// batchBehind says below which axis the batch of inputs may be: time comes first in
// tensors of three axes, features in matrices that weights are multiplied with from the
// left, or that are transposed for a product.
func batchBehind(net *Net) int {
	rank := 0
	for _, v := range net.Inputs {
		rank = max(rank, len(v.Shape))
	}
	if rank == 3 {
		return rank
	}
	for _, l := range net.Layers {
		base := l.In[0].Base()
		if _, ok := l.Op.(nn.MatMul); ok && rank == 2 && (base.Role == Param || base.Role == Input && base != l.In[0]) {
			return rank
		}
	}
	return 0
}

// tryBatch follows the batch through the network, on the given axis of all inputs that
// nothing is said about.
func tryBatch(net *Net, said map[string]int, axis int) (*batcher, error) {
	tied := map[*Value]int{}
	rows, err := commonBatch(net, said, axis, tied)
	if err != nil {
		return nil, err
	}
	for n := rows; n > 1 || n == rows; n-- {
		if rows%n != 0 {
			continue
		}
		b, bad := followBatch(net, said, n, maps.Clone(tied))
		if bad == nil {
			return b, nil
		}
		if err == nil {
			err = bad // what stands in the way of the whole
		}
	}
	return nil, err
}

// followBatch follows a batch of n through the network. The axes of tied may hold several
// rows for each element of the batch: the steps of its sequences.
func followBatch(net *Net, said map[string]int, n int, tied map[*Value]int) (*batcher, error) {
	b := &batcher{net: net, n: n, said: said}
	var err error
	for err == nil {
		b.axes = map[*Value]int{}
		for v, a := range tied {
			b.axes[v] = a
		}
		err = b.run()
		var t tie
		if !errors.As(err, &t) {
			break
		}
		tied[t.v], err = t.axis, nil
	}
	return b, err
}

// commonBatch is the size of the batch axis of all inputs that have one: those that it is
// said of, and others with that axis and a second one, or of whole numbers. States, which have a
// value already, go with the others where they are as large.
func commonBatch(net *Net, said map[string]int, axis int, tied map[*Value]int) (int, error) {
	n := 0
	var first *Value
	ordered := slices.Clone(net.Inputs)
	slices.SortStableFunc(ordered, func(a, b *Value) int { return len(a.Default()) - len(b.Default()) })
	for _, v := range ordered {
		at, known := said[v.Name]
		if !known {
			at = axis
		}
		rank := 2
		if v.Node != nil && IsWhole(v.Node.Dtype()) {
			rank = 1 // indices
		}
		if at == noAxis || !known && len(v.Shape) < max(rank, axis+1) {
			continue
		}
		if first != nil && v.Shape[at] != n {
			if !known && v.Default() != nil {
				continue
			}
			return 0, fmt.Errorf("inputs %s and %s have different sizes along axis %d: %d and %d", first.Name, v.Name, at, n, v.Shape[at])
		}
		first, n = v, v.Shape[at]
		tied[v] = at
	}
	if first == nil {
		return 0, errors.New("no input has two or more dimensions")
	}
	return n, nil
}

func (b *batcher) run() error {
	for _, l := range b.net.Layers {
		if !slices.ContainsFunc(l.In, func(v *Value) bool { return b.axis(v) != noAxis }) {
			continue
		}
		a, err := b.rule(l)
		if err != nil {
			return fmt.Errorf("layer %s (%s): %w", l.Name, l.Kind(), err)
		}
		if a != noAxis {
			b.axes[l.Out] = a
		}
	}
	return nil
}

// axis is the batch axis of v.
func (b *batcher) axis(v *Value) int {
	if a, ok := b.axes[v]; ok {
		return a
	}
	return noAxis
}

// want makes sure that v's batch axis is a, or that it has none.
func (b *batcher) want(v *Value, a int) error {
	switch have := b.axis(v); {
	case have == a:
		return nil
	case a == noAxis:
		return fmt.Errorf("operand %s grows with the batch", v.Name)
	case have != noAxis:
		return fmt.Errorf("the batch is axis %d of %s and meets axis %d of another operand", have, v.Name, a)
	case b.open(v):
		return tie{v, a}
	default:
		if t, ok := b.behind(v, a); ok {
			return t
		}
		return fmt.Errorf("axis %d of %s %s has the size of the batch (%d)", a, v.Role, v.Name, v.Shape[a])
	}
}

// open reports whether v is a leaf that can grow with the batch.
func (b *batcher) open(v *Value) bool { return v.Role == Input && !b.closed(v) || v.isState() }

// behind looks for a leaf that makes v, which has no batch yet, grow along axis a: one that
// is as large as the batch along the same axis, or else along another.
func (b *batcher) behind(v *Value, a int) (tie, bool) {
	seen := map[*Value]bool{}
	stack := []*Value{v}
	for len(stack) > 0 {
		v := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if seen[v] {
			continue
		}
		seen[v] = true
		if v.Producer != nil {
			stack = append(stack, v.Producer.In...)
		} else if b.open(v) && b.axis(v) == noAxis {
			at := slices.Index(v.Shape, b.n)
			if a < len(v.Shape) && v.Shape[a] == b.n {
				at = a
			}
			if at >= 0 {
				return tie{v, at}, true
			}
		}
	}
	return tie{}, false
}

// closed reports whether it was said that an input has no batch axis.
func (b *batcher) closed(v *Value) bool {
	a, known := b.said[v.Name]
	return known && a == noAxis
}

// isState reports whether v, a leaf that nobody trains, can be an initial state: one number
// throughout, so that it has a value at any batch size. Factors of products had their turn
// when roles were given.
func (v *Value) isState() bool {
	if v.Role != Param || !v.Fixed || v.said || v.Node == nil {
		return false
	}
	x, err := v.Floats()
	return err == nil && len(x) > 0 && uniform(v.Node.Value(), x[0])
}

// rule returns the batch axis of a layer's output, given that one operand has one.
func (b *batcher) rule(l *Layer) (int, error) {
	if l.Op == nil {
		return b.opaque(l)
	}
	g := nn.Growth{Out: l.Out.Shape, Batch: b.n}
	for _, v := range l.In {
		g.In = append(g.In, nn.Batched{Name: v.Name, Shape: v.Shape, Axis: b.axis(v)})
	}
	a, want, err := nn.BatchAxis(l.Op, g)
	for i := 0; err == nil && i < len(want); i++ {
		err = b.want(l.In[i], want[i])
	}
	return a, err
}

// opaque asks the stock op for its shape at twice the batch.
func (b *batcher) opaque(l *Layer) (int, error) {
	if opName(l.Stock) == "sizeOp" {
		if f := fieldsOf(l.Stock); f.int("axis") == b.axis(l.In[0]) {
			return 0, fmt.Errorf("its value is the size of the batch")
		}
		return noAxis, nil
	}
	if len(l.Out.Shape) == 0 {
		return noAxis, nil
	}
	shapes := make([][]int, len(l.In))
	for i, v := range l.In {
		shapes[i] = b.grown(v, 2)
	}
	out, err := stockShape(l.Stock, shapes)
	if err != nil {
		return 0, err
	}
	for j, d := range l.Out.Shape {
		if len(out) != len(l.Out.Shape) || out[j] == d {
			continue
		}
		rest := slices.Clone(out)
		rest[j] = d
		if out[j] == 2*d && slices.Equal(rest, l.Out.Shape) {
			return j, nil
		}
	}
	return 0, fmt.Errorf("its output has a fixed shape")
}

func (b *batcher) grown(v *Value, factor int) []int {
	s := slices.Clone(v.Shape)
	if a := b.axis(v); a != noAxis {
		s[a] *= factor
	}
	return s
}

// stockShape asks a stock op for the shape of its output.
func stockShape(op gorgonia.Op, in [][]int) (out []int, err error) {
	defer recovered("shape of "+op.String(), &err)
	shapes := make([]tensor.Shape, len(in))
	for i, s := range in {
		shapes[i] = slices.Clone(s)
	}
	s, err := op.InferShape(gorgonia.ShapesToDimSizers(shapes)...)
	if err != nil {
		return nil, err
	}
	return slices.Clone([]int(s)), nil
}

// Shapes computes the shape of every value at another batch size.
func (n *Net) Shapes(batch int) (map[*Value][]int, error) {
	if n.Batch == 0 {
		return nil, fmt.Errorf("graph: the network has a fixed batch: %s; if the batch is another axis of an input, say so in the config (roles: batch)", n.BatchNote)
	}
	if batch < 1 {
		return nil, fmt.Errorf("graph: batch size %d, want at least 1", batch)
	}
	out := make(map[*Value][]int, len(n.Values))
	for _, v := range n.Values {
		if v.Producer != nil {
			continue
		}
		s := slices.Clone(v.Shape)
		if v.BatchAxis != noAxis {
			s[v.BatchAxis] = s[v.BatchAxis] / n.Batch * batch
		}
		out[v] = s
	}
	for _, l := range n.Layers {
		in := make([][]int, len(l.In))
		for i, v := range l.In {
			in[i] = out[v]
		}
		var s []int
		var err error
		if l.Opaque {
			s, err = stockShape(l.Stock, in)
		} else {
			s, err = outShapeOf(l.Op, in)
		}
		if err != nil {
			return nil, fmt.Errorf("graph: layer %s at batch size %d: %w", l.Name, batch, err)
		}
		out[l.Out] = s
	}
	return out, nil
}
