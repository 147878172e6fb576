package ops

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/goqat/goqat/internal/nn"
	"github.com/goqat/goqat/internal/vm"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// statsTol: statistics are summed in float64 and rounded to float32 twice, once
// as the step and once as the sum: 2 · 2^-24 of values around 1.
const statsTol = 0x1p-23

// normTol: a chain of a convolution of 27 terms, a division and a normalisation in
// float32, against the same without the division: below 64 roundings of 2^-24
// each, of intermediate values below 16.
const normTol = 64 * 16 * 0x1p-24

// moved is the running statistics after one batch, straight from the formula.
func moved(st *BNState, x []float64, shape []int) (mean, variance []float64) {
	inner := tensor.Shape(shape[2:]).TotalSize()
	for c := range shape[1] {
		var vals []float64
		for i, v := range x {
			if i/inner%shape[1] == c {
				vals = append(vals, v)
			}
		}
		n := float64(len(vals))
		m, ss := 0.0, 0.0
		for _, v := range vals {
			m += v / n
		}
		for _, v := range vals {
			ss += (v - m) * (v - m)
		}
		mean = append(mean, (1-st.Momentum)*float64(st.Mean[c])+st.Momentum*m)
		variance = append(variance, (1-st.Momentum)*float64(st.Variance[c])+st.Momentum*ss/(n-1))
	}
	return mean, variance
}

func near(t *testing.T, what string, got []float32, want []float64, tol float64) {
	t.Helper()
	for i, w := range want {
		if !(math.Abs(float64(got[i])-w) <= tol*(1+math.Abs(w))) {
			t.Errorf("%s %d is %v, want %v", what, i, got[i], w)
		}
	}
}

// TestRunningStatistics: each live run moves them once, by the formula; frozen and
// evaluated runs leave them alone. Freezing takes effect without compiling again.
func TestRunningStatistics(t *testing.T) {
	for _, shape := range [][]int{{7, 3}, {2, 3, 2, 4}} {
		for _, folded := range []bool{false, true} {
			st := state(false, 3)
			x := spread(1, 0.3, shape...)
			x.data = rounded(tensor.Float32, x.data)
			leaves := []leaf{x, spread(2, 1, 3), spread(3, 0, 3), {shape: []int{3}, data: []float64{1, 1, 1}}}
			r := newRig(t, tensor.Float32, leaves, func(in []*gorgonia.Node) (*gorgonia.Node, error) {
				if folded {
					return Unfold(in[0], in[3], in[1], in[2], nil, st) // f is 1
				}
				return BatchNorm(in[0], in[1], in[2], st, true)
			})
			m, err := vm.New(r.g)
			if err != nil {
				t.Fatal(err)
			}
			for step, frozen := range []bool{false, false, true, true, false} {
				st.Freeze(frozen)
				mean, variance := moved(st, x.data, shape)
				if frozen {
					mean, variance = floats64(st.Mean), floats64(st.Variance)
				}
				runAll(t, m)
				what := fmt.Sprintf("shape %v, folded %v, step %d:", shape, folded, step)
				near(t, what+" mean", st.Mean, mean, statsTol)
				near(t, what+" variance", st.Variance, variance, statsTol)
			}
		}
	}
}

func floats64(x []float32) []float64 {
	out := make([]float64, len(x))
	for i, v := range x {
		out[i] = float64(v)
	}
	return out
}

