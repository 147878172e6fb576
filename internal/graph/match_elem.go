package graph

import (
	"fmt"
	"slices"

	"github.com/goqat/goqat/internal/nn"
	"gorgonia.org/gorgonia"
)

// binaryNames are Gorgonia's elementwise operations in the order of its enumeration.
var binaryNames = []string{"add", "sub", "mul", "div", "pow", "lt", "gt", "lte", "gte", "eq", "ne"}

// elemBin is an elementwise operation on two nodes.
type elemBin struct {
	fn      string
	retSame bool // of a comparison: 0 and 1 as floats
	x, y    *gorgonia.Node
}

func (r *reader) elem(n *gorgonia.Node) (elemBin, bool) {
	if opName(n.Op()) != "elemBinOp" {
		return elemBin{}, false
	}
	f := fieldsOf(n.Op())
	same := f.bool("retSame")
	inner := f.inner("ʘBinaryOperator")
	code := inner.int("ʘBinaryOperatorType")
	kids := r.kids[n]
	if f.err != nil || inner.err != nil || code >= len(binaryNames) || len(kids) != 2 {
		return elemBin{}, false
	}
	return elemBin{fn: binaryNames[code], retSame: same, x: kids[0], y: kids[1]}, true
}

// constant returns the value of a scalar constant.
func constant(n *gorgonia.Node) (float32, bool) {
	if !isConst(n) || n.Shape().Dims() != 0 {
		return 0, false
	}
	v, ok := n.Value().(*gorgonia.F32)
	if !ok {
		return 0, false
	}
	return float32(*v), true
}

// step reports +1 when c is 1 where x > 0 (or >= 0) and 0 elsewhere, -1 when it is 1
// where x < 0, and 0 when it is neither.
func (r *reader) step(c, x *gorgonia.Node) int {
	b, ok := r.elem(c)
	if !ok || !b.retSame {
		return 0
	}
	sign := map[string]int{"gt": 1, "gte": 1, "lt": -1, "lte": -1}[b.fn]
	if zero, ok := constant(b.y); ok && zero == 0 && b.x == x {
		return sign
	}
	if zero, ok := constant(b.x); ok && zero == 0 && b.y == x {
		return -sign
	}
	return 0
}

// gated reads x ⊙ step(x) in either order: the sign of the step, and x.
func (r *reader) gated(n *gorgonia.Node) (x *gorgonia.Node, sign int) {
	b, ok := r.elem(n)
	if !ok || b.fn != "mul" {
		return nil, 0
	}
	if s := r.step(b.y, b.x); s != 0 {
		return b.x, s
	}
	if s := r.step(b.x, b.y); s != 0 {
		return b.y, s
	}
	return nil, 0
}

// rectify reads Rectify: x ⊙ (x >= 0).
func (r *reader) rectify(n *gorgonia.Node) *match {
	x, sign := r.gated(n)
	if sign != 1 {
		return nil
	}
	return simple(n, nn.Unary{Fn: "relu"}, x)
}

// relu6 reads the usual spelling of ReLU6, relu(x) - relu(x - 6), for any limit.
func (r *reader) relu6(n *gorgonia.Node) *match {
	b, ok := r.elem(n)
	if !ok || b.fn != "sub" {
		return nil
	}
	x, sx := r.gated(b.x)
	over, so := r.gated(b.y)
	if sx != 1 || so != 1 {
		return nil
	}
	d, ok := r.elem(over)
	if !ok || d.fn != "sub" || d.x != x {
		return nil
	}
	limit, ok := constant(d.y)
	if !ok || limit <= 0 {
		return nil
	}
	return simple(n, nn.Unary{Fn: "clip", Max: float64(limit)}, x)
}

// leaky reads LeakyRelu: x ⊙ (x >= 0) + x ⊙ (x < 0) ⊙ alpha.
func (r *reader) leaky(n *gorgonia.Node) *match {
	b, ok := r.elem(n)
	if !ok || b.fn != "add" {
		return nil
	}
	for _, pair := range [][2]*gorgonia.Node{{b.x, b.y}, {b.y, b.x}} {
		x, sign := r.gated(pair[0])
		scaled, ok := r.elem(pair[1])
		if sign != 1 || !ok || scaled.fn != "mul" {
			continue
		}
		neg, factor := scaled.x, scaled.y
		if isConst(neg) {
			neg, factor = factor, neg
		}
		alpha, isAlpha := constant(factor)
		if y, s := r.gated(neg); isAlpha && s == -1 && y == x {
			return simple(n, nn.Unary{Fn: "leaky_relu", Alpha: float64(alpha)}, x)
		}
	}
	return nil
}

// operand is one side of an elementwise operation without Gorgonia's broadcasting.
type operand struct {
	node  *gorgonia.Node
	shape []int // what broadcasting starts from; nil: the node's own shape
	axes  []int // the repeated axes, the last repeat first
}

// strip undoes Broadcast: repeats of axes of size 1 over a reshape. The result
// broadcasts by NumPy's rules once it has the returned shape.
func (r *reader) strip(n *gorgonia.Node) operand {
	plain := operand{node: n}
	if opName(n.Op()) != "repeatOp" {
		return plain
	}
	out := plain
	for opName(out.node.Op()) == "repeatOp" {
		f := fieldsOf(out.node.Op())
		axis := f.int("along")
		from := r.kids[out.node][0]
		if s := from.Shape(); f.err != nil || axis >= len(s) || s[axis] != 1 {
			return plain
		}
		out.axes, out.node = append(out.axes, axis), from
	}
	out.shape = []int(out.node.Shape())
	if opName(out.node.Op()) == "reshapeOp" {
		out.node = r.kids[out.node][0]
	}
	if broadcastsTo(out.node.Shape(), out.shape) {
		out.shape = nil
	}
	return out
}

