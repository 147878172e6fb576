package coremlout

// This file says what is known while a program is built.

import (
	"fmt"

	"github.com/goqat/goqat/internal/mlpb"
	"github.com/goqat/goqat/qat/frozen"
)

// builder makes a program of a network. Operations are emitted in the order they run.
type builder struct {
	net    *frozen.Network
	opt    Options
	float  mlpb.DataType // of the values in the program
	shapes [][]int       // of all tensors, at the chosen batch
	names  names
	id     []string // the identifier of each tensor
	// real holds the float value of each tensor once it exists, turned those of
	// transposed constants.
	real, turned []*value
	lifts        map[int]*lift // of the constants asked for
	inputs       []*mlpb.FeatureDescription
	outputs      []*mlpb.FeatureDescription
	function     *mlpb.Function
	block        *mlpb.Block
	blobs        blobs
	err          error // the first failure
}

// fail keeps the first failure. What is built after it is not used.
func (b *builder) fail(format string, args ...any) {
	if b.err == nil {
		b.err = fmt.Errorf("%w: %w", ErrUnsupported, fmt.Errorf(format, args...))
	}
}

// lift are powers of two for the output channels of a weight with scales that are small
// for float16: the scales are multiplied by up, and the products by down, which is exact.
type lift struct {
	axis     int // of the output channels in the weight
	up, down []float32
}

func (b *builder) isConst(t int) bool { return b.net.Tensors[t].Const != nil }

// value is a tensor of the program: a function input or the result of an operation.
type value struct {
	name  string
	dtype mlpb.DataType
	shape []int
}
