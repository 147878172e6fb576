package qat

import (
	"math"
	"testing"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/internal/graph"
	"github.com/goqat/goqat/internal/graph/zoo"
	"github.com/goqat/goqat/qat/frozen"
	"github.com/goqat/goqat/qat/qconfig"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// must unwraps a node: the networks of these tests are known to build, so a failure
// is a panic.
func must(n *gorgonia.Node, err error) *gorgonia.Node {
	if err != nil {
		panic(err)
	}
	return n
}

func dense(data []float32, shape ...int) *tensor.Dense {
	return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(data))
}

// numbers are n values in (-1, 1) from a linear congruential generator.
func numbers(seed uint32, n int) []float32 {
	out := make([]float32, n)
	for i := range out {
		seed = seed*1664525 + 1013904223
		out[i] = (float32(seed>>9)+0.5)/(1<<22) - 1
	}
	return out
}

func size(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}

// leaf adds an input.
func leaf(g *gorgonia.ExprGraph, name string, shape ...int) *gorgonia.Node {
	return gorgonia.NewTensor(g, gorgonia.Float32, len(shape), gorgonia.WithShape(shape...), gorgonia.WithName(name))
}

// param adds a parameter whose values depend on its name alone.
func param(g *gorgonia.ExprGraph, name string, shape ...int) *gorgonia.Node {
	seed := uint32(1)
	for _, c := range name {
		seed = seed*31 + uint32(c)
	}
	n := leaf(g, name, shape...)
	if err := gorgonia.Let(n, dense(numbers(seed, size(shape)), shape...)); err != nil {
		panic(err)
	}
	return n
}

func relu(x *gorgonia.Node) *gorgonia.Node { return must(gorgonia.Rectify(x)) }

// fc is x·weight + bias with stock ops.
func fc(name string, x *gorgonia.Node, out int) *gorgonia.Node {
	y := must(gorgonia.Mul(x, param(x.Graph(), name+".weight", x.Shape()[1], out)))
	return must(gorgonia.BroadcastAdd(y, param(x.Graph(), name+".bias", 1, out), nil, []byte{0}))
}

// conv is a k×k convolution of stride 1 that keeps the image's size (k odd).
func conv(name string, x *gorgonia.Node, out, k int) *gorgonia.Node {
	w := param(x.Graph(), name+".weight", out, x.Shape()[1], k, k)
	return must(gorgonia.Conv2d(x, w, tensor.Shape{k, k}, []int{k / 2, k / 2}, []int{1, 1}, []int{1, 1}))
}

func maxPool(x *gorgonia.Node) *gorgonia.Node {
	return must(gorgonia.MaxPool2D(x, tensor.Shape{2, 2}, []int{0, 0}, []int{2, 2}))
}

func batchNorm(name string, x *gorgonia.Node) *gorgonia.Node {
	shape := []int{1, x.Shape()[1], 1, 1}[:x.Dims()]
	y, _, _, _, err := gorgonia.BatchNorm(x, param(x.Graph(), name+".gamma", shape...), param(x.Graph(), name+".beta", shape...), 0.1, 1e-5)
	return must(y, err)
}

// mlp is fc1, ReLU, fc2 on batches of 4 rows of 6.
func mlp() (g *gorgonia.ExprGraph, x, y *gorgonia.Node) {
	g = gorgonia.NewGraph()
	x = leaf(g, "x", 4, 6)
	return g, x, fc("fc2", relu(fc("fc1", x, 5)), 3)
}

// net is a prepared network with a sum-of-squares loss and its gradients.
type net struct {
	t    *testing.T
	m    *Model
	cost *gorgonia.Node
}

// prepare makes the network trainable; any error fails the test.
func prepare(t *testing.T, cfg qconfig.Config, g *gorgonia.ExprGraph, outputs ...*gorgonia.Node) *net {
	t.Helper()
	n := onlyPrepare(t, cfg, g, outputs...)
	n.cost = squares(n.m.OutputNodes())
	if _, err := gorgonia.Grad(n.cost, n.m.Learnables()...); err != nil {
		t.Fatalf("Grad: %v", err)
	}
	return n
}

func onlyPrepare(t *testing.T, cfg qconfig.Config, g *gorgonia.ExprGraph, outputs ...*gorgonia.Node) *net {
	t.Helper()
	m, err := Prepare(g, cfg, outputs...)
	if err != nil {
		t.Fatal(err)
	}
	return &net{t: t, m: m}
}

// node is what stands in the new graph for a node; any error fails the test.
func (n *net) node(old *gorgonia.Node) *gorgonia.Node {
	n.t.Helper()
	return nodeOf(n.t, n.m, old)
}

