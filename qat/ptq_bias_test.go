package qat

import (
	"errors"
	"math"
	"testing"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/qat/internal/tune"
	"github.com/goqat/goqat/qat/ptq"
	"github.com/goqat/goqat/qat/qconfig"
)

// correctedTo bounds the mean error that is left, relative to the largest mean: the
// correction and the sum with the bias are each rounded once, and every result once
// more (2^-24 each, of values up to 16 times the mean).
const correctedTo = 3 * 16 * 0x1p-24

func TestCorrectBias(t *testing.T) {
	g, y := allKinds()
	n := onlyPrepare(t, rounded(4, qconfig.PerTensor), g, y)
	n.calibrate()
	before := n.snapshot()
	noise := n.noise(false)
	report, err := n.m.CorrectBias(n.samples())
	fatal(t, err)
	sameSnapshot(t, n.snapshot(), before)
	layers := n.m.plan.Tunable()
	if len(report) != len(layers) {
		t.Fatalf("%d layers reported, want %d", len(report), len(layers))
	}
	float, err := tune.FloatMeans(n.m.plan, layers, n.samples())
	fatal(t, err)
	for i, l := range layers {
		m, err := tune.QuantizedMean(n.m.plan, l, n.samples())
		fatal(t, err)
		left, _ := float[i].Less(m)
		largest := 0.0
		for _, s := range float[i].Sum {
			largest = max(largest, math.Abs(s)/float64(float[i].Count))
		}
		for c, d := range left {
			if math.Abs(float64(d)) > correctedTo*largest {
				t.Errorf("%s: channel %d: the mean error is %v of %v", l.Name, c, d, largest)
			}
		}
		if report[i].Layer != l.Name || !(report[i].Largest > 100*correctedTo*largest) {
			t.Errorf("%s: reported %+v: there was nothing to correct", l.Name, report[i])
		}
	}
	if after := n.noise(false); !(after < noise) {
		t.Errorf("squared error %v before, %v after", noise, after)
	}
	n.verified()
}

// TestTrainingDropsCorrections: the training graph does not see them, and the first
// step ends them.
func TestTrainingDropsCorrections(t *testing.T) {
	run := func(correct bool) snapshot {
		g, y := normalised()
		n := prepare(t, rounded(3, qconfig.PerTensor), g, y)
		n.calibrate()
		if correct {
			plain, err := n.m.Predict(n.batch(9, 4)...)
			fatal(t, err)
			_, err = n.m.Round(n.samples(), ptq.RoundOptions{})
			fatal(t, err)
			tuned, err := n.m.Predict(n.batch(9, 4)...)
			fatal(t, err)
			if tuned[0][0] == plain[0][0] {
				t.Error("rounding changed nothing")
			}
		}
		m := n.machine()
		for i := range 3 {
			n.step(m, i)
		}
		n.verified()
		return n.snapshot()
	}
	sameSnapshot(t, run(true), run(false))
}

func TestHelperErrors(t *testing.T) {
	nan := float32(math.NaN())
	fresh := func() *net {
		g, y := normalised()
		n := onlyPrepare(t, rounded(4, qconfig.PerChannel), g, y)
		return n
	}
	bad := make([]float32, 64)
	bad[7] = nan
	for _, c := range []struct {
		name string
		call func(n *net, data ptq.Data) error
	}{
		{"bias", func(n *net, data ptq.Data) error { _, err := n.m.CorrectBias(data); return err }},
		{"round", func(n *net, data ptq.Data) error { _, err := n.m.Round(data, ptq.RoundOptions{}); return err }},
		{"post", func(n *net, data ptq.Data) error { _, err := n.m.PostTraining(data, ptq.Options{}); return err }},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := fresh()
			if c.name != "post" {
				wantError(t, c.call(n, n.samples()), `"x"`, "calibration data")
				if err := c.call(n, n.samples()); !errors.Is(err, fakequant.ErrNotCalibrated) {
					t.Errorf("uncalibrated: %v", err)
				}
			}
			n.calibrate()
			_, err := n.m.Round(n.samples(), ptq.RoundOptions{})
			fatal(t, err)
			before := n.snapshot()
			want, err := n.m.Predict(n.batch(1, 3)...)
			fatal(t, err)
			wantError(t, c.call(n, nil), "no calibration batches")
			wantError(t, c.call(n, ptq.DataOf()), "no calibration batches")
			wantError(t, c.call(n, ptq.DataOf(numbers(1, 64), numbers(1, 7))), "batch 1", `"x" has 7 elements`)
			sameSnapshot(t, n.snapshot(), before)
			got, err := n.m.Predict(n.batch(1, 3)...)
			fatal(t, err)
			sameBits(t, "prediction", map[string][]float32{"y": got[0]}, map[string][]float32{"y": want[0]})
			err = c.call(n, ptq.DataOf(numbers(1, 64), bad))
			wantError(t, err, "batch 1", "NaN")
			if !errors.Is(err, fakequant.ErrData) {
				t.Errorf("NaN: %v does not wrap ErrData", err)
			}
		})
	}
	n := fresh()
	n.calibrate()
	_, err := n.m.Round(n.samples(), ptq.RoundOptions{Damping: -1})
	wantError(t, err, "Damping -1")
	_, err = n.m.Round(n.samples(), ptq.RoundOptions{Order: "size"})
	wantError(t, err, `unknown Order "size"`)
	g, _, y := mlp()
	n = onlyPrepare(t, qconfig.Config{Global: &qconfig.Layer{Weights: qconfig.Tensor{Off: true}}}, g, y)
	n.calibrate()
	_, err = n.m.Round(n.samples(), ptq.RoundOptions{})
	wantError(t, err, "no layer has quantized weights")
}
