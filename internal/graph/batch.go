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
const noAxis = -1

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

// want makes sure that v's batch axis is a.
func (b *batcher) want(v *Value, a int) error {
	switch have := b.axis(v); {
	case have == a:
		return nil
	case have != noAxis:
		return fmt.Errorf("the batch is axis %d of %s and meets axis %d of another operand", have, v.Name, a)
	case v.Role == Input:
		return tie{v, a}
	default:
		return fmt.Errorf("axis %d of %s %s has the size of the batch (%d)", a, v.Role, v.Name, v.Shape[a])
	}
}

// none makes sure that operands have no batch axis.
func (b *batcher) none(vs ...*Value) error {
	for _, v := range vs {
		if b.axis(v) != noAxis {
			return fmt.Errorf("operand %s grows with the batch", v.Name)
		}
	}
	return nil
}

// rule returns the batch axis of a layer's output, given that one operand has one.
func (b *batcher) rule(l *Layer) (int, error) {
	x := l.In[0]
	a := b.axis(x)
	switch op := l.Op.(type) {
	case nil:
		return b.opaque(l)
	case nn.Conv, nn.Pool, nn.GlobalAvgPool, nn.BatchNorm:
		if a > 0 {
			return 0, fmt.Errorf("the batch is axis %d of %s and not its first", a, x.Name)
		}
		return a, b.none(l.In[1:]...)
	case nn.MatMul:
		return b.matMul(l, op)
	case nn.Binary:
		return b.binary(l)
	case nn.Unary, nn.Dropout:
		return a, nil
	case nn.LRN:
		if a == 1 {
			return 0, fmt.Errorf("it normalises along the batch axis")
		}
		return a, nil
	case nn.Pad:
		if op.Before[a]+op.After[a] > 0 {
			return 0, fmt.Errorf("it pads the batch axis of %s", x.Name)
		}
		return a, nil
	case nn.Gather:
		return b.gather(l, op)
	case nn.Softmax:
		if op.Axis == a {
			return 0, fmt.Errorf("it runs along the batch axis")
		}
		return a, nil
	case nn.Reduce:
		return reduceAxis(op.Axes, a), nil
	case nn.Reshape:
		return b.reshape(l, a)
	case nn.Transpose:
		return slices.Index(op.Perm, a), nil
	case nn.Concat:
		return b.concat(l, op)
	case nn.Slice:
		switch {
		case op.Axis == a:
			return 0, fmt.Errorf("it takes a part of the batch axis of %s", x.Name)
		case op.Squeeze && op.Axis < a:
			return a - 1, nil
		}
		return a, nil
	}
	return 0, fmt.Errorf("goqat does not know how %T treats the batch", l.Op)
}

// reduceAxis is where axis a lands when axes are dropped. A reduced batch axis is
// gone: a cost, usually.
func reduceAxis(axes []int, a int) int {
	out := a
	for _, r := range axes {
		switch {
		case r == a:
			return noAxis
		case r < a:
			out--
		}
	}
	return out
}

func (b *batcher) matMul(l *Layer, op nn.MatMul) (int, error) {
	x, y := l.In[0], l.In[1]
	if err := b.none(l.In[2:]...); err != nil {
		return 0, err
	}
	r := len(x.Shape)
	// Positions in the untransposed product: r-2 is the row or the inner axis, r-1 the
	// inner axis or the column.
	pa, pb := b.axis(x), b.axis(y)
	if op.TransA && pa >= r-2 {
		pa = 2*r - 3 - pa
	}
	if op.TransB && pb >= r-2 {
		pb = 2*r - 3 - pb
	}
	back := func(v *Value, trans bool, p int) error {
		if trans {
			p = 2*r - 3 - p
		}
		return b.want(v, p)
	}
	switch {
	case pa == r-1: // inner axis of both
		return noAxis, back(y, op.TransB, r-2)
	case pb == r-2 && r >= 2:
		return noAxis, back(x, op.TransA, r-1)
	case pa == r-2 && pa >= 0: // rows
		return pa, b.none(y)
	case pb == r-1 && pb >= 0: // columns
		return pb, b.none(x)
	case pa >= 0:
		return pa, b.want(y, pa)
	default:
		return pb, b.want(x, pb)
	}
}

// binary follows NumPy's broadcasting: shapes are aligned at the right.
func (b *batcher) binary(l *Layer) (int, error) {
	rank := len(l.Out.Shape)
	at := noAxis
	for _, v := range l.In {
		if a := b.axis(v); a != noAxis {
			at = max(at, a+rank-len(v.Shape))
		}
	}
	for _, v := range l.In {
		a := at - (rank - len(v.Shape))
		if b.axis(v) == noAxis && (a < 0 || v.Shape[a] == 1) {
			continue // broadcast along the batch
		}
		if err := b.want(v, a); err != nil {
			return 0, err
		}
		if v.Shape[a] != l.Out.Shape[at] {
			return 0, fmt.Errorf("the batch axis of %s, of size %d, is broadcast to %d", v.Name, v.Shape[a], l.Out.Shape[at])
		}
	}
	return at, nil
}

// reshape finds the output axis that starts where the batch axis starts in memory. One
// that is -1 in the layer's own settings is the batch, wherever it starts: an axis of
// [T*N] rows, say, where the shapes alone do not tell T*N from T.
func (b *batcher) reshape(l *Layer, a int) (int, error) {
	in, out := l.In[0].Shape, l.Out.Shape
	if j := slices.Index(l.Op.(nn.Reshape).Shape, -1); j >= 0 && out[j]%b.n == 0 {
		return j, nil
	}
	before, best := product(in[:a]), noAxis
	for j := range out {
		if product(out[:j]) != before || out[j]%b.n != 0 {
			continue
		}
		if out[j] == in[a] {
			return j, nil
		}
		if best == noAxis {
			best = j
		}
	}
	if best == noAxis {
		return 0, fmt.Errorf("from %v to %v no axis holds the batch (axis %d) any more", in, out, a)
	}
	return best, nil
}

// gather: the indices' axes take the place of the table's axis.
func (b *batcher) gather(l *Layer, op nn.Gather) (int, error) {
	table, indices := b.axis(l.In[0]), b.axis(l.In[1])
	switch {
	case table == noAxis:
		return op.Axis + indices, nil
	case indices != noAxis:
		return 0, fmt.Errorf("both the table %s and the indices %s grow with the batch", l.In[0].Name, l.In[1].Name)
	case table == op.Axis:
		return 0, fmt.Errorf("it looks up rows of the batch axis of %s", l.In[0].Name)
	case table > op.Axis:
		return table + len(l.In[1].Shape) - 1, nil
	}
	return table, nil
}

func (b *batcher) concat(l *Layer, op nn.Concat) (int, error) {
	a := noAxis
	for _, v := range l.In {
		a = max(a, b.axis(v))
	}
	for _, v := range l.In {
		if err := b.want(v, a); err != nil {
			return 0, err
		}
	}
	if op.Axis == a && len(l.In) > 1 {
		return 0, fmt.Errorf("it joins along the batch axis")
	}
	return a, nil
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
