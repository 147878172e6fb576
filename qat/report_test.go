package qat

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/goqat/goqat/qat/qconfig"
	"github.com/goqat/goqat/qat/report"
	"gorgonia.org/gorgonia"
)

// handRounded is x on a symmetric grid, in float64 but for the float32 scale.
func handRounded(x float32, scale float32, qmin, qmax float64) float64 {
	q := math.RoundToEven(float64(x / scale))
	return min(max(q, qmin), qmax) * float64(scale)
}

// handError is the root mean square error and the signal-to-noise ratio in dB.
func handError(x []float32, rounded func(i int) float64) (rmse, sqnr float64) {
	var signal, noise float64
	for i, v := range x {
		signal += float64(v) * float64(v)
		noise += math.Pow(float64(v)-rounded(i), 2)
	}
	return math.Sqrt(noise / float64(len(x))), 10 * math.Log10(signal/noise)
}

// handTol: the report rounds each x' to float32, relative 2^-24, before it takes the
// difference; the differences are about 1/256 of a value, so each is off by up to
// 2^-16 of itself, and the decibels by 10·log10(1+2·2^-16).
const handTol = 1e-4

func peak(x []float32) float32 {
	m := float32(0)
	for _, v := range x {
		m = max(m, v, -v)
	}
	return m
}

func near(t *testing.T, what string, got report.Number, want float64) {
	t.Helper()
	if !(math.Abs(float64(got)-want) <= handTol*(1+math.Abs(want))) {
		t.Errorf("%s is %v, want %v", what, got, want)
	}
}

// TestReportByHand checks one weight and one input against the formulas.
func TestReportByHand(t *testing.T) {
	g := gorgonia.NewGraph()
	n := prepare(t, qconfig.Config{QuantizeOutputs: true}, g, fc("fc", leaf(g, "x", 4, 6), 3))
	n.step(n.machine(), 0)
	sample := n.batch(0, 4)
	r, err := n.m.Report(sample...)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Rows) != 3 {
		t.Fatalf("%d rows, want input, weight and result:\n%v", len(r.Rows), r)
	}
	in, weight, out := r.Rows[0], r.Rows[1], r.Rows[2]

	// The input: its range is that of the only batch, which is the sample too.
	x := sample[0]
	scale := peak(x) / 127.5
	rmse, sqnr := handError(x, func(i int) float64 { return handRounded(x[i], scale, -128, 127) })
	near(t, "SQNR of the input", in.SQNR, sqnr)
	near(t, "RMSE of the input", in.RMSE, rmse)
	if in.Layer != "x" || in.Kind != "input" || in.Spec != signed8 || in.Elements != 6 || !slices.Equal(in.Scales, []float32{scale}) {
		t.Errorf("input: %+v", in)
	}

	// The weight: [6,3], one scale for each column.
	w := n.snapshot().params["fc.weight"]
	var scales []float32
	for c := range 3 {
		var column []float32
		for i := c; i < len(w); i += 3 {
			column = append(column, w[i])
		}
		scales = append(scales, peak(column)/127)
	}
	rmse, sqnr = handError(w, func(i int) float64 { return handRounded(w[i], scales[i%3], -127, 127) })
	near(t, "SQNR of the weight", weight.SQNR, sqnr)
	near(t, "RMSE of the weight", weight.RMSE, rmse)
	if !slices.Equal(weight.Scales, scales) || !slices.Equal(weight.ZeroPoints, []int32{0, 0, 0}) {
		t.Errorf("weight: scales %v, zero points %v, want %v", weight.Scales, weight.ZeroPoints, scales)
	}
	if want := report.Number(slices.Max(w)); weight.Max != want {
		t.Errorf("weight: maximum %v, want %v", weight.Max, want)
	}
	// 18 codes, 3 scales of 4 bytes, 3 zero points of 1; then the 3 floats of the bias.
	if weight.BytesBefore != 72 || weight.BytesAfter != 18+15 || r.FloatBytes != 72+12 || r.Bytes != 33+12 {
		t.Errorf("sizes %d → %d, in all %d → %d", weight.BytesBefore, weight.BytesAfter, r.FloatBytes, r.Bytes)
	}
	if out.Layer != "fc" || out.Kind != "matmul" || out.Tensor != "activation" || out.Elements != 3 || math.IsNaN(float64(out.SQNR)) {
		t.Errorf("result: %+v", out)
	}
}

