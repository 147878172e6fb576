package zoo

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// vision are networks over images.
func vision() []Case {
	return []Case{
		{Name: "mnist_convnet", Random: true, Wrong: "dropout's gradient", Build: func() *Model {
			b := start()
			h := b.input("x", 2, 1, 8, 8)
			for i, c := range []int{2, 3} {
				h = pool(relu(b.conv(fmt.Sprint("w", i), h, c, 3, 1, 1)), 2, 0, 2)
				h = must(gorgonia.Dropout(h, 0.2))
			}
			r := must(gorgonia.Dropout(flat(h), 0.2))
			fc := must(gorgonia.Dropout(relu(mul(r, b.param("w3", 12, 6))), 0.55))
			p := softmax(mul(fc, b.param("w4", 6, 4)))
			losses := must(gorgonia.HadamardProd(must(gorgonia.Log(p)), b.oneHot("y", 2, 4)))
			return b.with(must(gorgonia.Neg(mean(losses))), p)
		}},
		{Name: "lenet", Wrong: "AveragePool2D's divisor and gradient", Build: func() *Model {
			b := start()
			h := b.input("x", 2, 1, 8, 8)
			for i, c := range []int{2, 3} {
				h = tanh(b.channelBias(fmt.Sprint("b", i), b.conv(fmt.Sprint("c", i), h, c, 3, 1, 1)))
				h = must(gorgonia.AveragePool2D(h, tensor.Shape{2, 2}, []int{0, 0}, []int{2, 2}))
			}
			return b.end(b.linear("f2", tanh(b.linear("f1", flat(h), 6)), 4))
		}},
		{Name: "vgg", Build: func() *Model {
			b := start()
			h := relu(b.norm("bn1", b.conv("c1", b.input("x", 2, 2, 4, 4), 3, 3, 1, 1)))
			h = pool(relu(b.norm("bn2", b.conv("c2", h, 3, 3, 1, 1))), 2, 0, 2)
			return b.end(b.linear("fc", flat(h), 3))
		}},
		{Name: "resnet", Build: func() *Model {
			b := start()
			x := relu(b.norm("bn0", b.conv("c0", b.input("x", 2, 2, 4, 4), 3, 3, 1, 1)))
			h := relu(b.norm("bn1", b.conv("c1", x, 4, 3, 1, 2)))
			h = b.norm("bn2", b.conv("c2", h, 4, 3, 1, 1))
			h = relu(add(h, b.norm("bn3", b.conv("c3", x, 4, 1, 0, 2))))
			return b.end(b.linear("fc", flat(pool(h, 2, 0, 2)), 3))
		}},
		{Name: "mobilenet", Build: func() *Model {
			// Gorgonia has no groups: a convolution for each channel.
			b := start()
			h := relu(b.conv("c0", b.input("x", 2, 2, 4, 4), 3, 3, 1, 1))
			var apart []*gorgonia.Node
			for c := range 3 {
				one := reshape(slice(h, nil, gorgonia.S(c)), 2, 1, 4, 4)
				apart = append(apart, b.conv(fmt.Sprint("depthwise", c), one, 1, 3, 1, 1))
			}
			h = relu(b.norm("bn1", concat(1, apart...)))
			h = relu(b.norm("bn2", b.conv("pointwise", h, 4, 1, 0, 1)))
			return b.end(b.linear("fc", flat(pool(h, 4, 0, 4)), 3))
		}},
		{Name: "squeezenet", Build: func() *Model {
			b := start()
			h := relu(b.conv("squeeze", b.input("x", 2, 3, 4, 4), 2, 1, 0, 1))
			h = concat(1, relu(b.conv("expand1", h, 3, 1, 0, 1)), relu(b.conv("expand3", h, 3, 3, 1, 1)))
			return b.end(flat(pool(relu(b.conv("classes", h, 3, 1, 0, 1)), 4, 0, 4)))
		}},
		{Name: "densenet", Build: func() *Model {
			b := start()
			h := b.input("x", 2, 2, 4, 4)
			for i := range 2 {
				y := b.conv(fmt.Sprint("c", i), relu(b.norm(fmt.Sprint("bn", i), h)), 2, 3, 1, 1)
				h = concat(1, h, y)
			}
			return b.end(b.linear("fc", flat(pool(h, 4, 0, 4)), 3))
		}},
		{Name: "inception", Build: func() *Model {
			b := start()
			x := b.input("x", 2, 2, 4, 4)
			p := must(gorgonia.MaxPool2D(x, tensor.Shape{3, 3}, []int{1, 1}, []int{1, 1}))
			h := concat(1, relu(b.conv("a", x, 2, 1, 0, 1)), relu(b.conv("b2", relu(b.conv("b1", x, 2, 1, 0, 1)), 2, 3, 1, 1)), relu(b.conv("p", p, 2, 1, 0, 1)))
			return b.end(b.linear("fc", flat(h), 2))
		}},
		{Name: "squeeze_and_excite", Wrong: "Mean over axis 2", Build: func() *Model {
			b := start()
			h := relu(b.conv("c0", b.input("x", 2, 2, 4, 4), 4, 3, 1, 1))
			s := sigmoid(b.linear("excite", relu(b.linear("squeeze", mean(h, 2, 3), 2)), 4))
			y := scaled(h, reshape(s, 2, 4, 1, 1), 2, 3)
			return b.end(b.linear("fc", mean(y, 2, 3), 3))
		}},
		{Name: "group_norm", Build: func() *Model {
			b := start()
			h := b.conv("c0", b.input("x", 2, 2, 4, 4), 4, 3, 1, 1)
			y := must(gorgonia.GroupNorm(h, b.param("gn.gamma", 1, 4, 1, 1), b.param("gn.beta", 1, 4, 1, 1), 2, 4, 1e-5))
			return b.end(b.linear("fc", flat(relu(y)), 3))
		}},
		{Name: "u_net", Build: func() *Model {
			b := start()
			down := relu(b.conv("down1", b.input("x", 2, 1, 4, 4), 2, 3, 1, 1))
			low := relu(b.conv("down2", pool(down, 2, 0, 2), 3, 3, 1, 1))
			up := concat(1, must(gorgonia.Upsample2D(low, 2)), down)
			return b.end(sigmoid(b.conv("head", relu(b.conv("up1", up, 2, 3, 1, 1)), 1, 1, 0, 1)))
		}},
		{Name: "super_resolution", Build: func() *Model {
			// Pixels out of channels, by transposing.
			b := start()
			h := b.conv("c1", relu(b.conv("c0", b.input("x", 2, 1, 3, 3), 3, 3, 1, 1)), 4, 3, 1, 1)
			y := transpose(reshape(h, 2, 2, 2, 3, 3), 0, 3, 1, 4, 2)
			return b.end(reshape(y, 2, 1, 6, 6))
		}},
		{Name: "mish", Build: func() *Model {
			b := start()
			h := must(gorgonia.Mish(b.conv("c0", b.input("x", 2, 2, 4, 4), 3, 3, 1, 1)))
			return b.end(b.linear("fc", flat(h), 2))
		}},
	}
}
