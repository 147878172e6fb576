package zoo

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// tabular are networks over rows of a table.
func tabular() []Case {
	return []Case{
		{Name: "logistic_regression", Asked: true, Build: func() *Model {
			b := start()
			x, y := b.input("x", 4, 8), b.input("y", 4)
			p := sigmoid(add(mul(x, b.param("w", 8)), b.scalar("bias", 0.25)))
			loss := must(gorgonia.Neg(mean(add(had(y, must(gorgonia.Log(p))), had(sub(k(1), y), must(gorgonia.Log(sub(k(1), p))))))))
			decay := had(k(0.01), sum(square(b.Learnables[0])))
			return b.with(add(loss, decay), p)
		}},
		{Name: "iris", Build: func() *Model {
			// A row of ones in x makes the bias a weight.
			b := start()
			x, y := b.input("x", 4, 8), b.input("y", 4)
			pred := mul(x, b.param("theta", 8))
			return b.with(mse(pred, y), pred)
		}},
		{Name: "softmax_regression", Build: func() *Model {
			b := start()
			p := softmax(b.linear("fc", b.input("x", 4, 5), 3))
			cost := must(gorgonia.Neg(mean(had(p, b.oneHot("y", 4, 3)))))
			return b.with(cost, p)
		}},
		{Name: "linear_regression", Asked: true, FixedBatch: true, Build: func() *Model {
			b := start()
			x, y := b.input("x", 8), b.input("y", 8)
			pred := add(had(x, b.scalar("m", 0.5)), b.scalar("c", -0.25))
			return b.with(mse(pred, y), pred)
		}},
		{Name: "svm", Build: func() *Model {
			b := start()
			f := b.linear("fc", b.input("x", 4, 6), 1)
			hinge := relu(sub(k(1), had(f, b.input("y", 4, 1))))
			return b.with(add(mean(hinge), had(k(0.01), sum(square(b.Learnables[0])))), f)
		}},
		{Name: "wide_and_deep", Build: func() *Model {
			b := start()
			wideX, x := b.input("wide", 3, 6), b.input("x", 3, 4)
			deep := concat(1, rows(b.param("city", 5, 3), b.whole("cities", 5, 3)), x)
			deep = relu(b.linear("deep1", deep, 6))
			y := sigmoid(add(b.linear("deep2", deep, 1), mul(wideX, b.param("w", 6, 1))))
			return b.with(mean(must(gorgonia.BinaryXent(y, b.input("y", 3, 1)))), y)
		}},
		{Name: "deep_fm", Build: func() *Model {
			b := start()
			const batch, fields, width = 3, 3, 4
			var vs, firsts []*gorgonia.Node
			for f := range fields {
				ids := b.whole(fmt.Sprint("field", f), 5, batch)
				vs = append(vs, rows(b.param(fmt.Sprint("v", f), 5, width), ids))
				firsts = append(firsts, rows(b.param(fmt.Sprint("w", f), 5, 1), ids))
			}
			total, squares := vs[0], square(vs[0])
			first := firsts[0]
			for f := 1; f < fields; f++ {
				total, squares, first = add(total, vs[f]), add(squares, square(vs[f])), add(first, firsts[f])
			}
			second := had(k(0.5), reshape(sum(sub(square(total), squares), 1), batch, 1))
			deep := b.linear("deep2", relu(b.linear("deep1", concat(1, vs...), 5)), 1)
			y := sigmoid(add(add(first, second), deep))
			return b.with(mean(must(gorgonia.BinaryXent(y, b.input("y", batch, 1)))), y)
		}},
		{Name: "factorization_machine", Build: func() *Model {
			b := start()
			x, v := b.input("x", 3, 5), b.param("v", 5, 4)
			second := sum(sub(square(mul(x, v)), mul(square(x), square(v))), 1)
			return b.end(add(b.linear("first", x, 1), had(k(0.5), reshape(second, 3, 1))))
		}},
		{Name: "deep_and_cross", Build: func() *Model {
			b := start()
			x0 := b.input("x", 3, 4)
			x := x0
			for i := range 2 {
				s := mul(x, b.param(fmt.Sprint("cross", i, ".weight"), 4, 1))
				x = add(wide(scaled(x0, s, 1), b.param(fmt.Sprint("cross", i, ".bias"), 1, 4), 0), x)
			}
			return b.end(b.linear("head", concat(1, x, relu(b.linear("deep", x0, 5))), 1))
		}},
		{Name: "tabnet", Build: func() *Model {
			b := start()
			const batch, features, width = 4, 5, 3
			x := b.norm("bn", b.input("x", batch, features))
			prior := b.leaf("prior", []float32{1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}, batch, features)
			glu := func(name string, x *gorgonia.Node) *gorgonia.Node {
				h := b.norm(name+".bn", mul(x, b.param(name+".weight", x.Shape()[1], 2*width)))
				return had(slice(h, nil, gorgonia.S(0, width)), sigmoid(slice(h, nil, gorgonia.S(width, 2*width))))
			}
			a := glu("first", x)
			var total *gorgonia.Node
			for i := range 2 {
				scores := b.norm(fmt.Sprint("attentive", i, ".bn"), mul(a, b.param(fmt.Sprint("attentive", i, ".weight"), width, features)))
				mask := must(gorgonia.Sparsemax(had(scores, prior)))
				prior = had(prior, sub(k(1.5), mask))
				a = glu(fmt.Sprint("step", i), had(mask, x))
				if total == nil {
					total = relu(a)
				} else {
					total = add(total, relu(a))
				}
			}
			return b.end(b.linear("head", total, 2))
		}},
		{Name: "mixture_of_experts", Build: func() *Model {
			b := start()
			x := b.input("x", 3, 4)
			gates := softmax(b.linear("gate", x, 2))
			var y *gorgonia.Node
			for e := range 2 {
				expert := b.linear(fmt.Sprint("expert", e, ".out"), relu(b.linear(fmt.Sprint("expert", e, ".in"), x, 5)), 3)
				part := scaled(expert, slice(gates, nil, gorgonia.S(e, e+1)), 1)
				if y == nil {
					y = part
				} else {
					y = add(y, part)
				}
			}
			return b.end(y)
		}},
		{Name: "masked_by_threshold", Build: func() *Model {
			b := start()
			h := b.linear("fc1", b.input("x", 4, 6), 5)
			mask := must(gorgonia.Gt(h, k(0.25), true))
			return b.end(b.linear("fc2", had(h, mask), 3))
		}},
		{Name: "maxout", Build: func() *Model {
			b := start()
			h := b.linear("fc1", b.input("x", 4, 6), 6)
			y := must(gorgonia.Max(reshape(h, 4, 3, 2), 2))
			return b.end(b.linear("fc2", y, 2))
		}},
		{Name: "max_of_two", Build: func() *Model {
			b := start()
			x := b.input("x", 4, 6)
			y := must(gorgonia.MaxBetween(b.linear("a", x, 5), b.linear("b", x, 5)))
			return b.end(b.linear("head", must(gorgonia.MinBetween(y, b.linear("c", x, 5))), 2))
		}},
		{Name: "tensordot", Build: func() *Model {
			b := start()
			x := b.input("x", 3, 4, 5)
			y := must(gorgonia.Tensordot([]int{1, 2}, []int{0, 1}, x, b.param("w", 4, 5, 6)))
			return b.end(b.linear("head", relu(y), 2))
		}},
		{Name: "bilinear", Build: func() *Model {
			b := start()
			x, z := b.input("x", 3, 4), b.input("z", 3, 4)
			y := sum(had(mul(x, b.param("w", 4, 4)), z), 1)
			return b.end(y)
		}},
		{Name: "siren", Build: func() *Model {
			b := start()
			h := must(gorgonia.Sin(had(k(3), b.linear("fc1", b.input("x", 4, 2), 6))))
			h = must(gorgonia.Sin(b.linear("fc2", h, 6)))
			return b.end(b.linear("fc3", h, 1))
		}},
		{Name: "standardised_input", Build: func() *Model {
			b := start()
			x := b.input("x", 4, 3)
			mu, sigma := b.leaf("mean", []float32{0.5, -0.25, 0.125}, 1, 3), b.leaf("deviation", []float32{2, 0.5, 1.5}, 1, 3)
			z := must(gorgonia.BroadcastHadamardDiv(must(gorgonia.BroadcastSub(x, mu, nil, []byte{0})), sigma, nil, []byte{0}))
			return b.end(b.linear("fc2", relu(b.linear("fc1", z, 5)), 1))
		}},
		{Name: "float64", Build: func() *Model {
			b := start()
			x := gorgonia.NewMatrix(b.Graph, tensor.Float64, gorgonia.WithShape(3, 4), gorgonia.WithName("x"))
			w := gorgonia.NewMatrix(b.Graph, tensor.Float64, gorgonia.WithShape(4, 2), gorgonia.WithName("w"), gorgonia.WithInit(gorgonia.GlorotN(1)))
			b.Inputs, b.Learnables = []*gorgonia.Node{x}, []*gorgonia.Node{w}
			return b.end(relu(mul(x, w)))
		}, Refused: "float64"},
	}
}
