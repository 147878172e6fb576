package qat

import (
	"fmt"

	"github.com/goqat/goqat/fakequant/fqop"
)

// Predict runs the network in evaluation form on a batch of any size, quantized
// where the schedule's phase quantizes, and returns the outputs as fresh slices.
// Inputs are row-major float32 in the order in which the graph's inputs are first
// used; [Model.Inputs] names them. It changes no range and no statistic.
func (m *Model) Predict(inputs ...[]float32) ([][]float32, error) {
	outs, err := m.plan.Predict(fqop.Eval, inputs)
	if err != nil {
		return nil, fmt.Errorf("qat: predict: %w", err)
	}
	return outs, nil
}

// Calibrate shows a batch to the observers, whatever the phase: the network runs
// in evaluation form, in float. It is all that post-training quantization needs
// before Freeze. On an error (a NaN, say) all ranges are as they were.
func (m *Model) Calibrate(inputs ...[]float32) error {
	if err := m.plan.Calibrate(inputs); err != nil {
		return fmt.Errorf("qat: calibrate: %w", err)
	}
	return nil
}
