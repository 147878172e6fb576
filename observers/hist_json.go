package observers

import "fmt"

// settings are those of a histogram observer; each kind uses some of them.
type settings struct {
	bins       int
	percentile float64
	codes      *codes // nil for a kind that knows no codes
}

// save writes the settings as they are set, and the data.
func (h *hist) save(kind string, set settings) ([]byte, error) {
	out := saved{Kind: kind, Bins: set.bins, Percentile: set.percentile, Counts: h.counts}
	if set.codes != nil {
		out.Codes = set.codes.save()
	}
	return h.state.save(out)
}

// load reads a state of the given kind into h and returns its settings. like says
// which settings the kind has. Nothing changes on an error.
func (h *hist) load(b []byte, kind string, like settings) (settings, error) {
	in, err := decode(b)
	if err != nil {
		return settings{}, fmt.Errorf("%w: %w", errState, err)
	}
	if in.Kind != kind {
		return settings{}, fmt.Errorf("%w: kind is %q, want %q", errState, in.Kind, kind)
	}
	set, err := in.settings(like)
	if err != nil {
		return settings{}, fmt.Errorf("%w: %w", errState, err)
	}
	next, err := in.hist(kind, set.bins)
	if err != nil {
		return settings{}, fmt.Errorf("%w: %w", errState, err)
	}
	*h = next
	return set, nil
}

// settings takes the settings out of a loaded state and checks them.
func (in *loaded) settings(like settings) (settings, error) {
	var set settings
	if in.Bins != nil {
		set.bins, in.Bins = *in.Bins, nil
		if _, err := binCount(set.bins); err != nil || set.bins == 0 {
			return settings{}, fmt.Errorf("bins: want %d to %d", MinBins, MaxBins)
		}
	}
	if in.Percentile != nil && like.percentile > 0 {
		set.percentile, in.Percentile = *in.Percentile, nil
		if _, err := share(set.percentile); err != nil || set.percentile == 0 {
			return settings{}, fmt.Errorf("percentile: want at least %v and at most 100", MinPercentile)
		}
	}
	if like.codes != nil {
		c, err := in.Codes.load()
		if err != nil {
			return settings{}, err
		}
		set.codes, in.Codes = &c, nil
	}
	return set, nil
}

// hist checks that each group has exactly the counters that its range calls for
// and that both ends of it were counted.
func (in *loaded) hist(kind string, bins int) (hist, error) {
	counts := in.Counts
	in.Counts = nil
	s, err := in.plain(kind)
	if err != nil {
		return hist{}, err
	}
	if len(counts) != len(s.lo) {
		return hist{}, fmt.Errorf("%d histograms for %d groups", len(counts), len(s.lo))
	}
	if s.batches == 0 {
		return hist{}, nil
	}
	if bins, err = binCount(bins); err != nil {
		return hist{}, err
	}
	h := hist{state: s, bins: bins, counts: counts, rulers: make([]ruler, len(s.lo))}
	for g, c := range counts {
		r := newRuler(s.lo[g], s.hi[g], 2*bins)
		if len(c) != r.n {
			return hist{}, fmt.Errorf("group %d has %d counts, its range wants %d", g, len(c), r.n)
		}
		if c[0] == 0 || c[r.n-1] == 0 {
			return hist{}, fmt.Errorf("group %d counts nothing at an end of its range", g)
		}
		for _, n := range c {
			if n > maxBatches {
				return hist{}, fmt.Errorf("group %d: want counts of at most %d", g, uint64(maxBatches))
			}
		}
		h.rulers[g] = r
	}
	return h, checkMemory(len(counts), bins)
}

// MarshalJSON saves settings and data.
func (o *Histogram) MarshalJSON() ([]byte, error) {
	return o.save(KindHistogram, settings{bins: o.Bins})
}

// UnmarshalJSON restores what MarshalJSON saved. Anything else is an error that
// wraps fakequant.ErrData and leaves the observer as it was.
func (o *Histogram) UnmarshalJSON(b []byte) error {
	set, err := o.load(b, KindHistogram, settings{})
	if err == nil {
		o.Bins = set.bins
	}
	return err
}

// MarshalJSON saves settings and data.
func (o *Percentile) MarshalJSON() ([]byte, error) {
	return o.save(KindPercentile, settings{bins: o.Bins, percentile: o.Percentile})
}

// UnmarshalJSON restores what MarshalJSON saved. Anything else is an error that
// wraps fakequant.ErrData and leaves the observer as it was.
func (o *Percentile) UnmarshalJSON(b []byte) error {
	set, err := o.load(b, KindPercentile, settings{percentile: 100})
	if err == nil {
		o.Bins, o.Percentile = set.bins, set.percentile
	}
	return err
}

// MarshalJSON saves settings and data.
func (o *MSE) MarshalJSON() ([]byte, error) {
	c := codesOf(o.Spec, o.NonNegative)
	return o.save(KindMSE, settings{bins: o.Bins, codes: &c})
}

// UnmarshalJSON restores what MarshalJSON saved; of Spec that is what describes
// the codes. Anything else is an error that wraps fakequant.ErrData and leaves
// the observer as it was.
func (o *MSE) UnmarshalJSON(b []byte) error {
	set, err := o.load(b, KindMSE, settings{codes: &codes{}})
	if err == nil {
		o.Bins, o.Spec, o.NonNegative = set.bins, set.codes.spec, set.codes.nonNegative
	}
	return err
}

// MarshalJSON saves settings and data.
func (o *KL) MarshalJSON() ([]byte, error) {
	c := codesOf(o.Spec, o.NonNegative)
	return o.save(KindKL, settings{bins: o.Bins, codes: &c})
}

// UnmarshalJSON restores what MarshalJSON saved; of Spec that is what describes
// the codes. Anything else is an error that wraps fakequant.ErrData and leaves
// the observer as it was.
func (o *KL) UnmarshalJSON(b []byte) error {
	set, err := o.load(b, KindKL, settings{codes: &codes{}})
	if err == nil {
		o.Bins, o.Spec, o.NonNegative = set.bins, set.codes.spec, set.codes.nonNegative
	}
	return err
}

// MarshalJSON saves settings and data.
func (o *LatestMSE) MarshalJSON() ([]byte, error) {
	return o.state.save(saved{Kind: KindLatestMSE, Codes: codesOf(o.Spec, o.NonNegative).save()})
}

// UnmarshalJSON restores what MarshalJSON saved; of Spec that is what describes
// the codes. Anything else is an error that wraps fakequant.ErrData and leaves
// the observer as it was.
func (o *LatestMSE) UnmarshalJSON(b []byte) error {
	in, err := decode(b)
	if err != nil {
		return fmt.Errorf("%w: %w", errState, err)
	}
	if in.Kind != KindLatestMSE {
		return fmt.Errorf("%w: kind is %q, want %q", errState, in.Kind, KindLatestMSE)
	}
	c, err := in.Codes.load()
	if err != nil {
		return fmt.Errorf("%w: %w", errState, err)
	}
	in.Codes = nil
	next, err := in.plain(KindLatestMSE)
	if err != nil {
		return fmt.Errorf("%w: %w", errState, err)
	}
	o.state, o.Spec, o.NonNegative = next, c.spec, c.nonNegative
	return nil
}
