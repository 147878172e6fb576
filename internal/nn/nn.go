// Package nn says what each kind of layer computes: its settings, its output
// shape, its forward and its backward pass on plain tensors. The graph ops, the
// typed network and the frozen network all use these definitions, so a layer
// means the same in training and after it.
//
// Tensors are row-major; images are NCHW. All functions are generic over float32
// (what ships) and float64 (for gradient checks). Sums have a fixed order that
// depends on neither the batch size nor the number of goroutines.
package nn

// Float is the element type of a tensor of numbers.
type Float interface{ float32 | float64 }

// Tensor is a shape and its row-major elements. len(Data) is the product of Shape;
// the empty shape is a scalar.
type Tensor[E Element] struct {
	Shape []int
	Data  []E
}

// Element is what a tensor may hold: numbers, or codes on a grid that its owner knows.
type Element interface{ Float | uint8 }

// Op is one of the layer kinds of this package: a plain value that holds settings only.
// Kind is the name used in files, reports and configurations.
type Op interface{ Kind() string }
