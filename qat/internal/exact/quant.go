package exact

import (
	"errors"
	"fmt"
	"math"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/internal/kern"
)

// Quant is how codes stand for real numbers: (q - zero_point) * scale.
type Quant struct {
	Spec   fakequant.Spec
	Params fakequant.Params
}

// ErrZeroPoint is wrapped where symmetric signed codes have a zero point other than 0.
var ErrZeroPoint = errors.New("symmetric signed codes have zero point 0; use the affine scheme")

// PerTensor reports whether one scale and zero point hold for the whole tensor.
func (q Quant) PerTensor() bool { return q.Spec.Granularity == fakequant.PerTensor }

// Grid is the integer grid of a tensor quantized per tensor.
func (q Quant) Grid() kern.Grid {
	qmin, qmax := q.Spec.QRange()
	return kern.Grid{Scale: q.Params.Scale[0], ZeroPoint: q.Params.ZeroPoint[0], Qmin: qmin, Qmax: qmax}
}

// Check reports parameters that do not fit the format or a tensor of the given shape, and
// codes whose values are beyond float32.
func (q Quant) Check(shape []int) error {
	l, err := q.Spec.Layout(shape)
	if err != nil {
		return err
	}
	if err := q.Params.Check(q.Spec, l.Groups()); err != nil {
		return err
	}
	// What ships has a number for every code, those that no data had too.
	qmin, qmax := q.Spec.QRange()
	for i, s := range q.Params.Scale {
		far := max(qmax-q.Params.ZeroPoint[i], q.Params.ZeroPoint[i]-qmin)
		if float64(s)*float64(far) > math.MaxFloat32 { // exact in float64
			return fmt.Errorf("%w: scale %v of group %d: code values of %d steps are beyond float32", fakequant.ErrParams, s, i, far)
		}
	}
	if q.Spec.Unsigned || q.Spec.Scheme != fakequant.Symmetric {
		return nil
	}
	// Exporters drop the zero points of symmetric signed tensors.
	for i, z := range q.Params.ZeroPoint {
		if z != 0 {
			return fmt.Errorf("zero point %d of group %d: %w", z, i, ErrZeroPoint)
		}
	}
	return nil
}
