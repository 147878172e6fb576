// Package zoo builds small networks from Gorgonia's stock ops, with fixed values,
// for the tests of packages that read or rewrite graphs.
package zoo

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// Model is one freshly built network.
type Model struct {
	Graph      *gorgonia.ExprGraph
	Inputs     []*gorgonia.Node // without values
	Data       []*tensor.Dense  // what Inputs are to be bound to
	Learnables []*gorgonia.Node // with values
	Outputs    []*gorgonia.Node
	Cost       *gorgonia.Node // a scalar made of the outputs
	// Below holds the inputs that are whole numbers from 0 on: what they stay below.
	Below map[*gorgonia.Node]int
}

// Case is one network of the zoo.
type Case struct {
	Name string
	// Build makes a new graph on each call, always with the same values. It panics
	// when Gorgonia refuses the network.
	Build func() *Model
	// Wrong says what Gorgonia computes wrongly in this network; its own results are
	// then no reference. Empty for the others.
	Wrong string
	// Graded is set when Build has called gorgonia.Grad already.
	Graded bool
	// Random is set when two runs differ (dropout).
	Random bool
	// FixedBatch is set when the network has no open batch axis.
	FixedBatch bool
	// BatchAxis is the batch axis of the inputs.
	BatchAxis int
	// Asked is set when only gorgonia.Grad can tell what is trained.
	Asked bool
	// Refused is a word of the reason why the network cannot be prepared; empty for others.
	Refused string
}

// Nets returns all networks.
func Nets() []Case {
	var all []Case
	for _, part := range [][]Case{dense(), convolutional(), shapes(), elementwise(), faulty()} {
		all = append(all, part...)
	}
	return all
}

// Net returns the network of that name.
func Net(name string) (Case, error) {
	for _, c := range Nets() {
		if c.Name == name {
			return c, nil
		}
	}
	return Case{}, fmt.Errorf("zoo: no network %q", name)
}

// Feed binds the data to the model's inputs, or to what at maps them to.
func (m *Model) Feed(at map[*gorgonia.Node]*gorgonia.Node) error {
	for i, n := range m.Inputs {
		if at != nil {
			n = at[n]
		}
		if n == nil {
			continue // an input that the outputs do not need
		}
		if err := gorgonia.Let(n, m.Data[i].Clone()); err != nil {
			return fmt.Errorf("zoo: input %s: %w", n.Name(), err)
		}
	}
	return nil
}

// build is a model under construction.
type build struct {
	*Model
	seed uint32
}

func start() *build { return &build{Model: &Model{Graph: gorgonia.NewGraph()}, seed: 1} }

// values are n numbers in (-1, 1), never 0, from a linear congruential generator.
func (b *build) values(n int) []float32 {
	out := make([]float32, n)
	for i := range out {
		b.seed = b.seed*1664525 + 1013904223
		out[i] = (float32(b.seed>>9) + 0.5) / (1 << 22)
		out[i]--
	}
	return out
}

func (b *build) tensor(shape ...int) *tensor.Dense {
	return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(b.values(tensor.Shape(shape).TotalSize())))
}

func (b *build) node(name string, shape ...int) *gorgonia.Node {
	return gorgonia.NewTensor(b.Graph, gorgonia.Float32, len(shape), gorgonia.WithShape(shape...), gorgonia.WithName(name))
}

// input adds a data leaf without a value.
func (b *build) input(name string, shape ...int) *gorgonia.Node {
	n := b.node(name, shape...)
	b.Inputs, b.Data = append(b.Inputs, n), append(b.Data, b.tensor(shape...))
	return n
}

// oneHot adds a data leaf that marks one class in each row.
func (b *build) oneHot(name string, rows, classes int) *gorgonia.Node {
	x := make([]float32, rows*classes)
	for i := range rows {
		x[i*classes+(i*7+3)%classes] = 1
	}
	n := b.node(name, rows, classes)
	b.Inputs = append(b.Inputs, n)
	b.Data = append(b.Data, tensor.New(tensor.WithShape(rows, classes), tensor.WithBacking(x)))
	return n
}

// param adds a leaf with a value.
func (b *build) param(name string, shape ...int) *gorgonia.Node {
	n := b.node(name, shape...)
	if err := gorgonia.Let(n, b.tensor(shape...)); err != nil {
		panic(err)
	}
	b.Learnables = append(b.Learnables, n)
	return n
}

// scalar adds a scalar leaf with a value.
func (b *build) scalar(name string, v float32) *gorgonia.Node {
	n := gorgonia.NewScalar(b.Graph, gorgonia.Float32, gorgonia.WithName(name))
	if err := gorgonia.Let(n, v); err != nil {
		panic(err)
	}
	b.Learnables = append(b.Learnables, n)
	return n
}

func must(n *gorgonia.Node, err error) *gorgonia.Node {
	if err != nil {
		panic(err)
	}
	return n
}

// end makes the outputs' mean square the cost.
func (b *build) end(outputs ...*gorgonia.Node) *Model {
	b.Outputs = outputs
	for _, y := range outputs {
		c := y
		if c.Shape().Dims() > 0 {
			c = must(gorgonia.Sum(must(gorgonia.Square(y))))
		} else {
			c = must(gorgonia.Square(y))
		}
		if b.Cost == nil {
			b.Cost = c
		} else {
			b.Cost = must(gorgonia.Add(b.Cost, c))
		}
	}
	return b.Model
}

// linear is x·w + bias.
func (b *build) linear(name string, x *gorgonia.Node, out int) *gorgonia.Node {
	w := b.param(name+".weight", x.Shape()[1], out)
	bias := b.param(name+".bias", 1, out)
	return must(gorgonia.BroadcastAdd(must(gorgonia.Mul(x, w)), bias, nil, []byte{0}))
}

// conv is a convolution with k×k filters.
func (b *build) conv(name string, x *gorgonia.Node, out, k, pad, stride int) *gorgonia.Node {
	w := b.param(name+".weight", out, x.Shape()[1], k, k)
	return must(gorgonia.Conv2d(x, w, tensor.Shape{k, k}, []int{pad, pad}, []int{stride, stride}, []int{1, 1}))
}

// channelBias adds a [1,C,1,1] bias.
func (b *build) channelBias(name string, x *gorgonia.Node) *gorgonia.Node {
	bias := b.param(name, 1, x.Shape()[1], 1, 1)
	return must(gorgonia.BroadcastAdd(x, bias, nil, []byte{0, 2, 3}))
}

// flat is a matrix of one row per element of the batch.
func flat(x *gorgonia.Node) *gorgonia.Node {
	s := x.Shape()
	return must(gorgonia.Reshape(x, tensor.Shape{s[0], s.TotalSize() / s[0]}))
}

func relu(x *gorgonia.Node) *gorgonia.Node { return must(gorgonia.Rectify(x)) }

func pool(x *gorgonia.Node, k, pad, stride int) *gorgonia.Node {
	return must(gorgonia.MaxPool2D(x, tensor.Shape{k, k}, []int{pad, pad}, []int{stride, stride}))
}

// crossEntropy is the mean over rows of -sum(y · logp).
func crossEntropy(logp, y *gorgonia.Node) *gorgonia.Node {
	return must(gorgonia.Neg(must(gorgonia.Mean(must(gorgonia.Sum(must(gorgonia.HadamardProd(logp, y)), 1))))))
}
