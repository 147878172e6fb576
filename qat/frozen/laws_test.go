package frozen

import (
	"errors"
	"math"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/goqat/goqat/fakequant"
)

// sample is a network of every mode: stem, max pool, depthwise, 4-bit blocks, a
// residual, both average pools' kin, linear, softmax.
func sample(t testing.TB) *Network {
	b := build(t)
	act := func() *Quant { return on(uint8s, 0.02, 0) }
	x := b.input("image", []int{-1, 1, 8, 8}, on(int8s, 0.02, 0))
	w := b.codes("stem.weight", []int{6, 1, 3, 3}, b.quant(narrow(8, fakequant.PerChannel, 0, 0), 6, 1, 3, 3))
	stem := b.layer("stem", conv(1, 1, 1), relu(), []int{-1, 6, 8, 8}, act(), x, w, b.floats("stem.bias", []int{6}))
	pool := b.layer("pool", Pool{Kernel: [2]int{2, 2}, Stride: [2]int{2, 2}}, nil, []int{-1, 6, 4, 4}, act(), stem)
	w = b.codes("dw.weight", []int{6, 1, 3, 3}, b.quant(narrow(8, fakequant.PerChannel, 0, 0), 6, 1, 3, 3))
	dw := b.layer("dw", conv(1, 1, 6), relu(), []int{-1, 6, 4, 4}, act(), pool, w)
	w = b.codes("pw.weight", []int{6, 6, 1, 1}, b.quant(narrow(4, fakequant.PerBlock, 1, 4), 6, 6, 1, 1))
	pw := b.layer("pw", conv(1, 0, 1), nil, []int{-1, 6, 4, 4}, on(uint8a, 0.03, 128), dw, w)
	add := b.layer("add", Binary{Fn: "add"}, nil, []int{-1, 6, 4, 4}, on(uint8a, 0.03, 60), pw, pool)
	gap := b.layer("gap", GlobalAvgPool{}, nil, []int{-1, 6, 1, 1}, act(), add)
	flat := b.layer("flat", Reshape{Shape: []int{-1, 6}}, nil, []int{-1, 6}, act(), gap)
	s := fakequant.Spec{Bits: 3, Unsigned: true, Scheme: fakequant.Affine, Granularity: fakequant.PerChannel, Axis: -2}
	w = b.codes("fc.weight", []int{5, 6}, b.quant(s, 5, 6))
	fc := b.layer("fc", MatMul{TransB: true}, nil, []int{-1, 5}, on(int8s, 0.01, 0), flat, w, b.floats("fc.bias", []int{5}))
	b.n.Outputs = []int{b.layer("softmax", Softmax{Axis: 1}, nil, []int{-1, 5}, nil, fc)}
	b.n.Notes = map[string]string{"accuracy": "0.97 <test>", "source": "by hand"}
	return b.n
}

func sampleInput(batch int) []float32 {
	rng := rand.New(rand.NewPCG(5, 6))
	x := make([]float32, batch*64)
	for i := range x {
		x[i] = float32(rng.NormFloat64())
	}
	return x
}

func TestBatchIndependence(t *testing.T) {
	n := sample(t)
	const batch = 3
	x := sampleInput(batch)
	all, err := n.Run(x)
	if err != nil {
		t.Fatal(err)
	}
	for i := range batch {
		one, err := n.Run(x[i*64:][:64])
		if err != nil {
			t.Fatal(err)
		}
		wantBits(t, "alone", one[0], all[0][i*5:][:5])
	}
	if all[0][0] == all[0][5] {
		t.Error("two images have the same result: the test proves little")
	}
}

func TestProcessorsDoNotMatter(t *testing.T) {
	n := sample(t)
	x := sampleInput(40)
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	one, err := n.Run(x)
	if err != nil {
		t.Fatal(err)
	}
	runtime.GOMAXPROCS(4)
	four, err := n.Run(x)
	if err != nil {
		t.Fatal(err)
	}
	wantBits(t, "4 processors", four[0], one[0])
}

func TestConcurrentRun(t *testing.T) {
	n, ref := sample(t), sample(t)
	var want [4][]float32
	for b := range want {
		out, err := ref.Run(sampleInput(b + 1))
		if err != nil {
			t.Fatal(err)
		}
		want[b] = out[0]
	}
	var wait sync.WaitGroup
	for g := range 8 {
		wait.Add(1)
		go func() {
			defer wait.Done()
			for i := range 6 {
				b := (g + i) % len(want)
				out, err := n.Run(sampleInput(b + 1))
				if err != nil {
					t.Error(err)
					return
				}
				for k, v := range want[b] {
					if out[0][k] != v {
						t.Errorf("batch %d, value %d: %v, want %v", b+1, k, out[0][k], v)
						return
					}
				}
			}
		}()
	}
	wait.Wait()
}

