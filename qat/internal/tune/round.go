package tune

// This file says in which order layers are rounded, and on which data.

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/qat/internal/plan"
	"github.com/goqat/goqat/qat/ptq"
)

// Defaults of RoundOptions.
const (
	roundDamping   = 0.01
	roundPositions = 256
)

// Round begins anew and changes nothing on an error.
func Round(p *plan.Plan, data ptq.Data, opt ptq.RoundOptions) ([]ptq.RoundedLayer, error) {
	undo := p.RememberTuned()
	p.DropTuned()
	out, err := roundEach(p, data, opt)
	clear(p.Evals)
	if err != nil {
		undo()
		return nil, err
	}
	return out, nil
}

func roundEach(p *plan.Plan, data ptq.Data, opt ptq.RoundOptions) ([]ptq.RoundedLayer, error) {
	switch {
	case !(opt.Damping >= 0) || math.IsInf(opt.Damping, 0) || opt.MaxPositions < 0:
		return nil, fmt.Errorf("options: Damping %v, MaxPositions %d: want at least 0", opt.Damping, opt.MaxPositions)
	case opt.Order != ptq.ByActivation && opt.Order != ptq.ByIndex:
		return nil, fmt.Errorf("unknown Order %q: use ByActivation or ByIndex", opt.Order)
	}
	opt.Damping = cmp.Or(opt.Damping, roundDamping)
	opt.MaxPositions = cmp.Or(opt.MaxPositions, roundPositions)
	e, err := p.Constants()
	if err != nil {
		return nil, err
	}
	batches := 0
	if err := plan.EachBatch(data, func([][]float32) error { batches++; return nil }); err != nil {
		return nil, err
	}
	var out []ptq.RoundedLayer
	for _, l := range p.Tunable() {
		if l.Shares != nil {
			continue // rounded with its owner
		}
		r := rounder{p: p, l: l, opt: opt, geo: geometryOf(l), batches: batches}
		row, err := r.round(e, data)
		if err != nil {
			return nil, &fakequant.LayerError{Layer: l.Name, Err: err}
		}
		out = append(out, row)
	}
	if len(out) == 0 {
		return nil, errors.New("no layer has quantized weights: nothing to round")
	}
	return out, nil
}

func (r *rounder) round(e *plan.Emitter, data ptq.Data) (ptq.RoundedLayer, error) {
	row := ptq.RoundedLayer{Layer: r.l.Name}
	var err error
	if r.w, err = plan.Floats(e.Weights[r.l].Float); err != nil {
		return row, err
	}
	if err := plan.CheckFinite(r.w); err != nil {
		return row, fmt.Errorf("weights: %w", err)
	}
	shape := e.Weights[r.l].Float.Shape()
	params, err := r.p.WeightParams(r.l, r.w, shape)
	if err != nil {
		return row, err
	}
	if err := r.gather(data); err != nil {
		return row, err
	}
	layout, err := r.l.WeightQuantizer.Spec().Layout(shape)
	if err != nil {
		return row, err
	}
	weights := make([]float32, len(r.w))
	if err := fakequant.FakeQuantize(weights, r.w, layout, r.l.WeightQuantizer.Spec(), params); err != nil {
		return row, err
	}
	c := r.choose(layout, params, weights)
	units, err := r.units(r.m, cmp.Or(c.damping, r.opt.Damping), layout, &row)
	if err != nil {
		return row, err
	}
	row.Damping = c.damping
	nearest := slices.Clone(weights)
	final := r.solveAll(units, params, weights, &row)
	if c.damping == 0 {
		weights, final, row.Rounded = nearest, params, row.Nearest
	}
	if row.Note == "" {
		row.Note = c.note
	}
	if err := r.l.KeepWeights(weights, final); err != nil {
		return row, err
	}
	if !c.keep {
		d := r.shift(weights, r.m)
		for _, l := range r.p.Users(r.l) {
			l.AddBias(d)
		}
	}
	return row, nil
}
