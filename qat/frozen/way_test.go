package frozen

import (
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/internal/kern"
	"github.com/goqat/goqat/internal/nn"
)

// refLayer computes a layer on real numbers and rounds the result: what every way
// other than that of products must give.
func refLayer(t *testing.T, op Op, act *Unary, shape []int, q *Quant, in []nn.Tensor[float32]) []int32 {
	t.Helper()
	y := nn.Tensor[float32]{Shape: shape, Data: make([]float32, elements(shape))}
	if err := nn.Forward(op.op(), y, in); err != nil {
		t.Fatal(err)
	}
	if act != nil {
		z := nn.Tensor[float32]{Shape: shape, Data: make([]float32, len(y.Data))}
		if err := nn.Forward(nn.Unary(*act), z, []nn.Tensor[float32]{y}); err != nil {
			t.Fatal(err)
		}
		y = z
	}
	return refQuantizeAll(y.Data, q)
}

// TestWays runs layers between quantized tensors in the way that bytes allow and
// compares with real numbers.
func TestWays(t *testing.T) {
	window := Pool{Kernel: [2]int{2, 2}, Stride: [2]int{2, 2}}
	wide := Pool{Kernel: [2]int{3, 2}, Stride: [2]int{1, 2}, Pad: [4]int{1, 0, 1, 0}}
	average := wide
	average.Average = true
	leaky, clip := &Unary{Fn: "leaky_relu", Alpha: 0.3}, &Unary{Fn: "clip", Min: -0.5, Max: 1}
	in := []int{-1, 2, 6, 4}
	cases := []struct {
		op      Op
		out     []int
		inputs  int
		way     way
		between way // with an activation that is not a clip
	}{
		{window, []int{-1, 2, 3, 2}, 1, byMoving, byMoving},
		{wide, []int{-1, 2, 6, 2}, 1, byMoving, byMoving},
		{average, []int{-1, 2, 6, 2}, 1, byAverage, byAverage},
		{GlobalAvgPool{}, []int{-1, 2, 1, 1}, 1, byAverage, byAverage},
		{Reshape{Shape: []int{-1, 48}}, []int{-1, 48}, 1, byMoving, byMoving},
		{Transpose{Perm: []int{0, 2, 3, 1}}, []int{-1, 6, 4, 2}, 1, byMoving, byMoving},
		{Slice{Axis: 2, Start: 1, End: 5, Step: 2}, []int{-1, 2, 2, 4}, 1, byMoving, byMoving},
		{Slice{Axis: 1, Start: 1, End: 2, Step: math.MaxInt}, []int{-1, 1, 6, 4}, 1, byMoving, byMoving},
		{Dropout{P: 0.5}, in, 1, byMoving, byMoving},
		{Concat{Axis: 1}, []int{-1, 4, 6, 4}, 2, byMoving, byMoving},
		{Unary{Fn: "sigmoid"}, in, 1, byTable, byTable},
		{Unary{Fn: "gelu"}, in, 1, byTable, byTable},
		{Unary{Fn: "gelu_tanh"}, in, 1, byTable, byTable},
		{Unary{Fn: "relu"}, in, 1, byTable, byTable},
		{Binary{Fn: "add"}, in, 2, byPairing, byFloat},
		{Binary{Fn: "sub"}, in, 2, byPairing, byFloat},
		{Binary{Fn: "mul"}, in, 2, byPairing, byFloat},
		{Binary{Fn: "div"}, in, 2, byFloat, byFloat},
	}
	for _, c := range cases {
		for _, act := range []*Unary{nil, relu(), clip, leaky} {
			for _, same := range []bool{true, false} {
				t.Run(fmt.Sprintf("%s %v, act %v, one grid %t", c.op.Kind(), c.op, act, same), func(t *testing.T) {
					q := []*Quant{on(uint8a, 0.02, 100), on(int8s, 0.03, 0), on(fakequant.Spec{Bits: 5, Scheme: fakequant.Affine}, 0.1, 3)}
					if same {
						q = []*Quant{q[0], q[0], q[0]}
					}
					b := build(t)
					var ids []int
					for i := range c.inputs {
						ids = append(ids, b.input(string(rune('a'+i)), in, q[i]))
					}
					b.n.Outputs = []int{b.layer("l", c.op, act, c.out, q[2], ids...)}
					if _, err := b.n.prepared(); err != nil {
						t.Fatal(err)
					}
					want := c.way
					if act == leaky {
						want = c.between
					}
					if got := b.n.plan.plan.layers[0].way; got != want {
						t.Errorf("way %d, want %d", got, want)
					}
					const n = 3
					var x [][]float32
					var real []nn.Tensor[float32]
					for i := range c.inputs {
						x = append(x, b.random(n*48, 1))
						x[i][5] = float32(math.NaN())
						real = append(real, nn.Tensor[float32]{Shape: atBatch(in, n), Data: refDequantizeAll(refQuantizeAll(x[i], q[i]), q[i])})
					}
					tr := trace(t, b.n, x...)
					if c.way == byAverage { // sums of codes, not of numbers: TestAveragePools
						return
					}
					codes := refLayer(t, c.op, act, atBatch(c.out, n), q[2], real)
					wantCodes(t, tr, "l.out", codes)
					y, err := b.n.Run(x...)
					if err != nil {
						t.Fatal(err)
					}
					wantBits(t, "Run", y[0], refDequantizeAll(codes, q[2]))
				})
			}
		}
	}
}