// TestFreezeBetweenRuns: the frozen result is that of evaluation, and afterwards
// the batch counts again.
func TestFreezeBetweenRuns(t *testing.T) {
	leaves := []leaf{spread(1, 0.3, 4, 3), spread(2, 1, 3), spread(3, 0, 3)}
	st := state(false, 3)
	rig := func(training bool) (*rig, gorgonia.VM) {
		r := newRig(t, tensor.Float32, leaves, func(in []*gorgonia.Node) (*gorgonia.Node, error) {
			return BatchNorm(in[0], in[1], in[2], st, training)
		})
		r.grad(t)
		m, err := vm.New(r.g)
		if err != nil {
			t.Fatal(err)
		}
		return r, m
	}
	train, m := rig(true)
	eval, me := rig(false)
	runAll(t, m)
	live := train.result(t)
	st.Freeze(true)
	if !st.Frozen() {
		t.Error("not frozen")
	}
	runAll(t, m)
	runAll(t, me)
	frozen := train.result(t)
	same(t, "frozen", frozen, eval.result(t))
	if slices.Equal(frozen.cost, live.cost) {
		t.Error("freezing changed nothing")
	}
	st.Freeze(false)
	runAll(t, m)
	same(t, "live again", train.result(t), live)
}

// TestOneElement: a batch with one element per channel has variance 0. The result
// is beta, and no statistic becomes NaN.
func TestOneElement(t *testing.T) {
	st := NewBNState(2, 0.25, 1e-3)
	leaves := []leaf{{shape: []int{1, 2}, data: []float64{4, -8}}, {shape: []int{2}, data: []float64{2, 3}}, {shape: []int{2}, data: []float64{0.5, -1}}}
	build := func(in []*gorgonia.Node) (*gorgonia.Node, error) { return BatchNorm(in[0], in[1], in[2], st, true) }
	r := newRig(t, tensor.Float32, leaves, build)
	r.grad(t)
	m, err := vm.New(r.g)
	if err != nil {
		t.Fatal(err)
	}
	runAll(t, m)
	sameNumbers(t, "result", numbers(t, r.seen), leaves[2].data)
	sameNumbers(t, "input gradient", r.result(t).grads[0], []float64{0, 0})
	sameNumbers(t, "gamma gradient", r.result(t).grads[1], []float64{0, 0})
	sameNumbers(t, "mean", floats64(st.Mean), []float64{1, -2})
	sameNumbers(t, "variance", floats64(st.Variance), []float64{0.75, 0.75})
}

// convNorm is a convolution and its batch normalisation, folded as a training
// graph does it, or one after the other.
func convNorm(st *BNState, folded bool) buildFunc {
	return func(in []*gorgonia.Node) (*gorgonia.Node, error) {
		x, w, gamma, beta, bias := in[0], in[1], in[2], in[3], in[4]
		conv := nn.Conv{Stride: [2]int{1, 1}, Pad: [4]int{1, 1, 1, 1}, Dilation: [2]int{1, 1}, Groups: 1}
		if !folded {
			y, err := Apply(conv, x, w, bias)
			if err != nil {
				return nil, err
			}
			return BatchNorm(y, gamma, beta, st, true)
		}
		f, err := FoldScale(gamma, st, true)
		if err != nil {
			return nil, err
		}
		wide, err := Apply(nn.Reshape{Shape: []int{f.Shape()[0], 1, 1, 1}}, f)
		if err != nil {
			return nil, err
		}
		if w, err = Apply(nn.Binary{Fn: "mul"}, w, wide); err != nil {
			return nil, err
		}
		a, err := Apply(conv, x, w)
		if err != nil {
			return nil, err
		}
		return Unfold(a, f, gamma, beta, bias, st)
	}
}