// broadcastsTo reports whether NumPy's rule (align right, pad with ones) reads shape
// as full.
func broadcastsTo(shape, full []int) bool {
	pad := len(full) - len(shape)
	if pad < 0 || !slices.Equal(shape, full[pad:]) {
		return false
	}
	return product(full[:pad]) == 1
}

// comparisons are the names of Gorgonia's in package nn. Those whose results are truth values
// instead of 1 and 0 are no layers.
var comparisons = map[string]string{"lt": "less", "lte": "less_equal", "gt": "greater", "gte": "greater_equal", "eq": "equal", "ne": "not_equal"}

// binary reads Add, Sub, HadamardProd, HadamardDiv, Pow, Mul by a scalar, comparisons, and
// the broadcasting forms.
func (r *reader) binary(n *gorgonia.Node) *match {
	b, ok := r.elem(n)
	if ok && b.retSame && comparisons[b.fn] != "" {
		b.fn = comparisons[b.fn]
	} else if !ok || !slices.Contains(binaryNames[:5], b.fn) {
		return nil
	}
	sides := [2]operand{r.strip(b.x), r.strip(b.y)}
	out := []int(n.Shape())
	m := &match{out: n, args: []*gorgonia.Node{sides[0].node, sides[1].node}}
	m.emit = func(e *emitter, in []*Value) (*Value, error) {
		vs := make([]*Value, 2)
		for i, v := range in {
			want := sides[i].shape
			if want == nil && product(v.Shape) == product(out) {
				// A vector and a one-column matrix of one size are equal shapes to Gorgonia;
				// NumPy would broadcast them against each other.
				want = out
			}
			if want == nil {
				want = v.Shape
			}
			var err error
			if vs[i], err = e.reshape(v, want...); err != nil {
				return nil, err
			}
		}
		return e.layer(nn.Binary{Fn: b.fn}, vs...)
	}
	m.wrong = wrongBroadcast(sides, len(out))
	return m
}

// between reads MinBetween and MaxBetween. Where both operands are equal Gorgonia's gradient
// goes to both.
func (r *reader) between(n *gorgonia.Node) *match {
	fn := map[string]string{"minBetween": "min", "maxBetween": "max"}[opName(n.Op())]
	return simple(n, nn.Binary{Fn: fn}, r.kids[n]...)
}

// wrongBroadcast says whether Gorgonia gets the gradient of a broadcast operand
// wrong: it sums over the repeated axes one by one, each sum dropping its axis.
func wrongBroadcast(sides [2]operand, rank int) string {
	for _, s := range sides {
		for done, a := range s.axes {
			if wrongAxis(a, rank-done) {
				return fmt.Sprintf("the gradient of the operand broadcast along axis %d sums over that axis, which mixes up its elements", a)
			}
		}
	}
	return ""
}

// batchNorm reads BatchNorm: (gamma ⊙ norm(x)) + beta, with broadcasting.
func (r *reader) batchNorm(n *gorgonia.Node) *match {
	sum, ok := r.elem(n)
	if !ok || sum.fn != "add" {
		return nil
	}
	for _, s := range [][2]*gorgonia.Node{{sum.x, sum.y}, {sum.y, sum.x}} {
		prod, ok := r.elem(s[0])
		if !ok || prod.fn != "mul" {
			continue
		}
		for _, p := range [][2]*gorgonia.Node{{prod.y, prod.x}, {prod.x, prod.y}} {
			if opName(p[0].Op()) != "BatchNormOp" {
				continue
			}
			gamma, beta := r.strip(p[1]).node, r.strip(s[1]).node
			c := n.Shape()[1]
			if !perChannel(gamma.Shape(), c, n.Shape()) || !perChannel(beta.Shape(), c, n.Shape()) {
				return nil
			}
			return r.stockBatchNorm(n, p[0], gamma, beta)
		}
	}
	return nil
}

// perChannel reports whether shape holds one element for each of c channels and
// broadcasts along axis 1 of full.
func perChannel(shape []int, c int, full []int) bool {
	if product(shape) != c {
		return false
	}
	return len(shape) == 1 || len(shape) == len(full) && shape[1] == c
}

func (r *reader) bareBatchNorm(n *gorgonia.Node) *match { return r.stockBatchNorm(n, n, nil, nil) }

func (r *reader) stockBatchNorm(n, norm, gamma, beta *gorgonia.Node) *match {
	op, ok := norm.Op().(*gorgonia.BatchNormOp)
	if !ok {
		return nil
	}
	f := fieldsOf(op)
	state := &BatchNorm{Stock: op, Momentum: f.float("momentum"), Training: f.bool("training")}
	kind := nn.BatchNorm{Eps: f.float("epsilon")}
	if f.err != nil {
		return nil
	}
	args := []*gorgonia.Node{r.kids[norm][0]}
	if gamma != nil {
		args = append(args, gamma, beta)
	}
	m := batchNormMatch(n, kind, state, args)
	m.wrong = "its gradient in evaluation mode is wrong, and making a machine resets its running statistics"
	return m
}

func batchNormMatch(n *gorgonia.Node, kind nn.BatchNorm, state *BatchNorm, args []*gorgonia.Node) *match {
	return &match{out: n, args: args, emit: func(e *emitter, in []*Value) (*Value, error) {
		v, err := e.layer(kind, in...)
		if err != nil || e.dry {
			return v, err
		}
		bn := *state
		if len(in) == 3 {
			bn.Gamma, bn.Beta = in[1], in[2]
		}
		v.Producer.BN = &bn
		return v, nil
	}}
}
