package observers

import (
	"fmt"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/internal/par"
)

// maxCounters bounds the memory of one observer, 256 MiB of counters: a histogram
// per block of a large weight would take gigabytes.
const maxCounters = 1 << 25

// hist is what all observers with a histogram keep: for each group the counts of
// all values so far, beside their exact smallest and largest.
type hist struct {
	state             // smallest and largest value, not the range that is chosen
	bins   int        // the resolved Bins that the counts were made with
	rulers []ruler    // one per group
	counts [][]uint64 // one per group, as long as its ruler

	chosen any       // the settings that outLo and outHi were chosen with; nil: stale
	outLo  []float32 // the chosen range of each group
	outHi  []float32
}

// Reset forgets all data; settings stay.
func (h *hist) Reset() { *h = hist{} }

// binCount applies the default and checks the limits.
func binCount(bins int) (int, error) {
	if bins == 0 {
		return DefaultBins, nil
	}
	if bins < MinBins || bins > MaxBins {
		return 0, fmt.Errorf("%w: Bins %d: want %d to %d, or 0 for the default %d", ErrSettings, bins, MinBins, MaxBins, DefaultBins)
	}
	return bins, nil
}

// observe counts x. Nothing changes on an error.
func (h *hist) observe(x []float32, l fakequant.Layout, bins int) error {
	bins, err := binCount(bins)
	if err != nil {
		return err
	}
	if h.batches > 0 && bins != h.bins {
		return fmt.Errorf("%w: Bins changed from %d to %d: reset the observer", ErrSettings, h.bins, bins)
	}
	if err := checkMemory(l.Groups(), bins); err != nil {
		return err
	}
	if err := h.measure(x, l); err != nil {
		return err
	}
	h.bins = bins
	h.widen(h.curLo, h.curHi)
	h.take(union)
	l.Runs(func(from, to, group, step int) {
		if step == 0 {
			h.rulers[group].add(h.counts[group], x[from:to])
			return
		}
		for i := from; i < to; i++ {
			g := group + i - from
			h.rulers[g].add(h.counts[g], x[i:i+1])
		}
	})
	h.chosen = nil
	return nil
}

func checkMemory(groups, bins int) error {
	if groups > maxCounters/(2*bins) {
		return fmt.Errorf("%w: %d histograms of %d bins take too much memory: use Bins %d or less, or for weights %s, which keeps none",
			ErrSettings, groups, bins, maxCounters/2/groups, KindLatestMSE)
	}
	return nil
}

// widen makes the histograms cover lo..hi of each group beside what they hold.
func (h *hist) widen(lo, hi []float32) {
	if h.batches == 0 {
		h.rulers, h.counts = make([]ruler, len(lo)), make([][]uint64, len(lo))
		for g := range lo {
			h.rulers[g] = newRuler(lo[g], hi[g], 2*h.bins)
			h.counts[g] = make([]uint64, h.rulers[g].n)
		}
		return
	}
	for g := range lo {
		if lo[g] >= h.lo[g] && hi[g] <= h.hi[g] {
			continue
		}
		r := newRuler(min(lo[g], h.lo[g]), max(hi[g], h.hi[g]), 2*h.bins)
		h.counts[g], h.rulers[g] = r.regrow(h.rulers[g], h.counts[g]), r
	}
}

// merge adds the other's counts.
func (h *hist) merge(o *hist) error {
	if o.batches == 0 {
		return nil
	}
	if h.batches > 0 && len(h.lo) != len(o.lo) {
		return h.state.merge(&o.state, union) // the error
	}
	if h.batches > 0 && h.bins != o.bins {
		return fmt.Errorf("%w: merging %d bins into %d", ErrSettings, o.bins, h.bins)
	}
	h.bins = o.bins
	h.widen(o.lo, o.hi)
	for g, r := range h.rulers {
		r.move(h.counts[g], o.rulers[g], o.counts[g])
	}
	h.chosen = nil
	return h.state.merge(&o.state, union)
}

// groupsAtOnce is how many groups a goroutine takes at a time.
const groupsAtOnce = 4

// ranges returns the range that pick chooses for each group. Choosing can cost
// milliseconds, so the result is kept until there are more data or other
// settings. pick may return bounds outside the data; they are brought inside, or
// to 0.
func (h *hist) ranges(settings any, pick func(g int) (lo, hi float64)) (lo, hi []float32, ok bool) {
	if h.batches == 0 {
		return nil, nil, false
	}
	if h.chosen == settings {
		return h.outLo, h.outHi, true
	}
	if len(h.outLo) != len(h.lo) {
		h.outLo, h.outHi = make([]float32, len(h.lo)), make([]float32, len(h.lo))
	}
	par.For(len(h.lo), groupsAtOnce, func(from, to int) {
		for g := from; g < to; g++ {
			a, b := pick(g)
			h.outLo[g] = float32(max(a, float64(min(h.lo[g], 0))))
			h.outHi[g] = float32(min(b, float64(max(h.hi[g], 0))))
		}
	})
	h.chosen = settings
	return h.outLo, h.outHi, true
}

// inside cuts a range that is made of bins' edges down to the values of the group.
func (h *hist) inside(g int, lo, hi float64) (float64, float64) {
	return max(lo, float64(h.lo[g])), min(hi, float64(h.hi[g]))
}
