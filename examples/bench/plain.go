package main

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/goqat/goqat/models"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// This file writes the networks with Gorgonia's own ops, as programs that know nothing of
// goqat have them.

// plainMissing says why a network cannot be written so.
var plainMissing = map[string]string{"mobile": "Gorgonia has no convolution with groups"}

// stockMissing says why Gorgonia cannot train a network that can be written.
var stockMissing = map[string]string{"resnet8": "Gorgonia's global average pool has no gradient and its average pool a wrong one"}

// Sizes of the recurrent networks, which read batches of sequences: time comes first, as in
// most of Gorgonia's programs.
const (
	steps, features, hidden = 20, 64, 64
	spread                  = 0.1 // of their parameters
)

// recurrent are the networks that exist in plain Gorgonia only, unrolled in time.
var recurrent = map[string]func(*plainNet, *gorgonia.Node) *gorgonia.Node{
	"lstm": (*plainNet).lstm,
	"gru":  (*plainNet).gru,
	"rnn":  (*plainNet).rnn,
}

// plainNet builds a network of Gorgonia's own ops. It panics where Gorgonia does.
type plainNet struct {
	g      *gorgonia.ExprGraph
	given  []models.Param // of the same network in package models; none for recurrent ones
	params gorgonia.Nodes
	rng    *rand.Rand
	batch  int
}

// plainNetwork is a network in plain Gorgonia.
func plainNetwork(o options) (n network, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("gorgonia: %v", r)
		}
	}()
	p := &plainNet{g: gorgonia.NewGraph(), rng: rand.New(rand.NewPCG(netSeed, 0)), batch: o.batch}
	n = network{g: p.g, unit: "images", number: (*rand.Rand).Float32}
	shape := []int{steps, o.batch, features}
	if recurrent[o.model] != nil {
		n.unit = "sequences"
	} else {
		net, err := nets[o.model](netSeed)
		if err != nil {
			return n, err
		}
		p.given, shape = net.Params(), slices.Concat([]int{o.batch}, net.Input())
	}
	x := gorgonia.NewTensor(p.g, tensor.Float32, len(shape), gorgonia.WithName("x"), gorgonia.WithShape(shape...))
	n.inputs, n.outputs = gorgonia.Nodes{x}, gorgonia.Nodes{p.logits(o.model, x)}
	n.params = p.params
	for _, w := range p.params {
		n.size += w.Shape().TotalSize()
	}
	return n, nil
}

// param is a parameter of that shape: the next of package models, some of which have
// another shape there, or one with numbers of its own.
func (p *plainNet) param(shape ...int) *gorgonia.Node {
	name, data := fmt.Sprintf("w%d", len(p.params)), make([]float32, tensor.Shape(shape).TotalSize())
	if len(p.params) < len(p.given) {
		name, data = p.given[len(p.params)].Name, p.given[len(p.params)].Data
	} else {
		for i := range data {
			data[i] = float32(p.rng.NormFloat64() * spread)
		}
	}
	n := gorgonia.NewTensor(p.g, tensor.Float32, len(shape), gorgonia.WithName(name), gorgonia.WithShape(shape...),
		gorgonia.WithValue(tensor.New(tensor.WithShape(shape...), tensor.WithBacking(data))))
	p.params = append(p.params, n)
	return n
}

// linear is x·W + b. The numbers of the weights are random, so their shape alone matters.
func (p *plainNet) linear(x *gorgonia.Node, out int) *gorgonia.Node {
	y := gorgonia.Must(gorgonia.Mul(x, p.param(x.Shape()[1], out)))
	return gorgonia.Must(gorgonia.BroadcastAdd(y, p.param(1, out), nil, []byte{0}))
}

// conv is a convolution without bias that keeps the image's size at stride 1.
func (p *plainNet) conv(x *gorgonia.Node, out, kernel, stride int) *gorgonia.Node {
	w, pad := p.param(out, x.Shape()[1], kernel, kernel), kernel/2
	return gorgonia.Must(gorgonia.Conv2d(x, w, tensor.Shape{kernel, kernel}, []int{pad, pad}, []int{stride, stride}, []int{1, 1}))
}

// pooled is a 3×3 convolution with bias, ReLU and a 2×2 max pool.
func (p *plainNet) pooled(x *gorgonia.Node, out int) *gorgonia.Node {
	y := gorgonia.Must(gorgonia.BroadcastAdd(p.conv(x, out, 3, 1), p.param(1, out, 1, 1), nil, []byte{0, 2, 3}))
	return gorgonia.Must(gorgonia.MaxPool2D(gorgonia.Must(gorgonia.Rectify(y)), tensor.Shape{2, 2}, []int{0, 0}, []int{2, 2}))
}

// norm is a batch normalisation.
func (p *plainNet) norm(x *gorgonia.Node) *gorgonia.Node {
	c := x.Shape()[1]
	y, _, _, _, err := gorgonia.BatchNorm(x, p.param(1, c, 1, 1), p.param(1, c, 1, 1), 0.1, 1e-5)
	return gorgonia.Must(y, err)
}

