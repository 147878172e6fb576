package qat

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/goqat/goqat/qat/internal/measure"
	"github.com/goqat/goqat/qat/qconfig"
	"github.com/goqat/goqat/qat/report"
	"gorgonia.org/gorgonia"
)

// TestDeadChannels: a column of zero weights, and the result that does not depend on
// the input any more.
func TestDeadChannels(t *testing.T) {
	g := gorgonia.NewGraph()
	n := prepare(t, qconfig.Config{QuantizeOutputs: true}, g, fc("fc", leaf(g, "x", 4, 6), 3))
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
		if got := r.Rows[i].DeadText(); got != want {
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
	if row := n.row("fc", "activation"); row.Histogram != nil || !math.IsNaN(float64(row.Saturated)) || row.DeadText() != "-" {
		t.Errorf("without a sample: %+v", row)
	}
}

// weights is the memory of a layer's weights.
func (n *net) weights(name string) []float32 {
	n.t.Helper()
	w, err := n.layer(name).In[1].Floats()
	if err != nil {
		n.t.Fatal(err)
	}
	return w
}

// TestRecord compares the points with the quantizers at the time.
func TestRecord(t *testing.T) {
	g, _, y := mlp()
	n := prepare(t, qconfig.Config{QuantizeOutputs: true}, g, y)
	n.m.Record(2)
	m := n.machine()
	var scales []float32
	var tops []report.Number
	for i := range 5 {
		n.step(m, i)
		if p, err := n.m.plan.Order[0].Quantizer.Params(); err != nil {
			t.Fatal(err)
		} else if (i+1)%2 == 0 {
			_, hi, _ := n.m.plan.Order[0].Quantizer.Range()
			scales, tops = append(scales, p.Scale[0]), append(tops, report.Number(hi[0]))
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
		if x.Scale[i] != report.Number(s) || x.Low[i] != report.Number(-128*float64(s)) || x.High[i] != report.Number(127*float64(s)) {
			t.Errorf("point %d: scale %v, grid %v … %v, want scale %v", i, x.Scale[i], x.Low[i], x.High[i], s)
		}
	}
}

// Weights have the range that their latest grid shows.
func TestRecordWeights(t *testing.T) {
	g, _, y := mlp()
	n := prepare(t, qconfig.Config{QuantizeOutputs: true}, g, y)
	n.m.Record(1)
	w := n.weights("fc1")
	for i := range w {
		w[i] = float32(i%5) / 4 // from 0 to 1
	}
	n.step(n.machine(), 0)
	x := n.m.history.Ranges(n.m.plan)[3]
	top := report.Number(127 * float64(float32(1)/127))
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
		if h := n.m.history; len(h.Steps) > measure.MaxPoints {
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
	if err := h.Check(n.m.plan); err != nil {
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
	n := prepare(t, qconfig.Config{QuantizeOutputs: true}, g, y)
	five := func(points ...measure.Point) [][]measure.Point {
		return [][]measure.Point{points, points, points, points, points}
	}
	for _, tc := range []struct {
		h    *measure.History
		want string
	}{
		{nil, ""},
		{&measure.History{Every: 1}, ""},
		{&measure.History{Every: 3, Steps: []int{3, 9}, Points: five(measure.Point{}, measure.Point{})}, ""},
		{&measure.History{}, "interval is 0"},
		{&measure.History{Every: 1, Steps: make([]int, 513)}, "513 points"},
		{&measure.History{Every: 1, Steps: []int{1}}, "0 quantizers, the network 5"},
		{&measure.History{Every: 1, Steps: []int{1}, Points: make([][]measure.Point, 4)}, "4 quantizers, the network 5"},
		{&measure.History{Every: 1, Steps: []int{0}, Points: five(measure.Point{})}, "not in order: 0"},
		{&measure.History{Every: 1, Steps: []int{2, 2}, Points: five(measure.Point{}, measure.Point{})}, "not in order: 2"},
		{&measure.History{Every: 1, Steps: []int{1, 2}, Points: five(measure.Point{})}, "1 points for 2 steps"},
	} {
		err := tc.h.Check(n.m.plan)
		if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%+v: %v, want %q", tc.h, err, tc.want)
		}
	}
}
