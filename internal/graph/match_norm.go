package graph

import (
	"slices"

	"github.com/goqat/goqat/internal/nn"
	"gorgonia.org/gorgonia"
)

// Which normalisations are spelled out with several ops? One layer computes them in one pass,
// keeps no tensor for the gradient but its input, and in a quantized network rounds at its
// borders only.

func init() { composites = append(composites, (*reader).rowNorm, (*reader).groupNorm) }

// rowNorm reads (x - mean(x))/sqrt(mean((x - mean(x))²) + eps) and x/sqrt(mean(x²) + eps),
// perhaps times gamma and plus beta, with means over the last axes.
func (r *reader) rowNorm(n *gorgonia.Node) *match {
	at, params, ok := r.scaleAndShift(n)
	if !ok {
		return nil
	}
	v, sum := r.byRoot(at)
	if v == nil || at != n && r.readers(at) != 1 {
		return nil
	}
	x, op, ok := r.normOf(v, sum)
	if !ok {
		return nil
	}
	shape := x.Shape()[op.Axis:]
	for _, p := range params {
		if !endsIn(p.effective(), shape) {
			return nil
		}
	}
	return normMatch(n, op, x, params, shape)
}

// normMatch makes a normalisation of x with parameters that get the given shape.
func normMatch(n *gorgonia.Node, op nn.Op, x *gorgonia.Node, params []operand, shape []int) *match {
	args := []*gorgonia.Node{x}
	for _, p := range params {
		args = append(args, p.node)
	}
	return &match{out: n, args: args, emit: func(e *emitter, in []*Value) (*Value, error) {
		for i, p := range in[1:] {
			if slices.Equal(p.Shape, shape) {
				continue
			}
			v, err := e.layer(nn.Reshape{Shape: shape}, p)
			if err != nil {
				return nil, err
			}
			in[1+i] = v
		}
		return e.layer(op, in...)
	}}
}

// scaleAndShift takes beta and gamma off n, in this order, and returns what is left and
// gamma and beta as far as they are there.
func (r *reader) scaleAndShift(n *gorgonia.Node) (at *gorgonia.Node, params []operand, ok bool) {
	at = n
	for _, want := range []string{"add", "mul"} {
		fn, x, y := r.binaryOf(at)
		if fn != want {
			continue
		}
		if !r.repeats(y, n) {
			x, y = y, x
		}
		if !r.repeats(y, n) || r.isScale(y) {
			if want == "add" {
				return nil, nil, false
			}
			continue // the product with a root, perhaps
		}
		params, at = append(params, r.strip(y)), x
	}
	if fn, _, _ := r.binaryOf(n); fn == "add" && len(params) == 1 {
		return nil, nil, false // beta without gamma
	}
	slices.Reverse(params)
	return at, params, true
}

// effective is the shape that an operand broadcasts from.
func (o operand) effective() []int {
	if o.shape != nil {
		return o.shape
	}
	return o.node.Shape()
}

// endsIn reports whether a parameter has the given shape, behind any number of axes of
// size 1.
func endsIn(s, shape []int) bool {
	lead := len(s) - len(shape)
	return lead >= 0 && slices.Equal(s[lead:], shape) && product(s[:lead]) == 1
}

// repeats reports whether y is smaller than n and repeats along it.
func (r *reader) repeats(y, n *gorgonia.Node) bool {
	return y != nil && r.strip(y).node.Shape().TotalSize() < n.Shape().TotalSize()
}

// isScale reports whether n is one by a root, which byRoot reads.
func (r *reader) isScale(n *gorgonia.Node) bool {
	return r.inverseRoot(r.reshaped(r.strip(n).node)) != nil
}

// reshaped looks through reshapes, which put back an axis that a mean has dropped.
func (r *reader) reshaped(n *gorgonia.Node) *gorgonia.Node {
	for {
		if _, is := ownOp(n).(nn.Reshape); !is && opName(n.Op()) != "reshapeOp" {
			return n
		}
		n = r.kids[n][0]
	}
}

// inverseRoot reads 1/sqrt(sum).
func (r *reader) inverseRoot(n *gorgonia.Node) (sum *gorgonia.Node) {
	u, of := r.unaryOf(n)
	switch u.Fn {
	case "inv_sqrt":
		return of
	case "inv":
		return r.root(of)
	}
	fn, one, of := r.binaryOf(n)
	if c, ok := r.numberOf(one); fn == "div" && ok && c == 1 {
		return r.root(r.reshaped(r.strip(of).node))
	}
	return nil
}

// root reads sqrt(sum).
func (r *reader) root(n *gorgonia.Node) (sum *gorgonia.Node) {
	u, of := r.unaryOf(n)
	if u.Fn != "sqrt" {
		return nil
	}
	return of
}

// byRoot reads v/sqrt(sum) and v·(1/sqrt(sum)), where the root repeats along the last axes of v.
func (r *reader) byRoot(n *gorgonia.Node) (v, sum *gorgonia.Node) {
	fn, v, w := r.binaryOf(n)
	find := r.root
	switch fn {
	case "mul":
		find = r.inverseRoot
		if !r.isScale(w) {
			v, w = w, v
		}
	case "div":
	default:
		return nil, nil
	}
	o := r.strip(w)
	if sum = find(r.reshaped(o.node)); sum == nil || !keeps(o.effective(), v.Shape()) {
		return nil, nil
	}
	return v, sum
}

