package qat

import (
	"testing"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/qat/qconfig"
	"gorgonia.org/gorgonia"
)

// spot is a node and what stands behind it: "" for no quantizer, or S (signed, zero
// point 0) or A (unsigned: what Core ML Tools calls affine in a symmetric network)
// with the number of the quantizer. Equal numbers are one quantizer.
type spot struct {
	node *gorgonia.Node
	want string
}

// placements are the structural cases of Core ML Tools' test_configure.py, on
// networks that Gorgonia can build, and what goqat adds to them.
var placements = []struct {
	name  string
	build func(x *gorgonia.Node) []spot // the last spot is the output
	more  int                           // how many spots before it are outputs too
}{
	{"conv_relu", func(x *gorgonia.Node) []spot {
		return []spot{{x, "S0"}, {relu(conv("c", x, 3, 3)), "A1"}}
	}, 0},
	{"conv_bn_relu6", func(x *gorgonia.Node) []spot {
		return []spot{{x, "S0"}, {relu6(batchNorm("bn", conv("c", x, 3, 3))), "A1"}}
	}, 0},
	{"conv_leaky_relu", func(x *gorgonia.Node) []spot {
		return []spot{{x, "S0"}, {leakyReLU(conv("c", x, 3, 3)), "S1"}}
	}, 0},
	{"conv_sigmoid", func(x *gorgonia.Node) []spot { // fixed at 1/256
		return []spot{{x, "S0"}, {must(gorgonia.Sigmoid(conv("c", x, 3, 3))), "A1"}}
	}, 0},
	{"dropout", func(x *gorgonia.Node) []spot {
		h := relu(conv("c", x, 3, 3))
		d := must(gorgonia.Dropout(h, 0.5))
		return []spot{{x, "S0"}, {h, "A1"}, {d, "A1"}, {leakyReLU(d), "S2"}}
	}, 0},
	// Convolutions stand for their transposed ones, which Gorgonia does not have. The
	// log-softmax at the end stays float: it is for the loss, and has no integer form.
	{"sequential", func(x *gorgonia.Node) []spot {
		a := relu6(batchNorm("bn1", conv("c1", x, 3, 3)))
		ap := maxPool(a)
		b := relu6(conv("c2", ap, 3, 3))
		bp := maxPool(b)
		c := relu6(batchNorm("bn3", conv("c3", bp, 3, 3)))
		d := leakyReLU(conv("c4", c, 3, 1))
		flat := flatRows(d)
		e := relu6(fc("f1", flat, 5))
		drop := must(gorgonia.Dropout(e, 0.5))
		f := fc("f2", drop, 3)
		return []spot{{x, "S0"}, {a, "A1"}, {ap, "A1"}, {b, "A2"}, {bp, "A2"}, {c, "A3"}, {d, "S4"}, {flat, "S4"},
			{e, "A5"}, {drop, "A5"}, {f, "S6"}, {must(gorgonia.LogSoftMax(f)), ""}}
	}, 0},
	{"residual_after_relu", func(x *gorgonia.Node) []spot {
		h := relu(conv("c1", x, 2, 3))
		r := relu(conv("c2", h, 2, 3))
		return []spot{{x, "S0"}, {h, "A1"}, {r, "A2"}, {addNodes(h, r), "A3"}}
	}, 0},
	{"residual_after_leaky_relu", func(x *gorgonia.Node) []spot {
		h := leakyReLU(conv("c1", x, 2, 3))
		r := relu(conv("c2", h, 2, 3))
		return []spot{{x, "S0"}, {h, "S1"}, {r, "A2"}, {addNodes(h, r), "S3"}}
	}, 0},
	{"complex_add", func(x *gorgonia.Node) []spot {
		a, b := relu(conv("a", x, 2, 3)), leakyReLU(conv("b", x, 2, 3))
		d, e := relu(conv("d", x, 2, 3)), relu(conv("e", x, 2, 3))
		ab, de := addNodes(a, b), addNodes(d, e)
		return []spot{{x, "S0"}, {a, "A1"}, {b, "S2"}, {d, "A3"}, {e, "A4"}, {ab, "S5"}, {de, "A6"}, {addNodes(ab, de), "S7"}}
	}, 0},
	// Theirs is unsigned if the branch that owns the shared quantizer ends in ReLU,
	// and then cuts off the other branch's negative values.
	{"concat_relu_and_identity", func(x *gorgonia.Node) []spot {
		a, b := relu(conv("a", x, 2, 3)), conv("b", x, 2, 3)
		return []spot{{x, "S0"}, {a, "S1"}, {b, "S1"}, {must(gorgonia.Concat(1, a, b)), "S1"}}
	}, 0},
	{"concat_relu_and_relu6", func(x *gorgonia.Node) []spot {
		a, b := relu(conv("a", x, 2, 3)), relu6(conv("b", x, 2, 3))
		return []spot{{x, "S0"}, {a, "A1"}, {b, "A1"}, {must(gorgonia.Concat(1, a, b)), "A1"}}
	}, 0},
	// Theirs gives a the grid of the concatenation, too, which may be far wider: the sum
	// would be of coarse numbers.
	{"add_and_concat_of_one_branch", func(x *gorgonia.Node) []spot {
		a, b, c := relu(conv("a", x, 2, 3)), leakyReLU(conv("b", x, 2, 3)), relu(conv("c", x, 2, 3))
		sum, cat := addNodes(a, b), must(gorgonia.Concat(1, a, c))
		return []spot{{x, "S0"}, {a, "A1"}, {b, "S2"}, {c, "A4"}, {sum, "S3"}, {cat, "A4"}}
	}, 1},
	// Softmax by hand: sums, quotients and exponentials stay float, and the next op
	// that has a form of codes gets its quantizers back. (Theirs has exp2 among the
	// activations, and a fused mul before it.)
	{"softmax_by_hand", func(x *gorgonia.Node) []spot {
		rows := fc("f", flatRows(x), 4)
		peak := must(gorgonia.Max(rows, 1))
		diff := must(gorgonia.BroadcastSub(rows, peak, nil, []byte{1}))
		exp := must(gorgonia.Exp(diff))
		sum := must(gorgonia.Sum(exp, 1))
		y := must(gorgonia.BroadcastHadamardDiv(exp, sum, nil, []byte{1}))
		again := fc("g", y, 3)
		return []spot{{x, "S0"}, {rows, "S1"}, {peak, "S2"}, {diff, "S3"}, {exp, ""}, {sum, ""}, {y, "S4"}, {again, "S5"}}
	}, 0},
	// Reshape, transpose and slice move codes; theirs treats them as float ops, which
	// gives what stands before and behind them quantizers that do not agree.
	{"moved_values", func(x *gorgonia.Node) []spot {
		h := relu(conv("c", x, 4, 3))
		turned := must(gorgonia.Transpose(h, 0, 2, 3, 1))
		flat := flatRows(turned)
		part := must(gorgonia.Slice(flat, nil, gorgonia.S(0, 8)))
		return []spot{{x, "S0"}, {h, "A1"}, {turned, "A1"}, {flat, "A1"}, {part, "A1"}, {fc("f", part, 3), "S2"}}
	}, 0},
	{"batch_norm_alone", func(x *gorgonia.Node) []spot {
		h := batchNorm("bn", maxPool(x))
		return []spot{{x, "S0"}, {h, "S1"}, {fc("f", flatRows(h), 3), "S2"}}
	}, 0},
	{"gate", func(x *gorgonia.Node) []spot { // x·sigmoid(conv x)
		h := relu(conv("c", x, 2, 3))
		s := must(gorgonia.Sigmoid(conv("gate", h, 2, 1)))
		y := must(gorgonia.HadamardProd(h, s))
		return []spot{{x, "S0"}, {h, "A1"}, {s, "A2"}, {y, "A3"}, {must(gorgonia.Sub(y, h)), "S4"}}
	}, 0},
}

