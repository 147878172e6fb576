package fakequant

import (
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"sync"
	"testing"
)

// A restored quantizer goes on bit for bit, through JSON.
func TestStateRestore(t *testing.T) {
	s := Spec{Granularity: PerChannel, Bits: 5}
	shape, x := []int{2, 3}, []float32{0.1, -0.7, 1.0 / 3, 3e-39, 17.3, -1e-3}
	q := newQuantizer(t, s, &recorder{})
	a, b := q.NewSite(), q.NewSite()
	q.SetPhase(ObservingAndQuantizing)
	y, z := make([]float32, 6), make([]float32, 6)
	for _, site := range []*Site{a, b} {
		if err := site.Forward(y, x, shape); err != nil {
			t.Fatal(err)
		}
	}
	text, err := json.Marshal(state(t, q))
	if err != nil {
		t.Fatal(err)
	}
	var st State
	if err := json.Unmarshal(text, &st); err != nil {
		t.Fatal(err)
	}
	back := newQuantizer(t, s, &recorder{})
	c := back.NewSite()
	back.NewSite()
	if err := back.Restore(st); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(state(t, q), state(t, back)) || back.Phase() != ObservingAndQuantizing {
		t.Errorf("%+v, want %+v", state(t, back), state(t, q))
	}
	for i := range x {
		x[i] *= 1.1
	}
	if err := errors.Join(a.Forward(y, x, shape), c.Forward(z, x, shape)); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(y, z) || !reflect.DeepEqual(state(t, q), state(t, back)) {
		t.Errorf("goes on with %v, want %v", z, y)
	}
}

func TestRestoreRefuses(t *testing.T) {
	q := newQuantizer(t, Spec{Granularity: PerChannel}, &recorder{})
	site := q.NewSite()
	q.NewSite()
	q.SetPhase(Observing)
	if err := site.Forward([]float32{0, 0}, []float32{1, 2}, []int{2}); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name   string
		change func(*State)
	}{
		{"name", func(s *State) { s.Name = "other" }},
		{"phase", func(s *State) { s.Phase = 99 }},
		{"parameters", func(s *State) { s.Params = &Params{[]float32{-1}, []int32{0}} }},
		{"no parameters", func(s *State) { s.Params = &Params{} }},
		{"an observer short", func(s *State) { s.Observers = s.Observers[:1] }},
		{"an observer more", func(s *State) { s.Observers = append(s.Observers, s.Observers[0]) }},
		{"truncated observer", func(s *State) { s.Observers[1] = s.Observers[1][:5] }},
		{"null observer", func(s *State) { s.Observers[1] = json.RawMessage("null") }},
		{"nil observer", func(s *State) { s.Observers[1] = nil }},
		{"observers that disagree", func(s *State) { s.Observers[1] = json.RawMessage(`{"Lo":[0],"Hi":[1]}`) }},
	}
	before := state(t, q)
	for _, tt := range tests {
		st := state(t, q)
		tt.change(&st)
		if err := q.Restore(st); err == nil {
			t.Errorf("%s: restored", tt.name)
		}
		if !reflect.DeepEqual(before, state(t, q)) {
			t.Fatalf("%s: the state moved", tt.name)
		}
	}
	if err := q.Restore(before); err != nil {
		t.Error(err)
	}
}

// Readers may run beside sites that train; the race detector watches.
func TestConcurrent(t *testing.T) {
	q := newQuantizer(t, Spec{}, &recorder{})
	q.SetPhase(ObservingAndQuantizing)
	var wg sync.WaitGroup
	for i := range 4 {
		site := q.NewSite()
		wg.Go(func() {
			x, y := []float32{float32(i), -100}, make([]float32, 2)
			for range 50 {
				if err := site.Forward(y, x, []int{2}); err != nil {
					t.Error(err)
				}
			}
		})
		wg.Go(func() {
			for range 50 {
				if p, err := q.Params(); err == nil && !(p.Scale[0] > 0) {
					t.Errorf("parameters %v", p)
				}
				if lo, hi, ok := q.Range(); ok && !(lo[0] <= hi[0]) {
					t.Errorf("range %v, %v", lo, hi)
				}
				if _, err := q.State(); err != nil {
					t.Error(err)
				}
				_, _, _ = q.Phase(), q.Memoryless(), q.Name()
			}
		})
	}
	wg.Wait()
	if lo, hi, _ := q.Range(); lo[0] != -100 || hi[0] != 3 {
		t.Errorf("union (%v, %v)", lo, hi)
	}
}
