package qat

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/goqat/goqat/qat/qconfig"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// spelling is a way to write a linear layer on x, rows of examples unless columns is set.
type spelling struct {
	name    string
	columns bool // the examples stand side by side
	turned  bool // the weights are stored [out, in]
	layer   func(x *gorgonia.Node, name string, in, out int) *gorgonia.Node
}

func spellings() []spelling {
	rowBias := func(y *gorgonia.Node, name string, out int) *gorgonia.Node {
		return must(gorgonia.BroadcastAdd(y, param(y.Graph(), name+".bias", 1, out), nil, []byte{0}))
	}
	columnBias := func(y *gorgonia.Node, name string, out int) *gorgonia.Node {
		return must(gorgonia.BroadcastAdd(y, param(y.Graph(), name+".bias", out, 1), nil, []byte{1}))
	}
	weight := func(x *gorgonia.Node, name string, rows, columns int) *gorgonia.Node {
		return param(x.Graph(), name+".weight", rows, columns)
	}
	turn := func(x *gorgonia.Node) *gorgonia.Node { return must(gorgonia.Transpose(x, 1, 0)) }
	return []spelling{
		{"x·W", false, false, func(x *gorgonia.Node, name string, in, out int) *gorgonia.Node {
			return rowBias(must(gorgonia.Mul(x, weight(x, name, in, out))), name, out)
		}},
		{"x·Wᵀ", false, true, func(x *gorgonia.Node, name string, in, out int) *gorgonia.Node {
			return rowBias(must(gorgonia.Mul(x, turn(weight(x, name, out, in)))), name, out)
		}},
		{"bias first", false, false, func(x *gorgonia.Node, name string, in, out int) *gorgonia.Node {
			y := must(gorgonia.Mul(x, weight(x, name, in, out)))
			return must(gorgonia.BroadcastAdd(param(x.Graph(), name+".bias", 1, out), y, []byte{0}, nil))
		}},
		{"bias reshaped", false, false, func(x *gorgonia.Node, name string, in, out int) *gorgonia.Node {
			y := must(gorgonia.Mul(x, weight(x, name, in, out)))
			return must(gorgonia.BroadcastAdd(y, must(gorgonia.Reshape(param(x.Graph(), name+".bias", out), tensor.Shape{1, out})), nil, []byte{0}))
		}},
		{"tensordot", false, false, func(x *gorgonia.Node, name string, in, out int) *gorgonia.Node {
			return rowBias(must(gorgonia.Tensordot([]int{1}, []int{0}, x, weight(x, name, in, out))), name, out)
		}},
		{"tensordot, [out, in]", false, true, func(x *gorgonia.Node, name string, in, out int) *gorgonia.Node {
			return rowBias(must(gorgonia.Tensordot([]int{1}, []int{1}, x, weight(x, name, out, in))), name, out)
		}},
		{"W·x", true, true, func(x *gorgonia.Node, name string, in, out int) *gorgonia.Node {
			return columnBias(must(gorgonia.Mul(weight(x, name, out, in), x)), name, out)
		}},
		{"Wᵀ·x", true, false, func(x *gorgonia.Node, name string, in, out int) *gorgonia.Node {
			return columnBias(must(gorgonia.Mul(turn(weight(x, name, in, out)), x)), name, out)
		}},
		{"rows within columns", true, false, func(x *gorgonia.Node, name string, in, out int) *gorgonia.Node {
			return turn(rowBias(must(gorgonia.Mul(turn(x), weight(x, name, in, out))), name, out))
		}},
	}
}

// turnedOver is the transpose of a row-major matrix.
func turnedOver(x []float32, rows, columns int) []float32 {
	out := make([]float32, len(x))
	for i, v := range x {
		out[i%columns*rows+i/columns] = v
	}
	return out
}

// TestSpellings: a network of linear layers is the same one however it is written: what it
// computes after some steps, the weights, and what is frozen.
func TestSpellings(t *testing.T) {
	const batch, in, hidden, out = 6, 9, 17, 5
	var first [][]float32
	for _, s := range spellings() {
		t.Run(s.name, func(t *testing.T) {
			g := gorgonia.NewGraph()
			shape := []int{batch, in}
			if s.columns {
				slices.Reverse(shape)
			}
			x := leaf(g, "x", shape...)
			h := must(gorgonia.Tanh(relu(s.layer(x, "a", in, hidden))))
			y := s.layer(h, "b", hidden, out)
			if s.turned { // the numbers of the weights that lie the other way
				for name, rows := range map[string]int{"a.weight": in, "b.weight": hidden} {
					w := g.ByName(name)[0].Value().Data().([]float32)
					copy(w, turnedOver(w, rows, len(w)/rows))
				}
			}
			n := onlyPrepare(t, qconfig.Config{}, g, y)
			if text := n.m.Plan().String(); strings.Contains(text, "has no integer form") || strings.Contains(text, "left operand") || !strings.Contains(text, "any size") {
				t.Errorf("plan:\n%s", text)
			}
			// Each element alone gets its gradient, so that the order of a sum does not matter.
			n.cost = must(gorgonia.Sum(must(gorgonia.Square(n.node(y)))))
			if _, err := gorgonia.Grad(n.cost, n.m.Learnables()...); err != nil {
				t.Fatal(err)
			}
			vm, err := n.m.Machine(n.cost, n.node(y))
			if err != nil {
				t.Fatal(err)
			}
			var result []float32
			for i := range 3 {
				data := numbers(uint32(50+i), batch*in)
				if s.columns {
					data = turnedOver(data, batch, in)
				}
				if err := gorgonia.Let(n.node(x), dense(data, shape...)); err != nil {
					t.Fatal(err)
				}
				if err := vm.RunAll(); err != nil {
					t.Fatal(err)
				}
				result = slices.Clone(floats(t, n.node(y).Value()))
				if err := gorgonia.NewVanillaSolver(gorgonia.WithLearnRate(0.01)).Step(gorgonia.NodesToValueGrads(n.m.Learnables())); err != nil {
					t.Fatal(err)
				}
				vm.Reset()
				if err := n.m.Step(); err != nil {
					t.Fatal(err)
				}
			}
			got := [][]float32{result}
			if s.columns {
				got[0] = turnedOver(got[0], out, batch)
			}
			for name, rows := range map[string]int{"a.weight": hidden, "b.weight": out} {
				w := g.ByName(name)[0].Value().Data().([]float32)
				if s.turned {
					w = turnedOver(w, rows, len(w)/rows)
				}
				if name == "a.weight" {
					got = slices.Insert(got, 1, w)
				} else {
					got = append(got, w)
				}
			}
			if first == nil {
				first = got
			}
			for i, want := range first {
				if !slices.EqualFunc(got[i], want, func(a, b float32) bool { return math.Float32bits(a) == math.Float32bits(b) }) {
					t.Errorf("result %d (outputs, weights): %v, want %v", i, got[i], want)
				}
			}
			fz := n.freeze()
			n.verify(fz, n.batch(1, n.m.Batch()))
			n.verify(fz, n.batch(2, n.m.Batch()+3))
		})
	}
}
