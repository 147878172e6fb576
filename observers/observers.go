package observers

import (
	"fmt"
	"strings"

	"github.com/goqat/goqat/fakequant"
)

var kinds = []struct {
	name string
	make func() fakequant.Observer
}{
	{KindMinMax, func() fakequant.Observer { return new(MinMax) }},
	{KindMovingAverage, func() fakequant.Observer { return new(MovingAverage) }},
	{KindEMA, func() fakequant.Observer { return new(EMA) }},
	{KindLatest, func() fakequant.Observer { return new(Latest) }},
	{KindHistogram, func() fakequant.Observer { return new(Histogram) }},
	{KindPercentile, func() fakequant.Observer { return new(Percentile) }},
	{KindMSE, func() fakequant.Observer { return new(MSE) }},
	{KindKL, func() fakequant.Observer { return new(KL) }},
	{KindLatestMSE, func() fakequant.Observer { return new(LatestMSE) }},
}

// Kinds lists the names that New knows.
func Kinds() []string {
	names := make([]string, len(kinds))
	for i, k := range kinds {
		names[i] = k.name
	}
	return names
}

// New returns a new observer with default settings by its configuration name,
// one of the Kind constants. Another name is an error that wraps ErrSettings and
// lists the known ones.
func New(kind string) (fakequant.Observer, error) {
	for _, k := range kinds {
		if k.name == kind {
			return k.make(), nil
		}
	}
	return nil, fmt.Errorf("%w: unknown observer %q: want one of %s", ErrSettings, kind, strings.Join(Kinds(), ", "))
}

// MinMax keeps the smallest and largest value so far: min = min(min, cur),
// max = max(max, cur). One outlier widens the range for good.
type MinMax struct{ state }

// Observe widens the range of each group to hold x. See [fakequant.Observer].
func (o *MinMax) Observe(x []float32, l fakequant.Layout) error { return o.observe(x, l, union) }

// ObserveRange widens the range of each group. See [fakequant.RangeObserver].
func (o *MinMax) ObserveRange(lo, hi []float32) error { return o.observeRange(lo, hi, union) }

// Next tells the new range of each group, and keeps it later. See [fakequant.GroupObserver].
func (o *MinMax) Next(groups int) (next func(group int, lo, hi float32) (newLo, newHi float32), take func(), err error) {
	return o.next(groups, union)
}

// Fresh returns a new MinMax without data.
func (o *MinMax) Fresh() fakequant.Observer { return new(MinMax) }

// Memoryless returns false.
func (o *MinMax) Memoryless() bool { return false }

// Merge takes the union of both ranges. See [Merger].
func (o *MinMax) Merge(other fakequant.Observer) error {
	p, ok := other.(*MinMax)
	if !ok || p == nil {
		return cannotMerge(KindMinMax, other)
	}
	return o.merge(&p.state, union)
}

// Latest keeps the range of the latest tensor alone. It is the observer for
// weights: their grid is read again whenever they are quantized.
type Latest struct{ state }

// Observe takes over the range of each group of x. See [fakequant.Observer].
func (o *Latest) Observe(x []float32, l fakequant.Layout) error { return o.observe(x, l, replace) }

// Next tells the new range of each group, and keeps it later. See [fakequant.GroupObserver].
func (o *Latest) Next(groups int) (next func(group int, lo, hi float32) (newLo, newHi float32), take func(), err error) {
	return o.next(groups, replace)
}

// Fresh returns a new Latest without data.
func (o *Latest) Fresh() fakequant.Observer { return new(Latest) }

// ObserveRange takes over the range of each group. See [fakequant.RangeObserver].
func (o *Latest) ObserveRange(lo, hi []float32) error { return o.observeRange(lo, hi, replace) }

// Memoryless returns true.
func (o *Latest) Memoryless() bool { return true }

// Merge takes the union of both ranges: replicas see their latest tensors at the
// same time. See [Merger].
func (o *Latest) Merge(other fakequant.Observer) error {
	p, ok := other.(*Latest)
	if !ok || p == nil {
		return cannotMerge(KindLatest, other)
	}
	return o.merge(&p.state, union)
}

// MovingAverage averages the smallest and the largest values of the batches:
// m += Constant*(cur-m) in float32, for min and max on their own. The first
// batch is taken as it is. PyTorch's MovingAverageMinMaxObserver.
type MovingAverage struct {
	// Constant is the weight of the newest batch, above 0 and at most 1; 1 keeps
	// the latest range. Zero means DefaultConstant, 0.01.
	Constant float64
	state
}

// Observe moves the range of each group towards that of x. It fails, wrapping
// ErrSettings, when Constant is out of range. See [fakequant.Observer].
func (o *MovingAverage) Observe(x []float32, l fakequant.Layout) error {
	f, err := o.fold()
	if err != nil {
		return err
	}
	return o.observe(x, l, f)
}

