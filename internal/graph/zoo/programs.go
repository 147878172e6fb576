package zoo

import (
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// Programs returns networks as existing programs write them, small. Leaves that hold data
// have no value, or one that a program starts with: an initial state. Cost is the
// program's own loss, and Learnables are what it trains.
func Programs() []Case {
	var all []Case
	for _, part := range [][]Case{recurrent(), sequences(), attention(), tabular(), embeddings(), vision(), detection(), generative(), control(), relations(), odd()} {
		all = append(all, part...)
	}
	return all
}

// Short forms of the constructors: programs have many of them in a row.

func mul(a, b *gorgonia.Node) *gorgonia.Node  { return must(gorgonia.Mul(a, b)) }
func add(a, b *gorgonia.Node) *gorgonia.Node  { return must(gorgonia.Add(a, b)) }
func sub(a, b *gorgonia.Node) *gorgonia.Node  { return must(gorgonia.Sub(a, b)) }
func had(a, b *gorgonia.Node) *gorgonia.Node  { return must(gorgonia.HadamardProd(a, b)) }
func bmm(a, b *gorgonia.Node) *gorgonia.Node  { return must(gorgonia.BatchedMatMul(a, b)) }
func sigmoid(x *gorgonia.Node) *gorgonia.Node { return must(gorgonia.Sigmoid(x)) }
func tanh(x *gorgonia.Node) *gorgonia.Node    { return must(gorgonia.Tanh(x)) }
func square(x *gorgonia.Node) *gorgonia.Node  { return must(gorgonia.Square(x)) }
func softmax(x *gorgonia.Node) *gorgonia.Node { return must(gorgonia.SoftMax(x)) }
func k(v float32) *gorgonia.Node              { return gorgonia.NewConstant(v) }

func mean(x *gorgonia.Node, axes ...int) *gorgonia.Node { return must(gorgonia.Mean(x, axes...)) }
func sum(x *gorgonia.Node, axes ...int) *gorgonia.Node  { return must(gorgonia.Sum(x, axes...)) }

func reshape(x *gorgonia.Node, shape ...int) *gorgonia.Node {
	return must(gorgonia.Reshape(x, tensor.Shape(shape)))
}

func transpose(x *gorgonia.Node, axes ...int) *gorgonia.Node {
	return must(gorgonia.Transpose(x, axes...))
}

func concat(axis int, xs ...*gorgonia.Node) *gorgonia.Node {
	return must(gorgonia.Concat(axis, xs...))
}

func slice(x *gorgonia.Node, s ...tensor.Slice) *gorgonia.Node {
	return must(gorgonia.Slice(x, s...))
}

// wide adds b, repeated along the given axes, to a.
func wide(a, b *gorgonia.Node, axes ...byte) *gorgonia.Node {
	return must(gorgonia.BroadcastAdd(a, b, nil, axes))
}

// scaled multiplies a with b, repeated along the given axes.
func scaled(a, b *gorgonia.Node, axes ...byte) *gorgonia.Node {
	return must(gorgonia.BroadcastHadamardProd(a, b, nil, axes))
}

// mse is the mean of the squared differences.
func mse(a, b *gorgonia.Node) *gorgonia.Node { return mean(square(sub(a, b))) }

// with ends a program whose loss is not the mean square of its outputs.
func (b *build) with(cost *gorgonia.Node, outputs ...*gorgonia.Node) *Model {
	b.Outputs, b.Cost = outputs, cost
	return b.Model
}

// state adds a data leaf that has zeros as its value.
func (b *build) state(name string, shape ...int) *gorgonia.Node {
	n := b.node(name, shape...)
	if err := gorgonia.Let(n, tensor.New(tensor.WithShape(shape...), tensor.Of(tensor.Float32))); err != nil {
		panic(err)
	}
	return n
}

// leaf adds a leaf that nobody trains: a mask, say.
func (b *build) leaf(name string, data []float32, shape ...int) *gorgonia.Node {
	n := b.node(name, shape...)
	if err := gorgonia.Let(n, tensor.New(tensor.WithShape(shape...), tensor.WithBacking(data))); err != nil {
		panic(err)
	}
	return n
}

// whole adds a data leaf of whole numbers from 0 to below.
func (b *build) whole(name string, below int, shape ...int) *gorgonia.Node {
	n := gorgonia.NewTensor(b.Graph, tensor.Int, len(shape), gorgonia.WithShape(shape...), gorgonia.WithName(name))
	data := make([]int, tensor.Shape(shape).TotalSize())
	for i, v := range b.values(len(data)) {
		data[i] = int((v + 1) / 2 * float32(below))
	}
	b.Inputs = append(b.Inputs, n)
	b.Data = append(b.Data, tensor.New(tensor.WithShape(shape...), tensor.WithBacking(data)))
	if b.Below == nil {
		b.Below = map[*gorgonia.Node]int{}
	}
	b.Below[n] = below
	return n
}

// rows looks up rows of a table.
func rows(table, at *gorgonia.Node) *gorgonia.Node { return must(gorgonia.ByIndices(table, at, 0)) }

// normed is layer normalisation of the rows of a matrix, spelled out.
func (b *build) normed(name string, x *gorgonia.Node) *gorgonia.Node {
	n, width := x.Shape()[0], x.Shape()[1]
	d := must(gorgonia.BroadcastSub(x, reshape(mean(x, 1), n, 1), nil, []byte{1}))
	sigma := must(gorgonia.Sqrt(add(mean(square(d), 1), k(1e-5))))
	y := must(gorgonia.BroadcastHadamardDiv(d, reshape(sigma, n, 1), nil, []byte{1}))
	return wide(scaled(y, b.param(name+".gamma", 1, width), 0), b.param(name+".beta", 1, width), 0)
}

// norm is Gorgonia's batch normalisation.
func (b *build) norm(name string, x *gorgonia.Node) *gorgonia.Node {
	shape := []int{1, x.Shape()[1], 1, 1}[:x.Dims()]
	y, _, _, _, err := gorgonia.BatchNorm(x, b.param(name+".gamma", shape...), b.param(name+".beta", shape...), 0.1, 1e-5)
	return must(y, err)
}
