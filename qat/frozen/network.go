package frozen

// This file says what a network is, and what it is prepared into.

import (
	"fmt"
	"sync"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/internal/kern"
	"github.com/goqat/goqat/internal/nn"
	"github.com/goqat/goqat/qat/internal/exact"
)

// Network is a frozen integer network: layers in the order they run, over a table
// of tensors. It is a plain value that knows neither Gorgonia nor files; nothing
// changes it once it is built, so any number of goroutines may Run it. The first
// Run, Trace or Shapes validates it and prepares its constants; do not change or
// copy it after that (make another one of its fields instead).
type Network struct {
	// Tensors are the inputs, the results of layers and the constants.
	Tensors []Tensor
	// Layers run in order; each reads tensors that are inputs, constants or results
	// of earlier layers, and writes one tensor that no other layer writes.
	Layers []Layer
	// Inputs and Outputs are indices into Tensors.
	Inputs, Outputs []int
	// Notes are free texts that travel with the network: where it comes from, its
	// accuracy. Keys and values are UTF-8.
	Notes map[string]string

	plan planCache
}

// Tensor is a value of the network. With Quant it exists as integer codes,
// without as float32.
type Tensor struct {
	// Name is unique in the network and not empty.
	Name string
	// Shape is row-major. A result or an input may have one dimension -1, the open
	// batch axis, or a multiple of it.
	Shape []int
	// Quant is the format and the parameters of the codes; nil for float32. A result
	// is quantized per tensor, a constant with any granularity.
	Quant *Quant
	// Const holds the data of a constant; nil for inputs and results.
	Const *Const
	// Default fills an input that a [Network.Call] leaves out, a mask of ones for
	// instance; nil, as for all that is no input: none. It is finite. Run wants every
	// input, and so do the formats of exporters.
	Default *float32
}

// Quant is how a tensor's codes stand for real numbers: (q - zero_point) * scale.
type Quant struct {
	Spec   fakequant.Spec
	Params fakequant.Params
}

// Const is the data of a constant: exactly one field is set.
type Const struct {
	// Codes are the stored codes of a quantized constant, row-major: one byte each
	// (two's complement if signed), or, for 4 bits and fewer, two to a byte as
	// fakequant.Pack4 lays them out.
	Codes []byte
	// Values are the elements of a constant left float.
	Values []float32
}

// Layer is one operation. Its activation, if any, is applied to the result before
// that is quantized.
type Layer struct {
	// Name is unique in the network and the same as in training.
	Name string
	// Op is the kind with its settings.
	Op Op
	// Inputs and Output are indices into Network.Tensors. Conv and MatMul have two
	// inputs, or three with a float bias of one element per output channel.
	// BatchNorm has x, gamma, beta, mean, variance.
	Inputs []int
	Output int
	// Act is a fused activation; nil for none.
	Act *Unary
}

// planCache holds what Run prepares once, and the buffers that runs share.
type planCache struct {
	once   sync.Once
	err    error
	plan   plan
	states sync.Pool // *state
}

// plan is a validated network in the form that runs fast. It is read only.
type plan struct {
	layers  []layerPlan
	tensors []tensorPlan
}

type layerPlan struct {
	op   nn.Op // of the layer, as kernels take it
	mode Mode
	way  way
	// weight and product belong to products of codes; product is nil where the
	// weights are a layer's result.
	weight  exact.WeightScales
	product *nn.IntLayer
	act     kern.Clip  // the activation, where way takes it along
	fn      *kern.Func // or, where it is not a clip, its function
	tables  []*[256]uint8
}

// tensorPlan is what a run knows of a tensor.
type tensorPlan struct {
	// quantized says that the tensor exists as codes on grid, that of the biased
	// codes q - base; a constant with more than one scale has no grid.
	quantized bool
	grid      kern.Grid
	base      int32
	// codes and values are a constant's biased codes and its real values, each only
	// where a layer or the caller reads it.
	codes  []uint8
	values []float32
	// last is the index of the last layer that reads the tensor; len(Layers) for
	// outputs, -1 when none does.
	last int
}

// way is how a run computes a layer. Ways other than byFloat keep codes as bytes
// from the inputs to the result; all give the bits that the layer's [Mode] defines.
type way uint8

const (
	byFloat   way = iota // real numbers of all operands
	byProduct            // sums of products of codes, with the activation and the rounding
	byAverage            // sums of codes
	byMoving             // codes move, then each goes through a table where grids differ
	byTable              // an elementwise function: a table of the codes
	byPairing            // a sum, difference or product of two tensors, code by code
)

// Mode says what a layer computes with. It follows from the tensors alone, and it
// is part of the definition of the network: training computes the same way.
type Mode uint8

const (
	// Float dequantizes what is quantized and computes in float32. A quantized
	// weight beside a float x (weight-only quantization) is dequantized once.
	Float Mode = iota
	// Integer sums exact products of centred codes (convolution and matrix product
	// with two quantized operands) or exact codes (average pools), and scales the
	// sums.
	Integer
	// Codes moves codes and no numbers: layers that only move or choose values (max
	// pooling, reshape, concat and the like) whose inputs and result share one grid.
	Codes
)

func (m Mode) String() string {
	switch m {
	case Float:
		return "float"
	case Integer:
		return "integer"
	case Codes:
		return "codes"
	}
	return fmt.Sprintf("Mode(%d)", uint8(m))
}
