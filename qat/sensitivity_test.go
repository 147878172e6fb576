package qat

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/goqat/goqat/qat/internal/measure"
	"github.com/goqat/goqat/qat/qconfig"
	"github.com/goqat/goqat/qat/report"
)

// inspected is a calibrated network whose second layer has 2 bits and whose first has 8.
func inspected(t *testing.T) *net {
	t.Helper()
	g, _, y := mlp()
	cfg := rounded(8, qconfig.PerChannel)
	cfg.Names = map[string]*qconfig.Layer{"fc2": {Weights: qconfig.Tensor{Bits: 2}}}
	n := onlyPrepare(t, cfg, g, y)
	n.calibrate()
	return n
}

// scored predicts two batches and counts calls; the score is the mean output.
func scored(n *net, calls *int) func(report.Forward) (float64, error) {
	return func(p report.Forward) (float64, error) {
		*calls++
		sum := 0.0
		for i := range 2 {
			y, err := p(n.batch(i, 5+i)...)
			if err != nil {
				return 0, err
			}
			for _, v := range y[0] {
				sum += float64(v)
			}
		}
		return sum, nil
	}
}

func TestSensitivity(t *testing.T) {
	n := inspected(t)
	before := n.snapshot()
	calls := 0
	s, err := n.m.Sensitivity(context.Background(), scored(n, &calls))
	fatal(t, err)
	sameSnapshot(t, n.snapshot(), before)
	if want := 2 + 2 + 3 + 3; calls != want { // float, all, the input, two layers
		t.Errorf("%d evaluations, want %d", calls, want)
	}
	var names []string
	rows := map[string]report.LayerSensitivity{}
	for _, x := range s.Layers {
		names = append(names, x.Layer)
		rows[x.Layer] = x
	}
	slices.Sort(names[1:])
	if got := strings.Join(names, " "); got != "fc2 fc1 x" {
		t.Errorf("layers %q, the first the most sensitive", got)
	}
	if x := rows["fc2"]; x.Only == s.Float || x.AllBut == s.Quantized || !(x.AllButSQNR > s.SQNR+10) || !(x.OnlySQNR < s.SQNR+1) {
		t.Errorf("fc2: %+v of %v, %v, %v dB", x, s.Float, s.Quantized, s.SQNR)
	}
	if x := rows["x"]; x.Kind != "input" || x.Spec != "" || !math.IsNaN(float64(x.WeightsSQNR)) {
		t.Errorf("x: %+v", x)
	}
	if x := rows["fc1"]; x.Spec == "" || math.IsNaN(float64(x.WeightsSQNR)) {
		t.Errorf("fc1: %+v", x)
	}
	// By hand: float, and all quantized.
	var signal, noise float64
	for i := range 2 {
		q, err := n.m.Predict(n.batch(i, 5+i)...)
		fatal(t, err)
		var f [][]float32
		fatal(t, n.m.plan.InFloat(func() (err error) { f, err = n.m.Predict(n.batch(i, 5+i)...); return err }))
		a, b := measure.Powers(f[0], q[0])
		signal, noise = signal+a, noise+b
	}
	if want := report.Number(10 * math.Log10(signal/noise)); s.SQNR != want {
		t.Errorf("SQNR %v, want %v", s.SQNR, want)
	}
	var b bytes.Buffer
	fatal(t, s.WriteJSON(&b))
	if !json.Valid(b.Bytes()) || !strings.Contains(s.String(), "fc2") {
		t.Errorf("tables: %s %s", &b, s)
	}
}

func TestSensitivityErrors(t *testing.T) {
	ok := func(p report.Forward) (float64, error) { return 1, nil }
	n := inspected(t)
	before := n.snapshot()
	boom := errors.New("boom")
	calls := 0
	done, cancel := context.WithCancel(context.Background())
	for _, c := range []struct {
		name string
		ctx  context.Context
		eval func(report.Forward) (float64, error)
		want string
	}{
		{"no eval", nil, nil, "eval is nil"},
		{"no prediction", nil, ok, "eval made no prediction"},
		{"own error", nil, func(report.Forward) (float64, error) { return 0, boom }, "float: boom"},
		{"NaN", nil, func(p report.Forward) (float64, error) { _, err := p(n.batch(1, 2)...); return math.NaN(), err }, "eval returned NaN"},
		{"wrong size", nil, func(p report.Forward) (float64, error) { _, err := p(numbers(1, 5)); return 0, err }, `"x" has 5 elements`},
		{"more each time", nil, func(p report.Forward) (float64, error) { calls++; _, err := p(n.batch(1, calls)...); return 0, err }, "use the same ones each time"},
		{"cancelled", done, func(p report.Forward) (float64, error) { cancel(); _, err := p(n.batch(1, 2)...); return 0, err }, "context canceled"},
	} {
		if c.ctx == nil {
			c.ctx = context.Background()
		}
		_, err := n.m.Sensitivity(c.ctx, c.eval)
		wantError(t, err, c.want)
		if c.name == "own error" && !errors.Is(err, boom) {
			t.Errorf("%v does not wrap eval's", err)
		}
	}
	sameSnapshot(t, n.snapshot(), before)
	g, _, y := mlp()
	_, err := onlyPrepare(t, qconfig.Config{}, g, y).m.Sensitivity(context.Background(), scored(n, &calls))
	wantError(t, err, "all quantized", "calibration data")
}

