package nn

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/goqat/goqat/internal/kern"
)

// Codes is a tensor of centred codes.
type Codes struct {
	Shape []int
	Data  []int16
}

// zero is the zero point of inputs in these tests.
const zero = 128

// biased makes an operand of centred codes.
func (c Codes) biased(scale float32) IntTensor {
	t := IntTensor{Shape: c.Shape, Grid: kern.Grid{Scale: scale, ZeroPoint: zero, Qmax: 255}}
	for _, v := range c.Data {
		t.Codes = append(t.Codes, uint8(v+zero))
	}
	return t
}

// IntForward sets a product up and uses it once.
func IntForward(op Op, out Tensor[float32], x, w Codes, xScale float32, wScale []float32, blocks, blockSize int, bias []float32) error {
	xt := x.biased(xScale)
	var p IntLayer
	fill := func(dst []int16) { copy(dst, w.Data) }
	if err := p.Set(op, xt.Grid, IntWeights{Shape: w.Shape, Fill: fill, Scale: wScale, Blocks: blocks, BlockSize: blockSize}); err != nil {
		return err
	}
	return p.Forward(0, IntTensor{Shape: out.Shape, Values: out.Data}, kern.NoClip(), xt, bias)
}

func someCodes(r *rand.Rand, shape []int, limit int) Codes {
	c := Codes{shape, make([]int16, product(shape))}
	for i := range c.Data {
		c.Data[i] = int16(r.IntN(2*limit+1) - limit)
	}
	return c
}

func someFloats(r *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	return x
}

// blockSum returns the exact sum of one output element over one block, in int64,
// by running the float64 definition on weights that are zero outside it:
// float64 holds these sums exactly.
func blockSums(op Op, x, w Codes, blockSize, block int) []int64 {
	wide := func(c Codes) Tensor[float64] {
		t := Tensor[float64]{c.Shape, make([]float64, len(c.Data))}
		for i, v := range c.Data {
			t.Data[i] = float64(v)
		}
		return t
	}
	wt := wide(w)
	axis := 1
	if o, ok := op.(MatMul); ok {
		axis = len(w.Shape) - 2
		if o.TransB {
			axis++
		}
	}
	j := 0
	indices(w.Shape, func(ix []int) {
		if blockSize > 0 && ix[axis]/blockSize != block {
			wt.Data[j] = 0
		}
		j++
	})
	in := []Tensor[float64]{wide(x), wt}
	s, _ := OutShape(op, [][]int{x.Shape, w.Shape})
	var sums []int64
	indices(s, func(ix []int) { sums = append(sums, int64(elementOf(op, in, ix))) })
	return sums
}

func TestIntForward(t *testing.T) {
	old := runtime.GOMAXPROCS(0)
	defer runtime.GOMAXPROCS(old)
	tested := 0
	for _, c := range layerCases() {
		weights := TraitsOf(c.op).Weights
		if weights == nil {
			continue
		}
		outAxis, inAxis := weights.Axes(len(c.in[1]))
		axis, channels := c.in[1][inAxis], c.in[1][outAxis]
		for blockSize := 0; blockSize <= axis; blockSize++ { // most leave a short last block
			tested++
			blocks := 1
			if blockSize > 0 {
				blocks = (axis + blockSize - 1) / blockSize
			}
			t.Run(fmt.Sprintf("%s/block %d", c.name, blockSize), func(t *testing.T) {
				for _, procs := range []int{1, 4} {
					runtime.GOMAXPROCS(procs)
					checkIntForward(t, c, channels, blocks, blockSize, procs == 1)
				}
			})
		}
	}
	if tested < 40 {
		t.Errorf("only %d cases", tested)
	}
}

func checkIntForward(t *testing.T, c layerCase, channels, blocks, blockSize int, shared bool) {
	r := rand.New(rand.NewPCG(1, 2))
	x, w := someCodes(r, c.in[0], 127), someCodes(r, c.in[1], 255)
	scales := someFloats(r, channels*blocks)
	if shared {
		scales = scales[:1]
	}
	var bias []float32
	if len(c.in) == 3 {
		bias = someFloats(r, channels)
	}
	const xScale = float32(0.037)
	shape, err := OutShape(c.op, c.in)
	if err != nil {
		t.Fatal(err)
	}
	inner := 1
	if _, matrix := c.op.(MatMul); !matrix {
		inner = product(shape[2:])
	}
	want := make([]float32, product(shape))
	for b := range blocks {
		for i, sum := range blockSums(c.op, x, w, blockSize, b) {
			s := scales[0]
			if len(scales) > 1 {
				s = scales[i/inner%channels*blocks+b]
			}
			want[i] += float32(float32(sum) * float32(xScale*s))
		}
	}
	if bias != nil {
		for i := range want {
			want[i] += bias[i/inner%channels]
		}
	}
	out := Tensor[float32]{shape, make([]float32, len(want))}
	if err := IntForward(c.op, out, x, w, xScale, scales, blocks, blockSize, bias); err != nil {
		t.Fatal(err)
	}
	wantSame(t, "output", out.Data, want)
	checkIntCodes(t, c.op, shape, x, w, IntWeights{Scale: scales, Blocks: blocks, BlockSize: blockSize}, xScale, bias, want)
}

