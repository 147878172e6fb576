package zoo

import (
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// dense are networks of matrix and vector products. Vectors have 4 or 8 elements:
// Gorgonia's dot product sums in an order that depends on where a vector lies modulo
// 16 bytes, and Go aligns blocks of 16 and 32 bytes but not those of 24.
func dense() []Case {
	return []Case{
		{Name: "mlp", Build: func() *Model {
			b := start()
			x := b.input("x", 4, 6)
			return b.end(b.linear("fc2", relu(b.linear("fc1", x, 5)), 3))
		}},
		{Name: "mlp_sigmoid_tanh", Build: func() *Model {
			b := start()
			h := must(gorgonia.Sigmoid(b.linear("fc1", b.input("x", 4, 6), 5)))
			return b.end(must(gorgonia.Tanh(b.linear("fc2", h, 3))))
		}},
		{Name: "mlp_transposed_weight", Build: func() *Model {
			b := start()
			x, w := b.input("x", 4, 6), b.param("fc_weight", 5, 6)
			return b.end(must(gorgonia.Mul(x, must(gorgonia.Transpose(w, 1, 0)))))
		}},
		{Name: "weight_on_the_left", BatchAxis: 1, Build: func() *Model {
			b := start()
			x, w := b.input("x", 6, 4), b.param("w", 5, 6)
			return b.end(must(gorgonia.Mul(w, x)))
		}},
		{Name: "shared_weights", Build: func() *Model {
			b := start()
			x, z := b.input("x", 4, 6), b.input("z", 4, 6)
			w := b.param("tower.weight", 6, 6)
			h := relu(must(gorgonia.Mul(x, w)))
			return b.end(must(gorgonia.Add(must(gorgonia.Mul(h, w)), must(gorgonia.Mul(z, w)))))
		}},
		{Name: "two_outputs", Build: func() *Model {
			b := start()
			h := relu(b.linear("body", b.input("x", 4, 6), 5))
			return b.end(b.linear("head_a", h, 3), must(gorgonia.Sigmoid(b.linear("head_b", h, 1))))
		}},
		{Name: "grad_called", Graded: true, Build: func() *Model {
			b := start()
			m := b.end(b.linear("fc2", relu(b.linear("fc1", b.input("x", 4, 6), 5)), 3))
			if _, err := gorgonia.Grad(m.Cost, m.Learnables...); err != nil {
				panic(err)
			}
			return m
		}},
		{Name: "matrix_vector", Build: func() *Model {
			b := start()
			x, w := b.input("x", 4, 8), b.param("w", 8)
			return b.end(must(gorgonia.Mul(x, w)))
		}},
		{Name: "regression", Build: func() *Model {
			b := start()
			x, y, w := b.input("x", 4, 8), b.input("y", 4), b.param("w", 8)
			return b.end(must(gorgonia.Sub(must(gorgonia.Mul(x, w)), y)))
		}},
		{Name: "weight_vector", FixedBatch: true, Build: func() *Model {
			b := start()
			w, x := b.param("w", 4, 8), b.input("x", 8)
			return b.end(must(gorgonia.Mul(w, x)))
		}},
		{Name: "vector_matrix", FixedBatch: true, Build: func() *Model {
			b := start()
			x, w := b.input("x", 8), b.param("w", 8, 4)
			return b.end(relu(must(gorgonia.Mul(x, w))))
		}},
		{Name: "vector_dot", FixedBatch: true, Build: func() *Model {
			b := start()
			return b.end(must(gorgonia.Mul(b.input("x", 8), b.param("w", 8))))
		}},
		{Name: "batched_matmul", Build: func() *Model {
			b := start()
			x, z := b.input("x", 3, 4, 5), b.input("z", 3, 5, 6)
			y := must(gorgonia.BatchedMatMul(x, z))
			return b.end(must(gorgonia.BroadcastAdd(y, b.param("bias", 1, 1, 6), nil, []byte{0, 1})))
		}},
		{Name: "attention_scores", Build: func() *Model {
			b := start()
			q, k := b.input("q", 3, 4, 5), b.input("k", 3, 6, 5)
			s := must(gorgonia.BatchedMatMul(q, k, false, true))
			return b.end(must(gorgonia.BroadcastHadamardProd(s, b.param("scale", 1, 1, 6), nil, []byte{0, 1})))
		}},
		{Name: "softmax", Build: func() *Model {
			b := start()
			return b.end(must(gorgonia.SoftMax(b.linear("fc", b.input("x", 4, 6), 5))))
		}},
		{Name: "cross_entropy", Build: func() *Model {
			b := start()
			logp := must(gorgonia.LogSoftMax(b.linear("fc", b.input("x", 4, 6), 5)))
			cost := crossEntropy(logp, b.oneHot("y", 4, 5))
			b.Outputs, b.Cost = []*gorgonia.Node{logp}, cost
			return b.Model
		}},
		{Name: "log_of_softmax", Build: func() *Model {
			b := start()
			p := must(gorgonia.SoftMax(b.linear("fc", b.input("x", 4, 6), 5)))
			cost := crossEntropy(must(gorgonia.Log(p)), b.oneHot("y", 4, 5))
			b.Outputs, b.Cost = []*gorgonia.Node{p}, cost
			return b.Model
		}},
		{Name: "binary_cross_entropy", Build: func() *Model {
			b := start()
			p := must(gorgonia.Sigmoid(b.linear("fc", b.input("x", 4, 6), 2)))
			cost := must(gorgonia.Mean(must(gorgonia.BinaryXent(p, b.oneHot("y", 4, 2)))))
			b.Outputs, b.Cost = []*gorgonia.Node{p}, cost
			return b.Model
		}},
		{Name: "batchnorm_2d", Build: func() *Model {
			b := start()
			// Without a bias: the normalisation takes it off again, and its gradient would
			// be nothing but rounding.
			h := must(gorgonia.Mul(b.input("x", 6, 5), b.param("fc.weight", 5, 4)))
			y, _, _, _, err := gorgonia.BatchNorm(h, b.param("bn.gamma", 1, 4), b.param("bn.beta", 1, 4), 0.1, 1e-5)
			return b.end(relu(must(y, err)))
		}},
		{Name: "dropout", Random: true, Build: func() *Model {
			b := start()
			h := relu(b.linear("fc1", b.input("x", 4, 6), 5))
			return b.end(b.linear("fc2", must(gorgonia.Dropout(h, 0.25)), 3))
		}, Wrong: "dropout's gradient"},
		{Name: "tokens", Build: func() *Model {
			b := start()
			x := b.input("x", 3, 4, 5)
			h := must(gorgonia.Tanh(x))
			rows := must(gorgonia.Reshape(h, tensor.Shape{12, 5}))
			y := b.linear("fc", rows, 2)
			return b.end(must(gorgonia.Reshape(y, tensor.Shape{3, 4, 2})))
		}},
	}
}
