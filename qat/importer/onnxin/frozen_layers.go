package onnxin

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/goqat/goqat/internal/nn"
)

// layerOf returns the layer kind of a node and the names of its tensors.
func (t *thawer) layerOf(n *node) (nn.Op, []string, error) {
	in := n.pb.Input
	if len(in) == 0 || slices.Contains(in[:1], "") {
		return nil, nil, fmt.Errorf("%w: no operands", ErrFormat)
	}
	if op, in, err := t.maskedSoftmaxOf(n); op != nil || err != nil {
		return op, in, err
	}
	if op, in, err := t.rmsNormOf(n); op != nil || err != nil {
		return op, in, err
	}
	if n.op == "Mul" && len(in) == 2 && in[0] == in[1] { // as the exporter writes a square
		return nn.Unary{Fn: "square"}, in[:1], nil
	}
	if fn, ok := binaries[n.op]; ok {
		return nn.Binary{Fn: fn}, in, n.arity(2, 2)
	}
	if fn, ok := comparisons[n.op]; ok {
		return t.comparisonOf(n, fn), in, n.arity(2, 2)
	}
	if t.gatedBy(n) != nil {
		return t.siluOf(n), in, nil
	}
	if u, ok := plainUnaries[n.op]; ok {
		return nn.Unary{Fn: u}, in, n.arity(1, 1)
	}
	if op, ok := strings.CutPrefix(n.op, "Reduce"); ok {
		return t.reduceOf(n, strings.ToLower(op))
	}
	switch n.op {
	case "Conv":
		w, err := n.explicitWindow()
		return nn.Conv{Stride: w.stride, Pad: w.pad, Dilation: w.dilation, Groups: n.int("group", 1)}, in, err
	case "ConvTranspose":
		return t.convTransposeOf(n)
	case "MaxPool", "AveragePool":
		w, err := n.explicitWindow()
		op := nn.Pool{Average: n.op == "AveragePool", Kernel: w.kernel, Stride: w.stride, Pad: w.pad}
		op.ExcludePad = op.Average && n.int("count_include_pad", 0) == 0
		return op, in, err
	case "GlobalAveragePool":
		return nn.GlobalAvgPool{}, in, nil
	case "Gemm":
		if n.float("alpha", 1) != 1 || n.float("beta", 1) != 1 {
			return nil, nil, fmt.Errorf("%w: alpha and beta other than 1", ErrUnsupported)
		}
		return nn.MatMul{TransA: n.int("transA", 0) != 0, TransB: n.int("transB", 0) != 0}, t.withBias(n, slices.Clone(in)), nil
	case "MatMul":
		return t.matMulOf(n)
	case "LeakyRelu":
		return nn.Unary{Fn: "leaky_relu", Alpha: n.float("alpha", 0.01)}, in, nil
	case "Clip":
		lo, err := n.number(1, "min", -math.MaxFloat32)
		if err != nil {
			return nil, nil, err
		}
		hi, err := n.number(2, "max", math.MaxFloat32)
		return nn.Unary{Fn: "clip", Min: lo, Max: hi}, in[:1], err
	case "LRN":
		return nn.LRN{Size: n.int("size", 0), Alpha: n.float("alpha", 1e-4), Beta: n.float("beta", 0.75), Bias: n.float("bias", 1)}, in, nil
	case "BatchNormalization":
		return nn.BatchNorm{Eps: n.float("epsilon", 1e-5)}, in, nil
	case "LayerNormalization":
		return nn.LayerNorm{Axis: n.int("axis", -1), Eps: n.float("epsilon", 1e-5)}, in, nil
	case "GroupNormalization":
		return nn.GroupNorm{Groups: n.int("num_groups", 0), Eps: n.float("epsilon", 1e-5)}, in, nil
	case "Softmax", "LogSoftmax":
		return nn.Softmax{Axis: n.int("axis", -1), Log: n.op == "LogSoftmax"}, in, nil
	case "Concat":
		return nn.Concat{Axis: n.int("axis", -1)}, in, nil
	case "Gather":
		if op, is, err := t.takeOf(n); is || err != nil {
			return op, in[:1], err
		}
		return nn.Gather{Axis: n.int("axis", 0)}, in, nil
	case "Transpose":
		return nn.Transpose{Perm: n.ints("perm")}, in, nil
	case "Reshape":
		shape, err := n.list(1, "shape")
		if err == nil {
			err = checkRank(len(shape))
		}
		return nn.Reshape{Shape: shape}, in[:1], err
	case "Where":
		return nn.Where{}, in, n.arity(3, 3)
	case "HardSigmoid":
		return hardSigmoid(n), in[:1], nil
	case "Elu":
		return elu(n), in[:1], nil
	case "Gelu":
		u, err := geluOf(n)
		return u, in[:1], err
	case "Slice":
		return t.sliceOf(n)
	case "Pad":
		return t.padOf(n)
	case "Resize":
		return t.resizeOf(n)
	}
	return nil, nil, fmt.Errorf("%w operator", ErrUnsupported)
}

