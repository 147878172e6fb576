package qat

import (
	"encoding/json"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/qat/qconfig"
	"gorgonia.org/gorgonia"
)

func analysed(t *testing.T, x []float32, s fakequant.Spec, p fakequant.Params) Row {
	t.Helper()
	layout, err := s.Layout([]int{len(x)})
	if err != nil {
		t.Fatal(err)
	}
	var row Row
	if err := analyse(&row, x, x, layout, s, p, channels{}); err != nil {
		t.Fatal(err)
	}
	return row
}

// TestAnalyseByHand checks shares and histograms against codes written out here.
func TestAnalyseByHand(t *testing.T) {
	inf := float32(math.Inf(1))
	for _, tc := range []struct {
		name               string
		spec               fakequant.Spec
		scale              float32
		zero               int32
		x                  []float32
		saturated, clipped float64
		below, above       int
		bins               int
		at                 map[int]int // bin: count, all others 0
	}{
		// Codes -7 -7 -7 -6 0 7 7 3; four bins for each of 15 codes.
		{"int4", fakequant.Spec{Bits: 4, NarrowRange: true}, 1, 0, []float32{-9, -7, -6.625, -6.375, 0, 7.375, 7.625, 3},
			5.0 / 8, 2.0 / 8, 1, 1, 60, map[int]int{2: 1, 3: 1, 4: 1, 30: 1, 59: 1, 42: 1}},
		// Zeros are exact; 127.25/0.5 = 254.5 is code 254; 64 bins for 256 codes.
		{"uint8", fakequant.Spec{Unsigned: true}, 0.5, 0, []float32{0, 0, 127.5, 127.25, 200, -1, 4, 4},
			3.0 / 8, 2.0 / 8, 1, 1, 64, map[int]int{0: 2, 63: 2, 2: 2}},
		// Codes 0 3 3 0 on the grid of -1, 0, 1, 2.
		{"affine", fakequant.Spec{Bits: 2, Unsigned: true, Scheme: fakequant.Affine}, 1, 1, []float32{-1, 2, inf, -inf},
			1, 0.5, 1, 1, 64, map[int]int{8: 1, 56: 1}},
	} {
		row := analysed(t, tc.x, tc.spec, fakequant.Params{Scale: []float32{tc.scale}, ZeroPoint: []int32{tc.zero}})
		h := row.Histogram
		if float64(row.Saturated) != tc.saturated || float64(row.Clipped) != tc.clipped {
			t.Errorf("%s: saturated %v, clipped %v, want %v and %v", tc.name, row.Saturated, row.Clipped, tc.saturated, tc.clipped)
		}
		if h.Below != tc.below || h.Above != tc.above || len(h.Counts) != tc.bins {
			t.Fatalf("%s: %d below, %d above, %d bins", tc.name, h.Below, h.Above, len(h.Counts))
		}
		for i, n := range h.Counts {
			if n != tc.at[i] {
				t.Errorf("%s: bin %d holds %d, want %d", tc.name, i, n, tc.at[i])
			}
		}
	}
}

// Each code has whole bins of its own up to 6 bits, and no histogram has more than 64.
func TestHistogramBins(t *testing.T) {
	for bits := fakequant.MinBits; bits <= fakequant.MaxBits; bits++ {
		for _, narrow := range []bool{false, true} {
			h := newHistogram(fakequant.Spec{Bits: bits, NarrowRange: narrow})
			codes := int(h.Qmax-h.Qmin) + 1
			if n := len(h.Counts); n > 64 || n < 32 || codes <= 64 && n%codes != 0 {
				t.Errorf("%d bits, narrow %v: %d bins for %d codes", bits, narrow, n, codes)
			}
		}
	}
}

// TestDeadChannels: a column of zero weights, and the result that does not depend on
// the input any more.
func TestDeadChannels(t *testing.T) {
	g := gorgonia.NewGraph()
	n := prepare(t, qconfig.Config{}, g, fc("fc", leaf(g, "x", 4, 6), 3))
	w := n.weights("fc")
	for i := 1; i < len(w); i += 3 {
		w[i] = 0
	}
	n.step(n.machine(), 0)
	for i := 1; i < len(w); i += 3 {
		w[i] = 0
	}
	r, err := n.m.Report(n.batch(0, 4)...)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"0/6", "1/3", "1/3"} {
		if got := r.Rows[i].deadText(); got != want {
			t.Errorf("row %d: %s dead, want %s", i, got, want)
		}
	}
	// One row cannot vary, and without a sample nothing is measured.
	if r, err = n.m.Report(n.batch(0, 1)...); err != nil {
		t.Fatal(err)
	}
	if x := r.Rows[2]; x.Channels != 0 || x.Histogram == nil {
		t.Errorf("one row: %+v", x)
	}
	if row := n.row("fc", "activation"); row.Histogram != nil || !math.IsNaN(float64(row.Saturated)) || row.deadText() != "-" {
		t.Errorf("without a sample: %+v", row)
	}
}

