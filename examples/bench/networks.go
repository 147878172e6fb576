package main

import (
	"errors"
	"math/rand/v2"
	"slices"

	"github.com/goqat/goqat/models"
	"github.com/goqat/goqat/qat"
	"github.com/goqat/goqat/qat/qconfig"
	"gorgonia.org/gorgonia"
)

// nets makes the networks from a seed.
var nets = map[string]func(seed uint64) (*models.Net, error){
	"mlp":     func(seed uint64) (*models.Net, error) { return models.MLP(seed, 784, 512, 256, 10) },
	"convnet": models.ConvNet,
	"resnet8": models.ResNet8,
	"mobile":  models.Mobile32,
}

// modelNames are the networks of package models, then those in plain Gorgonia alone.
func modelNames() []string {
	return []string{"mlp", "convnet", "resnet8", "mobile", "lstm", "gru", "rnn"}
}

var modeNames = []string{"float", "qat", "stock", "run", "forward"}

const (
	netSeed, dataSeed = 1, 2
	learnRate         = 1e-3 // torch.optim.Adam's default
	classes           = 10
	calibrations      = 4 // batches that a network sees before it is frozen
)

// network is a float graph and what to feed it.
type network struct {
	g       *gorgonia.ExprGraph
	inputs  gorgonia.Nodes
	outputs gorgonia.Nodes // the loss is on the first
	params  gorgonia.Nodes
	size    int    // elements of params
	own     bool   // the graph is of goqat's ops already and trains as it is
	unit    string // what a row of the batch is
	number  func(*rand.Rand) float32
}

// prepare builds what a mode measures.
func prepare(o options) (work, error) {
	if why := o.missing(); why != "" {
		return work{}, errors.New(why)
	}
	load := modelNetwork
	switch {
	case o.onnx != "":
		load = onnxNetwork
	case o.plain || o.mode == "stock" || recurrent[o.model] != nil:
		load = plainNetwork
	}
	n, err := load(o)
	if err != nil {
		return work{}, err
	}
	w, err := n.work(o)
	w.params, w.unit = n.size, n.unit
	return w, err
}

// missing says why there is no network for a mode; empty if there is one.
func (o options) missing() string {
	switch plain := o.plain || o.mode == "stock"; {
	case plain && o.onnx != "":
		return "no such network of stock ops: -plain and -mode stock take -model"
	case plain && plainMissing[o.model] != "":
		return "no such network of stock ops: " + plainMissing[o.model]
	case o.mode == "stock" && stockMissing[o.model] != "":
		return "stock ops cannot train it: " + stockMissing[o.model]
	case !plain && o.onnx == "" && nets[o.model] == nil && o.compare:
		return "package models has no recurrent network"
	}
	return ""
}

func (n network) work(o options) (work, error) {
	switch o.mode {
	case "stock":
		return stockWork(n, o)
	case "float":
		return n.floatWork()
	case "qat":
		return n.quantizedWork(o.bits)
	case "forward":
		return n.forwardWork()
	}
	return n.runWork(o)
}

// modelNetwork is one of the reference networks.
func modelNetwork(o options) (network, error) {
	net, err := nets[o.model](netSeed)
	if err != nil {
		return network{}, err
	}
	g, err := net.Build(o.batch, !o.infers() || o.mode == "run")
	if err != nil {
		return network{}, err
	}
	return network{g: g.G, inputs: gorgonia.Nodes{g.X}, outputs: gorgonia.Nodes{g.Logits}, params: g.Params, size: net.Size(), own: true,
		unit: "images", number: (*rand.Rand).Float32}, nil
}

// data returns a batch of random numbers for each of the inputs.
func (n network) data(inputs gorgonia.Nodes, rng *rand.Rand) [][]float32 {
	all := make([][]float32, len(inputs))
	for i, in := range inputs {
		all[i] = make([]float32, in.Shape().TotalSize())
		for j := range all[i] {
			all[i][j] = n.number(rng)
		}
	}
	return all
}

func random() *rand.Rand { return rand.New(rand.NewPCG(dataSeed, 0)) }

// config is PyTorch's default for training on servers: symmetric narrow weights per
// channel, affine uint8 activations, both with moving averages of the range.
func config(bits int) qconfig.Config {
	const observer = "moving_average_min_max"
	return qconfig.Config{Global: &qconfig.Layer{
		Weights:     qconfig.Tensor{Bits: bits, Granularity: qconfig.PerChannel, NarrowRange: qconfig.Yes, Observer: observer},
		Activations: qconfig.Tensor{Scheme: qconfig.Affine, Observer: observer},
	}}
}

func (n network) prepared(bits int) (*qat.Model, error) {
	p, err := qat.Prepare(n.g, config(bits), n.outputs...)
	return p, err
}

// equalAll compares the outputs of two runs.
func equalAll(a, b [][]float32) bool { return slices.EqualFunc(a, b, slices.Equal[[]float32]) }
