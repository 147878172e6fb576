package main

import (
	"fmt"
	"slices"

	"github.com/goqat/goqat/models"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// stockMissing says why a network cannot be built of Gorgonia's own ops.
var stockMissing = map[string]string{
	"resnet8": "Gorgonia's global average pool has no gradient and its average pool a wrong one",
	"mobile":  "Gorgonia has no convolution with groups",
}

// stockNet builds networks of Gorgonia's own ops. It panics where Gorgonia does.
type stockNet struct {
	g      *gorgonia.ExprGraph
	net    *models.Net
	params gorgonia.Nodes
	used   int
}

// param is the network's next parameter, under another shape where stock ops want
// one.
func (s *stockNet) param(shape ...int) *gorgonia.Node {
	p := s.net.Params()[s.used]
	s.used++
	if shape == nil {
		shape = p.Shape
	}
	n := gorgonia.NewTensor(s.g, tensor.Float32, len(shape), gorgonia.WithName(p.Name), gorgonia.WithShape(shape...),
		gorgonia.WithValue(tensor.New(tensor.WithShape(shape...), tensor.WithBacking(p.Data))))
	s.params = append(s.params, n)
	return n
}

// linear is x·W + b. Stock products want the weight as [in, out]; these weights are
// random, so the shape alone matters.
func (s *stockNet) linear(x *gorgonia.Node) *gorgonia.Node {
	w := s.net.Params()[s.used].Shape
	y := gorgonia.Must(gorgonia.Mul(x, s.param(w[1], w[0])))
	return gorgonia.Must(gorgonia.BroadcastAdd(y, s.param(1, w[0]), nil, []byte{0}))
}

// conv is a 3x3 convolution with bias, ReLU and a 2x2 max pool.
func (s *stockNet) conv(x *gorgonia.Node) *gorgonia.Node {
	w := s.param()
	y := gorgonia.Must(gorgonia.Conv2d(x, w, tensor.Shape{3, 3}, []int{1, 1}, []int{1, 1}, []int{1, 1}))
	y = gorgonia.Must(gorgonia.BroadcastAdd(y, s.param(1, w.Shape()[0], 1, 1), nil, []byte{0, 2, 3}))
	y = gorgonia.Must(gorgonia.Rectify(y))
	return gorgonia.Must(gorgonia.MaxPool2D(y, tensor.Shape{2, 2}, []int{0, 0}, []int{2, 2}))
}

// logits is the network for input x.
func (s *stockNet) logits(model string, x *gorgonia.Node) *gorgonia.Node {
	if model == "convnet" {
		x = s.conv(s.conv(x))
		x = gorgonia.Must(gorgonia.Reshape(x, tensor.Shape{x.Shape()[0], x.Shape()[1:].TotalSize()}))
	}
	for {
		x = s.linear(x)
		if s.used == len(s.net.Params()) {
			return x
		}
		x = gorgonia.Must(gorgonia.Rectify(x))
	}
}

// stockWork is the same network as a Gorgonia program without goqat has it: stock
// ops, TapeMachine and AdamSolver.
func stockWork(net *models.Net, o options) (w work, err error) {
	if why := stockMissing[o.model]; why != "" {
		return w, fmt.Errorf("no such network of stock ops: %s: take mlp or convnet", why)
	}
	defer func() {
		if r := recover(); r != nil {
			w, err = work{}, fmt.Errorf("gorgonia: %v", r)
		}
	}()
	s := &stockNet{g: gorgonia.NewGraph(), net: net}
	shape := slices.Concat([]int{o.batch}, net.Input())
	x := gorgonia.NewTensor(s.g, tensor.Float32, len(shape), gorgonia.WithName("x"), gorgonia.WithShape(shape...),
		gorgonia.WithValue(tensor.New(tensor.WithShape(shape...), tensor.WithBacking(rows(net, o.batch, random())))))
	hot := make([]float32, o.batch*classes)
	for i := range o.batch {
		hot[i*classes+i%classes] = 1
	}
	y := gorgonia.NewMatrix(s.g, tensor.Float32, gorgonia.WithName("y"), gorgonia.WithShape(o.batch, classes),
		gorgonia.WithValue(tensor.New(tensor.WithShape(o.batch, classes), tensor.WithBacking(hot))))
	logp := gorgonia.Must(gorgonia.Log(gorgonia.Must(gorgonia.SoftMax(s.logits(o.model, x)))))
	// The mean is over batch and classes: classes times too small.
	mean := gorgonia.Must(gorgonia.Mean(gorgonia.Must(gorgonia.HadamardProd(logp, y))))
	loss := gorgonia.Must(gorgonia.Mul(mean, gorgonia.NewConstant(float32(-classes))))
	if _, err := gorgonia.Grad(loss, s.params...); err != nil {
		return w, err
	}
	m := gorgonia.NewTapeMachine(s.g, gorgonia.BindDualValues(s.params...))
	solver := gorgonia.NewAdamSolver(gorgonia.WithLearnRate(learnRate))
	grads := gorgonia.NodesToValueGrads(s.params)
	return work{params: net.Size(), unit: "images", loss: func() (float64, error) { return lossOf(loss.Value()) }, close: func() { m.Close() },
		step: func() error {
			if err := m.RunAll(); err != nil {
				return err
			}
			if err := solver.Step(grads); err != nil {
				return err
			}
			m.Reset()
			return nil
		}}, nil
}
