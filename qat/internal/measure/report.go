// Package measure finds out what quantization costs, and where: ranges, noise, dead
// channels, sensitivity, and whether the frozen network computes the same. Package
// report has what it finds.
package measure

import (
	"math"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/fakequant/fqop"
	"github.com/goqat/goqat/internal/graph"
	"github.com/goqat/goqat/internal/kern"
	"github.com/goqat/goqat/qat/internal/plan"
	"github.com/goqat/goqat/qat/report"
	"gorgonia.org/gorgonia"
)

// Report describes the network as it is now.
func Report(p *plan.Plan, sample [][]float32) (report.Report, error) {
	batch := p.Net.Batch
	if len(sample) > 0 {
		var err error
		if sample, err = p.Fill(sample); err != nil {
			return report.Report{}, err
		}
		if batch, err = p.BatchOf(sample); err != nil {
			return report.Report{}, err
		}
	}
	e, err := p.ConstantsAt(batch)
	if err != nil {
		return report.Report{}, err
	}
	raw, err := rawActivations(p, batch, sample)
	if err != nil {
		return report.Report{}, err
	}
	var r report.Report
	for _, v := range p.Net.Inputs {
		r.Rows = append(r.Rows, activationRow(p, report.Row{Layer: v.Name, Kind: "input"}, v, raw))
	}
	seen := counted{}
	for _, l := range p.Layers {
		if p.Static[l.Out] {
			continue
		}
		if (l.Weighted || l.Table) && !seen.weights(l, e) {
			row, err := weightRow(p, l, e)
			if err != nil {
				return report.Report{}, &fakequant.LayerError{Layer: l.Name, Part: "weight", Err: err}
			}
			r.Rows = append(r.Rows, row)
			r.Bytes += row.BytesAfter
			r.FloatBytes += row.BytesBefore
		}
		if b := e.Weights[l].Bias; b != nil && !seen.bias(l) {
			r.Bytes += 4 * b.Shape().TotalSize()
			r.FloatBytes += 4 * b.Shape().TotalSize()
		}
		r.Rows = append(r.Rows, activationRow(p, report.Row{Layer: l.Name, Kind: l.Kind, Why: l.Why}, l.Out, raw))
	}
	advise(p, &r, sample)
	return r, nil
}

// counted are parameters that have their row and their bytes: several layers may share
// them.
type counted map[any]bool

func (c counted) first(key any) bool {
	old := c[key]
	c[key] = true
	return !old
}

// weights reports whether the weights of l were counted before.
func (c counted) weights(l *plan.Layer, e *plan.Emitter) bool {
	return l.Shares != nil || l.WeightQuantizer == nil && !c.first(e.Weights[l].Float)
}

// bias reports whether the bias of l was counted before. A batch normalisation makes one
// of its own.
func (c counted) bias(l *plan.Layer) bool {
	return l.Bias != nil && l.BatchNorm == nil && !c.first(l.Bias.Base())
}

// rawActivations runs the sample and returns each quantized tensor before its
// fake-quantizer.
func rawActivations(p *plan.Plan, batch int, sample [][]float32) (map[string][]float32, error) {
	if len(sample) == 0 {
		return nil, nil
	}
	ev, err := p.NewEvaluator(batch, fqop.Eval, func(e *plan.Emitter) []*gorgonia.Node {
		var ns []*gorgonia.Node
		for v := range p.Families {
			ns = append(ns, e.Raw[v])
		}
		return ns
	})
	if err != nil {
		return nil, err
	}
	if err := ev.Run(sample); err != nil {
		return nil, err
	}
	raw := map[string][]float32{}
	for v := range p.Families {
		if raw[v.Name], err = plan.Floats(ev.Emitter.Raw[v]); err != nil {
			return nil, err
		}
	}
	return raw, nil
}