// ObserveRange moves the range of each group towards the given one, as Observe does.
// See [fakequant.RangeObserver].
func (o *MovingAverage) ObserveRange(lo, hi []float32) error {
	f, err := o.fold()
	if err != nil {
		return err
	}
	return o.observeRange(lo, hi, f)
}

// Next tells the new range of each group, and keeps it later. See [fakequant.GroupObserver].
func (o *MovingAverage) Next(groups int) (next func(group int, lo, hi float32) (newLo, newHi float32), take func(), err error) {
	f, err := o.fold()
	if err != nil {
		return nil, nil, err
	}
	return o.next(groups, f)
}

func (o *MovingAverage) fold() (fold, error) {
	c, err := weight("Constant", o.Constant, DefaultConstant)
	if err != nil {
		return fold{}, err
	}
	if c == 1 {
		return replace, nil // exact: m + (cur-m) would round
	}
	c32 := float32(c)
	return both(func(m, cur float32) float32 {
		if d := cur - m; d-d == 0 {
			return m + float32(c32*d)
		}
		return m + (float32(c32*cur) - float32(c32*m)) // the difference overflows
	}), nil
}

// Fresh returns a new MovingAverage with the same Constant and no data.
func (o *MovingAverage) Fresh() fakequant.Observer { return &MovingAverage{Constant: o.Constant} }

// Memoryless returns false, also for a Constant of 1; see [Latest].
func (o *MovingAverage) Memoryless() bool { return false }

// Merge averages both ranges, weighted by the number of batches each has seen.
// See [Merger].
func (o *MovingAverage) Merge(other fakequant.Observer) error {
	p, ok := other.(*MovingAverage)
	if !ok || p == nil {
		return cannotMerge(KindMovingAverage, other)
	}
	if a, b := orDefault(o.Constant, DefaultConstant), orDefault(p.Constant, DefaultConstant); a != b {
		return fmt.Errorf("%w: merging Constant %v into %v", ErrSettings, b, a)
	}
	return o.merge(&p.state, weighted(o.batches, p.batches))
}

// EMA averages the smallest and the largest values of the batches exponentially:
// m = Ratio*m + (1-Ratio)*cur in float32, for min and max on their own. The
// first batch is taken as it is. Core ML Tools' EMAMinMaxObserver.
type EMA struct {
	// Ratio is the weight of the past, above 0 and at most 1. Zero means
	// DefaultRatio, 0.9. To keep no past at all, use Latest.
	Ratio float64
	state
}

// Observe moves the range of each group towards that of x. It fails, wrapping
// ErrSettings, when Ratio is out of range. See [fakequant.Observer].
func (o *EMA) Observe(x []float32, l fakequant.Layout) error {
	f, err := o.fold()
	if err != nil {
		return err
	}
	return o.observe(x, l, f)
}

// ObserveRange moves the range of each group towards the given one, as Observe does.
// See [fakequant.RangeObserver].
func (o *EMA) ObserveRange(lo, hi []float32) error {
	f, err := o.fold()
	if err != nil {
		return err
	}
	return o.observeRange(lo, hi, f)
}

// Next tells the new range of each group, and keeps it later. See [fakequant.GroupObserver].
func (o *EMA) Next(groups int) (next func(group int, lo, hi float32) (newLo, newHi float32), take func(), err error) {
	f, err := o.fold()
	if err != nil {
		return nil, nil, err
	}
	return o.next(groups, f)
}

func (o *EMA) fold() (fold, error) {
	r, err := weight("Ratio", o.Ratio, DefaultRatio)
	if err != nil {
		return fold{}, err
	}
	// Both weights are rounded from float64, as PyTorch does with Python's numbers.
	past, now := float32(r), float32(1-r)
	return both(func(m, cur float32) float32 {
		return float32(past*m) + float32(now*cur)
	}), nil
}

// Fresh returns a new EMA with the same Ratio and no data.
func (o *EMA) Fresh() fakequant.Observer { return &EMA{Ratio: o.Ratio} }

// Memoryless returns false.
func (o *EMA) Memoryless() bool { return false }

// Merge averages both ranges, weighted by the number of batches each has seen.
// See [Merger].
func (o *EMA) Merge(other fakequant.Observer) error {
	p, ok := other.(*EMA)
	if !ok || p == nil {
		return cannotMerge(KindEMA, other)
	}
	if a, b := orDefault(o.Ratio, DefaultRatio), orDefault(p.Ratio, DefaultRatio); a != b {
		return fmt.Errorf("%w: merging Ratio %v into %v", ErrSettings, b, a)
	}
	return o.merge(&p.state, weighted(o.batches, p.batches))
}