// TestFoldedIsUnfolded: without a quantizer in between, folding changes nothing
// but roundings: neither results nor gradients nor statistics, with a gamma of 0
// too, live and frozen.
func TestFoldedIsUnfolded(t *testing.T) {
	for _, frozen := range []bool{false, true} {
		gamma := spread(3, 1, 4)
		gamma.data[0], gamma.data[2] = 0, -0.5
		leaves := []leaf{spread(1, 0.2, 2, 3, 3, 3), spread(2, 0, 4, 3, 3, 3), gamma, spread(4, 0, 4), spread(5, 0.5, 4)}
		var got [2]result
		var st [2]*BNState
		for i, folded := range []bool{false, true} {
			st[i] = state(frozen, 4)
			r := newRig(t, tensor.Float32, leaves, convNorm(st[i], folded))
			r.grad(t)
			m, err := vm.New(r.g)
			if err != nil {
				t.Fatal(err)
			}
			runAll(t, m)
			got[i] = r.result(t)
			got[i].cost = numbers(t, r.seen)
		}
		near(t, fmt.Sprintf("frozen %v: result", frozen), float32s(got[1].cost), got[0].cost, normTol)
		for k := range leaves {
			near(t, fmt.Sprintf("frozen %v: gradient of operand %d,", frozen, k), float32s(got[1].grads[k]), got[0].grads[k], normTol*scaleOf(got[0].grads))
		}
		near(t, "mean", st[1].Mean, floats64(st[0].Mean), normTol)
		near(t, "variance", st[1].Variance, floats64(st[0].Variance), normTol)
	}
}

// scaleOf is the largest gradient: sums of large terms cancel in small ones.
func scaleOf(grads [][]float64) (m float64) {
	for _, g := range grads {
		for _, v := range g {
			m = max(m, math.Abs(v))
		}
	}
	return m
}

func float32s(x []float64) []float32 {
	out := make([]float32, len(x))
	for i, v := range x {
		out[i] = float32(v)
	}
	return out
}

// TestFoldScale: f, its floor, and its gradient, which is that of the statistics
// that f was computed with, although the normalisation behind moves them before
// the backward pass.
func TestFoldScale(t *testing.T) {
	for _, frozen := range []bool{false, true} {
		st := state(frozen, 3)
		gamma := []float64{1.5, -0x1p-12, 0}
		var f, slope []float64
		for c, g := range gamma {
			inv := 1 / math.Sqrt(float64(st.Variance[c])+st.Eps)
			f, slope = append(f, g*inv), append(slope, inv)
			if c > 0 && !frozen {
				f[c], slope[c] = math.Copysign(0x1p-10, g), 0
			}
		}
		g := gorgonia.NewGraph()
		gammaNode := newLeaf(t, g, "gamma", tensor.Float64, leaf{shape: []int{3}, data: gamma})
		ones := newLeaf(t, g, "ones", tensor.Float64, leaf{shape: []int{3}, data: []float64{1, 1, 1}})
		scale := must(t)(FoldScale(gammaNode, st, true))
		rows := must(t)(Apply(nn.Binary{Fn: "add"}, newLeaf(t, g, "x", tensor.Float64, spread(1, 0.3, 6, 3)), scale))
		norm := must(t)(BatchNorm(rows, ones, ones, st, true))
		all := []int{0, 1}
		// The cost is the sum of f and of something without a gradient that has to run
		// before the cost does.
		still := must(t)(Apply(nn.Reduce{Fn: "sum", Axes: all}, must(t)(ApplyWith(nn.Unary{Fn: "sign"}, Options{Diff: []bool{false}}, norm))))
		cost := must(t)(Apply(nn.Binary{Fn: "add"}, must(t)(Apply(nn.Reduce{Fn: "sum", Axes: all[:1]}, scale)), still))
		if _, err := gorgonia.Grad(cost, gammaNode); err != nil {
			t.Fatal(err)
		}
		m, err := vm.New(g)
		if err != nil {
			t.Fatal(err)
		}
		before := slices.Clone(st.Variance)
		runAll(t, m)
		if moved := !slices.Equal(before, st.Variance); moved == frozen {
			t.Fatalf("frozen %v: statistics moved: %v", frozen, moved)
		}
		dgamma, err := gammaNode.Grad()
		if err != nil {
			t.Fatal(err)
		}
		sameNumbers(t, fmt.Sprintf("frozen %v: f", frozen), numbers(t, scale.Value()), f)
		sameNumbers(t, fmt.Sprintf("frozen %v: gradient", frozen), numbers(t, dgamma), slope)
	}
}
