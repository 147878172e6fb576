package exact

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/internal/nn"
)

// TestProduct compares with the sum written out: integers, one scale for each block.
func TestProduct(t *testing.T) {
	const rows, k, n = 3, 6, 2
	x := Quant{fakequant.Spec{Bits: 8, Unsigned: true, Scheme: fakequant.Affine}, fakequant.Params{Scale: []float32{0.5}, ZeroPoint: []int32{3}}}
	for _, tc := range []struct {
		name  string
		spec  fakequant.Spec
		scale []float32 // in fakequant's order
		at    func(in, out int) int
		block int // input channels of one sum
	}{
		{"per tensor", fakequant.Spec{Bits: 8}, []float32{0.25}, func(_, _ int) int { return 0 }, k},
		{"per channel", fakequant.Spec{Bits: 8, Granularity: fakequant.PerChannel, Axis: 1}, []float32{0.25, 0.125}, func(_, out int) int { return out }, k},
		{"per block", fakequant.Spec{Bits: 8, Granularity: fakequant.PerBlock, Axis: 0, BlockSize: 4}, []float32{0.25, 0.125, 0.5, 1}, func(in, out int) int { return in/4*n + out }, 4},
	} {
		w := Quant{tc.spec, fakequant.Params{Scale: tc.scale, ZeroPoint: make([]int32, len(tc.scale))}}
		xs, ws, bias := make([]float32, rows*k), make([]float32, k*n), []float32{1, -2}
		xcode := func(i int) int32 { return int32(i*7%19) - 3 }
		wcode := func(i int) int32 { return int32(i*5%23) - 11 }
		for i := range xs {
			xs[i] = float32(xcode(i)) * 0.5
		}
		for i := range ws {
			ws[i] = float32(wcode(i)) * tc.scale[tc.at(i/n, i%n)]
		}
		got := make([]float32, rows*n)
		err := Product(nn.MatMul{}, nn.Tensor[float32]{Shape: []int{rows, n}, Data: got}, nn.Tensor[float32]{Shape: []int{rows, k}, Data: xs}, x,
			nn.Tensor[float32]{Shape: []int{k, n}, Data: ws}, "fc.weight", w, nil, bias)
		if err != nil {
			t.Fatalf("%s: %v", tc.name, err)
		}
		for r := range rows {
			for c := range n {
				var want float32
				for b := 0; b < k; b += tc.block {
					sum := int32(0)
					for j := b; j < min(b+tc.block, k); j++ {
						sum += xcode(r*k+j) * wcode(j*n+c)
					}
					want += float32(sum) * float32(0.5*tc.scale[tc.at(b, c)])
				}
				want += bias[c]
				if got[r*n+c] != want { // all numbers are small multiples of 1/16: exact
					t.Errorf("%s: row %d, channel %d: %v, want %v", tc.name, r, c, got[r*n+c], want)
				}
			}
		}
	}
}

func TestErrors(t *testing.T) {
	q := func(s fakequant.Spec, zero int32) Quant {
		return Quant{s, fakequant.Params{Scale: []float32{1, 1}, ZeroPoint: []int32{0, zero}}}
	}
	perChannel := fakequant.Spec{Bits: 8, Granularity: fakequant.PerChannel}
	_, err := ScalesOf(nn.MatMul{}, "fc.weight", []int{2, 3}, q(perChannel, 0))
	for _, tc := range []struct {
		name string
		err  error
		want string
	}{
		{"input channels", err, `weight "fc.weight" is quantized per channel of axis 0: an integer matmul wants the output channels, axis 1`},
		{"zero point", q(perChannel, 1).Check([]int{2, 3}), "zero point 1 of group 1: symmetric signed codes have zero point 0"},
		{"scales", q(fakequant.Spec{Bits: 8}, 0).Check([]int{2, 3}), "scale"},
	} {
		if tc.err == nil || !strings.Contains(tc.err.Error(), tc.want) {
			t.Errorf("%s: error %v, want one with %s", tc.name, tc.err, tc.want)
		}
	}
}

// TestWeights: packed once or anew, products with the same weights are the same, on any grid
// of the inputs, and new weights are seen.
func TestWeights(t *testing.T) {
	const rows, k, n = 5, 34, 37
	r := rand.New(rand.NewPCG(1, 2))
	scale := make([]float32, n)
	for i := range scale {
		scale[i] = 1 / float32(i+64)
	}
	ws, xs, bias := make([]float32, k*n), make([]float32, rows*k), make([]float32, n)
	var kept Weights
	for pass := range uint64(3) {
		for _, op := range []nn.MatMul{{}, {TransB: true}} {
			w := Quant{fakequant.Spec{Bits: 8, Granularity: fakequant.PerChannel, Axis: 1}, fakequant.Params{Scale: scale, ZeroPoint: make([]int32, n)}}
			shape := []int{k, n}
			if op.TransB {
				w.Spec.Axis, shape = 0, []int{n, k}
			}
			for i := range ws {
				c := i % n
				if op.TransB {
					c = i / k
				}
				ws[i] = scale[c] * float32(r.IntN(255)-127)
			}
			for use, grid := range []struct {
				scale float32
				zero  int32
			}{{0.5, 3}, {0.5, 3}, {0.25, 0}, {0.125, 255}} {
				x := Quant{fakequant.Spec{Bits: 8, Unsigned: true, Scheme: fakequant.Affine}, fakequant.Params{Scale: []float32{grid.scale}, ZeroPoint: []int32{grid.zero}}}
				for i := range xs {
					xs[i] = grid.scale * float32(int32(r.IntN(256))-grid.zero)
				}
				got, want := make([]float32, rows*n), make([]float32, rows*n)
				tensor := func(data []float32, shape ...int) nn.Tensor[float32] {
					return nn.Tensor[float32]{Shape: shape, Data: data}
				}
				if err := Product(op, tensor(want, rows, n), tensor(xs, rows, k), x, tensor(ws, shape...), "w", w, nil, bias); err != nil {
					t.Fatal(err)
				}
				if err := kept.Product(pass, op, tensor(got, rows, n), tensor(xs, rows, k), x, tensor(ws, shape...), "w", w, nil, bias); err != nil {
					t.Fatal(err)
				}
				if !slices.Equal(got, want) {
					t.Errorf("pass %d, %+v, use %d: other results", pass, op, use)
				}
			}
		}
	}
}
