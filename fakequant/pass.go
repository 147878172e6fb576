package fakequant

// What does a tensor that passes a site do to its quantizer?

import "slices"

// Pass names one of a site's passes.
type Pass uint8

// The passes, each named after the method that it is.
const (
	PassForward   Pass = iota // [Site.Forward]
	PassEval                  // [Site.Eval]
	PassCalibrate             // [Site.Calibrate]
	PassQuantize              // [Site.Quantize]
)

// does says what a pass does in the current phase.
func (s *Site) does(pass Pass) (observe, quantize bool) {
	p := s.q.Phase()
	switch pass {
	case PassEval:
		return false, p.Quantizes()
	case PassCalibrate:
		return p != Frozen && !s.q.learning(), false
	case PassQuantize:
		return false, true
	}
	return p.Observes() && !s.q.learning(), p.Quantizes()
}

// RangeObserver is an [Observer] that needs no more of a tensor than the range of
// each group.
type RangeObserver interface {
	Observer
	// ObserveRange is Observe of a tensor whose groups have these smallest and largest
	// values. lo[i] <= hi[i] are finite; there is one pair per group.
	ObserveRange(lo, hi []float32) error
}

// layout applies the quantizer's spec to a shape, which is mostly the last one's.
func (s *Site) layout(shape []int) (Layout, error) {
	if s.last.n > 0 && slices.Equal(s.last.shape, shape) {
		return s.last, nil
	}
	l, err := s.q.spec.Layout(shape)
	if err == nil {
		s.last = l
	}
	return l, err
}

// observe shows x to the site's observer and renews the quantizer's parameters.
func (s *Site) observe(x []float32, l Layout) error {
	q := s.q
	if q.proto == nil {
		return nil // fixed parameters
	}
	if _, ok := q.proto.(RangeObserver); ok {
		if err := s.own.measure(x, l); err != nil {
			return q.wrap(err)
		}
		return s.take(l.Groups(), func(o Observer) error { return o.(RangeObserver).ObserveRange(s.own.lo, s.own.hi) })
	}
	return s.take(l.Groups(), func(o Observer) error { return o.Observe(x, l) })
}

// take shows a tensor of some groups to the site's observer and renews the
// quantizer's parameters.
func (s *Site) take(groups int, show func(Observer) error) error {
	q := s.q
	q.mu.Lock()
	defer q.mu.Unlock()
	if err := q.sameGroups(s, groups); err != nil {
		return q.wrap(err)
	}
	if err := show(s.obs); err != nil {
		return q.wrap(err)
	}
	lo, hi, _ := q.union()
	p, err := ParamsFromRange(q.spec, lo, hi, q.nonNegative)
	if err != nil {
		return q.wrap(err)
	}
	q.params.Store(&p)
	return nil
}

// paramsOf is [Quantizer.ParamsOf] of a memoryless quantizer.
func (s *Site) paramsOf(x []float32, l Layout) (Params, error) {
	obs, ok := s.q.proto.Fresh().(RangeObserver)
	if !ok {
		return s.q.ParamsOf(x, l)
	}
	if err := s.own.measure(x, l); err != nil {
		return Params{}, s.q.wrap(err)
	}
	if err := obs.ObserveRange(s.own.lo, s.own.hi); err != nil {
		return Params{}, s.q.wrap(err)
	}
	lo, hi, _ := obs.Range()
	p, err := ParamsFromRange(s.q.spec, lo, hi, s.q.nonNegative)
	if err != nil {
		return Params{}, s.q.wrap(err)
	}
	return p, nil
}
