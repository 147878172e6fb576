package graph

import (
	"errors"
	"fmt"
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
}

// tie asks for another input to grow with the batch.
type tie struct {
	v    *Value
	axis int
}

func (t tie) Error() string { return "input " + t.v.Name + " grows with the batch" }

// openBatch finds the batch axis of every value, or says why there is none. Reshapes
// get -1 where the batch is, so that shapes can be computed at any batch size.
func openBatch(net *Net) {
	tied := map[*Value]int{}
	n, err := commonBatch(net, tied)
	b := &batcher{net: net, n: n}
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
	if err != nil {
		net.BatchNote = err.Error()
		return
	}
	net.Batch = n
	for v, a := range b.axes {
		v.BatchAxis = a
	}
	for _, l := range net.Layers {
		if op, ok := l.Op.(nn.Reshape); ok && l.Out.BatchAxis != noAxis {
			shape := slices.Clone(op.Shape)
			shape[l.Out.BatchAxis] = -1
			l.Op = nn.Reshape{Shape: shape}
		}
	}
}

// commonBatch is the size of axis 0 of all inputs of rank 2 and more.
func commonBatch(net *Net, tied map[*Value]int) (int, error) {
	n := 0
	var first *Value
	for _, v := range net.Inputs {
		if len(v.Shape) < 2 {
			continue
		}
		if first != nil && v.Shape[0] != n {
			return 0, fmt.Errorf("inputs %s and %s have different sizes along axis 0: %d and %d", first.Name, v.Name, n, v.Shape[0])
		}
		first, n = v, v.Shape[0]
		tied[v] = 0
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
	case v.Role == Input:
		return tie{v, a}
	default:
		return fmt.Errorf("axis %d of %s %s has the size of the batch (%d)", a, v.Role, v.Name, v.Shape[a])
	}
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
		return nil, fmt.Errorf("graph: the network has a fixed batch: %s", n.BatchNote)
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
