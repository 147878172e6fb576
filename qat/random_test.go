package qat

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/goqat/goqat/qat/qconfig"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// randomNets is how many networks are drawn; each is one subtest with its seed as
// its name.
const randomNets = 150

// drawer grows a network at random. All images are [3,C,4,4] and all matrices
// [3,F], so that most pairs fit each other.
type drawer struct {
	rng   *rand.Rand
	g     *gorgonia.ExprGraph
	n     int
	nodes []*gorgonia.Node
}

func (d *drawer) name(kind string) string {
	d.n++
	return fmt.Sprintf("%s%d", kind, d.n)
}

func (d *drawer) any(rank int) *gorgonia.Node {
	var fit []*gorgonia.Node
	for _, n := range d.nodes {
		if n.Dims() == rank {
			fit = append(fit, n)
		}
	}
	if len(fit) == 0 {
		return nil
	}
	return fit[d.rng.IntN(len(fit))]
}

// grow adds one layer to a node drawn from those that are there.
func (d *drawer) grow() {
	rank := 2
	if d.rng.IntN(3) > 0 {
		rank = 4
	}
	x := d.any(rank)
	if x == nil {
		return
	}
	out := 1 + d.rng.IntN(3)
	var y *gorgonia.Node
	switch k := d.rng.IntN(14); {
	case k < 3 && rank == 4:
		y = conv(d.name("conv"), x, out, 1+2*d.rng.IntN(2))
	case k < 3:
		y = fc(d.name("fc"), x, out)
	case k == 3:
		y = batchNorm(d.name("bn"), x)
	case k == 4 || k == 5:
		y = relu(x)
	case k == 6:
		y = must(gorgonia.Sigmoid(x))
	case k == 7:
		y = must(gorgonia.Tanh(x))
	case k == 8:
		y = must(gorgonia.Concat(1, x, d.any(rank)))
	case k == 9:
		if z := d.any(rank); z.Shape().Eq(x.Shape()) {
			y = must(gorgonia.Add(x, z))
		}
	case k == 10 && rank == 4: // a pool that keeps the size
		y = must(gorgonia.MaxPool2D(x, tensor.Shape{3, 3}, []int{1, 1}, []int{1, 1}))
	case k == 11 && rank == 4:
		s := x.Shape()
		y = must(gorgonia.Reshape(x, tensor.Shape{s[0], s.TotalSize() / s[0]}))
	case k == 12 && d.rng.IntN(2) == 0:
		y = must(gorgonia.Dropout(x, 0.25))
	case k == 13 && x.Shape()[1] > 1:
		slices := make([]tensor.Slice, rank)
		slices[1] = gorgonia.S(0, x.Shape()[1]-1)
		y = must(gorgonia.Slice(x, slices...))
	}
	if y != nil {
		d.nodes = append(d.nodes, y)
	}
}

// draw returns a network with one or two outputs. Nothing guarantees that all of it
// is used.
func draw(seed uint64) (*gorgonia.ExprGraph, []*gorgonia.Node, qconfig.Config) {
	d := &drawer{rng: rand.New(rand.NewPCG(seed, 7)), g: gorgonia.NewGraph()}
	d.nodes = append(d.nodes, leaf(d.g, "x", 3, 2, 4, 4))
	if d.rng.IntN(2) == 0 {
		d.nodes = append(d.nodes, leaf(d.g, "z", 3, 5))
	}
	inputs := len(d.nodes)
	for len(d.nodes) < inputs+4+d.rng.IntN(9) {
		d.grow()
	}
	// The ReLU makes sure that something is left to freeze: dropout is not.
	outputs := []*gorgonia.Node{relu(d.nodes[len(d.nodes)-1])}
	if i := inputs + d.rng.IntN(len(d.nodes)-inputs); d.rng.IntN(3) == 0 {
		outputs = append(outputs, d.nodes[i])
	}
	var layer qconfig.Layer
	pick := func(n int) bool { return d.rng.IntN(n) == 0 }
	if pick(3) {
		layer.Weights = qconfig.Tensor{Bits: 4, Granularity: qconfig.PerBlock, BlockSize: 1 + d.rng.IntN(3)}
	}
	if pick(3) {
		layer.Activations = qconfig.Tensor{Scheme: qconfig.Affine, Bits: 4 + d.rng.IntN(5)}
	}
	if pick(8) {
		layer.Activations = qconfig.Tensor{Off: true}
	}
	return d.g, outputs, qconfig.Config{Global: &layer, Milestones: qconfig.MilestonesAt(0, d.rng.IntN(2), qconfig.Never, d.rng.IntN(4)-1)}
}

// TestRandomNets: whatever the layers and their order, training gives the same
// bits on both machines, and what is frozen computes the same codes as training in
// evaluation form.
func TestRandomNets(t *testing.T) {
	for seed := range uint64(randomNets) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			run := func(own bool) (*net, map[string][]float32) {
				g, outputs, cfg := draw(seed)
				n := onlyPrepare(t, cfg, g, outputs...)
				n.cost = squares(n.m.OutputNodes())
				if len(n.m.Learnables()) > 0 {
					if _, err := gorgonia.Grad(n.cost, n.m.Learnables()...); err != nil {
						t.Fatal(err)
					}
				}
				// Both run everything, also what no output needs.
				vm, err := n.m.Machine()
				if err != nil {
					t.Fatal(err)
				}
				if !own {
					vm = gorgonia.NewTapeMachine(n.m.Graph())
				}
				defer vm.Close()
				for i := range 3 {
					n.step(vm, i)
				}
				return n, gradients(t, n.m.Learnables())
			}
			n, grads := run(true)
			n.verify(n.freeze(), n.batch(5, 2))
			n.verify(n.freeze(), n.batch(6, 3))
			tape, tapeGrads := run(false)
			sameBits(t, "gradient", grads, tapeGrads)
			sameSnapshot(t, n.snapshot(), tape.snapshot())
		})
	}
}
