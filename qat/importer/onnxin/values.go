package onnxin

import (
	"fmt"
	"math"
	"slices"

	"github.com/goqat/goqat/internal/graph"
	"github.com/goqat/goqat/internal/nn"
	"github.com/goqat/goqat/internal/ops"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// spend takes n elements off what may be computed while reading.
func (b *builder) spend(n int) error {
	err := b.affords(n)
	if err == nil {
		b.budget -= n
	}
	return err
}

// affords is spend's answer for n elements that are counted later.
func (b *builder) affords(n int) error {
	if n < 0 || n > b.budget {
		return fmt.Errorf("%w: %d elements to compute while reading, %d are left of the limit: raise Options.MaxElements if the file is right", ErrFormat, n, b.budget)
	}
	return nil
}

// constant returns the elements of a known value.
func (b *builder) constant(v *value) (*constant, error) {
	if v == nil {
		return nil, fmt.Errorf("%w: an operand is missing", ErrFormat)
	}
	if v.c == nil {
		if v.t == nil {
			return nil, fmt.Errorf("%w: %q must not depend on an input", ErrUnsupported, v.name)
		}
		c, err := b.p.decode(v.t, b.files)
		if err != nil {
			return nil, fmt.Errorf("tensor %q: %w", v.name, err)
		}
		v.c = c
	}
	return v.c, nil
}

// graphNode returns the graph's node of a value. A known one becomes a parameter if
// asParam is set or it is an initializer of rank 1 or more with finite numbers, else a constant.
func (b *builder) graphNode(v *value, asParam bool) (*gorgonia.Node, error) {
	if v == nil {
		return nil, fmt.Errorf("%w: an operand is missing", ErrFormat)
	}
	if v.pad != [4]int{} {
		return nil, fmt.Errorf("%w: %q is padded for a convolution only", ErrUnsupported, v.name)
	}
	if v.n != nil {
		return v.n, nil
	}
	c, err := b.constant(v)
	if err != nil {
		return nil, err
	}
	data, err := c.floats()
	if err != nil {
		return nil, fmt.Errorf("tensor %q: %w", v.name, err)
	}
	if len(data) == 0 {
		return nil, fmt.Errorf("%w: tensor %q of shape %v is empty", ErrUnsupported, v.name, c.shape)
	}
	if !asParam && !(v.init && len(c.shape) > 0 && c.float && finiteAll(data)) {
		if v.n = b.constantNode(v.name, c.shape, data); v.n != nil {
			return v.n, nil
		}
	}
	v.n = gorgonia.NewTensor(b.m.Graph, tensor.Float32, len(c.shape), gorgonia.WithName(v.name), gorgonia.WithShape(c.shape...), graph.Mark(graph.Param),
		gorgonia.WithValue(tensor.New(tensor.WithShape(c.shape...), tensor.WithBacking(data))))
	b.m.Params[v.name] = v.n
	return v.n, nil
}

// finiteAll reports whether training could change numbers: a mask of -Inf stays what it is.
func finiteAll(x []float32) bool {
	return !slices.ContainsFunc(x, func(v float32) bool { return v-v != 0 })
}

// constantNode adds a constant, or returns nil where Gorgonia would merge it with another:
// it compares tensors by how they print, and long ones print only their ends.
func (b *builder) constantNode(name string, shape []int, data []float32) *gorgonia.Node {
	opts := []gorgonia.NodeConsOpt{gorgonia.WithName(name), gorgonia.In(b.m.Graph)}
	if len(shape) == 0 || len(shape) == 1 && len(data) == 1 {
		return b.scalar(name, data[0])
	}
	t := tensor.New(tensor.WithShape(shape...), tensor.WithBacking(data))
	key := fmt.Sprintf("%v %v", shape, t)
	if old, ok := b.printed[key]; ok && !slices.Equal(old, data) {
		return nil
	}
	b.printed[key] = data
	return b.m.Graph.AddNode(gorgonia.NewConstant(t, opts...))
}

// scalar adds a constant of one number. Gorgonia takes an older constant of the same
// name for it, whatever its value.
func (b *builder) scalar(name string, v float32) *gorgonia.Node {
	for old, taken := b.scalars[name]; taken && math.Float32bits(old) != math.Float32bits(v); old, taken = b.scalars[name] {
		name += "'"
	}
	b.scalars[name] = v
	return b.m.Graph.AddNode(gorgonia.NewConstant(v, gorgonia.In(b.m.Graph), gorgonia.WithName(name)))
}

// apply adds a layer to the graph.
func (n *node) apply(op nn.Op, in ...*gorgonia.Node) (*gorgonia.Node, error) {
	if r, ok := op.(nn.Reshape); ok {
		op = nn.Reshape{Shape: n.b.openShape(r.Shape)}
	}
	y, err := ops.ApplyWith(op, ops.Options{Label: n.label}, in...)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	return y, checkRank(y.Shape().Dims())
}

// then applies a function behind a step that may have failed.
func (n *node) then(x *gorgonia.Node, err error, fn string) (*gorgonia.Node, error) {
	if err != nil {
		return nil, err
	}
	return n.apply(nn.Unary{Fn: fn}, x)
}

// openShape puts -1 where the batch is. It finds that by comparison with the same
// reshape in the shadow, which was built for another batch size.
func (b *builder) openShape(shape []int) []int {
	k := len(b.reshapes)
	b.reshapes = append(b.reshapes, shape)
	if b.shadow == nil || k >= len(b.shadow.reshapes) || len(b.shadow.reshapes[k]) != len(shape) {
		return shape
	}
	open := slices.Clone(shape)
	for i, d := range b.shadow.reshapes[k] {
		if d != shape[i] {
			open[i] = -1
		}
	}
	if i := slices.Index(open, -1); i < 0 || slices.Contains(open[i+1:], -1) {
		return shape
	}
	return open
}

// set makes a graph node the result i, and gives it the file's name for the node.
func (n *node) set(i int, y *gorgonia.Node, err error) error {
	if err != nil {
		return err
	}
	if y.Op() != nil && !n.b.named[y] {
		gorgonia.WithName(n.label)(y)
		n.b.named[y] = true
	}
	return n.setValue(i, &value{n: y, whole: n.whole()})
}

// setPart names all results but the first after themselves.
func (n *node) setPart(i int, y *gorgonia.Node, err error) error {
	if err == nil && i > 0 {
		gorgonia.WithName(n.pb.Output[i])(y)
		n.b.named[y] = true
	}
	return n.set(i, y, err)
}

func (n *node) setConstant(c *constant) error {
	if err := checkRank(len(c.shape)); err != nil {
		return err
	}
	return n.setValue(0, &value{c: c})
}

func (n *node) setValue(i int, v *value) error {
	if i >= len(n.pb.Output) {
		if i == 0 {
			return fmt.Errorf("%w: it has no output", ErrFormat)
		}
		return nil
	}
	v.name = n.pb.Output[i]
	if v.name != "" {
		n.b.values[v.name] = v
	}
	return nil
}

func (n *node) setTruth(y *gorgonia.Node, err error) error {
	if err := n.set(0, y, err); err != nil {
		return err
	}
	n.b.values[n.pb.Output[0]].whole = true
	return nil
}
