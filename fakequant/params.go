package fakequant

import (
	"errors"
	"fmt"
	"math"

	"github.com/goqat/goqat/internal/kern"
)

// MinScale is the smallest scale, the smallest positive float32. Ranges of any size
// keep their precision down to it: a floor such as PyTorch's 2^-23 would turn all of a
// layer with weights of 1e-8 into zeros.
const MinScale = float32(math.SmallestNonzeroFloat32)

// ZeroScale is the scale of a range that holds 0 alone, 2^-23. Any would do, since all
// codes are the zero point; this one is what PyTorch's observers give.
const ZeroScale = float32(0x1p-23)

// Params are the numbers that turn values into codes: one scale and zero point
// per group of a [Layout], in the layout's group order.
type Params struct {
	// Scale holds positive finite step sizes, at least MinScale when computed here.
	Scale []float32 `json:"scale"`
	// ZeroPoint holds the codes of the real number 0, within the spec's range.
	ZeroPoint []int32 `json:"zero_point"`
}

// ErrParams is wrapped by errors about scales or zero points that do not fit
// their spec or tensor.
var ErrParams = errors.New("invalid quantization parameters")

// Clone returns a copy that shares no memory with p.
func (p Params) Clone() Params {
	return Params{Scale: append([]float32(nil), p.Scale...), ZeroPoint: append([]int32(nil), p.ZeroPoint...)}
}

// Grid returns the integer grid of one group.
func (p Params) grid(s Spec, group int) kern.Grid {
	qmin, qmax := s.QRange()
	return kern.Grid{Scale: p.Scale[group], ZeroPoint: p.ZeroPoint[group], Qmin: qmin, Qmax: qmax}
}

// Check reports, wrapped in ErrParams, whether p has exactly groups entries,
// all scales positive and finite, and all zero points within the spec's range.
// An invalid spec is an error too, wrapped in ErrSpec.
func (p Params) Check(s Spec, groups int) error {
	if err := s.Validate(); err != nil {
		return err
	}
	if len(p.Scale) != groups || len(p.ZeroPoint) != groups {
		return fmt.Errorf("%w: %d scales and %d zero points, want %d of each", ErrParams, len(p.Scale), len(p.ZeroPoint), groups)
	}
	qmin, qmax := s.QRange()
	for i, sc := range p.Scale {
		if !(sc > 0) || math.IsInf(float64(sc), 0) {
			return fmt.Errorf("%w: scale %v of group %d: want a positive finite number", ErrParams, sc, i)
		}
		if z := p.ZeroPoint[i]; z < qmin || z > qmax {
			return fmt.Errorf("%w: zero point %d of group %d is outside %d..%d", ErrParams, z, i, qmin, qmax)
		}
	}
	return nil
}

// ParamsFromRange computes scale and zero point of each group from the smallest
// and largest values lo[i], hi[i], both finite. The range is extended to include 0.
//
//	symmetric: scale = max(|lo|, |hi|) / ((qmax-qmin)/2); zero point 0 for signed
//	           codes, (qmin+qmax)/2 rounded down for unsigned ones
//	affine:    scale = (hi-lo) / (qmax-qmin); zero point = clamp(qmin - rne(lo/scale))
//
// An unsigned symmetric group that holds no negative value (what follows a ReLU)
// uses zero point 0 and scale hi / (qmax-qmin) when nonNegative is set, which
// gains one bit. The scale is at least Spec.MinScale and [MinScale], a binary16 with
// Spec.HalfScale, [ZeroScale] for the range (0, 0), and no larger than keeps every
// code's value finite. The formulas are those of
// PyTorch's UniformQuantizationObserverBase, torch/ao/quantization/observer.py.
func ParamsFromRange(s Spec, lo, hi []float32, nonNegative bool) (Params, error) {
	if err := s.Validate(); err != nil {
		return Params{}, err
	}
	if len(lo) != len(hi) || len(lo) == 0 {
		return Params{}, fmt.Errorf("%w: %d minima and %d maxima", ErrParams, len(lo), len(hi))
	}
	p, r := newParams(len(lo)), newFitter(s, nonNegative)
	for i := range lo {
		if lo[i] > hi[i] || !finite(lo[i]) || !finite(hi[i]) {
			return Params{}, fmt.Errorf("%w: range (%v, %v) of group %d: want finite bounds in order", ErrParams, lo[i], hi[i], i)
		}
		p.Scale[i], p.ZeroPoint[i] = r.params(lo[i], hi[i])
	}
	return p, nil
}