// keeps reports whether s is shape with size 1 in some of the last axes.
func keeps(s, shape []int) bool {
	if len(s) != len(shape) {
		return false
	}
	for i := range s {
		if s[i] != shape[i] && product(s[i:]) != 1 {
			return false
		}
	}
	return true
}

// normOf reads v = x - mean(x) and sum = mean(v²) + eps, or v = x alone.
func (r *reader) normOf(v, sum *gorgonia.Node) (x *gorgonia.Node, op nn.LayerNorm, ok bool) {
	fn, variance, eps := r.binaryOf(sum)
	if fn != "add" {
		return nil, op, false
	}
	c, ok := r.number(eps)
	if !ok {
		variance, eps = eps, variance
		if c, ok = r.number(eps); !ok {
			return nil, op, false
		}
	}
	squares, axis, ok := r.lastMean(variance)
	if !ok || !r.squareOf(squares, v) || !(c >= 0) {
		return nil, op, false
	}
	fn, x, mean := r.binaryOf(v)
	if fn == "sub" && r.readers(v) <= 3 {
		o := r.strip(mean)
		of, again, ok := r.lastMean(o.node)
		if ok && of == x && again == axis && keeps(o.effective(), x.Shape()) {
			return x, nn.LayerNorm{Axis: axis, Eps: c}, true
		}
	}
	return v, nn.LayerNorm{Axis: axis, Eps: c, RMS: true}, true
}

// lastMean reads the mean of x over its last axes, from axis on, which stay with size 1 or
// are dropped.
func (r *reader) lastMean(n *gorgonia.Node) (x *gorgonia.Node, axis int, ok bool) {
	shape := n.Shape()
	if _, is := ownOp(n).(nn.Reshape); is || opName(n.Op()) == "reshapeOp" {
		n = r.kids[n][0]
	}
	x, axes, ok := r.stockMean(n)
	if o, is := ownOp(n).(nn.Reduce); is && o.Fn == "mean" {
		x, axes, ok = r.kids[n][0], o.Axes, true
	}
	if !ok || wrongReduce(axes, x) != "" && ownOp(n) == nil {
		return nil, 0, false
	}
	axis = axes[0]
	rank := x.Shape().Dims()
	if len(axes) != rank-axis || axes[len(axes)-1] != rank-1 {
		return nil, 0, false
	}
	dropped := slices.Equal(shape, x.Shape()[:axis])
	return x, axis, dropped || keeps(shape, x.Shape()) && product(shape[axis:]) == 1 && slices.Equal(shape[:axis], x.Shape()[:axis])
}

// readers counts who reads the elements of n, not its shape, as broadcasting does.
func (r *reader) readers(n *gorgonia.Node) (count int) {
	for _, u := range r.users[n] {
		if opName(u.Op()) != "sizeOp" {
			count++
		}
	}
	return count
}

// squareOf reports whether n is d².
func (r *reader) squareOf(n, d *gorgonia.Node) bool {
	if u, of := r.unaryOf(n); u.Fn == "square" && of == d {
		return true
	}
	fn, x, y := r.binaryOf(n)
	if c, ok := r.numberOf(y); fn == "pow" && x == d && ok && c == 2 {
		return true
	}
	return fn == "mul" && x == d && y == d
}

// groupNorm reads Gorgonia's GroupNorm, and the group normalisation that exporters write as an
// instance normalisation of [N,groups,rest], with a reshape in front and behind; both perhaps
// times gamma and plus beta for each channel.
func (r *reader) groupNorm(n *gorgonia.Node) *match {
	at, params, ok := r.scaleAndShift(n)
	if !ok || at != n && !r.inner(at) {
		return nil
	}
	if op, is := stockGroupNorm(at); is {
		return groupNormMatch(n, op, r.kids[at][0], params)
	}
	if _, is := ownOp(at).(nn.Reshape); !is {
		return nil
	}
	norm := r.kids[at][0]
	op, is := ownOp(norm).(nn.GroupNorm)
	if !is || !r.inner(norm) || len(r.kids[norm]) != 1 {
		return nil
	}
	flat := r.kids[norm][0]
	if _, is := ownOp(flat).(nn.Reshape); !is || !r.inner(flat) {
		return nil
	}
	x := r.kids[flat][0]
	s, f := x.Shape(), flat.Shape()
	if !s.Eq(at.Shape()) || len(s) < 2 || f[0] != s[0] || f[1] != op.Groups || s[1]%op.Groups != 0 {
		return nil
	}
	return groupNormMatch(n, op, x, params)
}

// groupNormMatch makes a group normalisation, nil if the parameters are not of the channels.
func groupNormMatch(n *gorgonia.Node, op nn.GroupNorm, x *gorgonia.Node, params []operand) *match {
	s := x.Shape()
	for _, p := range params {
		if !ofChannels(p.effective(), s) {
			return nil
		}
	}
	return normMatch(n, op, x, params, []int{s[1]})
}

// stockGroupNorm is what Gorgonia's op computes, without gamma and beta.
func stockGroupNorm(n *gorgonia.Node) (nn.GroupNorm, bool) {
	if opName(n.Op()) != "GroupNormOp" {
		return nn.GroupNorm{}, false
	}
	f := fieldsOf(n.Op())
	op := nn.GroupNorm{Groups: f.int("numGroups"), Eps: f.float("epsilon")}
	return op, f.err == nil && n.Dims() >= 2
}

// ofChannels reports whether a parameter that broadcasts to shape has one element for each
// channel.
func ofChannels(p, shape []int) bool {
	at := 1 - (len(shape) - len(p))
	return at >= 0 && p[at] == shape[1] && product(p) == shape[1]
}
