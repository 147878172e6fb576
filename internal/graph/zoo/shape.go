package zoo

import (
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// shapes are networks that move elements about or reduce them.
func shapes() []Case {
	return []Case{
		{Name: "slices", Build: func() *Model {
			b := start()
			h := b.linear("fc", b.input("x", 4, 6), 6)
			a := must(gorgonia.Slice(h, nil, gorgonia.S(0, 3)))
			c := must(gorgonia.Slice(h, nil, gorgonia.S(3, 6)))
			return b.end(must(gorgonia.HadamardProd(must(gorgonia.Tanh(a)), must(gorgonia.Sigmoid(c)))))
		}},
		{Name: "slice_squeeze", Build: func() *Model {
			b := start()
			h := must(gorgonia.Tanh(b.input("x", 3, 4, 5)))
			return b.end(b.linear("fc", must(gorgonia.Slice(h, nil, gorgonia.S(2))), 2))
		}},
		{Name: "slice_axes", Build: func() *Model {
			b := start()
			h := b.conv("conv", b.input("x", 2, 2, 5, 5), 4, 3, 1, 1)
			return b.end(must(gorgonia.Slice(h, gorgonia.S(0, 2), gorgonia.S(1, 3), gorgonia.S(1, 4), gorgonia.S(0, 5))))
		}},
		{Name: "slice_batch", FixedBatch: true, Build: func() *Model {
			b := start()
			h := b.linear("fc", b.input("x", 4, 6), 3)
			return b.end(must(gorgonia.Slice(h, gorgonia.S(1, 3))))
		}},
		{Name: "transposes", Build: func() *Model {
			b := start()
			h := must(gorgonia.BroadcastHadamardProd(b.input("x", 3, 4, 5), b.param("scale", 1, 4, 1), nil, []byte{0, 2}))
			t := must(gorgonia.Transpose(h, 2, 0, 1))
			return b.end(must(gorgonia.Transpose(must(gorgonia.Tanh(t)), 1, 2, 0)))
		}},
		{Name: "concat_columns", Build: func() *Model {
			b := start()
			x := b.input("x", 4, 6)
			return b.end(b.linear("head", must(gorgonia.Concat(1, relu(b.linear("a", x, 3)), b.linear("b", x, 2))), 2))
		}},
		{Name: "mean_rows", Build: func() *Model {
			b := start()
			return b.end(must(gorgonia.Mean(b.linear("fc", b.input("x", 4, 6), 3), 1)))
		}},
		{Name: "mean_cost", Build: func() *Model {
			b := start()
			y := b.linear("fc", b.input("x", 4, 6), 3)
			b.Outputs, b.Cost = []*gorgonia.Node{y}, must(gorgonia.Mean(must(gorgonia.Square(y))))
			return b.Model
		}},
		{Name: "sum_middle", Build: func() *Model {
			b := start()
			h := must(gorgonia.BroadcastHadamardProd(b.input("x", 3, 4, 5), b.param("scale", 1, 4, 5), nil, []byte{0}))
			return b.end(must(gorgonia.Sum(h, 1)))
		}},
		{Name: "max_rows", Build: func() *Model {
			b := start()
			return b.end(must(gorgonia.Max(b.linear("fc", b.input("x", 4, 6), 3), 1)))
		}},
		{Name: "deep_reshape", Build: func() *Model {
			b := start()
			h := relu(b.linear("fc1", b.input("x", 2, 6), 16))
			im := must(gorgonia.Reshape(h, tensor.Shape{2, 1, 4, 4}))
			return b.end(b.linear("fc2", flat(relu(b.conv("conv", im, 2, 3, 1, 1))), 3))
		}},
	}
}
