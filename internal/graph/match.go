package graph

import (
	"fmt"
	"slices"

	"github.com/goqat/goqat/internal/nn"
	"github.com/goqat/goqat/internal/ops"
	"gorgonia.org/gorgonia"
)

// matchers find the layer that ends at a node, by the type of the node's op. A
// matcher returns nil when the pattern is not there.
var matchers map[string][]func(*reader, *gorgonia.Node) *match

func init() {
	matchers = map[string][]func(*reader, *gorgonia.Node) *match{
		"elemBinOp": {(*reader).rectify, (*reader).leaky, (*reader).relu6, (*reader).batchNorm,
			(*reader).mean, (*reader).binary},
		"elemUnaryOp":         {(*reader).unary},
		"linAlgBinOp":         {(*reader).linAlg},
		"tensordotOp":         {(*reader).tensordot},
		"transposeOp":         {(*reader).conv, (*reader).transpose},
		"reshapeOp":           {(*reader).reshape},
		"concatOp":            {(*reader).concat},
		"sliceOp":             {(*reader).slice},
		"upsampleOp":          {(*reader).upsample},
		"maxPoolOp":           {(*reader).pool},
		"avgPoolOp":           {(*reader).pool},
		"globalAveragePoolOp": {(*reader).globalPool},
		"softmaxOp":           {(*reader).softmax},
		"dropoutOp":           {(*reader).dropout},
		"BatchNormOp":         {(*reader).bareBatchNorm},
		"sumOp":               {(*reader).reduce},
		"maxOp":               {(*reader).reduce},
		"GroupNormOp":         {(*reader).groupNorm},
		"yoloOp":              {(*reader).yolo},
		"byIndicesOp":         {(*reader).byIndices},
		"minBetween":          {(*reader).between},
		"maxBetween":          {(*reader).between},
		"Iop":                 {(*reader).same},
	}
}

// match finds the layer that ends at n; what no matcher knows is opaque.
func (r *reader) match(n *gorgonia.Node) *match {
	if m := r.composite(n); m != nil {
		return m
	}
	if own, ok := n.Op().(interface{ NN() nn.Op }); ok && own.NN() != nil {
		m := r.own(n, own.NN())
		if err := r.complete(m); err != nil {
			return r.opaque(n, err.Error())
		}
		return m
	}
	reason := "goqat has no layer for this op"
	for _, f := range matchers[opName(n.Op())] {
		m := f(r, n)
		if m == nil {
			continue
		}
		if err := r.complete(m); err != nil {
			reason = err.Error()
			continue
		}
		return m
	}
	return r.opaque(n, reason)
}

// complete checks a match and lists the nodes that it stands for.
func (r *reader) complete(m *match) error {
	if err := r.tryMatch(m); err != nil {
		return err
	}
	nodes, err := r.span(m.out, m.args)
	m.nodes = nodes
	for _, n := range nodes {
		if r.given[n] != nil && err == nil {
			err = fmt.Errorf("the pattern reaches behind node %s, which is a result of its own", n.Name())
		}
	}
	return err
}

func (r *reader) opaque(n *gorgonia.Node, reason string) *match {
	return &match{
		out: n, args: r.kids[n], nodes: []*gorgonia.Node{n}, opaque: true,
		reason: fmt.Sprintf("%v (%T): %s; it stays a float op", n.Op(), n.Op(), reason),
	}
}

// span lists the nodes from out down to, and without, args.
func (r *reader) span(out *gorgonia.Node, args []*gorgonia.Node) ([]*gorgonia.Node, error) {
	seen := map[*gorgonia.Node]bool{}
	for _, a := range args {
		seen[a] = true
	}
	var nodes []*gorgonia.Node
	stack := []*gorgonia.Node{out}
	for len(stack) > 0 {
		n := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if seen[n] && n != out {
			continue
		}
		if isLeaf(n) {
			return nil, fmt.Errorf("the pattern also reads leaf %s", n.Name())
		}
		seen[n] = true
		nodes = append(nodes, n)
		stack = append(stack, r.kids[n]...)
	}
	slices.SortFunc(nodes, func(a, b *gorgonia.Node) int { return r.index[a] - r.index[b] })
	return slices.Compact(nodes), nil
}

