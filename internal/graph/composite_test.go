package graph

import (
	"fmt"
	"math"
	"testing"

	"github.com/goqat/goqat/internal/nn"
	"github.com/goqat/goqat/internal/ops"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// spelling writes a function of x with several ops, goqat's or Gorgonia's.
type spelling struct {
	t    *testing.T
	g    *gorgonia.ExprGraph
	own  bool
	more []*gorgonia.Node // further outputs
}

func (s spelling) must(n *gorgonia.Node, err error) *gorgonia.Node {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

func (s spelling) c(v float64) *gorgonia.Node {
	return gorgonia.NewConstant(float32(v), gorgonia.In(s.g), gorgonia.WithName(fmt.Sprint("c ", v)))
}

func (s spelling) bin(fn string, x, y *gorgonia.Node) *gorgonia.Node {
	s.t.Helper()
	if s.own {
		return s.must(ops.Apply(nn.Binary{Fn: fn}, x, y))
	}
	stock := map[string]func(a, b *gorgonia.Node) (*gorgonia.Node, error){"add": gorgonia.Add, "sub": gorgonia.Sub,
		"mul": gorgonia.HadamardProd, "div": gorgonia.HadamardDiv, "pow": gorgonia.Pow}[fn]
	if fn == "mul" && (x.Shape().Dims() == 0 || y.Shape().Dims() == 0) {
		stock = gorgonia.Mul
	}
	return s.must(stock(x, y))
}

func (s spelling) un(u nn.Unary, x *gorgonia.Node) *gorgonia.Node {
	s.t.Helper()
	if stock := map[string]func(*gorgonia.Node) (*gorgonia.Node, error){"sigmoid": gorgonia.Sigmoid, "tanh": gorgonia.Tanh, "cube": gorgonia.Cube}[u.Fn]; !s.own && stock != nil {
		return s.must(stock(x))
	}
	return s.must(ops.Apply(u, x))
}

func (s spelling) fn(fn string, x *gorgonia.Node) *gorgonia.Node {
	s.t.Helper()
	return s.un(nn.Unary{Fn: fn}, x)
}

var rootPi = math.Sqrt(2 / math.Pi)

// TestComposites: functions that are spelled out become one layer, however they are
// written, and what only looks like one of them does not.
func TestComposites(t *testing.T) {
	type node = gorgonia.Node
	cases := []struct {
		name string
		want string // "" for none
		f    func(s *spelling, x *node) *node
	}{
		{"silu", "silu", func(s *spelling, x *node) *node { return s.bin("mul", x, s.fn("sigmoid", x)) }},
		{"silu, turned", "silu", func(s *spelling, x *node) *node { return s.bin("mul", s.fn("sigmoid", x), x) }},
		{"a gate of another tensor", "", func(s *spelling, x *node) *node { return s.bin("mul", x, s.fn("sigmoid", s.fn("cube", x))) }},
		{"a scaled gate", "", func(s *spelling, x *node) *node {
			return s.bin("mul", x, s.bin("mul", s.fn("sigmoid", x), s.c(2)))
		}},
		{"a gate that others read", "", func(s *spelling, x *node) *node {
			gate := s.fn("sigmoid", x)
			return s.bin("add", s.bin("mul", x, gate), gate)
		}},
		{"a gate that is asked for", "", func(s *spelling, x *node) *node {
			gate := s.fn("sigmoid", x)
			s.more = append(s.more, gate)
			return s.bin("mul", x, gate)
		}},
		{"gelu as PyTorch exports it", "gelu", func(s *spelling, x *node) *node {
			e := s.fn("erf", s.bin("div", x, s.c(math.Sqrt2)))
			return s.bin("mul", s.bin("mul", x, s.bin("add", e, s.c(1))), s.c(0.5))
		}},
		{"gelu as Core ML Tools writes it", "gelu", func(s *spelling, x *node) *node {
			e := s.fn("erf", s.bin("mul", s.c(1/math.Sqrt2), x))
			return s.bin("mul", s.bin("mul", s.c(0.5), x), s.bin("add", s.c(1), e))
		}},
		{"gelu, halved last", "gelu", func(s *spelling, x *node) *node {
			e := s.fn("erf", s.bin("div", x, s.c(math.Sqrt2)))
			return s.bin("div", s.bin("mul", s.bin("add", e, s.c(1)), x), s.c(2))
		}},
		{"gelu of another width", "", func(s *spelling, x *node) *node {
			e := s.fn("erf", s.bin("div", x, s.c(1.5)))
			return s.bin("mul", s.bin("mul", x, s.bin("add", e, s.c(1))), s.c(0.5))
		}},
		{"gelu by tanh", "gelu_tanh", func(s *spelling, x *node) *node {
			in := s.bin("mul", s.bin("add", x, s.bin("mul", s.c(0.044715), s.fn("cube", x))), s.c(rootPi))
			return s.bin("mul", s.bin("mul", x, s.c(0.5)), s.bin("add", s.fn("tanh", in), s.c(1)))
		}},
		{"gelu by tanh, with products", "gelu_tanh", func(s *spelling, x *node) *node {
			cube := s.bin("mul", s.bin("mul", x, x), x)
			in := s.bin("mul", s.c(rootPi), s.bin("add", s.bin("mul", cube, s.c(0.044715)), x))
			return s.bin("mul", s.bin("mul", s.bin("add", s.c(1), s.fn("tanh", in)), x), s.c(0.5))
		}},
		{"gelu by tanh of a square", "", func(s *spelling, x *node) *node {
			in := s.bin("mul", s.bin("add", x, s.bin("mul", s.c(0.044715), s.bin("mul", x, x))), s.c(rootPi))
			return s.bin("mul", s.bin("mul", x, s.c(0.5)), s.bin("add", s.fn("tanh", in), s.c(1)))
		}},
		{"hard-swish", "hard_swish", func(s *spelling, x *node) *node {
			gate := s.un(nn.Unary{Fn: "clip", Max: 6}, s.bin("add", x, s.c(3)))
			return s.bin("div", s.bin("mul", x, gate), s.c(6))
		}},
		{"hard-swish by hard-sigmoid", "hard_swish", func(s *spelling, x *node) *node {
			return s.bin("mul", x, s.un(nn.Unary{Fn: "hard_sigmoid", Alpha: 1.0 / 6, Beta: 0.5}, x))
		}},
		{"hard-swish of another offset", "", func(s *spelling, x *node) *node {
			gate := s.un(nn.Unary{Fn: "clip", Max: 6}, s.bin("add", x, s.c(2)))
			return s.bin("div", s.bin("mul", x, gate), s.c(6))
		}},
	}
	for _, c := range cases {
		for _, own := range []bool{true, false} {
			t.Run(map[bool]string{true: "own ", false: "stock "}[own]+c.name, func(t *testing.T) {
				g := gorgonia.NewGraph()
				s := &spelling{t: t, g: g, own: own}
				x := gorgonia.NewMatrix(g, tensor.Float32, gorgonia.WithName("x"), gorgonia.WithShape(2, 3))
				y := c.f(s, s.fn("exp", x))
				net, err := Read(g, append([]*gorgonia.Node{y}, s.more...), Options{})
				if err != nil {
					t.Fatal(err)
				}
				found := ""
				for _, l := range net.Layers {
					switch l.Kind() {
					case "silu", "gelu", "gelu_tanh", "hard_swish":
						found = l.Kind()
					}
				}
				if found != c.want {
					t.Errorf("found %q, want %q among %d layers", found, c.want, len(net.Layers))
				}
				if c.want != "" && len(net.Layers) != 2 {
					t.Errorf("%d layers, want two", len(net.Layers))
				}
			})
		}
	}
}
