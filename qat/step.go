package qat

import (
	"fmt"
	"slices"

	"github.com/goqat/goqat/internal/words"
)

// Step moves the milestones that count steps on by one. Call it once per training
// step, after the solver; see [qconfig.Milestones] for what happens when. It drops what
// [Model.Round] and [Model.CorrectBias] found: that belonged to the weights
// before the step. With [qconfig.Oscillation] settings it may write to weights; NaN in
// such weights is an error that names the layer.
func (m *Model) Step() error {
	if err := m.plan.Oscillate(); err != nil {
		return fmt.Errorf("qat: step: %w", err)
	}
	m.plan.DropTuned()
	m.sensitivity = nil
	m.clock.Steps++
	m.history.Record(m.plan, m.clock.Steps)
	m.plan.SetPhases(m.clock)
	return nil
}

// Epoch moves the milestones that count epochs ([qconfig.Milestones.Epochs]) on by one.
// Call it once per epoch; without such milestones it does nothing but count.
func (m *Model) Epoch() {
	m.clock.Epochs++
	m.plan.SetPhases(m.clock)
}

// Steps returns how often Step was called.
func (m *Model) Steps() int { return m.clock.Steps }

// Epochs returns how often Epoch was called.
func (m *Model) Epochs() int { return m.clock.Epochs }

// SetObserving freezes (false) or thaws (true) the observers of layers and inputs,
// by name, or of all without names, whatever the milestones say from now on.
// Quantization itself follows the milestones. A name that the network does not have is
// an error, and nothing changes.
func (m *Model) SetObserving(on bool, names ...string) error {
	known := m.plan.Names()
	for _, name := range names {
		if !slices.Contains(known, name) {
			return fmt.Errorf("qat: no layer or input is called %s: %s", words.Quote(name), words.Suggest(name, known))
		}
	}
	if len(names) == 0 {
		names = known
	}
	if m.clock.Observing == nil {
		m.clock.Observing = map[string]bool{}
	}
	for _, name := range names {
		m.clock.Observing[name] = on
	}
	m.plan.SetPhases(m.clock)
	return nil
}

// FreezeStatistics makes batch normalisations use their running statistics and leave
// them alone, whatever the milestones say from now on; false goes back to those of the
// batch.
func (m *Model) FreezeStatistics(frozen bool) {
	m.clock.Statistics = &frozen
	m.plan.SetPhases(m.clock)
}
