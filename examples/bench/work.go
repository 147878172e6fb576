package main

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/goqat/goqat/internal/vm"
	"github.com/goqat/goqat/models"
	"github.com/goqat/goqat/qat"
	"github.com/goqat/goqat/train"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// nets makes the networks from a seed.
var nets = map[string]func(seed uint64) (*models.Net, error){
	"mlp":     func(seed uint64) (*models.Net, error) { return models.MLP(seed, 784, 512, 256, 10) },
	"convnet": models.ConvNet,
	"resnet8": models.ResNet8,
	"mobile":  models.Mobile32,
}

func modelNames() []string { return []string{"mlp", "convnet", "resnet8", "mobile"} }

var modeNames = []string{"float", "qat", "stock", "run", "forward"}

const (
	netSeed, dataSeed = 1, 2
	learnRate         = 1e-3 // torch.optim.Adam's default
	classes           = 10
	calibrations      = 4 // batches that a network sees before it is frozen
)

// prepare builds what a mode measures.
func prepare(o options) (work, error) {
	net, err := nets[o.model](netSeed)
	if err != nil {
		return work{}, err
	}
	switch o.mode {
	case "float":
		return floatWork(net, o)
	case "qat":
		return quantizedWork(net, o)
	case "stock":
		return stockWork(net, o)
	case "forward":
		return forwardWork(net, o)
	}
	return runWork(net, o)
}

// rows returns a batch of numbers in [0, 1).
func rows(net *models.Net, batch int, rng *rand.Rand) []float32 {
	x := make([]float32, batch*tensor.Shape(net.Input()).TotalSize())
	for i := range x {
		x[i] = rng.Float32()
	}
	return x
}

func random() *rand.Rand { return rand.New(rand.NewPCG(dataSeed, 0)) }

// floatWork is what train.Float does in each step.
func floatWork(net *models.Net, o options) (work, error) {
	g, err := net.Build(o.batch, true)
	if err != nil {
		return work{}, err
	}
	return training(net, o, g.X, g.Logits, g.Params, nil, func(loss *gorgonia.Node) (gorgonia.VM, error) {
		return vm.New(g.G, loss)
	})
}

// quantizedWork is what train.Quantized does in each step, observing and quantizing
// from the first on.
func quantizedWork(net *models.Net, o options) (work, error) {
	q, p, err := prepared(net, o)
	if err != nil {
		return work{}, err
	}
	if err := q.Step(); err != nil {
		return work{}, err
	}
	return training(net, o, p.InputNodes()[0], p.OutputNodes()[0], p.Learnables(), q.Step, func(loss *gorgonia.Node) (gorgonia.VM, error) {
		return p.Machine(loss)
	})
}

// config is PyTorch's default for training on servers: symmetric narrow weights per
// channel, affine uint8 activations, both with moving averages of the range.
func config(bits int) qat.Config {
	const observer = "moving_average_min_max"
	return qat.Config{Global: &qat.LayerConfig{
		Weights:     qat.TensorConfig{Bits: bits, Granularity: qat.PerChannel, NarrowRange: qat.Yes, Observer: observer},
		Activations: qat.TensorConfig{Scheme: qat.Affine, Observer: observer},
	}}
}

func prepared(net *models.Net, o options) (*qat.Quantizer, *qat.Prepared, error) {
	g, err := net.Build(o.batch, true)
	if err != nil {
		return nil, nil, err
	}
	q, err := qat.New(config(o.bits))
	if err != nil {
		return nil, nil, err
	}
	p, err := q.Prepare(g.G, g.Logits)
	return q, p, err
}

// training makes the step of a network with its own machine and solver.
func training(net *models.Net, o options, x, logits *gorgonia.Node, params gorgonia.Nodes, after func() error,
	machine func(loss *gorgonia.Node) (gorgonia.VM, error)) (work, error) {
	loss, labels, err := train.CrossEntropy(logits)
	if err != nil {
		return work{}, err
	}
	if err := train.Gradients(loss, params); err != nil {
		return work{}, err
	}
	m, err := machine(loss)
	if err != nil {
		return work{}, err
	}
	solver, err := train.NewAdam(train.AdamConfig{LearnRate: learnRate})
	if err != nil {
		return work{}, err
	}
	y := make([]int, o.batch)
	for i := range y {
		y[i] = i % classes
	}
	if err := gorgonia.Let(x, tensor.New(tensor.WithShape(x.Shape()...), tensor.WithBacking(rows(net, o.batch, random())))); err != nil {
		return work{}, err
	}
	if err := gorgonia.Let(labels, tensor.New(tensor.WithShape(o.batch), tensor.WithBacking(y))); err != nil {
		return work{}, err
	}
	grads := gorgonia.NodesToValueGrads(params)
	return work{params: net.Size(), loss: func() (float64, error) { return lossOf(loss.Value()) }, close: func() { m.Close() },
		step: func() error {
			if err := m.RunAll(); err != nil {
				return err
			}
			if err := solver.Step(grads); err != nil {
				return err
			}
			m.Reset()
			if after != nil {
				return after()
			}
			return nil
		}}, nil
}

// lossOf reads a scalar.
func lossOf(v gorgonia.Value) (float64, error) {
	switch v := v.(type) {
	case *gorgonia.F32:
		return float64(*v), nil
	case *tensor.Dense:
		switch data := v.Data().(type) {
		case float32:
			return float64(data), nil
		case []float32:
			if len(data) == 1 {
				return float64(data[0]), nil
			}
		}
	}
	return 0, fmt.Errorf("the loss is a %T, want one float32", v)
}

// runWork is the frozen network on one batch.
func runWork(net *models.Net, o options) (work, error) {
	q, p, err := prepared(net, o)
	if err != nil {
		return work{}, err
	}
	rng := random()
	for range calibrations {
		if err := p.Calibrate(rows(net, o.batch, rng)); err != nil {
			return work{}, err
		}
	}
	fz, err := q.Freeze()
	if err != nil {
		return work{}, err
	}
	return inference(net, rows(net, o.batch, rng), fz.Run), nil
}

// forwardWork is the float network on one batch, without gradients and with the running
// statistics of its batch normalisations.
func forwardWork(net *models.Net, o options) (work, error) {
	g, err := net.Build(o.batch, false)
	if err != nil {
		return work{}, err
	}
	fast, err := qat.Optimize(g.G, g.Logits)
	if err != nil {
		return work{}, err
	}
	return inference(net, rows(net, o.batch, random()), fast.Predict), nil
}

// inference runs a network on x again and again.
func inference(net *models.Net, x []float32, run func(...[]float32) ([][]float32, error)) work {
	var last []float32
	step := func() error {
		out, err := run(x)
		if err != nil {
			return err
		}
		if last != nil && !slices.Equal(last, out[0]) {
			return fmt.Errorf("two runs on the same input differ")
		}
		last = out[0]
		return nil
	}
	return work{params: net.Size(), step: step, close: func() {}}
}