// simple is a match of one layer on given operands.
func simple(n *gorgonia.Node, op nn.Op, args ...*gorgonia.Node) *match {
	return &match{out: n, args: args, emit: func(e *emitter, in []*Value) (*Value, error) {
		return e.layer(op, in...)
	}}
}

// own reads one of our own ops, which say what they are.
func (r *reader) own(n *gorgonia.Node, op nn.Op) *match {
	bn, ok := op.(nn.BatchNorm)
	if !ok {
		m := simple(n, op, r.kids[n]...)
		if w := nn.TraitsOf(op).Weights; w != nil && w.Either {
			m.left, m.right = r.kids[n][0], r.kids[n][1]
		} else if w != nil {
			m.image = r.kids[n][0]
		}
		return m
	}
	state := &BatchNorm{Training: true}
	if s, ok := n.Op().(interface{ BatchNormState() *ops.BNState }); ok && s.BatchNormState() != nil {
		state.State = s.BatchNormState()
		state.Momentum = state.State.Momentum
	}
	return batchNormMatch(n, bn, state, r.kids[n])
}

// same reads a node that is its operand under another name.
func (r *reader) same(n *gorgonia.Node) *match {
	return &match{out: n, args: r.kids[n][:1], alias: true, emit: func(_ *emitter, in []*Value) (*Value, error) {
		return in[0], nil
	}}
}

var unaryNames = map[string]string{
	"abs": "abs", "sign": "sign", "ceil": "ceil", "floor": "floor", "sin": "sin", "cos": "cos",
	"exp": "exp", "ln": "log", "log2": "log2", "neg": "neg", "square": "square", "sqrt": "sqrt",
	"inv": "inv", "invSqrt": "inv_sqrt", "cube": "cube", "tanh": "tanh", "sigmoid": "sigmoid",
	"log1p": "log1p", "expm1": "expm1", "softplus": "softplus",
}

func (r *reader) unary(n *gorgonia.Node) *match {
	fn, ok := unaryNames[n.Op().String()]
	if !ok {
		return nil
	}
	m := simple(n, nn.Unary{Fn: fn}, r.kids[n]...)
	if fn == "log2" || fn == "inv_sqrt" {
		m.wrong = "its gradient is not the derivative"
	}
	return m
}

func (r *reader) softmax(n *gorgonia.Node) *match {
	op, ok := r.stockSoftmax(n)
	if !ok {
		return nil
	}
	return simple(n, op, r.kids[n][0])
}

// stockSoftmax reads SoftMax and LogSoftMax. Axis -1 is the last axis, but the first of a
// column vector, as softmaxOp.UsePreallocDo has it.
func (r *reader) stockSoftmax(n *gorgonia.Node) (nn.Softmax, bool) {
	f := fieldsOf(n.Op())
	axis, log := f.int("axis"), f.bool("isLog")
	if axis == -1 {
		shape := r.kids[n][0].Shape()
		axis = shape.Dims() - 1
		if shape.IsColVec() {
			axis = 0
		}
	}
	return nn.Softmax{Axis: axis, Log: log}, f.err == nil
}

func (r *reader) dropout(n *gorgonia.Node) *match {
	f := fieldsOf(n.Op())
	p := f.float("probability")
	if f.err != nil {
		return nil
	}
	m := simple(n, nn.Dropout{P: p}, r.kids[n]...)
	m.wrong = "its gradient divides by p instead of 1-p, and in evaluation it returns its operand's own memory"
	return m
}

