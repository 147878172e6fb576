package fakequant

import (
	"encoding/json"
	"fmt"
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

// Spec returns the format, as files have it: without MinScale and HalfScale, which only
// matter while scales are computed.
func (q *Quantizer) Spec() Spec {
	s := q.spec
	s.MinScale, s.HalfScale = 0, false
	return s
}

// FitScale returns the scale that is in use where s is wanted: not below Spec.MinScale, and
// rounded where the format has [Spec.HalfScale].
func (q *Quantizer) FitScale(s float32) float32 {
	r := newFitter(q.spec, q.nonNegative)
	return r.fit(s)
}

// NonNegative reports whether the data is known not to be negative.
func (q *Quantizer) NonNegative() bool { return q.nonNegative }

// Phase returns the current phase.
func (q *Quantizer) Phase() Phase { return Phase(q.phase.Load()) }

// SetPhase switches the phase. It takes effect at the next run.
func (q *Quantizer) SetPhase(p Phase) { q.phase.Store(uint32(p)) }

func (q *Quantizer) wrap(err error) error { return &LayerError{Layer: q.name, Err: err} }

// Site is one place where tensors pass through a [Quantizer]. It has its own
// observer; the quantizer's parameters cover the ranges of all its sites.
type Site struct {
	q    *Quantizer
	obs  Observer
	used *Params // what the last Forward quantized with; nil if it passed values on
	own  ownRange
	last Layout // of the last tensor

	passes uint64 // so far
}

// learned is the memory of learned parameters. A solver writes to it between runs.
type learned struct {
	init  ScaleInit
	log   []float32 // ln(scale/start) of each group
	zero  []float32 // nil for symmetric formats
	start []float32 // scales when learning began, 0 for groups that still wait; nil before
}

// ScaleInit says how a learned scale starts.
type ScaleInit uint8

const (
	// InitObserver starts from the observed range. The default.
	InitObserver ScaleInit = iota
	// InitLSQ starts from the mean magnitude, 2·mean|x|/sqrt(quant_max), as in
	// Esser et al. 2020, section 2.1.
	InitLSQ
)
