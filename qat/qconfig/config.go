package qconfig

// This file says what a config is.

import (
	"errors"
	"slices"
)

// ErrConfig is wrapped by every error about a [Config]: a value out of range, a
// key that does not exist, settings that contradict each other.
var ErrConfig = errors.New("invalid config")

// Config says how a network is quantized. It is a plain value; the zero Config
// quantizes every layer with int8 weights (symmetric, per channel, narrow range,
// range of the latest weights) and int8 activations (symmetric, per tensor, full
// range, moving average with constant 0.01; min_max for inputs of the network), from the
// first step on. Outputs of the network stay float.
//
// A layer's settings come from Names, else from Types, else from Global. A field
// that a Names or Types entry leaves unset takes Global's value, and then the
// default. (Core ML Tools fills such a field with its class default instead.)
//
// [ReadYAML], [ReadJSON] and [ReadFile] read a Config from a file.
type Config struct {
	// Global holds the settings of layers that neither Names nor Types mention.
	// Nil means the defaults. With Off in both parts only the layers that Names
	// and Types mention are quantized; in a file that is "global: null".
	Global *Layer
	// Types holds settings by kind of layer: "conv", "matmul", "add",
	// "avg_pool" and so on. A nil value leaves layers of that kind float.
	Types map[string]*Layer
	// Names holds settings by name of layer. A nil value leaves the layer float. An
	// entry also holds for the layers below its name: "block1" for "block1.conv1",
	// unless that, or a name between the two, has an entry of its own.
	Names map[string]*Layer
	// Inputs holds settings by name of an input of the network. Unset fields are as in
	// Names. An entry quantizes the input, also if no layer asks for it; nil leaves it
	// float, and with it the products that read it. Without one an input is quantized with
	// the settings of the first layer that asks for it.
	Inputs map[string]*Tensor
	// Outputs holds settings by name of an output of the network, as qat.Model.Plan lists
	// them, or of the layer that makes it. Unset fields are as in Names. An entry quantizes
	// the output, for targets that want codes there; the zero Tensor does so with Global's
	// settings. Without one, or with nil, an output is float32: a product's integer sums are
	// scaled and nothing is clipped, nor by what only leads from the last products to
	// outputs. A layer of the network that computes with such an output reads it rounded.
	// A scalar cannot be quantized: qat.Prepare refuses its entry, here and in Inputs.
	Outputs map[string]*Tensor
	// QuantizeOutputs quantizes all outputs that Outputs does not mention, with the settings
	// of the layers that make them; default false. Training configs in the form of Core ML
	// Tools have it set.
	QuantizeOutputs bool
	// Milestones say at which steps observing and quantizing begin and end. The
	// zero value does both from the first step on and never freezes. In a file
	// it is the list "milestones".
	Milestones Milestones
	// Roles says what the leaves of the graph are, where that cannot be told from them.
	Roles Roles
	// Float quantizes nothing and folds nothing: the network is only written anew with
	// goqat's own ops. All of the above but Roles must be unset.
	Float bool

	// source says where a parsed config was written, for error messages only.
	source *source
}

// Roles names leaves of the graph, those without an operand. Without a word here they are
// what the importer or package models made them. Elsewhere a leaf without a value is an
// input and one with a value a parameter, except where it clearly is data: an initial
// state keeps its value as a default. What nobody asked to train (by gorgonia.Grad, or by a
// use that only weights have) keeps its value. qat.Model.Plan says what became of each. A
// name may be in one list only.
type Roles struct {
	// Inputs are data that change from batch to batch.
	Inputs []string
	// Params are trained.
	Params []string
	// Constants have a value that is never trained.
	Constants []string
	// Batch is the batch axis of inputs, counted from 0; -1 says that an input has none.
	// For the others it is found: axis 0, or one behind it where time or the features come
	// first.
	Batch map[string]int
}

// Layer holds the settings of one layer.
type Layer struct {
	// Weights is about the layer's weights. Layers without weights ignore it.
	Weights Tensor
	// Activations is about the tensors that enter and leave the layer.
	Activations Tensor
	// Oscillation is about weights that jump to and fro between two codes. By default
	// nothing is done about them. An unset field takes Global's value.
	Oscillation Oscillation
	// Milestones are the layer's own; the zero Milestones means the network's.
	Milestones Milestones
}

