package report

// This file says which layers get more bits.

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/goqat/goqat/qat/qconfig"
)

// Mixed is a choice of layers to give more bits. Sizes are in bytes and those
// of [Report.Bytes]: codes, scales, zero points, float weights and biases.
type Mixed struct {
	// Config is the quantizer's own with the bits of some layers raised in Names; it
	// goes to New.
	Config qconfig.Config `json:"config"`
	// Rows are the layers with quantized weights, in the order of gain per byte.
	Rows []MixedRow `json:"rows"`
	// Bytes is the size with Config; LowBytes and HighBytes are those with no and with
	// all layers raised. Budget is what was asked for.
	Bytes     int `json:"bytes"`
	LowBytes  int `json:"low_bytes"`
	HighBytes int `json:"high_bytes"`
	Budget    int `json:"budget"`
}

// MixedRow is one layer of a [Mixed].
type MixedRow struct {
	Layer string `json:"layer"`
	Bits  int    `json:"bits"` // chosen
	// Low and High are the sizes of the weights with the bits as configured and with 8.
	Low  int `json:"low_bytes"`
	High int `json:"high_bytes"`
	// Noise is the share of the outputs' power that is noise when these weights alone
	// are quantized as configured, and Gain what 8 bits take off it per byte.
	Noise Number `json:"noise"`
	Gain  Number `json:"gain_per_byte"`
}

// HighBits is what layers are raised to.
const HighBits = 8

// WriteJSON writes the choice as one indented JSON object.
func (m Mixed) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(m)
}

// String is the choice as a table.
func (m Mixed) String() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "layer\tbits\tbytes\tbytes with 8 bits\tnoise\tgain per byte")
	for _, x := range m.Rows {
		size := x.Low
		if x.Bits == HighBits {
			size = x.High
		}
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%s\t%s\n", x.Layer, x.Bits, size, x.High, x.Noise.Text("%.2e"), x.Gain.Text("%.2e"))
	}
	w.Flush()
	fmt.Fprintf(&b, "%d bytes of a budget of %d (%d with no layer raised, %d with all)\n", m.Bytes, m.Budget, m.LowBytes, m.HighBytes)
	return b.String()
}
