package zoo

import (
	"gorgonia.org/gorgonia"
)

// elementwise are networks of elementwise functions.
func elementwise() []Case {
	return []Case{
		{Name: "scalars", Build: func() *Model {
			b := start()
			h := must(gorgonia.Mul(b.linear("fc", b.input("x", 4, 6), 3), b.scalar("gain", 1.5)))
			h = must(gorgonia.Add(h, gorgonia.NewConstant(float32(0.25))))
			return b.end(must(gorgonia.Sub(gorgonia.NewConstant(float32(2)), h)))
		}},
		{Name: "normalised_input", Build: func() *Model {
			b := start()
			x := b.input("x", 4, 6)
			h := must(gorgonia.Div(must(gorgonia.Sub(x, gorgonia.NewConstant(float32(0.5)))), gorgonia.NewConstant(float32(0.3))))
			return b.end(b.linear("fc", h, 3))
		}},
		{Name: "broadcasting", Build: func() *Model {
			b := start()
			h := b.linear("fc", b.input("x", 4, 6), 3)
			h = must(gorgonia.BroadcastHadamardProd(h, b.param("scale", 3), nil, []byte{0}))
			h = must(gorgonia.BroadcastSub(h, b.param("shift", 1, 3), nil, []byte{0}))
			return b.end(must(gorgonia.BroadcastHadamardDiv(h, must(gorgonia.Exp(b.param("width", 1, 3))), nil, []byte{0})))
		}},
		{Name: "broadcast_left", Build: func() *Model {
			b := start()
			h := b.linear("fc", b.input("x", 4, 6), 3)
			return b.end(must(gorgonia.BroadcastSub(b.param("shift", 1, 3), h, []byte{0}, nil)))
		}},
		{Name: "row_centred", Build: func() *Model {
			b := start()
			h := b.linear("fc", b.input("x", 4, 6), 3)
			return b.end(must(gorgonia.BroadcastSub(h, must(gorgonia.Mean(h, 1)), nil, []byte{1})))
		}},
		{Name: "leaky_relu", Build: func() *Model {
			b := start()
			return b.end(must(gorgonia.LeakyRelu(b.linear("fc", b.input("x", 4, 6), 3), 0.125)))
		}},
		{Name: "relu6", Build: func() *Model {
			b := start()
			h := must(gorgonia.Mul(b.linear("fc", b.input("x", 4, 6), 3), gorgonia.NewConstant(float32(8))))
			over := must(gorgonia.Sub(h, gorgonia.NewConstant(float32(6))))
			return b.end(must(gorgonia.Sub(relu(h), relu(over))))
		}},
		{Name: "mish", Build: func() *Model {
			b := start()
			return b.end(must(gorgonia.Mish(b.linear("fc", b.input("x", 4, 6), 3))))
		}},
		{Name: "unary_chain", Build: func() *Model {
			b := start()
			h := b.linear("fc", b.input("x", 4, 6), 3)
			s := must(gorgonia.Add(must(gorgonia.Square(h)), gorgonia.NewConstant(float32(0.5))))
			fns := []func(*gorgonia.Node) (*gorgonia.Node, error){
				gorgonia.Sqrt, gorgonia.Log, gorgonia.Exp, gorgonia.Inverse, gorgonia.Cube,
				gorgonia.Log1p, gorgonia.Expm1, gorgonia.Softplus, gorgonia.Sin, gorgonia.Cos,
				gorgonia.Neg, gorgonia.Abs,
			}
			for _, f := range fns {
				s = must(f(s))
			}
			return b.end(s)
		}},
		{Name: "power", Build: func() *Model {
			b := start()
			h := must(gorgonia.Sigmoid(b.linear("fc", b.input("x", 4, 6), 3)))
			return b.end(must(gorgonia.Pow(h, gorgonia.NewConstant(float32(3)))))
		}},
		{Name: "full_bias", FixedBatch: true, Build: func() *Model {
			b := start()
			return b.end(must(gorgonia.Add(b.linear("fc", b.input("x", 4, 6), 3), b.param("grid", 4, 3))))
		}},
		{Name: "named_nodes", Build: func() *Model {
			b := start()
			h := b.linear("fc", b.input("x", 4, 6), 3)
			gorgonia.WithName("hidden")(h)
			y := relu(h)
			gorgonia.WithName("activation")(y)
			return b.end(y)
		}},
	}
}
