package fqop_test

import (
	"math"
	"slices"
	"testing"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/fakequant/fqop"
	"github.com/goqat/goqat/internal/nn"
	"github.com/goqat/goqat/internal/ops"
	"github.com/goqat/goqat/observers"
	"github.com/goqat/goqat/testdata"
	"gorgonia.org/gorgonia"
)

// goldenTol is the tolerance that the golden files' README gives for convbn_qat,
// on 1 + |expected|; noise that for the gradient of a bias in front of live batch
// statistics, which is zero but for roundings.
const (
	goldenTol = 1e-4
	noise     = 1e-3
)

// convBN is a case of convbn_qat.
type convBN struct {
	Name            string
	Qmin, Qmax      int32
	Stride, Padding int
	Groups          int
	Eps             float64 `json:"bn_eps"`
	Momentum        float64 `json:"bn_momentum"`
	Frozen          bool
	X, Weight, Dy   testdata.Tensor
	Bias            *testdata.Tensor
	Gamma, Beta     testdata.Tensor
	Mean            testdata.Tensor `json:"running_mean"`
	Variance        testdata.Tensor `json:"running_var"`
	Y, Dx, Dweight  testdata.Tensor
	Dgamma, Dbeta   testdata.Tensor
	Dbias           *testdata.Tensor
	Scale           testdata.Tensor `json:"weight_scale"`
	NewMean         testdata.Tensor `json:"new_running_mean"`
	NewVariance     testdata.Tensor `json:"new_running_var"`
}

// bits returns the width of a symmetric narrow signed range.
func (c convBN) bits(t *testing.T) int {
	t.Helper()
	for bits := fakequant.MinBits; bits <= fakequant.MaxBits; bits++ {
		if qmin, qmax := (fakequant.Spec{Bits: bits, NarrowRange: true}).QRange(); qmin == c.Qmin && qmax == c.Qmax {
			return bits
		}
	}
	t.Fatalf("%s: no spec has the range %d..%d", c.Name, c.Qmin, c.Qmax)
	return 0
}

// folded is the graph of one case, built as Prepare builds it for training.
type folded struct {
	x, w, gamma, beta, bias *gorgonia.Node
	y, cost                 *gorgonia.Node
	q                       *fakequant.Quantizer
	st                      *ops.BNState
}

func (c convBN) build(t *testing.T) folded {
	t.Helper()
	g := gorgonia.NewGraph()
	leaf := func(name string, v testdata.Tensor) *gorgonia.Node {
		return input(g, name, v.Shape, slices.Clone(v.F32))
	}
	f := folded{x: leaf("x", c.X), w: leaf("w", c.Weight), gamma: leaf("gamma", c.Gamma), beta: leaf("beta", c.Beta)}
	if c.Bias != nil {
		f.bias = leaf("bias", *c.Bias)
	}
	f.st = ops.NewBNState(len(c.Mean.F32), c.Momentum, c.Eps)
	copy(f.st.Mean, c.Mean.F32)
	copy(f.st.Variance, c.Variance.F32)
	f.st.Freeze(c.Frozen)
	f.q = newQuantizer(t, "w", fakequant.Spec{Bits: c.bits(t), NarrowRange: true, Granularity: fakequant.PerChannel}, &observers.Latest{})
	f.q.SetPhase(fakequant.ObservingAndQuantizing)

	scale := must(t)(ops.FoldScale(f.gamma, f.st, true))
	wide := must(t)(ops.Apply(nn.Reshape{Shape: []int{scale.Shape()[0], 1, 1, 1}}, scale))
	wq := must(t)(fqop.Insert(must(t)(ops.Apply(nn.Binary{Fn: "mul"}, f.w, wide)), f.q))
	p := c.Padding
	conv := nn.Conv{Stride: [2]int{c.Stride, c.Stride}, Pad: [4]int{p, p, p, p}, Dilation: [2]int{1, 1}, Groups: c.Groups}
	f.y = must(t)(ops.Unfold(must(t)(ops.Apply(conv, f.x, wq)), scale, f.gamma, f.beta, f.bias, f.st))
	f.cost = weigh(t, f.y, c.Dy.F32)
	return f
}

func (f folded) learnables() gorgonia.Nodes {
	ns := gorgonia.Nodes{f.x, f.w, f.gamma, f.beta}
	if f.bias != nil {
		ns = append(ns, f.bias)
	}
	return ns
}

func close32(t *testing.T, what string, got, want []float32, tol float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s has %d elements, want %d", what, len(got), len(want))
		return
	}
	for i, w := range want {
		if !(math.Abs(float64(got[i])-float64(w)) <= tol*(1+math.Abs(float64(w)))) {
			t.Errorf("%s: element %d is %v, want %v", what, i, got[i], w)
			return
		}
	}
}

// TestGoldenConvBN: one training step of a folded convolution is PyTorch's.
func TestGoldenConvBN(t *testing.T) {
	cases, err := testdata.Golden[convBN]("convbn_qat")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		for _, name := range machines {
			t.Run(c.Name+" "+name, func(t *testing.T) {
				f := c.build(t)
				m := start(t, name, f.cost, f.learnables()...)
				runAll(t, m)
				close32(t, "y", floats(t, f.y.Value()), c.Y.F32, goldenTol)
				params, err := f.q.Params()
				if err != nil {
					t.Fatal(err)
				}
				close32(t, "weight scale", params.Scale, c.Scale.F32, goldenTol)
				close32(t, "dx", gradient(t, f.x), c.Dx.F32, goldenTol)
				close32(t, "dweight", gradient(t, f.w), c.Dweight.F32, goldenTol)
				close32(t, "dgamma", gradient(t, f.gamma), c.Dgamma.F32, goldenTol)
				close32(t, "dbeta", gradient(t, f.beta), c.Dbeta.F32, goldenTol)
				if f.bias != nil {
					close32(t, "dbias", gradient(t, f.bias), c.Dbias.F32, noise)
				}
				close32(t, "running mean", f.st.Mean, c.NewMean.F32, goldenTol)
				close32(t, "running variance", f.st.Variance, c.NewVariance.F32, goldenTol)
			})
		}
	}
}
