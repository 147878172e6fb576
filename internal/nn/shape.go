package nn

import (
	"errors"
	"fmt"
	"math"
	"reflect"
)

var (
	// ErrShape is wrapped by errors about the number, shapes or lengths of tensors.
	ErrShape = errors.New("invalid shape")
	// ErrSettings is wrapped by errors about the settings of a layer.
	ErrSettings = errors.New("invalid settings")
)

// maxElements bounds a tensor (2^40 elements on 64-bit machines), so that
// offsets never overflow and a mis-read shape fails before it is allocated.
const maxElements = min(1<<40, math.MaxInt>>3)

func shapeErr(op Op, format string, a ...any) error {
	return fmt.Errorf("%s: %w: %w", op.Kind(), ErrShape, fmt.Errorf(format, a...))
}

func settingsErr(op Op, format string, a ...any) error {
	return fmt.Errorf("%s: %w: %w", op.Kind(), ErrSettings, fmt.Errorf(format, a...))
}

// count returns the product of the dimensions, all at least 1.
func count(op Op, what string, shape []int) (int, error) {
	n := 1
	for _, d := range shape {
		if d < 1 {
			return 0, shapeErr(op, "%s has shape %v: every dimension must be at least 1", what, shape)
		}
		if n > maxElements/d {
			return 0, shapeErr(op, "%s of shape %v has more than %d elements", what, shape, maxElements)
		}
		n *= d
	}
	return n, nil
}

// product is count for shapes that were checked.
func product(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}

// OutShape returns the shape of the output for inputs of the given shapes. It
// checks everything: the settings, the number of inputs, their ranks and
// dimensions, and that no tensor is empty or absurdly large. Errors wrap
// ErrSettings or ErrShape and name the layer's kind. The result is new memory.
func OutShape(op Op, in [][]int) ([]int, error) {
	if err := Check(op); err != nil {
		return nil, err
	}
	e := entries[reflect.TypeOf(op)]
	lo, hi := e.inputs[0], e.inputs[1]
	if len(in) < lo || len(in) > hi {
		return nil, shapeErr(op, "got %d inputs, want %s", len(in), arityText(lo, hi))
	}
	for i, s := range in {
		if _, err := count(op, inputName(i), s); err != nil {
			return nil, err
		}
	}
	out, err := e.shape(op, in)
	if err != nil {
		return nil, err
	}
	if _, err := count(op, "output", out); err != nil {
		return nil, err
	}
	return out, nil
}

// inputName names an input in errors. Every call of a layer needs the first ones.
func inputName(i int) string {
	if names := [...]string{"input 0", "input 1", "input 2", "input 3", "input 4"}; i < len(names) {
		return names[i]
	}
	return fmt.Sprintf("input %d", i)
}

func arityText(lo, hi int) string {
	switch {
	case lo == hi:
		return fmt.Sprint(lo)
	case hi == math.MaxInt:
		return fmt.Sprintf("at least %d", lo)
	}
	return fmt.Sprintf("%d or %d", lo, hi)
}

// Check reports settings that no input can make right: strides or dilations
// below 1, negative padding, unknown functions, axes that are negative, repeated
// or out of order. Errors wrap ErrSettings. [OutShape] and [UnmarshalOp] call it.
func Check(op Op) error {
	if op == nil {
		return fmt.Errorf("%w: the layer is nil", ErrSettings)
	}
	e := entries[reflect.TypeOf(op)]
	if e == nil {
		return fmt.Errorf("%w: unknown layer type %T: use the types of package nn as values", ErrSettings, op)
	}
	return e.check(op)
}

func checkNotNegative(op Op, name string, v int) error {
	if v < 0 {
		return settingsErr(op, "%s is %d, want at least 0", name, v)
	}
	return nil
}

func checkAxis(op Op, axis int, x []int) error {
	if axis >= len(x) {
		return shapeErr(op, "axis %d does not exist in input of shape %v", axis, x)
	}
	return nil
}
