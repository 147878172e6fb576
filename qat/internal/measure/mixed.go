package measure

// This file says which layers get more bits for a size.

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"sort"

	"github.com/goqat/goqat/internal/kern"
	"github.com/goqat/goqat/qat/internal/plan"
	"github.com/goqat/goqat/qat/qconfig"
	"github.com/goqat/goqat/qat/report"
)

// Mixed chooses the layers.
func Mixed(p *plan.Plan, s report.Sensitivity, budget int) (report.Mixed, error) {
	r, err := Report(p, nil)
	if err != nil {
		return report.Mixed{}, err
	}
	m := report.Mixed{Config: p.Config, Bytes: r.Bytes, LowBytes: r.Bytes, HighBytes: r.Bytes, Budget: budget}
	if m.Rows, err = mixedRows(p, s, r); err != nil {
		return m, err
	}
	if budget < m.LowBytes {
		return m, fmt.Errorf("a budget of %d bytes is below the %d bytes of the config as it is: use fewer bits, or raise the budget", budget, m.LowBytes)
	}
	m.Config.Names = maps.Clone(p.Config.Names)
	for i := range m.Rows {
		x := &m.Rows[i]
		m.HighBytes += x.High - x.Low
		if !(x.Gain > 0) || m.Bytes+x.High-x.Low > budget {
			continue
		}
		m.Bytes += x.High - x.Low
		x.Bits = report.HighBits
		for _, l := range p.Layers {
			if l.Owner().Name == x.Layer {
				raise(p, &m.Config, l)
			}
		}
	}
	return m, m.Config.Validate()
}

// mixedRows lists the layers with quantized weights, those with most gain first.
func mixedRows(p *plan.Plan, s report.Sensitivity, r report.Report) ([]report.MixedRow, error) {
	measured := map[string]report.Number{}
	for _, x := range s.Layers {
		measured[x.Layer] = x.WeightsSQNR
	}
	sizes := map[string]report.Row{}
	for _, x := range r.Rows {
		if x.Tensor == "weight" {
			sizes[x.Layer] = x
		}
	}
	var rows []report.MixedRow
	for _, l := range p.Tunable() {
		if l.Shares != nil {
			continue // its owner's row is for both
		}
		sqnr, ok := measured[l.Name]
		if !ok || math.IsNaN(float64(sqnr)) {
			return nil, fmt.Errorf("layer %q was not measured: give the result of Sensitivity on this Model", l.Name)
		}
		spec := l.WeightQuantizer.Spec()
		size := sizes[l.Name]
		x := report.MixedRow{Layer: l.Name, Bits: spec.Width(), Low: size.BytesAfter, Noise: report.Number(kern.PowOf(10, -float64(sqnr)/10))}
		spec.Bits = report.HighBits
		x.High = weightBytes(spec, size.Elements, len(size.Scales))
		// Noise goes with the square of the step, a factor of 4 for each bit.
		kept := kern.PowOf(4, float64(x.Bits-report.HighBits))
		x.Gain = report.Number(float64(x.Noise) * (1 - kept) / float64(max(1, x.High-x.Low)))
		rows = append(rows, x)
	}
	if len(rows) == 0 {
		return nil, errors.New("no layer has quantized weights")
	}
	sort.SliceStable(rows, func(i, j int) bool { return cmp.Less(rows[j].Gain, rows[i].Gain) })
	return rows, nil
}

// raise gives one layer 8 bits and leaves its other settings as they are.
func raise(p *plan.Plan, cfg *qconfig.Config, l *plan.Layer) {
	if cfg.Names == nil {
		cfg.Names = map[string]*qconfig.Layer{}
	}
	var own qconfig.Layer
	if c, _ := p.Config.Entry(l.Name, l.Kind); c != nil {
		own = *c // a name's entry hides that of its type
	}
	own.Weights.Bits = report.HighBits
	cfg.Names[l.Name] = &own
}
