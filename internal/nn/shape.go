package nn

import (
	"errors"
	"fmt"
	"math"
	"slices"
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
	lo, hi := arity(op)
	if len(in) < lo || len(in) > hi {
		return nil, shapeErr(op, "got %d inputs, want %s", len(in), arityText(lo, hi))
	}
	for i, s := range in {
		if _, err := count(op, inputName(i), s); err != nil {
			return nil, err
		}
	}
	out, err := outShape(op, in)
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

// arity is the smallest and largest number of inputs.
func arity(op Op) (lo, hi int) {
	switch op.(type) {
	case Conv, MatMul:
		return 2, 3
	case Binary, Gather:
		return 2, 2
	case BatchNorm:
		return 5, 5
	case Concat:
		return 1, math.MaxInt
	}
	return 1, 1
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

func outShape(op Op, in [][]int) ([]int, error) {
	x := in[0]
	switch o := op.(type) {
	case Conv:
		return convShape(op, o, in)
	case MatMul:
		return matMulShape(o, in)
	case Binary:
		return broadcast(o, x, in[1])
	case Pool:
		return poolShape(o, x)
	case GlobalAvgPool:
		if len(x) != 4 {
			return nil, shapeErr(op, "input has shape %v, want [N,C,H,W]", x)
		}
		return []int{x[0], x[1], 1, 1}, nil
	case Reduce:
		return reduceShape(o, x)
	case Reshape:
		return reshapeShape(o, x)
	case Transpose:
		return transposeShape(o, x)
	case Concat:
		return concatShape(o, in)
	case Slice:
		return sliceShape(o, x)
	case Softmax:
		if err := checkAxis(op, o.Axis, x); err != nil {
			return nil, err
		}
	case BatchNorm:
		return batchNormShape(o, in)
	case Pad:
		return padShape(o, x)
	case LRN:
		if len(x) < 2 {
			return nil, shapeErr(op, "input has shape %v, want [N,C,...]", x)
		}
	case Gather:
		if err := checkAxis(op, o.Axis, x); err != nil {
			return nil, err
		}
		return slices.Concat(x[:o.Axis], in[1], x[o.Axis+1:]), nil
	}
	return slices.Clone(x), nil // Unary, Dropout, Softmax, LRN
}

func checkAxis(op Op, axis int, x []int) error {
	if axis >= len(x) {
		return shapeErr(op, "axis %d does not exist in input of shape %v", axis, x)
	}
	return nil
}

// windows returns how many windows fit along one axis.
func windows(op Op, axis string, size, before, after, kernel, stride, dilation int) (int, error) {
	if before > maxElements || after > maxElements || kernel > maxElements || dilation > maxElements/kernel {
		return 0, settingsErr(op, "padding, kernel or dilation along the %s is larger than %d", axis, maxElements)
	}
	room := size + before + after - dilation*(kernel-1) - 1
	if room < 0 {
		return 0, shapeErr(op, "kernel of %d with dilation %d does not fit into %d %s with padding %d+%d",
			kernel, dilation, size, axis, before, after)
	}
	return room/stride + 1, nil
}

func convShape(op Op, o Conv, in [][]int) ([]int, error) {
	x, w := in[0], in[1]
	if len(x) != 4 || len(w) != 4 {
		return nil, shapeErr(op, "input %v and weights %v must be [N,C,H,W] and [K,C/groups,R,S]", x, w)
	}
	if x[1]%o.Groups != 0 || w[0]%o.Groups != 0 {
		return nil, shapeErr(op, "%d groups do not divide %d input and %d output channels", o.Groups, x[1], w[0])
	}
	if w[1] != x[1]/o.Groups {
		return nil, shapeErr(op, "weights %v have %d input channels per group, input %v in %d groups has %d",
			w, w[1], x, o.Groups, x[1]/o.Groups)
	}
	if len(in) == 3 && !slices.Equal(in[2], w[:1]) {
		return nil, shapeErr(op, "bias has shape %v, want [%d]", in[2], w[0])
	}
	oh, err := windows(op, "rows", x[2], o.Pad[0], o.Pad[2], w[2], o.Stride[0], o.Dilation[0])
	if err != nil {
		return nil, err
	}
	ow, err := windows(op, "columns", x[3], o.Pad[1], o.Pad[3], w[3], o.Stride[1], o.Dilation[1])
	if err != nil {
		return nil, err
	}
	padded := []int{x[0], x[1], x[2] + o.Pad[0] + o.Pad[2], x[3] + o.Pad[1] + o.Pad[3]}
	if _, err := count(op, "padded input", padded); err != nil {
		return nil, err
	}
	return []int{x[0], w[0], oh, ow}, nil
}

// matDims returns the batch count and m, n, k of checked shapes.
func matDims(o MatMul, a, b []int) (batch, m, n, k, kb int) {
	r := len(a)
	m, k = a[r-2], a[r-1]
	if o.TransA {
		m, k = k, m
	}
	kb, n = b[r-2], b[r-1]
	if o.TransB {
		kb, n = n, kb
	}
	return product(a[:r-2]), m, n, k, kb
}

func matMulShape(o MatMul, in [][]int) ([]int, error) {
	a, b := in[0], in[1]
	if len(a) < 2 || len(a) != len(b) || !slices.Equal(a[:len(a)-2], b[:len(b)-2]) {
		return nil, shapeErr(o, "factors %v and %v must be matrices over the same leading dimensions", a, b)
	}
	_, m, n, k, kb := matDims(o, a, b)
	if k != kb {
		return nil, shapeErr(o, "factors %v and %v (transposed: %t, %t) contract %d with %d elements", a, b, o.TransA, o.TransB, k, kb)
	}
	if len(in) == 3 && !slices.Equal(in[2], []int{n}) {
		return nil, shapeErr(o, "bias has shape %v, want [%d]", in[2], n)
	}
	return append(slices.Clone(a[:len(a)-2]), m, n), nil
}

func broadcast(o Binary, a, b []int) ([]int, error) {
	out := make([]int, max(len(a), len(b)))
	for i := range out {
		da, db := dimFromEnd(a, len(out)-i), dimFromEnd(b, len(out)-i)
		if da != db && da != 1 && db != 1 {
			return nil, shapeErr(o, "shapes %v and %v do not broadcast", a, b)
		}
		out[i] = max(da, db)
	}
	return out, nil
}

// dimFromEnd is the i-th dimension counted from the last (1), or 1 past the first.
func dimFromEnd(s []int, i int) int {
	if i > len(s) {
		return 1
	}
	return s[len(s)-i]
}

func poolShape(o Pool, x []int) ([]int, error) {
	if len(x) != 4 {
		return nil, shapeErr(o, "input has shape %v, want [N,C,H,W]", x)
	}
	oh, err := windows(o, "rows", x[2], o.Pad[0], o.Pad[2], o.Kernel[0], o.Stride[0], 1)
	if err != nil {
		return nil, err
	}
	ow, err := windows(o, "columns", x[3], o.Pad[1], o.Pad[3], o.Kernel[1], o.Stride[1], 1)
	if err != nil {
		return nil, err
	}
	return []int{x[0], x[1], oh, ow}, nil
}

func reduceShape(o Reduce, x []int) ([]int, error) {
	if err := checkAxis(o, o.Axes[len(o.Axes)-1], x); err != nil {
		return nil, err
	}
	out := []int{}
	for i, d := range x {
		if !slices.Contains(o.Axes, i) {
			out = append(out, d)
		}
	}
	return out, nil
}

func reshapeShape(o Reshape, x []int) ([]int, error) {
	out, open, rest := slices.Clone(o.Shape), -1, product(x)
	for i, d := range out {
		if d == -1 {
			open = i
			continue
		}
		if rest%d != 0 {
			return nil, shapeErr(o, "input of shape %v does not fill shape %v", x, o.Shape)
		}
		rest /= d
	}
	if open >= 0 {
		out[open] = rest
	} else if rest != 1 {
		return nil, shapeErr(o, "input of shape %v does not fill shape %v", x, o.Shape)
	}
	if out == nil {
		out = []int{}
	}
	return out, nil
}

func transposeShape(o Transpose, x []int) ([]int, error) {
	if len(o.Perm) != len(x) {
		return nil, shapeErr(o, "permutation %v does not fit input of shape %v", o.Perm, x)
	}
	out := make([]int, len(x))
	for i, p := range o.Perm {
		out[i] = x[p]
	}
	return out, nil
}

func concatShape(o Concat, in [][]int) ([]int, error) {
	if err := checkAxis(o, o.Axis, in[0]); err != nil {
		return nil, err
	}
	out := slices.Clone(in[0])
	for i, s := range in[1:] {
		same := len(s) == len(out)
		for j := 0; same && j < len(s); j++ {
			same = j == o.Axis || s[j] == out[j]
		}
		if !same {
			return nil, shapeErr(o, "input %d of shape %v does not join shape %v along axis %d", i+1, s, in[0], o.Axis)
		}
		if out[o.Axis] > maxElements-s[o.Axis] {
			return nil, shapeErr(o, "the joined axis has more than %d elements", maxElements)
		}
		out[o.Axis] += s[o.Axis]
	}
	return out, nil
}

func sliceShape(o Slice, x []int) ([]int, error) {
	if err := checkAxis(o, o.Axis, x); err != nil {
		return nil, err
	}
	if o.End > x[o.Axis] {
		return nil, shapeErr(o, "end %d is past axis %d of shape %v", o.End, o.Axis, x)
	}
	n := (o.End-o.Start-1)/o.Step + 1
	out := slices.Clone(x)
	if !o.Squeeze {
		out[o.Axis] = n
		return out, nil
	}
	if n != 1 {
		return nil, shapeErr(o, "squeeze wants one element along axis %d, the slice has %d", o.Axis, n)
	}
	return slices.Delete(out, o.Axis, o.Axis+1), nil
}

func batchNormShape(o BatchNorm, in [][]int) ([]int, error) {
	x := in[0]
	if len(x) != 2 && len(x) != 4 {
		return nil, shapeErr(o, "input has shape %v, want [N,C] or [N,C,H,W]", x)
	}
	for i, name := range []string{"gamma", "beta", "mean", "variance"} {
		if !slices.Equal(in[i+1], x[1:2]) {
			return nil, shapeErr(o, "%s has shape %v, want [%d]", name, in[i+1], x[1])
		}
	}
	return slices.Clone(x), nil
}
