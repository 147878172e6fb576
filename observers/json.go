package observers

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/goqat/goqat/fakequant"
)

// errState is the text that all errors about saved states begin with. They wrap
// fakequant.ErrData as well.
var errState = fmt.Errorf("%w: observer state", fakequant.ErrData)

// saved is the JSON form. encoding/json writes a float32 with the fewest digits
// that read back to the same float32, so nothing is lost.
type saved struct {
	Kind       string      `json:"kind"`
	Constant   float64     `json:"constant,omitempty"`
	Ratio      float64     `json:"ratio,omitempty"`
	Bins       int         `json:"bins,omitempty"`
	Percentile float64     `json:"percentile,omitempty"`
	Codes      *savedCodes `json:"codes,omitempty"`
	Batches    uint64      `json:"batches"`
	Lo         []float32   `json:"lo"`
	Hi         []float32   `json:"hi"`
	Counts     [][]uint64  `json:"counts,omitempty"`
}

// loaded is saved for reading. Pointers tell a null from a 0.
type loaded struct {
	Kind       string      `json:"kind"`
	Constant   *float64    `json:"constant"`
	Ratio      *float64    `json:"ratio"`
	Bins       *int        `json:"bins"`
	Percentile *float64    `json:"percentile"`
	Codes      *savedCodes `json:"codes"`
	Batches    *uint64     `json:"batches"`
	Lo         []*float32  `json:"lo"`
	Hi         []*float32  `json:"hi"`
	Counts     [][]uint64  `json:"counts"`
}

// MarshalJSON saves the data.
func (o *MinMax) MarshalJSON() ([]byte, error) { return o.save(saved{Kind: KindMinMax}) }

// UnmarshalJSON restores what MarshalJSON saved. Anything else is an error that
// wraps fakequant.ErrData and leaves the observer as it was.
func (o *MinMax) UnmarshalJSON(b []byte) error {
	_, err := o.load(b, KindMinMax, nil)
	return err
}

// MarshalJSON saves the data.
func (o *Latest) MarshalJSON() ([]byte, error) { return o.save(saved{Kind: KindLatest}) }

// UnmarshalJSON restores what MarshalJSON saved. Anything else is an error that
// wraps fakequant.ErrData and leaves the observer as it was.
func (o *Latest) UnmarshalJSON(b []byte) error {
	_, err := o.load(b, KindLatest, nil)
	return err
}

// MarshalJSON saves Constant and the data.
func (o *MovingAverage) MarshalJSON() ([]byte, error) {
	return o.save(saved{Kind: KindMovingAverage, Constant: o.Constant})
}

// UnmarshalJSON restores what MarshalJSON saved. Anything else is an error that
// wraps fakequant.ErrData and leaves the observer as it was.
func (o *MovingAverage) UnmarshalJSON(b []byte) error {
	c, err := o.load(b, KindMovingAverage, func(l *loaded) **float64 { return &l.Constant })
	if err == nil {
		o.Constant = c
	}
	return err
}

// MarshalJSON saves Ratio and the data.
func (o *EMA) MarshalJSON() ([]byte, error) {
	return o.save(saved{Kind: KindEMA, Ratio: o.Ratio})
}

// UnmarshalJSON restores what MarshalJSON saved. Anything else is an error that
// wraps fakequant.ErrData and leaves the observer as it was.
func (o *EMA) UnmarshalJSON(b []byte) error {
	r, err := o.load(b, KindEMA, func(l *loaded) **float64 { return &l.Ratio })
	if err == nil {
		o.Ratio = r
	}
	return err
}

func (s *state) save(out saved) ([]byte, error) {
	out.Batches, out.Lo, out.Hi = s.batches, s.lo, s.hi
	if out.Lo == nil {
		out.Lo, out.Hi = []float32{}, []float32{}
	}
	return json.Marshal(out)
}

// load reads a state of the given kind. setting picks the one setting of that
// kind, nil if it has none; its value is returned, 0 if the state has none. The
// state is replaced only when everything is in order.
func (s *state) load(b []byte, kind string, setting func(*loaded) **float64) (float64, error) {
	in, err := decode(b)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", errState, err)
	}
	if in.Kind != kind {
		return 0, fmt.Errorf("%w: kind is %q, want %q", errState, in.Kind, kind)
	}
	var value float64
	if setting != nil {
		field := setting(in)
		if *field != nil {
			if value, err = weight("setting", **field, 0); err != nil {
				return 0, fmt.Errorf("%w: %w", errState, err)
			}
		}
		*field = nil
	}
	next, err := in.plain(kind)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", errState, err)
	}
	*s = next
	return value, nil
}

// plain returns the ranges of a state that has nothing else left in it.
func (in *loaded) plain(kind string) (state, error) {
	if in.Constant != nil || in.Ratio != nil || in.Bins != nil || in.Percentile != nil || in.Codes != nil || in.Counts != nil {
		return state{}, fmt.Errorf("a setting that %s does not have", kind)
	}
	return in.state()
}

// decode reads exactly one JSON value without unknown fields.
func decode(b []byte) (*loaded, error) {
	if bytes.Contains(b, []byte("null")) { // it would leave a field or an element as 0
		return nil, errors.New("null: want numbers")
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	var in loaded
	if err := dec.Decode(&in); err != nil {
		return nil, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("data after the end")
	}
	return &in, nil
}

// state checks that sizes agree and bounds are in order. JSON has no NaN and no
// infinities, and numbers beyond float32 do not decode.
func (in *loaded) state() (state, error) {
	if in.Batches == nil || *in.Batches > maxBatches {
		return state{}, fmt.Errorf("batches: want a count of at most %d", uint64(maxBatches))
	}
	if len(in.Lo) != len(in.Hi) || (len(in.Lo) > 0) != (*in.Batches > 0) {
		return state{}, fmt.Errorf("%d minima and %d maxima after %d batches", len(in.Lo), len(in.Hi), *in.Batches)
	}
	s := state{batches: *in.Batches}
	for i := range in.Lo {
		lo, hi := in.Lo[i], in.Hi[i]
		if lo == nil || hi == nil || *lo > *hi {
			return state{}, fmt.Errorf("group %d has no range in order", i)
		}
		s.lo, s.hi = append(s.lo, *lo), append(s.hi, *hi)
	}
	return s, nil
}