// TestPairBroadcast: codes of operands of different shapes are paired as the layer pairs
// their real numbers, on any number of goroutines.
func TestPairBroadcast(t *testing.T) {
	for _, c := range []struct{ a, b, out []int }{
		{[]int{-1, 6}, []int{6}, []int{-1, 6}},
		{[]int{6}, []int{-1, 6}, []int{-1, 6}},
		{[]int{-1, 40, 5, 7}, []int{-1, 40, 1, 1}, []int{-1, 40, 5, 7}},
		{[]int{-1, 40, 1, 1}, []int{-1, 40, 5, 7}, []int{-1, 40, 5, 7}},
		{[]int{-1, 3, 5, 70}, []int{-1, 1, 5, 70}, []int{-1, 3, 5, 70}},
		{[]int{-1, 3, 1, 70}, []int{3, 5, 1}, []int{-1, 3, 5, 70}},
		{[]int{-1, 9}, []int{1}, []int{-1, 9}},
	} {
		for _, fn := range []string{"add", "sub", "mul"} {
			b := build(t)
			qa, qb, qy := on(int8s, 0.02, 0), on(uint8a, 0.013, 90), on(uint8a, 0.03, 77)
			const n = 2
			op, inputs, real := Binary{Fn: fn}, []int{}, []nn.Tensor[float32]{}
			var x [][]float32
			for i, shape := range [][]int{c.a, c.b} {
				q := []*Quant{qa, qb}[i]
				if shape[0] < 0 {
					inputs = append(inputs, b.input(string(rune('a'+i)), shape, q))
					x = append(x, b.random(elements(atBatch(shape, n)), 1))
					real = append(real, nn.Tensor[float32]{Shape: atBatch(shape, n), Data: refDequantizeAll(refQuantizeAll(x[len(x)-1], q), q)})
					continue
				}
				inputs = append(inputs, b.codes("c", shape, q))
				data, err := b.n.Tensors[inputs[i]].Values()
				if err != nil {
					t.Fatal(err)
				}
				real = append(real, nn.Tensor[float32]{Shape: shape, Data: data})
			}
			b.n.Outputs = []int{b.layer("l", op, relu(), c.out, qy, inputs...)}
			want := refLayer(t, op, relu(), atBatch(c.out, n), qy, real)
			wantCodes(t, trace(t, b.n, x...), "l.out", want)
			if got := b.n.plan.plan.layers[0].way; got != byPairing {
				t.Errorf("%v: way %d", c, got)
			}
		}
	}
}

// TestTransposeCodes moves the axes of tensors that are larger than the blocks which
// codes are moved by, in every way.
func TestTransposeCodes(t *testing.T) {
	q := on(uint8a, 0.02, 120)
	for _, in := range [][]int{{-1, 19, 1, 33}, {-1, 3, 300, 17}, {-1, 2, 3, 5}, {-1, 20, 270}, {-1, 1, 1}} {
		for _, perm := range permutations(len(in) - 1) {
			full := []int{0}
			out := []int{-1}
			for _, p := range perm {
				full, out = append(full, p+1), append(out, in[p+1])
			}
			const n = 2
			b := build(t)
			b.n.Outputs = []int{b.layer("l", Transpose{Perm: full}, nil, out, q, b.input("x", in, q))}
			x := b.random(elements(atBatch(in, n)), 1)
			real := nn.Tensor[float32]{Shape: atBatch(in, n), Data: refDequantizeAll(refQuantizeAll(x, q), q)}
			want := refLayer(t, Transpose{Perm: full}, nil, atBatch(out, n), q, []nn.Tensor[float32]{real})
			wantCodes(t, trace(t, b.n, x), "l.out", want)
		}
	}
}

