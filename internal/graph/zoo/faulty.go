package zoo

import (
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// faulty are networks that Gorgonia itself computes wrongly.
func faulty() []Case {
	return []Case{
		{Name: "gap_mean", Wrong: "Mean over axis 2", Build: func() *Model {
			b := start()
			h := relu(b.conv("conv", b.input("x", 2, 2, 4, 5), 3, 3, 1, 1))
			return b.end(b.linear("fc", must(gorgonia.Mean(h, 2, 3)), 3))
		}},
		{Name: "sum_axis_2", Wrong: "Sum over axis 2", Build: func() *Model {
			b := start()
			return b.end(must(gorgonia.Sum(b.conv("conv", b.input("x", 2, 2, 4, 5), 3, 3, 1, 1), 2)))
		}},
		{Name: "global_average_pool", Wrong: "GlobalAveragePool2D has no gradient", Build: func() *Model {
			b := start()
			h := relu(b.conv("conv", b.input("x", 2, 2, 4, 5), 3, 3, 1, 1))
			return b.end(b.linear("fc", flat(must(gorgonia.GlobalAveragePool2D(h))), 3))
		}},
		{Name: "average_pool", Wrong: "AveragePool2D's divisor and gradient", Build: func() *Model {
			b := start()
			h := relu(b.conv("conv", b.input("x", 2, 2, 6, 6), 3, 3, 1, 1))
			return b.end(must(gorgonia.AveragePool2D(h, tensor.Shape{2, 2}, []int{0, 0}, []int{2, 2})))
		}},
		{Name: "reshaped_input", Wrong: "Reshape shares memory with the input", Build: func() *Model {
			b := start()
			x := must(gorgonia.Reshape(b.input("x", 4, 2, 3), tensor.Shape{4, 6}))
			return b.end(b.linear("fc", must(gorgonia.Mul(x, gorgonia.NewConstant(float32(10)))), 3))
		}},
		{Name: "reshaped_activation", Wrong: "Reshape shares memory with the activation", Build: func() *Model {
			b := start()
			h := must(gorgonia.Tanh(b.linear("fc", b.input("x", 4, 6), 4)))
			r := must(gorgonia.Reshape(h, tensor.Shape{4, 2, 2}))
			return b.end(must(gorgonia.Mul(r, gorgonia.NewConstant(float32(10)))))
		}},
		{Name: "reshaped_residual", Wrong: "Reshape shares memory with a value used later", Build: func() *Model {
			b := start()
			h := b.linear("fc", b.input("x", 4, 6), 4)
			r := must(gorgonia.Mul(must(gorgonia.Reshape(h, tensor.Shape{4, 2, 2})), gorgonia.NewConstant(float32(10))))
			return b.end(must(gorgonia.Add(h, must(gorgonia.Reshape(r, tensor.Shape{4, 4})))))
		}},
		{Name: "concat_of_one", Wrong: "Concat of one tensor shares its memory", Build: func() *Model {
			b := start()
			h := must(gorgonia.Concat(1, must(gorgonia.Tanh(b.linear("fc", b.input("x", 4, 6), 4)))))
			return b.end(must(gorgonia.Mul(h, gorgonia.NewConstant(float32(10)))))
		}},
		{Name: "max_axis_2", Wrong: "Max over axis 2", Build: func() *Model {
			b := start()
			return b.end(must(gorgonia.Max(b.conv("conv", b.input("x", 2, 2, 4, 5), 3, 3, 1, 1), 2)))
		}},
		{Name: "outer_product", FixedBatch: true, Wrong: "the gradient of OuterProd", Build: func() *Model {
			b := start()
			return b.end(must(gorgonia.OuterProd(b.input("x", 8), b.param("w", 4))))
		}},
		{Name: "log2", Wrong: "the gradient of Log2", Build: func() *Model {
			b := start()
			return b.end(must(gorgonia.Log2(must(gorgonia.Sigmoid(b.linear("fc", b.input("x", 4, 6), 3))))))
		}},
		{Name: "inverse_sqrt", Wrong: "the gradient of InverseSqrt", Build: func() *Model {
			b := start()
			return b.end(must(gorgonia.InverseSqrt(must(gorgonia.Sigmoid(b.linear("fc", b.input("x", 4, 6), 3))))))
		}},
		{Name: "row_scale", Wrong: "the gradient of a broadcast along axis 2", Build: func() *Model {
			b := start()
			h := b.conv("conv", b.input("x", 2, 2, 4, 5), 3, 3, 1, 1)
			return b.end(must(gorgonia.BroadcastHadamardProd(h, b.param("scale", 1, 3, 1, 5), nil, []byte{0, 2})))
		}},
	}
}
