package zoo

import (
	"fmt"
	"math"

	"gorgonia.org/gorgonia"
)

// gelu is its form with tanh, spelled out.
func gelu(x *gorgonia.Node) *gorgonia.Node {
	inner := had(add(x, had(must(gorgonia.Cube(x)), k(0.044715))), k(float32(math.Sqrt(2/math.Pi))))
	return had(had(x, k(0.5)), add(tanh(inner), k(1)))
}

// heads attends in a block of batch sequences of equal length, rows of a matrix.
func (b *build) heads(name string, x *gorgonia.Node, batch, heads int, mask *gorgonia.Node) *gorgonia.Node {
	n, width := x.Shape()[0], x.Shape()[1]
	time, per := n/batch, width/heads
	split := func(part string) *gorgonia.Node {
		y := mul(x, b.param(name+"."+part+".weight", width, width)) // a bias of k would have no gradient
		if part != "k" {
			y = wide(y, b.param(name+"."+part+".bias", 1, width), 0)
		}
		y = reshape(y, batch, time, heads, per)
		return reshape(transpose(y, 0, 2, 1, 3), batch*heads, time, per)
	}
	q, key, v := split("q"), split("k"), split("v")
	scores := had(bmm(q, transpose(key, 0, 2, 1)), k(float32(1/math.Sqrt(float64(per)))))
	if mask != nil {
		scores = wide(scores, mask, 0)
	}
	p := softmax(scores)
	y := transpose(reshape(bmm(p, v), batch, heads, time, per), 0, 2, 1, 3)
	return b.linear(name+".o", reshape(y, n, width), width)
}

// block is a transformer's block, normalised first.
func (b *build) block(name string, x *gorgonia.Node, batch, heads int, mask *gorgonia.Node) *gorgonia.Node {
	x = add(x, b.heads(name+".attention", b.normed(name+".norm1", x), batch, heads, mask))
	h := gelu(b.linear(name+".up", b.normed(name+".norm2", x), 2*x.Shape()[1]))
	return add(x, b.linear(name+".down", h, x.Shape()[1]))
}

// causal is a mask of a square of time steps.
func (b *build) causal(time int) *gorgonia.Node {
	data := make([]float32, time*time)
	for i := range data {
		if i%time > i/time {
			data[i] = -1e9
		}
	}
	return b.leaf("mask", data, 1, time, time)
}

// positions are the numbers of the time steps, for each sequence of a batch.
func (b *build) positions(batch, time int) *gorgonia.Node {
	return b.whole("positions", time, batch*time)
}

// attention are transformers and their like.
func attention() []Case {
	return []Case{
		{Name: "gpt", Build: func() *Model {
			b := start()
			const batch, time, vocabulary, width = 2, 3, 7, 4
			table := b.param("wte", vocabulary, width)
			x := add(rows(table, b.whole("tokens", vocabulary, batch*time)), rows(b.param("wpe", time, width), b.positions(batch, time)))
			x = b.block("h0", x, batch, 2, b.causal(time))
			logits := mul(b.normed("norm", x), transpose(table, 1, 0))
			return b.end(logits)
		}},
		{Name: "bert", Build: func() *Model {
			b := start()
			const batch, time, vocabulary, width = 2, 3, 7, 4
			x := add(rows(b.param("words", vocabulary, width), b.whole("tokens", vocabulary, batch*time)), rows(b.param("segments", 2, width), b.whole("types", 2, batch*time)))
			x = b.normed("norm", add(x, rows(b.param("places", time, width), b.positions(batch, time))))
			x = b.block("layer0", x, batch, 2, nil)
			first := slice(reshape(x, batch, time, width), nil, gorgonia.S(0))
			return b.end(b.linear("classifier", tanh(b.linear("pooler", first, width)), 2))
		}},
		{Name: "vit", Build: func() *Model {
			b := start()
			const batch, width = 2, 4
			x := b.conv("patches", b.input("x", batch, 3, 4, 4), width, 2, 0, 2)
			tokens := transpose(reshape(x, batch, width, 4), 0, 2, 1)
			tokens = wide(tokens, b.param("places", 1, 4, width), 0)
			y := b.block("block0", reshape(tokens, batch*4, width), batch, 2, nil)
			return b.end(b.linear("head", mean(reshape(y, batch, 4, width), 1), 3))
		}},
		{Name: "self_attention", FixedBatch: true, Build: func() *Model {
			b := start()
			x := b.input("x", 4, 5)
			q, key, v := mul(x, b.param("q", 5, 4)), mul(x, b.param("k", 5, 4)), mul(x, b.param("v", 5, 4))
			scores := must(gorgonia.HadamardDiv(mul(q, transpose(key, 1, 0)), k(2)))
			return b.end(mul(softmax(scores), v))
		}},
		{Name: "mlp_mixer", Build: func() *Model {
			b := start()
			const batch, tokens, width = 2, 3, 4
			x := b.input("x", batch, tokens, width)
			h := reshape(transpose(x, 0, 2, 1), batch*width, tokens)
			h = b.linear("tokens2", gelu(b.linear("tokens1", h, 5)), tokens)
			x = add(x, transpose(reshape(h, batch, width, tokens), 0, 2, 1))
			h = reshape(x, batch*tokens, width)
			h = add(h, b.linear("channels2", gelu(b.linear("channels1", h, 5)), width))
			return b.end(b.linear("head", mean(reshape(h, batch, tokens, width), 1), 2))
		}},
		{Name: "deep_sets", Build: func() *Model {
			b := start()
			const batch, set = 2, 3
			x := b.input("x", batch, set, 4)
			h := relu(b.linear("phi", reshape(x, batch*set, 4), 5))
			return b.end(b.linear("rho", sum(reshape(h, batch, set, 5), 1), 2))
		}},
		{Name: "memory_network", Build: func() *Model {
			b := start()
			memory, q := b.input("memory", 2, 3, 4), b.input("q", 2, 4)
			for hop := range 2 {
				p := softmax(reshape(bmm(memory, reshape(q, 2, 4, 1)), 2, 3))
				o := reshape(bmm(reshape(p, 2, 1, 3), memory), 2, 4)
				q = add(o, b.linear(fmt.Sprint("hop", hop), q, 4))
			}
			return b.end(b.linear("answer", q, 3))
		}},
	}
}
