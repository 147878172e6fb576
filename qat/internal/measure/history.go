package measure

// This file says how ranges went over the training.

import (
	"fmt"
	"math"
	"slices"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/qat/internal/plan"
	"github.com/goqat/goqat/qat/report"
)

// MaxPoints bounds a recorded history: beyond it every second point goes and the
// interval doubles, so that a long training keeps 256 to 512 points in all.
const MaxPoints = 512

// History is the state of the recorder.
type History struct {
	Every  int       `json:"every"`
	Steps  []int     `json:"steps"`
	Points [][]Point `json:"points"` // by quantizer, then by step
}

// Point is Min, Max, Low, High and Scale of [Range].
type Point [5]report.Number

// Record adds a point if it is time.
func (h *History) Record(p *plan.Plan, steps int) {
	if h == nil || steps%h.Every != 0 {
		return
	}
	all := p.Quantizers()
	if h.Points == nil {
		h.Points = make([][]Point, len(all))
	}
	if len(h.Steps) >= MaxPoints {
		h.thin()
		if steps%h.Every != 0 {
			return
		}
	}
	h.Steps = append(h.Steps, steps)
	for i, z := range all {
		h.Points[i] = append(h.Points[i], pointOf(z))
	}
}

// thin drops every second point and doubles the interval. It keeps the steps that the
// longer interval would have recorded, if the interval was the same all the time.
func (h *History) thin() {
	h.Every *= 2
	drop := 0
	if h.Steps[0]%h.Every == 0 {
		drop = 1
	}
	h.Steps = everySecond(h.Steps, 1-drop)
	for i, p := range h.Points {
		h.Points[i] = everySecond(p, 1-drop)
	}
}

// everySecond returns the elements at first, first+2 and so on, in place.
func everySecond[T any](x []T, first int) []T {
	n := 0
	for i := first; i < len(x); i += 2 {
		x[n] = x[i]
		n++
	}
	return x[:n]
}

// pointOf reads a quantizer.
func pointOf(z *fakequant.Quantizer) Point {
	pt := Point{nan, nan, nan, nan, nan}
	params, ok := z.Used()
	if !ok { // off in the last pass, or its sites differ
		var err error
		if params, err = z.Params(); err != nil {
			return pt
		}
	}
	qmin, qmax := z.Spec().QRange()
	low, high, sum := math.Inf(1), math.Inf(-1), 0.0
	for g, s := range params.Scale {
		zero := params.ZeroPoint[g]
		low = min(low, float64(qmin-zero)*float64(s))
		high = max(high, float64(qmax-zero)*float64(s))
		sum += float64(s)
	}
	pt = Point{report.Number(low), report.Number(high), report.Number(low), report.Number(high), report.Number(sum / float64(len(params.Scale)))}
	if lo, hi, ok := z.Range(); ok && !z.Memoryless() {
		pt[0], pt[1] = report.Number(slices.Min(lo)), report.Number(slices.Max(hi))
	}
	return pt
}

// Check reports a loaded history that does not fit the network.
func (h *History) Check(p *plan.Plan) error {
	if h == nil {
		return nil
	}
	if h.Every < 1 {
		return fmt.Errorf("the history's interval is %d", h.Every)
	}
	if len(h.Steps) > MaxPoints {
		return fmt.Errorf("the history has %d points, more than %d", len(h.Steps), MaxPoints)
	}
	if h.Points != nil && len(h.Points) != len(p.Quantizers()) || h.Points == nil && len(h.Steps) > 0 {
		return fmt.Errorf("the history has %d quantizers, the network %d", len(h.Points), len(p.Quantizers()))
	}
	for i, s := range h.Steps {
		if s < 1 || i > 0 && s <= h.Steps[i-1] {
			return fmt.Errorf("the history's steps are not in order: %d is number %d", s, i)
		}
	}
	for _, pts := range h.Points {
		if len(pts) != len(h.Steps) {
			return fmt.Errorf("the history has %d points for %d steps", len(pts), len(h.Steps))
		}
	}
	return nil
}

// Ranges is the history as the report shows it; nil without Record.
func (h *History) Ranges(p *plan.Plan) []report.Range {
	if h == nil || len(h.Steps) == 0 {
		return nil
	}
	var rs []report.Range
	activations := len(p.Order)
	for i, z := range p.Quantizers() {
		r := report.Range{Quantizer: z.Name(), Tensor: "weight", Steps: slices.Clone(h.Steps)}
		if i < activations {
			r.Tensor = "activation"
		}
		for _, pt := range h.Points[i] {
			r.Min, r.Max = append(r.Min, pt[0]), append(r.Max, pt[1])
			r.Low, r.High = append(r.Low, pt[2]), append(r.High, pt[3])
			r.Scale = append(r.Scale, pt[4])
		}
		rs = append(rs, r)
	}
	return rs
}
