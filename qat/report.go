package qat

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strings"
	"text/tabwriter"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/fakequant/fqop"
	"github.com/goqat/goqat/internal/graph"
	"gorgonia.org/gorgonia"
)

// Report lists every layer and tensor with what quantization makes of it.
type Report struct {
	Rows []Row `json:"rows"`
	// Bytes and FloatBytes are the sizes of all parameters as they will ship and as
	// float32.
	Bytes      int `json:"bytes"`
	FloatBytes int `json:"float_bytes"`
	// Ranges is what [Quantizer.Record] kept, activations in network order, then
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
	// do not count, they are exact. Clipped is the share of those beyond, by half a
	// step or more: they have no gradient. Both are NaN where not measured.
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

// Number is a float64 that is null in JSON where it is not finite.
type Number float64

// MarshalJSON writes null for NaN and infinities.
func (n Number) MarshalJSON() ([]byte, error) {
	if v := float64(n); math.IsNaN(v) || math.IsInf(v, 0) {
		return []byte("null"), nil
	}
	return json.Marshal(float64(n))
}

// Report describes the network as it is now. Weight errors are always measured;
// those of activations where a sample batch is given (inputs as for
// [Prepared.Predict]). Reading a report changes nothing: no range, no statistic,
// no phase.
func (q *Quantizer) Report(sample ...[]float32) (Report, error) {
	if q.prepared == nil {
		return Report{}, ErrNotPrepared
	}
	r, err := q.prepared.plan.report(sample)
	if err != nil {
		return Report{}, fmt.Errorf("qat: report: %w", err)
	}
	r.Ranges = q.ranges()
	return r, nil
}

func (p *plan) report(sample [][]float32) (Report, error) {
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
	raw, err := p.rawActivations(batch, sample)
	if err != nil {
		return Report{}, err
	}
	var r Report
	for _, v := range p.net.Inputs {
		r.Rows = append(r.Rows, p.activationRow(Row{Layer: v.Name, Kind: "input"}, v, raw))
	}
	for _, l := range p.layers {
		if p.static[l.out] {
			continue
		}
		if l.weighted {
			row, err := p.weightRow(l, e)
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
		r.Rows = append(r.Rows, p.activationRow(Row{Layer: l.name, Kind: l.kind, Why: l.why}, l.out, raw))
	}
	return r, nil
}

// rawActivations runs the sample and returns each quantized tensor before its
// fake-quantizer.
func (p *plan) rawActivations(batch int, sample [][]float32) (map[string][]float32, error) {
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

func (p *plan) weightRow(l *layer, e *emitter) (Row, error) {
	n := e.weights[l].float
	data, err := values(n)
	if err != nil {
		return Row{}, err
	}
	row := Row{Layer: l.name, Kind: l.kind, Tensor: "weight", Spec: "float32", Why: l.why,
		Elements: len(data), BytesBefore: 4 * len(data), BytesAfter: 4 * len(data), RMSE: nan, SQNR: nan, Min: nan, Max: nan,
		Saturated: nan, Clipped: nan}
	if l.osc != nil {
		row.Oscillation = l.osc.stats()
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
	return row, row.analyse(data, ship, layout, s, params, channels{n.Shape()[axis], channelOf(n.Shape(), axis), allZero})
}

func (p *plan) activationRow(row Row, v *graph.Value, raw map[string][]float32) Row {
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
				_ = row.analyse(x, x, layout, s, params, channelsOf(v.Shape, v.BatchAxis, len(x))) // fails only as the line above
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

// JSON writes the report as one indented JSON object.
func (r Report) JSON(w io.Writer) error {
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
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d\t%s\t%s\n", x.Layer, x.Kind, x.Tensor, x.Spec, x.rangeText(),
			spread(x.Scales, "%.4g"), spread(x.ZeroPoints, "%d"), x.SQNR.text("%.1f"), x.RMSE.text("%.2g"), x.Saturated.percent(), x.deadText(), x.Elements, size, x.note())
	}
	w.Flush()
	fmt.Fprintf(&b, "parameters: %d bytes as float32, %d bytes quantized\n", r.FloatBytes, r.Bytes)
	return b.String()
}

func (x Row) rangeText() string {
	if math.IsNaN(float64(x.Min)) {
		return "-"
	}
	return fmt.Sprintf("%.4g … %.4g", float64(x.Min), float64(x.Max))
}

func (x Row) note() string {
	if x.SharedWith != "" {
		return "shares the quantizer of " + x.SharedWith
	}
	if o := x.Oscillation; o != nil && x.Why == "" {
		return o.text()
	}
	return x.Why
}

func (n Number) text(format string) string {
	if math.IsNaN(float64(n)) {
		return "-"
	}
	return fmt.Sprintf(format, float64(n))
}

// spread shows one number, or the smallest and largest of several.
func spread[T int32 | float32](v []T, format string) string {
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
