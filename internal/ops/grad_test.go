package ops

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/goqat/goqat/internal/nn"
	"github.com/goqat/goqat/internal/vm"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// Gradients are compared with central differences (L(x+h)-L(x-h))/2h in float64.
// Their error is h²/6·|L”'| + 2^-53·|L|·n/h with n the operations behind L. With
// h = 2^-17 and the values here (|L”'| below 2^12, where a normalisation of
// values with a deviation near 0.2 is the worst, |L|·n below 2^14) that is
// 2^-25 + 2^-23 < 2^-20, relative to a gradient of size 1.
const (
	gradStep = 0x1p-17
	gradTol  = 0x1p-20
)

// opCase is an op and the leaves it reads.
type opCase struct {
	name  string
	in    []leaf
	build func() buildFunc // new state on each call
}

// spread returns a leaf whose values differ by at least 2^-6 and keep 2^-7 from
// every multiple of it, so that no maximum is near a tie and no kink is near.
// They lie around the centre.
func spread(seed uint64, centre float64, shape ...int) leaf {
	n := tensor.Shape(shape).TotalSize()
	r := rand.New(rand.NewPCG(seed, 1))
	x := make([]float64, n)
	for i, p := range r.Perm(n) {
		x[i] = centre + (float64(p-n/2)+0.5)*0x1p-6
	}
	return leaf{shape: shape, data: x}
}

// layerCase applies a layer kind to leaves of the given shapes. Values lie around
// 0, or around 1.5 where positive ones are wanted.
func layerCase(name string, op nn.Op, positive bool, shapes ...[]int) opCase {
	c := opCase{name: name, build: func() buildFunc {
		return func(in []*gorgonia.Node) (*gorgonia.Node, error) { return Apply(op, in...) }
	}}
	for i, s := range shapes {
		centre := 0.0
		if positive {
			centre = 1.5
		}
		c.in = append(c.in, spread(uint64(i), centre, s...))
	}
	return c
}

func layerCases() []opCase {
	one, two := [2]int{1, 1}, [2]int{2, 2}
	cases := []opCase{
		layerCase("conv", nn.Conv{Stride: two, Pad: [4]int{1, 0, 1, 2}, Dilation: one, Groups: 1}, false, []int{2, 3, 5, 4}, []int{4, 3, 3, 2}, []int{4}),
		layerCase("conv depthwise", nn.Conv{Stride: one, Dilation: one, Groups: 2}, false, []int{2, 2, 3, 4}, []int{4, 1, 2, 2}),
		layerCase("matmul", nn.MatMul{TransB: true}, false, []int{3, 5}, []int{4, 5}, []int{4}),
		layerCase("matmul batched", nn.MatMul{}, false, []int{2, 3, 4}, []int{2, 4, 2}),
		layerCase("max pool", nn.Pool{Kernel: two, Stride: two, Pad: [4]int{0, 1, 0, 1}}, false, []int{2, 2, 4, 4}),
		layerCase("average pool", nn.Pool{Average: true, Kernel: two, Stride: one}, false, []int{2, 2, 3, 4}),
		layerCase("global average pool", nn.GlobalAvgPool{}, false, []int{2, 3, 3, 2}),
		layerCase("reshape", nn.Reshape{Shape: []int{6, -1}}, false, []int{3, 4}),
		layerCase("reshape to scalar", nn.Reshape{}, false, []int{1, 1}),
		layerCase("transpose", nn.Transpose{Perm: []int{2, 0, 1}}, false, []int{2, 3, 4}),
		layerCase("concat", nn.Concat{Axis: 1}, false, []int{2, 1, 3}, []int{2, 3, 3}),
		layerCase("slice", nn.Slice{Axis: 1, Start: 1, End: 6, Step: 2}, false, []int{2, 6}),
		layerCase("slice squeeze", nn.Slice{Axis: 0, Start: 1, End: 2, Step: 1, Squeeze: true}, false, []int{3, 4}),
		layerCase("softmax", nn.Softmax{Axis: 1}, false, []int{3, 4}),
		layerCase("log softmax", nn.Softmax{Axis: 0, Log: true}, false, []int{3, 4}),
		layerCase("dropout evaluated", nn.Dropout{P: 0.5}, false, []int{3, 4}),
		layerCase("scalar times tensor", nn.Binary{Fn: "mul"}, false, []int{}, []int{2, 3}),
		layerCase("scalars", nn.Binary{Fn: "div"}, true, []int{}, []int{}),
	}
	for _, fn := range []string{"add", "sub", "mul", "div", "pow"} {
		cases = append(cases, layerCase(fn, nn.Binary{Fn: fn}, true, []int{2, 3, 1, 2}, []int{3, 4, 1}))
	}
	for _, fn := range []string{"sum", "mean", "max"} {
		cases = append(cases, layerCase(fn, nn.Reduce{Fn: fn, Axes: []int{0, 2}}, false, []int{3, 2, 4, 2}))
	}
	for _, fn := range []string{"relu", "clip", "leaky_relu", "sigmoid", "tanh", "exp", "neg", "abs", "sign", "ceil",
		"floor", "sin", "cos", "square", "cube", "expm1", "softplus"} {
		cases = append(cases, layerCase(fn, nn.Unary{Fn: fn, Alpha: 0.1, Min: -0.25, Max: 0.125}, false, []int{5, 6}))
	}
	for _, fn := range []string{"log", "log2", "sqrt", "inv", "inv_sqrt", "log1p"} {
		cases = append(cases, layerCase(fn, nn.Unary{Fn: fn}, true, []int{3, 4}))
	}
	return cases
}

