package onnxin

import (
	"fmt"
	"math"
	"slices"

	"github.com/goqat/goqat/internal/nn"
	"github.com/goqat/goqat/internal/onnxpb"
)

// Which layers are operators that pad and resize?

// pad adds a padding layer, or leaves zeros around an image to the convolutions that
// are all that reads it. Negative amounts cut off.
func pad(n *node) error {
	if err := n.arity(1, 4); err != nil {
		return err
	}
	x, err := n.data(0)
	if err != nil {
		return err
	}
	op, err := n.padOf(x.Shape().Dims())
	if err != nil {
		return err
	}
	y := x
	for a, size := range x.Shape() {
		start, end := max(0, -op.Before[a]), size-max(0, -op.After[a])
		if start >= end {
			return fmt.Errorf("%w: pads leave nothing of axis %d of shape %v", ErrUnsupported, a, x.Shape())
		}
		if start > 0 || end < size {
			if y, err = n.apply(nn.Slice{Axis: a, Start: start, End: end, Step: 1}, y); err != nil {
				return err
			}
		}
		op.Before[a], op.After[a] = max(0, op.Before[a]), max(0, op.After[a])
	}
	if op.Mode == "" && op.Value == 0 && n.padsConvolutions(op) {
		v := &value{n: y, pad: [4]int{op.Before[2], op.Before[3], op.After[2], op.After[3]}}
		return n.setValue(0, v)
	}
	if slices.Max(append(slices.Concat(op.Before, op.After), 0)) > 0 {
		if y, err = n.apply(op, y); err != nil {
			return err
		}
	}
	return n.setMoved(x, y)
}

// padOf reads mode, amounts, value and axes.
func (n *node) padOf(rank int) (nn.Pad, error) {
	op := nn.Pad{Before: make([]int, rank), After: make([]int, rank)}
	switch mode := n.string("mode", "constant"); mode {
	case "constant":
	case "reflect", "edge", "wrap":
		op.Mode = mode
	default:
		return op, fmt.Errorf("%w: mode %q", ErrFormat, mode)
	}
	amounts, err := n.list(1, "pads")
	if err != nil {
		return op, err
	}
	if op.Mode == "" {
		if op.Value, err = n.number(2, "value", 0); err != nil {
			return op, err
		}
	}
	which := make([]int, rank)
	for i := range which {
		which[i] = i
	}
	if n.operand(3) != nil {
		if which, err = n.list(3, ""); err != nil {
			return op, err
		}
	}
	if len(amounts) != 2*len(which) {
		return op, fmt.Errorf("%w: pads %v for %d axes", ErrFormat, amounts, len(which))
	}
	if _, err := axes(which, rank); err != nil {
		return op, err
	}
	for i, a := range which {
		if a, err = axis(a, rank); err != nil {
			return op, err
		}
		op.Before[a], op.After[a] = amounts[i], amounts[i+len(which)]
	}
	return op, nil
}

// padsConvolutions reports whether only convolutions read the padded image.
func (n *node) padsConvolutions(op nn.Pad) bool {
	if len(op.Before) != 4 || op.Before[0]+op.After[0]+op.Before[1]+op.After[1] != 0 ||
		max(slices.Max(op.Before), slices.Max(op.After)) > 1<<30 {
		return false
	}
	out := n.pb.Output[0]
	if n.b.wanted[out] {
		return false
	}
	for _, u := range n.b.users[out] {
		if u.op != "Conv" || u.pb.Input[0] != out || slices.Contains(u.pb.Input[1:], out) {
			return false
		}
	}
	return true
}

// resize reads Resize of all operator sets, and Upsample, which is one with coordinates that
// begin at the corner.
func resize(n *node) error {
	if err := n.arity(1, 4); err != nil {
		return err
	}
	v := n.operand(0)
	x, err := n.b.graphNode(v, false)
	if err != nil {
		return err
	}
	op, err := n.resizeOf(x.Shape())
	if err != nil {
		return err
	}
	if len(op.Axes) == 0 {
		return n.b.alias(n, v)
	}
	y, err := n.apply(op, x)
	return n.set(0, y, err)
}

