package nn

import (
	"math"
	"reflect"
)

// Traits say what a layer is, to all who place quantizers, fuse, share memory, freeze
// or export: no one else keeps lists of kinds. The zero value is true of every layer:
// it computes with its operands, nothing is known of its results, and it has no integer
// form.
type Traits struct {
	// Moves: the results are values of the inputs, moved or chosen but never computed
	// with. Then codes move as numbers do, and tensors share one grid. (Dropout scales
	// in training; there the graph does without the integer product behind it.)
	Moves bool
	// Copies: the elements of input 0 in their order, and its gradient is the
	// output's: a view of the same memory will do.
	Copies bool
	// Relayout: every element of the only input once, in another shape or order, so that
	// the result holds the same parameter.
	Relayout bool
	// Identity: once trained, the result is input 0; what ships leaves the layer out.
	Identity bool
	// Elementwise: each result depends on the one element of the only input in its place,
	// so that on codes the layer is a table.
	Elementwise bool
	// Adds: the sum of two tensors; both gradients are the output's.
	Adds bool

	// Clips: the layer limits values to Limits, Elementwise, and does nothing else.
	Clips  bool
	Limits Interval
	// NonNegative: no result is below 0. KeepsNonNegative: so if no input is.
	NonNegative, KeepsNonNegative bool
	// Fixed is the range that the function itself gives its results, whatever the
	// input; the zero Interval if there is none. It needs no data, and its grid has no
	// code for Hi, so it is not for functions that reach Hi often. From 0 on, results
	// are unsigned.
	Fixed Interval
	// Probability: rounding a small result to 0 would end a training that takes its
	// logarithm.
	Probability bool
	// Logarithm: the logarithm of the input, which is where such zeros do harm.
	Logarithm bool
	// Homogeneous: f(s·x) = s·f(x) for s > 0.
	Homogeneous bool
	// ChannelsApart: channel c of the output, axis 1, depends on channel c of the only
	// input alone and scales with it.
	ChannelsApart bool

	// Quantized: results become codes where the inputs are, because the layer has an
	// integer form or is cheap enough on dequantized codes.
	Quantized bool
	// DataOnly: Quantized and TakesActivation hold only where every operand is an
	// activation (for a product also: one of activations with weights).
	DataOnly bool
	// FirstOnly: of the operands only the first is for codes.
	FirstOnly bool
	// Activation: a function that layers before it take in, applied to their result
	// before that is quantized.
	Activation bool
	// TakesActivation: the layer takes in the activation behind it.
	TakesActivation bool
	// Weights describe the second operand of a sum of products; nil for other layers.
	// Such a layer has an exact integer sum; see [IntLayer].
	Weights *Weights
	// Averages: the layer divides an exact integer sum; see [IntAvgPool].
	Averages bool

	// Infinite: a constant operand may hold infinities, which mean "none": a mask that is
	// added to scores, a bound, what a choice falls on.
	Infinite bool

	// IgnoresInputs and IgnoresOutput: Backward does not look at their elements.
	IgnoresInputs, IgnoresOutput bool
	// OnlyForOther[i]: Backward looks at input i only for the gradient of the other of the
	// first two inputs.
	OnlyForOther [2]bool
}

// Interval is a closed range of numbers.
type Interval struct{ Lo, Hi float64 }

// Everything is the range of all numbers.
var Everything = Interval{math.Inf(-1), math.Inf(1)}

// Weights say how the second operand of a sum of products lies. Inputs are x, the
// weights and perhaps a bias with one element for each output channel.
type Weights struct {
	// Rank is that of weights, as against a second operand of activations.
	Rank int
	// Out and In are the axes of the output channels and of the summed input channels,
	// counted from behind: -1 is the last. See Axes.
	Out, In int
	// Channels is the axis of the result that holds the output channels.
	Channels int
	// Either: the first operand may be the weights as well, so a leaf there is not data.
	Either bool
}

// Axes returns the axes of output and summed input channels of a second operand of the
// given rank.
func (w *Weights) Axes(rank int) (out, in int) { return rank + w.Out, rank + w.In }

// TraitsOf returns what a layer is; the zero Traits for nil and for types that are no
// layer of this package.
func TraitsOf(op Op) Traits {
	e := entries[reflect.TypeOf(op)]
	if e == nil {
		return Traits{}
	}
	return e.traits(op)
}

// ClipOf returns the limits that an activation is: Everything for nil, which is none.
// It reports false for one that does more than limit.
func ClipOf(act *Unary) (Interval, bool) {
	if act == nil {
		return Everything, true
	}
	t := TraitsOf(*act)
	if !t.Clips {
		return Everything, false
	}
	return t.Limits, true
}
