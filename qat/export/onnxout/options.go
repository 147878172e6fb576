package onnxout

// This file says what can be chosen.

import (
	"errors"
	"fmt"
	"math"
	"unicode/utf8"
)

var (
	// ErrUnsupported is wrapped by errors about a layer that ONNX cannot express.
	ErrUnsupported = errors.New("no ONNX form")
	// ErrTooLarge is wrapped when a model does not fit one protobuf file.
	ErrTooLarge = errors.New("model too large")
	// ErrOptions is wrapped by errors of Validate.
	ErrOptions = errors.New("invalid ONNX options")
)

// DefaultExternalAbove is the number of bytes of tensor data from which [WriteFile]
// uses a second file: 1.5 GB, well below protobuf's 2 GiB.
const DefaultExternalAbove = 1_500_000_000

const (
	defaultGraphName = "goqat"
	defaultBatchName = "batch"
)

// Bias says how the bias of a layer that runtimes compute in integers is stored. Other
// layers have a float32 bias.
type Bias uint8

const (
	// BiasAuto is float32, with which the unoptimised model computes what
	// frozen.Network.Run does. Where ONNX Runtime 1.27 would then have no integer
	// kernel, before a result that stays float, it is added by a node of its own. The
	// default.
	BiasAuto Bias = iota
	// BiasFloat is float32 everywhere.
	BiasFloat
	// BiasInt32 is int32, in steps of x_scale·w_scale, as older runtimes want it for
	// their integer kernels. The rounding is part of the model then, also where it is
	// run in float32: a few results of a layer differ by a step.
	BiasInt32
)

// Options are the settings of an export. The zero value is the default.
type Options struct {
	// GraphName is the name of the graph in the file. Empty means "goqat".
	GraphName string
	// BatchName is the name of the open batch dimension. Empty means "batch".
	BatchName string
	// Bias is how biases are stored. The default is BiasAuto.
	Bias Bias
	// ExternalAbove is the number of bytes of tensor data above which WriteFile puts
	// tensors of 1 KiB and more into a second file. 0 means DefaultExternalAbove.
	// The largest value is 2^31-1.
	ExternalAbove int64
}

// Validate reports the first setting that is out of range, wrapped in ErrOptions.
func (o Options) Validate() error {
	switch {
	case o.ExternalAbove < 0 || o.ExternalAbove > math.MaxInt32:
		return fmt.Errorf("%w: ExternalAbove is %d, want 0 (for %d) to %d", ErrOptions, o.ExternalAbove, DefaultExternalAbove, math.MaxInt32)
	case o.Bias > BiasInt32:
		return fmt.Errorf("%w: unknown Bias %d", ErrOptions, o.Bias)
	case !utf8.ValidString(o.GraphName) || !utf8.ValidString(o.BatchName):
		return fmt.Errorf("%w: GraphName %q and BatchName %q must be UTF-8", ErrOptions, o.GraphName, o.BatchName)
	}
	return nil
}

// withDefaults fills in what is unset.
func (o Options) withDefaults() Options {
	if o.GraphName == "" {
		o.GraphName = defaultGraphName
	}
	if o.BatchName == "" {
		o.BatchName = defaultBatchName
	}
	if o.ExternalAbove == 0 {
		o.ExternalAbove = DefaultExternalAbove
	}
	return o
}
