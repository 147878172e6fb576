package train

import (
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/goqat/goqat/internal/kern"
)

// State returns a copy of the optimizer's memory.
func (s *slots) State() State {
	st := State{Kind: s.kind, LearnRate: *s.rate}
	for _, name := range slices.Sorted(maps.Keys(s.byName)) {
		sl := s.byName[name]
		p := ParamState{Name: name, Step: sl.step}
		for _, m := range sl.moments {
			p.Moments = append(p.Moments, slices.Clone(m))
		}
		st.Params = append(st.Params, p)
	}
	return st
}

// Restore replaces the optimizer's memory and learning rate by a copy of st. It fails,
// wrapping ErrState, and changes nothing if st is of another kind of optimizer or
// damaged. Whether the moments fit the parameters is seen at the next Step.
func (s *slots) Restore(st State) error {
	if st.Kind != s.kind {
		return fmt.Errorf("train: %w: state of %q, optimizer is %q", ErrState, st.Kind, s.kind)
	}
	if !(st.LearnRate >= 0) || math.IsInf(st.LearnRate, 0) {
		return fmt.Errorf("train: %w: learning rate %v, want a finite number of at least 0", ErrState, st.LearnRate)
	}
	byName := make(map[string]*slot, len(st.Params))
	for _, p := range st.Params {
		if byName[p.Name] != nil {
			return fmt.Errorf("train: %w: parameter %q is there twice", ErrState, p.Name)
		}
		if p.Step < 0 || len(p.Moments) != s.moments {
			return fmt.Errorf("train: %w: parameter %q has %d moments and step %d, want %d and at least 0",
				ErrState, p.Name, len(p.Moments), p.Step, s.moments)
		}
		sl := &slot{step: p.Step}
		for k, m := range p.Moments {
			if i := kern.NotFinite(m); i >= 0 {
				return fmt.Errorf("train: %w: parameter %q: moment element %d is %v", ErrState, p.Name, i, m[i])
			}
			if len(m) != len(p.Moments[0]) {
				return fmt.Errorf("train: %w: parameter %q: moments of %d and %d elements", ErrState, p.Name, len(p.Moments[0]), len(m))
			}
			if k == s.squares {
				for i, v := range m {
					if v < 0 {
						return fmt.Errorf("train: %w: parameter %q: second moment element %d is %v, want at least 0", ErrState, p.Name, i, v)
					}
				}
			}
			sl.moments = append(sl.moments, slices.Clone(m))
		}
		byName[p.Name] = sl
	}
	s.byName = byName
	if st.LearnRate > 0 {
		*s.rate = st.LearnRate
	}
	return nil
}
