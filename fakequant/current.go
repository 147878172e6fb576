package fakequant

// Which parameters does a quantizer use now?

import (
	"fmt"
	"slices"
)

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
	if q.learn != nil && len(c.Scale) == len(q.learn.log) {
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
