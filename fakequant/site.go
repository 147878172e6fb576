package fakequant

import (
	"fmt"
	"math"

	"github.com/goqat/goqat/internal/kern"
	"github.com/goqat/goqat/internal/par"
)

// NewSite adds a site.
func (q *Quantizer) NewSite() *Site {
	q.mu.Lock()
	defer q.mu.Unlock()
	s := &Site{q: q}
	if q.proto != nil {
		s.obs = q.proto.Fresh()
	}
	q.sites = append(q.sites, s)
	return s
}

// Quantizer returns the quantizer that the site belongs to.
func (s *Site) Quantizer() *Quantizer { return s.q }

// Forward is the training pass: it observes x if the phase says so, then writes
// the fake-quantized x, or x itself, into dst. Both are row-major with the given
// shape and do not overlap in part; dst may be x. In an observing phase a NaN is
// an error that names the quantizer.
func (s *Site) Forward(dst, x []float32, shape []int) error {
	observe, quantize := s.does(PassForward)
	if err := s.run(dst, x, shape, observe, quantize); err != nil {
		return err
	}
	if s.q.learn != nil && quantize && s.q.Phase() != Frozen && (!s.q.learning() || s.q.learn.waiting()) {
		return s.begin(dst, x, shape)
	}
	return nil
}

// begin starts the learning of a quantizer with its first quantizing training pass,
// which run has just made with the observer's parameters, and that of groups that were
// zeros alone with the first one in which they are not.
func (s *Site) begin(dst, x []float32, shape []int) error {
	l, err := s.layout(shape)
	if err != nil {
		return s.q.wrap(err)
	}
	m, p, fresh := s.q.learn, *s.used, !s.q.learning()
	zeros := func(int) bool { return false } // of data that has no range
	if err := s.own.measure(x, l); err == nil {
		zeros = func(g int) bool { return s.own.lo[g] == 0 && s.own.hi[g] == 0 }
		if !fresh {
			if p, err = ParamsFromRange(s.q.spec, s.own.lo, s.own.hi, s.q.nonNegative); err != nil {
				return s.q.wrap(err)
			}
		}
	}
	first, moved := s.q.initial(p, x, l), fresh
	if fresh {
		s.q.beginLearning(first)
	}
	r := newFitter(s.q.spec, s.q.nonNegative)
	for g := range m.start {
		switch {
		case fresh && zeros(g) && p.Scale[g] == r.ofZeros():
			m.start[g] = 0
		case !fresh && m.start[g] == 0 && !zeros(g):
			m.beginGroup(g, first)
			moved = true
		}
	}
	if !moved {
		return nil
	}
	return s.run(dst, x, shape, false, true)
}

// Eval is Forward without the observer: it changes no range.
func (s *Site) Eval(dst, x []float32, shape []int) error {
	observe, quantize := s.does(PassEval)
	return s.run(dst, x, shape, observe, quantize)
}

// Calibrate observes x and copies it to dst, whatever the phase; a Frozen
// quantizer only copies.
func (s *Site) Calibrate(dst, x []float32, shape []int) error {
	observe, quantize := s.does(PassCalibrate)
	return s.run(dst, x, shape, observe, quantize)
}

// Quantize writes the fake-quantized x into dst with the current parameters,
// whatever the phase, and changes no range.
func (s *Site) Quantize(dst, x []float32, shape []int) error {
	observe, quantize := s.does(PassQuantize)
	return s.run(dst, x, shape, observe, quantize)
}

func (s *Site) run(dst, x []float32, shape []int, observe, quantize bool) error {
	l, err := s.layout(shape)
	if err != nil {
		return s.q.wrap(err)
	}
	if len(x) != l.Len() || len(dst) != l.Len() {
		return s.q.wrap(fmt.Errorf("%w: %d elements into %d, want %d of shape %v", ErrData, len(x), len(dst), l.Len(), shape))
	}
	s.own.forget()
	s.passes++
	if observe && quantize && s.obs != nil {
		p, ok, err := s.single(dst, x, l)
		if err != nil {
			return err
		}
		if ok {
			s.used = p
			return nil
		}
	}
	if observe {
		if err := s.observe(x, l); err != nil {
			return err
		}
	}
	if !quantize {
		s.used = nil
		copy(dst, x)
		return nil
	}
	p, err := s.q.current()
	if err != nil {
		return err
	}
	if s.q.Memoryless() && s.q.Phase() != Frozen && !observe {
		own, err := s.paramsOf(x, l)
		if err != nil {
			return err
		}
		p = &own
	}
	if p == nil {
		_, err := s.q.Params()
		return err
	}
	if err := FakeQuantize(dst, x, l, s.q.spec, *p); err != nil {
		return s.q.wrap(err)
	}
	s.used = p
	s.own.grade(s.q.spec, *p)
	return nil
}

// Passes counts the passes so far: as long as it does not change, what the last one wrote is
// what the site makes of its tensor.
func (s *Site) Passes() uint64 { return s.passes }