// state returns statistics that are nothing special.
func state(frozen bool, channels int) *BNState {
	st := NewBNState(channels, 0.25, 1e-3)
	for c := range st.Mean {
		st.Mean[c], st.Variance[c] = 0.25-0.125*float32(c), 0.5+0.25*float32(c)
	}
	st.Freeze(frozen)
	return st
}

func normCase(name string, training, frozen bool, shape ...int) opCase {
	c := shape[1]
	return opCase{name: name, in: []leaf{spread(1, 0.2, shape...), spread(2, 1, c), spread(3, 0, c)}, build: func() buildFunc {
		st := state(frozen, c)
		return func(in []*gorgonia.Node) (*gorgonia.Node, error) { return BatchNorm(in[0], in[1], in[2], st, training) }
	}}
}

func foldCases() []opCase {
	shape := []int{3, 4, 2, 2}
	var cases []opCase
	for _, frozen := range []bool{false, true} {
		name := "live"
		if frozen {
			name = "frozen"
		}
		gamma := spread(2, 1, 4)
		gamma.data[1] = -0.75
		beta, bias, f := spread(3, 0, 4), spread(4, 0.5, 4), spread(5, 0.75, 4)
		f.data[2] *= -1
		scale := func() buildFunc {
			st := state(frozen, 4)
			return func(in []*gorgonia.Node) (*gorgonia.Node, error) { return FoldScale(in[0], st, true) }
		}
		unfold := func() buildFunc {
			st := state(frozen, 4)
			return func(in []*gorgonia.Node) (*gorgonia.Node, error) {
				var b *gorgonia.Node
				if len(in) > 4 {
					b = in[4]
				}
				return Unfold(in[0], in[1], in[2], in[3], b, st)
			}
		}
		a := spread(1, 0, shape...)
		cases = append(cases,
			opCase{"fold scale " + name, []leaf{gamma}, scale},
			opCase{"unfold " + name, []leaf{a, f, gamma, beta}, unfold},
			opCase{"unfold bias " + name, []leaf{a, f, gamma, beta, bias}, unfold},
			opCase{"unfold rank 2 " + name, []leaf{spread(1, 0, 9, 4), f, gamma, beta, bias}, unfold})
	}
	foldBias := func() buildFunc {
		st := state(false, 4)
		return func(in []*gorgonia.Node) (*gorgonia.Node, error) {
			var b *gorgonia.Node
			if len(in) > 2 {
				b = in[2]
			}
			return FoldBias(in[0], in[1], b, st)
		}
	}
	vectors := []leaf{spread(5, 0.75, 4), spread(3, 0, 4), spread(4, 0.5, 4)}
	return append(cases, opCase{"fold bias", vectors, foldBias}, opCase{"fold bias without", vectors[:2], foldBias})
}

func allCases() []opCase {
	entropy := opCase{"cross entropy", []leaf{spread(1, 0, 4, 5), {shape: []int{4}, ints: []int{3, 0, 4, 3}}}, func() buildFunc {
		return func(in []*gorgonia.Node) (*gorgonia.Node, error) { return CrossEntropy(in[0], in[1]) }
	}}
	cases := append(layerCases(), entropy,
		normCase("batch norm rank 2", true, false, 8, 3), normCase("batch norm", true, false, 3, 2, 3, 2),
		normCase("batch norm frozen", true, true, 3, 2, 3, 2), normCase("batch norm evaluated", false, false, 3, 2, 3, 2),
		normCase("batch norm evaluated rank 2", false, false, 6, 3))
	return append(cases, foldCases()...)
}

// TestGradients: the machines agree to the bit, and in float64 with differences.
func TestGradients(t *testing.T) {
	for _, c := range allCases() {
		t.Run(c.name, func(t *testing.T) {
			for _, dt := range []tensor.Dtype{tensor.Float32, tensor.Float64} {
				var want result
				for i, name := range machines {
					got := run(t, name, dt, c.in, c.build())
					if i == 0 {
						want = got
					}
					same(t, name, got, want)
				}
				if dt == tensor.Float64 {
					differences(t, c, want)
				}
			}
		})
	}
}

