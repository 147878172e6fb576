package fakequant

import (
	"fmt"
	"math"

	"github.com/goqat/goqat/internal/kern"
)

// learnedFloor bounds how far a learned scale may fall below where it started, so
// that one wild step cannot drive a tensor to zero for good.
const learnedFloor = 0x1p-8

// Learn makes the scales (and the zero points of affine formats) of a quantizer
// with the given number of groups learnable: LSQ and LSQ+ (Esser et al. 2020,
// Bhalgat et al. 2020). The returned slices are the quantizer's own memory, to be
// bound to graph nodes that a solver updates. Until the first training pass that
// quantizes, they follow the observer, or the mean magnitude of the data with
// InitLSQ; from then on only the solver moves them, whatever the phase observes.
// The scale in use is never below 2^-8 of where it started nor below MinScale, and
// zero points are rounded only where they are used, so that small updates add up.
func (q *Quantizer) Learn(groups int, init ScaleInit) (scale, zeroPoint []float32, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.learn != nil:
		return nil, nil, q.wrap(fmt.Errorf("%w: it is learned already", ErrParams))
	case groups < 1 || (q.spec.Granularity == PerTensor && groups != 1):
		return nil, nil, q.wrap(fmt.Errorf("%w: %d groups for %v", ErrParams, groups, q.spec))
	case init > InitLSQ:
		return nil, nil, q.wrap(fmt.Errorf("%w: unknown initialisation %d", ErrParams, init))
	}
	q.learn = &learned{init: init, scale: make([]float32, groups)}
	for i := range q.learn.scale {
		q.learn.scale[i] = 1
	}
	if q.spec.Scheme == Affine {
		q.learn.zero = make([]float32, groups)
	}
	return q.learn.scale, q.learn.zero, nil
}

// Learned reports whether parameters are learned.
func (q *Quantizer) Learned() bool { return q.learn != nil }

// learning reports whether the solver has taken over.
func (q *Quantizer) learning() bool { return q.learn != nil && q.learn.start != nil }

// beginLearning fixes where the learned parameters start, from p.
func (q *Quantizer) beginLearning(p Params) {
	q.learn.set(p)
	q.learn.start = append([]float32(nil), q.learn.scale...)
}

// set writes p into the learned memory.
func (m *learned) set(p Params) {
	copy(m.scale, p.Scale)
	for i := range m.zero {
		m.zero[i] = float32(p.ZeroPoint[i])
	}
}

// learnedParams is what the learned memory means now. The result is the one in
// use if nothing has changed since.
func (q *Quantizer) learnedParams() (*Params, error) {
	m := q.learn
	groups := len(m.scale)
	p := Params{Scale: make([]float32, groups), ZeroPoint: make([]int32, groups)}
	qmin, qmax := q.spec.QRange()
	unit := kern.Grid{Scale: 1, Qmin: qmin, Qmax: qmax}
	for i, s := range m.scale {
		if !finite(s) || (m.zero != nil && !finite(m.zero[i])) {
			return nil, q.wrap(fmt.Errorf("%w: learned scale or zero point of group %d is not finite: lower its learning rate", ErrParams, i))
		}
		p.Scale[i] = max(s, m.start[i]*learnedFloor, MinScale)
		if m.zero != nil {
			p.ZeroPoint[i] = kern.QuantizeOne(m.zero[i], unit)
		} else if old := q.params.Load(); old != nil && i < len(old.ZeroPoint) {
			p.ZeroPoint[i] = old.ZeroPoint[i] // of a symmetric unsigned format
		}
	}
	if old := q.params.Load(); old != nil && old.equal(p) {
		return old, nil
	}
	q.params.Store(&p)
	return &p, nil
}

func (p Params) equal(o Params) bool {
	if len(p.Scale) != len(o.Scale) {
		return false
	}
	for i := range p.Scale {
		if p.Scale[i] != o.Scale[i] || p.ZeroPoint[i] != o.ZeroPoint[i] {
			return false
		}
	}
	return true
}

// initial returns where the learned parameters of a tensor start: from p, or from
// the mean magnitude of x.
func (q *Quantizer) initial(p Params, x []float32, l Layout) Params {
	if q.learn.init != InitLSQ {
		return p
	}
	_, qmax := q.spec.QRange()
	sums, counts := make([]float64, l.Groups()), make([]int, l.Groups())
	l.Runs(func(lo, hi, group, step int) {
		for i := lo; i < hi; i++ {
			if g := group + (i-lo)*step; finite(x[i]) {
				sums[g] += math.Abs(float64(x[i]))
				counts[g]++
			}
		}
	})
	p = p.Clone()
	for g := range p.Scale {
		if counts[g] > 0 {
			mean := sums[g] / float64(counts[g])
			p.Scale[g] = max(float32(2*mean/math.Sqrt(float64(qmax))), MinScale)
		}
	}
	return p
}

// checkLearned reports whether a saved state fits the learned memory.
func (q *Quantizer) checkLearned(st *LearnedState) error {
	if st == nil {
		return nil
	}
	if q.learn == nil {
		return fmt.Errorf("%w: the state has learned parameters, the quantizer learns none", ErrParams)
	}
	n := len(q.learn.scale)
	if len(st.Scale) != n || len(st.Start) != n || len(st.ZeroPoint) != len(q.learn.zero) {
		return fmt.Errorf("%w: the state has %d learned scales, the quantizer %d", ErrParams, len(st.Scale), n)
	}
	return nil
}

// restoreLearned writes a checked state into the learned memory, which graph nodes
// share.
func (q *Quantizer) restoreLearned(st *LearnedState) {
	if q.learn == nil {
		return
	}
	q.learn.start = nil
	if st != nil {
		copy(q.learn.scale, st.Scale)
		copy(q.learn.zero, st.ZeroPoint)
		q.learn.start = append([]float32(nil), st.Start...)
	}
}

// SetLearned copies scales and zero points into the learned memory, unless they
// are that memory. It fails, wrapping ErrParams, when their numbers do not fit.
func (q *Quantizer) SetLearned(scale, zeroPoint []float32) error {
	m := q.learn
	if m == nil || len(scale) != len(m.scale) || len(zeroPoint) != len(m.zero) {
		return q.wrap(fmt.Errorf("%w: %d learned scales and %d zero points do not fit", ErrParams, len(scale), len(zeroPoint)))
	}
	if &scale[0] != &m.scale[0] {
		copy(m.scale, scale)
	}
	if m.zero != nil && &zeroPoint[0] != &m.zero[0] {
		copy(m.zero, zeroPoint)
	}
	return nil
}

// LearnedState is the state of learned parameters, one element per group.
type LearnedState struct {
	Scale     []float32 `json:"scale"`                // as the solver left it
	ZeroPoint []float32 `json:"zero_point,omitempty"` // not rounded; nil for symmetric formats
	Start     []float32 `json:"start"`                // the scale when learning began
}
