package zoo

import (
	"gorgonia.org/gorgonia"
)

// relations are networks over graphs, pairs and triples.
func relations() []Case {
	adjacency := []float32{0.5, 0.5, 0, 0, 0.25, 0.5, 0.25, 0, 0, 0.25, 0.5, 0.25, 0, 0, 0.5, 0.5}
	return []Case{
		{Name: "gcn", FixedBatch: true, Build: func() *Model {
			b := start()
			a := b.leaf("adjacency", adjacency, 4, 4)
			h := relu(mul(a, mul(b.input("x", 4, 5), b.param("w1", 5, 4))))
			return b.end(mul(a, mul(h, b.param("w2", 4, 2))))
		}},
		{Name: "gcn_adjacency_first", FixedBatch: true, Build: func() *Model {
			b := start()
			a := b.leaf("adjacency", adjacency, 4, 4)
			h := relu(mul(mul(a, b.input("x", 4, 5)), b.param("w1", 5, 4)))
			return b.end(mul(mul(a, h), b.param("w2", 4, 2)))
		}},
		{Name: "gcn_adjacency_input", FixedBatch: true, Build: func() *Model {
			b := start()
			a := b.input("adjacency", 4, 4)
			h := relu(mul(mul(a, b.input("x", 4, 5)), b.param("w1", 5, 4)))
			return b.end(mul(mul(a, h), b.param("w2", 4, 2)))
		}},
		{Name: "graph_sage", FixedBatch: true, Build: func() *Model {
			b := start()
			a, x := b.leaf("adjacency", adjacency, 4, 4), b.input("x", 4, 5)
			return b.end(b.linear("head", relu(b.linear("sage", concat(1, x, mul(a, x)), 6)), 2))
		}},
		{Name: "graph_attention", FixedBatch: true, Build: func() *Model {
			b := start()
			far := make([]float32, len(adjacency))
			for i, v := range adjacency {
				if v == 0 {
					far[i] = -1e9
				}
			}
			h := mul(b.input("x", 4, 5), b.param("w", 5, 4))
			from, to := mul(h, b.param("from", 4, 1)), mul(h, b.param("to", 4, 1))
			scores := must(gorgonia.BroadcastAdd(from, transpose(to, 1, 0), []byte{1}, []byte{0}))
			scores = add(tanh(scores), b.leaf("far", far, 4, 4))
			return b.end(mul(softmax(scores), h))
		}},
		{Name: "siamese", Build: func() *Model {
			b := start()
			w1, w2 := b.param("w1", 5, 6), b.param("w2", 6, 3)
			tower := func(x *gorgonia.Node) *gorgonia.Node { return mul(relu(mul(x, w1)), w2) }
			d := sub(tower(b.input("left", 3, 5)), tower(b.input("right", 3, 5)))
			return b.end(sum(square(d), 1))
		}},
		{Name: "triplet", Build: func() *Model {
			b := start()
			w := b.param("conv", 3, 1, 3, 3)
			fc := b.param("fc", 12, 4)
			tower := func(name string) *gorgonia.Node {
				c := must(gorgonia.Conv2d(b.input(name, 2, 1, 4, 4), w, []int{3, 3}, []int{1, 1}, []int{1, 1}, []int{1, 1}))
				return mul(flat(pool(relu(c), 2, 0, 2)), fc)
			}
			a, p, n := tower("anchor"), tower("positive"), tower("negative")
			cost := mean(relu(add(sub(sum(square(sub(a, p)), 1), sum(square(sub(a, n)), 1)), k(0.5))))
			return b.with(cost, a, p, n)
		}},
		{Name: "relation_network", Build: func() *Model {
			b := start()
			x, y := b.input("x", 3, 4), b.input("y", 3, 4)
			pair := concat(1, x, y, must(gorgonia.Abs(sub(x, y))), had(x, y))
			return b.end(softmax(b.linear("f2", relu(b.linear("f1", pair, 5)), 3)))
		}},
	}
}

// odd are networks with a turn of their own.
func odd() []Case {
	return []Case{
		{Name: "fine_tuned_head", Graded: true, Build: func() *Model {
			b := start()
			h := relu(b.linear("body", b.input("x", 4, 6), 5))
			b.Learnables = nil // the body stays as it is
			m := b.end(b.linear("head", h, 3))
			if _, err := gorgonia.Grad(m.Cost, m.Learnables...); err != nil {
				panic(err)
			}
			return m
		}},
		{Name: "multi_task", Build: func() *Model {
			b := start()
			h := relu(b.linear("body", b.input("x", 4, 6), 5))
			class := softmax(b.linear("class", h, 3))
			value := b.linear("value", h, 1)
			cost := add(must(gorgonia.Neg(mean(sum(had(must(gorgonia.Log(class)), b.oneHot("y", 4, 3)), 1)))), mse(value, b.input("target", 4, 1)))
			return b.with(cost, class, value)
		}},
		{Name: "hypernetwork", Build: func() *Model {
			// Weights computed from the input.
			b := start()
			x, task := b.input("x", 3, 4), b.input("task", 3, 2)
			w := reshape(b.linear("hyper", task, 4*2), 3, 4, 2)
			return b.end(reshape(bmm(reshape(x, 3, 1, 4), w), 3, 2))
		}},
		{Name: "low_rank", Build: func() *Model {
			// An adapter beside a weight.
			b := start()
			x := b.input("x", 3, 6)
			y := add(mul(x, b.param("w", 6, 4)), had(mul(mul(x, b.param("a", 6, 2)), b.param("b", 2, 4)), k(0.5)))
			return b.end(b.linear("head", relu(y), 2))
		}},
		{Name: "weight_product", Build: func() *Model {
			b := start()
			w := mul(b.param("a", 6, 2), b.param("b", 2, 4))
			return b.end(mul(b.input("x", 3, 6), w))
		}},
		{Name: "ensemble", Build: func() *Model {
			b := start()
			x := b.input("x", 3, 4)
			y := b.linear("m0", x, 2)
			for _, name := range []string{"m1", "m2"} {
				y = add(y, b.linear(name, tanh(x), 2))
			}
			return b.end(must(gorgonia.HadamardDiv(y, k(3))))
		}},
	}
}