func differences(t *testing.T, c opCase, got result) {
	t.Helper()
	r := newRig(t, tensor.Float64, c.in, c.build())
	m, err := vm.New(r.g, r.cost)
	if err != nil {
		t.Fatal(err)
	}
	cost := func() float64 {
		runAll(t, m)
		return numbers(t, r.cost.Value())[0]
	}
	for k, n := range r.in {
		if c.in[k].ints != nil {
			continue
		}
		for j, v := range c.in[k].data {
			set(t, n, c.in[k], j, v+gradStep)
			up := cost()
			set(t, n, c.in[k], j, v-gradStep)
			want := (up - cost()) / (2 * gradStep)
			set(t, n, c.in[k], j, v)
			if g := got.grads[k][j]; !(math.Abs(g-want) <= gradTol*(1+math.Abs(want))) {
				t.Fatalf("operand %d, element %d: gradient %v, differences give %v", k, j, g, want)
			}
		}
	}
}

// set changes one element of a leaf.
func set(t *testing.T, n *gorgonia.Node, l leaf, j int, v float64) {
	t.Helper()
	x := slices.Clone(l.data)
	x[j] = v
	var val any = denseOf(tensor.Float64, l.shape, x)
	if len(l.shape) == 0 {
		val = v
	}
	if err := gorgonia.Let(n, val); err != nil {
		t.Fatal(err)
	}
}

// TestDropout: what is kept is scaled by 1/(1-p), forward and backward alike; each
// run has a mask of its own, and the same seed gives the same masks again.
func TestDropout(t *testing.T) {
	const p, runs, n = 0.25, 3, 400
	l := leaf{shape: []int{20, 20}, data: slices.Repeat([]float64{2}, n)}
	for _, dt := range []tensor.Dtype{tensor.Float32, tensor.Float64} {
		var masks [2][runs][]float64
		for again := range 2 {
			r := newRig(t, dt, []leaf{l}, func(in []*gorgonia.Node) (*gorgonia.Node, error) { return Dropout(in[0], p, 7, true) })
			r.grad(t)
			m, err := vm.New(r.g)
			if err != nil {
				t.Fatal(err)
			}
			weights := rounded(dt, normal(rand.New(rand.NewPCG(3, 3)), n))
			for i := range runs {
				runAll(t, m)
				y, dx := numbers(t, r.seen), r.result(t).grads[0]
				masks[again][i] = y
				kept := 0
				for j, v := range y {
					want, wantGrad := 0.0, 0.0
					if v != 0 {
						kept++
						scale := rounded(dt, []float64{1 / (1 - p)})[0]
						want, wantGrad = rounded(dt, []float64{2 * scale})[0], rounded(dt, []float64{weights[j] * scale})[0]
					}
					if v != want || dx[j] != wantGrad {
						t.Fatalf("%v: element %d is %v with gradient %v, want %v and %v", dt, j, v, dx[j], want, wantGrad)
					}
				}
				// The count is binomial with deviation sqrt(n·p·(1-p)) < 9; six of them.
				if math.Abs(float64(kept)-n*(1-p)) > 54 {
					t.Errorf("%v: run %d keeps %d of %d elements, want about %v", dt, i, kept, n, n*(1-p))
				}
			}
		}
		for i := range runs {
			if !slices.Equal(masks[0][i], masks[1][i]) {
				t.Errorf("%v: run %d differs between two ops with one seed", dt, i)
			}
			if i > 0 && slices.Equal(masks[0][i], masks[0][0]) {
				t.Errorf("%v: run %d has the mask of run 0", dt, i)
			}
		}
	}
}

// TestDiff: an operand that is not wanted gets no gradient, and the others the
// same as before.
func TestDiff(t *testing.T) {
	leaves := []leaf{spread(1, 0, 2, 3), spread(2, 0, 4, 3), spread(3, 0, 4)}
	all := run(t, "vm", tensor.Float64, leaves, func(in []*gorgonia.Node) (*gorgonia.Node, error) {
		return Apply(nn.MatMul{TransB: true}, in...)
	})
	for skip := range leaves {
		diff := []bool{true, true, true}
		diff[skip] = false
		r := newRig(t, tensor.Float64, leaves, func(in []*gorgonia.Node) (*gorgonia.Node, error) {
			return ApplyWith(nn.MatMul{TransB: true}, Options{Diff: diff}, in...)
		})
		wrt := slices.Delete(slices.Clone(r.in), skip, skip+1)
		if _, err := gorgonia.Grad(r.cost, wrt...); err != nil {
			t.Fatal(err)
		}
		m := gorgonia.NewTapeMachine(r.g)
		runAll(t, m)
		for i, n := range r.in {
			if i == skip {
				if n.Deriv() != nil {
					t.Errorf("operand %d has a gradient", i)
				}
				continue
			}
			g, err := n.Grad()
			if err != nil {
				t.Fatal(err)
			}
			if got := numbers(t, g); !slices.Equal(got, all.grads[i]) {
				t.Errorf("without operand %d the gradient of %d is %v, want %v", skip, i, got, all.grads[i])
			}
		}
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
