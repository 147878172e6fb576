package fakequant

import (
	"fmt"
	"math"
	"slices"

	"github.com/goqat/goqat/internal/kern"
)

// A learned scale is start·exp(w), where w, which a solver moves, begins with 0: its
// natural logarithm, counted from where it started. A step then changes the scale by a
// factor. No step can make it negative, steps of one size mean the same for scales of any
// size, weight decay pulls to the start, and the scale at the start comes back bit for bit.
//
// lowest and highest bound w. One wild step would otherwise take a tensor to where
// rounding leaves nothing of it, or all clipped, and a solver needs long to come back.
//
// Formats have up to 2^8 codes, see [MaxBits]: at the lower end the whole range is as wide as
// one step was. Upwards there is room for 8 bits more, since a start may be far too small, as
// the first data may be, but hardly far too large.
const (
	lowest  = -8 * math.Ln2 // a scale 2^-8 times as large as it started
	highest = 16 * math.Ln2 // and 2^16 times
)

// Learn makes the scales (and the zero points of affine formats) of a quantizer
// with the given number of groups learnable: LSQ and LSQ+ (Esser et al. 2020,
// Bhalgat et al. 2020). The returned slices are the quantizer's own memory, to be
// bound to graph nodes that a solver updates: the natural logarithm of each scale over
// where it started, 0 at first, and zero points in codes. Until the first training pass
// that quantizes, the scale follows the observer, or the mean magnitude of the data with
// InitLSQ; from then on only the solver moves it, whatever the phase observes. A group of
// zeros alone starts with the first pass in which it holds something else.
//
// The scale in use is 2^-8 to 2^16 times as large as it started, and never below
// Spec.MinScale; passes set what a solver has moved beyond that back to it. Zero points
// are rounded only where they are used, so that small updates add up.
//
// zeroPoint is nil for symmetric formats. It is an error, which wraps ErrParams, to call
// Learn twice, or for a number of groups that the format cannot have.
func (q *Quantizer) Learn(groups int, init ScaleInit) (logScale, zeroPoint []float32, err error) {
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
	q.learn = &learned{init: init, log: make([]float32, groups)}
	if q.spec.Scheme == Affine {
		q.learn.zero = make([]float32, groups)
	}
	return q.learn.log, q.learn.zero, nil
}

// Learned reports whether parameters are learned.
func (q *Quantizer) Learned() bool { return q.learn != nil }

// learning reports whether the solver has taken over.
func (q *Quantizer) learning() bool { return q.learn != nil && q.learn.start != nil }

// beginLearning fixes where the learned parameters start, from p.
func (q *Quantizer) beginLearning(p Params) {
	q.learn.start = make([]float32, len(q.learn.log))
	for i := range q.learn.start {
		q.learn.beginGroup(i, p)
	}
}

// beginGroup fixes where the learned parameters of one group start.
func (m *learned) beginGroup(i int, p Params) {
	m.log[i], m.start[i] = 0, p.Scale[i]
	if m.zero != nil {
		m.zero[i] = float32(p.ZeroPoint[i])
	}
}

// waiting reports whether a group has not begun: it has held zeros alone.
func (m *learned) waiting() bool { return slices.Contains(m.start, 0) }

// scale is what the logarithm of a group means.
func (m *learned) scale(i int, zeroPoint int32, r *fitter) float32 {
	if m.start[i] == 0 {
		return r.ofZeros()
	}
	w := min(max(float64(m.log[i]), lowest), highest)
	return r.capScale(r.fit(float32(float64(m.start[i])*kern.ExpOf(w))), zeroPoint)
}

// project sets what a solver has moved too far back to the end. What is not finite stays,
// for learnedParams to refuse.
func (q *Quantizer) project() {
	m := q.learn
	qmin, qmax := q.spec.QRange()
	for i, w := range m.log {
		if finite(w) {
			m.log[i] = min(max(w, lowest), highest)
		}
		if m.zero != nil && finite(m.zero[i]) {
			m.zero[i] = min(max(m.zero[i], float32(qmin)), float32(qmax))
		}
	}
}

// AtFloor returns how many learned scales have fallen as low as they can: a wild step, or
// a tensor that the training wants to round to nothing. 0 without learned ones.
func (q *Quantizer) AtFloor() int {
	n := 0
	if q.learning() {
		for _, w := range q.learn.log {
			if w <= lowest {
				n++
			}
		}
	}
	return n
}

// learnedParams is what the learned memory means now. The result is the one in
// use if nothing has changed since.
func (q *Quantizer) learnedParams() (*Params, error) {
	m := q.learn
	groups := len(m.log)
	p := Params{Scale: make([]float32, groups), ZeroPoint: make([]int32, groups)}
	r := newFitter(q.spec, q.nonNegative)
	unit := kern.Grid{Scale: 1, Qmin: r.qmin, Qmax: r.qmax}
	for i, w := range m.log {
		if !finite(w) || (m.zero != nil && !finite(m.zero[i])) {
			return nil, q.wrap(fmt.Errorf("%w: learned scale or zero point of group %d is not finite: lower its learning rate", ErrParams, i))
		}
		if m.zero != nil {
			p.ZeroPoint[i] = kern.QuantizeOne(m.zero[i], unit)
		} else if old := q.params.Load(); old != nil && i < len(old.ZeroPoint) {
			p.ZeroPoint[i] = old.ZeroPoint[i] // of a symmetric unsigned format
		}
		p.Scale[i] = m.scale(i, p.ZeroPoint[i], &r)
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
	r := newFitter(q.spec, q.nonNegative)
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
			p.Scale[g] = r.fit(float32(2 * mean / math.Sqrt(float64(r.qmax))))
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
	n := len(q.learn.log)
	if len(st.LogScale) != n || len(st.Start) != n || len(st.ZeroPoint) != len(q.learn.zero) {
		return fmt.Errorf("%w: the state has %d learned scales, the quantizer %d", ErrParams, len(st.LogScale), n)
	}
	for i, s := range st.Start {
		if !(s >= 0) || !finite(s) {
			return fmt.Errorf("%w: learned scale %d started at %v", ErrParams, i, s)
		}
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
		copy(q.learn.log, st.LogScale)
		copy(q.learn.zero, st.ZeroPoint)
		q.learn.start = append([]float32(nil), st.Start...)
	}
}

// SetLearned copies logarithms of scales and zero points into the learned memory, unless
// they are that memory, and sets those too far out back; see Learn. It fails, wrapping
// ErrParams, when their numbers do not fit.
func (q *Quantizer) SetLearned(logScale, zeroPoint []float32) error {
	m := q.learn
	if m == nil || len(logScale) != len(m.log) || len(zeroPoint) != len(m.zero) {
		return q.wrap(fmt.Errorf("%w: %d learned scales and %d zero points do not fit", ErrParams, len(logScale), len(zeroPoint)))
	}
	if &logScale[0] != &m.log[0] {
		copy(m.log, logScale)
	}
	if m.zero != nil && &zeroPoint[0] != &m.zero[0] {
		copy(m.zero, zeroPoint)
	}
	q.project()
	return nil
}

// LearnedState is the state of learned parameters, one element per group.
type LearnedState struct {
	LogScale  []float32 `json:"log_scale"`            // ln(scale/start), as the solver left it
	ZeroPoint []float32 `json:"zero_point,omitempty"` // not rounded; nil for symmetric formats
	Start     []float32 `json:"start"`                // the scale when learning began; 0 for a group that has not begun
}
