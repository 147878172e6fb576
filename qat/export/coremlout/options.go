package coremlout

// This file says what can be chosen.

import (
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/goqat/goqat/internal/mlpb"
)

var (
	// ErrUnsupported is wrapped by errors about a layer or a tensor that Core ML, or
	// the chosen Target, cannot express.
	ErrUnsupported = errors.New("no Core ML form")
	// ErrOptions is wrapped by errors of Validate.
	ErrOptions = errors.New("invalid Core ML options")
	// ErrPath is wrapped when WriteDir refuses its path.
	ErrPath = errors.New("not a place for a Core ML package")
)

// Target is the oldest system that shall load the package. It fixes the version of
// the format, and with it what can be said: see the package comment.
type Target uint8

const (
	// IOS18 is iOS 18, macOS 15 and what was released with them: specification
	// version 9. The default.
	IOS18 Target = iota
	// IOS17 is iOS 17 and macOS 14, specification version 8: weights of 5 to 8 bits, stored in 8, per tensor
	// or per channel, and quantized activations.
	IOS17
	// IOS16 is iOS 16 and macOS 13, specification version 7: as IOS17, but without
	// quantized activations.
	IOS16
)

func (t Target) String() string {
	switch t {
	case IOS18:
		return "iOS18"
	case IOS17:
		return "iOS17"
	case IOS16:
		return "iOS16"
	}
	return fmt.Sprintf("Target(%d)", uint8(t))
}

// specVersion is the number in the model (Model.proto, "Specification Versions").
func (t Target) specVersion() int32 { return [...]int32{IOS18: 9, IOS17: 8, IOS16: 7}[t] }

// opset is the name of the operations' version in the program.
func (t Target) opset() string {
	return [...]string{IOS18: "CoreML8", IOS17: "CoreML7", IOS16: "CoreML6"}[t]
}

// atLeast reports whether packages for t may use what other brought.
func (t Target) atLeast(other Target) bool { return t.specVersion() >= other.specVersion() }

// Compute is the type of the float values in the program: of what is between
// dequantization and quantization, of biases and of scales.
type Compute uint8

const (
	// Float32 keeps the numbers of the frozen network. The default.
	Float32 Compute = iota
	// Float16 rounds them to half precision, which Apple's guides ask of programs for
	// the Neural Engine. Codes then differ here and there from the frozen network's, so
	// the accuracy is to be measured again. Inputs and outputs stay float32.
	Float16
)

func (c Compute) String() string {
	switch c {
	case Float32:
		return "float32"
	case Float16:
		return "float16"
	}
	return fmt.Sprintf("Compute(%d)", uint8(c))
}

func (c Compute) dtype() mlpb.DataType {
	if c == Float16 {
		return mlpb.DataType_FLOAT16
	}
	return mlpb.DataType_FLOAT32
}

// Options are the settings of an export. The zero value is the default.
type Options struct {
	// Target is the oldest system for the package. The default is IOS18.
	Target Target
	// Compute is the type of float values. The default is Float32.
	Compute Compute
	// Batch is the size of the network's open dimensions, which are fixed in the
	// package. 0 means 1. A network without open dimensions ignores it.
	Batch int
	// Description, Version, Author and License are texts that Core ML shows. Empty
	// ones are left out.
	Description, Version, Author, License string
}

// Validate reports the first setting that is out of range, wrapped in ErrOptions.
func (o Options) Validate() error {
	switch {
	case o.Target > IOS16:
		return fmt.Errorf("%w: unknown %v: want IOS18, IOS17 or IOS16", ErrOptions, o.Target)
	case o.Compute > Float16:
		return fmt.Errorf("%w: unknown %v: want Float32 or Float16", ErrOptions, o.Compute)
	case o.Batch < 0:
		return fmt.Errorf("%w: Batch is %d: want 0 (for 1) or more", ErrOptions, o.Batch)
	}
	for _, s := range []string{o.Description, o.Version, o.Author, o.License} {
		if !utf8.ValidString(s) {
			return fmt.Errorf("%w: text %q must be UTF-8", ErrOptions, s)
		}
	}
	return nil
}
