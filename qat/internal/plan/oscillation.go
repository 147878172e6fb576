package plan

// This file says which weights jump to and fro between two codes, and what is done
// about them.

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/internal/graph"
	"github.com/goqat/goqat/internal/kern"
	"github.com/goqat/goqat/qat/qconfig"
)

// watch makes the oscillators of the layers whose settings ask for one.
func (p *Plan) watch() error {
	users := map[*graph.Value]int{}
	for _, l := range p.Layers {
		if l.Weighted && l.Shares == nil {
			users[l.In[1]]++
		}
	}
	for _, l := range p.Layers {
		if l.WeightQuantizer == nil || l.Shares != nil || l.Table || !l.Config.Oscillation.Active() {
			continue
		}
		o := &Oscillator{set: l.Config.Oscillation, weights: l.In[1], owner: l}
		l.Oscillation = o
		switch {
		case o.weights.Role != graph.Param:
			o.Why = "the weights are computed from parameters"
		case o.weights.Fixed:
			o.Why = "the weights are not trained"
		case users[o.weights] > 1:
			o.Why = "several layers have codes of their own for the weights"
		}
		if o.Why == "" && l.BatchNorm != nil {
			if o.factor = p.foldFactor(l.BatchNorm); o.factor == nil {
				o.Why = "the scale of the batch normalisation is computed"
			}
		}
		if o.Why != "" {
			continue
		}
		if err := o.allocate(l); err != nil {
			return l.errorf("weights: %w", err)
		}
	}
	return nil
}

func (o *Oscillator) allocate(l *Layer) error {
	var err error
	if o.layout, err = l.WeightQuantizer.Spec().Layout(o.weights.Shape); err != nil {
		return err
	}
	axis, _ := l.WeightAxes()
	o.channel = ChannelOf(o.weights.Shape, axis)
	n := o.layout.Len()
	o.state = map[string][]float32{}
	for _, f := range []struct {
		name string
		at   *[]float32
		n    int
	}{{"steps", &o.steps, 1}, {"code", &o.Code, n}, {"sign", &o.sign, n}, {"frequency", &o.Frequency, n},
		{"mean", &o.Mean, n}, {"frozen", &o.Frozen, n}, {"held", &o.Held, n}} {
		*f.at = make([]float32, f.n)
		o.state[f.name] = *f.at
	}
	o.codes, o.folded, o.centre = make([]int32, n), make([]float32, n), make([]float32, n)
	return nil
}

// foldFactor returns what computes the factors of a folded batch normalisation, one
// per channel; nil if they are not read off a parameter.
func (p *Plan) foldFactor(bn *graph.Layer) func() ([]float64, error) {
	st, gamma := p.Statistics[bn], bn.BN.Gamma
	if gamma != nil {
		gamma = gamma.Base() // a reshaped one has the same elements
		if g, err := gamma.Floats(); err != nil || len(g) != len(st.Mean) {
			return nil
		}
	}
	return func() ([]float64, error) {
		f := slices.Repeat([]float64{1}, len(st.Mean))
		if gamma != nil {
			g, err := gamma.Floats()
			if err != nil {
				return nil, err
			}
			for c := range f {
				f[c] = float64(g[c])
			}
		}
		return st.Fold(f), nil
	}
}

// ChannelOf returns the index along an axis of element i of a row-major tensor.
func ChannelOf(shape []int, axis int) func(i int) int {
	inner := 1
	for _, d := range shape[axis+1:] {
		inner *= d
	}
	return func(i int) int { return i / inner % shape[axis] }
}

// Oscillate follows the weights of all layers through one training step.
func (p *Plan) Oscillate() error {
	for _, l := range p.Layers {
		if l.Oscillation == nil || l.Oscillation.Why != "" || !l.WeightQuantizer.Phase().Quantizes() {
			continue
		}
		if err := l.Oscillation.step(l.WeightQuantizer); err != nil {
			return &fakequant.LayerError{Layer: l.Name, Part: "weight", Err: err}
		}
	}
	return nil
}

