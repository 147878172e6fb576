package fakequant

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
)

// Phase says what a quantizer does when data passes through it. Phases can be
// switched at any time between runs; a compiled machine need not be rebuilt.
type Phase uint32

const (
	// Off passes values on unchanged and touches no state. The initial phase.
	Off Phase = iota
	// Observing records ranges and passes values on unchanged.
	Observing
	// Quantizing fake-quantizes with the parameters as they are.
	Quantizing
	// ObservingAndQuantizing records the range first, then fake-quantizes with
	// the updated parameters.
	ObservingAndQuantizing
	// Frozen fake-quantizes with parameters that nothing changes any more, not
	// even a memoryless observer.
	Frozen
)

func (p Phase) String() string {
	names := [...]string{"off", "observing", "quantizing", "observing+quantizing", "frozen"}
	if int(p) < len(names) {
		return names[p]
	}
	return fmt.Sprintf("Phase(%d)", uint32(p))
}

// Observes reports whether the phase records ranges.
func (p Phase) Observes() bool { return p == Observing || p == ObservingAndQuantizing }

// Quantizes reports whether the phase fake-quantizes.
func (p Phase) Quantizes() bool { return p >= Quantizing }

// Observer estimates the range of each group of a tensor from the data it is
// shown. Package observers has the implementations. Methods are called by one
// goroutine at a time.
type Observer interface {
	// Observe takes in one batch: x row-major with the layout's shape. It fails,
	// wrapping ErrData, on NaN and on groups without a finite value, and leaves
	// its state as it was.
	Observe(x []float32, l Layout) error
	// Range returns the current range of each group, in the layout's order; ok
	// is false before any data. The slices belong to the observer.
	Range() (lo, hi []float32, ok bool)
	// Reset forgets all data.
	Reset()
	// Fresh returns a new observer with the same settings and no data.
	Fresh() Observer
	// Memoryless reports whether the range is that of the latest tensor alone.
	// Such an observer belongs on weights: the range is read again whenever the
	// weights are quantized, so it never lags behind them.
	Memoryless() bool
	// MarshalJSON and UnmarshalJSON save and restore settings and data exactly.
	json.Marshaler
	json.Unmarshaler
}

// Quantizer is the state of one fake-quantizer: format, phase, observers and
// parameters. Several tensors may share one Quantizer (a concatenation's
// branches, say), each through its own [Site]. Methods may be called from
// several goroutines; a run of the graph should not overlap a change of phase.
type Quantizer struct {
	name        string
	spec        Spec
	nonNegative bool
	phase       atomic.Uint32
	params      atomic.Pointer[Params]
	mu          sync.Mutex // guards sites and their observers
	sites       []*Site
	proto       Observer
	learn       *learned // nil unless Learn was called
}

// New makes a quantizer with phase Off. obs is the prototype of the observers of
// its sites; it may be nil for a quantizer whose parameters are only set by
// [Quantizer.SetParams]. nonNegative says that the data cannot be negative, which
// ParamsFromRange turns into one more bit for unsigned formats.
func New(name string, s Spec, obs Observer, nonNegative bool) (*Quantizer, error) {
	if err := s.Validate(); err != nil {
		return nil, &LayerError{Layer: name, Err: err}
	}
	return &Quantizer{name: name, spec: s, proto: obs, nonNegative: nonNegative}, nil
}

// Name returns the name that errors and reports use.
func (q *Quantizer) Name() string { return q.name }

// Spec returns the format, as files have it: without MinScale, which only matters while
// scales are computed.
func (q *Quantizer) Spec() Spec {
	s := q.spec
	s.MinScale = 0
	return s
}

// NonNegative reports whether the data is known not to be negative.
func (q *Quantizer) NonNegative() bool { return q.nonNegative }

// Phase returns the current phase.
func (q *Quantizer) Phase() Phase { return Phase(q.phase.Load()) }

// SetPhase switches the phase. It takes effect at the next run.
func (q *Quantizer) SetPhase(p Phase) { q.phase.Store(uint32(p)) }

