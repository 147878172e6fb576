package frozen

import (
	"fmt"
	"testing"

	"github.com/goqat/goqat/fakequant"
)

func TestConvInteger(t *testing.T) {
	affine := func(bits int, g fakequant.Granularity, axis, block int) fakequant.Spec {
		return fakequant.Spec{Bits: bits, Scheme: fakequant.Affine, Granularity: g, Axis: axis, BlockSize: block}
	}
	odd := Conv{Stride: [2]int{2, 1}, Pad: [4]int{1, 0, 2, 1}, Dilation: [2]int{1, 2}, Groups: 1}
	cases := []struct {
		name   string
		op     Conv
		x, w   []int
		weight fakequant.Spec
		input  *Quant
		bias   bool
		act    *Unary
		out    *Quant
	}{
		{"per channel", conv(1, 1, 1), []int{2, 3, 5, 5}, []int{4, 3, 3, 3}, narrow(8, fakequant.PerChannel, 0, 0), on(int8s, 0.02, 0), true, relu(), on(uint8s, 0.01, 0)},
		{"per tensor", conv(2, 0, 1), []int{2, 3, 5, 6}, []int{4, 3, 3, 3}, narrow(8, fakequant.PerTensor, 0, 0), on(int8s, 0.02, 0), true, nil, on(int8s, 0.01, 0)},
		{"float result", conv(1, 1, 1), []int{1, 2, 4, 4}, []int{3, 2, 3, 3}, narrow(8, fakequant.PerChannel, 0, 0), on(uint8s, 0.02, 0), false, nil, nil},
		{"padding is the zero point", conv(1, 1, 1), []int{2, 2, 3, 3}, []int{3, 2, 3, 3}, narrow(8, fakequant.PerChannel, 0, 0), on(uint8a, 0.02, 77), true, nil, on(uint8a, 0.03, 130)},
		{"asymmetric geometry", odd, []int{2, 2, 5, 6}, []int{3, 2, 3, 2}, narrow(8, fakequant.PerChannel, -4, 0), on(uint8a, 0.02, 200), true, nil, on(int8s, 0.02, 0)},
		{"depthwise", conv(1, 1, 4), []int{2, 4, 5, 5}, []int{4, 1, 3, 3}, narrow(8, fakequant.PerChannel, 0, 0), on(int8s, 0.02, 0), true, relu(), on(uint8s, 0.01, 0)},
		{"depthwise multiplier", conv(1, 1, 2), []int{1, 2, 4, 4}, []int{6, 1, 3, 3}, narrow(8, fakequant.PerChannel, 0, 0), on(int8s, 0.02, 0), true, nil, on(int8s, 0.01, 0)},
		{"grouped", conv(1, 1, 2), []int{2, 6, 4, 4}, []int{4, 3, 3, 3}, narrow(8, fakequant.PerChannel, 0, 0), on(int8s, 0.02, 0), true, nil, on(int8s, 0.03, 0)},
		{"per block, short last", conv(1, 1, 1), []int{2, 5, 4, 4}, []int{3, 5, 3, 3}, narrow(4, fakequant.PerBlock, 1, 2), on(uint8a, 0.02, 12), true, nil, on(int8s, 0.02, 0)},
		{"per block, one block", conv(1, 0, 1), []int{2, 5, 4, 4}, []int{3, 5, 1, 1}, narrow(4, fakequant.PerBlock, 1, 5), on(int8s, 0.02, 0), true, nil, on(int8s, 0.01, 0)},
		{"per block, grouped", conv(1, 1, 2), []int{1, 6, 4, 4}, []int{4, 3, 3, 3}, narrow(8, fakequant.PerBlock, -3, 2), on(int8s, 0.02, 0), false, nil, on(int8s, 0.04, 0)},
		{"affine weights", conv(1, 1, 1), []int{2, 3, 4, 4}, []int{3, 3, 3, 3}, affine(8, fakequant.PerChannel, 0, 0), on(uint8a, 0.02, 9), true, nil, on(int8s, 0.1, 0)},
		{"affine 4-bit blocks", conv(1, 1, 1), []int{2, 3, 4, 4}, []int{3, 3, 3, 3}, affine(4, fakequant.PerBlock, 1, 2), on(uint8a, 0.02, 9), true, nil, on(int8s, 0.03, 0)},
		{"2-bit odd count", conv(1, 0, 1), []int{2, 3, 4, 4}, []int{3, 3, 1, 1}, narrow(2, fakequant.PerChannel, 0, 0), on(int8s, 0.02, 0), true, nil, on(int8s, 0.01, 0)},
		{"5-bit", conv(1, 0, 1), []int{2, 3, 4, 4}, []int{3, 3, 1, 1}, narrow(5, fakequant.PerChannel, 0, 0), on(int8s, 0.02, 0), true, nil, on(int8s, 0.01, 0)},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			b := build(t)
			open := append([]int{-1}, c.x[1:]...)
			in := []int{b.input("x", open, c.input), b.codes("w", c.w, b.quant(c.weight, c.w...))}
			if c.bias {
				in = append(in, b.floats("b", c.w[:1]))
			}
			oh := (c.x[2]+c.op.Pad[0]+c.op.Pad[2]-c.op.Dilation[0]*(c.w[2]-1)-1)/c.op.Stride[0] + 1
			ow := (c.x[3]+c.op.Pad[1]+c.op.Pad[3]-c.op.Dilation[1]*(c.w[3]-1)-1)/c.op.Stride[1] + 1
			out := b.layer("conv", c.op, c.act, []int{-1, c.w[0], oh, ow}, c.out, in...)
			b.n.Outputs = []int{out}
			if got := b.n.Mode(0); got != Integer {
				t.Fatalf("mode %v, want integer", got)
			}
			x := b.random(elements(c.x), 1.5)
			tr := trace(t, b.n, x)
			codes := refQuantizeAll(x, c.input)
			wantCodes(t, tr, "x", codes)
			w, err := b.n.Tensors[in[1]].Codes()
			if err != nil {
				t.Fatal(err)
			}
			var bias []float32
			if c.bias {
				bias = b.n.Tensors[in[2]].Const.Values
			}
			y := refConv(c.op, codes, c.x, c.input, w, c.w, b.n.Tensors[in[1]].Quant, bias)
			if c.act != nil {
				y = refRelu(y)
			}
			checkResult(t, b.n, tr, "conv.out", y, c.out, x)
		})
	}
}