// pool reads MaxPool2D, MaxPool1D (and AveragePool1D, which Gorgonia makes a maximum)
// and AveragePool2D.
func (r *reader) pool(n *gorgonia.Node) *match {
	f := fieldsOf(n.Op())
	north, south, west, east := f.int("padNorth"), f.int("padSouth"), f.int("padWest"), f.int("padEast")
	if f.bool("explicitPadding") {
		// The op then shifts its windows by the south and east padding.
		north, south, west, east = south, north, east, west
	}
	op := nn.Pool{
		Average: opName(n.Op()) == "avgPoolOp",
		Kernel:  [2]int{f.int("h"), f.int("w")},
		Stride:  [2]int{f.int("strideH"), f.int("strideW")},
		Pad:     [4]int{north, west, south, east},
	}
	if f.err != nil {
		return nil
	}
	m := simple(n, op, r.kids[n]...)
	if op.Average {
		m.wrong = "it divides by the width of the image instead of the window's size, and its gradient reaches one element of each window"
	}
	return m
}

func (r *reader) globalPool(n *gorgonia.Node) *match {
	m := simple(n, nn.GlobalAvgPool{}, r.kids[n]...)
	m.wrong = "it has no gradient"
	return m
}

// reduce reads Sum and Max.
func (r *reader) reduce(n *gorgonia.Node) *match {
	f := fieldsOf(n.Op())
	axes := f.ints("along")
	if f.err != nil {
		return nil
	}
	slices.Sort(axes)
	fn := "sum"
	if opName(n.Op()) == "maxOp" {
		fn = "max"
	}
	m := simple(n, nn.Reduce{Fn: fn, Axes: axes}, r.kids[n]...)
	m.wrong = wrongReduce(axes, r.kids[n][0])
	return m
}

// wrongReduce says whether Gorgonia reduces the (sorted) axes of x wrongly. It takes
// them off one by one, and each time gets every axis wrong that is neither one of the
// first two nor the last.
func wrongReduce(axes []int, x *gorgonia.Node) string {
	rank := x.Shape().Dims()
	if len(axes) == rank {
		return "" // all at once, by another way
	}
	for done, a := range axes {
		if wrongAxis(a-done, rank-done) {
			return fmt.Sprintf("reducing axis %d of a %d-D tensor mixes up its elements", a, rank)
		}
	}
	return ""
}

func wrongAxis(a, rank int) bool { return a >= 2 && a < rank-1 }

// mean reads Mean: a sum divided by the product of the sizes of the summed axes.
func (r *reader) mean(n *gorgonia.Node) *match {
	x, axes, ok := r.stockMean(n)
	if !ok {
		return nil
	}
	m := simple(n, nn.Reduce{Fn: "mean", Axes: axes}, x)
	m.wrong = wrongReduce(axes, x)
	return m
}

// stockMean is mean's operand with the sorted axes.
func (r *reader) stockMean(n *gorgonia.Node) (x *gorgonia.Node, axes []int, ok bool) {
	b, ok := r.elem(n)
	if !ok || b.fn != "div" || opName(b.x.Op()) != "sumOp" {
		return nil, nil, false
	}
	f := fieldsOf(b.x.Op())
	axes, x = f.ints("along"), r.kids[b.x][0]
	sized, ok := r.sizes(b.y, x)
	if f.err != nil || !ok {
		return nil, nil, false
	}
	slices.Sort(axes)
	slices.Sort(sized)
	return x, axes, slices.Equal(axes, sized)
}

// sizes lists the axes of a product of SizeOf nodes, all of x.
func (r *reader) sizes(n, x *gorgonia.Node) ([]int, bool) {
	if opName(n.Op()) == "sizeOp" {
		f := fieldsOf(n.Op())
		axis := f.int("axis")
		return []int{axis}, f.err == nil && r.kids[n][0] == x
	}
	b, ok := r.elem(n)
	if !ok || b.fn != "mul" {
		return nil, false
	}
	left, ok1 := r.sizes(b.x, x)
	right, ok2 := r.sizes(b.y, x)
	return append(left, right...), ok1 && ok2
}
