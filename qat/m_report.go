package qat

import (
	"math"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/fakequant/fqop"
	"github.com/goqat/goqat/internal/graph"
	"gorgonia.org/gorgonia"
)

// reportOf describes the network as it is now.
func reportOf(p *plan, sample [][]float32) (Report, error) {
	batch := p.net.Batch
	if len(sample) > 0 {
		var err error
		if batch, err = p.batchOf(sample); err != nil {
			return Report{}, err
		}
	}
	e, err := p.emit(batch, fqop.Quantized, false, 1) // only its constants are run
	if err != nil {
		return Report{}, err
	}
	f := &freezer{p: p, e: e}
	if err := f.computeConstants(); err != nil {
		return Report{}, err
	}
	raw, err := rawActivations(p, batch, sample)
	if err != nil {
		return Report{}, err
	}
	var r Report
	for _, v := range p.net.Inputs {
		r.Rows = append(r.Rows, activationRow(p, Row{Layer: v.Name, Kind: "input"}, v, raw))
	}
	for _, l := range p.layers {
		if p.static[l.out] {
			continue
		}
		if l.weighted {
			row, err := weightRow(p, l, e)
			if err != nil {
				return Report{}, &fakequant.LayerError{Layer: l.name, Part: "weight", Err: err}
			}
			r.Rows = append(r.Rows, row)
			r.Bytes += row.BytesAfter
			r.FloatBytes += row.BytesBefore
			if b := e.weights[l].bias; b != nil {
				r.Bytes += 4 * b.Shape().TotalSize()
				r.FloatBytes += 4 * b.Shape().TotalSize()
			}
		}
		r.Rows = append(r.Rows, activationRow(p, Row{Layer: l.name, Kind: l.kind, Why: l.why}, l.out, raw))
	}
	return r, nil
}

// rawActivations runs the sample and returns each quantized tensor before its
// fake-quantizer.
func rawActivations(p *plan, batch int, sample [][]float32) (map[string][]float32, error) {
	if len(sample) == 0 {
		return nil, nil
	}
	ev, err := p.newEvaluator(batch, fqop.Eval, func(e *emitter) []*gorgonia.Node {
		var ns []*gorgonia.Node
		for v := range p.groups {
			ns = append(ns, e.raw[v])
		}
		return ns
	})
	if err != nil {
		return nil, err
	}
	if err := ev.run(sample); err != nil {
		return nil, err
	}
	raw := map[string][]float32{}
	for v := range p.groups {
		if raw[v.Name], err = values(ev.e.raw[v]); err != nil {
			return nil, err
		}
	}
	return raw, nil
}

func weightRow(p *plan, l *layer, e *emitter) (Row, error) {
	n := e.weights[l].float
	data, err := values(n)
	if err != nil {
		return Row{}, err
	}
	row := Row{Layer: l.name, Kind: l.kind, Tensor: "weight", Spec: "float32", Why: l.why,
		Elements: len(data), BytesBefore: 4 * len(data), BytesAfter: 4 * len(data), RMSE: nan, SQNR: nan, Min: nan, Max: nan,
		Saturated: nan, Clipped: nan}
	if l.osc != nil {
		row.Oscillation = oscillationOf(l.osc)
	}
	if l.wq == nil {
		return row, nil
	}
	ship, err := values(e.weights[l].tuned)
	if err != nil {
		return Row{}, err
	}
	s := l.wq.Spec()
	params, err := p.weightParams(l, ship, n.Shape())
	if err != nil {
		return Row{}, err
	}
	layout, err := s.Layout(n.Shape())
	if err != nil {
		return Row{}, err
	}
	row.Spec, row.Why, row.Scales, row.ZeroPoints = s.String(), "", params.Scale, params.ZeroPoint
	row.Min, row.Max = extent(data)
	quantized := make([]float32, len(data))
	if err := fakequant.FakeQuantize(quantized, ship, layout, s, params); err != nil {
		return Row{}, err
	}
	row.RMSE, row.SQNR = errorOf(data, quantized)
	row.BytesAfter = weightBytes(s, len(data), len(params.Scale))
	axis, _ := weightAxes(l.op)
	return row, analyse(&row, data, ship, layout, s, params, channels{n.Shape()[axis], channelOf(n.Shape(), axis), allZero})
}

func activationRow(p *plan, row Row, v *graph.Value, raw map[string][]float32) Row {
	row.Tensor, row.Spec = "activation", "float32"
	row.Min, row.Max, row.RMSE, row.SQNR, row.Saturated, row.Clipped = nan, nan, nan, nan, nan, nan
	row.Elements = 1
	for axis, d := range v.Shape {
		if axis != v.BatchAxis {
			row.Elements *= d
		}
	}
	g := p.groups[v]
	if g == nil {
		return row
	}
	s := g.q.Spec()
	row.Spec, row.Why = s.String(), ""
	if v != g.members[0] {
		row.SharedWith = g.members[0].Name
	}
	if lo, hi, ok := g.q.Range(); ok {
		row.Min, row.Max = Number(lo[0]), Number(hi[0])
	}
	params, err := g.q.Params()
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
var nan = Number(math.NaN())

func extent(x []float32) (lo, hi Number) {
	lo, hi = Number(math.Inf(1)), Number(math.Inf(-1))
	for _, v := range x {
		lo, hi = min(lo, Number(v)), max(hi, Number(v))
	}
	return lo, hi
}

// errorOf returns the root mean square error and the signal-to-noise ratio in dB.
func errorOf(x, y []float32) (rmse, sqnr Number) {
	var signal, noise float64
	for i, v := range x {
		d := float64(v) - float64(y[i])
		signal += float64(v) * float64(v)
		noise += d * d
	}
	return Number(math.Sqrt(noise / float64(len(x)))), Number(10 * math.Log10(signal/noise))
}

// oscillationOf sums up what is known of the weights of one layer.
func oscillationOf(o *oscillator) *OscillationStats {
	st := &OscillationStats{Why: o.why}
	if o.why != "" {
		st.Frequency = nan
		return st
	}
	var sum float64
	for i, f := range o.freq {
		sum += float64(f)
		switch {
		case o.frozen[i] != 0:
			st.Frozen++
		case f > OscillationLimit:
			st.Oscillating++
		}
	}
	st.Frequency = Number(sum / float64(len(o.freq)))
	return st
}
