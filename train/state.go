package train

import (
	"fmt"
	"maps"
	"slices"

	"github.com/goqat/goqat/internal/kern"
)

// State returns a copy of the optimizer's memory.
func (s *slots) State() State {
	st := State{Kind: s.kind}
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

// Restore replaces the optimizer's memory by a copy of st. It fails, wrapping
// ErrState, and changes nothing if st is of another kind of optimizer or damaged.
// Whether the moments fit the parameters is seen at the next Step.
func (s *slots) Restore(st State) error {
	if st.Kind != s.kind {
		return fmt.Errorf("train: %w: state of %q, optimizer is %q", ErrState, st.Kind, s.kind)
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
		for _, m := range p.Moments {
			if i := kern.NotFinite(m); i >= 0 {
				return fmt.Errorf("train: %w: parameter %q: moment element %d is %v", ErrState, p.Name, i, m[i])
			}
			sl.moments = append(sl.moments, slices.Clone(m))
		}
		byName[p.Name] = sl
	}
	s.byName = byName
	return nil
}
