package qat_test

import (
	"slices"
	"testing"

	"github.com/goqat/goqat/models"
	"github.com/goqat/goqat/qat"
	"github.com/goqat/goqat/train"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// step runs one training step of a graph and returns the gradients by name.
func step(t *testing.T, x, logits *gorgonia.Node, params gorgonia.Nodes, machine func(loss *gorgonia.Node) (gorgonia.VM, error)) map[string][]float32 {
	t.Helper()
	loss, labels, err := train.CrossEntropy(logits)
	if err != nil {
		t.Fatal(err)
	}
	if err := train.Gradients(loss, params); err != nil {
		t.Fatal(err)
	}
	data := make([]float32, x.Shape().TotalSize())
	for i := range data {
		data[i] = float32(i*29%64)/32 - 1
	}
	let(t, x, tensor.New(tensor.WithShape(x.Shape()...), tensor.WithBacking(data)))
	classes := make([]int, logits.Shape()[0])
	for i := range classes {
		classes[i] = i % logits.Shape()[1]
	}
	let(t, labels, tensor.New(tensor.WithBacking(classes)))
	m, err := machine(loss)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.RunAll(); err != nil {
		t.Fatal(err)
	}
	out := map[string][]float32{"loss": {loss.Value().Data().(float32)}}
	for _, p := range params {
		g, err := p.Grad()
		if err != nil {
			t.Fatal(err)
		}
		out[p.Name()] = slices.Clone(g.Data().([]float32))
	}
	return out
}

// TestOptimizeModels: package models builds with goqat's ops already, so a rewritten
// network computes the same bits, and moves the same running statistics.
func TestOptimizeModels(t *testing.T) {
	for name, build := range map[string]func(uint64) (*models.Net, error){"CNN": models.CNN, "Mobile": models.Mobile, "ResNet8": models.ResNet8} {
		var got [2]map[string][]float32
		var ran [2]*models.Net
		for i := range 2 {
			net, err := build(1)
			if err != nil {
				t.Fatal(err)
			}
			g, err := net.Build(3, true)
			if err != nil {
				t.Fatal(err)
			}
			if i == 0 {
				got[i] = step(t, g.X, g.Logits, g.Params, func(*gorgonia.Node) (gorgonia.VM, error) { return gorgonia.NewTapeMachine(g.G), nil })
			} else {
				o, err := qat.Optimize(g.G, g.Logits)
				if err != nil {
					t.Fatal(err)
				}
				got[i] = step(t, o.InputNodes()[0], o.OutputNodes()[0], o.Learnables(), func(loss *gorgonia.Node) (gorgonia.VM, error) { return o.Machine(loss) })
			}
			ran[i] = net
		}
		if len(got[0]) != len(got[1]) {
			t.Errorf("%s: %d gradients, want %d", name, len(got[1]), len(got[0]))
		}
		for k, want := range got[0] {
			if !slices.Equal(got[1][k], want) {
				t.Errorf("%s: %s differs", name, k)
			}
		}
		x := make([]float32, tensor.Shape(ran[0].Input()).TotalSize())
		for i := range x {
			x[i] = float32(i%7) / 8
		}
		var logits [2][]float32
		for i, net := range ran {
			y, err := train.LogitsOf(net)(x, 1)
			if err != nil {
				t.Fatal(err)
			}
			logits[i] = slices.Clone(y)
		}
		if !slices.Equal(logits[0], logits[1]) {
			t.Errorf("%s: after a step the networks give %v and %v", name, logits[1], logits[0])
		}
	}
}