func TestExtremeInputs(t *testing.T) {
	b := build(t)
	q := on(fakequant.Spec{Scheme: fakequant.Affine}, 0.5, 10)
	b.n.Outputs = []int{b.layer("id", Dropout{}, nil, []int{-1, 1}, q, b.input("x", []int{-1, 1}, q))}
	inf := float32(math.Inf(1))
	x := []float32{float32(math.NaN()), inf, -inf, 0, 0.25, 0.75, 1e30, math.SmallestNonzeroFloat32}
	wantCodes(t, trace(t, b.n, x), "id.out", []int32{-128, 127, -128, 10, 10, 12, 127, 10})
}

func TestRunErrors(t *testing.T) {
	two := func(t *testing.T) *Network {
		b := build(t)
		x, y := b.input("x", []int{-1, 3}, nil), b.input("y", []int{-1, 2}, nil)
		b.n.Outputs = []int{b.layer("cat", Concat{Axis: 1}, nil, []int{-1, 5}, nil, x, y)}
		return b.n
	}
	closed := func(t *testing.T) *Network {
		b := build(t)
		b.n.Outputs = []int{b.layer("relu", *relu(), nil, []int{2, 3}, nil, b.input("x", []int{2, 3}, nil))}
		return b.n
	}
	huge := func(t *testing.T) *Network {
		b := build(t)
		x := b.input("x", []int{-1, 1, 1, 1}, nil)
		op := conv(1<<17, 1<<17, 1)
		w := b.floats("w", []int{1, 1, 1, 1})
		b.n.Outputs = []int{b.layer("c", op, nil, []int{-1, 1, 3, 3}, nil, x, w)}
		return b.n
	}
	wide := func(t *testing.T) *Network {
		b := build(t)
		x := b.input("x", []int{-1, 1}, nil)
		y := b.layer("a", MatMul{TransA: true}, nil, []int{1, 1}, nil, x, x)
		for range 33 { // doubles the row each time
			s := b.n.Tensors[y].Shape[1]
			y = b.layer(string(rune('b'+len(b.n.Layers))), Concat{Axis: 1}, nil, []int{1, 2 * s}, nil, y, y)
		}
		b.n.Outputs = []int{y}
		return b.n
	}
	cases := []struct {
		name string
		net  func(*testing.T) *Network
		in   [][]float32
		want string
		is   error
	}{
		{"no input", two, nil, `got 0 inputs, want 2: ["x" "y"]`, ErrInput},
		{"one of two", two, [][]float32{make([]float32, 3)}, `got 1 inputs, want 2`, ErrInput},
		{"part of a row", two, [][]float32{make([]float32, 6), make([]float32, 5)}, `input "y": invalid network input: 5 numbers, want a multiple of 2 for shape [-1 2]`, ErrInput},
		{"empty", two, [][]float32{{}, {}}, `input "x": invalid network input: 0 numbers, want a multiple of 3`, ErrInput},
		{"batches differ", two, [][]float32{make([]float32, 6), make([]float32, 6)}, `input "x" has a batch of 2, input "y" one of 3`, ErrInput},
		{"closed shape", closed, [][]float32{make([]float32, 12)}, `input "x": invalid network input: 12 numbers, want 6 for shape [2 3]`, ErrInput},
		{"memory of padding", huge, [][]float32{{1}}, `layer "c": invalid frozen network: a padded image of shape`, ErrNetwork},
		{"memory of a tensor", wide, [][]float32{{1}}, `more than 2147483648 elements`, ErrInput},
		{"invalid network", func(*testing.T) *Network { return &Network{} }, nil, `0 tensors and 0 layers`, ErrNetwork},
		{"nil network", func(*testing.T) *Network { return nil }, nil, `the network is nil`, ErrNetwork},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			n := c.net(t)
			for what, run := range map[string]func() error{
				"Run":   func() error { _, err := n.Run(c.in...); return err },
				"Trace": func() error { _, err := n.Trace(c.in...); return err },
			} {
				err := run()
				if err == nil || !strings.Contains(err.Error(), c.want) || !errors.Is(err, c.is) {
					t.Errorf("%s: error %v, want one with %q", what, err, c.want)
				}
			}
		})
	}
}

// 2^15 products of 255·255 still fit 32 bits, 2^16 do not: the network says so.
func TestSumOverflowIsAnError(t *testing.T) {
	const k = 1 << 16
	b := build(t)
	q := on(uint8s, 1, 0)
	ones := make([]float32, k)
	for i := range ones {
		ones[i] = 1
	}
	w, err := NewConst("w", []int{k, 1}, ones, on(uint8s, 1.0/255, 0))
	if err != nil {
		t.Fatal(err)
	}
	b.n.Outputs = []int{b.layer("fc", MatMul{}, nil, []int{-1, 1}, nil, b.input("x", []int{-1, k}, q), b.add(w))}
	for i := range ones {
		ones[i] = 255
	}
	_, err = b.n.Run(ones)
	if err == nil || !strings.Contains(err.Error(), `layer "fc"`) || !strings.Contains(err.Error(), "exceed a 32-bit sum") {
		t.Fatalf("error %v", err)
	}
	clear(ones)
	if _, err := b.n.Run(ones); err != nil {
		t.Fatalf("after an error: %v", err)
	}
}

