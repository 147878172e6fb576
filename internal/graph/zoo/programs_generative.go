package zoo

import (
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// generative are autoencoders and networks that make up data.
func generative() []Case {
	vae := func(random bool) func() *Model {
		return func() *Model {
			b := start()
			x := b.input("x", 3, 6)
			h := relu(b.linear("encoder", x, 5))
			mu, logvar := b.linear("mu", h, 2), b.linear("logvar", h, 2)
			var eps *gorgonia.Node
			if random {
				eps = gorgonia.GaussianRandomNode(b.Graph, tensor.Float32, 0, 1, 3, 2)
			} else {
				eps = b.input("eps", 3, 2)
			}
			z := add(mu, had(eps, must(gorgonia.Exp(had(logvar, k(0.5))))))
			y := sigmoid(b.linear("decoder2", relu(b.linear("decoder1", z, 5)), 6))
			kl := had(k(-0.5), sum(sub(sub(add(logvar, k(1)), square(mu)), must(gorgonia.Exp(logvar)))))
			return b.with(add(mse(y, x), had(kl, k(0.01))), y)
		}
	}
	return []Case{
		{Name: "autoencoder", Build: func() *Model {
			b := start()
			x := b.input("x", 3, 6)
			y := sigmoid(b.linear("decoder", relu(b.linear("encoder", x, 3)), 6))
			return b.with(mse(y, x), y)
		}},
		{Name: "denoising_autoencoder", Build: func() *Model {
			// Tied weights; the noise is a mask from outside.
			b := start()
			x, keep := b.input("x", 3, 6), b.input("keep", 3, 6)
			w := b.param("w", 6, 4)
			h := sigmoid(wide(mul(had(x, keep), w), b.param("b", 1, 4), 0))
			y := sigmoid(wide(mul(h, transpose(w, 1, 0)), b.param("c", 1, 6), 0))
			return b.with(mean(must(gorgonia.BinaryXent(y, x))), y)
		}},
		{Name: "noise_of_the_graph", Random: true, Build: func() *Model {
			b := start()
			x := b.input("x", 3, 6)
			keep := gorgonia.BinomialRandomNode(b.Graph, tensor.Float32, 1, 0.75, 3, 6)
			y := b.linear("decoder", relu(b.linear("encoder", had(x, keep), 4)), 6)
			return b.with(mse(y, x), y)
		}},
		{Name: "convolutional_autoencoder", Build: func() *Model {
			b := start()
			x := b.input("x", 2, 1, 4, 4)
			h := pool(relu(b.conv("encoder", x, 3, 3, 1, 1)), 2, 0, 2)
			y := sigmoid(b.conv("decoder", must(gorgonia.Upsample2D(h, 2)), 1, 3, 1, 1))
			return b.with(mse(y, x), y)
		}},
		{Name: "sparse_autoencoder", Build: func() *Model {
			b := start()
			x := b.input("x", 3, 6)
			h := sigmoid(b.linear("encoder", x, 4))
			y := b.linear("decoder", h, 6)
			rho := mean(h, 0)
			kl := sum(had(k(0.05), must(gorgonia.Log(must(gorgonia.HadamardDiv(k(0.05), rho))))))
			return b.with(add(mse(y, x), kl), y)
		}},
		{Name: "vae", Build: vae(false)},
		{Name: "vae_random_node", Random: true, Build: vae(true)},
		{Name: "gan", Build: func() *Model {
			// One discriminator on real and on made-up data.
			b := start()
			real, z := b.input("real", 3, 4), b.input("z", 3, 2)
			fake := tanh(b.linear("g2", relu(b.linear("g1", z, 5)), 4))
			w1, b1 := b.param("d1.weight", 4, 5), b.param("d1.bias", 1, 5)
			w2 := b.param("d2.weight", 5, 1)
			judge := func(x *gorgonia.Node) *gorgonia.Node {
				return sigmoid(mul(must(gorgonia.LeakyRelu(wide(mul(x, w1), b1, 0), 0.2)), w2))
			}
			r, f := judge(real), judge(fake)
			cost := must(gorgonia.Neg(mean(add(must(gorgonia.Log(r)), must(gorgonia.Log(sub(k(1.0001), f)))))))
			return b.with(cost, r, f, fake)
		}},
		{Name: "dcgan_generator", Build: func() *Model {
			b := start()
			h := relu(b.norm("bn0", reshape(b.linear("project", b.input("z", 2, 3), 2*2*2), 2, 2, 2, 2)))
			h = relu(b.norm("bn1", b.conv("c1", must(gorgonia.Upsample2D(h, 2)), 3, 3, 1, 1)))
			return b.end(tanh(b.conv("c2", h, 1, 3, 1, 1)))
		}},
		{Name: "coupling_flow", Build: func() *Model {
			b := start()
			x := b.input("x", 3, 4)
			a, c := slice(x, nil, gorgonia.S(0, 2)), slice(x, nil, gorgonia.S(2, 4))
			s, t := tanh(b.linear("scale", a, 2)), b.linear("shift", a, 2)
			y := add(had(c, must(gorgonia.Exp(s))), t)
			return b.end(concat(1, a, y))
		}},
		{Name: "diffusion_step", Build: func() *Model {
			b := start()
			x, noise := b.input("x", 3, 4), b.input("noise", 3, 4)
			times := rows(b.param("times", 5, 4), b.whole("t", 5, 3))
			alpha := b.input("alpha", 3, 1)
			noisy := add(scaled(x, alpha, 1), noise)
			h := had(sigmoid(b.linear("gate", times, 6)), relu(b.linear("in", noisy, 6)))
			y := b.linear("out", h, 4)
			return b.with(mse(y, noise), y)
		}},
	}
}
