package zoo

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// sequences are networks over sequences that are not plain recurrences.
func sequences() []Case {
	return []Case{
		{Name: "seq2seq_attention", Build: func() *Model {
			b := start()
			const batch, hidden = 3, 4
			x, y := b.input("x", batch, steps, 4), b.input("y", batch, 2, 4)
			c := named{cell{b: b, hidden: hidden}, "encoder"}
			h, s := b.state("h0", batch, hidden), b.state("c0", batch, hidden)
			var states []*gorgonia.Node
			for t := range steps {
				h, s = c.lstm(at(x, 1, t), h, s)
				states = append(states, reshape(h, batch, 1, hidden))
			}
			memory := concat(1, states...)
			d := named{cell{b: b, hidden: hidden}, "decoder"}
			var outs []*gorgonia.Node
			for t := range 2 {
				h, s = d.lstm(at(y, 1, t), h, s)
				scores := bmm(memory, reshape(h, batch, hidden, 1))
				weights := softmax(reshape(scores, batch, steps))
				context := reshape(bmm(reshape(weights, batch, 1, steps), memory), batch, hidden)
				outs = append(outs, mul(concat(1, h, context), b.again("head", 2*hidden, 5)))
			}
			return b.end(outs...)
		}},
		{Name: "language_model", Build: func() *Model {
			// Tokens of a batch side by side, time by time.
			b := start()
			const batch, vocabulary, width = 2, 7, 4
			c := cell{b: b, hidden: 5}
			table := b.param("embedding", vocabulary, width)
			h := b.state("h0", batch, 5)
			var outs []*gorgonia.Node
			for t := range steps {
				h = c.gru(rows(table, b.whole(fmt.Sprint("token", t), vocabulary, batch)), h)
				outs = append(outs, c.product("decoder", h, vocabulary))
			}
			return b.end(outs...)
		}},
		{Name: "reversed_by_indices", Wrong: "ByIndices along axis 1", Build: func() *Model {
			b := start()
			x := b.input("x", 3, 4, 5)
			back := gorgonia.NewConstant(tensor.New(tensor.WithShape(4), tensor.WithBacking([]int{3, 2, 1, 0})), gorgonia.WithName("back"))
			y := must(gorgonia.ByIndices(x, back, 1))
			return b.end(b.linear("fc", flat(add(x, y)), 3))
		}},
		{Name: "text_cnn", Build: func() *Model {
			b := start()
			x := b.input("x", 2, 4, 6) // embedded words: batch, width, words
			var pooled []*gorgonia.Node
			for _, width := range []int{2, 3} {
				image := reshape(x, 2, 1, 4, 6)
				w := b.param(fmt.Sprint("conv", width, ".weight"), 3, 1, 4, width)
				y := must(gorgonia.Conv2d(image, w, tensor.Shape{4, width}, []int{0, 0}, []int{1, 1}, []int{1, 1}))
				y = must(gorgonia.MaxPool2D(relu(y), tensor.Shape{1, 6 - width + 1}, []int{0, 0}, []int{1, 1}))
				pooled = append(pooled, reshape(y, 2, 3))
			}
			return b.end(b.linear("fc", concat(1, pooled...), 2))
		}},
		{Name: "conv1d", Build: func() *Model {
			b := start()
			x := b.input("x", 2, 3, 1, 8)
			h := relu(b.conv1d("conv1", x, 4, 3, 1, 1, 1))
			h = must(gorgonia.MaxPool1D(h, 2, 0, 2))
			h = relu(b.conv1d("conv2", h, 4, 3, 1, 1, 1))
			return b.end(b.linear("fc", flat(h), 2))
		}},
		{Name: "tcn", Build: func() *Model {
			// Causal: padded on both sides, the right end cut off.
			b := start()
			h := b.input("x", 2, 3, 1, 8)
			for i, dilation := range []int{1, 2} {
				pad := 2 * dilation
				y := b.conv1d(fmt.Sprint("conv", i), h, 3, 3, pad, 1, dilation)
				y = relu(slice(y, nil, nil, nil, gorgonia.S(0, 8)))
				h = relu(add(y, h))
			}
			return b.end(b.linear("fc", slice(h, nil, nil, gorgonia.S(0), gorgonia.S(7)), 2))
		}},
		{Name: "neural_ode", Build: func() *Model {
			// One layer, applied again and again: Euler's method.
			b := start()
			x := b.input("x", 3, 4)
			w, bias := b.param("w", 4, 4), b.param("bias", 1, 4)
			for range steps {
				x = add(x, had(tanh(wide(mul(x, w), bias, 0)), k(0.25)))
			}
			return b.end(b.linear("head", x, 2))
		}},
		{Name: "highway", Build: func() *Model {
			b := start()
			x := b.input("x", 3, 5)
			gate := sigmoid(b.linear("gate", x, 5))
			y := add(had(gate, relu(b.linear("transform", x, 5))), had(sub(k(1), gate), x))
			return b.end(b.linear("head", y, 2))
		}},
		{Name: "normed_lstm", Build: func() *Model {
			b := start()
			x, h, s := b.input("x", 3, 2, 4), b.state("h0", 3, 4), b.state("c0", 3, 4)
			for t := range 2 {
				gate := func(name string) *gorgonia.Node {
					return b.normed(fmt.Sprint("norm", t, name), add(mul(at(x, 1, t), b.again("W"+name, 4, 4)), mul(h, b.again("U"+name, 4, 4))))
				}
				f, i, o, c := sigmoid(gate("f")), sigmoid(gate("i")), sigmoid(gate("o")), tanh(gate("c"))
				s = add(had(f, s), had(i, c))
				h = had(o, tanh(s))
			}
			return b.end(mul(h, b.param("V", 4, 2)))
		}},
	}
}

// conv1d is Gorgonia's, on tensors of shape batch, channels, 1, length.
func (b *build) conv1d(name string, x *gorgonia.Node, out, size, pad, stride, dilation int) *gorgonia.Node {
	w := b.param(name+".weight", out, x.Shape()[1], 1, size)
	return must(gorgonia.Conv1d(x, w, size, pad, stride, dilation))
}
