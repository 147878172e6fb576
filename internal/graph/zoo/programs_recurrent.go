package zoo

import (
	"fmt"

	"gorgonia.org/gorgonia"
)

const steps = 3 // of unrolled networks

// cell is a recurrent cell: how it multiplies weights with its operands is the program's
// business.
type cell struct {
	b      *build
	left   bool // weights stand on the left
	hidden int
}

// product is x·W, or W·x.
func (c cell) product(name string, x *gorgonia.Node, out int) *gorgonia.Node {
	if c.left {
		return mul(c.b.again(name, out, x.Shape()[0]), x)
	}
	return mul(x, c.b.again(name, x.Shape()[1], out))
}

// again is a parameter that was made before under that name, or a new one.
func (b *build) again(name string, shape ...int) *gorgonia.Node {
	for _, w := range b.Learnables {
		if w.Name() == name {
			return w
		}
	}
	return b.param(name, shape...)
}

// gate is x·W + h·U + b; rows of a batch share the bias.
func (c cell) gate(name string, x, h *gorgonia.Node) *gorgonia.Node {
	y := add(c.product("W"+name, x, c.hidden), c.product("U"+name, h, c.hidden))
	switch {
	case y.Dims() == 1:
		return add(y, c.b.again("b"+name, c.hidden))
	case c.left:
		return wide(y, c.b.again("b"+name, c.hidden, 1), 1)
	}
	return wide(y, c.b.again("b"+name, 1, c.hidden), 0)
}

func (c cell) rnn(x, h *gorgonia.Node) *gorgonia.Node { return tanh(c.gate("h", x, h)) }

func (c cell) lstm(x, h, s *gorgonia.Node) (hidden, state *gorgonia.Node) {
	i, f, o := sigmoid(c.gate("i", x, h)), sigmoid(c.gate("f", x, h)), sigmoid(c.gate("o", x, h))
	state = add(had(f, s), had(i, tanh(c.gate("c", x, h))))
	return had(o, tanh(state)), state
}

func (c cell) gru(x, h *gorgonia.Node) *gorgonia.Node {
	z, r := sigmoid(c.gate("z", x, h)), sigmoid(c.gate("r", x, h))
	n := tanh(c.gate("n", x, had(r, h)))
	return add(had(sub(k(1), z), n), had(z, h))
}

// at is step t of a tensor with time as its first or second axis.
func at(x *gorgonia.Node, axis, t int) *gorgonia.Node {
	if axis == 0 {
		return slice(x, gorgonia.S(t))
	}
	return slice(x, nil, gorgonia.S(t))
}

// unrolled are recurrent networks with time on the given axis of their input, or as one
// input a step in networks with features first.
func unrolled(kind, layout string) Case {
	const batch, features, hidden, classes = 3, 4, 5, 2
	build := func() *Model {
		b := start()
		c := cell{b: b, hidden: hidden, left: layout == "features_first"}
		var xs []*gorgonia.Node
		stateShape := []int{batch, hidden}
		switch layout {
		case "batch_first", "time_first":
			axis, shape := 1, []int{batch, steps, features}
			if layout == "time_first" {
				axis, shape = 0, []int{steps, batch, features}
			}
			x := b.input("x", shape...)
			for t := range steps {
				xs = append(xs, at(x, axis, t))
			}
		default:
			stateShape = []int{hidden, batch}
			for t := range steps {
				xs = append(xs, b.input(fmt.Sprint("x", t), features, batch))
			}
		}
		h := b.state("h0", stateShape...)
		s := h
		if kind == "lstm" {
			s = b.state("c0", stateShape...)
		}
		for _, x := range xs {
			switch kind {
			case "rnn":
				h = c.rnn(x, h)
			case "lstm":
				h, s = c.lstm(x, h, s)
			default:
				h = c.gru(x, h)
			}
		}
		return b.end(c.product("V", h, classes))
	}
	axis := map[string]int{"time_first": 1, "features_first": 1}[layout]
	return Case{Name: kind + "_" + layout, Build: build, BatchAxis: axis}
}

