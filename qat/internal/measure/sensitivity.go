package measure

// This file says what quantizing each layer costs by itself.

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sort"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/fakequant/fqop"
	"github.com/goqat/goqat/internal/kern"
	"github.com/goqat/goqat/qat/internal/plan"
	"github.com/goqat/goqat/qat/report"
)

// scorer scores networks of which a part is quantized.
type scorer struct {
	ctx   context.Context
	p     *plan.Plan
	eval  func(report.Forward) (float64, error)
	float [][]float32 // the outputs of the float network, call by call
}

// Sensitivity measures each layer by itself.
func Sensitivity(ctx context.Context, p *plan.Plan, eval func(report.Forward) (float64, error)) (report.Sensitivity, error) {
	return (&scorer{ctx: ctx, p: p, eval: eval}).all()
}

func (m *scorer) all() (report.Sensitivity, error) {
	var s report.Sensitivity
	var err error
	if s.Float, _, err = m.score(func(*fakequant.Quantizer) bool { return false }); err != nil {
		return s, fmt.Errorf("float: %w", err)
	}
	if s.Quantized, s.SQNR, err = m.score(func(*fakequant.Quantizer) bool { return true }); err != nil {
		return s, fmt.Errorf("all quantized: %w", err)
	}
	for _, o := range m.p.Owners() {
		row := report.LayerSensitivity{Layer: o.Name, Kind: o.Kind, WeightsSQNR: nan}
		if row.Only, row.OnlySQNR, err = m.score(o.Has); err != nil {
			return s, &fakequant.LayerError{Layer: o.Name, Err: err}
		}
		if row.AllBut, row.AllButSQNR, err = m.score(func(q *fakequant.Quantizer) bool { return !o.Has(q) }); err != nil {
			return s, &fakequant.LayerError{Layer: o.Name, Err: err}
		}
		if o.Weights != nil {
			row.Spec = o.Weights.Spec().String()
			if _, row.WeightsSQNR, err = m.score(func(q *fakequant.Quantizer) bool { return q == o.Weights }); err != nil {
				return s, &fakequant.LayerError{Layer: o.Name, Err: err}
			}
		}
		s.Layers = append(s.Layers, row)
	}
	sort.SliceStable(s.Layers, func(i, j int) bool { return cmp.Less(s.Layers[i].OnlySQNR, s.Layers[j].OnlySQNR) })
	return s, nil
}

// score evaluates the network with the chosen quantizers on and the others off. The
// first call, with none, records the outputs that later ones are compared with.
func (m *scorer) score(on func(*fakequant.Quantizer) bool) (score float64, sqnr report.Number, err error) {
	if err := m.ctx.Err(); err != nil {
		return 0, 0, err
	}
	record := m.float == nil
	var signal, noise float64
	calls := 0
	predict := func(inputs ...[]float32) ([][]float32, error) {
		outs, err := m.p.Predict(fqop.Eval, inputs)
		if err != nil {
			return nil, err
		}
		for _, y := range outs {
			switch {
			case record:
				m.float = append(m.float, slices.Clone(y))
			case calls >= len(m.float) || len(m.float[calls]) != len(y):
				return nil, errors.New("eval predicts other batches than before: use the same ones each time")
			default:
				a, b := Powers(m.float[calls], y)
				signal, noise = signal+a, noise+b
			}
			calls++
		}
		return outs, nil
	}
	phases := func(q *fakequant.Quantizer) fakequant.Phase {
		switch {
		case !on(q):
			return fakequant.Off
		case q.Phase() == fakequant.Frozen:
			return fakequant.Frozen
		}
		return fakequant.Quantizing
	}
	err = m.p.InPhases(phases, func() error {
		score, err = m.eval(predict)
		return err
	})
	switch {
	case err != nil:
	case calls == 0:
		err = errors.New("eval made no prediction")
	case calls != len(m.float):
		err = errors.New("eval predicts other batches than before: use the same ones each time")
	case math.IsNaN(score):
		err = errors.New("eval returned NaN")
	}
	return score, decibels(signal, noise), err
}

// Powers returns Σx² and Σ(x-y)².
func Powers(x, y []float32) (signal, noise float64) {
	for i, v := range x {
		d := float64(v) - float64(y[i])
		signal += float64(v) * float64(v)
		noise += d * d
	}
	return signal, noise
}

// decibels is the signal-to-noise ratio, +Inf without noise.
func decibels(signal, noise float64) report.Number {
	if noise == 0 {
		return report.Number(math.Inf(1))
	}
	return report.Number(10 * kern.Log10Of(signal/noise))
}
