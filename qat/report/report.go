// Package report says what quantization cost, and where, in numbers and tables: the
// results of qat.Model's Report, Sensitivity, Mixed and Verify. Package page draws a
// report.
package report

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strings"
	"text/tabwriter"
)

// Report lists every layer and tensor with what quantization makes of it.
type Report struct {
	Rows []Row `json:"rows"`
	// Bytes and FloatBytes are the sizes of all parameters as they will ship and as
	// float32.
	Bytes      int `json:"bytes"`
	FloatBytes int `json:"float_bytes"`
	// Advice names what calls for a change, with what may help: tensors below 10 dB,
	// clipped outputs, learned scales at their floor, the layer that costs most, and inputs
	// whose columns differ too much for one scale.
	Advice []string `json:"advice,omitempty"`
	// Ranges is what qat.Model.Record kept, activations in network order, then
	// weights; nil without it.
	Ranges []Range `json:"ranges,omitempty"`
}

// Row is one tensor: a layer's weights or its result, or a graph input.
type Row struct {
	Layer  string `json:"layer"`  // name, as in the config; of an input, the input's
	Kind   string `json:"kind"`   // layer kind, or "input"
	Tensor string `json:"tensor"` // "weight" or "activation"
	// Spec is the format, such as "int8 symmetric per_channel(axis 0) narrow", or
	// "float32".
	Spec string `json:"spec"`
	// Min and Max are the observed range over all groups; for weights that of the
	// weights as they are. They are NaN (in JSON null) before any data.
	Min Number `json:"min"`
	Max Number `json:"max"`
	// Scales and ZeroPoints hold one entry per group; empty before any data.
	Scales     []float32 `json:"scales,omitempty"`
	ZeroPoints []int32   `json:"zero_points,omitempty"`
	// RMSE is the root mean square of what quantization changes, and SQNR the
	// signal-to-noise ratio in dB, 10 log10(Σx² / Σ(x-x')²); NaN where not measured,
	// +Inf (in JSON null) where nothing changes.
	RMSE Number `json:"rmse"`
	SQNR Number `json:"sqnr_db"`
	// Saturated is the share of elements whose code is the first or the last one; zeros
	// do not count, they are exact. Clipped is the share of those that lie more than half
	// a step beyond the ends of the grid. Both are NaN where not measured.
	Saturated Number `json:"saturated"`
	Clipped   Number `json:"clipped"`
	// Dead is how many of the Channels carry nothing: output channels of weights whose
	// codes are all zero, channels of an activation whose codes are all equal over the
	// sample. Channels is 0 where not measured.
	Channels int `json:"channels,omitempty"`
	Dead     int `json:"dead_channels,omitempty"`
	// Oscillation is about the weights of layers with such settings; nil for others.
	Oscillation *OscillationStats `json:"oscillation,omitempty"`
	// Histogram shows how the elements lie on the grid; nil where not measured.
	Histogram *Histogram `json:"histogram,omitempty"`
	// Elements is the size of a weight, or of an activation per batch row.
	Elements int `json:"elements"`
	// BytesBefore and BytesAfter are sizes of weights, scales and zero points
	// included; 0 for activations.
	BytesBefore int `json:"bytes_before"`
	BytesAfter  int `json:"bytes_after"`
	// SharedWith names the tensor whose quantizer this one shares; empty for its own.
	SharedWith string `json:"shared_with,omitempty"`
	// Why is the reason why the tensor is float; empty for quantized ones.
	Why string `json:"why,omitempty"`
}

// WriteJSON writes the report as one indented JSON object.
func (r Report) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}

// String is the report as a table.
func (r Report) String() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "layer\tkind\ttensor\tspec\trange\tscale\tzero point\tSQNR dB\tRMSE\tsaturated %\tdead\telements\tbytes\tnote")
	for _, x := range r.Rows {
		size := ""
		if x.BytesBefore > 0 {
			size = fmt.Sprintf("%d → %d", x.BytesBefore, x.BytesAfter)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d\t%s\t%s\n", x.Layer, x.Kind, x.Tensor, x.Spec, x.RangeText(),
			Spread(x.Scales, "%.4g"), Spread(x.ZeroPoints, "%d"), x.SQNR.Text("%.1f"), x.RMSE.Text("%.2g"), x.Saturated.Percent(), x.DeadText(), x.Elements, size, x.Note())
	}
	w.Flush()
	fmt.Fprintf(&b, "parameters: %d bytes as float32, %d bytes quantized\n", r.FloatBytes, r.Bytes)
	for _, a := range r.Advice {
		fmt.Fprintf(&b, "advice: %s\n", a)
	}
	return b.String()
}

// RangeText is "smallest … largest"; a dash where nothing was observed.
func (x Row) RangeText() string {
	if math.IsNaN(float64(x.Min)) {
		return "-"
	}
	return fmt.Sprintf("%.4g … %.4g", float64(x.Min), float64(x.Max))
}

// Note says in words what is special about the tensor: whose quantizer it shares, that
// its weights oscillate, or why it stayed float.
func (x Row) Note() string {
	if x.SharedWith != "" {
		return "shares the quantizer of " + x.SharedWith
	}
	if o := x.Oscillation; o != nil && x.Why == "" {
		return o.text()
	}
	return x.Why
}

// Spread shows one number, or the smallest and largest of several.
func Spread[T int32 | float32](v []T, format string) string {
	if len(v) == 0 {
		return "-"
	}
	lo, hi := v[0], v[0]
	for _, x := range v {
		lo, hi = min(lo, x), max(hi, x)
	}
	if lo == hi {
		return fmt.Sprintf(format, lo)
	}
	return fmt.Sprintf(format+" … "+format, lo, hi)
}

// DeadText shows dead channels of all.
func (x Row) DeadText() string {
	if x.Channels == 0 {
		return "-"
	}
	return fmt.Sprintf("%d/%d", x.Dead, x.Channels)
}

// text sums the statistics up in a few words.
func (o *OscillationStats) text() string {
	if o.Why != "" {
		return "oscillation not tracked: " + o.Why
	}
	return fmt.Sprintf("%d weights oscillate, %d frozen", o.Oscillating, o.Frozen)
}

// OscillationLimit is the share of steps from which a weight that jumps to and fro
// counts as oscillating in a [Report], as in the paper's tables.
const OscillationLimit = 0.005

// OscillationStats is what a [Report] says about the weights of a layer that is
// followed.
type OscillationStats struct {
	// Oscillating is the number of weights that jumped to and fro in more than
	// OscillationLimit of the latest steps and are not frozen.
	Oscillating int `json:"oscillating"`
	// Frozen is the number of weights that FreezeThreshold has fixed.
	Frozen int `json:"frozen"`
	// Frequency is the mean over all weights of the share of steps with a jump.
	Frequency Number `json:"frequency"`
	// Why says why the weights are not followed though the config asks for it; empty
	// where they are.
	Why string `json:"why,omitempty"`
}
