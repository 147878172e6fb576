package nn

import (
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
)

// Gradients are compared with central differences (L(x+h)-L(x-h))/2h in float64.
// Their error is h²/6·|L”'| + 2^-53·|L|·n/h with n the operations behind L. With
// h = 2^-17 and the values here (|L”'| below 2^12 where powers of numbers
// near 0.5 are the worst, |L|·n below 2^14) that is 2^-25 + 2^-23 < 2^-20,
// relative to a gradient of size 1.
const (
	gradStep = 0x1p-17
	gradTol  = 0x1p-20
)

func TestGradients(t *testing.T) {
	for i, c := range layerCases() {
		t.Run(c.name, func(t *testing.T) {
			in := c.inputs(uint64(i))
			out := run(t, c.op, in)
			dout := like([]Tensor[float64]{out})[0]
			r := rand.New(rand.NewPCG(3, 3))
			for j := range dout.Data {
				dout.Data[j] = r.NormFloat64()
			}
			grads := back(t, c.op, in, out, dout)
			loss := func() (l float64) {
				for j, y := range run(t, c.op, in).Data {
					l += y * dout.Data[j]
				}
				return l
			}
			for k, x := range in {
				if _, ok := c.op.(BatchNorm); ok && k >= 3 {
					wantSame(t, "gradient of a statistic", grads[k].Data, make([]float64, len(x.Data)))
					continue
				}
				if _, ok := c.op.(Gather); ok && k == 1 {
					wantSame(t, "gradient of indices", grads[k].Data, make([]float64, len(x.Data)))
					continue
				}
				if _, ok := c.op.(Where); ok && k == 0 {
					wantSame(t, "gradient of a condition", grads[k].Data, make([]float64, len(x.Data)))
					continue
				}
				for j, v := range x.Data {
					x.Data[j] = v + gradStep
					up := loss()
					x.Data[j] = v - gradStep
					want := (up - loss()) / (2 * gradStep)
					x.Data[j] = v
					if got := grads[k].Data[j]; !(math.Abs(got-want) <= gradTol*(1+math.Abs(want))) {
						t.Fatalf("input %d, element %d: gradient %v, differences give %v", k, j, got, want)
					}
				}
			}
		})
	}
}

// TestGradientsAlone: leaving gradients out must not change the others.
func TestGradientsAlone(t *testing.T) {
	for i, c := range layerCases() {
		in := c.inputs(uint64(i))
		out := run(t, c.op, in)
		all := back(t, c.op, in, out, out)
		for k := range in {
			some := make([]Tensor[float64], len(in))
			some[k] = like(in)[k]
			if err := Backward(c.op, some, in, out, out); err != nil {
				t.Fatal(err)
			}
			wantSame(t, c.name, some[k].Data, all[k].Data)
		}
	}
}

// TestProcessors: the same bits with one and with four processors, forward and
// backward, in float32, at sizes where loops are cut.
func TestProcessors(t *testing.T) {
	cases := append(layerCases(),
		layerCase{"large relu", Unary{Fn: "relu"}, [][]int{{3, 20000}}, false},
		layerCase{"large tanh", Unary{Fn: "tanh"}, [][]int{{40000}}, false},
		layerCase{"large add", Binary{"add"}, [][]int{{40000}, {40000}}, false},
		layerCase{"large softmax", Softmax{Axis: 1}, [][]int{{600, 10}}, false},
		layerCase{"large max of rows", Reduce{"max", []int{1}}, [][]int{{600, 100}}, false},
		layerCase{"large max of columns", Reduce{"max", []int{1}}, [][]int{{60, 10, 100}}, false},
		layerCase{"large maximum", Binary{"max"}, [][]int{{400, 100}, {100}}, false},
		layerCase{"large where", Where{}, [][]int{{400, 100}, {100}, {400, 1}}, false},
		layerCase{"large matmul", MatMul{TransB: true}, [][]int{{70, 90}, {130, 90}, {130}}, false},
		layerCase{"large conv", conv(one1, one1, [4]int{1, 1, 1, 1}, 1), [][]int{{20, 5, 12, 11}, {9, 5, 3, 3}, {9}}, false},
		layerCase{"large pool", Pool{Kernel: [2]int{2, 2}, Stride: [2]int{2, 2}}, [][]int{{16, 8, 28, 28}}, false},
		layerCase{"large norm", BatchNorm{Eps: 1e-5}, [][]int{{8, 4, 30, 30}, {4}, {4}, {4}, {4}}, true})
	old := runtime.GOMAXPROCS(0)
	defer runtime.GOMAXPROCS(old)
	for i, c := range cases {
		in := narrow(c.inputs(uint64(i)))
		var first []Tensor[float32]
		for _, procs := range []int{1, 4} {
			runtime.GOMAXPROCS(procs)
			out := run(t, c.op, in)
			got := append(back(t, c.op, in, out, out), out)
			for k := range first {
				wantSame(t, c.name, got[k].Data, first[k].Data)
			}
			first = got
		}
	}
}