// recurrent are unrolled networks.
func recurrent() []Case {
	var all []Case
	for _, kind := range []string{"rnn", "lstm", "gru"} {
		for _, layout := range []string{"batch_first", "time_first", "features_first"} {
			all = append(all, unrolled(kind, layout))
		}
	}
	return append(all, []Case{
		{Name: "char_rnn", Asked: true, FixedBatch: true, Build: func() *Model {
			// A column of features, weights left of the state, embeddings taken by number.
			b := start()
			c := cell{b: b, hidden: 8, left: true}
			h, s := b.state("prevHidden", 8), b.state("prevCell", 8)
			var cost *gorgonia.Node
			var probs []*gorgonia.Node
			for _, char := range []int{0, 4, 2} {
				h, s = c.lstm(slice(b.again("Embedding", 5, 4), gorgonia.S(char)), h, s)
				p := softmax(add(c.product("whd", h, 5), b.again("bias_d", 5)))
				probs = append(probs, p)
				loss := slice(must(gorgonia.Neg(must(gorgonia.Log(p)))), gorgonia.S((char+1)%5))
				if cost != nil {
					loss = add(cost, loss)
				}
				cost = loss
			}
			return b.with(cost, probs...)
		}},
		{Name: "char_rnn_one_hot", FixedBatch: true, Build: func() *Model {
			b := start()
			c := cell{b: b, hidden: 8, left: true}
			h := b.state("h0", 8)
			var logits []*gorgonia.Node
			for t := range steps {
				h = c.rnn(b.input(fmt.Sprint("x", t), 4), h)
				logits = append(logits, c.product("V", h, 4))
			}
			return b.end(logits...)
		}},
		{Name: "lstm_state_as_input", Build: func() *Model {
			b := start()
			c := cell{b: b, hidden: 5}
			x := b.input("x", 3, steps, 4)
			h, s := b.input("h0", 3, 5), b.input("c0", 3, 5)
			for t := range steps {
				h, s = c.lstm(at(x, 1, t), h, s)
			}
			return b.end(c.product("V", h, 2), h, s)
		}},
		{Name: "rnn_learned_state", Asked: true, Build: func() *Model {
			b := start()
			c := cell{b: b, hidden: 8}
			h := b.param("h0", 1, 8)
			for t := range steps {
				h = c.rnn(b.input(fmt.Sprint("x", t), 1, 4), h)
			}
			return b.end(c.product("V", h, 2))
		}},
		{Name: "lstm_joined_gates", Build: func() *Model {
			// One product for the four gates, as fast programs write it.
			b := start()
			const hidden = 4
			x, h, s := b.input("x", 3, steps, 4), b.state("h0", 3, hidden), b.state("c0", 3, hidden)
			w, u, bias := b.param("W", 4, 4*hidden), b.param("U", hidden, 4*hidden), b.param("b", 1, 4*hidden)
			for t := range steps {
				a := wide(add(mul(at(x, 1, t), w), mul(h, u)), bias, 0)
				gate := func(i int) *gorgonia.Node { return slice(a, nil, gorgonia.S(i*hidden, (i+1)*hidden)) }
				s = add(had(sigmoid(gate(0)), s), had(sigmoid(gate(1)), tanh(gate(2))))
				h = had(sigmoid(gate(3)), tanh(s))
			}
			return b.end(mul(h, b.param("V", hidden, 2)))
		}},
		{Name: "lstm_joined_operands", Build: func() *Model {
			// One product for x and h, which are concatenated.
			b := start()
			const hidden = 4
			x, h, s := b.input("x", 3, steps, 4), b.state("h0", 3, hidden), b.state("c0", 3, hidden)
			gate := func(name string, xh *gorgonia.Node) *gorgonia.Node {
				return wide(mul(xh, b.again("W"+name, 4+hidden, hidden)), b.again("b"+name, 1, hidden), 0)
			}
			for t := range steps {
				xh := concat(1, at(x, 1, t), h)
				s = add(had(sigmoid(gate("f", xh)), s), had(sigmoid(gate("i", xh)), tanh(gate("c", xh))))
				h = had(sigmoid(gate("o", xh)), tanh(s))
			}
			return b.end(mul(h, b.param("V", hidden, 2)))
		}},
		{Name: "bilstm", Build: func() *Model {
			b := start()
			x := b.input("x", 3, steps, 4)
			var ends []*gorgonia.Node
			for _, way := range []string{"forward", "backward"} {
				one := &build{Model: &Model{Graph: b.Graph}, seed: b.seed + uint32(len(way))}
				h, s := one.state(way+".h0", 3, 4), one.state(way+".c0", 3, 4)
				for t := range steps {
					if way == "backward" {
						t = steps - 1 - t
					}
					h, s = named{cell{b: one, hidden: 4}, way}.lstm(at(x, 1, t), h, s)
				}
				b.Learnables = append(b.Learnables, one.Learnables...)
				ends = append(ends, h)
			}
			return b.end(b.linear("head", concat(1, ends...), 2))
		}},
	}...)
}

// named is a cell whose parameters have a prefix.
type named struct {
	cell
	prefix string
}

func (n named) lstm(x, h, s *gorgonia.Node) (hidden, state *gorgonia.Node) {
	gate := func(name string) *gorgonia.Node { return n.gate("_"+n.prefix+"_"+name, x, h) }
	state = add(had(sigmoid(gate("f")), s), had(sigmoid(gate("i")), tanh(gate("c"))))
	return had(sigmoid(gate("o")), tanh(state)), state
}
