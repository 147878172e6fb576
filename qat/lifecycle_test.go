package qat

import (
	"errors"
	"fmt"
	"testing"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/qat/internal/plan"
	"github.com/goqat/goqat/qat/qconfig"
	"github.com/goqat/goqat/qat/report"
	"gorgonia.org/gorgonia"
)

// normalised is a network with a folded batch normalisation, a fixed range and a
// product behind it.
func normalised() (*gorgonia.ExprGraph, *gorgonia.Node) {
	g := gorgonia.NewGraph()
	h := must(gorgonia.Sigmoid(batchNorm("bn", conv("c1", leaf(g, "x", 3, 2, 4, 4), 3, 3))))
	return g, conv("c2", h, 2, 3)
}

func TestMilestones(t *testing.T) {
	const (
		off  = fakequant.Off
		obs  = fakequant.Observing
		qnt  = fakequant.Quantizing
		both = fakequant.ObservingAndQuantizing
	)
	for _, c := range []struct {
		schedule qconfig.Milestones
		phases   []fakequant.Phase // after 0, 1, 2 … calls of Step
		frozenAt int               // the first of these with frozen statistics
	}{
		{qconfig.Milestones{}, []fakequant.Phase{both, both, both}, 99},
		{qconfig.MilestonesAt(0, 1, 2, 3), []fakequant.Phase{off, obs, both, qnt, qnt, qnt}, 4},
		{qconfig.MilestonesAt(0, 0, 2, 2), []fakequant.Phase{off, both, both, qnt, qnt}, 3},
		{qconfig.MilestonesAt(1, 1, 2, 0), []fakequant.Phase{off, off, both, qnt}, 1},
		{qconfig.MilestonesAt(0, 2, 1, qconfig.Never), []fakequant.Phase{off, obs, off, qnt}, 99},
		{qconfig.MilestonesAt(0, qconfig.Never, qconfig.Never, qconfig.Never), []fakequant.Phase{off, obs, obs, obs}, 99},
		{qconfig.MilestonesAt(2, qconfig.Never, qconfig.Never, 1), []fakequant.Phase{off, off, off, obs}, 2},
		{qconfig.MilestonesAt(qconfig.Never, qconfig.Never, qconfig.Never, qconfig.Never), []fakequant.Phase{off, off, off}, 99},
	} {
		t.Run(fmt.Sprint(c.schedule), func(t *testing.T) {
			g, y := normalised()
			n := onlyPrepare(t, qconfig.Config{Milestones: c.schedule}, g, y)
			for step, want := range c.phases {
				if step > 0 {
					if err := n.m.Step(); err != nil {
						t.Fatal(err)
					}
				}
				if n.m.Steps() != step {
					t.Errorf("Steps() = %d, want %d", n.m.Steps(), step)
				}
				for _, f := range n.m.plan.Quantizers() {
					if f.Phase() != want {
						t.Errorf("step %d: %s is %v, want %v", step, f.Name(), f.Phase(), want)
					}
				}
				for l, st := range n.m.plan.Statistics {
					if st.Frozen() != (step >= c.frozenAt) {
						t.Errorf("step %d: statistics of %s frozen: %v", step, l.Name, st.Frozen())
					}
				}
			}
		})
	}
}

// TestMilestonesTakeEffect: what the phases promise about ranges and statistics
// holds in training, not only in the flags.
func TestMilestonesTakeEffect(t *testing.T) {
	g, y := normalised()
	n := prepare(t, qconfig.Config{Milestones: qconfig.MilestonesAt(0, 1, 2, 3)}, g, y)
	vm := n.machine()
	var shots []snapshot
	for i := range 6 {
		shots = append(shots, n.snapshot())
		n.step(vm, i)
	}
	shots = append(shots, n.snapshot())
	// Milestone m is passed by call m+1 of Step, which comes after batch m: so batch 1
	// is the first to be observed, batch 2 the last, and batch 4 the first on frozen
	// statistics.
	for i := range 6 {
		before, after := shots[i], shots[i+1]
		observed := string(before.states[0].Observers[0]) != string(after.states[0].Observers[0])
		if want := i == 1 || i == 2; observed != want {
			t.Errorf("batch %d: the input's range moved: %v, want %v", i, observed, want)
		}
		moved := fmt.Sprint(before.stats) != fmt.Sprint(after.stats)
		if want := i < 4; moved != want {
			t.Errorf("batch %d: the running statistics moved: %v, want %v", i, moved, want)
		}
	}
	n.verify(n.freeze(), n.batch(1, 5))
}

