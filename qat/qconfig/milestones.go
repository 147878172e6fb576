package qconfig

// This file says when observing and quantizing begin and end.

import (
	"fmt"

	"github.com/goqat/goqat/fakequant"
)

// Never is a milestone that is not reached.
const Never = -1

// Milestones say at which steps the phases of training begin. The zero Milestones
// observe and quantize from the first batch on and never freeze anything.
//
// Otherwise (Set is true) everything is off after Prepare, and each number is
// compared with a counter that starts at 0: of calls to Step or, with Epochs, of
// calls to Epoch. The first call passes milestone 0. Never, -1, leaves a milestone
// out. Where two numbers are equal both take effect in the same call. So a loop that
// calls Step after each batch sees milestone 0 from its second batch on; call Step
// before the batch to have it from the first. The meaning is that of Core ML Tools'
// LinearQuantizer milestones (coremltools/optimize/torch/quantization/quantizer.py).
type Milestones struct {
	// Set says that the four numbers count. Without it all must be 0.
	Set bool
	// Epochs makes the numbers count calls of qat.Model.Epoch instead of Step. In a
	// file it is "milestone_unit: epochs"; the default is steps.
	Epochs bool
	// Observe is the step at which the observers start to record ranges.
	Observe int
	// Quantize is the step at which fake quantization starts.
	Quantize int
	// FreezeObservers is the step at which the observers stop.
	FreezeObservers int
	// FreezeBatchNorm is the step at which BatchNorm goes over to its running
	// statistics and stops updating them.
	FreezeBatchNorm int
}

// MilestonesAt returns those at the four given steps, in the order of Core
// ML Tools' list.
func MilestonesAt(observe, quantize, freezeObservers, freezeBatchNorm int) Milestones {
	return Milestones{
		Set: true, Observe: observe, Quantize: quantize,
		FreezeObservers: freezeObservers, FreezeBatchNorm: freezeBatchNorm,
	}
}

// After returns the state after the given number of calls to Step. The phase is
// Off, Observing, Quantizing or ObservingAndQuantizing.
func (s Milestones) After(steps int) (phase fakequant.Phase, freezeBatchNorm bool) {
	if !s.Set {
		return fakequant.ObservingAndQuantizing, false
	}
	passed := func(milestone int) bool { return milestone >= 0 && milestone < steps }
	// Stopping counts only at or after the start: earlier there is nothing to stop.
	observes := passed(s.Observe) && !(passed(s.FreezeObservers) && s.FreezeObservers >= s.Observe)
	switch {
	case observes && passed(s.Quantize):
		phase = fakequant.ObservingAndQuantizing
	case observes:
		phase = fakequant.Observing
	case passed(s.Quantize):
		phase = fakequant.Quantizing
	}
	return phase, passed(s.FreezeBatchNorm)
}

// check reports milestones that cannot work together, without saying where they
// were written.
func (s Milestones) check() error {
	if !s.Set {
		if s != (Milestones{}) {
			return fmt.Errorf("steps are given but Set is false: use qconfig.MilestonesAt(%d, %d, %s, %s)",
				s.Observe, s.Quantize, unlessUnset(s.FreezeObservers), unlessUnset(s.FreezeBatchNorm))
		}
		return nil
	}
	for i, v := range []int{s.Observe, s.Quantize, s.FreezeObservers, s.FreezeBatchNorm} {
		if v < Never {
			return fmt.Errorf("%s is %d: want a step from 0 on, or -1 for never", milestoneNames[i], v)
		}
	}
	if s.Observe == Never {
		return nil // ranges are set by hand or come from a checkpoint
	}
	if s.Quantize != Never && s.Quantize < s.Observe {
		return fmt.Errorf("quantize at step %d comes before observe at step %d, when no range is known: want quantize >= observe",
			s.Quantize, s.Observe)
	}
	if s.FreezeObservers != Never && s.FreezeObservers < s.Observe {
		return fmt.Errorf("freeze_observers at step %d comes before observe at step %d: want freeze_observers >= observe, or -1 for never",
			s.FreezeObservers, s.Observe)
	}
	return nil
}

// unlessUnset spells a step at which something ends: 0 was not meant, for nothing would
// begin.
func unlessUnset(step int) string {
	if step == 0 || step == Never {
		return "qconfig.Never"
	}
	return fmt.Sprint(step)
}

var milestoneNames = [...]string{"observe", "quantize", "freeze_observers", "freeze_batch_norm"}