// checkIntCodes compares results that are codes with the rounded real ones, for
// operands that are codes and for real numbers on the grid.
func checkIntCodes(t *testing.T, op Op, shape []int, x, w Codes, weights IntWeights, xScale float32, bias, want []float32) {
	t.Helper()
	var p IntLayer
	weights.Shape, weights.Fill = w.Shape, func(dst []int16) { copy(dst, w.Data) }
	in := x.biased(xScale)
	if err := p.Set(op, in.Grid, weights); err != nil {
		t.Fatal(err)
	}
	real := in
	real.Codes, real.Values = nil, make([]float32, len(x.Data))
	kern.Dequantize(real.Values, in.Codes, in.Grid)
	out := IntTensor{Shape: shape, Codes: make([]uint8, len(want)), Grid: kern.Grid{Scale: 5, ZeroPoint: 7, Qmax: 100}}
	for name, v := range map[string]IntTensor{"codes": in, "numbers": real} {
		if err := p.Forward(1, out, kern.ReLU(), v, bias); err != nil {
			t.Fatal(err)
		}
		for i, u := range out.Codes {
			if q := kern.QuantizeOne(max(want[i], 0), out.Grid); int32(u) != q {
				t.Fatalf("%s: code %d is %d, want %d", name, i, u, q)
			}
		}
	}
}

func TestIntForwardErrors(t *testing.T) {
	x, w := Codes{[]int{2, 6}, make([]int16, 12)}, Codes{[]int{6, 3}, make([]int16, 18)}
	out := Tensor[float32]{[]int{2, 3}, make([]float32, 6)}
	s1 := []float32{1}
	call := func(op Op, out Tensor[float32], x, w Codes, scale []float32, blocks, size int, bias []float32) error {
		return IntForward(op, out, x, w, 1, scale, blocks, size, bias)
	}
	m := MatMul{}
	if err := call(m, out, x, w, make([]float32, 6), 2, 4, make([]float32, 3)); err != nil {
		t.Fatal(err)
	}
	wantErr(t, call(nil, out, x, w, s1, 1, 0, nil), ErrSettings, "nil")
	wantErr(t, call(Unary{Fn: "relu"}, out, x, w, s1, 1, 0, nil), ErrSettings, "no integer form")
	wantErr(t, call(m, Tensor[float32]{[]int{2, 3}, nil}, x, w, s1, 1, 0, nil), ErrShape, "output")
	wantErr(t, call(m, out, Codes{x.Shape, nil}, w, s1, 1, 0, nil), ErrShape, "codes")
	wantErr(t, call(m, out, w, x, s1, 1, 0, nil), ErrShape, "contract")
	wantErr(t, call(m, out, x, w, s1, 1, 0, []float32{1}), ErrShape, "bias")
	wantErr(t, call(m, out, x, w, s1, 1, -1, nil), ErrSettings, "block size")
	wantErr(t, call(m, out, x, w, s1, 2, 0, nil), ErrSettings, "blocks")
	wantErr(t, call(m, out, x, w, s1, 1, 4, nil), ErrSettings, "blocks")
	wantErr(t, call(m, out, x, w, make([]float32, 3), 2, 4, nil), ErrSettings, "scales")
	wantErr(t, call(m, out, x, w, nil, 1, 0, nil), ErrSettings, "scales")
	wantErr(t, call(m, out, x, Codes{[]int{6}, make([]int16, 6)}, s1, 1, 0, nil), ErrShape, "no matrix")
	wantErr(t, call(m, out, x, Codes{[]int{6, 0}, nil}, s1, 1, 0, nil), ErrShape, "weights")
	c := conv(one1, one1, [4]int{}, 2)
	wantErr(t, call(c, out, x, Codes{[]int{3, 1, 1, 1}, make([]int16, 3)}, s1, 1, 0, nil), ErrShape, "groups")

	var p IntLayer
	if err := p.Set(m, x.biased(1).Grid, IntWeights{Shape: w.Shape, Fill: func(dst []int16) {}, Scale: s1, Blocks: 1}); err != nil {
		t.Fatal(err)
	}
	result := IntTensor{Shape: out.Shape, Values: out.Data}
	wantErr(t, p.Forward(0, result, kern.NoClip(), x.biased(2), nil), ErrSettings, "set up for")
	wide := x.biased(1)
	wide.Grid.Qmax = 256
	wantErr(t, p.Forward(0, result, kern.NoClip(), wide, nil), ErrSettings, "biased bytes")
	result.Codes = make([]uint8, len(out.Data))
	wantErr(t, p.Forward(0, result, kern.NoClip(), x.biased(1), nil), ErrShape, "6 codes and 6 values")
}