// step counts what a step of the solver did to the codes, then freezes and damps.
func (o *Oscillator) step(q *fakequant.Quantizer) error {
	w, err := o.weights.Floats()
	if err != nil {
		return err
	}
	for i, f := range o.Frozen {
		if f != 0 {
			w[i] = o.Held[i] // the solver may have moved it
		}
	}
	factor, err := o.fold(w)
	if err != nil {
		return err
	}
	params, err := q.ParamsOf(o.folded, o.layout)
	if errors.Is(err, fakequant.ErrNotCalibrated) {
		return nil // no batch was seen yet
	}
	if err != nil {
		return err
	}
	if err := fakequant.Quantize(o.codes, o.folded, o.layout, q.Spec(), params); err != nil {
		return err
	}
	o.count(q.Spec(), params)
	if err := fakequant.Dequantize(o.centre, o.codes, o.layout, q.Spec(), params); err != nil {
		return err
	}
	o.move(w, factor, q.Spec())
	return nil
}

// fold writes the weights as they are quantized into o.folded and returns the factors.
func (o *Oscillator) fold(w []float32) (factor []float64, err error) {
	if o.factor == nil {
		copy(o.folded, w)
		return nil, nil
	}
	if factor, err = o.factor(); err != nil {
		return nil, err
	}
	for i, v := range w {
		o.folded[i] = v * float32(factor[o.channel(i)])
	}
	return factor, nil
}

// count updates the moving averages with the codes in o.codes and freezes what jumps
// too often. Frozen weights get their code back.
func (o *Oscillator) count(s fakequant.Spec, p fakequant.Params) {
	qmin, qmax := s.QRange()
	first := o.steps[0] == 0
	if o.steps[0] < qconfig.MaxDampingSteps {
		o.steps[0]++
	}
	m := float32(o.set.Momentum)
	o.layout.Runs(func(lo, hi, group, step int) {
		for i := lo; i < hi; i++ {
			zero := p.ZeroPoint[group+(i-lo)*step]
			grid := kern.Grid{Scale: 1, Qmin: qmin - zero, Qmax: qmax - zero}
			code := float32(o.codes[i] - zero)
			switch {
			case o.Frozen[i] != 0:
				code = o.Code[i]
			case first:
				o.Mean[i] = code
			default:
				jump := o.turns(i, code)
				o.Frequency[i] = float32(m*jump) + float32((1-m)*o.Frequency[i])
				o.Mean[i] = float32(m*code) + float32((1-m)*o.Mean[i])
				if t := o.set.FreezeThreshold; t > 0 && float64(o.Frequency[i]) > t {
					code, o.Frozen[i] = float32(kern.QuantizeOne(o.Mean[i], grid)), 1
				}
			}
			o.Code[i] = code
			o.codes[i] = kern.QuantizeOne(code, grid) + zero
		}
	})
}

// turns returns 1 if the code of weight i changed the other way than the last time,
// and 0 otherwise.
func (o *Oscillator) turns(i int, code float32) float32 {
	d := code - o.Code[i]
	if d == 0 {
		return 0
	}
	sign, last := float32(math.Copysign(1, float64(d))), o.sign[i]
	o.sign[i] = sign
	if last != 0 && last != sign {
		return 1
	}
	return 0
}

// minFactor is the smallest |factor| that weights are moved through: below it the
// channel is switched off, and the way back would blow errors up.
const minFactor = 0x1p-10

// move writes frozen and damped weights back to the parameter.
func (o *Oscillator) move(w []float32, factor []float64, s fakequant.Spec) {
	damping := o.damping()
	qmin, qmax := s.QRange()
	for i := range w {
		f := 1.0
		if factor != nil {
			f = factor[o.channel(i)]
		}
		frozen := o.Frozen[i] != 0
		if frozen && o.Held[i] == 0 {
			o.Held[i] = w[i] // if it cannot be moved, it stays
		}
		if math.Abs(f) < minFactor {
			continue
		}
		if frozen {
			w[i] = float32(float64(o.centre[i]) / f)
			o.Held[i] = w[i]
			continue
		}
		d := float64(o.folded[i]) - float64(o.centre[i])
		if damping == 0 || o.codes[i] == qmax && d > 0 || o.codes[i] == qmin && d < 0 {
			continue
		}
		w[i] = float32(float64(w[i]) - damping*d/f)
	}
}

// damping is the share of the distance for this step.
func (o *Oscillator) damping() float64 {
	t, n := float64(o.steps[0]), float64(o.set.DampingSteps)
	if t >= n {
		return o.set.Damping
	}
	return o.set.Damping * (1 - kern.CosOf(math.Pi*t/n)) / 2
}

// tensors returns the state by the names that it has in a state file.
func (o *Oscillator) tensors() map[string][]float32 {
	m := map[string][]float32{}
	for name, data := range o.state {
		m[fmt.Sprintf("oscillation.%s.%s", o.owner.Name, name)] = data
	}
	return m
}
