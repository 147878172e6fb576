package qat

import (
	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/qat/qconfig"
)

// clock is where a training is.
type clock struct {
	// steps and epochs count calls of Model.Step and Model.Epoch.
	steps, epochs int
	// observing is what was switched by hand, by name of layer or input.
	observing map[string]bool
	// statistics is what was switched by hand for batch normalisations: true for the
	// running ones; nil for what the milestones say.
	statistics *bool
}

// setPhases sets quantizers and batch normalisations to what the milestones say.
func (p *plan) setPhases(c clock) {
	for _, g := range p.order {
		p.setPhase(g.q, p.owner(g), p.nameOf(g), c)
	}
	for _, l := range p.layers {
		if l.wq != nil {
			p.setPhase(l.wq, l, l.name, c)
			p.setPhase(l.evalQuantizer(), l, l.name, c)
		}
		for _, src := range l.src {
			if st := p.bn[src]; st != nil {
				m := p.milestonesOf(l)
				_, freeze := m.After(c.count(m))
				if c.statistics != nil {
					freeze = *c.statistics
				}
				st.Freeze(freeze)
			}
		}
	}
}

// setPhase gives a quantizer the phase of a layer; l is nil for inputs.
func (p *plan) setPhase(q *fakequant.Quantizer, l *layer, name string, c clock) {
	m := p.milestonesOf(l)
	phase, _ := m.After(c.count(m))
	if on, set := c.observing[name]; set {
		phase = observing(phase, on)
	}
	q.SetPhase(phase)
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

// count is the counter that milestones are compared with.
func (c clock) count(m qconfig.Milestones) int {
	if m.Epochs {
		return c.epochs
	}
	return c.steps
}

// milestonesOf returns the milestones of a layer: its own, or the network's.
func (p *plan) milestonesOf(l *layer) qconfig.Milestones {
	if l != nil && l.cfg.Milestones != (qconfig.Milestones{}) {
		return l.cfg.Milestones
	}
	return p.cfg.Milestones
}
