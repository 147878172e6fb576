package fakequant

import (
	"encoding/json"
	"fmt"
	"slices"
)

// Site is one place where tensors pass through a [Quantizer]. It has its own
// observer; the quantizer's parameters cover the ranges of all its sites.
type Site struct {
	q    *Quantizer
	obs  Observer
	used *Params // what the last Forward quantized with; nil if it passed values on
	own  ownRange
	last Layout // of the last tensor
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

// NewSite adds a site.
func (q *Quantizer) NewSite() *Site {
	q.mu.Lock()
	defer q.mu.Unlock()
	s := &Site{q: q}
	if q.proto != nil {
		s.obs = q.proto.Fresh()
	}
	q.sites = append(q.sites, s)
	return s
}

// Quantizer returns the quantizer that the site belongs to.
func (s *Site) Quantizer() *Quantizer { return s.q }

// Forward is the training pass: it observes x if the phase says so, then writes
// the fake-quantized x, or x itself, into dst. Both are row-major with the given
// shape and do not overlap in part; dst may be x. In an observing phase a NaN is
// an error that names the quantizer.
func (s *Site) Forward(dst, x []float32, shape []int) error {
	observe, quantize := s.does(PassForward)
	if err := s.run(dst, x, shape, observe, quantize); err != nil {
		return err
	}
	if s.q.learn != nil && quantize && s.q.Phase() != Frozen && !s.q.learning() {
		return s.begin(dst, x, shape)
	}
	return nil
}

// begin starts the learning of a quantizer with its first quantizing training pass,
// which run has just made with the observer's parameters.
func (s *Site) begin(dst, x []float32, shape []int) error {
	l, err := s.layout(shape)
	if err != nil {
		return s.q.wrap(err)
	}
	s.q.beginLearning(s.q.initial(*s.used, x, l))
	return s.run(dst, x, shape, false, true)
}

// Eval is Forward without the observer: it changes no range.
func (s *Site) Eval(dst, x []float32, shape []int) error {
	observe, quantize := s.does(PassEval)
	return s.run(dst, x, shape, observe, quantize)
}

// Calibrate observes x and copies it to dst, whatever the phase; a Frozen
// quantizer only copies.
func (s *Site) Calibrate(dst, x []float32, shape []int) error {
	observe, quantize := s.does(PassCalibrate)
	return s.run(dst, x, shape, observe, quantize)
}

// Quantize writes the fake-quantized x into dst with the current parameters,
// whatever the phase, and changes no range.
func (s *Site) Quantize(dst, x []float32, shape []int) error {
	observe, quantize := s.does(PassQuantize)
	return s.run(dst, x, shape, observe, quantize)
}

func (s *Site) run(dst, x []float32, shape []int, observe, quantize bool) error {
	l, err := s.layout(shape)
	if err != nil {
		return s.q.wrap(err)
	}
	if len(x) != l.Len() || len(dst) != l.Len() {
		return s.q.wrap(fmt.Errorf("%w: %d elements into %d, want %d of shape %v", ErrData, len(x), len(dst), l.Len(), shape))
	}
	s.own.forget()
	if observe && quantize && s.obs != nil {
		p, ok, err := s.single(dst, x, l)
		if err != nil {
			return err
		}
		if ok {
			s.used = p
			return nil
		}
	}
	if observe {
		if err := s.observe(x, l); err != nil {
			return err
		}
	}
	if !quantize {
		s.used = nil
		copy(dst, x)
		return nil
	}
	p, err := s.q.current()
	if err != nil {
		return err
	}
	if s.q.Memoryless() && s.q.Phase() != Frozen && !observe {
		own, err := s.paramsOf(x, l)
		if err != nil {
			return err
		}
		p = &own
	}
	if p == nil {
		_, err := s.q.Params()
		return err
	}
	if err := FakeQuantize(dst, x, l, s.q.spec, *p); err != nil {
		return s.q.wrap(err)
	}
	s.used = p
	s.own.grade(s.q.spec, *p)
	return nil
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

// Used returns the parameters that the last Forward or Eval quantized with; ok
// is false if it passed values on. The caller must not change them.
func (s *Site) Used() (p Params, ok bool) {
	if s.used == nil {
		return Params{}, false
	}
	return *s.used, true
}

// Used returns the parameters that every site of the quantizer used in its last
// run; ok is false if any passed values on or used others, so that the sites'
// tensors do not lie on one grid. The caller must not change them.
func (q *Quantizer) Used() (p Params, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	var first *Params
	for _, s := range q.sites {
		if s.used == nil || (first != nil && s.used != first) {
			return Params{}, false
		}
		first = s.used
	}
	if first == nil {
		return Params{}, false
	}
	return *first, true
}

// Backward writes the straight-through gradient of the last Forward into dx:
// the mask of [STE] with the parameters used there, or dy itself if it passed
// values on. x is the input of that Forward; dx may be dy.
func (s *Site) Backward(dx, x, dy []float32, shape []int) error {
	if len(dx) != len(x) || len(dy) != len(x) {
		return s.q.wrap(fmt.Errorf("%w: %d gradients into %d for %d elements", ErrData, len(dy), len(dx), len(x)))
	}
	if s.used == nil || s.own.inside {
		if len(dx) > 0 && &dx[0] != &dy[0] {
			copy(dx, dy)
		}
		return nil
	}
	l, err := s.layout(shape)
	if err != nil {
		return s.q.wrap(err)
	}
	ste := STE
	if s.own.graded && !l.columns() {
		ste = s.own.pass
	}
	if err := ste(dx, x, dy, l, s.q.spec, *s.used); err != nil {
		return s.q.wrap(err)
	}
	return nil
}

// State is everything a quantizer needs to go on where it was, as saved in a
// checkpoint.
type State struct {
	Name   string  `json:"name"`             // the quantizer's
	Phase  Phase   `json:"phase"`            // as it was
	Params *Params `json:"params,omitempty"` // nil before any data
	// Observers holds one saved state for each observed site, in the order of NewSite.
	Observers []json.RawMessage `json:"observers,omitempty"`
	// Learned holds the learned scales and zero points as the solver left them, and
	// where they started; nil before learning began.
	Learned *LearnedState `json:"learned,omitempty"`
}

// LearnedState is the state of learned parameters, one element per group.
type LearnedState struct {
	Scale     []float32 `json:"scale"`                // as the solver left it
	ZeroPoint []float32 `json:"zero_point,omitempty"` // not rounded; nil for symmetric formats
	Start     []float32 `json:"start"`                // the scale when learning began
}

// State returns a copy of the quantizer's state.
func (q *Quantizer) State() (State, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	st := State{Name: q.name, Phase: q.Phase()}
	p, err := q.current()
	if err != nil { // learned scales that diverged: a state to go back from is still wanted
		p = q.params.Load()
	}
	if p != nil {
		c := p.Clone()
		st.Params = &c
	}
	if q.learning() {
		st.Learned = &LearnedState{Scale: slices.Clone(q.learn.scale), ZeroPoint: slices.Clone(q.learn.zero), Start: slices.Clone(q.learn.start)}
	}
	for _, s := range q.sites {
		if s.obs == nil {
			continue
		}
		raw, err := json.Marshal(s.obs)
		if err != nil {
			return State{}, q.wrap(err)
		}
		st.Observers = append(st.Observers, raw)
	}
	return st, nil
}

// Restore puts a saved state back. The quantizer must have the same name and as
// many observed sites; on an error it is left as it was.
func (q *Quantizer) Restore(st State) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if st.Name != q.name {
		return q.wrap(fmt.Errorf("state belongs to quantizer %q", st.Name))
	}
	if st.Phase > Frozen {
		return q.wrap(fmt.Errorf("state has unknown phase %v", st.Phase))
	}
	if st.Params != nil {
		if err := q.checkParams(*st.Params); err != nil {
			return q.wrap(err)
		}
	}
	if err := q.checkLearned(st.Learned); err != nil {
		return q.wrap(err)
	}
	var fresh []Observer
	groups := 0 // of the first observer that has seen data
	for _, s := range q.sites {
		if s.obs == nil {
			continue
		}
		if len(fresh) == len(st.Observers) {
			return q.wrap(fmt.Errorf("state has %d observers: the network has more", len(st.Observers)))
		}
		o := q.proto.Fresh()
		if err := json.Unmarshal(st.Observers[len(fresh)], o); err != nil {
			return q.wrap(fmt.Errorf("observer state: %w", err))
		}
		if lo, _, ok := o.Range(); ok {
			if groups > 0 && len(lo) != groups {
				return q.wrap(fmt.Errorf("%w: observer states with %d and %d groups", ErrData, groups, len(lo)))
			}
			groups = len(lo)
		}
		fresh = append(fresh, o)
	}
	if len(fresh) != len(st.Observers) {
		return q.wrap(fmt.Errorf("state has %d observers, the network %d", len(st.Observers), len(fresh)))
	}
	for _, s := range q.sites {
		if s.obs != nil {
			s.obs, fresh = fresh[0], fresh[1:]
		}
	}
	q.restoreLearned(st.Learned)
	q.params.Store(nil)
	if st.Params != nil {
		c := st.Params.Clone()
		q.params.Store(&c)
	}
	q.SetPhase(st.Phase)
	return nil
}
