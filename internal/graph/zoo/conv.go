package zoo

import (
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// convolutional are networks on images.
func convolutional() []Case {
	return []Case{
		{Name: "convnet", Build: func() *Model {
			b := start()
			h := relu(b.channelBias("conv1.bias", b.conv("conv1", b.input("x", 2, 1, 8, 8), 3, 3, 1, 1)))
			h = relu(b.conv("conv2", pool(h, 2, 0, 2), 4, 3, 1, 1))
			return b.end(b.linear("fc", flat(pool(h, 2, 0, 2)), 3))
		}},
		{Name: "conv_vector_bias", Build: func() *Model {
			b := start()
			h := b.conv("conv", b.input("x", 2, 2, 5, 5), 3, 3, 1, 1)
			return b.end(must(gorgonia.BroadcastAdd(h, b.param("conv.bias", 3), nil, []byte{0, 2, 3})))
		}},
		{Name: "conv_geometry", Build: func() *Model {
			b := start()
			x, w := b.input("x", 2, 2, 9, 7), b.param("w", 3, 2, 3, 2)
			return b.end(must(gorgonia.Conv2d(x, w, tensor.Shape{3, 2}, []int{2, 1}, []int{2, 1}, []int{2, 1})))
		}},
		{Name: "conv_1x1", Build: func() *Model {
			b := start()
			return b.end(b.conv("point", b.input("x", 2, 3, 4, 4), 5, 1, 0, 1))
		}},
		{Name: "conv1d", Build: func() *Model {
			b := start()
			x, w := b.input("x", 2, 3, 1, 9), b.param("w", 4, 3, 1, 3)
			return b.end(must(gorgonia.Conv1d(x, w, 3, 1, 2, 1)))
		}},
		{Name: "pool_overlapping", Build: func() *Model {
			b := start()
			return b.end(pool(b.conv("conv", b.input("x", 2, 2, 7, 7), 3, 3, 1, 1), 3, 1, 2))
		}},
		{Name: "residual", Build: func() *Model {
			b := start()
			x := relu(b.conv("stem", b.input("x", 2, 2, 6, 6), 4, 3, 1, 1))
			h := b.conv("b2", relu(b.conv("b1", x, 4, 3, 1, 1)), 4, 3, 1, 1)
			return b.end(relu(must(gorgonia.Add(h, x))))
		}},
		{Name: "branches_concat", Build: func() *Model {
			b := start()
			x := relu(b.conv("stem", b.input("x", 2, 2, 6, 6), 3, 3, 1, 1))
			a, c := b.conv("a", x, 2, 1, 0, 1), b.conv("b", x, 3, 3, 1, 1)
			return b.end(relu(must(gorgonia.Concat(1, a, c))))
		}},
		{Name: "batchnorm_4d", Build: func() *Model {
			b := start()
			h := b.conv("conv", b.input("x", 3, 2, 5, 5), 4, 3, 1, 1)
			y, _, _, _, err := gorgonia.BatchNorm(h, b.param("bn.gamma", 1, 4, 1, 1), b.param("bn.beta", 1, 4, 1, 1), 0.1, 1e-5)
			return b.end(relu(must(y, err)))
		}},
		{Name: "shared_filters", Build: func() *Model {
			b := start()
			x, z := b.input("x", 2, 2, 5, 5), b.input("z", 2, 2, 5, 5)
			w := b.param("tower.weight", 3, 2, 3, 3)
			conv := func(x *gorgonia.Node) *gorgonia.Node {
				return must(gorgonia.Conv2d(x, w, tensor.Shape{3, 3}, []int{1, 1}, []int{1, 1}, []int{1, 1}))
			}
			return b.end(must(gorgonia.Sub(conv(x), conv(z))))
		}},
		{Name: "channel_gate", Build: func() *Model {
			b := start()
			h := relu(b.conv("conv", b.input("x", 2, 2, 4, 4), 3, 3, 1, 1))
			gate := must(gorgonia.Sigmoid(b.linear("gate", flat(pool(h, 4, 0, 4)), 3)))
			return b.end(must(gorgonia.BroadcastHadamardProd(h, gate, nil, []byte{2, 3})))
		}},
		{Name: "upsample", Build: func() *Model {
			b := start()
			h := b.conv("conv", b.input("x", 2, 2, 3, 3), 2, 3, 1, 1)
			return b.end(relu(must(gorgonia.Upsample2D(h, 2))))
		}},
		{Name: "sparsemax", Build: func() *Model {
			b := start()
			h := b.linear("fc", b.input("x", 2, 4), 5)
			return b.end(relu(must(gorgonia.Sparsemax(h))))
		}},
	}
}
