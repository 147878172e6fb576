package frozen

import (
	"github.com/goqat/goqat/fakequant"
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