// permutations returns all orders of 0 to n-1.
func permutations(n int) [][]int {
	if n == 0 {
		return [][]int{{}}
	}
	var all [][]int
	for _, p := range permutations(n - 1) {
		for i := range n {
			all = append(all, slices.Insert(slices.Clone(p), i, n-1))
		}
	}
	return all
}

// TestLevels: every level of the kernels gives the same bits, also for weights that
// were packed at another level.
func TestLevels(t *testing.T) {
	defer kern.SetLevel(kern.SetLevel(kern.LevelGeneric))
	x := sampleInput(5)
	want, err := sample(t).Run(x)
	if err != nil {
		t.Fatal(err)
	}
	moved := sample(t)
	for l := kern.LevelVNNI; l >= kern.LevelGeneric; l-- {
		kern.SetLevel(l)
		for name, n := range map[string]*Network{"fresh": sample(t), "prepared before": moved} {
			got, err := n.Run(x)
			if err != nil {
				t.Fatal(err)
			}
			wantBits(t, fmt.Sprint(l, ", ", name), got[0], want[0])
		}
	}
}

func TestRunner(t *testing.T) {
	n := sample(t)
	x := sampleInput(9)
	want, err := n.Run(x)
	if err != nil {
		t.Fatal(err)
	}
	for threads := range 4 {
		r, err := n.Runner(RunOptions{Threads: threads})
		if err != nil {
			t.Fatal(err)
		}
		var wait sync.WaitGroup
		for range 3 {
			wait.Go(func() {
				got, err := r.Run(x)
				if err != nil {
					t.Error(err)
					return
				}
				for i, v := range want[0] {
					if got[0][i] != v {
						t.Errorf("%d threads: value %d is %v, want %v", threads, i, got[0][i], v)
						return
					}
				}
			})
		}
		wait.Wait()
	}
	if _, err := n.Runner(RunOptions{Threads: -1}); err == nil || !strings.Contains(err.Error(), "-1 threads") {
		t.Errorf("-1 threads: %v", err)
	}
	if _, err := (&Network{}).Runner(RunOptions{}); err == nil {
		t.Error("an invalid network has a runner")
	}
}

// TestRunnerWatch: every layer is reported once, in order, and runs without a watcher
// report nothing, also with the buffers of one that had it.
func TestRunnerWatch(t *testing.T) {
	n := sample(t)
	var seen []int
	open := 0
	r, err := n.Runner(RunOptions{Watch: func(layer int) func() {
		seen = append(seen, layer)
		open++
		return func() { open-- }
	}})
	if err != nil {
		t.Fatal(err)
	}
	got, err := r.Run(sampleInput(2))
	if err != nil {
		t.Fatal(err)
	}
	want, err := n.Run(sampleInput(2))
	if err != nil {
		t.Fatal(err)
	}
	wantBits(t, "watched", got[0], want[0])
	if open != 0 || len(seen) != len(n.Layers) || !slices.IsSorted(seen) {
		t.Errorf("saw layers %v of %d, %d still open", seen, len(n.Layers), open)
	}
}

// TestRunReusesMemory: a run in the steady state allocates its outputs and little
// else, nothing that grows with the network's tensors.
func TestRunReusesMemory(t *testing.T) {
	if raceDetector {
		t.Skip("pools drop buffers at random under the race detector")
	}
	b := build(t)
	q := on(uint8s, 0.02, 0)
	x := b.input("x", []int{-1, 8, 32, 32}, q)
	w := b.codes("w", []int{8, 8, 3, 3}, b.quant(narrow(8, fakequant.PerChannel, 0, 0), 8, 8, 3, 3))
	y := b.layer("conv", conv(1, 1, 1), relu(), []int{-1, 8, 32, 32}, q, x, w)
	b.n.Outputs = []int{b.layer("gap", GlobalAvgPool{}, nil, []int{-1, 8, 1, 1}, nil, y)}
	in := b.random(8*32*32, 1)
	run := func() {
		if _, err := b.n.Run(in); err != nil {
			t.Fatal(err)
		}
	}
	run()
	// One tensor of codes has 8192 bytes. A collection empties the pools, and a
	// goroutine that moves finds others, so the best of some tries counts.
	const tries, runs = 10, 20
	got := uint64(math.MaxUint64)
	for range tries {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range runs {
			run()
		}
		runtime.ReadMemStats(&after)
		got = min(got, (after.TotalAlloc-before.TotalAlloc)/runs)
	}
	if got > 4096 {
		t.Errorf("%d bytes allocated per run", got)
	}
}
