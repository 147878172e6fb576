package graph

import (
	"math"

	"github.com/goqat/goqat/internal/nn"
	"gorgonia.org/gorgonia"
)

// Which functions of one tensor are spelled out with several ops? They become one layer
// each, whoever wrote the ops: one pass over memory, one tensor kept for the gradient, and
// in a quantized network rounding at the borders only.

func init() {
	composites = append(composites, (*reader).gatedUnit)
}

// inner reports whether a pattern may hide n: a result that only one node reads and
// nobody asked for.
func (r *reader) inner(n *gorgonia.Node) bool {
	return !isLeaf(n) && !isConst(n) && len(r.users[n]) == 1 && !r.asked[n]
}

// product takes a product apart: the tensors that are multiplied, each behind inner
// nodes only, and the factor of all numbers.
func (r *reader) product(n *gorgonia.Node) (tensors []*gorgonia.Node, factor float64) {
	factor = 1
	var take func(n *gorgonia.Node, whole bool)
	take = func(n *gorgonia.Node, whole bool) {
		fn, x, y := r.binaryOf(n)
		if c, ok := r.number(n); ok {
			factor *= c
			return
		}
		if whole || r.inner(n) {
			if c, ok := r.numberOf(y); ok && fn == "div" {
				factor /= c
				take(x, false)
				return
			}
			if fn == "mul" {
				take(x, false)
				take(y, false)
				return
			}
		}
		tensors = append(tensors, n)
	}
	take(n, true)
	return tensors, factor
}

// plus reads x + number, in either order.
func (r *reader) plus(n *gorgonia.Node) (x *gorgonia.Node, c float64) {
	fn, a, b := r.binaryOf(n)
	if fn != "add" {
		return nil, 0
	}
	if c, ok := r.number(b); ok {
		return a, c
	}
	if c, ok := r.number(a); ok {
		return b, c
	}
	return nil, 0
}

// near says that a number of the graph, rounded to float32 perhaps more than once, is v.
func near(c, v float64) bool { return math.Abs(c-v) <= numberError*math.Abs(v) }

// numberError is the relative error of a product of some numbers in float32, each of which
// is off by at most 2^-24.
const numberError = 1e-6

// gatedUnit reads activations that multiply their operand with a function of it: SiLU
// (x·sigmoid(x), Elfwing et al. 2018), GELU (x·Φ(x), Hendrycks and Gimpel 2016, by erf or
// by its approximation with tanh) and hard-swish (x·clip(x+3, 0, 6)/6, Howard et al. 2019).
func (r *reader) gatedUnit(n *gorgonia.Node) *match {
	if fn, _, _ := r.binaryOf(n); fn != "mul" && fn != "div" {
		return nil
	}
	tensors, factor := r.product(n)
	if len(tensors) != 2 {
		return nil
	}
	for _, p := range [][2]*gorgonia.Node{{tensors[0], tensors[1]}, {tensors[1], tensors[0]}} {
		x, gate := p[0], p[1]
		if !r.inner(gate) || !n.Shape().Eq(x.Shape()) {
			continue
		}
		if fn := r.gate(gate, x, factor); fn != "" {
			return simple(n, nn.Unary{Fn: fn}, x)
		}
	}
	return nil
}

// gate names the activation that is factor·x·gate, "" for none.
func (r *reader) gate(gate, x *gorgonia.Node, factor float64) string {
	u, of := r.unaryOf(gate)
	switch {
	case u.Fn == "sigmoid" && of == x && factor == 1:
		return "silu"
	case u.Fn == "clip" && u.Min == 0 && u.Max == 6 && near(factor, 1.0/6):
		if y, c := r.plus(of); y == x && c == 3 && r.inner(of) {
			return "hard_swish"
		}
	case u.Fn == "hard_sigmoid" && of == x && factor == 1 && near(u.Alpha, 1.0/6) && near(u.Beta, 0.5):
		return "hard_swish"
	}
	inside, c := r.plus(gate)
	if inside == nil || c != 1 || factor != 0.5 || !r.inner(inside) {
		return ""
	}
	switch u, of := r.unaryOf(inside); u.Fn {
	case "erf":
		if t, f := r.product(of); len(t) == 1 && t[0] == x && near(f, 1/math.Sqrt2) && r.inner(of) {
			return "gelu"
		}
	case "tanh":
		if r.inner(of) && r.geluTanh(of, x) {
			return "gelu_tanh"
		}
	}
	return ""
}

// geluTanh reads √(2/π)·(x + 0.044715·x³).
func (r *reader) geluTanh(n, x *gorgonia.Node) bool {
	t, f := r.product(n)
	if len(t) != 1 || !near(f, math.Sqrt(2/math.Pi)) || !r.inner(t[0]) {
		return false
	}
	fn, a, b := r.binaryOf(t[0])
	if fn != "add" {
		return false
	}
	if b == x {
		a, b = b, a
	}
	return a == x && r.cubed(b, x, 0.044715)
}

// cubed reads factor·x³.
func (r *reader) cubed(n, x *gorgonia.Node, factor float64) bool {
	if !r.inner(n) {
		return false
	}
	t, f := r.product(n)
	if !near(f, factor) {
		return false
	}
	times := 0
	for _, v := range t {
		u, of := r.unaryOf(v)
		fn, base, power := r.binaryOf(v)
		switch c, _ := r.numberOf(power); {
		case v == x:
			times++
		case u.Fn == "square" && of == x && r.inner(v):
			times += 2
		case u.Fn == "cube" && of == x && r.inner(v):
			times += 3
		case fn == "pow" && base == x && (c == 2 || c == 3) && r.inner(v):
			times += int(c)
		default:
			return false
		}
	}
	return times == 3
}
