package qat

import (
	"fmt"
	"strings"
	"text/tabwriter"
)

// PTQOptions are the settings of [Prepared.PostTraining]. The zero value takes all
// steps with their defaults.
type PTQOptions struct {
	// NoEqualize leaves out [Prepared.Equalize], which writes to your float weights.
	NoEqualize bool
	// NoRound leaves out [Prepared.Round]: weights are rounded to nearest.
	NoRound bool
	// NoBias leaves biases as they are. Otherwise Round corrects each layer's before it
	// goes on to the next, or, where it does not, CorrectBias does at the end.
	NoBias bool
	// Equalize and Round are the settings of these steps.
	Equalize EqualizeOptions
	Round    RoundOptions
}

// PTQReport says what [Prepared.PostTraining] did. Steps left out are empty.
type PTQReport struct {
	Equalized EqualizeReport   `json:"equalized"`
	Rounded   []RoundedLayer   `json:"rounded,omitempty"`
	Corrected []BiasCorrection `json:"corrected,omitempty"`
	Batches   int              `json:"batches"`
}

// PostTraining quantizes a trained network without training it, as well as it can: it
// equalizes channels ([Prepared.Equalize]), observes the ranges of all batches
// ([Prepared.Calibrate]), rounds the weights and corrects the biases ([Prepared.Round],
// or without it [Prepared.CorrectBias]), in this order. Then call Freeze. A few hundred
// examples are enough; they need no labels. Ranges that were observed before are
// forgotten.
//
// Observers for a moving average follow the last batches; for a few batches min_max
// or mse are better (latest_mse for weights).
//
// An error names the step, the layer and the batch. Equalize may then have been done:
// it changes no result.
func (p *Prepared) PostTraining(data Batches, opt PTQOptions) (PTQReport, error) {
	r, err := p.postTraining(data, opt)
	if err != nil {
		return r, fmt.Errorf("qat: post-training: %w", err)
	}
	return r, nil
}

func (p *Prepared) postTraining(data Batches, opt PTQOptions) (r PTQReport, err error) {
	// Data first: without any, or of a wrong size, nothing shall change.
	if err := eachBatch(data, func(inputs [][]float32) error {
		r.Batches++
		_, err := p.plan.batchOf(inputs)
		return err
	}); err != nil {
		return r, err
	}
	if !opt.NoEqualize {
		if r.Equalized, err = p.Equalize(opt.Equalize); err != nil {
			return r, err
		}
	}
	p.dropTuned()
	if err := p.plan.forget(); err != nil {
		return r, err
	}
	if err := eachBatch(data, func(inputs [][]float32) error { return p.Calibrate(inputs...) }); err != nil {
		return r, err
	}
	if len(p.plan.tunable()) == 0 {
		return r, nil
	}
	opt.Round.KeepBias = opt.Round.KeepBias || opt.NoBias
	if !opt.NoRound {
		if r.Rounded, err = p.Round(data, opt.Round); err != nil {
			return r, err
		}
	}
	if !opt.NoBias && (opt.NoRound || opt.Round.KeepBias) {
		r.Corrected, err = p.CorrectBias(data)
	}
	return r, err
}

// String is the report as tables.
func (r PTQReport) String() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	if len(r.Equalized.Pairs) > 0 {
		fmt.Fprintln(w, "equalized\tand\tspread before\tafter")
		for _, x := range r.Equalized.Pairs {
			fmt.Fprintf(w, "%s\t%s\t%.2f\t%.2f\n", x.From, x.To, x.Before, x.After)
		}
	}
	for _, x := range r.Equalized.Broken {
		fmt.Fprintf(w, "%s\tnot equalized: %s\n", x.Layer, x.Why)
	}
	if len(r.Rounded) > 0 {
		fmt.Fprintln(w, "rounded\terror if nearest %\tas kept %\tnote")
		for _, x := range r.Rounded {
			fmt.Fprintf(w, "%s\t%.3f\t%.3f\t%s\n", x.Layer, 100*x.Nearest, 100*x.Rounded, x.Note)
		}
	}
	if len(r.Corrected) > 0 {
		fmt.Fprintln(w, "bias corrected\tmean error before %\tlargest correction")
		for _, x := range r.Corrected {
			fmt.Fprintf(w, "%s\t%.3f\t%.4g\n", x.Layer, 100*x.Before, x.Largest)
		}
	}
	w.Flush()
	return b.String()
}
