package qat

import (
	"fmt"
	"slices"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/internal/words"
	"github.com/goqat/goqat/qat/qconfig"
)

// Step moves the milestones that count steps on by one. Call it once per training
// step, after the solver; see [qconfig.Milestones] for what happens when. It drops what
// [Prepared.Round] and [Prepared.CorrectBias] found: that belonged to the weights
// before the step. With [Oscillation] settings it may write to weights; NaN in such
// weights is an error that names the layer.
func (q *Quantizer) Step() error {
	if q.prepared == nil {
		return ErrNotPrepared
	}
	if err := q.prepared.plan.oscillate(); err != nil {
		return fmt.Errorf("qat: step: %w", err)
	}
	q.prepared.dropTuned()
	q.steps++
	q.record()
	q.apply()
	return nil
}

// Epoch moves the milestones that count epochs ([qconfig.Milestones.Epochs]) on by one. Call
// it once per epoch; without such schedules it does nothing but count.
func (q *Quantizer) Epoch() error {
	if q.prepared == nil {
		return ErrNotPrepared
	}
	q.epochs++
	q.apply()
	return nil
}

// Steps returns how often Step was called.
func (q *Quantizer) Steps() int { return q.steps }

// Epochs returns how often Epoch was called.
func (q *Quantizer) Epochs() int { return q.epochs }

// SetObserving freezes (false) or thaws (true) the observers of layers and inputs,
// by name, or of all without names, whatever the schedule says from now on.
// Quantization itself stays on schedule. A name that the network does not have is
// an error, and nothing changes.
func (q *Quantizer) SetObserving(on bool, names ...string) error {
	if q.prepared == nil {
		return ErrNotPrepared
	}
	known := q.prepared.plan.names()
	for _, name := range names {
		if !slices.Contains(known, name) {
			return fmt.Errorf("qat: no layer or input is called %s: %s", words.Quote(name), words.Suggest(name, known))
		}
	}
	if len(names) == 0 {
		names = known
	}
	if q.observing == nil {
		q.observing = map[string]bool{}
	}
	for _, name := range names {
		q.observing[name] = on
	}
	q.apply()
	return nil
}

// names lists layers and inputs.
func (p *plan) names() []string {
	ns := names(p.net.Inputs)
	for _, l := range p.layers {
		ns = append(ns, l.name)
	}
	return ns
}

// apply sets phases and batch normalisations to what the schedules say now.
func (q *Quantizer) apply() {
	p := q.prepared.plan
	for _, g := range p.order {
		q.setPhase(g.q, p.owner(g), p.nameOf(g))
	}
	for _, l := range p.layers {
		if l.wq != nil {
			q.setPhase(l.wq, l, l.name)
			q.setPhase(l.evalQuantizer(), l, l.name)
		}
		for _, src := range l.src {
			if st := p.bn[src]; st != nil {
				_, freeze := q.scheduleOf(l).After(q.count(q.scheduleOf(l)))
				st.Freeze(freeze)
			}
		}
	}
}

// setPhase gives a quantizer the phase of a layer's schedule; l is nil for inputs.
func (q *Quantizer) setPhase(f *fakequant.Quantizer, l *layer, name string) {
	s := q.scheduleOf(l)
	phase, _ := s.After(q.count(s))
	if on, set := q.observing[name]; set {
		phase = observing(phase, on)
	}
	f.SetPhase(phase)
}

// observing is a phase with its observer switched.
func observing(p fakequant.Phase, on bool) fakequant.Phase {
	switch {
	case on && p.Quantizes():
		return fakequant.ObservingAndQuantizing
	case on:
		return fakequant.Observing
	case p.Quantizes():
		return fakequant.Quantizing
	}
	return fakequant.Off
}

func (q *Quantizer) count(s qconfig.Milestones) int {
	if s.Epochs {
		return q.epochs
	}
	return q.steps
}

// scheduleOf returns the schedule of a layer: its own, or the network's.
func (q *Quantizer) scheduleOf(l *layer) qconfig.Milestones {
	if l != nil && l.cfg.Milestones != (qconfig.Milestones{}) {
		return l.cfg.Milestones
	}
	return q.cfg.Milestones
}

// owner returns the layer whose settings a group of activations has; nil for that
// of an input.
func (p *plan) owner(g *group) *layer { return p.by[g.members[0]] }

// nameOf is how SetObserving calls the group's tensor.
func (p *plan) nameOf(g *group) string {
	if l := p.by[g.members[0]]; l != nil {
		return l.name
	}
	return g.members[0].Name
}
