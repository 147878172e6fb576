package qat

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/fakequant/fqop"
)

// Predictor runs the network on one batch, as [Prepared.Predict] does.
type Predictor = func(inputs ...[]float32) ([][]float32, error)

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

// Sensitivity measures each layer by itself: quantized alone, and alone left float.
// eval is called with predictors, three times per layer with weights, twice per other,
// and twice more. It returns a score, the larger the better (an accuracy, say), and
// must predict the same batches each time; a few hundred examples do. Ranges must be
// known: calibrate or train first. Phases, ranges and everything else are as before
// when it returns, on an error too. It stops when ctx is done.
func (q *Quantizer) Sensitivity(ctx context.Context, eval func(Predictor) (float64, error)) (Sensitivity, error) {
	if q.prepared == nil {
		return Sensitivity{}, ErrNotPrepared
	}
	if eval == nil {
		return Sensitivity{}, errors.New("qat: sensitivity: eval is nil: give a function that scores a predictor")
	}
	m := measure{ctx: ctx, p: q.prepared, eval: eval}
	s, err := m.all()
	if err != nil {
		return Sensitivity{}, fmt.Errorf("qat: sensitivity: %w", err)
	}
	return s, nil
}

// measure scores networks of which a part is quantized.
type measure struct {
	ctx   context.Context
	p     *Prepared
	eval  func(Predictor) (float64, error)
	float [][]float32 // the outputs of the float network, call by call
}

// owned are the quantizers of one layer or input.
type owned struct {
	name, kind string
	weights    *fakequant.Quantizer // may be nil
	results    []*fakequant.Quantizer
}

func (o owned) has(q *fakequant.Quantizer) bool {
	return q == o.weights || slices.Contains(o.results, q)
}

// owners lists what has quantizers, in network order.
func (p *plan) owners() []owned {
	results := map[string][]*fakequant.Quantizer{}
	for _, g := range p.order {
		results[p.nameOf(g)] = append(results[p.nameOf(g)], g.q)
	}
	var all []owned
	for _, v := range p.net.Inputs {
		all = append(all, owned{name: v.Name, kind: "input", results: results[v.Name]})
	}
	for _, l := range p.layers {
		all = append(all, owned{name: l.name, kind: l.kind, weights: l.wq, results: results[l.name]})
	}
	return slices.DeleteFunc(all, func(o owned) bool { return o.weights == nil && len(o.results) == 0 })
}

func (m *measure) all() (Sensitivity, error) {
	var s Sensitivity
	var err error
	if s.Float, _, err = m.score(func(*fakequant.Quantizer) bool { return false }); err != nil {
		return s, fmt.Errorf("float: %w", err)
	}
	if s.Quantized, s.SQNR, err = m.score(func(*fakequant.Quantizer) bool { return true }); err != nil {
		return s, fmt.Errorf("all quantized: %w", err)
	}
	for _, o := range m.p.plan.owners() {
		row := LayerSensitivity{Layer: o.name, Kind: o.kind, WeightsSQNR: nan}
		if row.Only, row.OnlySQNR, err = m.score(o.has); err != nil {
			return s, &fakequant.LayerError{Layer: o.name, Err: err}
		}
		if row.AllBut, row.AllButSQNR, err = m.score(func(q *fakequant.Quantizer) bool { return !o.has(q) }); err != nil {
			return s, &fakequant.LayerError{Layer: o.name, Err: err}
		}
		if o.weights != nil {
			row.Spec = o.weights.Spec().String()
			if _, row.WeightsSQNR, err = m.score(func(q *fakequant.Quantizer) bool { return q == o.weights }); err != nil {
				return s, &fakequant.LayerError{Layer: o.name, Err: err}
			}
		}
		s.Layers = append(s.Layers, row)
	}
	slices.SortStableFunc(s.Layers, func(a, b LayerSensitivity) int { return cmp.Compare(a.OnlySQNR, b.OnlySQNR) })
	return s, nil
}

// score evaluates the network with the chosen quantizers on and the others off. The
// first call, with none, records the outputs that later ones are compared with.
func (m *measure) score(on func(*fakequant.Quantizer) bool) (score float64, sqnr Number, err error) {
	if err := m.ctx.Err(); err != nil {
		return 0, 0, err
	}
	record := m.float == nil
	var signal, noise float64
	calls := 0
	predict := func(inputs ...[]float32) ([][]float32, error) {
		outs, err := m.p.predict(fqop.Eval, inputs)
		if err != nil {
			return nil, err
		}
		for _, y := range outs {
			switch {
			case record:
				m.float = append(m.float, slices.Clone(y))
			case calls >= len(m.float) || len(m.float[calls]) != len(y):
				return nil, errors.New("eval predicts other batches than before: use the same ones each time")
			default:
				a, b := powers(m.float[calls], y)
				signal, noise = signal+a, noise+b
			}
			calls++
		}
		return outs, nil
	}
	phases := func(q *fakequant.Quantizer) fakequant.Phase {
		switch {
		case !on(q):
			return fakequant.Off
		case q.Phase() == fakequant.Frozen:
			return fakequant.Frozen
		}
		return fakequant.Quantizing
	}
	err = m.p.plan.inPhases(phases, func() error {
		score, err = m.eval(predict)
		return err
	})
	switch {
	case err != nil:
	case calls == 0:
		err = errors.New("eval made no prediction")
	case calls != len(m.float):
		err = errors.New("eval predicts other batches than before: use the same ones each time")
	case math.IsNaN(score):
		err = errors.New("eval returned NaN")
	}
	return score, decibels(signal, noise), err
}

// powers returns Σx² and Σ(x-y)².
func powers(x, y []float32) (signal, noise float64) {
	for i, v := range x {
		d := float64(v) - float64(y[i])
		signal += float64(v) * float64(v)
		noise += d * d
	}
	return signal, noise
}

// decibels is the signal-to-noise ratio, +Inf without noise.
func decibels(signal, noise float64) Number {
	if noise == 0 {
		return Number(math.Inf(1))
	}
	return Number(10 * math.Log10(signal/noise))
}

// JSON writes the table as one indented JSON object.
func (s Sensitivity) JSON(w io.Writer) error {
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
		fmt.Fprintf(w, "%s\t%s\t%s\t%.4f\t%s\t%s\t%.4f\t%s\n", x.Layer, x.Kind, x.Spec, x.Only, x.OnlySQNR.text("%.1f"),
			x.WeightsSQNR.text("%.1f"), x.AllBut, x.AllButSQNR.text("%.1f"))
	}
	w.Flush()
	fmt.Fprintf(&b, "float %.4f, all quantized %.4f (SQNR %s dB)\n", s.Float, s.Quantized, s.SQNR.text("%.1f"))
	return b.String()
}