// weights is the memory of a layer's weights.
func (n *net) weights(name string) []float32 {
	n.t.Helper()
	w, err := n.layer(name).in[1].Floats()
	if err != nil {
		n.t.Fatal(err)
	}
	return w
}

func TestAllSame(t *testing.T) {
	ch := channels{n: 3, of: func(i int) int { return i % 3 }}
	codes := []int32{1, 0, 5, 1, 0, 6, 1, 0, 5}
	if got := allSame(codes, ch); got != 2 {
		t.Errorf("%d constant channels, want 2", got)
	}
	if got := allZero(codes, ch); got != 1 {
		t.Errorf("%d channels of zeros, want 1", got)
	}
}

// Zero is the zero point's code, not code 0.
func TestDeadWithZeroPoint(t *testing.T) {
	s := fakequant.Spec{Unsigned: true, Scheme: fakequant.Affine}
	layout, err := s.Layout([]int{4})
	if err != nil {
		t.Fatal(err)
	}
	var row Row
	x := []float32{0, -100, 0.4, 0} // codes 100, 0, 100, 100
	ch := channels{2, func(i int) int { return i % 2 }, allZero}
	if err := analyse(&row, x, x, layout, s, fakequant.Params{Scale: []float32{1}, ZeroPoint: []int32{100}}, ch); err != nil {
		t.Fatal(err)
	}
	if row.Dead != 1 || row.Channels != 2 {
		t.Errorf("%s dead, want 1/2", row.deadText())
	}
}

// TestRecord compares the points with the quantizers at the time.
func TestRecord(t *testing.T) {
	g, _, y := mlp()
	n := prepare(t, qconfig.Config{}, g, y)
	n.m.Record(2)
	m := n.machine()
	var scales []float32
	var tops []Number
	for i := range 5 {
		n.step(m, i)
		if p, err := n.m.plan.order[0].q.Params(); err != nil {
			t.Fatal(err)
		} else if (i+1)%2 == 0 {
			_, hi, _ := n.m.plan.order[0].q.Range()
			scales, tops = append(scales, p.Scale[0]), append(tops, Number(hi[0]))
		}
	}
	r, err := n.m.Report()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, h := range r.Ranges {
		names = append(names, h.Quantizer+" "+h.Tensor)
	}
	if want := []string{"x activation", "relu_0.out activation", "fc2.out activation", "fc1.weight weight", "fc2.weight weight"}; len(names) != 5 || names[0] != want[0] || names[3] != want[3] || names[4] != want[4] {
		t.Fatalf("recorded %q, want such as %q", names, want)
	}
	x := r.Ranges[0]
	if !slices.Equal(x.Steps, []int{2, 4}) || !slices.Equal(x.Max, tops) {
		t.Errorf("steps %v, maxima %v, want 2, 4 and %v", x.Steps, x.Max, tops)
	}
	for i, s := range scales {
		if x.Scale[i] != Number(s) || x.Low[i] != Number(-128*float64(s)) || x.High[i] != Number(127*float64(s)) {
			t.Errorf("point %d: scale %v, grid %v … %v, want scale %v", i, x.Scale[i], x.Low[i], x.High[i], s)
		}
	}
}

// Weights have the range that their latest grid shows.
func TestRecordWeights(t *testing.T) {
	g, _, y := mlp()
	n := prepare(t, qconfig.Config{}, g, y)
	n.m.Record(1)
	w := n.weights("fc1")
	for i := range w {
		w[i] = float32(i%5) / 4 // from 0 to 1
	}
	n.step(n.machine(), 0)
	x := n.m.history.ranges(n.m.plan)[3]
	top := Number(127 * float64(float32(1)/127))
	if x.Min[0] != -top || x.Max[0] != top || x.Low[0] != -top || x.High[0] != top {
		t.Errorf("weights from 0 to 1: %+v", x)
	}
}