// checkResult compares the only output with the real numbers y before rounding.
func checkResult(t *testing.T, n *Network, tr *Trace, name string, y []float32, q *Quant, x ...[]float32) {
	t.Helper()
	if q != nil {
		codes := refQuantizeAll(y, q)
		wantCodes(t, tr, name, codes)
		distinct := map[int32]bool{}
		for _, c := range codes {
			distinct[c] = true
		}
		if len(distinct) < 4 {
			t.Fatalf("only %d distinct codes: the case proves little", len(distinct))
		}
		y = refDequantizeAll(codes, q)
	}
	wantValues(t, tr, name, y)
	out, err := n.Run(x...)
	if err != nil {
		t.Fatal(err)
	}
	wantBits(t, "Run", out[0], y)
}

func TestMatMulInteger(t *testing.T) {
	cases := []struct {
		name   string
		op     MatMul
		weight fakequant.Spec
		bias   bool
	}{
		{"in-out per channel", MatMul{}, narrow(8, fakequant.PerChannel, 1, 0), true},
		{"in-out last axis", MatMul{}, narrow(8, fakequant.PerChannel, -1, 0), true},
		{"out-in per channel", MatMul{TransB: true}, narrow(8, fakequant.PerChannel, 0, 0), true},
		{"in-out per tensor", MatMul{}, narrow(8, fakequant.PerTensor, 0, 0), false},
		{"in-out blocks", MatMul{}, narrow(4, fakequant.PerBlock, 0, 3), true},
		{"out-in blocks", MatMul{TransB: true}, narrow(4, fakequant.PerBlock, 1, 3), true},
		{"out-in blocks from the end", MatMul{TransB: true}, narrow(4, fakequant.PerBlock, -1, 4), false},
		{"in-out one block", MatMul{}, narrow(4, fakequant.PerBlock, 0, 7), true},
		{"affine blocks", MatMul{}, fakequant.Spec{Bits: 4, Unsigned: true, Scheme: fakequant.Affine, Granularity: fakequant.PerBlock, BlockSize: 2}, true},
	}
	const m, n, k = 3, 5, 7
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			b := build(t)
			xq, yq := on(uint8a, 0.02, 100), on(int8s, 0.02, 0)
			ws := []int{k, n}
			if c.op.TransB {
				ws = []int{n, k}
			}
			in := []int{b.input("x", []int{-1, k}, xq), b.codes("w", ws, b.quant(c.weight, ws...))}
			var bias []float32
			if c.bias {
				in = append(in, b.floats("b", []int{n}))
				bias = b.n.Tensors[in[2]].Const.Values
			}
			b.n.Outputs = []int{b.layer("fc", c.op, nil, []int{-1, n}, yq, in...)}
			x := b.random(m*k, 1)
			tr := trace(t, b.n, x)
			w, err := b.n.Tensors[in[1]].Codes()
			if err != nil {
				t.Fatal(err)
			}
			y := refMatMul(c.op, refQuantizeAll(x, xq), xq, w, b.n.Tensors[in[1]].Quant, 1, m, n, k, bias)
			checkResult(t, b.n, tr, "fc.out", y, yq, x)
		})
	}
}

