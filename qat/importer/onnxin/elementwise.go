package onnxin

import (
	"fmt"
	"math"
	"slices"

	"github.com/goqat/goqat/internal/nn"
	"gorgonia.org/gorgonia"
)

var binaries = map[string]string{"Add": "add", "Sub": "sub", "Mul": "mul", "Div": "div", "Pow": "pow", "Min": "min", "Max": "max"}

// comparisons and the operators on truth values, which are 0 and 1.
var (
	comparisons = map[string]string{"Less": "less", "LessOrEqual": "less_equal", "Greater": "greater", "GreaterOrEqual": "greater_equal", "Equal": "equal"}
	logic       = map[string]string{"And": "min", "Or": "max", "Xor": "not_equal"}
)

// truthOf is a comparison or an operation on truth values: numbers 0 and 1 that count as
// whole.
func truthOf(n *node) error {
	in, err := n.all(2, 2)
	if err != nil {
		return err
	}
	fn := comparisons[n.op]
	if fn == "" {
		fn = logic[n.op]
	}
	y, err := n.apply(nn.Binary{Fn: fn}, in...)
	return n.setTruth(y, err)
}

func not(n *node) error {
	in, err := n.all(1, 1)
	if err != nil {
		return err
	}
	y, err := n.apply(nn.Binary{Fn: "equal"}, in[0], n.single(0))
	return n.setTruth(y, err)
}

// where chooses between two tensors; the condition is of truth values.
func where(n *node) error {
	in, err := n.all(3, 3)
	if err != nil {
		return err
	}
	y, err := n.apply(nn.Where{}, in...)
	if err := n.set(0, y, err); err != nil {
		return err
	}
	n.b.values[n.pb.Output[0]].whole = n.in[1].whole || n.in[2].whole
	return nil
}

func pairOf(n *node) error {
	in, err := n.all(2, 2)
	if err != nil {
		return err
	}
	if n.op == "Pow" && n.in[1].known() && !n.in[1].isParam() {
		if done, err := n.simplePower(in[0]); done {
			return err
		}
	}
	y, err := n.apply(nn.Binary{Fn: binaries[n.op]}, in...)
	return n.set(0, y, err)
}

// simplePower turns the common constant exponents into functions of their own.
func (n *node) simplePower(x *gorgonia.Node) (bool, error) {
	c, err := n.b.constant(n.in[1])
	if err != nil || c.size() != 1 || len(c.shape) > x.Shape().Dims() {
		return false, nil
	}
	e, err := c.floats()
	if err != nil {
		return false, nil
	}
	fn, ok := map[float32]string{2: "square", 3: "cube", 0.5: "sqrt", -1: "inv", -0.5: "inv_sqrt"}[e[0]]
	if !ok {
		return false, nil
	}
	y, err := n.apply(nn.Unary{Fn: fn}, x)
	return true, n.set(0, y, err)
}

// sum adds, or averages, any number of operands.
func sum(n *node) error {
	in, err := n.all(1, math.MaxInt)
	if err != nil {
		return err
	}
	y := in[0]
	for _, x := range in[1:] {
		if y, err = n.apply(nn.Binary{Fn: "add"}, y, x); err != nil {
			return err
		}
	}
	if n.op == "Mean" {
		y, err = n.scaled(y, 1/float64(len(in)))
	}
	return n.set(0, y, err)
}

// limit is Max or Min: numbers become one clip, tensors are compared one after the other.
func limit(n *node) error {
	var y *gorgonia.Node
	clip, numbers := nn.Unary{Fn: "clip", Min: -math.MaxFloat32, Max: math.MaxFloat32}, false
	for i, v := range n.in {
		if v != nil && v.known() && !v.isParam() {
			c, err := n.b.constant(v)
			if err != nil {
				return err
			}
			if c.size() == 1 && len(c.shape) <= 1 {
				at, err := n.number(i, "", 0)
				if err != nil {
					return err
				}
				at, numbers = finite(at), true
				if n.op == "Max" {
					clip.Min = max(clip.Min, at)
				} else {
					clip.Max = min(clip.Max, at)
				}
				continue
			}
		}
		x, err := n.data(i)
		if err == nil && y != nil {
			x, err = n.apply(nn.Binary{Fn: binaries[n.op]}, y, x)
		}
		if err != nil {
			return err
		}
		y = x
	}
	if y == nil {
		return fmt.Errorf("%w: no operands", ErrFormat)
	}
	if !numbers {
		if len(n.in) == 1 {
			return n.b.alias(n, n.in[0])
		}
		return n.set(0, y, nil)
	}
	y, err := n.apply(clipOp(clip), y)
	return n.set(0, y, err)
}