func TestShapes(t *testing.T) {
	n := sample(t)
	s, err := n.Shapes(7)
	if err != nil {
		t.Fatal(err)
	}
	for i := range n.Tensors {
		if want := atBatch(n.Tensors[i].Shape, 7); !equalInts(s[i], want) {
			t.Errorf("tensor %q: %v, want %v", n.Tensors[i].Name, s[i], want)
		}
	}
	if _, err := n.Shapes(0); err == nil || !strings.Contains(err.Error(), "batch 0") {
		t.Errorf("batch 0: %v", err)
	}
}

func equalInts(a, b []int) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// A multiple of the batch may sit on any axis.
func TestOpenDimensionMoves(t *testing.T) {
	b := build(t)
	x := b.input("x", []int{-1, 4, 3}, nil)
	rows := b.layer("rows", Reshape{Shape: []int{-1, 3}}, nil, []int{-1, 3}, nil, x)
	b.n.Outputs = []int{b.layer("columns", Transpose{Perm: []int{1, 0}}, nil, []int{3, -1}, nil, rows)}
	tr := trace(t, b.n, make([]float32, 5*12))
	if s, _ := tr.Shape("columns.out"); !equalInts(s, []int{3, 20}) {
		t.Errorf("shape %v", s)
	}
}

func TestSizeAndString(t *testing.T) {
	n := sample(t)
	bytes, floats := n.Size()
	// Codes, scales, zero points; then the two biases.
	want := (54 + 6*5) + (54 + 6*5) + (18 + 12*5) + (15 + 5*5) + 4*(6+5)
	if bytes != want || floats != 4*(54+54+36+30+6+5) {
		t.Errorf("size %d, %d; want %d, %d", bytes, floats, want, 4*(54+54+36+30+6+5))
	}
	s := n.String()
	if got := strings.Count(s, "\n"); got != len(n.Layers)+1 {
		t.Errorf("%d lines:\n%s", got, s)
	}
	for _, want := range []string{
		"  pw: conv, integer: dw.out [-1 6 4 4] uint8, pw.weight [6 6 1 1] int4 per_block -> pw.out [-1 6 4 4] uint8\n",
		"  stem: conv+relu, integer: ",
		"  pool: max_pool, codes: ",
		"  softmax: softmax, float: fc.out [-1 5] int8 -> softmax.out [-1 5] float32\n",
	} {
		if !strings.Contains(s, want) {
			t.Errorf("no line %q in\n%s", want, s)
		}
	}
	if s := (&Network{}).String(); !strings.Contains(s, "0 tensors and 0 layers") {
		t.Errorf("invalid network: %q", s)
	}
	if s := (*Network)(nil).String(); !strings.Contains(s, "nil") {
		t.Errorf("nil network: %q", s)
	}
	if Mode(9).String() != "Mode(9)" {
		t.Error(Mode(9))
	}
}

// TestFunctionsAreFused: above fuseFrom results a product applies its activation tile by tile;
// the codes are those of the same images in small batches, for which it does not.
func TestFunctionsAreFused(t *testing.T) {
	for _, fn := range []string{"silu", "gelu", "hard_swish", "sigmoid"} {
		b := build(t)
		x := b.input("x", []int{-1, 8, 32, 32}, on(int8s, 0.02, 0))
		w := b.codes("w", []int{24, 8, 3, 3}, b.quant(narrow(8, fakequant.PerChannel, 0, 0), 24, 8, 3, 3))
		out := b.layer("conv", conv(1, 1, 1), &Unary{Fn: fn}, []int{-1, 24, 32, 32}, on(uint8a, 0.01, 30), x, w, b.floats("b", []int{24}))
		b.n.Outputs = []int{out}
		const image, result, batch = 8 * 32 * 32, 24 * 32 * 32, 3
		if result >= fuseFrom || batch*result < fuseFrom {
			t.Fatalf("%d results of an image: the test compares nothing", result)
		}
		in := b.random(batch*image, 1.5)
		all, err := b.n.Run(in)
		if err != nil {
			t.Fatal(err)
		}
		for i := range batch {
			one, err := b.n.Run(in[i*image:][:image])
			if err != nil {
				t.Fatal(err)
			}
			wantBits(t, fn, all[0][i*result:][:result], one[0])
		}
	}
}
