package fakequant

// What of a quantizer stands in a checkpoint?

import (
	"encoding/json"
	"fmt"
	"slices"
)

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
		st.Learned = &LearnedState{LogScale: slices.Clone(q.learn.log), ZeroPoint: slices.Clone(q.learn.zero), Start: slices.Clone(q.learn.start)}
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
