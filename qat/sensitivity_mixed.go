package qat

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/qat/qconfig"
)

// MixedPrecision is a choice of layers to give more bits. Sizes are in bytes and those
// of [Report.Bytes]: codes, scales, zero points, float weights and biases.
type MixedPrecision struct {
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

// MixedRow is one layer of a [MixedPrecision].
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

// highBits is what layers are raised to.
const highBits = 8

// Mixed says which layers to raise to 8 bits, so that the parameters take at most
// budget bytes and as little noise as possible reaches the outputs. s is what
// Sensitivity measured on this Quantizer, whose config has the low bits. The noise of
// layers about adds up, and that of 8 bits is a small part, known from the step size;
// so layers are raised greedily in the order of gain per byte, those that do not fit
// are passed over. A budget below the size as configured is an error that names it.
func (q *Quantizer) Mixed(s Sensitivity, budget int) (MixedPrecision, error) {
	if q.prepared == nil {
		return MixedPrecision{}, ErrNotPrepared
	}
	m, err := q.mixed(s, budget)
	if err != nil {
		return MixedPrecision{}, fmt.Errorf("qat: mixed precision: %w", err)
	}
	return m, nil
}

func (q *Quantizer) mixed(s Sensitivity, budget int) (MixedPrecision, error) {
	r, err := q.prepared.plan.report(nil)
	if err != nil {
		return MixedPrecision{}, err
	}
	m := MixedPrecision{Config: q.cfg, Bytes: r.Bytes, LowBytes: r.Bytes, HighBytes: r.Bytes, Budget: budget}
	if m.Rows, err = q.prepared.plan.mixedRows(s, r); err != nil {
		return m, err
	}
	if budget < m.LowBytes {
		return m, fmt.Errorf("a budget of %d bytes is below the %d bytes of the config as it is: use fewer bits, or raise the budget", budget, m.LowBytes)
	}
	m.Config.Names = maps.Clone(q.cfg.Names)
	for i := range m.Rows {
		x := &m.Rows[i]
		m.HighBytes += x.High - x.Low
		if !(x.Gain > 0) || m.Bytes+x.High-x.Low > budget {
			continue
		}
		m.Bytes += x.High - x.Low
		x.Bits = highBits
		q.raise(&m.Config, x.Layer)
	}
	return m, m.Config.Validate()
}

// mixedRows lists the layers with quantized weights, those with most gain first.
func (p *plan) mixedRows(s Sensitivity, r Report) ([]MixedRow, error) {
	measured := map[string]Number{}
	for _, x := range s.Layers {
		measured[x.Layer] = x.WeightsSQNR
	}
	sizes := map[string]Row{}
	for _, x := range r.Rows {
		if x.Tensor == "weight" {
			sizes[x.Layer] = x
		}
	}
	var rows []MixedRow
	for _, l := range p.tunable() {
		sqnr, ok := measured[l.name]
		if !ok || math.IsNaN(float64(sqnr)) {
			return nil, fmt.Errorf("layer %q was not measured: give the result of Sensitivity on this Quantizer", l.name)
		}
		spec := l.wq.Spec()
		size := sizes[l.name]
		x := MixedRow{Layer: l.name, Bits: spec.Width(), Low: size.BytesAfter, Noise: Number(math.Pow(10, -float64(sqnr)/10))}
		spec.Bits = highBits
		x.High = weightBytes(spec, size.Elements, len(size.Scales))
		// Noise goes with the square of the step, a factor of 4 for each bit.
		kept := math.Pow(4, float64(x.Bits-highBits))
		x.Gain = Number(float64(x.Noise) * (1 - kept) / float64(max(1, x.High-x.Low)))
		rows = append(rows, x)
	}
	if len(rows) == 0 {
		return nil, errors.New("no layer has quantized weights")
	}
	slices.SortStableFunc(rows, func(a, b MixedRow) int { return cmp.Compare(b.Gain, a.Gain) })
	return rows, nil
}

// raise gives one layer 8 bits and leaves its other settings as they are.
func (q *Quantizer) raise(cfg *qconfig.Config, name string) {
	if cfg.Names == nil {
		cfg.Names = map[string]*qconfig.Layer{}
	}
	var own qconfig.Layer
	kind := ""
	for _, l := range q.prepared.plan.layers {
		if l.name == name {
			kind = l.kind
		}
	}
	if c, _ := q.cfg.Entry(name, kind); c != nil {
		own = *c // a name's entry hides that of its type
	}
	own.Weights.Bits = highBits
	cfg.Names[name] = &own
}

// weightBytes is the size of weights as they ship: codes, two to a byte up to 4 bits, an
// F32 scale and a one-byte zero point for each group.
func weightBytes(s fakequant.Spec, elements, groups int) int {
	perCode := 8
	if s.Width() <= 4 {
		perCode = 4
	}
	return (elements*perCode+7)/8 + 5*groups
}

// JSON writes the choice as one indented JSON object.
func (m MixedPrecision) JSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(m)
}

// String is the choice as a table.
func (m MixedPrecision) String() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "layer\tbits\tbytes\tbytes with 8 bits\tnoise\tgain per byte")
	for _, x := range m.Rows {
		size := x.Low
		if x.Bits == highBits {
			size = x.High
		}
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%s\t%s\n", x.Layer, x.Bits, size, x.High, x.Noise.text("%.2e"), x.Gain.text("%.2e"))
	}
	w.Flush()
	fmt.Fprintf(&b, "%d bytes of a budget of %d (%d with no layer raised, %d with all)\n", m.Bytes, m.Budget, m.LowBytes, m.HighBytes)
	return b.String()
}