func TestMixed(t *testing.T) {
	g, y := allKinds()
	cfg := rounded(4, qconfig.PerChannel)
	cfg.Types = map[string]*qconfig.Layer{"conv": {Weights: qconfig.Tensor{Granularity: qconfig.PerTensor}}}
	n := onlyPrepare(t, cfg, g, y)
	n.calibrate()
	calls := 0
	s, err := n.m.Sensitivity(context.Background(), scored(n, &calls))
	fatal(t, err)
	all, err := n.m.Mixed(s, 1<<30)
	fatal(t, err)
	if len(all.Config.Names) != 5 || all.Bytes != all.HighBytes || cfg.Names != nil {
		t.Errorf("without a limit: %+v", all)
	}
	last := math.Inf(1)
	for _, budget := range []int{all.LowBytes, all.LowBytes + 100, (all.LowBytes + all.HighBytes) / 2, all.HighBytes} {
		m, err := n.m.Mixed(s, budget)
		fatal(t, err)
		if m.Bytes > budget {
			t.Errorf("%d bytes of a budget of %d", m.Bytes, budget)
		}
		// The config is ready to use, and its size and noise are as promised.
		g, y := allKinds()
		mixed := onlyPrepare(t, m.Config, g, y)
		r, err := mixed.m.Report()
		fatal(t, err)
		if r.Bytes != m.Bytes {
			t.Errorf("budget %d: %d bytes, promised %d", budget, r.Bytes, m.Bytes)
		}
		for _, x := range m.Rows {
			l := mixed.layer(x.Layer)
			if got := l.WeightQuantizer.Spec().Width(); got != x.Bits {
				t.Errorf("%s has %d bits, want %d", x.Layer, got, x.Bits)
			}
			if got, want := l.WeightQuantizer.Spec().Granularity, n.layer(x.Layer).WeightQuantizer.Spec().Granularity; got != want {
				t.Errorf("%s is %v, want %v", x.Layer, got, want)
			}
		}
		mixed.calibrate()
		if noise := mixed.noise(false); !(noise <= last) {
			t.Errorf("budget %d: squared error %v, with less room %v", budget, noise, last)
		} else {
			last = noise
		}
		var b bytes.Buffer
		fatal(t, m.WriteJSON(&b))
		if !json.Valid(b.Bytes()) || !strings.Contains(m.String(), "gain per byte") {
			t.Errorf("tables: %s %s", &b, m)
		}
	}
	_, err = n.m.Mixed(s, all.LowBytes-1)
	wantError(t, err, "is below the")
	_, err = n.m.Mixed(report.Sensitivity{}, all.HighBytes)
	wantError(t, err, `layer "c1" was not measured`)
}

// TestSkippedWeights: what Core ML Tools' weight passes skip stays float, with the
// reason in the report, and Freeze needs no data for weights alone.
func TestSkippedWeights(t *testing.T) {
	weightsOnly := func(threshold int) qconfig.Config {
		return qconfig.Config{Global: &qconfig.Layer{Weights: qconfig.Tensor{WeightThreshold: threshold}, Activations: qconfig.Tensor{Off: true}}}
	}
	for _, c := range []struct {
		threshold     int
		infinite      bool
		first, second string
	}{
		{0, false, "", ""},
		{15, false, "", "15 weights, not more than"}, // fc1 has 30, fc2 15: strict
		{14, false, "", ""},
		{30, false, "30 weights, not more than", "15 weights, not more than"},
		{0, true, "its weights hold an infinity", ""},
	} {
		g, _, y := mlp()
		for _, n := range g.AllNodes() {
			if n.Name() == "fc1.weight" && c.infinite {
				n.Value().Data().([]float32)[3] = float32(math.Inf(-1))
			}
		}
		n := onlyPrepare(t, weightsOnly(c.threshold), g, y)
		for name, want := range map[string]string{"fc1": c.first, "fc2": c.second} {
			row := n.row(name, "weight")
			if !strings.Contains(row.Why, want) || (row.Spec == "float32") != (want != "") {
				t.Errorf("threshold %d: %s is %s, %q; want %q", c.threshold, name, row.Spec, row.Why, want)
			}
		}
		if c.infinite { // nothing that computes can ship
			_, err := n.m.Freeze()
			wantError(t, err, `constant "fc1.weight", holds -Inf at 3`)
			continue
		}
		n.verify(n.freeze(), n.batch(1, 3))
	}
	g, _, y := mlp() // 9 weights are fewer than 10, whatever the threshold
	_ = y
	small := linear("small", must(y, nil), 3)
	n := onlyPrepare(t, weightsOnly(1), g, small)
	if row := n.row("small", "weight"); !strings.Contains(row.Why, "fewer than 10 weights") {
		t.Errorf("9 weights: %+v", row)
	}
}