func TestMatMulOfActivations(t *testing.T) {
	const batch, m, n, k = 3, 4, 2, 5
	for _, op := range []MatMul{{}, {TransA: true}, {TransB: true}, {TransA: true, TransB: true}} {
		t.Run(fmt.Sprint(op), func(t *testing.T) {
			b := build(t)
			as, bs := []int{-1, m, k}, []int{-1, k, n}
			if op.TransA {
				as[1], as[2] = k, m
			}
			if op.TransB {
				bs[1], bs[2] = n, k
			}
			aq, bq, yq := on(uint8a, 0.02, 100), on(int8s, 0.015, 0), on(int8s, 0.04, 0)
			in := []int{b.input("a", as, aq), b.input("b", bs, bq)}
			b.n.Outputs = []int{b.layer("mm", op, nil, []int{-1, m, n}, yq, in...)}
			x, y := b.random(batch*m*k, 1), b.random(batch*k*n, 1)
			want := refMatMul(op, refQuantizeAll(x, aq), aq, refQuantizeAll(y, bq), bq, batch, m, n, k, nil)
			checkResult(t, b.n, trace(t, b.n, x, y), "mm.out", want, yq, x, y)
		})
	}
}

// A weight with a scale per output channel may have leading dimensions.
func TestMatMulBatchedWeight(t *testing.T) {
	const batch, m, n, k = 2, 3, 4, 5
	b := build(t)
	xq := on(int8s, 0.02, 0)
	s := narrow(8, fakequant.PerChannel, 2, 0)
	in := []int{b.input("x", []int{batch, m, k}, xq), b.codes("w", []int{batch, k, n}, b.quant(s, batch, k, n))}
	b.n.Outputs = []int{b.layer("mm", MatMul{}, nil, []int{batch, m, n}, nil, in...)}
	x := b.random(batch*m*k, 1)
	w, err := b.n.Tensors[in[1]].Codes()
	if err != nil {
		t.Fatal(err)
	}
	y := refMatMul(MatMul{}, refQuantizeAll(x, xq), xq, w, b.n.Tensors[in[1]].Quant, batch, m, n, k, nil)
	checkResult(t, b.n, trace(t, b.n, x), "mm.out", y, nil, x)
}

