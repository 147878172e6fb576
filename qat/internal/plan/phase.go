package plan

// This file says who observes and who quantizes at a step.

import (
	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/qat/qconfig"
)

// SetPhases sets quantizers and batch normalisations to what the milestones say.
func (p *Plan) SetPhases(c Clock) {
	for _, g := range p.Order {
		p.setPhase(g.Quantizer, p.owner(g), p.nameOf(g), c)
	}
	for _, l := range p.Layers {
		// What was switched by hand for one of the layers that share weights holds for them.
		if _, byHand := c.Observing[l.Name]; l.WeightQuantizer != nil && (l.Shares == nil || byHand) {
			p.setPhase(l.WeightQuantizer, l, l.Name, c)
			p.setPhase(l.EvalQuantizer(), l, l.Name, c)
		}
		for _, src := range l.Source {
			if st := p.Statistics[src]; st != nil {
				m := p.milestonesOf(l)
				_, freeze := m.After(c.count(m))
				if c.Statistics != nil {
					freeze = *c.Statistics
				}
				st.Freeze(freeze)
			}
		}
	}
}

// setPhase gives a quantizer the phase of a layer; l is nil for inputs.
func (p *Plan) setPhase(q *fakequant.Quantizer, l *Layer, name string, c Clock) {
	m := p.milestonesOf(l)
	phase, _ := m.After(c.count(m))
	if on, set := c.Observing[name]; set {
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
func (c Clock) count(m qconfig.Milestones) int {
	if m.Epochs {
		return c.Epochs
	}
	return c.Steps
}

// milestonesOf returns the milestones of a layer: its own, or the network's.
func (p *Plan) milestonesOf(l *Layer) qconfig.Milestones {
	if l != nil && l.Config.Milestones != (qconfig.Milestones{}) {
		return l.Config.Milestones
	}
	return p.Config.Milestones
}