func weightRow(p *plan.Plan, l *plan.Layer, e *plan.Emitter) (report.Row, error) {
	n := e.Weights[l].Float
	data, err := plan.Floats(n)
	if err != nil {
		return report.Row{}, err
	}
	row := report.Row{Layer: l.Name, Kind: l.Kind, Tensor: "weight", Spec: "float32", Why: l.Why,
		Elements: len(data), BytesBefore: 4 * len(data), BytesAfter: 4 * len(data), RMSE: nan, SQNR: nan, Min: nan, Max: nan,
		Saturated: nan, Clipped: nan}
	if l.Oscillation != nil {
		row.Oscillation = OscillationOf(l.Oscillation)
	}
	if l.WeightQuantizer == nil {
		return row, nil
	}
	ship, err := plan.Floats(e.Weights[l].Tuned)
	if err != nil {
		return report.Row{}, err
	}
	s := l.WeightQuantizer.Spec()
	params, err := p.WeightParams(l, ship, n.Shape())
	if err != nil {
		return report.Row{}, err
	}
	layout, err := s.Layout(n.Shape())
	if err != nil {
		return report.Row{}, err
	}
	row.Spec, row.Why, row.Scales, row.ZeroPoints = s.String(), "", params.Scale, params.ZeroPoint
	row.Min, row.Max = extent(data)
	quantized := make([]float32, len(data))
	if err := fakequant.FakeQuantize(quantized, ship, layout, s, params); err != nil {
		return report.Row{}, err
	}
	row.RMSE, row.SQNR = errorOf(data, quantized)
	row.BytesAfter = weightBytes(s, len(data), len(params.Scale))
	axis, _ := l.WeightAxes()
	return row, analyse(&row, data, ship, layout, s, params, channels{n.Shape()[axis], plan.ChannelOf(n.Shape(), axis), allZero})
}

func activationRow(p *plan.Plan, row report.Row, v *graph.Value, raw map[string][]float32) report.Row {
	row.Tensor, row.Spec = "activation", "float32"
	row.Min, row.Max, row.RMSE, row.SQNR, row.Saturated, row.Clipped = nan, nan, nan, nan, nan, nan
	row.Elements = 1
	for axis, d := range v.Shape {
		if axis != v.BatchAxis {
			row.Elements *= d
		}
	}
	g := p.Families[v]
	if g == nil {
		return row
	}
	s := g.Quantizer.Spec()
	row.Spec, row.Why = s.String(), ""
	if v != g.Members[0] {
		row.SharedWith = g.Members[0].Name
	}
	if lo, hi, ok := g.Quantizer.Range(); ok {
		row.Min, row.Max = report.Number(lo[0]), report.Number(hi[0])
	}
	params, err := g.Quantizer.Params()
	if err != nil {
		return row // no data yet
	}
	row.Scales, row.ZeroPoints = params.Scale, params.ZeroPoint
	if x := raw[v.Name]; x != nil {
		if layout, err := s.Layout([]int{len(x)}); err == nil {
			y := make([]float32, len(x))
			if fakequant.FakeQuantize(y, x, layout, s, params) == nil {
				row.RMSE, row.SQNR = errorOf(x, y)
				_ = analyse(&row, x, x, layout, s, params, channelsOf(v.Shape, v.BatchAxis, len(x))) // fails only as the line above
			}
		}
	}
	return row
}

// nan marks what was not measured.
var nan = report.Number(math.NaN())

func extent(x []float32) (lo, hi report.Number) {
	lo, hi = report.Number(math.Inf(1)), report.Number(math.Inf(-1))
	for _, v := range x {
		lo, hi = min(lo, report.Number(v)), max(hi, report.Number(v))
	}
	return lo, hi
}

// errorOf returns the root mean square error and the signal-to-noise ratio in dB.
func errorOf(x, y []float32) (rmse, sqnr report.Number) {
	var signal, noise float64
	for i, v := range x {
		d := float64(v) - float64(y[i])
		signal += float64(v) * float64(v)
		noise += d * d
	}
	return report.Number(math.Sqrt(noise / float64(len(x)))), report.Number(10 * kern.Log10Of(signal/noise))
}

// OscillationOf sums up what is known of the weights of one layer.
func OscillationOf(o *plan.Oscillator) *report.OscillationStats {
	st := &report.OscillationStats{Why: o.Why}
	if o.Why != "" {
		st.Frequency = nan
		return st
	}
	var sum float64
	for i, f := range o.Frequency {
		sum += float64(f)
		switch {
		case o.Frozen[i] != 0:
			st.Frozen++
		case f > report.OscillationLimit:
			st.Oscillating++
		}
	}
	st.Frequency = report.Number(sum / float64(len(o.Frequency)))
	return st
}

// weightBytes is the size of weights as they ship: codes, two to a byte up to 4 bits, an
// F32 scale and a one-byte zero point for each group.
func weightBytes(s fakequant.Spec, elements, groups int) int {
	perCode := 8
	if s.Packed() {
		perCode = 4
	}
	return (elements*perCode+7)/8 + 5*groups
}