func nodeOf(t *testing.T, m *Model, old *gorgonia.Node) *gorgonia.Node {
	t.Helper()
	n, err := m.Node(old)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// squares is the sum of the squares of all elements.
func squares(outputs []*gorgonia.Node) *gorgonia.Node {
	var cost *gorgonia.Node
	for _, y := range outputs {
		c := must(gorgonia.Square(y))
		if c.Dims() > 0 {
			c = must(gorgonia.Sum(c))
		}
		if cost == nil {
			cost = c
		} else {
			cost = must(gorgonia.Add(cost, c))
		}
	}
	return cost
}

// machine is goqat's own machine for the cost and the gradients.
func (n *net) machine() gorgonia.VM {
	n.t.Helper()
	m, err := n.m.Machine(n.cost)
	if err != nil {
		n.t.Fatal(err)
	}
	return m
}

// feed binds batch number i, numbers that depend on i alone, to the inputs of the
// network and of what is carried beside it.
func (n *net) feed(i int) {
	n.t.Helper()
	for k, v := range n.m.InputNodes() {
		if err := gorgonia.Let(v, dense(numbers(uint32(100*i+k+1), size(v.Shape())), v.Shape()...)); err != nil {
			n.t.Fatal(err)
		}
	}
	for k, v := range n.m.plan.Net.Carried.Values {
		if v.Role == graph.Input && v.Node.Value() == nil {
			if err := gorgonia.Let(n.node(v.Node), dense(numbers(uint32(100*i+k+51), size(v.Shape)), v.Shape...)); err != nil {
				n.t.Fatal(err)
			}
		}
	}
}

// batch is batch number i for Predict and its like, with the given batch size.
func (n *net) batch(i, rows int) [][]float32 {
	var in [][]float32
	for k, v := range n.m.plan.Net.Inputs {
		elements := size(v.Shape)
		if n.m.Batch() > 0 && v.BatchAxis >= 0 {
			elements = elements / n.m.Batch() * rows
		}
		in = append(in, numbers(uint32(100*i+k+1), elements))
	}
	return in
}

// step runs one training step: forward, backward, gradient descent, schedule.
func (n *net) step(m gorgonia.VM, i int) {
	n.t.Helper()
	n.feed(i)
	if err := m.RunAll(); err != nil {
		n.t.Fatal(err)
	}
	solver := gorgonia.NewVanillaSolver(gorgonia.WithLearnRate(0.01))
	if err := solver.Step(gorgonia.NodesToValueGrads(n.m.Learnables())); err != nil {
		n.t.Fatal(err)
	}
	m.Reset()
	if err := n.m.Step(); err != nil {
		n.t.Fatal(err)
	}
}

func (n *net) freeze() *frozen.Network {
	n.t.Helper()
	fz, err := n.m.Freeze()
	if err != nil {
		n.t.Fatal(err)
	}
	return fz
}

// verify fails the test unless training and the frozen network agree.
func (n *net) verify(fz *frozen.Network, inputs [][]float32) {
	n.t.Helper()
	v, err := n.m.Verify(fz, inputs...)
	if err != nil {
		n.t.Fatal(err)
	}
	if !v.OK() {
		n.t.Errorf("%d of %d codes and %d of %d floats differ, the first: %v", v.Differing, v.Checked, v.FloatsOff, v.Floats, v.First)
	}
	if v.Checked+v.Floats == 0 {
		n.t.Error("Verify compared nothing")
	}
}

// snapshot is everything that training may change: parameters, running statistics
// and the quantizers' states.
type snapshot struct {
	params map[string][]float32
	stats  map[string][]float32
	states []fakequant.State
}

func (n *net) snapshot() snapshot {
	n.t.Helper()
	s := snapshot{map[string][]float32{}, map[string][]float32{}, n.states()}
	for _, p := range n.m.Learnables() {
		s.params[p.Name()] = floats(n.t, p.Value())
	}
	for l, st := range n.m.plan.Statistics {
		s.stats[l.Name+".mean"] = append([]float32(nil), st.Mean...)
		s.stats[l.Name+".variance"] = append([]float32(nil), st.Variance...)
	}
	return s
}

func (n *net) states() []fakequant.State {
	n.t.Helper()
	var all []fakequant.State
	for _, f := range n.m.plan.Quantizers() {
		st, err := f.State()
		if err != nil {
			n.t.Fatal(err)
		}
		all = append(all, st)
	}
	return all
}

// floats copies a value's elements.
func floats(t *testing.T, v gorgonia.Value) []float32 {
	t.Helper()
	switch v := v.(type) {
	case *gorgonia.F32:
		return []float32{float32(*v)}
	case *tensor.Dense:
		if x, ok := v.Data().(float32); ok {
			return []float32{x}
		}
		return append([]float32(nil), v.Float32s()...)
	}
	t.Fatalf("value is a %T", v)
	return nil
}

// gradients copies the gradients of the nodes, by name.
func gradients(t *testing.T, nodes gorgonia.Nodes) map[string][]float32 {
	t.Helper()
	out := map[string][]float32{}
	for _, n := range nodes {
		g, err := n.Grad()
		if err != nil {
			t.Fatalf("gradient of %s: %v", n.Name(), err)
		}
		out[n.Name()] = floats(t, g)
	}
	return out
}

// sameBits fails the test where two sets of numbers differ in any bit.
func sameBits(t *testing.T, what string, got, want map[string][]float32) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d tensors, want %d", what, len(got), len(want))
	}
	for name, w := range want {
		g := got[name]
		if len(g) != len(w) {
			t.Errorf("%s of %s: %d elements, want %d", what, name, len(g), len(w))
			continue
		}
		for i := range w {
			if math.Float32bits(g[i]) != math.Float32bits(w[i]) {
				t.Errorf("%s of %s: element %d is %v, want %v", what, name, i, g[i], w[i])
				break
			}
		}
	}
}

// zooNet builds a network of the zoo.
func zooNet(t *testing.T, name string) *zoo.Model {
	t.Helper()
	c, err := zoo.Net(name)
	if err != nil {
		t.Fatal(err)
	}
	return c.Build()
}