// TestBatchSize: a row of a batch has the bits it has alone.
func TestBatchSize(t *testing.T) {
	tested := 0
	for i, c := range layerCases() {
		switch o := c.op.(type) {
		case Conv, Pool, GlobalAvgPool, Unary, Dropout, BatchNorm, LRN:
		case MatMul:
			if o.TransA || len(c.in[0]) != 2 {
				continue
			}
		case Softmax:
			if o.Axis == 0 || len(c.in) == 2 && len(c.in[1]) == len(c.in[0]) {
				continue // mixes rows, or has a mask for each
			}
		case Reduce:
			if slices.Contains(o.Axes, 0) {
				continue
			}
		default:
			continue
		}
		tested++
		in := narrow(c.inputs(uint64(i)))
		out := run(t, c.op, in)
		grads := back(t, c.op, in, out, out)
		n := in[0].Shape[0]
		for row := range n {
			one := slices.Clone(in)
			one[0] = rowOf(in[0], row)
			y := run(t, c.op, one)
			wantSame(t, c.name, y.Data, rowOf(out, row).Data)
			wantSame(t, c.name+" gradient", back(t, c.op, one, y, y)[0].Data, rowOf(grads[0], row).Data)
		}
	}
	if tested < 40 {
		t.Errorf("only %d cases have rows", tested)
	}
}

func rowOf[F Float](x Tensor[F], i int) Tensor[F] {
	n := len(x.Data) / x.Shape[0]
	return Tensor[F]{append([]int{1}, x.Shape[1:]...), x.Data[i*n : (i+1)*n]}
}

// TestKinks fixes the gradients where there is no derivative.
func TestKinks(t *testing.T) {
	nan := math.NaN()
	cases := []struct {
		op      Op
		x, want []float64
	}{
		{Unary{Fn: "relu"}, []float64{-1, 0, 2}, []float64{0, 0, 1}},
		{Unary{Fn: "clip", Min: -1, Max: 2}, []float64{-2, -1, 0, 2, 3}, []float64{0, 0, 1, 0, 0}},
		{Unary{Fn: "leaky_relu", Alpha: 0.25}, []float64{-1, 0, 2}, []float64{0.25, 0.25, 1}},
		{Unary{Fn: "abs"}, []float64{-3, 0, 4}, []float64{-1, 0, 1}},
		{Unary{Fn: "sign"}, []float64{-3, 0, 4}, []float64{0, 0, 0}},
		{Reduce{"max", []int{0}}, []float64{1, 3, 3}, []float64{0, 1, 0}},
		{Reduce{"max", []int{0}}, []float64{1, nan, 3, nan}, []float64{0, 1, 0, 0}},
		{Reduce{"min", []int{0}}, []float64{3, 1, 1}, []float64{0, 1, 0}},
	}
	for _, c := range cases {
		in := []Tensor[float64]{{[]int{len(c.x)}, c.x}}
		out := run(t, c.op, in)
		dout := like([]Tensor[float64]{out})[0]
		for i := range dout.Data {
			dout.Data[i] = 1
		}
		wantSame(t, c.op.Kind(), back(t, c.op, in, out, dout)[0].Data, c.want)
	}
}

func TestPowKinks(t *testing.T) {
	a := Tensor[float64]{[]int{3}, []float64{0, 0, -2}}
	b := Tensor[float64]{[]int{3}, []float64{0, 2, 3}}
	in := []Tensor[float64]{a, b}
	out := run(t, Binary{"pow"}, in)
	wantSame(t, "power", out.Data, []float64{1, 0, -8})
	grads := back(t, Binary{"pow"}, in, out, Tensor[float64]{[]int{3}, []float64{1, 1, 1}})
	wantSame(t, "gradient of the base", grads[0].Data, []float64{0, 0, 12})
	wantSame(t, "gradient of the exponent", grads[1].Data[:2], []float64{0, 0})
	if !math.IsNaN(grads[1].Data[2]) {
		t.Errorf("gradient of the exponent of a negative base is %v, want NaN", grads[1].Data[2])
	}
}

// TestMaxPoolNaNAndTies: a NaN wins its window, and the first NaN or the first
// of several equal maxima gets the gradient. The second pooling takes the
// loop for padded windows.
func TestMaxPoolNaNAndTies(t *testing.T) {
	nan := float32(math.NaN())
	in := []Tensor[float32]{{[]int{1, 1, 2, 10}, []float32{
		1, 5, nan, 2, -1, -1, 0, nan, 1, 2,
		5, 5, 3, nan, -1, -1, nan, 1, 3, 3}}}
	want := []float32{
		0, 10, 20, 0, 30, 0, 0, 40, 0, 0,
		0, 0, 0, 0, 0, 0, 0, 0, 50, 0}
	for _, pad := range []int{0, 1} {
		op := Pool{Kernel: [2]int{2 + pad, 2}, Stride: [2]int{2, 2}, Pad: [4]int{pad, 0, 0, 0}}
		out := run(t, op, in)
		if v := out.Data; v[0] != 5 || v[1] == v[1] || v[2] != -1 || v[3] == v[3] || v[4] != 3 {
			t.Errorf("maxima %v, want 5, NaN, -1, NaN, 3", v)
		}
		dx := back(t, op, in, out, Tensor[float32]{out.Shape, []float32{10, 20, 30, 40, 50}})[0]
		wantSame(t, "gradient", dx.Data, want)
	}
}
