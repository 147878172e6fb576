package models

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"strconv"

	"github.com/goqat/goqat/internal/graph"
	"github.com/goqat/goqat/internal/nn"
	"github.com/goqat/goqat/internal/ops"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// Func is a free-form network: any Go function from a node to a node.
type Func func(b *Builder, x *gorgonia.Node) *gorgonia.Node

// Apply calls f.
func (f Func) Apply(b *Builder, x *gorgonia.Node) *gorgonia.Node {
	if x == nil || b.err != nil {
		return nil
	}
	return f(b, x)
}

// Sequential applies layers one after the other.
func Sequential(layers ...Layer) Layer {
	return Func(func(b *Builder, x *gorgonia.Node) *gorgonia.Node {
		for i, l := range layers {
			if l == nil {
				return b.fail("sequential", fmt.Errorf("%w: layer %d is nil", ErrConfig, i))
			}
			x = l.Apply(b, x)
		}
		return x
	})
}

// Named puts the names of the parameters of l under a prefix: "conv1.weight"
// becomes "block2.conv1.weight".
func Named(prefix string, l Layer) Layer {
	return Func(func(b *Builder, x *gorgonia.Node) *gorgonia.Node {
		outer, counts := b.prefix, b.counts
		b.prefix, b.counts = outer+prefix+".", map[string]int{}
		defer func() { b.prefix, b.counts = outer, counts }()
		return l.Apply(b, x)
	})
}

func newBuilder(n *Net, g *Graph, training, create bool) *Builder {
	return &Builder{net: n, g: g.G, training: training, create: create, nodes: map[string]*gorgonia.Node{},
		states: map[string]bool{}, learned: map[*gorgonia.Node]bool{}, counts: map[string]int{}}
}

// Training reports whether the graph is built for training.
func (b *Builder) Training() bool { return b.training }

// Err returns the first error.
func (b *Builder) Err() error { return b.err }

// Fail records an error of a layer of the caller's own and returns nil. Only the
// first error is kept.
func (b *Builder) Fail(err error) *gorgonia.Node {
	if b.err == nil {
		b.err = err
	}
	return nil
}

func (b *Builder) fail(layer string, err error) *gorgonia.Node {
	return b.Fail(fmt.Errorf("%s: %w", layer, err))
}

// layerName is the given name, or kind and number, under the current prefix.
func (b *Builder) layerName(given, kind string) string {
	if given != "" {
		return b.prefix + given
	}
	b.counts[kind]++
	return b.prefix + kind + strconv.Itoa(b.counts[kind])
}

// Param returns the node of a learned parameter, for layers of the caller's own.
// The first time, init fills it (with zeros if nil) from a generator that belongs
// to the seed and the name. Asking again for a name gives the same node, so
// weights can be shared.
func (b *Builder) Param(name string, shape []int, init func(data []float32, rng *rand.Rand)) *gorgonia.Node {
	name = b.prefix + name
	return b.param(name, shape, init)
}

func (b *Builder) param(name string, shape []int, init func([]float32, *rand.Rand)) *gorgonia.Node {
	if b.err != nil {
		return nil
	}
	p, err := b.net.param(name, shape, init, b.create)
	if err != nil {
		return b.Fail(err)
	}
	n := b.nodes[name]
	if n == nil {
		// A header of its own for each graph: Gorgonia changes headers while it runs.
		v := tensor.New(tensor.WithShape(slices.Clone(p.Shape)...), tensor.WithBacking(p.Data))
		n = gorgonia.NewTensor(b.g, tensor.Float32, len(p.Shape), gorgonia.WithName(name),
			gorgonia.WithShape(p.Shape...), gorgonia.WithValue(v), graph.Mark(graph.Param))
		b.nodes[name], b.learned[n] = n, true
	}
	return n
}

// param finds a parameter, or makes it if that is allowed.
func (n *Net) param(name string, shape []int, init func([]float32, *rand.Rand), create bool) (Param, error) {
	for _, p := range n.params {
		if p.Name == name {
			if !slices.Equal(p.Shape, shape) {
				return p, fmt.Errorf("parameter %q: %w: %v here, %v before: name each layer differently", name, ErrShape, shape, p.Shape)
			}
			return p, nil
		}
	}
	if !create {
		return Param{}, fmt.Errorf("parameter %q: %w: not there when New ran the network: a layer must always do the same", name, ErrConfig)
	}
	size, err := sizeOf(shape)
	if err != nil {
		return Param{}, fmt.Errorf("parameter %q: %w", name, err)
	}
	p := Param{Name: name, Shape: slices.Clone(shape), Data: make([]float32, size)}
	if init != nil {
		h := fnv.New64a()
		h.Write([]byte(name))
		init(p.Data, rand.New(rand.NewPCG(n.seed, h.Sum64())))
	}
	n.params = append(n.params, p)
	return p, nil
}

// maxParam is the largest number of elements of one parameter: 2^31-1, or 8 GiB.
const maxParam = 1<<31 - 1

func sizeOf(shape []int) (int, error) {
	if len(shape) == 0 {
		return 0, fmt.Errorf("%w: no shape: use {1} for a single value", ErrConfig)
	}
	size := 1
	for _, d := range shape {
		if d < 1 || d > maxParam/size {
			return 0, fmt.Errorf("%w: shape %v: every size must be at least 1 and the product at most %d", ErrConfig, shape, maxParam)
		}
		size *= d
	}
	return size, nil
}

// uniform returns an initialiser with numbers in [-bound, bound).
func uniform(bound float64) func([]float32, *rand.Rand) {
	return func(data []float32, rng *rand.Rand) {
		for i := range data {
			// Uint64 and not Float64: PCG's numbers are fixed for ever, what Rand makes of
			// them is not.
			data[i] = float32((float64(rng.Uint64()>>11)*0x1p-52 - 1) * bound)
		}
	}
}

func ones(data []float32, _ *rand.Rand) {
	for i := range data {
		data[i] = 1
	}
}

// state returns the running statistics of a batch normalisation layer.
func (b *Builder) state(name string, channels int, momentum, eps float64) (*ops.BNState, error) {
	if b.states[name] {
		return nil, fmt.Errorf("%w: two batch normalisations have this name: name each one differently", ErrConfig)
	}
	b.states[name] = true
	for _, s := range b.net.norms {
		if s.name == name {
			return s.state, nil
		}
	}
	if !b.create {
		return nil, fmt.Errorf("%w: not there when New ran the network", ErrConfig)
	}
	st := ops.NewBNState(channels, momentum, eps)
	b.net.norms = append(b.net.norms, norm{name, st})
	return st, nil
}

// apply adds an op. Operands that no parameter leads to (the input of the first
// layer) get no gradient: computing it would be in vain.
func (b *Builder) apply(layer string, op nn.Op, in ...*gorgonia.Node) *gorgonia.Node {
	if b.err != nil {
		return nil
	}
	diff := make([]bool, len(in))
	for i, n := range in {
		diff[i] = b.learned[n]
	}
	if !slices.Contains(diff, true) {
		diff = nil
	}
	out, err := ops.ApplyWith(op, ops.Options{Label: layer, Diff: diff}, in...)
	if err != nil {
		return b.fail(layer, err)
	}
	b.learned[out] = diff != nil
	return out
}