func TestPlacement(t *testing.T) {
	for _, c := range placements {
		t.Run(c.name, func(t *testing.T) {
			spots := c.build(imageInput8())
			var outputs []*gorgonia.Node
			for _, s := range spots[len(spots)-1-c.more:] {
				outputs = append(outputs, s.node)
			}
			n := prepare(t, qconfig.Config{QuantizeOutputs: true}, outputs[0].Graph(), outputs...)
			numbered := map[byte]*fakequant.Quantizer{}
			for i, s := range spots {
				q := n.at(s.node)
				format := map[byte]string{'S': signed8, 'A': unsigned8}
				if s.want == "" {
					wantFormat(t, s.node.Name(), q, "float32")
					continue
				}
				if q == nil {
					t.Errorf("spot %d: no quantizer, want %s", i, s.want)
					continue
				}
				wantFormat(t, q.Name(), q, format[s.want[0]])
				for number, other := range numbered {
					if (number == s.want[1]) != (other == q) {
						t.Errorf("spot %d, %s: the quantizer is %s, that of number %c is %s", i, s.want, q.Name(), number, other.Name())
					}
				}
				numbered[s.want[1]] = q
			}
			m := n.machine()
			n.step(m, 0)
			n.step(m, 1)
			for _, q := range numbered {
				if p, err := q.Params(); err != nil || p.ZeroPoint[0] != 0 {
					t.Errorf("%s: %v, %v, want zero point 0", q.Name(), p, err)
				}
			}
			n.verify(n.freeze(), n.batch(5, 3))
		})
	}
}

// imageInput8 is an input of two images of 2 channels and 8 rows and columns.
func imageInput8() *gorgonia.Node { return leaf(gorgonia.NewGraph(), "x", 2, 2, 8, 8) }