func newParams(groups int) Params {
	return Params{Scale: make([]float32, groups), ZeroPoint: make([]int32, groups)}
}

// fitter fits scales and zero points to ranges: what all groups of a format have in
// common.
type fitter struct {
	qmin, qmax  int32
	steps       float32 // from one end of the grid to the other
	affine      bool
	nonNegative bool  // a group without negative values starts at qmin
	zero        int32 // the zero point of the other symmetric groups
	floor       float32
	half        bool
}

func newFitter(s Spec, nonNegative bool) fitter {
	qmin, qmax := s.QRange()
	r := fitter{qmin: qmin, qmax: qmax, steps: float32(qmax - qmin), affine: s.Scheme == Affine, nonNegative: s.Unsigned && nonNegative,
		floor: max(s.MinScale, MinScale), half: s.HalfScale}
	if qmin >= 0 {
		r.zero = (qmin + qmax) / 2
	}
	return r
}

// grid is the grid of one group.
func (r *fitter) grid(p Params, group int) kern.Grid {
	return kern.Grid{Scale: p.Scale[group], ZeroPoint: p.ZeroPoint[group], Qmin: r.qmin, Qmax: r.qmax}
}

// bytes says that centred codes fit a byte, whatever the range.
func (r *fitter) bytes() bool {
	if r.affine || r.nonNegative { // the zero point may be any code, or qmin
		return r.qmax-r.qmin <= math.MaxInt8
	}
	return r.qmin-r.zero >= math.MinInt8 && r.qmax-r.zero <= math.MaxInt8
}

// params returns the parameters of a group from its range.
func (r *fitter) params(lo, hi float32) (scale float32, zeroPoint int32) {
	scale, zeroPoint = r.wish(min(lo, 0), max(hi, 0))
	return r.capScale(scale, zeroPoint), zeroPoint
}

// wish is params of a range that holds 0, without a limit to the scale.
func (r *fitter) wish(lo, hi float32) (scale float32, zeroPoint int32) {
	if lo == 0 && hi == 0 {
		return r.ofZeros(), r.zeroRange()
	}
	if r.affine || r.nonNegative && lo >= 0 {
		scale = r.fit(span(lo, hi, r.steps))
		if !r.affine {
			return scale, r.qmin
		}
		// The code of -lo on a grid that starts at qmin is the zero point, clamped.
		g := kern.Grid{Scale: scale, ZeroPoint: r.qmin, Qmin: r.qmin, Qmax: r.qmax}
		return scale, kern.QuantizeOne(-lo, g)
	}
	return r.fit(max(-lo, hi) / (r.steps / 2)), r.zero
}

// ofZeros is the scale of a range that holds 0 alone.
func (r *fitter) ofZeros() float32 { return r.fit(ZeroScale) }

// fit returns the scale that may be in use where s is wanted.
func (r *fitter) fit(s float32) float32 {
	s = max(s, r.floor)
	if !r.half {
		return s
	}
	if h := kern.RoundHalf(s); h >= r.floor || h == kern.LargestHalf {
		return h
	}
	return kern.OfHalf(kern.Half(s) + 1) // s is next to the floor: above it
}

// zeroRange is the zero point of a range that holds 0 alone.
func (r *fitter) zeroRange() int32 {
	if r.affine || r.nonNegative {
		return r.qmin
	}
	return r.zero
}

// capScale lowers a scale whose outermost code would dequantize to infinity: the
// grid of a range near the largest float32 may reach half a step beyond it.
func (r *fitter) capScale(scale float32, zeroPoint int32) float32 {
	reach := float32(max(r.qmax-zeroPoint, zeroPoint-r.qmin))
	if finite(reach * scale) {
		return scale
	}
	scale = math.MaxFloat32 / reach
	for !finite(reach * scale) { // the division rounded up
		scale = math.Nextafter32(scale, 0)
	}
	return scale
}

// span is (hi-lo)/steps, spelled so that a difference beyond float32 does not
// become infinite.
func span(lo, hi, steps float32) float32 {
	if d := hi - lo; finite(d) {
		return d / steps
	}
	return hi/steps - lo/steps
}
