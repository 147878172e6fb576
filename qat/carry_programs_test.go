package qat

import (
	"errors"
	"testing"

	"github.com/goqat/goqat/internal/ops"
	"github.com/goqat/goqat/qat/qconfig"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// program is a training program that existed before: its graph with the loss.
type program struct {
	g       *gorgonia.ExprGraph
	outputs []*gorgonia.Node
	cost    *gorgonia.Node
	inputs  []*gorgonia.Node // what feed binds values to
	params  int              // parameters that are to be trained
	reads   []*gorgonia.Value
}

// leaf adds an input of the network or the loss.
func (p *program) leaf(name string, shape ...int) *gorgonia.Node {
	n := leaf(p.g, name, shape...)
	p.inputs = append(p.inputs, n)
	return n
}

func (p *program) read(n *gorgonia.Node) {
	p.reads = append(p.reads, new(gorgonia.Value))
	gorgonia.Read(n, p.reads[len(p.reads)-1])
}

func crossEntropy(logits, y *gorgonia.Node) *gorgonia.Node {
	logp := must(gorgonia.Log(must(gorgonia.SoftMax(logits))))
	return must(gorgonia.Neg(must(gorgonia.Mean(must(gorgonia.HadamardProd(logp, y))))))
}

func weightDecay(lambda float32, w *gorgonia.Node) *gorgonia.Node {
	return must(gorgonia.Mul(gorgonia.NewConstant(lambda), must(gorgonia.Sum(must(gorgonia.Square(w))))))
}

func byName(g *gorgonia.ExprGraph, name string) *gorgonia.Node { return g.ByName(name)[0] }

var programs = map[string]func(p *program){
	"one-hot labels": func(p *program) {
		y := fc("fc2", relu(fc("fc1", p.leaf("x", 4, 6), 5)), 3)
		p.outputs = []*gorgonia.Node{y}
		p.cost = crossEntropy(y, p.leaf("y", 4, 3))
		p.params = 4
	},
	"integer labels": func(p *program) {
		y := fc("fc2", relu(fc("fc1", p.leaf("x", 4, 6), 5)), 3)
		labels := gorgonia.NewVector(p.g, tensor.Int, gorgonia.WithShape(4), gorgonia.WithName("labels"))
		p.inputs = append(p.inputs, labels)
		p.outputs = []*gorgonia.Node{y}
		p.cost = must(ops.CrossEntropy(y, labels))
		p.params = 4
	},
	"probabilities as the output, read metrics": func(p *program) {
		h := relu(fc("fc1", p.leaf("x", 4, 6), 5))
		prob := must(gorgonia.SoftMax(fc("fc2", h, 3)))
		y := p.leaf("y", 4, 3)
		p.outputs = []*gorgonia.Node{prob}
		p.cost = must(gorgonia.Mean(must(gorgonia.Square(must(gorgonia.Sub(prob, y))))))
		p.read(p.cost)
		p.read(prob)
		p.read(must(gorgonia.Max(h)))
		p.params = 4
	},
	"regulariser over a quantized weight": func(p *program) {
		y := fc("fc2", relu(fc("fc1", p.leaf("x", 4, 6), 5)), 3)
		p.outputs = []*gorgonia.Node{y}
		p.cost = must(gorgonia.Add(crossEntropy(y, p.leaf("y", 4, 3)), weightDecay(0.125, byName(p.g, "fc1.weight"))))
		p.params = 4
	},
	"second head with batch normalisation and dropout": func(p *program) {
		h := relu(batchNorm("bn1", conv("c1", p.leaf("x", 3, 2, 4, 4), 4, 3)))
		flat := must(gorgonia.Reshape(h, tensor.Shape{3, 64}))
		a := fc("a", flat, 3)
		b := relu(batchNorm("bn2", fc("b1", must(gorgonia.Dropout(flat, 0.25)), 6)))
		b = fc("b2", b, 2)
		p.outputs = []*gorgonia.Node{a}
		p.cost = must(gorgonia.Add(crossEntropy(a, p.leaf("y", 3, 3)),
			must(gorgonia.Mean(must(gorgonia.Square(must(gorgonia.Sub(b, p.leaf("z", 3, 2)))))))))
		p.params = 3 + 2 + 6
	},
	"a stock op behind the network": func(p *program) {
		h := conv("c1", p.leaf("x", 2, 2, 4, 4), 3, 3)
		big := must(gorgonia.Upsample2D(h, 2))
		p.outputs = []*gorgonia.Node{relu(conv("c2", relu(h), 2, 3))}
		p.cost = must(gorgonia.Add(squares(p.outputs), must(gorgonia.Mean(must(gorgonia.Square(must(gorgonia.Sub(big, p.leaf("y", 2, 3, 8, 8)))))))))
		p.params = 2
	},
	"regulariser over a transposed weight": func(p *program) {
		w := must(gorgonia.Transpose(param(p.g, "w", 5, 6), 1, 0))
		p.outputs = []*gorgonia.Node{relu(must(gorgonia.Mul(p.leaf("x", 4, 6), w)))}
		p.cost = must(gorgonia.Add(squares(p.outputs), must(gorgonia.Sum(must(gorgonia.Abs(w))))))
		p.params = 1
	},
	"an auxiliary head with a pool that Gorgonia cannot differentiate": func(p *program) {
		h := relu(conv("c1", p.leaf("x", 2, 2, 4, 4), 3, 3))
		p.outputs = []*gorgonia.Node{maxPool(relu(conv("c2", h, 2, 3)))}
		pooled := must(gorgonia.Reshape(must(gorgonia.GlobalAveragePool2D(h)), tensor.Shape{2, 3}))
		p.cost = must(gorgonia.Add(squares(p.outputs), squares([]*gorgonia.Node{fc("aux", pooled, 2)})))
		p.params = 4
	},
	"binary cross entropy": func(p *program) {
		y := must(gorgonia.Sigmoid(fc("fc1", p.leaf("x", 4, 6), 1)))
		p.outputs = []*gorgonia.Node{y}
		p.cost = must(gorgonia.Mean(must(gorgonia.BinaryXent(y, p.leaf("y", 4, 1)))))
		p.params = 2
	},
	"mean and deviation as parts of the output": func(p *program) {
		y := fc("fc1", p.leaf("x", 4, 6), 6)
		p.outputs = []*gorgonia.Node{y}
		mean, logvar := must(gorgonia.Slice(y, nil, gorgonia.S(0, 3))), must(gorgonia.Slice(y, nil, gorgonia.S(3, 6)))
		p.cost = must(gorgonia.Sum(must(gorgonia.Sub(must(gorgonia.Exp(logvar)), must(gorgonia.HadamardProd(mean, logvar))))))
		p.read(must(gorgonia.Norm(y, 0, 2)))
		p.params = 2
	},
	"rows by integer indices": func(p *program) {
		y := fc("fc1", p.leaf("x", 4, 6), 3)
		rows := gorgonia.NewVector(p.g, tensor.Int, gorgonia.WithShape(3), gorgonia.WithName("rows"))
		p.inputs = append(p.inputs, rows)
		p.outputs = []*gorgonia.Node{y}
		p.cost = must(gorgonia.Mean(must(gorgonia.ByIndices(y, rows, 0))))
		p.params = 2
	},
	"autoencoder against its input": func(p *program) {
		x := p.leaf("x", 4, 6)
		y := fc("fc2", relu(fc("fc1", x, 3)), 6)
		p.outputs = []*gorgonia.Node{y}
		p.cost = must(gorgonia.Mean(must(gorgonia.Square(must(gorgonia.Sub(x, y))))))
		p.params = 4
	},
}

func newProgram(name string) *program {
	p := &program{g: gorgonia.NewGraph()}
	programs[name](p)
	return p
}

// quantize is the few lines that quantize a program.
func (pr *program) quantize(t *testing.T, cfg qconfig.Config) *net {
	t.Helper()
	n := onlyPrepare(t, cfg, pr.g, pr.outputs...)
	vars := []**gorgonia.Node{&pr.cost}
	for i := range pr.inputs {
		vars = append(vars, &pr.inputs[i])
	}
	if err := n.m.Map(vars...); err != nil {
		t.Fatal(err)
	}
	n.cost = pr.cost
	if _, err := gorgonia.Grad(n.cost, n.m.Learnables()...); err != nil {
		t.Fatal(err)
	}
	return n
}

func (pr *program) feed(t *testing.T, i int) {
	t.Helper()
	for k, x := range pr.inputs {
		v := dense(numbers(uint32(100*i+k+1), size(x.Shape())), x.Shape()...)
		if x.Dtype() == tensor.Int {
			labels := make([]int, size(x.Shape()))
			for j := range labels {
				labels[j] = (i + j) % 3
			}
			v = tensor.New(tensor.WithShape(x.Shape()...), tensor.WithBacking(labels))
		}
		if err := gorgonia.Let(x, v); err != nil {
			t.Fatal(err)
		}
	}
}

// TestCarriedPrograms trains each program on both machines, to the same bits, freezes it
// and finds no difference to the frozen network, at another batch size too.
func TestCarriedPrograms(t *testing.T) {
	for name := range programs {
		t.Run(name, func(t *testing.T) {
			run := func(own bool) (*net, map[string][]float32) {
				pr := newProgram(name)
				n := pr.quantize(t, qconfig.Config{Milestones: qconfig.MilestonesAt(0, 2, qconfig.Never, qconfig.Never)})
				if got := len(n.m.Learnables()); got != pr.params {
					t.Errorf("%d learnables, want %d", got, pr.params)
				}
				vm := n.machine()
				if !own {
					vm = gorgonia.NewTapeMachine(n.m.Graph())
				}
				defer vm.Close()
				h := map[string][]float32{}
				for i := range 6 {
					pr.feed(t, i)
					if err := vm.RunAll(); err != nil {
						t.Fatal(err)
					}
					h["loss"] = append(h["loss"], floats(t, n.cost.Value())...)
					for _, v := range pr.reads {
						h["reads"] = append(h["reads"], floats(t, *v)...)
					}
					for k, g := range gradients(t, n.m.Learnables()) {
						h[k] = g
					}
					solver := gorgonia.NewVanillaSolver(gorgonia.WithLearnRate(0.01))
					if err := errors.Join(solver.Step(gorgonia.NodesToValueGrads(n.m.Learnables())), n.m.Step()); err != nil {
						t.Fatal(err)
					}
					vm.Reset()
				}
				return n, h
			}
			n, own := run(true)
			tape, stock := run(false)
			sameBits(t, "history", own, stock)
			sameSnapshot(t, n.snapshot(), tape.snapshot())
			fz := n.freeze()
			n.verify(fz, n.batch(1, n.m.Batch()))
			n.verify(fz, n.batch(2, n.m.Batch()+3))
			if _, err := n.m.Predict(n.batch(3, 5)...); err != nil {
				t.Error(err)
			}
		})
	}
}
