package vm

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/goqat/goqat/internal/nn"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// randomNet draws a graph of ops that keep the shape, ours and stock ones, with many
// readers per result.
func randomNet(seed uint64, size int) func(b netBuilder) *gorgonia.Node {
	return func(b netBuilder) *gorgonia.Node {
		r := rand.New(rand.NewPCG(seed, 8))
		shape := []int{2, 3, 4, 4}
		made := gorgonia.Nodes{b.param("x", shape...), b.leaf("input", shape...)}
		used := map[*gorgonia.Node]bool{}
		pick := func() *gorgonia.Node { return made[max(0, len(made)-1-r.IntN(4))] }
		for i := range size {
			x, y := pick(), pick()
			n := randomOp(b, r, i, x, y)
			for _, k := range []*gorgonia.Node{x, y} {
				used[k] = used[k] || reads(n, k)
			}
			made = append(made, n)
		}
		last := made[len(made)-1]
		for _, n := range made[:len(made)-1] {
			if !used[n] || r.IntN(4) == 0 { // every parameter must have a gradient
				last = b.op(nn.Binary{Fn: "add"}, last, n)
			}
		}
		return last
	}
}

// reads reports whether n depends on x.
func reads(n, x *gorgonia.Node) bool {
	for level := (gorgonia.Nodes{n}); len(level) > 0; {
		var next gorgonia.Nodes
		for _, m := range level {
			if kids := operands(m); slices.Contains(kids, x) {
				return true
			} else if m != x && !m.IsVar() {
				next = append(next, kids...)
			}
		}
		level = next
	}
	return false
}

func randomOp(b netBuilder, r *rand.Rand, i int, x, y *gorgonia.Node) *gorgonia.Node {
	name := fmt.Sprint("p", i)
	switch r.IntN(16) {
	case 0, 1:
		return b.relu(x)
	case 2:
		return b.op(nn.Unary{Fn: "clip", Min: -0.5, Max: 0.75}, x)
	case 3:
		return b.op(nn.Unary{Fn: []string{"leaky_relu", "tanh", "sin"}[r.IntN(3)], Alpha: 0.1}, x)
	case 4, 5:
		return b.norm(name, x)
	case 6:
		return b.conv(name, x, 3)
	case 7, 8:
		return b.op(nn.Binary{Fn: "add"}, x, y)
	case 9:
		return b.op(nn.Binary{Fn: []string{"sub", "mul"}[r.IntN(2)]}, x, y)
	case 10:
		flat := b.op(nn.Reshape{Shape: []int{2, 48}}, x)
		if r.IntN(2) == 0 {
			flat = b.relu(flat)
		}
		return b.op(nn.Reshape{Shape: []int{2, 3, 4, 4}}, flat)
	case 11:
		return b.op(nn.Transpose{Perm: []int{0, 1, 3, 2}}, x)
	case 12:
		return b.op(nn.Pool{Kernel: [2]int{3, 3}, Stride: [2]int{1, 1}, Pad: [4]int{1, 1, 1, 1}}, x)
	case 13:
		return b.keep(gorgonia.Tanh(x))
	case 14:
		return b.keep(gorgonia.Add(x, y))
	}
	return b.keep(gorgonia.Reshape(b.keep(gorgonia.Reshape(x, tensor.Shape{6, 16})), tensor.Shape{2, 3, 4, 4}))
}

// TestRandomGraphs compares a machine that fuses and shares with one that keeps every
// result: cost, gradients, results that somebody asked for and what Read saw.
func TestRandomGraphs(t *testing.T) {
	graphs := uint64(150)
	if testing.Short() {
		graphs = 30
	}
	for seed := range graphs {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { checkRandomGraph(t, seed, 4+int(seed%23)) })
	}
}

func checkRandomGraph(t *testing.T, seed uint64, size int) {
	r := rand.New(rand.NewPCG(seed, 9))
	kept, shared := buildNet(t, randomNet(seed, size)), buildNet(t, randomNet(seed, size))
	var asked []int
	for i := range kept.hidden {
		if r.IntN(6) == 0 {
			asked = append(asked, i)
		}
	}
	read := r.IntN(len(kept.hidden))
	var seen, saw gorgonia.Value
	gorgonia.Read(kept.hidden[read], &seen)
	gorgonia.Read(shared.hidden[read], &saw)
	want := kept.results(t, compile(t, kept.g), 3)
	outputs := gorgonia.Nodes{shared.cost}
	for _, i := range asked {
		outputs = append(outputs, shared.hidden[i])
	}
	m := compile(t, shared.g, outputs...)
	m.Poison()
	sameResults(t, "shared", shared.results(t, m, 3), want)
	for _, i := range asked {
		if got, want := floats(t, shared.hidden[i].Value()), floats(t, kept.hidden[i].Value()); !slices.Equal(got, want) {
			t.Errorf("result %d, %v, is %v, want %v", i, shared.hidden[i].Op(), got, want)
		}
	}
	if got, want := floats(t, saw), floats(t, seen); !slices.Equal(got, want) {
		t.Errorf("Read of result %d saw %v, want %v", read, got, want)
	}
}

// TestTwoMachines: machines for evaluation and for training on one graph take turns,
// and neither spoils the other's results.
func TestTwoMachines(t *testing.T) {
	for name, f := range nets {
		t.Run(name, func(t *testing.T) {
			alone, both := buildNet(t, f), buildNet(t, f)
			want := alone.results(t, compile(t, alone.g, alone.cost), 3)
			a, b := compile(t, both.g, both.cost), compile(t, both.g, both.cost, both.hidden[0])
			a.Poison()
			b.Poison()
			both.results(t, a, 1)
			both.results(t, b, 1)
			sameResults(t, "after another machine", both.results(t, a, 1), want)
		})
	}
}