// Tensor holds the settings of one tensor. The zero value of a field means
// that it is not set: it is inherited, or has its default.
type Tensor struct {
	// Bits is the width of a code, 2 to 8. The default is 8.
	Bits int
	// Scheme is [Symmetric] (the default) or [Affine].
	Scheme SchemeSetting
	// Granularity says which elements share a scale: [PerTensor], [PerChannel]
	// (the weights' default) or [PerBlock]. Activations are always PerTensor.
	Granularity GranularitySetting
	// BlockSize is the number of input channels that share a scale, at least 1,
	// with PerBlock only. The default is [DefaultBlockSize]. It is inherited only
	// by settings that are PerBlock too.
	BlockSize int
	// NarrowRange drops one code, so that int8 is [-127, 127] and uint8 is
	// [0, 254]. The default is Yes for symmetric weights, where it keeps -128 out
	// of every product, and No otherwise.
	NarrowRange Switch
	// Unsigned selects codes that start at 0. For weights it is Yes or No (the
	// default). For activations it may be Auto (the default): affine activations
	// are unsigned, and symmetric ones are signed with zero point 0, except where
	// the values cannot be negative (after ReLU, ReLU6 and what passes their
	// values on): there they are unsigned with zero point 0, which gains one bit.
	Unsigned Switch
	// Observer says how the range is found: "latest" (the weights' default; the
	// range of the weights as they are now) or "latest_mse" (the part of it with
	// the least error), both not for activations; "moving_average_min_max" (the
	// activations' default) or "ema_min_max"; "min_max", "percentile", "mse", "kl"
	// or "histogram", which keep all data in view and suit calibration more than
	// training. Package observers describes them. The default of the network's inputs is
	// min_max: they do not change as weights do, and what is clipped there is lost for
	// all that follows. A setting of Global's, or AveragingConstant, holds for inputs, too.
	Observer string
	// AveragingConstant is what a new batch counts in the range, above 0 to 1, default
	// 0.01. With observer moving_average_min_max only. Like the three fields below, it
	// is inherited only by settings with the same observer.
	AveragingConstant float64
	// EMARatio is what the past counts in the range, above 0 and below 1, default 0.9.
	// With observer ema_min_max only.
	EMARatio float64
	// Percentile is the share of values inside the range in percent, 50 to 100,
	// default 99.99. With observer percentile only.
	Percentile float64
	// Bins is the number of bins of a histogram, 16 to 65536, default 2048. With the
	// observers mse, kl and histogram only.
	Bins int
	// Estimator says how the scale is found in training: [STE] (the default) takes
	// it from the observer; [LSQ] lets the observer start it and then learns it by
	// gradient, together with the zero point of affine formats.
	Estimator Estimator
	// ScaleInit says where a learned scale starts, with LSQ only: "observer" (the
	// default) or "lsq", the mean magnitude formula of the LSQ paper.
	ScaleInit string
	// WeightThreshold leaves weights of so many elements or fewer float: small ones
	// save little and often matter much. The default 0 quantizes all. For weights
	// only. (Core ML Tools' post-training default is 2048.)
	WeightThreshold int
	// MinScale is a floor for scales, at least 0. The default 0 is none, so that
	// weights of 1e-8 keep their precision. Configs for training in the form of Core ML
	// Tools have 2^-23, the floor of PyTorch's observers.
	MinScale float64
	// ScaleDType is the type of scales: [Float32] (the default), or [Float16] for formats
	// that store 16 bits, such as Core ML's float16 form: then training, learned scales and
	// calibration have binary16 values alone, and what ships is what was trained.
	ScaleDType ScaleDType
	// Off leaves the tensor float. No other field may be set with it. It is
	// inherited by settings that set nothing; a setting of any field switches
	// quantization on again. In a file it is "weights: null" or
	// "activations: null".
	Off bool
}

// SchemeSetting is a [fakequant.Scheme] or, empty, none yet: a type of its own, since
// fakequant's zero value is symmetric, and a setting has to tell "symmetric" from "take
// what is inherited".
type SchemeSetting string

// The schemes, by their names in package fakequant.
const (
	Symmetric SchemeSetting = "symmetric" // zero point 0; mid-range for unsigned codes of data that may be negative
	Affine    SchemeSetting = "affine"    // the grid fits the observed range
)

// Estimator says how scales are found in training.
type Estimator string

// The estimators. Both pass gradients straight through the rounding.
const (
	STE Estimator = "ste" // scales come from the observer
	LSQ Estimator = "lsq" // scales are learned (Esser et al. 2020; zero points: Bhalgat et al. 2020)
)

// ScaleDType says what scales may be.
type ScaleDType string

// The types of scales.
const (
	Float32 ScaleDType = "float32"
	Float16 ScaleDType = "float16" // IEEE binary16, 2^-24 to 65504
)

// Where a learned scale starts.
const (
	InitObserver = "observer"
	InitLSQ      = "lsq"
)

// GranularitySetting is a [fakequant.Granularity] or, empty, none yet, for the same
// reason as [SchemeSetting].
type GranularitySetting string

// The granularities, by their names in package fakequant.
const (
	PerTensor  GranularitySetting = "per_tensor"  // the whole tensor
	PerChannel GranularitySetting = "per_channel" // each output channel
	PerBlock   GranularitySetting = "per_block"   // BlockSize input channels of each output channel
)

