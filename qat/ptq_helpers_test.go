package qat

import (
	"testing"

	"github.com/goqat/goqat/internal/nn"
	"github.com/goqat/goqat/internal/ops"
	"github.com/goqat/goqat/qat/internal/tune"
	"github.com/goqat/goqat/qat/ptq"
	"github.com/goqat/goqat/qat/qconfig"
	"gorgonia.org/gorgonia"
)

// apply adds one of goqat's own ops.
func apply(op nn.Op, in ...*gorgonia.Node) *gorgonia.Node { return must(ops.Apply(op, in...)) }

// groupConv is a 3x3 convolution of stride 1 that keeps the image's size, with a bias.
func groupConv(name string, x *gorgonia.Node, out, groups int) *gorgonia.Node {
	w := param(x.Graph(), name+".weight", out, x.Shape()[1]/groups, 3, 3)
	b := param(x.Graph(), name+".bias", out)
	op := nn.Conv{Stride: [2]int{1, 1}, Pad: [4]int{1, 1, 1, 1}, Dilation: [2]int{1, 1}, Groups: groups}
	return apply(op, x, w, b)
}

// linear is x·Wᵀ with goqat's op and no bias.
func linear(name string, x *gorgonia.Node, out int) *gorgonia.Node {
	return apply(nn.MatMul{TransB: true}, x, param(x.Graph(), name+".weight", out, x.Shape()[1]))
}

// allKinds has every kind of weighted layer behind every layer that passes scales on.
// Its channels are unlike; see uneven.
func allKinds() (*gorgonia.ExprGraph, *gorgonia.Node) {
	g := gorgonia.NewGraph()
	h := relu(batchNorm("bn", conv("c1", leaf(g, "x", 3, 2, 8, 8), 4, 3)))
	h = must(gorgonia.LeakyRelu(groupConv("depthwise", h, 4, 4), 0.25))
	h = maxPool(h)
	h = groupConv("grouped", h, 6, 2)
	h = apply(nn.Pool{Average: true, Kernel: [2]int{2, 2}, Stride: [2]int{2, 2}}, h)
	h = apply(nn.Reshape{Shape: []int{-1, 24}}, h)
	h = relu(fc("fc1", h, 7))
	y := linear("fc2", h, 3)
	uneven(g)
	return g, y
}

// uneven multiplies channels by powers of 2 in front of a ReLU and divides by them
// behind it: the network stays the same, but one scale for a tensor fits badly.
func uneven(g *gorgonia.ExprGraph) {
	factors := []float32{1, 16, 1. / 16, 4}
	times := func(name string, channel func(i int) int, back bool) {
		for _, n := range g.AllNodes() {
			if n.Name() != name {
				continue
			}
			for i, data := 0, n.Value().Data().([]float32); i < len(data); i++ {
				if f := factors[channel(i)]; back {
					data[i] /= f
				} else {
					data[i] *= f
				}
			}
		}
	}
	each := func(i int) int { return i }
	column := func(i int) int { return i/54*2 + i%18/9 } // [6,2,3,3] in two groups
	times("bn.gamma", each, false)
	times("bn.beta", each, false)
	// The depthwise weights are divided by the first and multiplied by the second.
	times("depthwise.bias", each, false)
	times("grouped.weight", column, true)
}

// rounded is a config with few weight bits, ranges from all data and quantized outputs.
func rounded(bits int, g qconfig.GranularitySetting) qconfig.Config {
	w := qconfig.Tensor{Bits: bits, Granularity: g}
	if g == qconfig.PerBlock {
		w.BlockSize = 2
	}
	return qconfig.Config{QuantizeOutputs: true, Global: &qconfig.Layer{Weights: w, Activations: qconfig.Tensor{Observer: "min_max"}}}
}

// correlated are rows of three hidden numbers, mixed, with a tenth of noise.
func correlated(seed uint32, rows, width int) []float32 {
	mix, noise, hidden := numbers(7, 3*width), numbers(seed, rows*width), numbers(seed+1, 3*rows)
	x := make([]float32, rows*width)
	for i := range x {
		x[i] = 0.1 * noise[i]
		for k := range 3 {
			x[i] += float32(hidden[i/width*3+k] * mix[i%width*3+k])
		}
	}
	return x
}

// samples are three batches of correlated data for a network with one input.
func (n *net) samples() ptq.Data {
	v := n.m.plan.Net.Inputs[0]
	per := size(v.Shape) / v.Shape[0]
	return ptq.DataOf(correlated(1, 64, per), correlated(2, 64, per), correlated(3, 32, per))
}

// calibrate shows the observers all samples.
func (n *net) calibrate() {
	n.t.Helper()
	for b := range n.samples() {
		if err := n.m.Calibrate(b...); err != nil {
			n.t.Fatal(err)
		}
	}
}

// verified freezes and checks that the frozen network is the prepared one.
func (n *net) verified() {
	n.t.Helper()
	fz := n.freeze()
	for b := range n.samples() {
		n.verify(fz, b)
		got, err := n.m.Predict(b...)
		if err != nil {
			n.t.Fatal(err)
		}
		want, err := fz.Run(b...)
		if err != nil {
			n.t.Fatal(err)
		}
		sameBits(n.t, "output", map[string][]float32{"y": got[0]}, map[string][]float32{"y": want[0]})
	}
}

// noise is the squared error of the first output over the samples, quantized against
// float, less its mean per channel if centred.
func (n *net) noise(centred bool) float64 {
	n.t.Helper()
	total := 0.0
	var sum []float64
	rows := 0
	for b := range n.samples() {
		y, err := n.m.Predict(b...)
		if err != nil {
			n.t.Fatal(err)
		}
		var f [][]float32
		if err := n.m.plan.InFloat(func() (err error) { f, err = n.m.Predict(b...); return err }); err != nil {
			n.t.Fatal(err)
		}
		shape := n.m.plan.Net.Outputs[0].Shape
		channel := tune.Planes(shape)
		if sum == nil {
			sum = make([]float64, shape[1])
		}
		for i, v := range y[0] {
			d := float64(v) - float64(f[0][i])
			sum[channel[i%len(channel)]] += d
			total += d * d
		}
		rows += len(y[0]) / shape[1]
	}
	if centred {
		for _, s := range sum {
			total -= s * s / float64(rows)
		}
	}
	return total
}

func fatal(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
