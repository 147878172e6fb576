package observers

import (
	"errors"
	"fmt"

	"github.com/goqat/goqat/fakequant"
)

// ErrSettings is wrapped by errors about an observer's constants, an unknown
// kind, and observers that do not belong together.
var ErrSettings = errors.New("invalid observer settings")

// Merger is an observer that can take over what another of the same kind and
// settings has seen. All observers of this package are Mergers.
type Merger interface {
	fakequant.Observer
	// Merge adds the other observer's data to this one, for replicas of a network
	// that each saw a part of it. The other is unchanged. Merging several replicas
	// in any order gives the same range up to rounding. An observer without data
	// adds nothing. It fails, wrapping ErrSettings, for another kind or other
	// settings and, wrapping fakequant.ErrData, for another number of groups; the
	// observer is then as it was.
	Merge(other fakequant.Observer) error
}

// maxBatches bounds the count of batches, so that sums of counts stay exact in
// float64 and never overflow. Counting stops there.
const maxBatches = 1 << 52

// state is what all observers keep: one range per group.
type state struct {
	lo, hi       []float32 // the range of each group; empty before any data
	batches      uint64    // how many tensors the range comes from
	curLo, curHi []float32 // scratch: the range of the current tensor
}

// Range returns the range of each group, in the layout's order; ok is false
// before any data. The slices belong to the observer and change with the tensors
// that it observes later.
func (s *state) Range() (lo, hi []float32, ok bool) {
	return s.lo, s.hi, s.batches > 0
}

// Batches returns how many tensors the range comes from, merged ones included.
func (s *state) Batches() uint64 { return s.batches }

// Reset forgets all data; settings stay.
func (s *state) Reset() { *s = state{} }

// observe measures x and folds it into the range: the first tensor's range is
// taken as it is, later ones go through fold, which returns the new value of one
// bound from the old one and the tensor's. Nothing changes on an error.
func (s *state) observe(x []float32, l fakequant.Layout, fold fold) error {
	if err := s.measure(x, l); err != nil {
		return err
	}
	s.take(fold)
	return nil
}

// observeRange is observe of a tensor whose groups have these ranges.
func (s *state) observeRange(lo, hi []float32, fold fold) error {
	if err := s.room(len(lo)); err != nil {
		return err
	}
	for i := range lo {
		if !(lo[i] <= hi[i]) || hi[i]-hi[i] != 0 || lo[i]-lo[i] != 0 {
			return fmt.Errorf("%w: range (%v, %v) of group %d: want finite bounds in order", fakequant.ErrData, lo[i], hi[i], i)
		}
	}
	copy(s.curLo, lo)
	copy(s.curHi, hi)
	s.take(fold)
	return nil
}

// measure checks x and puts the range of each of its groups into curLo and curHi.
func (s *state) measure(x []float32, l fakequant.Layout) error {
	if err := s.room(l.Groups()); err != nil {
		return err
	}
	return fakequant.GroupMinMax(s.curLo, s.curHi, x, l)
}

// room checks the number of groups of a tensor and makes room for their ranges.
func (s *state) room(groups int) error {
	if groups == 0 {
		return fmt.Errorf("%w: tensor is empty", fakequant.ErrData)
	}
	if s.batches > 0 && groups != len(s.lo) {
		return fmt.Errorf("%w: tensor has %d groups, those before had %d: reset the observer, or give each tensor its own",
			fakequant.ErrData, groups, len(s.lo))
	}
	if len(s.curLo) != groups {
		s.curLo, s.curHi = make([]float32, groups), make([]float32, groups)
	}
	return nil
}

// take folds curLo and curHi into the range.
func (s *state) take(fold fold) {
	if s.batches == 0 {
		s.lo, s.hi = append([]float32(nil), s.curLo...), append([]float32(nil), s.curHi...)
	} else {
		s.apply(s.curLo, s.curHi, fold)
	}
	s.batches = addBatches(s.batches, 1)
}

// merge folds the other state in; counts add up.
func (s *state) merge(other *state, fold fold) error {
	switch {
	case other.batches == 0:
		return nil
	case s.batches == 0:
		s.lo, s.hi = append([]float32(nil), other.lo...), append([]float32(nil), other.hi...)
	case len(s.lo) != len(other.lo):
		return fmt.Errorf("%w: merging %d groups into %d: the replicas must observe the same tensor",
			fakequant.ErrData, len(other.lo), len(s.lo))
	default:
		s.apply(other.lo, other.hi, fold)
	}
	s.batches = addBatches(s.batches, other.batches)
	return nil
}

func (s *state) apply(lo, hi []float32, fold fold) {
	for i := range s.lo {
		s.lo[i], s.hi[i] = s.folded(i, lo[i], hi[i], fold)
	}
}

// folded returns the new range of group i.
func (s *state) folded(i int, lo, hi float32, fold fold) (newLo, newHi float32) {
	newLo = fold.lo(s.lo[i], lo)
	// Two bounds that are almost equal may cross by rounding.
	return newLo, max(fold.hi(s.hi[i], hi), newLo)
}

// next returns a function that says what take will make of the range of a group, and one
// that does what take does, with what the first one said of all groups.
func (s *state) next(groups int, fold fold) (next func(group int, lo, hi float32) (newLo, newHi float32), take func(), err error) {
	if err := s.room(groups); err != nil {
		return nil, nil, err
	}
	first := s.batches == 0
	next = func(group int, lo, hi float32) (float32, float32) {
		if !first {
			lo, hi = s.folded(group, lo, hi, fold)
		}
		s.curLo[group], s.curHi[group] = lo, hi
		return lo, hi
	}
	return next, func() {
		s.lo, s.hi, s.curLo, s.curHi = s.curLo, s.curHi, s.lo, s.hi
		s.batches = addBatches(s.batches, 1)
	}, nil
}

func addBatches(a, b uint64) uint64 { return min(a+b, maxBatches) }

// fold holds the rule for the lower and for the upper bound.
type fold struct {
	lo, hi func(old, cur float32) float32
}

var (
	// union keeps the wider bound.
	union = fold{lo: func(a, b float32) float32 { return min(a, b) }, hi: func(a, b float32) float32 { return max(a, b) }}
	// replace keeps the new bound.
	replace = fold{lo: latest, hi: latest}
)

func latest(_, cur float32) float32 { return cur }

// both uses one rule for both bounds. The rule is an average: what rounding
// carries outside the two values is put back, so a constant stream never drifts
// and nothing overflows.
func both(rule func(old, cur float32) float32) fold {
	f := func(old, cur float32) float32 { return max(min(rule(old, cur), max(old, cur)), min(old, cur)) }
	return fold{lo: f, hi: f}
}

// weighted is the average of two ranges by their numbers of batches, in float64:
// an average of averages is the average of all, whatever the order.
func weighted(a, b uint64) fold {
	wa, wb := float64(a), float64(b)
	return both(func(old, cur float32) float32 {
		return float32((float64(float64(old)*wa) + float64(float64(cur)*wb)) / (wa + wb))
	})
}
