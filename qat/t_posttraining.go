package qat

// postTraining takes all steps in their order.
func (p *plan) postTraining(data Batches, opt PTQOptions) (r PTQReport, err error) {
	// Data first: without any, or of a wrong size, nothing shall change.
	if err := eachBatch(data, func(inputs [][]float32) error {
		r.Batches++
		_, err := p.batchOf(inputs)
		return err
	}); err != nil {
		return r, err
	}
	if !opt.NoEqualize {
		if r.Equalized, err = p.equalize(opt.Equalize); err != nil {
			return r, err
		}
	}
	p.dropTuned()
	if err := p.forget(); err != nil {
		return r, err
	}
	if err := eachBatch(data, func(inputs [][]float32) error { return p.calibrate(inputs) }); err != nil {
		return r, err
	}
	if len(p.tunable()) == 0 {
		return r, nil
	}
	opt.Round.KeepBias = opt.Round.KeepBias || opt.NoBias
	if !opt.NoRound {
		if r.Rounded, err = p.roundTuned(data, opt.Round); err != nil {
			return r, err
		}
	}
	if !opt.NoBias && (opt.NoRound || opt.Round.KeepBias) {
		r.Corrected, err = p.correctBiases(data)
	}
	return r, err
}