// Switch is a yes or no that may be left unset.
type Switch string

// The switches. The empty Switch is unset.
const (
	Yes  Switch = "true"
	No   Switch = "false"
	Auto Switch = "auto" // decided layer by layer; see Tensor.Unsigned
)

// DefaultBlockSize is the block size of per-block settings that name none, as in
// Core ML Tools' OpLinearQuantizerConfig.
const DefaultBlockSize = 32

// Oscillation is what qat.Model.Step does about weights that jump to and fro
// between two codes, which the straight-through estimator makes them do near the
// middle of two grid points (Nagel et al. 2022, "Overcoming Oscillations in
// Quantization-Aware Training"). Such weights disturb the statistics of batch
// normalisation and end where chance leaves them; it matters at 4 bits and below.
// The zero value does nothing and costs nothing.
//
// Only weights that are a parameter themselves are followed, alone or with a batch
// normalisation folded into them, and only while the layer quantizes. The report
// says where that is not so.
type Oscillation struct {
	// Track (Yes) counts the jumps for qat.Model.Report. Damping and FreezeThreshold imply it.
	// No leaves a layer out; in a file that may also be "oscillation: null".
	Track Switch
	// Momentum is what the latest step counts in the moving averages of a weight's
	// jumps and of its code, above 0 and below 1. The default is 0.01, the paper's.
	Momentum float64
	// Damping moves each weight towards the grid point that it rounds to, in every
	// step by this share of the distance, 0 to 1; weights beyond the ends of the grid
	// are let be. It is the gradient of the paper's equation 7 taken apart from the
	// solver, as AdamW does with weight decay, so that it needs no learning rate. 0, the
	// default, does not; try 0.01.
	Damping float64
	// DampingSteps is over how many steps Damping rises from 0, along half a cosine, so
	// that weights find their place first. At most 2^24. The default 0 has all of it
	// from the start.
	DampingSteps int
	// FreezeThreshold fixes a weight for good, at the rounded average of its code, once
	// the moving average of its jumps is above it: the paper's algorithm 1. The jumps are
	// a share of the steps, so that it is above 0 and below 1; the paper ends with 0.01
	// to 0.02. 0, the default, fixes none.
	FreezeThreshold float64
}

// source remembers where the settings of a parsed config were written.
type source struct {
	file  string // "" for a reader
	lines map[string]position
	alias map[string]string // how the file spells a path, where it is in another form
	notes []Note
	// coreML says that the file has the form of Core ML Tools, where kinds of layers
	// that a network does not have are no mistake.
	coreML bool
}

// position is a place in a text; both numbers count from 1.
type position struct{ line, column int }

// Note is a remark on a config that was read in Core ML Tools' form: where
// goqat does more or other than Core ML Tools would.
type Note struct {
	// Setting is the key as it is spelled in the file, such as
	// "global_config.weight_observer"; "" for the file as a whole.
	Setting string
	// Line and Column count from 1. They are 0 where the file has no such place.
	Line, Column int
	// Text is the remark.
	Text string
}

// part says which tensor of a layer a Tensor is about.
type part string

const (
	weights     part = "weights"
	activations part = "activations"
	inputs      part = "inputs" // activations that are inputs of the network
)

// The units that milestones may count.
const (
	unitSteps  = "steps"
	unitEpochs = "epochs"
)

// tensorGroups are the settings of single tensors by their keys in a file.
func (c *Config) tensorGroups() []tensorGroup {
	return []tensorGroup{{"inputs", "input", &c.Inputs}, {"outputs", "output", &c.Outputs}}
}

type tensorGroup struct {
	key, what string
	entries   *map[string]*Tensor
}

// lists are the roles by their keys in a file.
func (r *Roles) lists() []roleList {
	return []roleList{{"inputs", &r.Inputs}, {"params", &r.Params}, {"constants", &r.Constants}}
}

type roleList struct {
	key   string
	names *[]string
}

// sortedKeys makes reports independent of map order.
func sortedKeys(m map[string]*Layer) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// allMilestones returns all milestones that are set. A file has one unit for all.
func (c Config) allMilestones() []Milestones {
	all := []Milestones{c.Milestones}
	if c.Global != nil {
		all = append(all, c.Global.Milestones)
	}
	for _, m := range []map[string]*Layer{c.Types, c.Names} {
		for _, name := range sortedKeys(m) {
			if l := m[name]; l != nil {
				all = append(all, l.Milestones)
			}
		}
	}
	return slices.DeleteFunc(all, func(s Milestones) bool { return !s.Set })
}

func (c Config) countsEpochs() bool {
	all := c.allMilestones()
	return len(all) > 0 && all[0].Epochs
}

func setDefault[T comparable](field *T, value T) {
	var unset T
	if *field == unset {
		*field = value
	}
}
