package qat

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/qat/qconfig"
)

// mixed chooses the layers.
func mixed(p *plan, s Sensitivity, budget int) (MixedPrecision, error) {
	r, err := reportOf(p, nil)
	if err != nil {
		return MixedPrecision{}, err
	}
	m := MixedPrecision{Config: p.cfg, Bytes: r.Bytes, LowBytes: r.Bytes, HighBytes: r.Bytes, Budget: budget}
	if m.Rows, err = mixedRows(p, s, r); err != nil {
		return m, err
	}
	if budget < m.LowBytes {
		return m, fmt.Errorf("a budget of %d bytes is below the %d bytes of the config as it is: use fewer bits, or raise the budget", budget, m.LowBytes)
	}
	m.Config.Names = maps.Clone(p.cfg.Names)
	for i := range m.Rows {
		x := &m.Rows[i]
		m.HighBytes += x.High - x.Low
		if !(x.Gain > 0) || m.Bytes+x.High-x.Low > budget {
			continue
		}
		m.Bytes += x.High - x.Low
		x.Bits = highBits
		raise(p, &m.Config, x.Layer)
	}
	return m, m.Config.Validate()
}

// mixedRows lists the layers with quantized weights, those with most gain first.
func mixedRows(p *plan, s Sensitivity, r Report) ([]MixedRow, error) {
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
			return nil, fmt.Errorf("layer %q was not measured: give the result of Sensitivity on this Model", l.name)
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
func raise(p *plan, cfg *qconfig.Config, name string) {
	if cfg.Names == nil {
		cfg.Names = map[string]*qconfig.Layer{}
	}
	var own qconfig.Layer
	kind := ""
	for _, l := range p.layers {
		if l.name == name {
			kind = l.kind
		}
	}
	if c, _ := p.cfg.Entry(name, kind); c != nil {
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
