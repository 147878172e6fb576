// Package ptq says how a trained network is to be quantized without training it, and
// what came of it: the settings and results of qat.Model's PostTraining, Equalize, Round
// and CorrectBias.
package ptq

import (
	"fmt"
	"strings"
	"text/tabwriter"
)

// Options are the settings of qat.Model.PostTraining. The zero value takes all
// steps with their defaults.
type Options struct {
	// NoEqualize leaves out qat.Model.Equalize, which writes to your float weights.
	NoEqualize bool
	// NoRound leaves out qat.Model.Round: weights are rounded to nearest.
	NoRound bool
	// NoBias leaves biases as they are. Otherwise Round corrects each layer's before it
	// goes on to the next, or, where it does not, CorrectBias does at the end.
	NoBias bool
	// Equalize and Round are the settings of these steps.
	Equalize EqualizeOptions
	Round    RoundOptions
}

// Report says what qat.Model.PostTraining did. Steps left out are empty.
type Report struct {
	Equalized EqualizeReport   `json:"equalized"`
	Rounded   []RoundedLayer   `json:"rounded,omitempty"`
	Corrected []BiasCorrection `json:"corrected,omitempty"`
	Batches   int              `json:"batches"`
}

// String is the report as tables.
func (r Report) String() string {
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
