package qat

import (
	"strings"
	"testing"

	"github.com/goqat/goqat/qat/qconfig"
	"gorgonia.org/gorgonia"
)

// TestAdvice: a column a hundred times as wide as the others is named, with a cure; a
// network without trouble gets no advice.
func TestAdvice(t *testing.T) {
	const rows, columns = 64, 6
	for _, factor := range []float32{1, 100} {
		g := gorgonia.NewGraph()
		n := onlyPrepare(t, minMax(), g, relu(fc("fc", leaf(g, "x", 4, columns), 5)))
		x := numbers(5, rows*columns)
		for i := 3; i < len(x); i += columns {
			x[i] *= factor
		}
		if err := n.m.Calibrate(x); err != nil {
			t.Fatal(err)
		}
		r, err := n.m.Report(x)
		if err != nil {
			t.Fatal(err)
		}
		text := r.String()
		if got := strings.Contains(text, "advice: input x: column 3 spreads"); got != (factor > 1) {
			t.Errorf("factor %v: %q", factor, r.Advice)
		}
		if factor == 1 && len(r.Advice) > 0 {
			t.Errorf("advice without need: %q", r.Advice)
		}
	}
	// Two bits leave little of a tensor.
	g := gorgonia.NewGraph()
	cfg := qconfig.Config{Global: &qconfig.Layer{Weights: qconfig.Tensor{Bits: 2, Granularity: qconfig.PerTensor}}}
	n := onlyPrepare(t, cfg, g, fc("fc", leaf(g, "x", 4, 6), 5))
	r, err := n.m.Report()
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Advice) != 1 || !strings.Contains(r.Advice[0], "weight of fc: ") {
		t.Errorf("2 bits: %q, want a word about the weights of fc", r.Advice)
	}
}
