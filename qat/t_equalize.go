package qat

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/internal/graph"
)

// Defaults of EqualizeOptions, and the widest scale of one channel in one pass: it
// keeps a dead channel from leaving float32's good range.
const (
	equalizeSweeps    = 100
	equalizeTolerance = 1e-4
	equalizeWidest    = 1 << 10
)

func (p *plan) equalize(opt EqualizeOptions) (EqualizeReport, error) {
	if opt.MaxSweeps < 0 || !(opt.Tolerance >= 0) {
		return EqualizeReport{}, fmt.Errorf("MaxSweeps %d, Tolerance %v: want at least 0", opt.MaxSweeps, opt.Tolerance)
	}
	opt.MaxSweeps = cmp.Or(opt.MaxSweeps, equalizeSweeps)
	opt.Tolerance = cmp.Or(opt.Tolerance, equalizeTolerance)
	pairs, broken := p.findPairs()
	r := EqualizeReport{Broken: broken}
	if len(pairs) == 0 {
		return r, nil
	}
	e, err := p.constants()
	if err != nil {
		return r, err
	}
	eq := equalizer{sides: map[*layer]*side{}}
	for _, pr := range pairs {
		if err := eq.add(e, pr); err != nil {
			return r, err
		}
	}
	for _, pr := range pairs {
		r.Pairs = append(r.Pairs, EqualizedPair{From: pr.from.name, To: pr.to.name, Before: spreadOf(eq.sides[pr.from].outRanges())})
	}
	for moved := math.Inf(1); r.Sweeps < opt.MaxSweeps && moved > opt.Tolerance; r.Sweeps++ {
		moved = 0
		for _, pr := range pairs {
			moved = max(moved, eq.balance(pr))
		}
	}
	for i, pr := range pairs {
		r.Pairs[i].After = spreadOf(eq.sides[pr.from].outRanges())
	}
	for _, l := range p.layers { // in order, so that the result does not hang on a map's
		if s := eq.sides[l]; s != nil {
			s.write()
		}
	}
	p.dropTuned()
	return r, p.forget()
}

// spreadOf is the largest range over the median one, 1 where all are 0.
func spreadOf(ranges []float64) float64 {
	sorted := slices.Sorted(slices.Values(ranges))
	median := sorted[len(sorted)/2]
	if median == 0 {
		return 1
	}
	return sorted[len(sorted)-1] / median
}

// equalizer scales copies of the folded weights.
type equalizer struct{ sides map[*layer]*side }

// side is one layer: its folded weights as they will be, and the scales so far.
type side struct {
	l       *layer
	geo     weightGeometry
	w       []float64
	out, in []float64   // weights = original · in[input channel] / out[output channel]
	weight  []float32   // the user's memory, as are the vectors
	vectors [][]float32 // what the output channels' scales act on: gamma and beta, or the bias
}

func (eq *equalizer) add(e *emitter, pr pair) error {
	for _, l := range []*layer{pr.from, pr.to} {
		if eq.sides[l] != nil {
			continue
		}
		s, err := newSide(e, l)
		if err != nil {
			return &fakequant.LayerError{Layer: l.name, Err: err}
		}
		eq.sides[l] = s
	}
	if err := eq.sides[pr.from].readVectors(); err != nil {
		return &fakequant.LayerError{Layer: pr.from.name, Err: err}
	}
	return nil
}

func newSide(e *emitter, l *layer) (*side, error) {
	data, err := values(e.weights[l].float)
	if err != nil {
		return nil, err
	}
	if err := checkFinite(data); err != nil {
		return nil, fmt.Errorf("weights: %w", err)
	}
	s := &side{l: l, geo: geometryOf(l)}
	s.w = make([]float64, len(data))
	for i, v := range data {
		s.w[i] = float64(v)
	}
	s.out, s.in = ones(s.geo.out), ones(s.geo.in)
	s.weight, err = l.in[1].Floats()
	return s, err
}

// readVectors is for layers whose output channels are scaled.
func (s *side) readVectors() error {
	var vs []*graph.Value
	switch {
	case s.l.bn != nil:
		vs = []*graph.Value{s.l.bn.BN.Gamma, s.l.bn.BN.Beta}
	case s.l.bias != nil:
		vs = []*graph.Value{s.l.bias}
	}
	for _, v := range vs {
		x, err := v.Base().Floats()
		if err != nil {
			return err
		}
		s.vectors = append(s.vectors, x)
	}
	return nil
}

func ones(n int) []float64 {
	x := make([]float64, n)
	for i := range x {
		x[i] = 1
	}
	return x
}

// outRanges is the largest magnitude of each output channel.
func (s *side) outRanges() []float64 {
	r := make([]float64, s.geo.out)
	s.geo.each(func(i, out, _ int) { r[out] = max(r[out], math.Abs(s.w[i])) })
	return r
}

// balance scales one pair once and returns how far any channel moved.
func (eq *equalizer) balance(pr pair) float64 {
	a, b := eq.sides[pr.from], eq.sides[pr.to]
	before := a.outRanges()
	behind := make([]float64, len(before))
	b.geo.each(func(i, _, in int) {
		c := pr.owner[in]
		behind[c] = max(behind[c], math.Abs(b.w[i]))
	})
	scale, moved := ones(len(before)), 0.0
	for c := range scale {
		if before[c] == 0 || behind[c] == 0 {
			continue // a dead channel: nothing to make alike
		}
		s := math.Sqrt(before[c] / behind[c])
		s = min(max(s, 1.0/equalizeWidest), equalizeWidest)
		scale[c] = s
		moved = max(moved, math.Abs(s-1))
		a.out[c] *= s
	}
	for in, c := range pr.owner {
		b.in[in] *= scale[c]
	}
	a.geo.each(func(i, out, _ int) { a.w[i] /= scale[out] })
	b.geo.each(func(i, _, in int) { b.w[i] *= scale[pr.owner[in]] })
	return moved
}

// write puts the scales into the user's memory.
func (s *side) write() {
	folded := s.l.bn != nil
	s.geo.each(func(i, out, in int) {
		f := s.in[in]
		if !folded {
			f /= s.out[out]
		}
		s.weight[i] = float32(float64(s.weight[i]) * f)
	})
	for _, x := range s.vectors {
		for c := range x {
			x[c] = float32(float64(x[c]) / s.out[c])
		}
	}
}

// forget puts all quantizers back to where they were after Prepare, in their phases.
func (p *plan) forget() error {
	for i, q := range p.quantizers() {
		st := p.initial[i]
		st.Phase = q.Phase()
		if err := q.Restore(st); err != nil {
			return err
		}
	}
	return nil
}