// TestCalibrateOnly: post-training quantization is Calibrate, then Freeze; the
// phase does not matter and nothing else moves.
func TestCalibrateOnly(t *testing.T) {
	for _, schedule := range []qconfig.Milestones{{}, qconfig.MilestonesAt(qconfig.Never, qconfig.Never, qconfig.Never, qconfig.Never)} {
		g, y := normalised()
		n := onlyPrepare(t, qconfig.Config{Milestones: schedule, Global: &qconfig.Layer{Activations: qconfig.Tensor{Observer: "min_max"}}}, g, y)
		before := n.snapshot()
		for i := range 3 {
			if err := n.m.Calibrate(n.batch(i, 2+i)...); err != nil {
				t.Fatal(err)
			}
		}
		after := n.snapshot()
		sameBits(t, "parameter", after.params, before.params)
		sameBits(t, "statistic", after.stats, before.stats)
		var all []float32
		for i := range 3 {
			all = append(all, n.batch(i, 2+i)[0]...)
		}
		lo, hi := all[0], all[0]
		for _, v := range all {
			lo, hi = min(lo, v), max(hi, v)
		}
		row := n.row("x", "activation")
		if row.Min != report.Number(lo) || row.Max != report.Number(hi) {
			t.Errorf("observed %v … %v, the data has %v … %v", row.Min, row.Max, lo, hi)
		}
		n.verify(n.freeze(), n.batch(7, 4))
	}
}

func TestFreezeBeforeData(t *testing.T) {
	g, _, y := mlp()
	n := prepare(t, qconfig.Config{}, g, y)
	for _, what := range []struct {
		name string
		err  error
	}{{"Freeze", second(nil2(n.m.Freeze()))}, {"Predict", second(nil2(n.m.Predict(n.batch(0, 4)...)))}} {
		if !errors.Is(what.err, fakequant.ErrNotCalibrated) {
			t.Errorf("%s: %v, want ErrNotCalibrated", what.name, what.err)
		}
		wantError(t, what.err, `"x"`, "calibration data")
	}
	if _, err := n.m.Report(); err != nil {
		t.Errorf("a report needs no data: %v", err)
	}
	n.step(n.machine(), 0) // an error ends nothing
	n.verify(n.freeze(), n.batch(1, 4))
}

// nil2 drops a result and keeps the error in the second place.
func nil2[T any](_ T, err error) (qconfig.Config, error) { return qconfig.Config{}, err }

// TestLookingChangesNothing: training gives the same bits whether or not anybody
// looks in between.
func TestLookingChangesNothing(t *testing.T) {
	run := func(look bool) snapshot {
		g, y := normalised()
		n := prepare(t, qconfig.Config{Milestones: qconfig.MilestonesAt(0, 1, 4, 5)}, g, y)
		vm := n.machine()
		for i := range 8 {
			n.step(vm, i)
			if !look || i == 0 {
				continue
			}
			before := n.snapshot()
			fz := n.freeze()
			n.verify(fz, n.batch(50+i, 1+i%3))
			if _, err := n.m.Predict(n.batch(60+i, 2)...); err != nil {
				t.Fatal(err)
			}
			if _, err := n.m.Report(); err != nil {
				t.Fatal(err)
			}
			if _, err := n.m.Report(n.batch(70+i, 4)...); err != nil {
				t.Fatal(err)
			}
			sameSnapshot(t, n.snapshot(), before)
		}
		return n.snapshot()
	}
	sameSnapshot(t, run(true), run(false))
}

// TestPredictIsFrozen: while the schedule quantizes, Predict gives the bits of the
// frozen network's Run, at any batch size.
func TestPredictIsFrozen(t *testing.T) {
	g, y := normalised()
	n := prepare(t, qconfig.Config{}, g, y)
	vm := n.machine()
	for i := range 3 {
		n.step(vm, i)
	}
	fz := n.freeze()
	for rows := range 12 { // more sizes than are kept
		in := n.batch(rows, rows+1)
		got, err := n.m.Predict(in...)
		if err != nil {
			t.Fatal(err)
		}
		want, err := fz.Run(in...)
		if err != nil {
			t.Fatal(err)
		}
		sameBits(t, fmt.Sprintf("%d rows", rows+1), map[string][]float32{"y": got[0]}, map[string][]float32{"y": want[0]})
	}
	if len(n.m.plan.Evals) > plan.MaxEvaluators {
		t.Errorf("%d evaluation graphs are kept, want at most %d", len(n.m.plan.Evals), plan.MaxEvaluators)
	}
}

func second(_ any, err error) error { return err }