// plainUnaries are the functions that have an operator of their own and no settings.
var plainUnaries = map[string]string{
	"Relu": "relu", "Sigmoid": "sigmoid", "Tanh": "tanh", "Exp": "exp", "Log": "log", "Sqrt": "sqrt", "Neg": "neg", "Abs": "abs",
	"Sign": "sign", "Floor": "floor", "Ceil": "ceil", "Sin": "sin", "Cos": "cos", "Reciprocal": "inv", "Softplus": "softplus", "Erf": "erf",
	"HardSwish": "hard_swish",
}

// explicitWindow is a 2-D window whose padding is written out.
func (n *node) explicitWindow() (window, error) {
	if n.string("auto_pad", "NOTSET") != "NOTSET" || n.int("ceil_mode", 0) != 0 {
		return window{}, fmt.Errorf("%w: auto_pad or ceil_mode in a quantized model", ErrUnsupported)
	}
	return n.window([2]int{1, 1}, 2, nil, [4]int{}, false)
}

func (t *thawer) reduceOf(n *node, fn string) (nn.Op, []string, error) {
	if n.int("keepdims", 1) != 0 {
		return nil, nil, fmt.Errorf("%w: keepdims in a quantized model", ErrUnsupported)
	}
	over, err := n.list(1, "axes")
	return nn.Reduce{Fn: fn, Axes: over}, n.pb.Input[:1], err
}

// matMulOf is a product with the transposes in front of it and the bias behind it that
// the exporter writes as nodes of their own.
func (t *thawer) matMulOf(n *node) (nn.Op, []string, error) {
	if err := n.arity(2, 2); err != nil {
		return nil, nil, err
	}
	in := slices.Clone(n.pb.Input)
	var turned [2]bool
	for i, name := range in {
		if tr := t.maker(name); tr != nil && tr.op == "Transpose" && strings.Contains(tr.label, "/transpose_") && len(tr.pb.Input) == 1 && t.onlyUser(name) == n {
			perm := tr.ints("perm")
			if r := len(perm); r < 2 || perm[r-1] != r-2 || perm[r-2] != r-1 {
				return nil, nil, fmt.Errorf("%w: transpose %v in front of a product", ErrUnsupported, perm)
			}
			in[i], turned[i] = tr.pb.Input[0], true
		}
	}
	return nn.MatMul{TransA: turned[0], TransB: turned[1]}, t.withBias(n, in), nil
}

// withBias adds to the operands of a product the bias that the exporter writes as a node
// of its own.
func (t *thawer) withBias(n *node, in []string) []string {
	u := t.onlyUser(n.pb.Output[0])
	if len(in) != 2 || u == nil || u.op != "Add" || !strings.HasPrefix(u.label, n.label+"/bias") || len(u.pb.Input) != 2 || len(u.pb.Output) != 1 {
		return in
	}
	t.quiet[u] = true
	return append(in, u.pb.Input[1])
}

