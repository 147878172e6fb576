package frozen

// This file says what a kind of layer is in general, and how it is read from a file.

import (
	"fmt"
	"reflect"

	"github.com/goqat/goqat/internal/nn"
)

// Op is the kind of a [Layer] with its settings: one of this package's types, as a
// value. Tensors are row-major; images are [N,C,H,W].
type Op interface {
	// Kind is the name of the kind in files and in errors: "conv", "max_pool".
	Kind() string
	op() nn.Op
}

// OutShape returns the shape of what a layer of this kind makes of inputs of the given
// shapes, in new memory. Errors name the kind and say what does not fit.
func OutShape(op Op, in [][]int) ([]int, error) {
	if op == nil {
		return nil, fmt.Errorf("%w: the layer kind is nil", ErrNetwork)
	}
	return nn.OutShape(op.op(), in)
}

// ParseOp makes a kind of the name and the settings, a JSON object, that a file of a
// network has for it. It is strict: an unknown kind or field, settings that no input can
// make right, and anything else than one object are errors that wrap ErrFormat.
func ParseOp(kind string, settings []byte) (Op, error) {
	op, err := parseOp(kind, settings)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	return op, nil
}

func parseOp(kind string, settings []byte) (Op, error) {
	o, err := nn.UnmarshalOp(kind, settings)
	if err != nil {
		return nil, err
	}
	if op := opOf(o); op != nil {
		return op, nil
	}
	return nil, fmt.Errorf("layer kind %q has no frozen form", kind)
}

// twins makes the public form of a layer kind, by the kind's type in internal/nn.
var twins = map[reflect.Type]func(nn.Op) Op{}

// twin enters a kind in twins. It returns something so that a kind can say it in one line
// beside its type.
func twin[T nn.Op](public func(T) Op) struct{} {
	twins[reflect.TypeFor[T]()] = func(op nn.Op) Op { return public(op.(T)) }
	return struct{}{}
}

// opOf is the frozen form of a layer kind; nil if it has none.
func opOf(op nn.Op) Op {
	if public, ok := twins[reflect.TypeOf(op)]; ok {
		return public(op)
	}
	return nil
}
