package graph

import (
	"slices"

	"github.com/goqat/goqat/internal/nn"
	"gorgonia.org/gorgonia"
)

// Which normalisations of rows are spelled out with several ops? One layer computes them
// in one pass, keeps no tensor for the gradient but its input, and in a quantized network
// rounds at its borders only.

func init() { composites = append(composites, (*reader).layerNorm) }

// layerNorm reads (x - mean(x))/sqrt(mean((x - mean(x))²) + eps), perhaps times gamma and
// plus beta, with means over the last axes.
func (r *reader) layerNorm(n *gorgonia.Node) *match {
	var params []*gorgonia.Node
	at := n
	for _, want := range []string{"add", "mul"} {
		fn, x, y := r.binaryOf(at)
		if fn != want {
			continue
		}
		if want == "mul" && len(params) == 0 || want == "add" {
			if !r.repeats(y, n) {
				x, y = y, x
			}
			if !r.repeats(y, n) {
				return nil
			}
		} else if !r.repeats(y, n) {
			x, y = y, x
		}
		params, at = append(params, y), x
	}
	if len(params) == 1 {
		if fn, _, _ := r.binaryOf(n); fn == "add" {
			return nil // beta without gamma
		}
	}
	slices.Reverse(params) // gamma, beta
	fn, d, root := r.binaryOf(at)
	if fn != "div" || at != n && len(r.users[at]) != 1 {
		return nil
	}
	x, op, ok := r.centred(d, root)
	if !ok {
		return nil
	}
	shape := x.Shape()[op.Axis:]
	for _, p := range params {
		if !endsIn(p.Shape(), shape) {
			return nil
		}
	}
	return &match{out: n, args: append([]*gorgonia.Node{x}, params...), emit: func(e *emitter, in []*Value) (*Value, error) {
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

// endsIn reports whether a parameter has the given shape, behind any number of axes of
// size 1.
func endsIn(s, shape []int) bool {
	lead := len(s) - len(shape)
	return lead >= 0 && slices.Equal(s[lead:], shape) && product(s[:lead]) == 1
}

// repeats reports whether y is a parameter of a normalisation into n: smaller than it.
func (r *reader) repeats(y, n *gorgonia.Node) bool {
	return y != nil && y.Shape().TotalSize() < n.Shape().TotalSize()
}

// centred reads d = x - mean(x) and root = sqrt(mean(d²) + eps).
func (r *reader) centred(d, root *gorgonia.Node) (x *gorgonia.Node, op nn.LayerNorm, ok bool) {
	fn, x, mean := r.binaryOf(d)
	if fn != "sub" || len(r.users[d]) > 3 {
		return nil, op, false
	}
	of, axis, ok := r.lastMean(mean)
	if !ok || of != x {
		return nil, op, false
	}
	u, sum := r.unaryOf(root)
	if u.Fn != "sqrt" {
		return nil, op, false
	}
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
	squares, again, ok := r.lastMean(variance)
	if !ok || again != axis || !r.squareOf(squares, d) || !(c >= 0) {
		return nil, op, false
	}
	return x, nn.LayerNorm{Axis: axis, Eps: c}, true
}

// lastMean reads the mean of x over its last axes, from axis on, each of which stays with
// size 1.
func (r *reader) lastMean(n *gorgonia.Node) (x *gorgonia.Node, axis int, ok bool) {
	if _, is := ownOp(n).(nn.Reshape); !is {
		return nil, 0, false
	}
	shape := n.Shape()
	n = r.kids[n][0]
	o, is := ownOp(n).(nn.Reduce)
	if !is || o.Fn != "mean" {
		return nil, 0, false
	}
	x, axis = r.kids[n][0], o.Axes[0]
	rank := x.Shape().Dims()
	if len(o.Axes) != rank-axis || o.Axes[len(o.Axes)-1] != rank-1 || shape.Dims() != rank {
		return nil, 0, false
	}
	for i, s := range shape {
		if i < axis && s != x.Shape()[i] || i >= axis && s != 1 {
			return nil, 0, false
		}
	}
	return x, axis, true
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
