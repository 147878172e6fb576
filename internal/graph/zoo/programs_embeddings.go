package zoo

import (
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// embeddings are networks that look up rows of tables by whole numbers.
func embeddings() []Case {
	return []Case{
		{Name: "matrix_factorisation", Build: func() *Model {
			b := start()
			users, items := b.whole("users", 6, 4), b.whole("items", 5, 4)
			dots := sum(had(rows(b.param("user", 6, 3), users), rows(b.param("item", 5, 3), items)), 1)
			biases := add(rows(b.param("user.bias", 6, 1), users), rows(b.param("item.bias", 5, 1), items))
			y := add(dots, reshape(biases, 4))
			return b.with(mse(y, b.input("rating", 4)), y)
		}},
		{Name: "neural_collaborative_filtering", Build: func() *Model {
			b := start()
			u := rows(b.param("user", 6, 3), b.whole("users", 6, 4))
			i := rows(b.param("item", 5, 3), b.whole("items", 5, 4))
			h := concat(1, had(u, i), relu(b.linear("fc1", concat(1, u, i), 4)))
			return b.end(sigmoid(b.linear("fc2", h, 1)))
		}},
		{Name: "word2vec", Build: func() *Model {
			// Skip-grams with negative samples.
			b := start()
			centre := rows(b.param("in", 8, 4), b.whole("centre", 8, 3))
			out := b.param("out", 8, 4)
			near := sum(had(centre, rows(out, b.whole("context", 8, 3))), 1)
			far := sum(had(centre, rows(out, b.whole("negative", 8, 3))), 1)
			cost := must(gorgonia.Neg(mean(add(must(gorgonia.Log(sigmoid(near))), must(gorgonia.Log(sigmoid(must(gorgonia.Neg(far)))))))))
			return b.with(cost, near, far)
		}},
		{Name: "bag_of_words", Build: func() *Model {
			b := start()
			words := rows(b.param("table", 9, 4), b.whole("words", 9, 2*3))
			h := mean(reshape(words, 2, 3, 4), 1)
			return b.end(b.linear("fc", h, 3))
		}},
		{Name: "two_tower", Build: func() *Model {
			b := start()
			unit := func(x *gorgonia.Node) *gorgonia.Node {
				length := must(gorgonia.Sqrt(add(sum(square(x), 1), k(1e-6))))
				return must(gorgonia.BroadcastHadamardDiv(x, reshape(length, x.Shape()[0], 1), nil, []byte{1}))
			}
			q := unit(b.linear("query", b.input("q", 3, 5), 4))
			d := unit(b.linear("document", rows(b.param("documents", 6, 4), b.whole("ids", 6, 3)), 4))
			return b.end(sum(had(q, d), 1))
		}},
		{Name: "tied_embedding_head", Build: func() *Model {
			b := start()
			table := b.param("table", 7, 4)
			h := tanh(b.linear("fc", rows(table, b.whole("tokens", 7, 3)), 4))
			return b.end(wide(mul(h, must(gorgonia.Transpose(table))), b.param("bias", 1, 7), 0))
		}},
		{Name: "one_hot_by_comparison", Build: func() *Model {
			// A column of class numbers as floats against a row of all numbers.
			b := start()
			x := b.input("x", 4, 3)
			class := b.input("class", 4, 1)
			for i, v := range []float32{0, 2, 1, 2} {
				b.Data[1].Float32s()[i] = v
			}
			all := b.leaf("classes", []float32{0, 1, 2}, 1, 3)
			hot := must(gorgonia.BroadcastEq(class, all, true, []byte{1}, []byte{0}))
			return b.end(b.linear("fc", concat(1, x, hot), 2))
		}},
		{Name: "codebook", Build: func() *Model {
			// Row numbers as a constant of the program.
			b := start()
			at := gorgonia.NewConstant(tensor.New(tensor.WithShape(3), tensor.WithBacking([]int{4, 0, 2})), gorgonia.WithName("picked"))
			picked := rows(b.param("codes", 5, 4), at)
			return b.end(mul(b.input("x", 3, 4), transpose(picked, 1, 0)))
		}},
	}
}