// TestReportFourBits: two codes share a byte.
func TestReportFourBits(t *testing.T) {
	g := gorgonia.NewGraph()
	n := prepare(t, qconfig.Config{QuantizeOutputs: true, Global: &qconfig.Layer{Weights: qconfig.Tensor{Bits: 4, Granularity: qconfig.PerBlock, BlockSize: 4}}}, g, fc("fc", leaf(g, "x", 4, 5), 3))
	// 15 codes in 8 bytes; two blocks for each of 3 columns, 5 bytes each.
	if row := n.row("fc", "weight"); row.BytesAfter != 8+6*5 || len(row.Scales) != 6 {
		t.Errorf("%d bytes and %d scales, want 38 and 6", row.BytesAfter, len(row.Scales))
	}
}

// TestReportStates: before data, with and without a sample, and what is not
// finite.
func TestReportStates(t *testing.T) {
	g, _, y := mlp()
	n := prepare(t, qconfig.Config{QuantizeOutputs: true}, g, y)
	row := n.row("x", "activation")
	if !math.IsNaN(float64(row.Min)) || !math.IsNaN(float64(row.SQNR)) || row.Scales != nil {
		t.Errorf("before any data: %+v", row)
	}
	n.step(n.machine(), 0)
	row = n.row("x", "activation")
	if math.IsNaN(float64(row.Min)) || !math.IsNaN(float64(row.SQNR)) || len(row.Scales) != 1 {
		t.Errorf("without a sample: %+v", row)
	}
	// Zeros are on every grid: nothing changes, and 0/0 is not a ratio.
	r, err := n.m.Report(make([]float32, 6))
	if err != nil {
		t.Fatal(err)
	}
	if x := r.Rows[0]; x.RMSE != 0 || !math.IsNaN(float64(x.SQNR)) {
		t.Errorf("zeros: RMSE %v and SQNR %v, want 0 and NaN", x.RMSE, x.SQNR)
	}
}

func TestReportTexts(t *testing.T) {
	g := gorgonia.NewGraph()
	h := maxPool(relu(conv("c1", leaf(g, "x", 2, 1, 4, 4), 2, 3)))
	n := prepare(t, qconfig.Config{QuantizeOutputs: true, Names: map[string]*qconfig.Layer{"c2": nil}}, g, conv("c2", h, 2, 1))
	n.step(n.machine(), 0)
	r, err := n.m.Report(n.batch(0, 2)...)
	if err != nil {
		t.Fatal(err)
	}
	text := r.String()
	for _, want := range []string{"layer ", "SQNR dB", "int8 symmetric per_channel(axis 0) narrow", "uint8 symmetric per_tensor",
		"shares the quantizer of relu_0.out", "left float by the config", "72 → 28",
		fmt.Sprintf("parameters: %d bytes as float32, %d bytes quantized", 72+16, 28+16)} {
		if !strings.Contains(text, want) {
			t.Errorf("the table has no %q:\n%s", want, text)
		}
	}
	if lines := strings.Count(text, "\n"); lines != len(r.Rows)+2 {
		t.Errorf("%d lines for %d rows", lines, len(r.Rows))
	}
	var b strings.Builder
	if err := r.WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	var back struct {
		Rows []map[string]any `json:"rows"`
		Size int              `json:"bytes"`
	}
	if err := json.Unmarshal([]byte(b.String()), &back); err != nil {
		t.Fatalf("%v in\n%s", err, &b)
	}
	if len(back.Rows) != len(r.Rows) || back.Size != r.Bytes {
		t.Errorf("JSON has %d rows and %d bytes, want %d and %d", len(back.Rows), back.Size, len(r.Rows), r.Bytes)
	}
	for i, row := range back.Rows {
		if row["layer"] != r.Rows[i].Layer || row["tensor"] != r.Rows[i].Tensor {
			t.Errorf("JSON row %d: %v", i, row)
		}
		sqnr, there := row["sqnr_db"]
		want := float64(r.Rows[i].SQNR)
		if !there || (sqnr == nil) != (math.IsNaN(want) || math.IsInf(want, 0)) {
			t.Errorf("JSON row %d: sqnr_db %v, want %v", i, sqnr, r.Rows[i].SQNR)
		}
	}
}
