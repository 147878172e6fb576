package tune

// This file says how ranges of neighbouring layers are evened out.

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/internal/graph"
	"github.com/goqat/goqat/qat/internal/plan"
	"github.com/goqat/goqat/qat/ptq"
)

// Defaults of EqualizeOptions, and the widest scale of one channel in one pass: it
// keeps a dead channel from leaving float32's good range.
const (
	EqualizeSweeps    = 100
	equalizeTolerance = 1e-4
	equalizeWidest    = 1 << 10
)

func Equalize(p *plan.Plan, opt ptq.EqualizeOptions) (ptq.EqualizeReport, error) {
	if opt.MaxSweeps < 0 || !(opt.Tolerance >= 0) {
		return ptq.EqualizeReport{}, fmt.Errorf("MaxSweeps %d, Tolerance %v: want at least 0", opt.MaxSweeps, opt.Tolerance)
	}
	opt.MaxSweeps = cmp.Or(opt.MaxSweeps, EqualizeSweeps)
	opt.Tolerance = cmp.Or(opt.Tolerance, equalizeTolerance)
	pairs, broken := FindPairs(p)
	r := ptq.EqualizeReport{Broken: broken}
	if len(pairs) == 0 {
		return r, nil
	}
	e, err := p.Constants()
	if err != nil {
		return r, err
	}
	eq := equalizer{sides: map[*plan.Layer]*side{}}
	for _, pr := range pairs {
		if err := eq.add(e, pr); err != nil {
			return r, err
		}
	}
	for _, pr := range pairs {
		r.Pairs = append(r.Pairs, ptq.EqualizedPair{From: pr.From.Name, To: pr.To.Name, Before: spreadOf(eq.sides[pr.From].OutRanges())})
	}
	for moved := math.Inf(1); r.Sweeps < opt.MaxSweeps && moved > opt.Tolerance; r.Sweeps++ {
		moved = 0
		for _, pr := range pairs {
			moved = max(moved, eq.balance(pr))
		}
	}
	for i, pr := range pairs {
		r.Pairs[i].After = spreadOf(eq.sides[pr.From].OutRanges())
	}
	for _, l := range p.Layers { // in order, so that the result does not hang on a map's
		if s := eq.sides[l]; s != nil {
			s.write()
		}
	}
	p.DropTuned()
	return r, p.Forget()
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
type equalizer struct{ sides map[*plan.Layer]*side }

// side is one layer: its folded weights as they will be, and the scales so far.
type side struct {
	l       *plan.Layer
	Geo     weightGeometry
	W       []float64
	out, in []float64   // weights = original · in[input channel] / out[output channel]
	weight  []float32   // the user's memory, as are the vectors
	vectors [][]float32 // what the output channels' scales act on: gamma and beta, or the bias
}

func (eq *equalizer) add(e *plan.Emitter, pr pair) error {
	for _, l := range []*plan.Layer{pr.From, pr.To} {
		if eq.sides[l] != nil {
			continue
		}
		s, err := NewSide(e, l)
		if err != nil {
			return &fakequant.LayerError{Layer: l.Name, Err: err}
		}
		eq.sides[l] = s
	}
	if err := eq.sides[pr.From].readVectors(); err != nil {
		return &fakequant.LayerError{Layer: pr.From.Name, Err: err}
	}
	return nil
}

func NewSide(e *plan.Emitter, l *plan.Layer) (*side, error) {
	data, err := plan.Floats(e.Weights[l].Float)
	if err != nil {
		return nil, err
	}
	if err := plan.CheckFinite(data); err != nil {
		return nil, fmt.Errorf("weights: %w", err)
	}
	s := &side{l: l, Geo: geometryOf(l)}
	s.W = make([]float64, len(data))
	for i, v := range data {
		s.W[i] = float64(v)
	}
	s.out, s.in = ones(s.Geo.out), ones(s.Geo.in)
	s.weight, err = l.In[1].Floats()
	return s, err
}

// readVectors is for layers whose output channels are scaled.
func (s *side) readVectors() error {
	var vs []*graph.Value
	switch {
	case s.l.BatchNorm != nil:
		vs = []*graph.Value{s.l.BatchNorm.BN.Gamma, s.l.BatchNorm.BN.Beta}
	case s.l.Bias != nil:
		vs = []*graph.Value{s.l.Bias}
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

// OutRanges is the largest magnitude of each output channel.
func (s *side) OutRanges() []float64 {
	r := make([]float64, s.Geo.out)
	s.Geo.Each(func(i, out, _ int) { r[out] = max(r[out], math.Abs(s.W[i])) })
	return r
}

// balance scales one pair once and returns how far any channel moved.
func (eq *equalizer) balance(pr pair) float64 {
	a, b := eq.sides[pr.From], eq.sides[pr.To]
	before := a.OutRanges()
	behind := make([]float64, len(before))
	b.Geo.Each(func(i, _, in int) {
		c := pr.Owner[in]
		behind[c] = max(behind[c], math.Abs(b.W[i]))
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
	for in, c := range pr.Owner {
		b.in[in] *= scale[c]
	}
	a.Geo.Each(func(i, out, _ int) { a.W[i] /= scale[out] })
	b.Geo.Each(func(i, _, in int) { b.W[i] *= scale[pr.Owner[in]] })
	return moved
}

// write puts the scales into the user's memory.
func (s *side) write() {
	folded := s.l.BatchNorm != nil
	s.Geo.Each(func(i, out, in int) {
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