// clipOp is a clip, or the ReLU that it is.
func clipOp(u nn.Unary) nn.Unary {
	if u.Min == 0 && u.Max == math.MaxFloat32 {
		return nn.Unary{Fn: "relu"}
	}
	return u
}

// finite replaces infinities by the largest numbers of their sign.
func finite(v float64) float64 { return min(max(v, -math.MaxFloat32), math.MaxFloat32) }

// unaries are the functions of one tensor. Each adds its layers and returns the last.
var unaries = map[string]func(*node, *gorgonia.Node) (*gorgonia.Node, error){
	"Relu": plain("relu"), "Sigmoid": plain("sigmoid"), "Tanh": plain("tanh"), "Exp": plain("exp"), "Log": plain("log"),
	"Sqrt": plain("sqrt"), "Neg": plain("neg"), "Abs": plain("abs"), "Sign": plain("sign"), "Floor": plain("floor"), "Ceil": plain("ceil"),
	"Sin": plain("sin"), "Cos": plain("cos"), "Reciprocal": plain("inv"), "Softplus": plain("softplus"), "Erf": plain("erf"),
	"LeakyRelu": func(n *node, x *gorgonia.Node) (*gorgonia.Node, error) {
		return n.apply(nn.Unary{Fn: "leaky_relu", Alpha: n.float("alpha", 0.01)}, x)
	},
	"Clip": clip,
	"HardSigmoid": func(n *node, x *gorgonia.Node) (*gorgonia.Node, error) {
		return n.apply(hardSigmoid(n), x)
	},
	"HardSwish": plain("hard_swish"),
	"Swish": func(n *node, x *gorgonia.Node) (*gorgonia.Node, error) {
		alpha := n.float("alpha", 1)
		if alpha == 1 {
			return n.apply(nn.Unary{Fn: "silu"}, x)
		}
		s, err := n.scaled(x, alpha)
		return n.times(x)(n.then(s, err, "sigmoid"))
	},
	"Mish": func(n *node, x *gorgonia.Node) (*gorgonia.Node, error) {
		s, err := n.apply(nn.Unary{Fn: "softplus"}, x)
		return n.times(x)(n.then(s, err, "tanh"))
	},
	"Softsign": func(n *node, x *gorgonia.Node) (*gorgonia.Node, error) {
		a, err := n.apply(nn.Unary{Fn: "abs"}, x)
		if err == nil {
			a, err = n.apply(nn.Binary{Fn: "add"}, a, n.single(1))
		}
		if err != nil {
			return nil, err
		}
		return n.apply(nn.Binary{Fn: "div"}, x, a)
	},
	"Elu": func(n *node, x *gorgonia.Node) (*gorgonia.Node, error) {
		return n.apply(elu(n), x)
	},
	"Selu": func(n *node, x *gorgonia.Node) (*gorgonia.Node, error) {
		gamma := n.float("gamma", 1.05070102214813232421875)
		return n.exponential(x, n.float("alpha", 1.67326319217681884765625), 1, gamma)
	},
	"Celu": func(n *node, x *gorgonia.Node) (*gorgonia.Node, error) {
		alpha := n.float("alpha", 1)
		return n.exponential(x, alpha, 1/alpha, 1)
	},
	"Gelu":   gelu,
	"Shrink": shrink, "ThresholdedRelu": thresholded,
}

func unary(n *node) error {
	hi := 1
	if n.op == "Clip" {
		hi = 3
	}
	if err := n.arity(1, hi); err != nil {
		return err
	}
	x, err := n.data(0)
	if err != nil {
		return err
	}
	y, err := unaries[n.op](n, x)
	return n.set(0, y, err)
}

func plain(fn string) func(*node, *gorgonia.Node) (*gorgonia.Node, error) {
	return func(n *node, x *gorgonia.Node) (*gorgonia.Node, error) { return n.apply(nn.Unary{Fn: fn}, x) }
}

// times multiplies a step that may have failed with x.
func (n *node) times(x *gorgonia.Node) func(*gorgonia.Node, error) (*gorgonia.Node, error) {
	return func(y *gorgonia.Node, err error) (*gorgonia.Node, error) {
		if err != nil {
			return nil, err
		}
		return n.apply(nn.Binary{Fn: "mul"}, x, y)
	}
}

