package plan

// This file says what a plan and its graphs are made of.

import (
	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/fakequant/fqop"
	"github.com/goqat/goqat/internal/graph"
	"github.com/goqat/goqat/internal/nn"
	"github.com/goqat/goqat/internal/ops"
	"github.com/goqat/goqat/internal/vm"
	"github.com/goqat/goqat/qat/internal/exact"
	"github.com/goqat/goqat/qat/qconfig"
	"gorgonia.org/gorgonia"
)

// Plan is the typed network with fused layers and quantizers in place.
type Plan struct {
	Net        *graph.Net
	Config     qconfig.Config
	Layers     []*Layer
	Static     map[*graph.Value]bool // depends on no input
	trained    map[*graph.Value]bool // depends on a parameter
	Families   map[*graph.Value]*Family
	Order      []*Family
	Maker      map[*graph.Value]*Layer                // the layer that makes a value
	learned    map[*fakequant.Quantizer]learnedMemory // learned scales and zero points
	Statistics map[*graph.Layer]*ops.BNState          // running statistics, shared by all graphs made of the plan
	initial    []fakequant.State                      // of all quantizers, before any data
	Evals      map[evalKey]*Evaluator                 // graphs in evaluation form, by batch size

	drawn   uint64                        // how often Fill drew numbers
	rounded map[*graph.Value]*graph.Value // the rounded form of outputs that stay float

	unfolded bool // batch normalisations stay layers of their own
}

// Layer is one layer of the network as it is trained: an operation with
// everything that belongs to it, from its bias to its activation.
type Layer struct {
	Name      string
	Kind      string
	Op        nn.Op
	In        []*graph.Value // operands; a weighted layer has [x, weight]
	Bias      *graph.Value   // of a weighted layer; may be nil
	BatchNorm *graph.Layer   // the batch normalisation folded into it; may be nil
	Act       *nn.Unary      // fused activation; may be nil
	Out       *graph.Value   // what other layers see
	Source    []*graph.Layer // what it was made of

	Weighted bool
	Table    bool // looks up rows of a parameter, its weights: an embedding
	Config   qconfig.Layer
	on       bool   // false: the config leaves it float
	Why      string // why it, or a part of it, is left float; may be empty

	rounds *Layer // whose result, an output that stays float, it rounds for other layers; nil for other layers

	WeightQuantizer *fakequant.Quantizer // of the weights; nil if they stay float
	Shares          *Layer               // whose weights and quantizer these are; nil for its own
	weightSite      *fakequant.Site
	Oscillation     *Oscillator // follows the weights in training; nil unless the config asks for it
	Tuned           *Tuned      // what post-training helpers put into evaluation forms; may be nil
}

// Family is a set of activation tensors that share one quantizer: a tensor and all
// that only passes its values on.
type Family struct {
	Quantizer *fakequant.Quantizer
	Members   []*graph.Value // in network order
	Sites     map[*graph.Value]*fakequant.Site
}

// learnedMemory is the memory that a learned quantizer shares with graph nodes.
type learnedMemory struct{ logScale, zeroPoint []float32 }

// Oscillator follows the weights of one layer. All its state is float32, so that a
// state file holds it as tensors: codes and counts are small whole numbers.
type Oscillator struct {
	set       qconfig.Oscillation
	weights   *graph.Value              // a parameter
	layout    fakequant.Layout          // of the weights
	factor    func() ([]float64, error) // what folding multiplies the channels by; nil for nothing
	channel   func(i int) int           // output channel of element i
	Why       string                    // not followed, and why
	state     map[string][]float32      // the slices below by name, as in a state file
	steps     []float32                 // how many steps were followed, one element
	Code      []float32                 // q - zero_point of the last step
	sign      []float32                 // direction of the last change: -1, 1, or 0 before any
	Frequency []float32                 // moving average of jumps, f in the paper
	Mean      []float32                 // moving average of code
	Frozen    []float32                 // 1 for fixed weights
	Held      []float32                 // what fixed weights were set to
	codes     []int32                   // scratch
	folded    []float32                 // scratch
	centre    []float32                 // scratch
	owner     *Layer
}

// Tuned is what the post-training helpers found for one layer. Evaluation forms
// (Predict, Freeze, Verify, Report) use it while they quantize; training does not.
type Tuned struct {
	// Weights replace the folded float weights, in their shape, and lie on the grid of
	// q; nil for none.
	Weights []float32
	// bias is added to the folded bias, one element per output channel; nil for none.
	bias []float32
	// Quantizer has the fixed parameters of weights, and site is its one site; both are nil
	// without weights. A quantizer of its own, because the layer's would read the
	// parameters off the weights anew.
	Quantizer *fakequant.Quantizer
	site      *fakequant.Site
}

// Emitter writes a plan as a new Gorgonia graph.
type Emitter struct {
	Plan     *Plan
	Graph    *gorgonia.ExprGraph
	mode     fqop.Mode
	training bool
	seed     uint64
	batch    int
	shapes   map[*graph.Value][]int

	Nodes    map[*graph.Value]*gorgonia.Node // as other layers see it
	Raw      map[*graph.Value]*gorgonia.Node // before its fake-quantizer
	onGrid   map[*graph.Value]bool           // training dropout takes values off it
	Weights  map[*Layer]WeightNodes
	packed   map[*Layer]*exact.Weights               // of layers whose weights others share
	learned  map[*fakequant.Quantizer]gorgonia.Nodes // scale and perhaps zero point
	Dropouts []*uint64                               // run counters, in network order
	Scales   gorgonia.Nodes                          // the same, in the order made
}

// WeightNodes are what a weighted layer computes from its parameters.
type WeightNodes struct {
	Float *gorgonia.Node // with the batch normalisation folded in
	Tuned *gorgonia.Node // what post-training made of float; the same node without that
	Quant *gorgonia.Node // after the fake-quantizer; the same node as tuned without one
	Out   *gorgonia.Node // the product, before the activation
	Bias  *gorgonia.Node // nil for none, and in a training graph with folding
}

// Evaluator is the network in evaluation form for one batch size: batch
// normalisation uses its running statistics and dropout passes on.
type Evaluator struct {
	Emitter *Emitter
	machine *vm.Machine
	taps    []*gorgonia.Node // results wanted after a run
}

type evalKey struct {
	batch int
	mode  fqop.Mode
}

// Clock is where a training is.
type Clock struct {
	// Steps and epochs count calls of Model.Step and Model.Epoch.
	Steps, Epochs int
	// Observing is what was switched by hand, by name of layer or input.
	Observing map[string]bool
	// Statistics is what was switched by hand for batch normalisations: true for the
	// running ones; nil for what the milestones say.
	Statistics *bool
}