// block is a residual block; project puts a 1×1 convolution into the shortcut.
func (p *plainNet) block(x *gorgonia.Node, out, stride int, project bool) *gorgonia.Node {
	y := gorgonia.Must(gorgonia.Rectify(p.norm(p.conv(x, out, 3, stride))))
	y = p.norm(p.conv(y, out, 3, 1))
	if project {
		x = p.norm(p.conv(x, out, 1, stride))
	}
	return gorgonia.Must(gorgonia.Rectify(gorgonia.Must(gorgonia.Add(y, x))))
}

// flat makes one row of each image.
func flat(x *gorgonia.Node) *gorgonia.Node {
	return gorgonia.Must(gorgonia.Reshape(x, tensor.Shape{x.Shape()[0], x.Shape()[1:].TotalSize()}))
}

// logits is the network for input x.
func (p *plainNet) logits(model string, x *gorgonia.Node) *gorgonia.Node {
	relu := func(x *gorgonia.Node) *gorgonia.Node { return gorgonia.Must(gorgonia.Rectify(x)) }
	switch model {
	case "mlp":
		return p.linear(relu(p.linear(relu(p.linear(x, 512)), 256)), classes)
	case "convnet":
		return p.linear(relu(p.linear(flat(p.pooled(p.pooled(x, 32), 64)), 128)), classes)
	case "resnet8":
		x = relu(p.norm(p.conv(x, 16, 3, 1)))
		x = p.block(p.block(p.block(x, 16, 1, false), 32, 2, true), 64, 2, true)
		return p.linear(flat(gorgonia.Must(gorgonia.GlobalAveragePool2D(x))), classes)
	}
	return p.linear(recurrent[model](p, x), classes)
}

// gate has the parameters of x·W + h·U + b.
type gate struct{ w, u, b *gorgonia.Node }

func (p *plainNet) gate() gate {
	return gate{p.param(features, hidden), p.param(hidden, hidden), p.param(1, hidden)}
}

// of is the sum before the gate's function.
func (k gate) of(x, h *gorgonia.Node) *gorgonia.Node {
	y := gorgonia.Must(gorgonia.Add(gorgonia.Must(gorgonia.Mul(x, k.w)), gorgonia.Must(gorgonia.Mul(h, k.u))))
	return gorgonia.Must(gorgonia.BroadcastAdd(y, k.b, nil, []byte{0}))
}

// state is an initial state.
func (p *plainNet) state(name string) *gorgonia.Node {
	return gorgonia.NewMatrix(p.g, tensor.Float32, gorgonia.WithShape(p.batch, hidden), gorgonia.WithName(name), gorgonia.WithInit(gorgonia.Zeroes()))
}

// at is a step of a sequence.
func at(x *gorgonia.Node, t int) *gorgonia.Node {
	return gorgonia.Must(gorgonia.Slice(x, gorgonia.S(t)))
}

func sigmoid(x *gorgonia.Node) *gorgonia.Node { return gorgonia.Must(gorgonia.Sigmoid(x)) }
func tanh(x *gorgonia.Node) *gorgonia.Node    { return gorgonia.Must(gorgonia.Tanh(x)) }
func times(a, b *gorgonia.Node) *gorgonia.Node {
	return gorgonia.Must(gorgonia.HadamardProd(a, b))
}

// lstm is the last state of a long short-term memory (Hochreiter and Schmidhuber 1997).
func (p *plainNet) lstm(x *gorgonia.Node) *gorgonia.Node {
	in, forget, out, new := p.gate(), p.gate(), p.gate(), p.gate()
	h, c := p.state("h0"), p.state("c0")
	for t := range steps {
		xt := at(x, t)
		c = gorgonia.Must(gorgonia.Add(times(sigmoid(forget.of(xt, h)), c), times(sigmoid(in.of(xt, h)), tanh(new.of(xt, h)))))
		h = times(sigmoid(out.of(xt, h)), tanh(c))
	}
	return h
}

// gru is the last state of gated recurrent units (Cho et al. 2014).
func (p *plainNet) gru(x *gorgonia.Node) *gorgonia.Node {
	update, reset, new := p.gate(), p.gate(), p.gate()
	h := p.state("h0")
	for t := range steps {
		xt := at(x, t)
		z, n := sigmoid(update.of(xt, h)), tanh(new.of(xt, times(sigmoid(reset.of(xt, h)), h)))
		h = gorgonia.Must(gorgonia.Add(n, times(z, gorgonia.Must(gorgonia.Sub(h, n)))))
	}
	return h
}

// rnn is the last state of a plain recurrent network (Elman 1990).
func (p *plainNet) rnn(x *gorgonia.Node) *gorgonia.Node {
	k, h := p.gate(), p.state("h0")
	for t := range steps {
		h = tanh(k.of(at(x, t), h))
	}
	return h
}
