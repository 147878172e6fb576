package onnxin

import (
	"math"
	"slices"
	"testing"

	"github.com/goqat/goqat/internal/onnxpb"
	"github.com/goqat/goqat/qat/qconfig"
)

// What becomes of whole-number inputs, token numbers and masks, in the ways exporters write?

// tokens are two samples of four token numbers below 10, tokenMask which of them count.
var (
	tokens    = []float32{3, 0, 7, 9, 9, 1, 1, 4}
	tokenMask = []float32{1, 0, 1, 1, 0, 1, 1, 0}
)

var tokenCases = []struct {
	name  string
	build func(f *file, ids, mask string) string
	used  []float32 // the input that is read
	want  func(sample, at int) []float32
	tol   float64
}{
	{"one-hot", func(f *file, ids, _ string) string {
		wide := f.node("Expand", []string{f.node("Unsqueeze", []string{ids, f.list(2)}), f.list(1, 4, 10)})
		is := f.node("Equal", []string{wide, f.init(intTensor("all", []int{1, 1, 10}, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9))})
		return f.node("MatMul", []string{f.node("Cast", []string{is}, "to", int(typeFloat)), tokenTable(f)})
	}, tokens, func(sample, at int) []float32 { return tokenRow(int(tokens[4*sample+at])) }, 0},
	{"types of tokens", func(f *file, ids, _ string) string {
		// The types of the first positions come out of those of all.
		types := f.node("GatherElements", []string{f.init(intTensor("types", []int{1, 6}, 0, 1, 1, 0, 1, 1)), f.init(intTensor("positions", []int{1, 4}, 0, 1, 2, -3))}, "axis", 1)
		kinds := f.node("Gather", []string{f.init(floatTensor("kinds", []int{2, 3}, 0, 0, 0, 100, 200, 300)), types})
		return f.node("Add", []string{f.node("Gather", []string{tokenTable(f), ids}), kinds})
	}, tokens, func(sample, at int) []float32 {
		row := tokenRow(int(tokens[4*sample+at]))
		if at == 1 || at == 2 {
			for i := range row {
				row[i] += float32(100 * (i + 1))
			}
		}
		return row
	}, 0},
	{"tokens at known places", func(f *file, ids, _ string) string {
		turned := f.node("GatherElements", []string{ids, f.init(intTensor("at", []int{2, 4}, 3, 2, 1, 0, -1, -2, -3, -4))}, "axis", 1)
		return f.node("Gather", []string{tokenTable(f), turned})
	}, tokens, func(sample, at int) []float32 { return tokenRow(int(tokens[4*sample+3-at])) }, 0},
	{"padding mask", func(f *file, _, mask string) string {
		is := f.node("Unsqueeze", []string{f.node("Cast", []string{mask}, "to", int(onnxpb.TensorProto_BOOL)), f.list(1)})
		add := f.node("Where", []string{is, f.init(floatTensor("zero", nil, 0)), f.init(floatTensor("lowest", nil, -math.MaxFloat32))})
		scores := f.init(floatTensor("scores", []int{1, 4, 4}, slices.Repeat([]float32{0, math.Ln2, 0, 2 * math.Ln2}, 4)...))
		values := f.init(floatTensor("values", []int{4, 4}, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1))
		return f.node("MatMul", []string{f.node("Softmax", []string{f.node("Add", []string{scores, add})}, "axis", -1), values})
	}, tokenMask, func(sample, _ int) []float32 {
		row, sum := []float32{1, 2, 1, 4}, float32(0)
		for i := range row {
			row[i] *= tokenMask[4*sample+i]
			sum += row[i]
		}
		for i := range row {
			row[i] /= sum
		}
		return row
	}, opTol},
}

// tokenRow is row i of tokenTable: small whole numbers, which float32 adds exactly.
func tokenRow(i int) []float32 { return []float32{float32(i), float32(10 + i), float32(-20 - i)} }

func tokenTable(f *file) string {
	var rows []float32
	for i := range 10 {
		rows = append(rows, tokenRow(i)...)
	}
	return f.init(floatTensor("table", []int{10, 3}, rows...))
}

// TestTokens compares with what each position should get, and freezes each model.
func TestTokens(t *testing.T) {
	for _, c := range tokenCases {
		t.Run(c.name, func(t *testing.T) {
			f := newFile(17)
			for _, name := range []string{"ids", "mask"} {
				f.Graph.Input = append(f.Graph.Input, info(name, typeInt, "N", 4))
			}
			f.output(c.build(f, "ids", "mask"))
			var want []float32
			for i := range tokens {
				want = append(want, c.want(i/4, i%4)...)
			}
			m, err := f.read(t, Options{Batch: 2})
			if err != nil {
				t.Fatal(err)
			}
			near(t, c.name, forward(t, m, c.used)[0], want, c.tol)
			if m, err = f.read(t, Options{Batch: 2}); err != nil { // without that run's values
				t.Fatal(err)
			}
			frozenOf(t, m, qconfig.Config{QuantizeOutputs: true}, c.used)
		})
	}
}
