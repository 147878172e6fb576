package train

import (
	"testing"

	"github.com/goqat/goqat/internal/vm"
	"github.com/goqat/goqat/models"
	"github.com/goqat/goqat/qat"
	"github.com/goqat/goqat/qat/qconfig"
	"gorgonia.org/gorgonia"
)

// BenchmarkAdam updates as many values as the ConvNet of package models has.
func BenchmarkAdam(b *testing.B) {
	const n = 421642
	w, g := make([]float32, n), make([]float32, n)
	for i := range g {
		g[i] = float32(i%13-6) / 8
	}
	o, ps := must(NewAdam(AdamConfig{LearnRate: 1e-3})), list(vec("w", w, g))
	b.SetBytes(4 * n)
	b.ReportAllocs()
	for b.Loop() {
		must(0, o.Step(ps))
	}
}

// BenchmarkStep is one step of a Loop, float32 and quantized, at a batch of 64.
func BenchmarkStep(b *testing.B) {
	for _, m := range []struct {
		name string
		net  func(seed uint64) (*models.Net, error)
	}{
		{"mlp", func(seed uint64) (*models.Net, error) { return models.MLP(seed, 784, 512, 256, 10) }},
		{"convnet", models.ConvNet},
		{"resnet8", models.ResNet8},
		{"mobile", models.Mobile32},
	} {
		b.Run(m.name+"/float", func(b *testing.B) {
			net := must(m.net(1))
			g := must(net.Build(64, true))
			benchmarkStep(b, net, g.X, g.Logits, g.Params, nil, func(loss *gorgonia.Node) (gorgonia.VM, error) { return vm.New(g.G, loss) })
		})
		b.Run(m.name+"/qat", func(b *testing.B) {
			net := must(m.net(1))
			g := must(net.Build(64, true))
			p := must(qat.Prepare(g.G, qconfig.Config{}, g.Logits))
			benchmarkStep(b, net, p.InputNodes()[0], p.OutputNodes()[0], p.Learnables(), p.Step,
				func(loss *gorgonia.Node) (gorgonia.VM, error) { return p.Machine(loss) })
		})
	}
}

func benchmarkStep(b *testing.B, net *models.Net, x, logits *gorgonia.Node, params gorgonia.Nodes, after func() error,
	machine func(loss *gorgonia.Node) (gorgonia.VM, error)) {
	const rows = 64
	d := Data{Shape: net.Input(), Classes: 10}
	for i := range rows * x.Shape()[1:].TotalSize() {
		d.X = append(d.X, float32(i*7919%1000)/1000)
	}
	for i := range rows {
		d.Y = append(d.Y, i%10)
	}
	loss, labels, err := CrossEntropy(logits)
	must(0, err)
	must(0, Gradients(loss, params))
	m := must(machine(loss))
	defer m.Close()
	l := Loop{Machine: m, X: x, Labels: labels, Loss: loss, Params: params, Solver: must(NewAdam(AdamConfig{LearnRate: 1e-3})),
		Batches: must(NewBatches(d, rows, 1)), Epochs: 1, AfterStep: after, Quiet: true}
	r := must(l.start())
	defer r.bar.close()
	for range 2 {
		must(0, r.step(0))
	}
	b.ReportAllocs()
	for b.Loop() {
		must(0, r.step(0))
	}
}
