package fakequant

import (
	"encoding/json"
	"errors"
)

// recorder is an observer for tests: the union of ranges, or the latest one.
// Package observers has the real ones; it imports this package.
type recorder struct {
	Latest bool
	Lo, Hi []float32
}

func (r *recorder) Observe(x []float32, l Layout) error {
	lo, hi := make([]float32, l.Groups()), make([]float32, l.Groups())
	if err := GroupMinMax(lo, hi, x, l); err != nil {
		return err
	}
	if r.Lo != nil && !r.Latest {
		if len(lo) != len(r.Lo) {
			return ErrData
		}
		for i := range lo {
			lo[i], hi[i] = min(lo[i], r.Lo[i]), max(hi[i], r.Hi[i])
		}
	}
	r.Lo, r.Hi = lo, hi
	return nil
}

func (r *recorder) Range() (lo, hi []float32, ok bool) { return r.Lo, r.Hi, r.Lo != nil }
func (r *recorder) Reset()                             { r.Lo, r.Hi = nil, nil }
func (r *recorder) Fresh() Observer                    { return &recorder{Latest: r.Latest} }
func (r *recorder) Memoryless() bool                   { return r.Latest }

type recorderState struct{ Lo, Hi []float32 }

func (r *recorder) MarshalJSON() ([]byte, error) { return json.Marshal(recorderState{r.Lo, r.Hi}) }

func (r *recorder) UnmarshalJSON(b []byte) error {
	var s *recorderState
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	if s == nil || len(s.Lo) != len(s.Hi) {
		return errors.New("not a recorder")
	}
	r.Lo, r.Hi = s.Lo, s.Hi
	return nil
}
