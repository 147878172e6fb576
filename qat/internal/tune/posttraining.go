// Package tune finds out how good a network can get without training: it evens out
// ranges, rounds weights so that their errors cancel and corrects biases. Package ptq
// has its settings and results.
package tune

import (
	"github.com/goqat/goqat/qat/internal/plan"
	"github.com/goqat/goqat/qat/ptq"
)

// PostTraining takes all steps in their order.
func PostTraining(p *plan.Plan, data ptq.Data, opt ptq.Options) (r ptq.Report, err error) {
	// Data first: without any, or of a wrong size, nothing shall change.
	if err := plan.EachBatch(data, func(inputs [][]float32) error {
		r.Batches++
		_, err := p.BatchOf(inputs)
		return err
	}); err != nil {
		return r, err
	}
	if !opt.NoEqualize {
		if r.Equalized, err = Equalize(p, opt.Equalize); err != nil {
			return r, err
		}
	}
	p.DropTuned()
	if err := p.Forget(); err != nil {
		return r, err
	}
	if err := plan.EachBatch(data, func(inputs [][]float32) error { return p.Calibrate(inputs) }); err != nil {
		return r, err
	}
	if len(p.Tunable()) == 0 {
		return r, nil
	}
	opt.Round.KeepBias = opt.Round.KeepBias || opt.NoBias
	if !opt.NoRound {
		if r.Rounded, err = Round(p, data, opt.Round); err != nil {
			return r, err
		}
	}
	if !opt.NoBias && (opt.NoRound || opt.Round.KeepBias) {
		r.Corrected, err = CorrectBias(p, data)
	}
	return r, err
}