// Memoryless reports whether parameters are read anew from each tensor. Learned
// parameters are not, once learning has begun.
func (q *Quantizer) Memoryless() bool { return q.proto != nil && q.proto.Memoryless() && !q.learning() }

// Params returns a copy of the current parameters. It fails, wrapping
// ErrNotCalibrated, before any data was seen or parameters were set.
func (q *Quantizer) Params() (Params, error) {
	p, err := q.current()
	if err != nil {
		return Params{}, err
	}
	if p == nil {
		return Params{}, q.wrap(fmt.Errorf("%w: show it calibration data (qat.Model.Calibrate, or training in an observing phase) first", ErrNotCalibrated))
	}
	return p.Clone(), nil
}

// current returns the parameters in use, nil for none.
func (q *Quantizer) current() (*Params, error) {
	if q.learning() && q.Phase() != Frozen {
		return q.learnedParams()
	}
	return q.params.Load(), nil
}

// SetParams fixes the parameters, for ranges known in advance or loaded from a
// file. They hold until an observing phase replaces them; learned parameters go on
// from there. p is copied. It fails,
// wrapping ErrParams, unless there is one group at least, exactly one per tensor,
// and all values fit the spec.
func (q *Quantizer) SetParams(p Params) error {
	if err := q.checkParams(p); err != nil {
		return q.wrap(err)
	}
	c := p.Clone()
	q.params.Store(&c)
	if q.learn != nil && len(c.Scale) == len(q.learn.scale) {
		q.beginLearning(c)
	}
	return nil
}

// checkParams is Params.Check for a tensor whose shape is not known.
func (q *Quantizer) checkParams(p Params) error {
	groups := 1
	if q.spec.Granularity != PerTensor {
		groups = max(len(p.Scale), 1)
	}
	return p.Check(q.spec, groups)
}

// Range returns a copy of the observed range, the union over all sites; ok is
// false before any data.
func (q *Quantizer) Range() (lo, hi []float32, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	lo, hi, ok = q.union()
	return slices.Clone(lo), slices.Clone(hi), ok
}

// sameGroups reports whether every site but self that has seen data has as many
// groups as given: ranges of tensors that are cut up differently have no union.
func (q *Quantizer) sameGroups(self *Site, groups int) error {
	for _, s := range q.sites {
		if s == self || s.obs == nil {
			continue
		}
		if lo, _, ok := s.obs.Range(); ok && len(lo) != groups {
			return fmt.Errorf("%w: tensor has %d groups, another that shares the quantizer %d: give each its own quantizer", ErrData, groups, len(lo))
		}
	}
	return nil
}

// union returns the range over all sites. It wants mu held, and so does the result: with
// one site it is the observer's own.
func (q *Quantizer) union() (lo, hi []float32, ok bool) {
	if len(q.sites) == 1 && q.sites[0].obs != nil {
		return q.sites[0].obs.Range()
	}
	for _, s := range q.sites {
		if s.obs == nil {
			continue
		}
		l, h, seen := s.obs.Range()
		switch {
		case !seen:
		case !ok:
			lo, hi, ok = append([]float32(nil), l...), append([]float32(nil), h...), true
		default:
			for i := range lo {
				lo[i], hi[i] = min(lo[i], l[i]), max(hi[i], h[i])
			}
		}
	}
	return lo, hi, ok
}

// ParamsOf returns the parameters that x, a tensor with the layout's shape, is
// quantized with: those of x itself for a memoryless quantizer that is not
// Frozen, the current ones otherwise. It changes nothing.
func (q *Quantizer) ParamsOf(x []float32, l Layout) (Params, error) {
	if !q.Memoryless() || q.Phase() == Frozen {
		return q.Params()
	}
	obs := q.proto.Fresh()
	if err := obs.Observe(x, l); err != nil {
		return Params{}, q.wrap(err)
	}
	lo, hi, _ := obs.Range()
	p, err := ParamsFromRange(q.spec, lo, hi, q.nonNegative)
	if err != nil {
		return Params{}, q.wrap(err)
	}
	return p, nil
}

func (q *Quantizer) wrap(err error) error { return &LayerError{Layer: q.name, Err: err} }
