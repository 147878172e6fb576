package report

// This file says what each layer costs by itself.

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// Forward runs the network on one batch, as qat.Model.Predict does.
type Forward = func(inputs ...[]float32) ([][]float32, error)

// Sensitivity says how much each layer's quantization costs.
type Sensitivity struct {
	// Float and Quantized are the scores with nothing and with everything quantized,
	// and SQNR is the signal-to-noise ratio of the latter's outputs in dB.
	Float     float64 `json:"float"`
	Quantized float64 `json:"quantized"`
	SQNR      Number  `json:"sqnr_db"`
	// Layers are the layers and inputs that have quantizers, the most sensitive first:
	// those with the lowest OnlySQNR, then in network order.
	Layers []LayerSensitivity `json:"layers"`
}

// LayerSensitivity is one layer, or one input of the network. Its quantizers are those
// of its weights and of its result. Ratios are those of all outputs against the float
// network's, 10 log10(Σy² / Σ(y-y')²) in dB: finer than a score, which may not move at
// all. They are +Inf (in JSON null) where nothing changes.
type LayerSensitivity struct {
	Layer string `json:"layer"`
	Kind  string `json:"kind"`
	Spec  string `json:"spec,omitempty"` // format of the weights; empty without quantized ones
	// Only: nothing but this layer is quantized.
	Only     float64 `json:"only"`
	OnlySQNR Number  `json:"only_sqnr_db"`
	// WeightsSQNR: nothing but the weights of this layer; NaN without quantized ones.
	WeightsSQNR Number `json:"weights_sqnr_db"`
	// AllBut: everything but this layer is quantized.
	AllBut     float64 `json:"all_but"`
	AllButSQNR Number  `json:"all_but_sqnr_db"`
}

// WriteJSON writes the table as one indented JSON object.
func (s Sensitivity) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(s)
}

// String is a table, the most sensitive layer first.
func (s Sensitivity) String() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "layer\tkind\tweights\tonly it: score\tSQNR dB\tits weights: SQNR dB\tall but it: score\tSQNR dB")
	for _, x := range s.Layers {
		fmt.Fprintf(w, "%s\t%s\t%s\t%.4f\t%s\t%s\t%.4f\t%s\n", x.Layer, x.Kind, x.Spec, x.Only, x.OnlySQNR.Text("%.1f"),
			x.WeightsSQNR.Text("%.1f"), x.AllBut, x.AllButSQNR.Text("%.1f"))
	}
	w.Flush()
	fmt.Fprintf(&b, "float %.4f, all quantized %.4f (SQNR %s dB)\n", s.Float, s.Quantized, s.SQNR.Text("%.1f"))
	return b.String()
}