// TestIntForwardRange: sums are refused exactly when 32 bits could not hold them.
func TestIntForwardRange(t *testing.T) {
	const k = 514 // 514·128·32640 < 2^31 <= 515·128·32640
	for _, c := range []struct {
		terms int
		ok    bool
	}{{k, true}, {k + 1, false}} {
		x, w := Codes{[]int{1, c.terms}, make([]int16, c.terms)}, Codes{[]int{c.terms, 1}, make([]int16, c.terms)}
		for i := range x.Data {
			x.Data[i], w.Data[i] = -128, 32640
		}
		out := Tensor[float32]{[]int{1, 1}, make([]float32, 1)}
		err := IntForward(MatMul{}, out, x, w, 1, []float32{1}, 1, 0, nil)
		if !c.ok {
			wantErr(t, err, ErrSettings, "32-bit")
		} else if err != nil || out.Data[0] != -k*128*32640 {
			t.Errorf("%d terms: sum %v, error %v, want %d", c.terms, out.Data[0], err, -k*128*32640)
		}
		for i := range x.Data { // what the grid allows does not count, what is there does
			x.Data[i] = 127
		}
		if err := IntForward(MatMul{}, out, x, w, 1, []float32{1}, 1, 0, nil); err != nil {
			t.Errorf("%d terms of 127: %v", c.terms, err)
		}
	}
}

func TestTerms(t *testing.T) {
	for _, c := range []struct {
		op   Op
		x, w []int
		want int
	}{
		{plain, []int{1, 8, 5, 5}, []int{4, 8, 3, 2}, 48},
		{conv(one1, one1, [4]int{}, 8), []int{1, 8, 5, 5}, []int{8, 1, 3, 3}, 9},
		{MatMul{}, []int{2, 7}, []int{7, 3}, 7},
		{MatMul{TransB: true}, []int{2, 7}, []int{3, 7}, 7},
		{Unary{Fn: "relu"}, []int{2}, nil, 0},
	} {
		if got := Terms(c.op, c.x, c.w); got != c.want {
			t.Errorf("%s %v %v: %d terms, want %d", c.op.Kind(), c.x, c.w, got, c.want)
		}
	}
}

func TestIntAvgPool(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	const scale = float32(0.013)
	for _, c := range layerCases() {
		var p Pool
		switch o := c.op.(type) {
		case Pool:
			p = o
		case GlobalAvgPool:
			p = Pool{Average: true, Kernel: [2]int(c.in[0][2:]), Stride: one1}
		}
		if !p.Average {
			continue
		}
		x := someCodes(r, c.in[0], 127)
		shape, err := OutShape(c.op, c.in)
		if err != nil {
			t.Fatal(err)
		}
		var want []float32
		indices(shape, func(ix []int) {
			sum, n := int64(0), 0
			indices(p.Kernel[:], func(k []int) {
				y, z := ix[2]*p.Stride[0]-p.Pad[0]+k[0], ix[3]*p.Stride[1]-p.Pad[1]+k[1]
				if y >= 0 && y < x.Shape[2] && z >= 0 && z < x.Shape[3] {
					sum, n = sum+int64(x.Data[offset(x.Shape, []int{ix[0], ix[1], y, z})]), n+1
				} else if !p.ExcludePad {
					n++
				}
			})
			want = append(want, float32(float32(sum)*scale)/float32(n))
		})
		out := Tensor[float32]{shape, make([]float32, len(want))}
		if err := IntAvgPool(0, c.op, out, x.biased(scale)); err != nil {
			t.Fatal(err)
		}
		wantSame(t, c.name, out.Data, want)
	}
}

func TestIntAvgPoolErrors(t *testing.T) {
	x := Codes{[]int{1, 1, 2, 2}, make([]int16, 4)}
	out := Tensor[float32]{[]int{1, 1, 1, 1}, make([]float32, 1)}
	full := [2]int{2, 2}
	wantErr(t, IntAvgPool(0, nil, out, x.biased(1)), ErrSettings, "nil")
	wantErr(t, IntAvgPool(0, Pool{Kernel: full, Stride: one1}, out, x.biased(1)), ErrSettings, "not an average")
	wantErr(t, IntAvgPool(0, Unary{Fn: "relu"}, Tensor[float32]{x.Shape, make([]float32, 4)}, x.biased(1)), ErrSettings, "not an average")
	wantErr(t, IntAvgPool(0, GlobalAvgPool{}, out, Codes{x.Shape, nil}.biased(1)), ErrShape, "codes")
	wantErr(t, IntAvgPool(0, GlobalAvgPool{}, Tensor[float32]{x.Shape, make([]float32, 4)}, x.biased(1)), ErrShape, "output")
}