func clip(n *node, x *gorgonia.Node) (*gorgonia.Node, error) {
	lo, err := n.number(1, "min", -math.MaxFloat32)
	if err != nil {
		return nil, err
	}
	hi, err := n.number(2, "max", math.MaxFloat32)
	if err != nil {
		return nil, err
	}
	lo, hi = finite(lo), finite(hi)
	return n.apply(clipOp(nn.Unary{Fn: "clip", Min: min(lo, hi), Max: hi}), x)
}

// hardSigmoid and elu have settings that the operator's attributes give.
func hardSigmoid(n *node) nn.Unary {
	return nn.Unary{Fn: "hard_sigmoid", Alpha: n.float("alpha", 0.2), Beta: n.float("beta", 0.5)}
}

func elu(n *node) nn.Unary { return nn.Unary{Fn: "elu", Alpha: n.float("alpha", 1)} }

// exponential is gamma·(max(x, 0) + alpha·(exp(slope·min(x, 0)) - 1)).
func (n *node) exponential(x *gorgonia.Node, alpha, slope, gamma float64) (*gorgonia.Node, error) {
	low, err := n.apply(nn.Unary{Fn: "clip", Min: -math.MaxFloat32}, x)
	if err == nil {
		low, err = n.scaled(low, slope)
	}
	if low, err = n.then(low, err, "expm1"); err == nil {
		low, err = n.scaled(low, alpha)
	}
	if err != nil {
		return nil, err
	}
	high, err := n.apply(nn.Unary{Fn: "relu"}, x)
	if err == nil {
		high, err = n.apply(nn.Binary{Fn: "add"}, high, low)
	}
	if err != nil {
		return nil, err
	}
	return n.scaled(high, gamma)
}

// geluOf is x·Φ(x), or its approximation with tanh (Hendrycks and Gimpel 2016).
func geluOf(n *node) (nn.Unary, error) {
	switch mode := n.string("approximate", "none"); mode {
	case "none":
		return nn.Unary{Fn: "gelu"}, nil
	case "tanh":
		return nn.Unary{Fn: "gelu_tanh"}, nil
	default:
		return nn.Unary{}, fmt.Errorf("%w: approximate %q", ErrFormat, mode)
	}
}

func gelu(n *node, x *gorgonia.Node) (*gorgonia.Node, error) {
	u, err := geluOf(n)
	if err != nil {
		return nil, err
	}
	return n.apply(u, x)
}

// perChannel stands a vector of one slope a channel behind axis 1, where it does not
// broadcast as it is.
func (n *node) perChannel(slope *gorgonia.Node, x []int) (*gorgonia.Node, error) {
	if s := slope.Shape(); s.Dims() != 1 || len(x) < 3 || s[0] != x[1] || s[0] == 1 || s[0] == x[len(x)-1] {
		return slope, nil
	}
	return n.apply(nn.Reshape{Shape: append([]int{x[1]}, slices.Repeat([]int{1}, len(x)-2)...)}, slope)
}

// prelu is max(x, 0) + slope·min(x, 0).
func prelu(n *node) error {
	if err := n.arity(2, 2); err != nil {
		return err
	}
	x, err := n.data(0)
	if err != nil {
		return err
	}
	slope, err := n.param(1)
	if err == nil {
		slope, err = n.perChannel(slope, x.Shape())
	}
	if err != nil {
		return err
	}
	low, err := n.apply(nn.Unary{Fn: "clip", Min: -math.MaxFloat32}, x)
	if err == nil {
		low, err = n.apply(nn.Binary{Fn: "mul"}, low, slope)
	}
	if err != nil {
		return err
	}
	high, err := n.apply(nn.Unary{Fn: "relu"}, x)
	if err == nil {
		high, err = n.apply(nn.Binary{Fn: "add"}, high, low)
	}
	return n.set(0, high, err)
}

// shrink moves numbers beyond ±lambd towards 0 by bias and makes the others 0.
func shrink(n *node, x *gorgonia.Node) (*gorgonia.Node, error) {
	bias, lambda := n.float("bias", 0), n.float("lambd", 0.5)
	c := &chain{n: n}
	above, below := c.pair("greater", x, n.single(lambda)), c.pair("less", x, n.single(-lambda))
	moved := x
	if bias != 0 {
		moved = c.pair("sub", x, c.apply(nn.Binary{Fn: "mul"}, c.pair("sub", above, below), n.single(bias)))
	}
	y := c.pair("mul", moved, c.pair("add", above, below))
	return y, c.err
}

// thresholded is x above alpha, else 0.
func thresholded(n *node, x *gorgonia.Node) (*gorgonia.Node, error) {
	c := &chain{n: n}
	y := c.pair("mul", x, c.pair("greater", x, n.single(n.float("alpha", 1))))
	return y, c.err
}