func TestResidualAdd(t *testing.T) {
	b := build(t)
	aq, bq, yq := on(uint8s, 0.02, 0), on(int8s, 0.03, 0), on(uint8s, 0.025, 0)
	in := []int{b.input("a", []int{-1, 6}, aq), b.input("b", []int{-1, 6}, bq)}
	b.n.Outputs = []int{b.layer("add", Binary{Fn: "add"}, relu(), []int{-1, 6}, yq, in...)}
	x, y := b.random(30, 1), b.random(30, 1)
	dx, dy := refDequantizeAll(refQuantizeAll(x, aq), aq), refDequantizeAll(refQuantizeAll(y, bq), bq)
	sum := make([]float32, 30)
	for i := range sum {
		sum[i] = dx[i] + dy[i]
	}
	checkResult(t, b.n, trace(t, b.n, x, y), "add.out", refRelu(sum), yq, x, y)
}

func TestAveragePools(t *testing.T) {
	const n, c, h, w = 2, 3, 5, 4
	pad := Pool{Average: true, Kernel: [2]int{3, 2}, Stride: [2]int{2, 1}, Pad: [4]int{1, 1, 1, 0}}
	excl := pad
	excl.ExcludePad = true
	for _, op := range []Op{pad, excl, GlobalAvgPool{}} {
		t.Run(fmt.Sprint(op), func(t *testing.T) {
			b := build(t)
			xq, yq := on(uint8a, 0.02, 100), on(uint8a, 0.01, 90)
			p, isPool := op.(Pool)
			if !isPool {
				p = Pool{Kernel: [2]int{h, w}, Stride: [2]int{1, 1}}
			}
			oh := (h+p.Pad[0]+p.Pad[2]-p.Kernel[0])/p.Stride[0] + 1
			ow := (w+p.Pad[1]+p.Pad[3]-p.Kernel[1])/p.Stride[1] + 1
			b.n.Outputs = []int{b.layer("pool", op, nil, []int{-1, c, oh, ow}, yq, b.input("x", []int{-1, c, h, w}, xq))}
			if b.n.Mode(0) != Integer {
				t.Fatal("not integer")
			}
			x := b.random(n*c*h*w, 1)
			codes := refQuantizeAll(x, xq)
			var y []float32
			refWindows(p, n*c, h, w, func(inside []int) {
				sum, count := int64(0), p.Kernel[0]*p.Kernel[1]
				for _, i := range inside {
					sum += int64(codes[i] - 100)
				}
				if p.ExcludePad {
					count = len(inside)
				}
				y = append(y, float32(float32(sum)*0.02)/float32(count))
			})
			checkResult(t, b.n, trace(t, b.n, x), "pool.out", y, yq, x)
		})
	}
}

// refWindows calls fn with the indices of each window inside the image.
func refWindows(p Pool, planes, h, w int, fn func(inside []int)) {
	for plane := range planes {
		for y := -p.Pad[0]; y+p.Kernel[0] <= h+p.Pad[2]; y += p.Stride[0] {
			for x := -p.Pad[1]; x+p.Kernel[1] <= w+p.Pad[3]; x += p.Stride[1] {
				var inside []int
				for r := range p.Kernel[0] {
					for c := range p.Kernel[1] {
						if y+r >= 0 && y+r < h && x+c >= 0 && x+c < w {
							inside = append(inside, (plane*h+y+r)*w+x+c)
						}
					}
				}
				fn(inside)
			}
		}
	}
}

