package qat

import (
	"fmt"

	"github.com/goqat/goqat/qat/frozen"
	"github.com/goqat/goqat/qat/internal/measure"
	"github.com/goqat/goqat/qat/report"
)

// Freeze turns the network, as it is now, into integers: batch normalisation is
// folded, weights become codes, activations get their scales. It changes nothing,
// so training may go on. It fails, naming the layer, when a quantizer has seen no
// data (wrapping [fakequant.ErrNotCalibrated]), when a weight holds NaN, and when
// the network has an op that the frozen network cannot run.
func (m *Model) Freeze() (*frozen.Network, error) {
	fz, err := m.plan.Freeze()
	if err != nil {
		return nil, fmt.Errorf("qat: freeze: %w", err)
	}
	return fz, nil
}

// Verify runs the QAT graph, in evaluation form and quantized, and the frozen
// network on the same batch (any size) and compares every quantized tensor code
// for code, weights included, and every float output bit for bit. Inputs are as
// for [Model.Predict]. It changes nothing. An error means that the comparison
// could not be made; differences are in the result.
func (m *Model) Verify(fz *frozen.Network, inputs ...[]float32) (report.Verification, error) {
	v, err := measure.Verify(m.plan, fz, inputs)
	if err != nil {
		return report.Verification{}, fmt.Errorf("qat: verify: %w", err)
	}
	return v, nil
}