// gatedBy returns the product of a sigmoid with its own operand, which the exporter names
// the sigmoid after: a silu. nil: there is none.
func (t *thawer) gatedBy(n *node) *node {
	if n.op != "Sigmoid" || len(n.pb.Input) != 1 || len(n.pb.Output) != 1 {
		return nil
	}
	u := t.onlyUser(n.pb.Output[0])
	if u == nil || u.op != "Mul" || n.label != u.label+"/sigmoid" || len(u.pb.Output) != 1 ||
		!slices.Equal(u.pb.Input, []string{n.pb.Input[0], n.pb.Output[0]}) {
		return nil
	}
	return u
}

// siluOf takes in the product that gates n with n's operand, and its name.
func (t *thawer) siluOf(n *node) nn.Unary {
	u := t.gatedBy(n)
	t.quiet[u], n.label = true, u.label
	return nn.Unary{Fn: "silu"}
}

// maskedSoftmaxOf reads a softmax that begins with n, its scale or its mask, which the
// exporter names after it; nil: it does not.
func (t *thawer) maskedSoftmaxOf(n *node) (nn.Op, []string, error) {
	name, step := strings.CutSuffix(n.label, "/scale")
	if !step {
		name, step = strings.CutSuffix(n.label, "/mask")
	}
	if !step || n.op != "Mul" && n.op != "Add" || len(n.pb.Input) != 2 {
		return nil, nil, nil
	}
	in, scale, last := n.pb.Input[:1], 0.0, n
	if n.op == "Mul" {
		var err error
		if scale, err = n.number(1, "scale", 1); err != nil {
			return nil, nil, err
		}
		last = t.onlyUser(n.pb.Output[0])
	}
	var parts []*node
	if last != nil && last.op == "Add" && last.label == name+"/mask" && len(last.pb.Input) == 2 {
		in = append(slices.Clone(in), last.pb.Input[1])
		parts = append(parts, last)
		last = t.onlyUser(last.pb.Output[0])
	}
	if last == nil || last.op != "Softmax" && last.op != "LogSoftmax" || last.label != name || len(last.pb.Output) != 1 {
		return nil, nil, nil
	}
	for _, u := range append(parts, last) {
		t.quiet[u] = u != n
	}
	t.lasts[n], n.label = last, name
	return nn.Softmax{Axis: last.int("axis", -1), Log: last.op == "LogSoftmax", Scale: scale}, in, last.err
}

// rmsNormOf reads the steps of a normalisation by the mean square, which the exporter names
// after it; nil: n does not begin one.
func (t *thawer) rmsNormOf(n *node) (nn.Op, []string, error) {
	name, is := strings.CutSuffix(n.label, "/square")
	if !is || n.op != "Mul" || len(n.pb.Input) != 2 || n.pb.Input[0] != n.pb.Input[1] {
		return nil, nil, nil
	}
	steps := []*node{n}
	for _, s := range []string{"ReduceMean/mean", "Add/epsilon", "Sqrt/root", "Div/quotient"} {
		u := t.onlyUser(steps[len(steps)-1].pb.Output[0])
		if op, part, _ := strings.Cut(s, "/"); u == nil || u.op != op || u.label != name+"/"+part || len(u.pb.Output) != 1 {
			return nil, nil, nil
		}
		steps = append(steps, u)
	}
	for _, u := range steps[1:] { // nobody has looked at their operands yet
		for _, name := range u.pb.Input {
			u.in = append(u.in, t.values[name])
		}
	}
	axes, err := steps[1].list(1, "axes")
	if err != nil {
		return nil, nil, err
	}
	eps, err := steps[2].number(1, "epsilon", 0)
	if err != nil {
		return nil, nil, err
	}
	if len(axes) == 0 || axes[0] < 0 || len(steps[4].pb.Input) != 2 || steps[4].pb.Input[0] != n.pb.Input[0] {
		return nil, nil, fmt.Errorf("%w: the steps of %s", ErrFormat, name)
	}
	in := n.pb.Input[:1:1]
	for _, s := range []string{"Mul/gamma", "Add/beta"} {
		u := t.onlyUser(steps[len(steps)-1].pb.Output[0])
		if op, part, _ := strings.Cut(s, "/"); u == nil || u.op != op || u.label != name+"/"+part || len(u.pb.Output) != 1 || len(u.pb.Input) != 2 {
			break
		}
		steps, in = append(steps, u), append(in, u.pb.Input[1])
	}
	for _, u := range steps[1:] {
		t.quiet[u] = true
	}
	t.lasts[n], n.label = steps[len(steps)-1], name
	return nn.LayerNorm{Axis: axes[0], Eps: eps, RMS: true}, in, nil
}