// Used returns the parameters that the last Forward or Eval quantized with; ok
// is false if it passed values on. The caller must not change them.
func (s *Site) Used() (p Params, ok bool) {
	if s.used == nil {
		return Params{}, false
	}
	return *s.used, true
}

// Used returns the parameters that every site of the quantizer used in its last
// run; ok is false if any passed values on or used others, so that the sites'
// tensors do not lie on one grid. The caller must not change them.
func (q *Quantizer) Used() (p Params, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	var first *Params
	for _, s := range q.sites {
		if s.used == nil || (first != nil && s.used != first) {
			return Params{}, false
		}
		first = s.used
	}
	if first == nil {
		return Params{}, false
	}
	return *first, true
}

// Backward writes the straight-through gradient of the last Forward into dx:
// the mask of [STE] with the parameters used there, or dy itself if it passed
// values on. x is the input of that Forward; dx may be dy.
func (s *Site) Backward(dx, x, dy []float32, shape []int) error {
	if len(dx) != len(x) || len(dy) != len(x) {
		return s.q.wrap(fmt.Errorf("%w: %d gradients into %d for %d elements", ErrData, len(dy), len(dx), len(x)))
	}
	if s.used == nil || s.own.inside {
		if len(dx) > 0 && &dx[0] != &dy[0] {
			copy(dx, dy)
		}
		return nil
	}
	l, err := s.layout(shape)
	if err != nil {
		return s.q.wrap(err)
	}
	ste := STE
	if s.own.graded && (!l.columns() || s.own.kept != nil) {
		ste = s.own.pass
	}
	if err := ste(dx, x, dy, l, s.q.spec, *s.used); err != nil {
		return s.q.wrap(err)
	}
	return nil
}

// Codes returns the centred codes q - zero_point of y, one byte each, if the last pass
// wrote y and kept its codes. Passes that observe and quantize in one loop keep them once
// Codes has been called, where all codes of the format fit. The caller must not have
// changed y and must not change the codes, which hold until the next pass.
func (s *Site) Codes(y []float32) (codes []int8, ok bool) {
	s.own.keeps = true
	k := s.own.kept
	if len(y) == 0 || len(k) != len(y) || &k[0] != &y[0] {
		return nil, false
	}
	return s.own.codes, true
}

// BackwardLearned is Backward for a learned quantizer. It overwrites dscale and,
// for affine formats, dzero (nil otherwise), one element per group, with the LSQ
// gradients times the factor 1/sqrt(n·quant_max), where n is the number of
// elements that share a scale; perRow leaves the first axis, the batch, out of n,
// so that the factor does not depend on the batch size. While the quantizer passes
// values on, both are zero.
func (s *Site) BackwardLearned(dx, dscale, dzero, x, dy []float32, shape []int, perRow bool) error {
	clear(dscale)
	clear(dzero)
	if s.used == nil {
		return s.Backward(dx, x, dy, shape)
	}
	q := s.q
	l, err := q.spec.Layout(shape)
	if err != nil {
		return q.wrap(err)
	}
	if err := check(len(dx), len(x), l, q.spec, *s.used); err != nil {
		return q.wrap(err)
	}
	if len(dy) != len(x) || len(dscale) != l.Groups() || (dzero != nil && len(dzero) != l.Groups()) {
		return q.wrap(fmt.Errorf("%w: gradients of %d elements and %d scales, want %d and %d", ErrParams, len(dy), len(dscale), l.Len(), l.Groups()))
	}
	ds, dz := make([]float64, l.Groups()), make([]float64, l.Groups())
	if l.columns() {
		grids := kern.NewGridRow(l.groups, func(i int) kern.Grid { return s.used.grid(q.spec, i) })
		par.For((l.dim+63)/64, max(4, unitGrain/(64*l.rows())), func(from, to int) { // each sums its columns, down the rows
			a, b := 64*from, min(64*to, l.dim)
			for row := range l.rows() {
				lo, g := row*l.dim, l.rowGroup(row)
				kern.LSQRow(dx[lo+a:lo+b], x[lo+a:lo+b], dy[lo+a:lo+b], grids, g+a, ds[g+a:g+b], dz[g+a:g+b])
			}
		})
	} else {
		parts := make([][2]float64, l.units())
		par.For(len(parts), max(1, unitGrain/(l.size*l.inner)), func(from, to int) {
			for u := from; u < to; u++ {
				lo, hi, g := l.unit(u)
				parts[u][0], parts[u][1] = kern.LSQ(dx[lo:hi], x[lo:hi], dy[lo:hi], s.used.grid(q.spec, g))
			}
		})
		for u, p := range parts {
			_, _, g := l.unit(u)
			ds[g] += p[0]
			dz[g] += p[1]
		}
	}
	n := float64(l.Len()) / float64(l.Groups())
	if perRow && len(shape) > 0 {
		n /= float64(shape[0])
	}
	_, qmax := q.spec.QRange()
	factor := 1 / math.Sqrt(n*float64(qmax))
	for g := range ds {
		dscale[g] = float32(factor * ds[g])
		if dzero != nil {
			dzero[g] = float32(factor * dz[g])
		}
	}
	return nil
}
