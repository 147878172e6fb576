package onnxin

import (
	"slices"
	"testing"

	"github.com/goqat/goqat/qat"
	"github.com/goqat/goqat/qat/qconfig"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// What the file calls an input stays one, although it has a value once the model has
// run in float; what it holds stays a parameter.
func TestInputsStayInputs(t *testing.T) {
	for _, ran := range []bool{false, true} {
		f := newFile(13)
		f.input("x", 1, 4)
		f.input("s", 1, 3)
		w := f.weight("W", 1, 4, 3)
		g := f.weight("g", 1, 1, 3)
		f.named("", "MatMul", []string{"x", w}, []string{"p"})
		f.named("", "Mul", []string{"p", g}, []string{"q"})
		f.named("", "Add", []string{"q", "s"}, []string{"y"})
		f.output("y")
		m, err := f.read(t, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if ran {
			for _, n := range m.Inputs {
				v := tensor.New(tensor.WithShape(n.Shape()...), tensor.WithBacking(make([]float32, n.Shape().TotalSize())))
				if err := gorgonia.Let(n, v); err != nil {
					t.Fatal(err)
				}
			}
			if err := gorgonia.NewTapeMachine(m.Graph).RunAll(); err != nil {
				t.Fatal(err)
			}
		}
		p, err := qat.Prepare(m.Graph, qconfig.Config{}, m.Outputs...)
		if err != nil {
			t.Fatal(err)
		}
		if out := p.Plan().Outputs; !slices.Equal(out, []string{"y"}) {
			t.Errorf("outputs %q, want y, as the file calls it", out)
		}
		if !slices.Equal(p.Inputs(), []string{"x", "s"}) || len(p.Learnables()) != 2 {
			t.Errorf("after a run: %t: inputs %q, learnables %v, want x and s, W and g", ran, p.Inputs(), p.Learnables())
		}
	}
}