// TestRecordBounded: a long training keeps a bounded, even history that ends late.
func TestRecordBounded(t *testing.T) {
	g, _, y := mlp()
	n := prepare(t, qconfig.Config{}, g, y)
	n.m.Record(1)
	const steps = 5000
	for range steps {
		if err := n.m.Step(); err != nil {
			t.Fatal(err)
		}
		if h := n.m.history; len(h.Steps) > maxPoints {
			t.Fatalf("%d points", len(h.Steps))
		}
	}
	h := n.m.history
	for i, s := range h.Steps {
		if s != (i+1)*h.Every {
			t.Fatalf("point %d is of step %d, the interval is %d", i, s, h.Every)
		}
	}
	if last := h.Steps[len(h.Steps)-1]; h.Every != 16 || steps-last >= h.Every {
		t.Errorf("interval %d, last point %d", h.Every, last)
	}
	if err := h.check(n.m.plan); err != nil {
		t.Error(err)
	}
}

// A history that starts late thins to round steps too.
func TestRecordStartsLate(t *testing.T) {
	g, _, y := mlp()
	n := prepare(t, qconfig.Config{}, g, y)
	for i := range 2000 {
		if i == 511 {
			n.m.Record(1)
		}
		if err := n.m.Step(); err != nil {
			t.Fatal(err)
		}
	}
	h := n.m.history
	for i, s := range h.Steps {
		if s%h.Every != 0 || i > 0 && s-h.Steps[i-1] != h.Every {
			t.Fatalf("interval %d, steps %v", h.Every, h.Steps)
		}
	}
	if h.Steps[0] != 512 {
		t.Errorf("the first point is of step %d, want 512", h.Steps[0])
	}
}

func TestHistoryCheck(t *testing.T) {
	g, _, y := mlp()
	n := prepare(t, qconfig.Config{}, g, y)
	five := func(points ...rangePoint) [][]rangePoint {
		return [][]rangePoint{points, points, points, points, points}
	}
	for _, tc := range []struct {
		h    *rangeHistory
		want string
	}{
		{nil, ""},
		{&rangeHistory{Every: 1}, ""},
		{&rangeHistory{Every: 3, Steps: []int{3, 9}, Points: five(rangePoint{}, rangePoint{})}, ""},
		{&rangeHistory{}, "interval is 0"},
		{&rangeHistory{Every: 1, Steps: make([]int, 513)}, "513 points"},
		{&rangeHistory{Every: 1, Steps: []int{1}}, "0 quantizers, the network 5"},
		{&rangeHistory{Every: 1, Steps: []int{1}, Points: make([][]rangePoint, 4)}, "4 quantizers, the network 5"},
		{&rangeHistory{Every: 1, Steps: []int{0}, Points: five(rangePoint{})}, "not in order: 0"},
		{&rangeHistory{Every: 1, Steps: []int{2, 2}, Points: five(rangePoint{}, rangePoint{})}, "not in order: 2"},
		{&rangeHistory{Every: 1, Steps: []int{1, 2}, Points: five(rangePoint{})}, "1 points for 2 steps"},
	} {
		err := tc.h.check(n.m.plan)
		if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%+v: %v, want %q", tc.h, err, tc.want)
		}
	}
}

func TestNumberJSON(t *testing.T) {
	in := []Number{1.5, nan, -0.25}
	text, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	var out []Number
	if err := json.Unmarshal(text, &out); err != nil {
		t.Fatal(err)
	}
	if out[0] != 1.5 || !math.IsNaN(float64(out[1])) || out[2] != -0.25 {
		t.Errorf("%s came back as %v", text, out)
	}
	if err := json.Unmarshal([]byte(`["x"]`), &out); err == nil {
		t.Error("a text is no number")
	}
}

// TestReportReads: a report written as JSON reads back the same.
func TestReportReads(t *testing.T) {
	r := demoReport(t)
	var b strings.Builder
	if err := r.JSON(&b); err != nil {
		t.Fatal(err)
	}
	var back Report
	if err := json.Unmarshal([]byte(b.String()), &back); err != nil {
		t.Fatal(err)
	}
	for i := range r.Rows {
		if a, b := r.Rows[i].Histogram, back.Rows[i].Histogram; !reflect.DeepEqual(a, b) {
			t.Errorf("row %d: histogram %+v, want %+v", i, b, a)
		}
	}
	if len(back.Ranges) != len(r.Ranges) || len(r.Ranges) == 0 || !slices.Equal(back.Ranges[0].Max, r.Ranges[0].Max) {
		t.Errorf("%d ranges, want %d", len(back.Ranges), len(r.Ranges))
	}
}

func TestPercent(t *testing.T) {
	for _, tc := range []struct {
		n    Number
		want string
	}{{nan, "-"}, {0, "0.00"}, {1e-5, "<0.01"}, {0.5, "50.00"}, {1, "100.00"}} {
		if got := tc.n.percent(); got != tc.want {
			t.Errorf("%v: %s, want %s", tc.n, got, tc.want)
		}
	}
}
