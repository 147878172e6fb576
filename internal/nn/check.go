package nn

import (
	"fmt"
	"math"
)

// Check reports settings that no input can make right: strides or dilations
// below 1, negative padding, unknown functions, axes that are negative, repeated
// or out of order. Errors wrap ErrSettings. [OutShape] and [UnmarshalOp] call it.
func Check(op Op) error {
	switch o := op.(type) {
	case nil:
		return fmt.Errorf("%w: the layer is nil", ErrSettings)
	case Conv:
		if o.Groups < 1 {
			return settingsErr(op, "groups is %d, want at least 1", o.Groups)
		}
		if o.Dilation[0] < 1 || o.Dilation[1] < 1 {
			return settingsErr(op, "dilation is %v, want at least 1", o.Dilation)
		}
		return checkWindow(op, o.Stride, o.Pad)
	case Pool:
		return checkPool(o)
	case MatMul, GlobalAvgPool:
		return nil
	case Binary:
		if _, ok := binaryFns[o.Fn]; !ok {
			return settingsErr(op, "unknown function %q, want add, sub, mul, div or pow", o.Fn)
		}
		return nil
	case Unary:
		return checkUnary(o)
	case Reduce:
		return checkReduce(o)
	case Reshape:
		return checkReshape(o)
	case Transpose:
		return checkPerm(o)
	case Concat:
		return checkNotNegative(op, "axis", o.Axis)
	case Softmax:
		return checkNotNegative(op, "axis", o.Axis)
	case Slice:
		if o.Axis < 0 || o.Start < 0 || o.End <= o.Start || o.Step < 1 {
			return settingsErr(op, "axis %d, elements %d to %d by %d: want axis and start at least 0, end above start, step at least 1",
				o.Axis, o.Start, o.End, o.Step)
		}
		return nil
	case BatchNorm:
		if !(o.Eps >= 0) || math.IsInf(o.Eps, 0) {
			return settingsErr(op, "eps is %v, want a finite number, at least 0", o.Eps)
		}
		return nil
	case Dropout:
		if !(o.P >= 0 && o.P < 1) {
			return settingsErr(op, "p is %v, want 0 <= p < 1", o.P)
		}
		return nil
	case Pad:
		return checkPad(o)
	case LRN:
		if o.Size < 1 || !(o.Alpha >= 0) || !(o.Bias > 0) || math.IsNaN(o.Beta) || math.IsInf(o.Alpha+o.Bias+o.Beta, 0) {
			return settingsErr(op, "size %d, alpha %v, beta %v, bias %v: want size at least 1, alpha at least 0, bias above 0, all finite",
				o.Size, o.Alpha, o.Beta, o.Bias)
		}
		return nil
	case Gather:
		return checkNotNegative(op, "axis", o.Axis)
	}
	return fmt.Errorf("%w: unknown layer type %T: use the types of package nn as values", ErrSettings, op)
}

func checkNotNegative(op Op, name string, v int) error {
	if v < 0 {
		return settingsErr(op, "%s is %d, want at least 0", name, v)
	}
	return nil
}

func checkWindow(op Op, stride [2]int, pad [4]int) error {
	if stride[0] < 1 || stride[1] < 1 {
		return settingsErr(op, "stride is %v, want at least 1", stride)
	}
	if min(pad[0], pad[1], pad[2], pad[3]) < 0 {
		return settingsErr(op, "padding is %v, want at least 0", pad)
	}
	return nil
}

func checkPool(o Pool) error {
	if o.Kernel[0] < 1 || o.Kernel[1] < 1 {
		return settingsErr(o, "kernel is %v, want at least 1", o.Kernel)
	}
	if max(o.Pad[0], o.Pad[2]) >= o.Kernel[0] || max(o.Pad[1], o.Pad[3]) >= o.Kernel[1] {
		return settingsErr(o, "padding %v must be less than the kernel %v, or a window could be empty", o.Pad, o.Kernel)
	}
	return checkWindow(o, o.Stride, o.Pad)
}

func checkPad(o Pad) error {
	if len(o.Before) != len(o.After) {
		return settingsErr(o, "before %v and after %v must have one element per axis", o.Before, o.After)
	}
	for i := range o.Before {
		if min(o.Before[i], o.After[i]) < 0 || max(o.Before[i], o.After[i]) > maxElements {
			return settingsErr(o, "before %v and after %v: want 0 to %d", o.Before, o.After, maxElements)
		}
	}
	if math.IsNaN(o.Value) || math.IsInf(o.Value, 0) {
		return settingsErr(o, "value %v: want a finite number", o.Value)
	}
	return nil
}

func checkUnary(o Unary) error {
	if _, ok := unaryFns[o.Fn]; !ok {
		return settingsErr(o, "unknown function %q", o.Fn)
	}
	for _, v := range []float64{o.Alpha, o.Min, o.Max} {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return settingsErr(o, "alpha %v, min %v and max %v must be finite: leave a side of a clip open with ±math.MaxFloat32", o.Alpha, o.Min, o.Max)
		}
	}
	if o.Fn == "clip" && o.Min > o.Max {
		return settingsErr(o, "min %v is above max %v", o.Min, o.Max)
	}
	return nil
}

func checkReduce(o Reduce) error {
	if o.Fn != "sum" && o.Fn != "mean" && o.Fn != "max" {
		return settingsErr(o, "unknown function %q, want sum, mean or max", o.Fn)
	}
	if len(o.Axes) == 0 {
		return settingsErr(o, "no axes: name every axis to reduce")
	}
	for i, a := range o.Axes {
		if a < 0 || i > 0 && a <= o.Axes[i-1] {
			return settingsErr(o, "axes %v must be at least 0, sorted and distinct", o.Axes)
		}
	}
	return nil
}

func checkReshape(o Reshape) error {
	open, n := false, 1
	for _, d := range o.Shape {
		switch {
		case d == -1 && !open:
			open = true
		case d < 1:
			return settingsErr(o, "shape %v: want dimensions of at least 1 and at most one -1", o.Shape)
		case n > maxElements/d:
			return settingsErr(o, "shape %v has more than %d elements", o.Shape, maxElements)
		default:
			n *= d
		}
	}
	return nil
}

func checkPerm(o Transpose) error {
	seen := make([]bool, len(o.Perm))
	for _, p := range o.Perm {
		if p < 0 || p >= len(seen) || seen[p] {
			return settingsErr(o, "%v is not a permutation of the axes 0 to %d", o.Perm, len(o.Perm)-1)
		}
		seen[p] = true
	}
	return nil
}