// resizeOf reads the settings for an input of a shape, of which only axes that change are
// looked at. It leaves those out that stay.
func (n *node) resizeOf(shape []int) (nn.Resize, error) {
	simple := n.op == "Upsample" || n.b.p.opset < 11
	coordinates, nearest := "half_pixel", "round_prefer_floor"
	if simple {
		coordinates, nearest = "asymmetric", "floor"
	}
	op := nn.Resize{Mode: n.string("mode", "nearest"), Coordinates: n.string("coordinate_transformation_mode", coordinates)}
	switch op.Mode {
	case "nearest":
		op.Nearest = n.string("nearest_mode", nearest)
	case "bilinear": // Upsample of old
		op.Mode = "linear"
	case "cubic":
		op.Cubic = n.float("cubic_coeff_a", -0.75)
	}
	if op.Coordinates == "tf_crop_and_resize" || op.Coordinates == "tf_half_pixel_for_nn" {
		return op, fmt.Errorf("%w: coordinate_transformation_mode %q", ErrUnsupported, op.Coordinates)
	}
	if op.Mode != "nearest" {
		op.Antialias, op.Inside = n.int("antialias", 0) != 0, n.int("exclude_outside", 0) != 0
	}
	sizes, scales, err := n.resizeTo(shape, simple)
	if err != nil {
		return op, err
	}
	exact := true
	for a, size := range sizes {
		n := shape[a]
		if size == 0 || size == n && scales[a] == 1 {
			continue
		}
		op.Axes, op.Size, op.Scale = append(op.Axes, a), append(op.Size, size), append(op.Scale, float64(scales[a]))
		exact = exact && scales[a] == float32(size)/float32(n)
	}
	if exact {
		op.Scale = nil
	}
	return op, n.err
}

// resizeTo returns the size of each axis, 0 for one that is not named, and its scale.
func (n *node) resizeTo(shape []int, simple bool) (sizes []int, scales []float32, err error) {
	sizes, scales = make([]int, len(shape)), make([]float32, len(shape))
	which := n.ints("axes")
	if which == nil {
		for a := range shape {
			which = append(which, a)
		}
	}
	at := 2 // behind the region
	if simple {
		at = 1
	}
	factors, err := n.factors(at)
	if err != nil {
		return nil, nil, err
	}
	var want []int
	if !simple {
		if v := n.operand(3); v != nil && len(factors) == 0 {
			if want, err = n.list(3, ""); err != nil {
				return nil, nil, err
			}
		}
	}
	if max(len(factors), len(want)) != len(which) {
		return nil, nil, fmt.Errorf("%w: scales %v or sizes %v for %d axes", ErrFormat, factors, want, len(which))
	}
	if _, err := axes(which, len(shape)); err != nil {
		return nil, nil, err
	}
	for i, a := range which {
		if a, err = axis(a, len(shape)); err != nil {
			return nil, nil, err
		}
		if want != nil {
			sizes[a] = want[i]
			scales[a] = float32(want[i]) / float32(shape[a])
		} else {
			scales[a] = factors[i]
			sizes[a] = int(min(float64(factors[i]*float32(shape[a])), math.MaxInt32))
		}
		if sizes[a] < 1 {
			return nil, nil, fmt.Errorf("%w: axis %d of shape %v gets no elements: scales %v, sizes %v", ErrFormat, a, shape, factors, want)
		}
	}
	return sizes, scales, n.keepAspect(shape, sizes, scales, want)
}

// keepAspect makes all scales one, if that is asked for: the smallest or the largest.
func (n *node) keepAspect(shape, sizes []int, scales []float32, want []int) error {
	policy := n.string("keep_aspect_ratio_policy", "stretch")
	if policy == "stretch" || want == nil {
		return nil
	}
	var all []float32
	for a, s := range sizes {
		if s > 0 {
			all = append(all, scales[a])
		}
	}
	var one float32
	switch policy {
	case "not_larger":
		one = slices.Min(all)
	case "not_smaller":
		one = slices.Max(all)
	default:
		return fmt.Errorf("%w: keep_aspect_ratio_policy %q", ErrFormat, policy)
	}
	for a, s := range sizes {
		if s > 0 {
			scales[a] = one
			sizes[a] = int(math.Floor(float64(one*float32(shape[a])) + 0.5))
		}
	}
	return nil
}

// factors returns floats that are operand i or, in older operator sets, an attribute; none
// where both are absent or empty.
func (n *node) factors(i int) ([]float32, error) {
	v := n.operand(i)
	if v == nil {
		if a := n.attr("scales", onnxpb.AttributeProto_FLOATS); a != nil {
			return a.Floats, nil
		}
		return nil, n.err
	}
	c, err := n.b.constant(v)
	if err != nil {
		return nil, err
	}
	if !c.float || len(c.shape) > 1 {
		return nil, fmt.Errorf("%w: %q must be a list of scales", ErrFormat, v.name)
	}
	if slices.ContainsFunc(c.f, func(v float32) bool { return !(v > 0) || v > 1<<30 }) {
		return nil, fmt.Errorf("%w: scales %v", ErrFormat, c.f)
	}
	return c.f, nil
}
