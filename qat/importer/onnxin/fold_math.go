package onnxin

import (
	"fmt"
	"math"

	"github.com/goqat/goqat/internal/kern"
)

// pair is an operation on two numbers. Truth values are 0 and 1.
type pair struct {
	floats func(a, b float32) float32
	ints   func(a, b int64) (int64, error)
	truth  bool // the result is a truth value
}

func truth(v bool) int64 {
	if v {
		return 1
	}
	return 0
}

// compare is a comparison; for floats the result travels as 0 and 1.
func compare(floats func(a, b float32) bool, whole func(a, b int64) bool) pair {
	return pair{
		floats: func(a, b float32) float32 { return float32(truth(floats(a, b))) },
		ints:   func(a, b int64) (int64, error) { return truth(whole(a, b)), nil },
		truth:  true,
	}
}

func exact(fn func(a, b int64) int64) func(a, b int64) (int64, error) {
	return func(a, b int64) (int64, error) { return fn(a, b), nil }
}

var errZero = fmt.Errorf("%w: division by zero", ErrFormat)

var arithmetic = map[string]pair{
	"Add": {floats: func(a, b float32) float32 { return a + b }, ints: exact(func(a, b int64) int64 { return a + b })},
	"Sub": {floats: func(a, b float32) float32 { return a - b }, ints: exact(func(a, b int64) int64 { return a - b })},
	"Mul": {floats: func(a, b float32) float32 { return a * b }, ints: exact(func(a, b int64) int64 { return a * b })},
	"Div": {floats: func(a, b float32) float32 { return a / b }, ints: func(a, b int64) (int64, error) {
		if b == 0 {
			return 0, errZero
		}
		return a / b, nil
	}},
	"Mod": {floats: func(a, b float32) float32 { return float32(math.Mod(float64(a), float64(b))) }, ints: func(a, b int64) (int64, error) {
		if b == 0 {
			return 0, errZero
		}
		m := a % b
		if m != 0 && (m < 0) != (b < 0) {
			m += b // the sign of the divisor, as in Python
		}
		return m, nil
	}},
	"Pow": {floats: func(a, b float32) float32 { return float32(kern.PowOf(float64(a), float64(b))) },
		ints: exact(func(a, b int64) int64 { return truncated(kern.PowOf(float64(a), float64(b))) })},
	"Max":            {floats: func(a, b float32) float32 { return max(a, b) }, ints: exact(func(a, b int64) int64 { return max(a, b) })},
	"Min":            {floats: func(a, b float32) float32 { return min(a, b) }, ints: exact(func(a, b int64) int64 { return min(a, b) })},
	"Equal":          compare(func(a, b float32) bool { return a == b }, func(a, b int64) bool { return a == b }),
	"Less":           compare(func(a, b float32) bool { return a < b }, func(a, b int64) bool { return a < b }),
	"LessOrEqual":    compare(func(a, b float32) bool { return a <= b }, func(a, b int64) bool { return a <= b }),
	"Greater":        compare(func(a, b float32) bool { return a > b }, func(a, b int64) bool { return a > b }),
	"GreaterOrEqual": compare(func(a, b float32) bool { return a >= b }, func(a, b int64) bool { return a >= b }),
	"And":            compare(func(a, b float32) bool { return a != 0 && b != 0 }, func(a, b int64) bool { return a != 0 && b != 0 }),
	"Or":             compare(func(a, b float32) bool { return a != 0 || b != 0 }, func(a, b int64) bool { return a != 0 || b != 0 }),
}

// foldArithmetic computes two operands, or for Max and Min any number from one on.
func foldArithmetic(n *node) (*constant, error) {
	lo, hi := 2, 2
	if n.op == "Max" || n.op == "Min" {
		lo, hi = 1, math.MaxInt
	}
	if err := n.arity(lo, hi); err != nil {
		return nil, err
	}
	out, err := n.known(0)
	for i := 1; i < len(n.in) && err == nil; i++ {
		var c *constant
		if c, err = n.known(i); err == nil {
			out, err = n.pairwise(arithmetic[n.op], out, c)
		}
	}
	return out, err
}

func (n *node) pairwise(p pair, a, b *constant) (*constant, error) {
	if a.float != b.float {
		return nil, fmt.Errorf("%w: one operand is float, the other whole", ErrFormat)
	}
	shape, err := broadcast(a.shape, b.shape)
	if err != nil {
		return nil, err
	}
	out, err := n.newConstant(a.float && !p.truth, shape)
	if err != nil {
		return nil, err
	}
	sa, sb := repeating(a.shape, shape), repeating(b.shape, shape)
	for i := range out.size() {
		ia, ib := strided(i, shape, sa), strided(i, shape, sb)
		switch {
		case out.float:
			out.f[i] = p.floats(a.f[ia], b.f[ib])
		case a.float:
			out.i[i] = int64(p.floats(a.f[ia], b.f[ib]))
		default:
			if out.i[i], err = p.ints(a.i[ia], b.i[ib]); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// functions are those of one number. Of whole numbers there are only Neg and Abs.
var functions = map[string]func(float64) float64{
	"Neg": func(v float64) float64 { return -v }, "Abs": math.Abs, "Floor": math.Floor, "Ceil": math.Ceil, "Sqrt": math.Sqrt,
	"Exp": kern.ExpOf, "Log": kern.LogOf, "Reciprocal": func(v float64) float64 { return 1 / v },
}

func foldFunction(n *node) (*constant, error) {
	if err := n.arity(1, 1); err != nil {
		return nil, err
	}
	c, err := n.known(0)
	if err != nil {
		return nil, err
	}
	if !c.float && n.op != "Neg" && n.op != "Abs" {
		return nil, fmt.Errorf("%w: %s of whole numbers", ErrFormat, n.op)
	}
	out, err := n.newConstant(c.float, c.shape)
	if err != nil {
		return nil, err
	}
	for i, v := range c.f {
		out.f[i] = float32(functions[n.op](float64(v)))
	}
	for i, v := range c.i {
		if n.op == "Neg" || v < 0 {
			v = -v
		}
		out.i[i] = v
	}
	return out, nil
}

func foldNot(n *node) (*constant, error) {
	if err := n.arity(1, 1); err != nil {
		return nil, err
	}
	c, err := n.known(0)
	if err != nil {
		return nil, err
	}
	if c.float {
		return nil, fmt.Errorf("%w: not a truth value", ErrFormat)
	}
	out, err := n.newConstant(false, c.shape)
	if err != nil {
		return nil, err
	}
	for i, v := range c.i {
		out.i[i] = truth(v == 0)
	}
	return out, nil
}