// comparisonOf takes in the nodes that make numbers of the truth values, as the exporter
// writes them.
func (t *thawer) comparisonOf(n *node, fn string) nn.Binary {
	if fn == "equal" && t.takeIn(n, "Not", "not") {
		fn = "not_equal"
	}
	t.takeIn(n, "Cast", "cast")
	return nn.Binary{Fn: fn}
}

// takeIn makes the only user of what n's layer has so far a part of it, if it is such an
// operator and named after n.
func (t *thawer) takeIn(n *node, op, name string) bool {
	u := t.onlyUser(t.end(n))
	if u == nil || u.op != op || u.label != n.label+"/"+name || len(u.pb.Output) != 1 {
		return false
	}
	t.quiet[u], t.lasts[n] = true, u
	return true
}

// sliceOf is a slice along one axis, with the squeeze behind it that drops the axis.
func (t *thawer) sliceOf(n *node) (nn.Op, []string, error) {
	var v [4]int
	for i, name := range []string{"starts", "ends", "axes", "steps"} {
		list, err := n.list(i+1, name)
		if err != nil {
			return nil, nil, err
		}
		if len(list) != 1 {
			return nil, nil, fmt.Errorf("%w: %s %v: a quantized model slices one axis", ErrUnsupported, name, list)
		}
		v[i] = list[0]
	}
	op := nn.Slice{Axis: v[2], Start: v[0], End: v[1], Step: v[3]}
	if u := t.onlyUser(n.pb.Output[0]); u != nil && u.op == "Squeeze" && strings.HasPrefix(u.label, n.label+"/squeeze") && len(u.pb.Output) == 1 {
		t.quiet[u] = true
		op.Squeeze = true
	}
	return op, n.pb.Input[:1], nil
}

// takeOf is a Gather by known indices, as the exporter writes a Take; those of a Gather come
// out of a Cast.
func (t *thawer) takeOf(n *node) (nn.Op, bool, error) {
	v := n.operand(1)
	if v == nil || !v.known() {
		return nil, false, nil
	}
	c, err := t.constant(v)
	if err != nil || c.float {
		return nil, false, err
	}
	index, err := n.list(1, "")
	return nn.Take{Axis: n.int("axis", 0), Index: index}, true, err
}

// shapeOfInput is that of operand 0 at the first batch.
func (t *thawer) shapeOfInput(n *node) ([]int, error) {
	i, err := t.tensor(n.pb.Input[0])
	if err != nil {
		return nil, err
	}
	return t.shapes[0][i], nil
}

func (t *thawer) padOf(n *node) (nn.Op, []string, error) {
	shape, err := t.shapeOfInput(n)
	if err != nil {
		return nil, nil, err
	}
	op, err := n.padOf(len(shape))
	return op, n.pb.Input[:1], err
}

func (t *thawer) resizeOf(n *node) (nn.Op, []string, error) {
	shape, err := t.shapeOfInput(n)
	if err != nil {
		return nil, nil, err
	}
	op, err := n.resizeOf(shape)
	return op, n.pb.Input[:1], err
}

// convTransposeOf wants weights that the exporter swapped.
func (t *thawer) convTransposeOf(n *node) (nn.Op, []string, error) {
	w, err := n.explicitWindow()
	if err != nil {
		return nil, nil, err
	}
	if len(n.pb.Input) < 2 || !t.swapped[n.pb.Input[1]] {
		return nil, nil, fmt.Errorf("%w: its weights do not come from constants in the order of a convolution's", ErrUnsupported)
	}
	extra := n.intsOr("output_padding", 2, 0)
	return nn.ConvTranspose{Stride: w.stride, Pad: w.pad, Dilation: w.dilation, Groups: n.int("group", 1), Extra: [2]int(extra)}, n.pb.Input, n.err
}
