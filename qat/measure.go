package qat

import (
	"context"
	"errors"
	"fmt"

	"github.com/goqat/goqat/qat/internal/measure"
	"github.com/goqat/goqat/qat/report"
)

// Report describes the network as it is now. Weight errors are always measured;
// those of activations where a sample batch is given (inputs as for
// [Model.Predict]). Reading a report changes nothing: no range, no statistic,
// no phase. The advice names the layer that costs most if [Model.Sensitivity] was called
// since the last step.
func (m *Model) Report(sample ...[]float32) (report.Report, error) {
	r, err := measure.Report(m.plan, sample)
	if err != nil {
		return report.Report{}, fmt.Errorf("qat: report: %w", err)
	}
	r.Ranges = m.history.Ranges(m.plan)
	if m.sensitivity != nil {
		if text := measure.CostAdvice(*m.sensitivity); text != "" {
			r.Advice = append(r.Advice, text)
		}
	}
	return r, nil
}

// Plan says what Prepare made of the graph, before the first step: inputs with their batch
// axes, parameters, constants, what stays float and why, and what cannot be frozen. Print
// it and look at it once: a leaf in the wrong list, or a batch that is fixed, is mended by
// [qconfig.Config.Roles].
func (m *Model) Plan() report.Plan { return measure.Plan(m.plan) }

// Record keeps the ranges and scales of all quantizers from now on, in every step or,
// with every above 1, in every so many steps, for the plots of package report/page. Memory is
// bounded: with 512 points the interval doubles and every second one goes. What was
// recorded before stays. The history is part of [Model.WriteState].
func (m *Model) Record(every int) {
	if m.history == nil {
		m.history = &measure.History{}
	}
	m.history.Every = max(every, 1)
}

// Sensitivity measures each layer by itself: quantized alone, and alone left float.
// eval is called with predictors, three times per layer with weights, twice per other,
// and twice more. It returns a score, the larger the better (an accuracy, say), and
// must predict the same batches each time; a few hundred examples do. Ranges must be
// known: calibrate or train first. Phases, ranges and everything else are as before
// when it returns, on an error too. It stops when ctx is done.
func (m *Model) Sensitivity(ctx context.Context, eval func(report.Forward) (float64, error)) (report.Sensitivity, error) {
	if eval == nil {
		return report.Sensitivity{}, errors.New("qat: sensitivity: eval is nil: give a function that scores a report.Forward")
	}
	s, err := measure.Sensitivity(ctx, m.plan, eval)
	if err != nil {
		return report.Sensitivity{}, fmt.Errorf("qat: sensitivity: %w", err)
	}
	m.sensitivity = &s
	return s, nil
}

// Mixed says which layers to raise to 8 bits, so that the parameters take at most
// budget bytes and as little noise as possible reaches the outputs. s is what
// Sensitivity measured on this Quantizer, whose config has the low bits. The noise of
// layers about adds up, and that of 8 bits is a small part, known from the step size;
// so layers are raised greedily in the order of gain per byte, those that do not fit
// are passed over. A budget below the size as configured is an error that names it.
func (m *Model) Mixed(s report.Sensitivity, budget int) (report.Mixed, error) {
	x, err := measure.Mixed(m.plan, s, budget)
	if err != nil {
		return report.Mixed{}, fmt.Errorf("qat: mixed precision: %w", err)
	}
	return x, nil
}