// Layers that move codes, each against an index formula.
func TestCodesMove(t *testing.T) {
	const n = 2
	q := on(uint8a, 0.02, 120)
	pool := Pool{Kernel: [2]int{3, 2}, Stride: [2]int{2, 1}, Pad: [4]int{1, 1, 1, 0}}
	cases := []struct {
		name  string
		op    Op
		in    []int
		out   []int
		codes func(x []int32) []int32
	}{
		{"max pool", pool, []int{-1, 3, 5, 4}, []int{-1, 3, 3, 4}, func(x []int32) (y []int32) {
			refWindows(pool, n*3, 5, 4, func(inside []int) {
				m := x[inside[0]]
				for _, i := range inside {
					m = max(m, x[i])
				}
				y = append(y, m)
			})
			return y
		}},
		{"reshape", Reshape{Shape: []int{-1, 60}}, []int{-1, 3, 5, 4}, []int{-1, 60}, func(x []int32) []int32 { return x }},
		{"dropout", Dropout{P: 0.5}, []int{-1, 7}, []int{-1, 7}, func(x []int32) []int32 { return x }},
		{"transpose", Transpose{Perm: []int{0, 3, 1, 2}}, []int{-1, 3, 5, 4}, []int{-1, 4, 3, 5}, func(x []int32) (y []int32) {
			for b := range n {
				for k := range 4 {
					for i := range 3 {
						for j := range 5 {
							y = append(y, x[((b*3+i)*5+j)*4+k])
						}
					}
				}
			}
			return y
		}},
		{"transpose of a vector", Transpose{Perm: []int{0}}, []int{-1}, []int{-1}, func(x []int32) []int32 { return x }},
		{"slice", Slice{Axis: 1, Start: 1, End: 6, Step: 2}, []int{-1, 7, 3}, []int{-1, 3, 3}, func(x []int32) (y []int32) {
			for b := range n {
				for _, c := range []int{1, 3, 5} {
					y = append(y, x[(b*7+c)*3:][:3]...)
				}
			}
			return y
		}},
		{"slice and squeeze", Slice{Axis: 2, Start: 1, End: 2, Step: 1, Squeeze: true}, []int{-1, 4, 3}, []int{-1, 4}, func(x []int32) (y []int32) {
			for i := range n * 4 {
				y = append(y, x[i*3+1])
			}
			return y
		}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			b := build(t)
			b.n.Outputs = []int{b.layer("l", c.op, nil, c.out, q, b.input("x", c.in, q))}
			if b.n.Mode(0) != Codes {
				t.Fatalf("mode %v, want codes", b.n.Mode(0))
			}
			x := b.random(elements(atBatch(c.in, n)), 1)
			want := c.codes(refQuantizeAll(x, q))
			tr := trace(t, b.n, x)
			wantCodes(t, tr, "l.out", want)
			out, err := b.n.Run(x)
			if err != nil {
				t.Fatal(err)
			}
			wantBits(t, "Run", out[0], refDequantizeAll(want, q))

			// With another grid, or an activation, numbers are rounded again instead.
			b.n = &Network{Tensors: b.n.Tensors, Layers: b.n.Layers, Inputs: b.n.Inputs, Outputs: b.n.Outputs}
			other := on(int8s, 0.02, 0)
			b.n.Tensors[1].Quant = other
			if b.n.Mode(0) != Float {
				t.Fatalf("another grid: mode %v, want float", b.n.Mode(0))
			}
			again := refQuantizeAll(refDequantizeAll(want, q), other)
			wantCodes(t, trace(t, b.n, x), "l.out", again)
			b.n.Tensors[1].Quant = q
			b.n.Layers[0].Act = relu()
			if b.n.Mode(0) != Float {
				t.Fatalf("with an activation: mode %v, want float", b.n.Mode(0))
			}
		})
	}
}

func TestConcat(t *testing.T) {
	q := on(uint8s, 0.02, 0)
	b := build(t)
	in := []int{b.input("a", []int{-1, 2, 3}, q), b.input("b", []int{-1, 4, 3}, q), b.codes("c", []int{2, 1, 3}, q)}
	b.n.Outputs = []int{b.layer("cat", Concat{Axis: 1}, nil, []int{2, 7, 3}, q, in...)}
	b.n.Tensors[in[0]].Shape[0], b.n.Tensors[in[1]].Shape[0] = 2, 2
	if b.n.Mode(0) != Codes {
		t.Fatal("not on codes")
	}
	x, y := b.random(12, 2), b.random(24, 2)
	cx, cy := refQuantizeAll(x, q), refQuantizeAll(y, q)
	cz, err := b.n.Tensors[in[2]].Codes()
	if err != nil {
		t.Fatal(err)
	}
	var want []int32
	for i := range 2 {
		want = append(append(append(want, cx[i*6:][:6]...), cy[i*12:][:12]...), cz[i*3:][:3]...)
	}
	wantCodes(t, trace(t, b.n, x, y), "cat.out", want)
}
